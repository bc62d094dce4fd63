-- Raises the rest of every lock to at least the TTL if all are ours. Never creates, deletes or shortens.
-- ARGV: mark, fence, ttl_ms, stay_ms.
local other, gone = check(ARGV[1])
if other then return other end
if gone > 0 then return {'missing'} end
for i = 1, n do
  local left = redis.call('PTTL', KEYS[i])
  -- -1 is a lock that somebody made permanent: longer than anything we could give it.
  -- Written even where nothing changes: in a full server the SET of the counter fails, unless the script
  -- has written already.
  if left >= 0 then redis.call('PEXPIRE', KEYS[i], math.max(left, tonumber(ARGV[3]))) end
end
raise(tonumber(ARGV[2]), 0, tonumber(ARGV[4]))
return {'extended', run}
