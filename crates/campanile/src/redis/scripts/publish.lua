-- Publishes: into the stream, with a key, or both; and tells all nodes.
--
-- KEYS: 1 metadata, 2 stream, 3 era; with an idempotency key 4 outcomes by key, 5 the keys by age.
-- ARGV: 1 a fresh epoch, 2-4 epoch, offset and generation that were seen, 5 lifetime of an era in ms,
--       6 publications kept (0 for none), 7 their lifetime in ms, 8 that of the metadata in ms,
--       9 the publication, 10 '1' for the one before it too, 11 idempotency key, 12 lifetime of a key
--       in ms, 13 keys that are remembered at most, 14 version with leading zeros ('' for none), 15 its
--       epoch, 16 PUBLISH or SPUBLISH, 17 where to.
-- Answers: what happened (0 published, 1 repeated, 2 older, 3 too many keys), the generation, and where
--       there is one: epoch and offset of the outcome, then those of the stream.

local is_kept = ARGV[6] ~= '0'
local meta
if is_kept then
  meta = touch(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
end

local key = ARGV[11]
local now
if key ~= '' then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
  local known = redis.call('HGET', KEYS[4], key)
  if known then
    local expires, epoch, offset = string.match(known, '^(%d+) (%S*) (%d+)$')
    if tonumber(expires) > now then
      if not meta then
        return { 1, generation, epoch, offset }
      end
      return { 1, generation, epoch, offset, meta.e, string.format('%.0f', meta.o) }
    end
  end
  local old = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now, 'LIMIT', 0, 100)
  if #old > 0 then
    redis.call('HDEL', KEYS[4], unpack(old))
    redis.call('ZREM', KEYS[5], unpack(old))
  end
  if redis.call('ZCARD', KEYS[5]) >= tonumber(ARGV[13]) then
    return { 3, generation }
  end
end

local epoch, offset, previous = '', 0, ''
if is_kept then
  if meta and ARGV[14] ~= '' then
    local seen = redis.call('HMGET', KEYS[1], 'v', 'w')
    if seen[1] and (ARGV[15] == '' or ARGV[15] == seen[2]) and ARGV[14] <= seen[1] then
      local top = string.format('%.0f', meta.o)
      return { 2, generation, meta.e, top, meta.e, top }
    end
  end
  if meta then
    epoch, offset = meta.e, meta.o + 1
    redis.call('HSET', KEYS[1], 'o', string.format('%.0f', offset), 't', ARGV[8])
  else
    -- What was forgotten before its time by a store that is full goes all together.
    redis.call('DEL', KEYS[2])
    epoch, offset = era(ARGV[1], ARGV[5], ARGV[2], ARGV[3]), 1
    redis.call('HSET', KEYS[1], 'e', epoch, 'o', 1, 't', ARGV[8], 'g', generation, 'f', 0)
  end
  if ARGV[14] ~= '' then
    redis.call('HSET', KEYS[1], 'v', ARGV[14], 'w', ARGV[15])
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[8])
  if ARGV[10] == '1' then
    local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
    if last then
      previous = last[2][2]
    end
  end
  redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[6], string.format('%.0f-0', offset), 'd', ARGV[9])
  redis.call('PEXPIRE', KEYS[2], ARGV[7])
end

local text = string.format('%.0f', offset)
if now then
  local expires = now + ARGV[12]
  redis.call('HSET', KEYS[4], key, string.format('%.0f %s %s', expires, epoch, text))
  redis.call('ZADD', KEYS[5], string.format('%.0f', expires), key)
  redis.call('PEXPIRE', KEYS[4], ARGV[12])
  redis.call('PEXPIRE', KEYS[5], ARGV[12])
end

local message = struct.pack('>BBI8I8Bc0I4c0I4c0', 1, 1, tonumber(generation, 16), offset, #epoch, epoch, #ARGV[9], ARGV[9], #previous, previous)
redis.call(ARGV[16], ARGV[17], message)
return { 0, generation, epoch, text, epoch, text }
