-- Stands before the scripts that release locks. Tells who listens that lock i is free, and how many
-- they are. Through pcall: a user without channel rights has released all the same.
local function notify(i)
  redis.pcall('PUBLISH', 'released:' .. KEYS[i], listeners(KEYS[i]))
end
