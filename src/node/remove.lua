-- Deletes one lock if it is the one that is meant, and tells who waits. KEYS: the lock, its fencing
-- counter. ARGV: 'token' and the token, which stands before a blank or is the whole value; or
-- 'print' and what the whole value was compared by when a person looked at it.
local kind, value = held(1)
if kind == 'none' then return {'missing'} end
local meant
if ARGV[1] == 'token' then
  meant = kind == 'string' and (value == ARGV[2] or #ARGV[2] == 32 and ours(value, ARGV[2] .. ' '))
else
  meant = print_of(1, kind, value) == ARGV[2]
end
if not meant then return foreign(1, kind, value) end
local taken = print_of(1, kind, value)
redis.call('DEL', KEYS[1])
notify(1, taken)
return {'removed'}
