-- Lets the keys of a settled activity go: from now on MySQL answers for it.
--
-- KEYS  1 m · 2 u · 3 o
-- ARGV  1 epoch of the row · 2 life in s
-- Reply 1: done · 0: another epoch
--
-- Why atomic: the three keys end together. A fence pass would make them stay (were the settling lost by MySQL).
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[2]) end
return 1
