-- Stands before the scripts that release locks. Tells who listens that lock i is free, how many they
-- are, and the print of the value if a person has taken it away. Through pcall: a user without
-- channel rights has released all the same.
local function notify(i, taken)
  redis.pcall('PUBLISH', 'released:' .. KEYS[i], listeners(KEYS[i]) .. ' ' .. taken)
end
