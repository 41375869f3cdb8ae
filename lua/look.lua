-- Shows the state of one bucket as it is now.
--
-- KEYS  1 m
-- Reply {open (1 or 0), now in ms, field, value, ... of m}; no fields where m is absent
--
-- Why atomic: the fields belong together, and `open` says whether this is the Redis that the fence opened.
if redis.replicate_commands then redis.replicate_commands() end
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local time = redis.call('TIME')
local reply = {
  redis.call('HGET', KEYS[1], 'replid') == replid and 1 or 0,
  tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000),
}
for _, part in ipairs(redis.call('HGETALL', KEYS[1])) do reply[#reply + 1] = part end
return reply
