-- Says which wins this Redis has, and writes something, so that a WAIT behind it on the same connection is a proof.
--
-- KEYS  1 m · 2 u (3 o is not read)
-- ARGV  per win: user id, request hash (16 bytes), number
-- Reply {0}: NOT_READY, nothing was done
--       {1, state per win...}: 'W', 'T', 'C' cancelled, 'F' failed, or '' where this Redis does not have it
--
-- Steps: is this the Redis that the fence opened? Then look, and note the time in m.
--
-- Why atomic: what was looked at was written before the note, on this server; a replica that has the note has the wins.
if redis.replicate_commands then redis.replicate_commands() end
local RECORD = 27
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if redis.call('HGET', KEYS[1], 'replid') ~= replid then return {0} end

local reply = {1}
for i = 1, #ARGV, 3 do
  local own, state = redis.call('HGET', KEYS[2], ARGV[i]) or '', ''
  for at = 1, #own, RECORD do
    if string.sub(own, at, at + 15) == ARGV[i + 1] and struct.unpack('>I4', own, at + 16) == tonumber(ARGV[i + 2]) then
      state = string.sub(own, at + 26, at + 26)
      break
    end
  end
  reply[#reply + 1] = state
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'confirmed', time[1] .. '.' .. time[2])
return reply
