-- Tells one bucket of L2 of row events, and moves told. Compare-and-set: refused unless told is what the teller thinks.
--
-- KEYS  1 told · 2 trail · 3... entries that the events name
-- ARGV  1 epoch, 2 identity, 3 place that told must hold (all empty: told must not be there)
--       4 epoch, 5 identity, 6 place that it shall hold; an epoch other than 1 begins a new one
--       7 time in ms of this server's clock as of which the place is the newest; empty: more of it follows, the time stays
--       8 for how many ms coordinates are kept in the trail; 0: this bucket keeps none
--       then of each event: number of its key in KEYS, row, fate, version (rust/cache/src/change.rs)
-- Reply {1, entries dropped}, or {0, epoch, identity, place} as told holds them.
--
-- Steps: compare; drop each entry that an event finds too old, keep what is newer; move told; once a second put the
-- coordinate into the trail, where readers that start find one that is old enough.
-- Why atomic: told says that the bucket's entries satisfy every event before its place.
if redis.replicate_commands then redis.replicate_commands() end
local told = redis.call('HMGET', KEYS[1], 'epoch', 'identity', 'place', 'time')
local epoch, identity, place = told[1] or '', told[2] or '', told[3] or ''
if epoch ~= ARGV[1] or identity ~= ARGV[2] or place ~= ARGV[3] then return { 0, epoch, identity, place } end

local entries = {}
local function versions_of(key)
  if entries[key] == nil then
    local held = redis.call('HMGET', key, 'v', 'e')
    local versions = false
    if held[1] and held[2] == ARGV[4] then
      versions = {}
      for row, version in string.gmatch(held[1], '(%d+):(%d+)') do versions[row] = tonumber(version) end
    end
    entries[key] = versions
  end
  return entries[key]
end
local function too_old(versions, row, fate, version)
  if fate == 'quarantine' or fate == 'written' then return true end
  -- The event of a deletion has the version that the row had.
  local least = tonumber(version) + (fate == 'gone' and 1 or 0)
  if versions[row] then return versions[row] < least end
  return fate == 'present' or fate == 'inserted'
end
local dropped = 0
for first = 9, #ARGV, 4 do
  local key = KEYS[tonumber(ARGV[first])]
  local versions = versions_of(key)
  if versions and too_old(versions, ARGV[first + 1], ARGV[first + 2], ARGV[first + 3]) then
    redis.call('DEL', key)
    entries[key] = false
    dropped = dropped + 1
  end
end

redis.call('HSET', KEYS[1], 'epoch', ARGV[4], 'identity', ARGV[5], 'place', ARGV[6])
if ARGV[7] ~= '' then
  local clock = redis.call('TIME')
  local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
  local before, time = tonumber(told[4] or 0), tonumber(ARGV[7])
  -- It goes back only where it lies in the future: this server's clock is another one's, or was set back.
  if before > now or time > before then redis.call('HSET', KEYS[1], 'time', ARGV[7]) end
  local kept = tonumber(ARGV[8])
  if kept > 0 then
    local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
    if not last[2] or tonumber(last[2]) > now or time >= tonumber(last[2]) + 1000 or epoch ~= ARGV[4] then
      redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - kept)
      redis.call('ZREMRANGEBYSCORE', KEYS[2], '(' .. now, '+inf')
      redis.call('ZADD', KEYS[2], time, ARGV[5] .. ' ' .. ARGV[6])
    end
  end
end
return { 1, dropped }
