-- Says whether other buckets of the activity may have stock: what a claim is told when this one has none.
--
-- KEYS  1 m
-- ARGV  1 epoch of the row, '' is any · 2 '1': they may · '0': nothing is left anywhere, a claim is told SOLD_OUT
-- Reply 1: noted · 0: NOT_READY or another epoch, or '0' and something is left here
--
-- Why atomic: SOLD_OUT is never said by a bucket that has stock itself, or of a history that the row does not know.
if redis.replicate_commands then redis.replicate_commands() end
local m = redis.call('HMGET', KEYS[1], 'replid', 'epoch', 'left')
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if m[1] ~= replid or (ARGV[1] ~= '' and m[2] ~= ARGV[1]) then return 0 end
if ARGV[2] == '0' and tonumber(m[3]) > 0 then return 0 end
redis.call('HSET', KEYS[1], 'elsewhere', ARGV[2])
return 1
