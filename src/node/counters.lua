-- Stands before the scripts that set fencing counters. Raises every counter to one number, at least
-- `floor`. They long outlive the locks, and what is left in their place: twice `stay`.
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
