-- Deletes every lock that is ours, or leaves a marker in its place, and tells who waits. It has
-- released if all of them were ours.
-- ARGV: mark, the marker's state ('' for none), its ms, a run for the history ('' for none),
-- how many runs and ms of history are kept, and 'quiet' if nobody is to be told.
local token, state = string.sub(ARGV[1], 1, -2), ARGV[2]
local left, may_be_again = 0, true
for i = 1, n do
  local _, value = held(i)
  if ours(value, ARGV[1]) then
    if state == '' then
      redis.call('DEL', KEYS[i])
    else
      -- In this order: when memory is full a SET fails, unless the script has written already.
      redis.call('PEXPIRE', KEYS[i], ARGV[3])
      redis.call('SET', KEYS[i], token .. state .. string.sub(value, #ARGV[1] + 1), 'PX', ARGV[3])
    end
    left, may_be_again = left + 1, false
    -- After the release, and through pcall: a user without channel rights has released all the same.
    if ARGV[7] == '' then notify(i, '') end
  elseif state ~= '' and ours(value, token .. state) then
    -- This very release again: its answer was lost, or came late, and with it the marker's end.
    if redis.call('PTTL', KEYS[i]) > tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
    left = left + 1
  end
end
-- The history last and through pcall as well. Its key is not declared, since an ACL that does not
-- know it would refuse the whole script; the braces keep it where the lock is.
if ARGV[4] ~= '' then
  for i = 1, n do
    local history = '{' .. KEYS[i] .. '}:history'
    if not may_be_again or redis.pcall('LINDEX', history, 0) ~= ARGV[4] then
      local runs, most = redis.pcall('LPUSH', history, ARGV[4]), tonumber(ARGV[5])
      if type(runs) == 'number' and runs > most then redis.pcall('LTRIM', history, 0, most - 1) end
      redis.pcall('PEXPIRE', history, ARGV[6])
    end
  end
end
-- Which run of which server has left a marker, which only counts once.
local info = state ~= '' and redis.pcall('INFO', 'server')
return {left == n and 'released' or 'not ours', type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''}
