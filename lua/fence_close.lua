-- First step of a fence pass: from here on nobody claims, and the pass alone may read and write.
--
-- KEYS  1 m
-- ARGV  1 token, fresh
-- Reply {replid of this server, now in ms, field, value, ... of m as it was}; no fields where m is absent or a stub
--
-- Steps: m loses its replid and gets the token; where m is absent a stub that holds nothing else is made.
--
-- Why atomic: what is returned is what m holds until the pass opens it: no claim comes between.
if redis.replicate_commands then redis.replicate_commands() end
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local time = redis.call('TIME')
local reply = {replid, tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)}
if redis.call('HEXISTS', KEYS[1], 'epoch') == 1 then
  for _, part in ipairs(redis.call('HGETALL', KEYS[1])) do reply[#reply + 1] = part end
end
redis.call('HSET', KEYS[1], 'replid', '', 'token', ARGV[1])
redis.call('PERSIST', KEYS[1])
return reply
