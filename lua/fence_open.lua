-- Last step of a fence pass, after its commit in MySQL.
--
-- KEYS  1 m · 2 u · 3 o · 4 the new u · 5, 6: where the old u and o go
-- ARGV  1 token · 2 replid · 3 'adopt' or 'rebuild' · 4 life in s of what is put aside · then the fields of m
-- Reply 0: another pass or another server came between, nothing was done · 1: open
--
-- Steps: compare token and replid; for a rebuild put the old u and o aside and swap the new u in; write m anew, with the
-- replid, which opens it.
--
-- Why atomic: nobody sees the new epoch with the old winners. Until here the old keys stood where they were.
if redis.replicate_commands then redis.replicate_commands() end
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if replid ~= ARGV[2] or redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
if ARGV[3] == 'rebuild' then
  for at = 2, 3 do
    if redis.call('EXISTS', KEYS[at]) == 1 then
      redis.call('RENAME', KEYS[at], KEYS[at + 3])
      redis.call('EXPIRE', KEYS[at + 3], ARGV[4])
    end
  end
  if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('RENAME', KEYS[4], KEYS[2]) end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'replid', replid, unpack(ARGV, 5))
redis.call('PERSIST', KEYS[2])
redis.call('PERSIST', KEYS[3])
return 1
