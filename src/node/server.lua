-- Stands before the scripts that tell which run of which server answers.
-- INFO only through pcall: an ACL without it must not stop a lock.
local info = redis.pcall('INFO', 'server')
info = type(info) == 'string' and info or ''
local run = string.match(info, 'run_id:(%x+)') or ''
