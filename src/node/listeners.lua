-- Stands before the scripts that tell how many wait. How many listen for the release of `key`, or
-- nothing where that may not be asked.
local function listeners(key)
  local count = redis.pcall('PUBSUB', 'NUMSUB', 'released:' .. key)
  return type(count[2]) == 'number' and tostring(count[2]) or ''
end
