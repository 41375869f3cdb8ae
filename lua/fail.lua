-- Notes wins that could not become coupons, so that their repeats are answered FAILED and they hold no place of the limit.
--
-- KEYS  1 m · 2 u
-- ARGV  1 epoch of the row · then per win: user id, request hash (16 bytes), number
-- Reply how many were found and noted; 0 also for another epoch
--
-- Why atomic: a user's records are read and written back in one step.
local RECORD = 27
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
local noted = 0
for i = 2, #ARGV, 3 do
  local own = redis.call('HGET', KEYS[2], ARGV[i]) or ''
  for at = 1, #own, RECORD do
    if string.sub(own, at, at + 15) == ARGV[i + 1] and struct.unpack('>I4', own, at + 16) == tonumber(ARGV[i + 2]) then
      redis.call('HSET', KEYS[2], ARGV[i], string.sub(own, 1, at + 25) .. 'F' .. string.sub(own, at + 27))
      noted = noted + 1
      break
    end
  end
end
return noted
