-- Takes every lock, or none. ARGV: value, ttl_ms, client_unix_ms, mark, guard_s, stay_ms.
local other, gone = check(ARGV[4])
if other then
  other[7], other[8] = run, listeners(other[2])
  return other
end
-- Every attempt has a token of its own: it has been here before, by another name of ours.
if gone < n then return {'twin', run} end
-- A server that came back without its data would vote for a second holder. Its refusals count: what
-- it still knows is true. Where INFO is forbidden, nobody can tell its age.
local up = tonumber(string.match(info, 'uptime_in_seconds:(%-?%d+)'))
-- Below zero when its clock was set back since.
up = up and math.max(up, 0)
if up and up < tonumber(ARGV[5]) then return {'young', string.format('%.0f', up), run} end
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
-- The client's clock counts within half a second of ours. So tokens grow even from a holder whose
-- clock is fast to one whose clock is slow, when the counter was lost in between: those two are a
-- second apart at most, and a server that lost it does not vote for longer than that.
local floor = math.max(now_ms - 500, math.min(tonumber(ARGV[3]), now_ms + 500))
-- The locks first: when memory is full the first SET fails, and nothing has been done.
for i = 1, n do redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2]) end
-- A server that forbids this could not keep the lock: nobody shall begin with it.
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'granted', raise(floor, 1, tonumber(ARGV[6])), run}
