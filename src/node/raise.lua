-- Raises the counters to at least `fence` if every lock is still ours. ARGV: mark, fence, stay_ms.
local other, gone = check(ARGV[1])
if other or gone > 0 then return {'not ours'} end
return {'raised', raise(tonumber(ARGV[2]), 0, tonumber(ARGV[3]))}
