-- Removes from the outbox what was committed long enough ago.
--
-- KEYS  1 m · 3 o (2 u is not read)
-- ARGV  1 epoch of the row · 2 epoch and 3 number up to which (inclusive) entries go
-- Reply how many entries went; 0 where this is not the Redis that the fence opened for that epoch
--
-- Why atomic: a Redis of another history must keep its outbox, because only a fence pass knows what it is worth.
if redis.replicate_commands then redis.replicate_commands() end
local m = redis.call('HMGET', KEYS[1], 'replid', 'epoch')
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if m[1] ~= replid or m[2] ~= ARGV[1] then return 0 end
return redis.call('XTRIM', KEYS[3], 'MINID', string.format('%s-%d', ARGV[2], tonumber(ARGV[3]) + 1))
