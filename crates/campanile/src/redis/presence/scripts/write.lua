-- Makes a channel's sessions of one node what they are to be.
-- KEYS[3]: node -> its sessions. KEYS[4]: client -> entry, of the node; KEYS[5..]: of its lives before.
-- ARGV[1]: the ids that go with KEYS[4..]. Then: client, entry ('' to remove it), client, entry...
-- Returns how many the node has here now, and for each client in which of these lives it was found
-- (1 is the present one, 0 in none).
local lives, ids = #KEYS - 3, {}
for life = 1, lives do
  ids[life] = string.sub(ARGV[1], life * 8 - 7, life * 8)
end

local found = {}
for at = 2, #ARGV, 2 do
  local client, entry = ARGV[at], ARGV[at + 1]
  local user = entry ~= '' and user_of(entry)
  local where, is_counted = 0, false
  for life = 1, lives do
    local known = redis.call('HGET', KEYS[3 + life], client)
    if known then
      where = life
      if life == 1 and user == user_of(known) then
        is_counted = true
      else
        count(user_of(known), ids[life], -1)
      end
      if life > 1 or not user then
        redis.call('HDEL', KEYS[3 + life], client)
      end
    end
  end
  if user then
    redis.call('HSET', KEYS[4], client, entry)
    if not is_counted then
      count(user, ids[1], 1)
    end
  end
  found[#found + 1] = where
end

local mine = 0
for life = lives, 1, -1 do
  mine = redis.call('HLEN', KEYS[3 + life])
  if mine > 0 then
    redis.call('HSET', KEYS[3], ids[life], mine)
  else
    redis.call('HDEL', KEYS[3], ids[life])
  end
end
return {mine, found}
