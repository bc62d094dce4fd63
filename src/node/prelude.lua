-- Stands before every script. KEYS: the locks, then a fencing counter for each, in the same order.
local n = #KEYS / 2
-- The value under lock i; its type is looked at first, since a hash (Redisson's) is a holder too.
local function held(i)
  local kind = redis.call('TYPE', KEYS[i]).ok
  return kind, kind == 'string' and redis.call('GET', KEYS[i]) or ''
end
-- Ours = it begins with our token and a blank, the state "held".
local function ours(value, mark)
  return string.sub(value, 1, #mark) == mark
end
