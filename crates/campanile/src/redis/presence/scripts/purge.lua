-- Removes some of what a dead node has in a channel.
-- KEYS[3]: node -> its sessions. KEYS[4]: client -> entry, of the dead one.
-- ARGV: its id, where to go on, how many at most, about.
-- Returns where to go on, how many are left, and what is removed by this call.
local page = redis.call('HSCAN', KEYS[4], ARGV[2], 'COUNT', ARGV[3])
local gone = {}
for at = 1, #page[2], 2 do
  local client, entry = page[2][at], page[2][at + 1]
  -- A scan may tell of one twice.
  if redis.call('HDEL', KEYS[4], client) == 1 then
    count(user_of(entry), ARGV[1], -1)
    gone[#gone + 1] = client
    gone[#gone + 1] = entry
  end
end
local left = redis.call('HLEN', KEYS[4])
if left > 0 then
  redis.call('HSET', KEYS[3], ARGV[1], left)
else
  redis.call('HDEL', KEYS[3], ARGV[1])
end
return {page[1], left, gone}
