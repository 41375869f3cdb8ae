-- Fills the winners hash of a rebuild beside the old one.
--
-- KEYS  1 m · 2 the new u, named by the token
-- ARGV  1 token · 2 replid · 3 life of the new u in s · then per user: user id, records
-- Reply 0: this is not the pass's Redis any more, give up · 1: done
--
-- Why atomic: the comparison and the write are of one server at one moment. The life removes what a pass that ended
-- half way leaves.
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if replid ~= ARGV[2] or redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
