-- Tries commands one by one, on keys of its own that it removes, and tells what the server said to each:
-- nothing if it did it. ARGV: a JSON list of commands, each a list of words. Sent by `doctor` only.
local told = {}
for i, words in ipairs(cjson.decode(ARGV[1])) do
  local answer = redis.pcall(unpack(words))
  told[i] = type(answer) == 'table' and answer.err or ''
end
return told
