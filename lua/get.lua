-- Reads entries of one bucket of L2, and how far the bucket was told.
--
-- KEYS  1 told · 2... entries
-- ARGV  1 the oldest that told may be for entries to be served, in ms
-- Reply {epoch, identity, place, told's age in ms, now in ms, entry, ...}; the first three are empty where nobody has
--       told. An entry is {d, v}, or false where it is not there or may not be served.
--
-- Steps: what the bucket was told, its age by this server's clock (a time in the future is no age), then each entry of
-- the bucket's epoch.
-- Why atomic: an entry is right as of told only while no tell comes between.
local told = redis.call('HMGET', KEYS[1], 'epoch', 'identity', 'place', 'time')
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local age = told[4] and now - tonumber(told[4]) or -1
local served = told[1] and age >= 0 and age <= tonumber(ARGV[1])
local reply = { told[1] or '', told[2] or '', told[3] or '', age, now }
for place = 2, #KEYS do
  local entry = false
  if served then
    local held = redis.call('HMGET', KEYS[place], 'd', 'v', 'e')
    if held[1] and held[2] and held[3] == told[1] then entry = { held[1], held[2] } end
  end
  reply[#reply + 1] = entry
end
return reply
