-- Takes every lock, or none. ARGV: value, ttl_ms, client_unix_ms, mark, stay_ms.
-- INFO only through pcall: an ACL without it must not stop a lock.
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
local other = check(ARGV[4])
if other then other[7] = run; return other end
local now = redis.call('TIME')
local limit = now[1] * 1000 + math.floor(now[2] / 1000) + 60000
-- The locks first: when memory is full the first SET fails, and nothing has been done.
for i = 1, n do redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2]) end
return {'granted', raise(math.min(tonumber(ARGV[3]), limit), 1, tonumber(ARGV[5])), run}
