-- Stands before the scripts that set fencing counters. Raises every counter to one number, at least
-- `floor`. They long outlive the locks, and what is left in their place: twice `stay`.
local function raise(floor, step, stay)
  local fence, life = floor, math.max(604800000, 2 * stay)
  for i = n + 1, 2 * n do
    local stands = tonumber(redis.pcall('GET', KEYS[i])) or 0
    -- 2^52: no clock of ours comes so far, and from 2^53 on a number plus one is no larger number.
    if not (stands < 4503599627370496) then stands = 0 end
    fence = math.max(fence, stands + step)
  end
  local text = string.format('%.0f', fence)
  for i = n + 1, 2 * n do
    -- Whoever knows of a shorter stay must not shorten it for somebody else's marker.
    local left = math.max(life, redis.call('PTTL', KEYS[i]))
    redis.call('SET', KEYS[i], text, 'PX', string.format('%.0f', left))
  end
  return text
end
