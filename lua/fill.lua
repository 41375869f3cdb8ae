-- Stores entries of one bucket of L2, read from SQL by a worker whose reader has passed a coordinate.
--
-- KEYS  1 told · 2... entries
-- ARGV  1 epoch that the get gave · 2 identity, 3 place of the worker's coordinate · then d, v, life in ms of each entry
-- Reply {verdict, told's identity, told's place, stored, ...}: verdict 1: taken; 0: another epoch or another server;
--       -1: told is beyond the worker. `stored` of each entry (only with verdict 1): 1, or 0 where what is there is
--       newer.
--
-- Steps: the epoch and the identity must be told's, told must not be beyond the coordinate; then each entry, unless a
-- row of it is there with a higher version.
-- Why atomic: a tell that comes after the check would find the old entry not there yet, and not drop it.
local told = redis.call('HMGET', KEYS[1], 'epoch', 'identity', 'place')
if not told[1] or told[1] ~= ARGV[1] or told[2] ~= ARGV[2] then return { 0, told[2] or '', told[3] or '' } end
-- Places are of one width, so they compare as text.
if told[3] > ARGV[3] then return { -1, told[2], told[3] } end
local function newer(held, given)
  local versions = {}
  for row, version in string.gmatch(given, '(%d+):(%d+)') do versions[row] = tonumber(version) end
  for row, version in string.gmatch(held, '(%d+):(%d+)') do
    if versions[row] and tonumber(version) > versions[row] then return true end
  end
  return false
end
local reply = { 1, told[2], told[3] }
for place = 2, #KEYS do
  local key = KEYS[place]
  local data, versions, life = ARGV[place * 3 - 2], ARGV[place * 3 - 1], ARGV[place * 3]
  local held = redis.call('HMGET', key, 'v', 'e')
  if held[1] and held[2] == told[1] and newer(held[1], versions) then
    reply[#reply + 1] = 0
  else
    redis.call('HSET', key, 'd', data, 'v', versions, 'e', told[1])
    redis.call('PEXPIRE', key, life)
    reply[#reply + 1] = 1
  end
end
return reply
