-- Looks at one lock and changes nothing. KEYS: the lock, its fencing counter.
local counter = redis.pcall('GET', KEYS[2])
local about = {
  run,
  string.match(info, 'uptime_in_seconds:(%d+)') or '',
  type(counter) == 'string' and string.sub(counter, 1, 32) or '',
}
local kind, value = held(1)
if kind == 'none' then return {'free', about[1], about[2], about[3]} end
local seen = foreign(1, kind, value)
for i = 1, 3 do seen[6 + i] = about[i] end
seen[10] = print_of(1, kind, value)
return seen
