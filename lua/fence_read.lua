-- Reads a part of a closed bucket for the fence pass that closed it.
--
-- KEYS  1 m · 2 u · 3 o
-- ARGV  1 token · 2 replid · 3 'winners' or 'outbox' · 4 where to go on: cursor of HSCAN ('0' first), id of XRANGE
--       · 5 how many
-- Reply {0}: this is not the pass's Redis any more, give up · winners: {1, next cursor, {user, records, ...}}
--       · outbox: {1, {entry, ...}}
--
-- Why atomic: the comparison and the read are of one server at one moment.
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if replid ~= ARGV[2] or redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return {0} end
if ARGV[3] == 'winners' then
  local read = redis.call('HSCAN', KEYS[2], ARGV[4], 'COUNT', ARGV[5])
  return {1, read[1], read[2]}
end
return {1, redis.call('XRANGE', KEYS[3], ARGV[4], '+', 'COUNT', ARGV[5])}
