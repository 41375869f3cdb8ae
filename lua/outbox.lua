-- Reads what the persister has not written yet.
--
-- KEYS  1 m · 3 o (2 u is not read)
-- ARGV  1 epoch of the row · 2 number after which to read · 3 wins wanted: reading stops with the entry that reaches it
-- Reply {} where m is absent or a stub · else {epoch of m, number of m, entries of the outbox (id, fields)}; no entries
--       where the epochs differ
--
-- Why atomic: `number` and the entries are of one moment, so that a number without an entry is a gap and no race.
local m = redis.call('HMGET', KEYS[1], 'epoch', 'number')
if not m[1] then return {} end
local entries = {}
if m[1] == ARGV[1] then
  local last, wanted = tonumber(ARGV[2]), tonumber(ARGV[2]) + tonumber(ARGV[3])
  while last < wanted do
    local from = string.format('%s-%d', ARGV[1], last + 1)
    local read = redis.call('XRANGE', KEYS[3], from, ARGV[1] .. '-18446744073709551615', 'COUNT', 8)
    for _, entry in ipairs(read) do
      entries[#entries + 1] = entry
      last = tonumber(string.match(entry[1], '%-(%d+)$'))
      if last >= wanted then break end
    end
    if #read < 8 then break end
  end
end
return {m[1], m[2], entries}
