-- Applies one adjustment: a restock, a decrease, what a move takes, the end, or a cancelled win.
--
-- KEYS  1 m · 2 u
-- ARGV  1 epoch of the row · 2 place of the adjustment in the activity's order · 3 unique id of the one before it
--       ('' for the first) · 4 its own unique id · 5 'stock', 'take', 'end' or 'cancel' · 6 delta: 'stock' is refused where
--       less is left, 'take' takes what is left and no more, 'end' takes all; of 'cancel' ignored, one unit comes back
--       · 'cancel' only: 7 user id · 8 request hash (16 bytes) · 9 number · 10 claim time in ms
-- Reply {0}: NOT_READY, another epoch, or m knows another history and is now closed: a fence pass puts it right
--       {1 applied or 2 refused, delta that was applied, left, total} as of the moment of the decision
--
-- Steps: epoch; is it the next one after the one before? Then decide and remember the result. Is it the last one
-- again? Then answer what was remembered. Anything else closes m.
--
-- Why atomic: stock moves, a cancelled win gives its user's place back, and the adjustment is noted in one step, so that a
-- repeat after a crash finds its result.
if redis.replicate_commands then redis.replicate_commands() end
local RECORD = 27
local m = redis.call('HMGET', KEYS[1], 'replid', 'epoch', 'left', 'total', 'adj_place', 'adj_id', 'adj_result',
  'adj_delta', 'adj_left', 'adj_total')
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if m[1] ~= replid or m[2] ~= ARGV[1] then return {0} end

local place, last = tonumber(ARGV[2]), tonumber(m[5])
if place == last and m[6] == ARGV[4] then
  return {tonumber(m[7]), tonumber(m[8]), tonumber(m[9]), tonumber(m[10])}
end
if place ~= last + 1 or m[6] ~= ARGV[3] then
  redis.call('HSET', KEYS[1], 'replid', '')
  return {0}
end

local left, total = tonumber(m[3]), tonumber(m[4])
local kind, delta, result = ARGV[5], tonumber(ARGV[6]), 1
if kind == 'cancel' then
  -- A pass may have left the record as it was or cancelled; where it is absent, the request must still be known.
  local own, number, found = redis.call('HGET', KEYS[2], ARGV[7]) or '', tonumber(ARGV[9]), false
  for at = 1, #own, RECORD do
    if string.sub(own, at, at + 15) == ARGV[8] and struct.unpack('>I4', own, at + 16) == number then
      own, found = string.sub(own, 1, at + 25) .. 'C' .. string.sub(own, at + 27), true
      break
    end
  end
  if not found then own = own .. ARGV[8] .. struct.pack('>I4I6', number, tonumber(ARGV[10])) .. 'C' end
  redis.call('HSET', KEYS[2], ARGV[7], own)
  left, delta = left + 1, 1
else
  -- An increase is in MySQL's total already, so it is never refused. Before it, left can be negative: wins that a loss
  -- of commits brought back were taken against that total.
  if kind == 'end' then delta = -left
  elseif kind == 'take' then delta = -math.max(0, math.min(left, -delta))
  elseif delta < 0 and left + delta < 0 then result, delta = 2, 0 end
  left, total = left + delta, total + delta
end
redis.call('HSET', KEYS[1], 'left', string.format('%d', left), 'total', string.format('%d', total),
  'adj_place', ARGV[2], 'adj_id', ARGV[4], 'adj_result', result, 'adj_delta', string.format('%d', delta),
  'adj_left', string.format('%d', left), 'adj_total', string.format('%d', total))
if kind == 'end' then redis.call('HSET', KEYS[1], 'ended', '1') end
return {result, delta, left, total}
