-- Deletes every lock that is ours, and tells who waits. ARGV: mark.
local released = 'not ours'
for i = 1, n do
  local _, value = held(i)
  if ours(value, ARGV[1]) then
    redis.call('DEL', KEYS[i])
    released = 'released'
    notify(i)
  end
end
return {released}
