-- KEYS[1]: node -> when its lease ends, in ms of Redis' clock. KEYS[2]: who purges the dead ones.
-- KEYS[3]: what tells this data set from one that was lost.
-- ARGV: the node, ms of a lease, a new name for a data set that has none, and 'enter' to take a lease
-- that no node has held before, 'prolong' to keep the one it has, 'look' for neither.
-- Returns whether it has a lease, whether it purges, the data set's name, Redis' own, who lives, who is dead.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local me, ends = ARGV[1], string.format('%.0f', now + ARGV[2])
redis.call('SET', KEYS[3], ARGV[3], 'NX')

local has_lease = 0
if ARGV[4] == 'enter' then
  has_lease = redis.call('ZADD', KEYS[1], 'NX', ends, me)
elseif ARGV[4] == 'prolong' then
  local until_then = redis.call('ZSCORE', KEYS[1], me)
  if until_then and tonumber(until_then) > now then
    redis.call('ZADD', KEYS[1], ends, me)
    has_lease = 1
  end
end

now = string.format('%.0f', now)
local live = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1024)
local purges = 0
if has_lease == 1 and #dead > 0 then
  local purger = redis.call('GET', KEYS[2])
  if not purger or purger == me then
    redis.call('SET', KEYS[2], me, 'PX', ARGV[2])
    purges = 1
  end
end

-- A user of Redis may be without the right to ask.
local life = ''
local info = redis.pcall('INFO', 'replication')
if type(info) == 'string' then
  life = string.match(info, 'master_replid:(%w+)') or ''
end
return {has_lease, purges, redis.call('GET', KEYS[3]), life, live, dead}
