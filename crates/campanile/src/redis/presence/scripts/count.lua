-- Before `write` and `purge`, which count users.
-- KEYS[1]: user -> on which nodes, 8 bytes of a node's id and 4 of its sessions for each.
-- KEYS[2]: ids of nodes -> how many users are on just these.

local function user_of(entry)
  local len = struct.unpack('>I4', entry, 2)
  return string.sub(entry, 6, 5 + len)
end

local function nodes_of(record)
  local ids = {}
  for at = 1, #record, 12 do
    ids[#ids + 1] = string.sub(record, at, at + 7)
  end
  return table.concat(ids)
end

local function note(ids, by)
  if ids ~= '' and redis.call('HINCRBY', KEYS[2], ids, by) == 0 then
    redis.call('HDEL', KEYS[2], ids)
  end
end

local function count(user, id, by)
  local record = redis.call('HGET', KEYS[1], user) or ''
  local at, sessions, next = #record + 1, 0, nil
  for place = 1, #record, 12 do
    local other = string.sub(record, place, place + 7)
    if other == id then
      at, sessions, next = place, struct.unpack('>I4', record, place + 8), place + 12
      break
    elseif other > id and place < at then
      at = place
    end
  end
  local now = string.sub(record, 1, at - 1)
  if sessions + by > 0 then
    now = now .. id .. struct.pack('>I4', sessions + by)
  end
  now = now .. string.sub(record, next or at)
  if (sessions > 0) ~= (sessions + by > 0) then
    note(nodes_of(record), -1)
    note(nodes_of(now), 1)
  end
  if now == '' then
    redis.call('HDEL', KEYS[1], user)
  else
    redis.call('HSET', KEYS[1], user, now)
  end
end
