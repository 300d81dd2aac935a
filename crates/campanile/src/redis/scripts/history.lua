-- Reads a part of a stream, and where it is.
--
-- KEYS: 1 metadata, 2 stream, 3 era.
-- ARGV: 1 a fresh epoch, 2-4 epoch, offset and generation that were seen, 5 lifetime of an era in ms,
--       6 first id, 7 last id, in the order asked for, 8 '1' for the newest first, 9 publications at
--       most, 10 bytes at most, 11 bytes that each counts beside its own, 12 '1' if somebody listens,
--       for whom the metadata is kept.
-- Answers: generation, epoch, newest offset, then ids and publications in turn.

local meta = touch(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if not meta then
  return { generation, era(ARGV[1], ARGV[5], ARGV[2], ARGV[3]), '0' }
end
if ARGV[12] == '1' then
  local lifetime = redis.call('HGET', KEYS[1], 't')
  if redis.call('PTTL', KEYS[1]) < lifetime / 2 then
    redis.call('PEXPIRE', KEYS[1], lifetime)
  end
end

local answer = { generation, meta.e, string.format('%.0f', meta.o) }
local limit, bytes = tonumber(ARGV[9]), tonumber(ARGV[10])
local from = ARGV[6]
-- In parts, since what is asked for is bounded in bytes too, and Redis knows counts only.
while limit > 0 do
  local count = math.min(limit, 64)
  local part
  if ARGV[8] == '1' then
    part = redis.call('XREVRANGE', KEYS[2], from, ARGV[7], 'COUNT', count)
  else
    part = redis.call('XRANGE', KEYS[2], from, ARGV[7], 'COUNT', count)
  end
  for _, entry in ipairs(part) do
    local data = entry[2][2]
    bytes = bytes - #data - ARGV[11]
    if bytes < 0 then
      return answer
    end
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = data
  end
  if #part < count then
    break
  end
  limit = limit - count
  from = '(' .. part[#part][1]
end
return answer
