-- What every script that touches a stream begins with.
--
-- A stream is a hash of its metadata (KEYS[1]) and a Redis stream of its publications (KEYS[2]), whose
-- entries have the publications' offsets for ids. In the hash: e the epoch, o the newest offset, g the
-- generation that last touched it, l the generations before with the offset that each began at (f is
-- that of g), t its lifetime in ms, v and w the version published last and its epoch.
--
-- A generation is one life of one primary: the id of its replication changes with every start and
-- every promotion. Whoever may not ask for it lives in generation 0 for ever.

local info = redis.pcall('INFO', 'replication')
local generation = type(info) == 'string' and string.match(info, 'master_replid:(%x%x%x%x%x%x%x%x%x%x%x%x%x)') or '0000000000000'

-- The epoch of streams that begin now, at KEYS[3]: one for the whole store (in a cluster, for a slot),
-- so that asking for a channel that was never published to stores nothing of it. It ends before any
-- stream's metadata can be forgotten, whoever is configured with the shortest lifetime, and with the
-- generation, which may have forgotten streams. A store that is full may have forgotten one before its
-- time: whoever saw more of this epoch than there is ends it too.
local function era(fresh, ttl, seen_epoch, seen_offset)
  local known = redis.call('GET', KEYS[3])
  if known and string.sub(known, 1, 13) == generation then
    local epoch = string.sub(known, 14)
    if epoch ~= seen_epoch or tonumber(seen_offset) == 0 then
      if redis.call('PTTL', KEYS[3]) > tonumber(ttl) then
        redis.call('PEXPIRE', KEYS[3], ttl)
      end
      return epoch
    end
  end
  redis.call('SET', KEYS[3], generation .. fresh, 'PX', ttl)
  return fresh
end

-- Whether the end of the stream was lost that somebody saw: it was there in generation `seen`, and
-- one that came after that began with less.
local function is_lost(meta, seen_offset, seen)
  local is_after, is_found = false, false
  local least
  local line = (redis.call('HGET', KEYS[1], 'l') or '') .. meta.g .. ':' .. meta.f .. ';'
  for g, f in string.gmatch(line, '(%x+):(%d+);') do
    f = tonumber(f)
    if is_after and seen_offset > f then
      return true
    end
    if g == seen then
      is_after, is_found = true, true
    end
    if not least or f < least then
      least = f
    end
  end
  -- That generation's mark was lost as well, or is too long ago.
  return not is_found and seen_offset > least
end

-- Begins the stream again.
local function restart(meta, epoch)
  redis.call('DEL', KEYS[2])
  redis.call('HDEL', KEYS[1], 'v', 'w', 'l')
  redis.call('HSET', KEYS[1], 'e', epoch, 'o', 0, 'g', generation, 'f', 0)
  meta.e, meta.o, meta.g, meta.f = epoch, 0, generation, 0
end

-- Reads the metadata; nil where there is none. Makes a mark where a generation begins, and begins the
-- stream again where its end was lost.
local function touch(fresh, seen_epoch, seen_offset, seen_generation)
  local found = redis.call('HMGET', KEYS[1], 'e', 'o', 'g', 'f')
  if not found[1] then
    return nil
  end
  local meta = { e = found[1], o = tonumber(found[2]), g = found[3], f = found[4] }
  if meta.g ~= generation then
    local line = (redis.call('HGET', KEYS[1], 'l') or '') .. meta.g .. ':' .. meta.f .. ';'
    -- Eight generations are remembered; who is older than that is asked to begin again.
    while select(2, string.gsub(line, ';', '')) > 8 do
      line = string.gsub(line, '^[^;]*;', '')
    end
    redis.call('HSET', KEYS[1], 'l', line, 'g', generation, 'f', meta.o)
    meta.g, meta.f = generation, meta.o
  end
  if seen_epoch == meta.e then
    local offset = tonumber(seen_offset)
    -- The second is all that can be known where generations are not told apart.
    if seen_generation ~= generation and is_lost(meta, offset, seen_generation) or offset > meta.o then
      restart(meta, fresh)
    end
  end
  return meta
end
