-- Counts one bucket for the audit.
--
-- KEYS  1 m · 2 u · 3 o
-- ARGV  1 epoch of the row · 2 number after which the outbox is counted
-- Reply {live wins, failed since the last fence pass, cancelled, most live wins of a user, numbers that occur twice,
--        wins in the outbox beyond the number, then field, value, ... of m}
--
-- Why atomic: sums are compared, so all of them are of one moment. Redis does nothing else meanwhile (about one second
-- a million winners): run it when the rush is over.
local RECORD = 27
local m = redis.call('HGETALL', KEYS[1])
local base = tonumber(redis.call('HGET', KEYS[1], 'base') or 0)
local live, failed, cancelled, most, twice, seen = 0, 0, 0, 0, 0, {}
local cursor = '0'
local users = {}
repeat
  local read = redis.call('HSCAN', KEYS[2], cursor, 'COUNT', 1000)
  cursor = read[1]
  for i = 1, #read[2], 2 do
    local user, own = read[2][i], read[2][i + 1]
    if not users[user] then
      users[user] = true
      local held = 0
      for at = 1, #own, RECORD do
        local number, state = struct.unpack('>I4', own, at + 16), string.sub(own, at + 26, at + 26)
        if seen[number] then twice = twice + 1 end
        seen[number] = true
        if state == 'W' or state == 'T' then held = held + 1
        elseif state == 'C' then cancelled = cancelled + 1
        elseif number > base then failed = failed + 1 end
      end
      live, most = live + held, math.max(most, held)
    end
  end
until cursor == '0'
local waiting, after = 0, tonumber(ARGV[2])
for _, entry in ipairs(redis.call('XRANGE', KEYS[3], string.format('%s-%d', ARGV[1], after + 1), '+')) do
  if string.match(entry[1], '^(%d+)%-') == ARGV[1] then
    local last, first = tonumber(string.match(entry[1], '%-(%d+)$')), tonumber(entry[2][2])
    waiting = waiting + last - math.max(first, after + 1) + 1
  end
end
local reply = {live, failed, cancelled, most, twice, waiting}
for _, part in ipairs(m) do reply[#reply + 1] = part end
return reply
