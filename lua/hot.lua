-- Adds what a worker answered most to the fleet's list of hot keys, and lets older counts fade. One script, because
-- two workers that fade at once would fade twice, and the bound must hold after every report.
-- KEYS[1] sorted set: "kind:key" -> faded count    KEYS[2] when it last faded, ms by this server's clock
-- ARGV[1] half-life in ms    ARGV[2] most members    ARGV[3] life of both keys in ms    then member, count, ...
-- Reply: members held.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local half_life = tonumber(ARGV[1])
local faded = tonumber(redis.call('GET', KEYS[2]) or now)
local age = now - faded
-- Fading touches every member, so it is done in steps; a clock that went back starts anew.
if age < 0 or age >= half_life / 16 then
  if age > 0 then
    redis.call('ZUNIONSTORE', KEYS[1], 1, KEYS[1], 'WEIGHTS', 0.5 ^ (age / half_life))
  end
  faded = now
end
redis.call('SET', KEYS[2], string.format('%.0f', faded), 'PX', ARGV[3])
for place = 4, #ARGV, 2 do
  redis.call('ZINCRBY', KEYS[1], ARGV[place + 1], ARGV[place])
end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[2]) - 1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('ZCARD', KEYS[1])
