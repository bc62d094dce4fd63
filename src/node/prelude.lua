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
-- Tells who listens that lock i is free, and how many they are. Through pcall: a user without
-- channel rights has released all the same.
local function notify(i)
  local channel = 'released:' .. KEYS[i]
  local count = redis.pcall('PUBSUB', 'NUMSUB', channel)
  redis.pcall('PUBLISH', channel, type(count[2]) == 'number' and count[2] or '')
end
-- Raises every counter to one number, at least `floor`. They long outlive the locks, and what is
-- left in their place: twice `stay`.
local function raise(floor, step, stay)
  local fence, life = floor, math.max(604800000, 2 * stay)
  for i = n + 1, 2 * n do
    fence = math.max(fence, (tonumber(redis.call('GET', KEYS[i]) or 0) or 0) + step)
  end
  local text = string.format('%.0f', fence)
  for i = n + 1, 2 * n do
    -- Whoever knows of a shorter stay must not shorten it for somebody else's marker.
    local left = math.max(life, redis.call('PTTL', KEYS[i]))
    redis.call('SET', KEYS[i], text, 'PX', string.format('%.0f', left))
  end
  return text
end
