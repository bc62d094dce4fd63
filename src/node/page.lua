-- Looks at many locks and changes nothing. KEYS: the locks, then their fencing counters. Five
-- answers for each lock: type, value, digest, rest of life, counter.
local seen = {}
for i = 1, n do
  local kind, value = held(i)
  local one = foreign(i, kind, value)
  local counter = redis.pcall('GET', KEYS[n + i])
  counter = type(counter) == 'string' and string.sub(counter, 1, 32) or ''
  local at = 5 * (i - 1)
  seen[at + 1], seen[at + 2], seen[at + 3], seen[at + 4] = one[3], one[4], one[5], one[6]
  seen[at + 5] = counter
end
return seen
