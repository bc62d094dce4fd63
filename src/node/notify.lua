-- Stands before the scripts that release locks. Tells who listens that lock i is free, and how many
-- they are. Through pcall: a user without channel rights has released all the same.
local function notify(i)
  local channel = 'released:' .. KEYS[i]
  local count = redis.pcall('PUBSUB', 'NUMSUB', channel)
  redis.pcall('PUBLISH', channel, type(count[2]) == 'number' and count[2] or '')
end
