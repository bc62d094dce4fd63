-- Stands before the scripts of people who look: inspect, remove. What value i is compared by before
-- it is removed. Of a hash (Redisson's) its fields, unless there are so many that it is no lock; of
-- other types the type is enough.
local function print_of(i, kind, value)
  if kind == 'string' then return redis.sha1hex(value) end
  if kind == 'hash' and redis.call('HLEN', KEYS[i]) <= 64 then
    return redis.sha1hex(table.concat(redis.call('HGETALL', KEYS[i]), ' '))
  end
  return kind
end
