-- Forgets a node that was dead for long, of which nothing is left.
-- KEYS[1]: node -> when its lease ends. ARGV: the node, ms.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local ended = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ended and tonumber(ended) + ARGV[2] < now then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
