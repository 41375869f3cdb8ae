-- Decides a batch of claims of one bucket of an activity, in the order given.
--
-- KEYS  1 m: the bucket's state (hash) · 2 u: user -> records of its wins (hash) · 3 o: the outbox (stream)
-- ARGV  1 kind of the wins: 'W' (won) or 'T' (tried) · then per claim: user id, request hash (16 bytes); 1,000 at most
-- Reply {0}: NOT_READY, nothing was done
--       {1, left, now in ms, start in ms, verdict per claim...}; a verdict is the number of the win, or
--       -1 NOT_STARTED, -2 ENDED, -3 SOLD_OUT, -4 LIMIT_REACHED, -5 PAUSED, -6 CANCELLED, -7 FAILED, -8 EMPTY: nothing
--       is left here, and other buckets of the activity may have stock (m says `elsewhere`)
--
-- Steps: is this the Redis that the fence opened? Then each claim: a request that has won gets its number again, also
-- after the end; else window, pause, limit, stock. Wins go to the outbox as one entry, then to u, then to m.
--
-- Why atomic: stock, winners and outbox move together or not at all. A script is not rolled back, so the only command
-- that Redis can refuse (XADD) comes before those that it cannot.
--
-- A record of u is 27 bytes: request hash (16), number (4), claim time in ms (6), state (1: W, T, C cancelled, F failed).
-- A win in the outbox is: length of the user id (1), user id, request hash (16), kind (1).
if redis.replicate_commands then redis.replicate_commands() end
local RECORD = 27
local NOT_STARTED, ENDED, SOLD_OUT, LIMIT_REACHED, PAUSED, CANCELLED, FAILED, EMPTY = -1, -2, -3, -4, -5, -6, -7, -8

local m = redis.call('HMGET', KEYS[1], 'replid', 'epoch', 'number', 'left', 'start', 'end', 'limit', 'paused',
  'template_paused', 'ended', 'elsewhere')
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if m[1] ~= replid then return {0} end

local epoch, number, left = m[2], tonumber(m[3]), tonumber(m[4])
local starts, ends, limit = tonumber(m[5]), tonumber(m[6]), tonumber(m[7])
local paused, over = m[8] == '1' or m[9] == '1', m[10] == '1'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- A batch has hundreds of claims: what is looked up for each of them is local, and lists know their own length.
local string, struct, char = string, struct, string.char
local users, hashes, claims = {}, {}, 0
for at = 2, #ARGV, 2 do
  claims = claims + 1
  users[claims], hashes[claims] = ARGV[at], ARGV[at + 1]
end
local stored = redis.call('HMGET', KEYS[2], unpack(users))

local kind, first = ARGV[1], number + 1
local closed = (over or now >= ends) and ENDED or now < starts and NOT_STARTED or paused and PAUSED
local sold_out = m[11] == '1' and EMPTY or SOLD_OUT
local won_now = struct.pack('>I6', now) .. kind
local records, changed, users_changed = {}, {}, 0
local outbox, parts = {}, 0
local reply = {1, 0, now, starts}
for i = 1, claims do
  local user, hash = users[i], hashes[i]
  local own = records[user] or stored[i]
  local verdict, held = nil, 0
  if own then
    for at = 1, #own, RECORD do
      local state = string.sub(own, at + 26, at + 26)
      if string.sub(own, at, at + 15) == hash then
        verdict = state == 'C' and CANCELLED or state == 'F' and FAILED or struct.unpack('>I4', own, at + 16)
        break
      end
      if state == 'W' or state == 'T' then held = held + 1 end
    end
  end
  if not verdict then
    if closed then verdict = closed
    elseif held >= limit then verdict = LIMIT_REACHED
    elseif left <= 0 then verdict = sold_out
    else
      number, left = number + 1, left - 1
      verdict = number
      if not records[user] then
        users_changed = users_changed + 1
        changed[users_changed] = user
      end
      local record = hash .. struct.pack('>I4', number) .. won_now
      records[user] = own and own .. record or record
      outbox[parts + 1], outbox[parts + 2], outbox[parts + 3], outbox[parts + 4] = char(#user), user, hash, kind
      parts = parts + 4
    end
  end
  reply[i + 4] = verdict
end
reply[2] = left

if parts > 0 then
  local last = string.format('%d', number)
  redis.call('XADD', KEYS[3], epoch .. '-' .. last, 'first', string.format('%d', first),
    'ms', string.format('%d', now), 'wins', table.concat(outbox))
  local pairs_of_u = {}
  for i, user in ipairs(changed) do
    pairs_of_u[2 * i - 1], pairs_of_u[2 * i] = user, records[user]
  end
  redis.call('HSET', KEYS[2], unpack(pairs_of_u))
  redis.call('HSET', KEYS[1], 'number', last, 'left', string.format('%d', left))
end
return reply
