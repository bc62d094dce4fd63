-- Deletes every lock that is ours, and tells who waits. ARGV: mark.
local released = 'not ours'
for i = 1, n do
  local _, value = held(i)
  if ours(value, ARGV[1]) then
    redis.call('DEL', KEYS[i])
    released = 'released'
    -- After the DEL and through pcall: a user without channel rights has released all the same.
    redis.pcall('PUBLISH', 'released:' .. KEYS[i], '')
  end
end
return {released}
