-- Brings window, limit and pause of an activity, and the pause of its template, to Redis.
--
-- KEYS  1 m
-- ARGV  1 epoch of the row · 2 version of the activity's row · 3 start in ms · 4 end in ms · 5 limit · 6 paused (1, 0)
--       · 7 version of the template's row · 8 template paused (1, 0)
-- Reply 0: NOT_READY or another epoch (the fence pass reads the rows itself) · 1: m is at least as new as what was given
--
-- Why atomic: a version and what it brings are written together; an older one that comes late changes nothing.
if redis.replicate_commands then redis.replicate_commands() end
local m = redis.call('HMGET', KEYS[1], 'replid', 'epoch', 'version', 'template_version')
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if m[1] ~= replid or m[2] ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) > tonumber(m[3]) then
  redis.call('HSET', KEYS[1], 'version', ARGV[2], 'start', ARGV[3], 'end', ARGV[4], 'limit', ARGV[5], 'paused', ARGV[6])
end
if tonumber(ARGV[7]) > tonumber(m[4]) then
  redis.call('HSET', KEYS[1], 'template_version', ARGV[7], 'template_paused', ARGV[8])
end
return 1
