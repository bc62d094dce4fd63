-- Puts back the locks that are gone, unless one is somebody else's. Sent only while the lock is ours,
-- and never a vote in the same round. ARGV: mark, fence, ttl_ms, value, stay_ms.
local other = check(ARGV[1])
if other then return other end
for i = 1, n do redis.call('SET', KEYS[i], ARGV[4], 'NX', 'PX', ARGV[3]) end
raise(tonumber(ARGV[2]), 0, tonumber(ARGV[5]))
return {'extended', ''}
