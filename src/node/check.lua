-- Stands before the scripts that may find a lock taken. What is told of somebody else's lock.
local function foreign(i, kind, value)
  local digest = kind == 'string' and redis.sha1hex(value) or ''
  local pttl = tostring(redis.call('PTTL', KEYS[i]))
  return {'foreign', KEYS[i], kind, string.sub(value, 1, 512), digest, pttl}
end
-- The first lock that is somebody else's, and how many are gone.
local function check(mark)
  local gone = 0
  for i = 1, n do
    local kind, value = held(i)
    if kind == 'none' then gone = gone + 1
    elseif not ours(value, mark) then return foreign(i, kind, value), gone end
  end
  return nil, gone
end
