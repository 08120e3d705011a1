-- What people changed at run time: switches, limits, strikes. Functions: audit (read).
--   audit  a capped list of readable lines, newest first: `<now> <who>: <what was done>`
-- What must hold: whoever changes how jobs are given writes one line here, in the same call.

local LINES = 1000

-- `by`: who did it, as far as the caller says so.
function sq.audit(c, text, by)
  local line = sq.num(c.now) .. ' ' .. (by and by ~= '' and by or 'somebody') .. ': ' .. string.gsub(text, '\n', ' ')
  redis.call('LPUSH', c.anchor .. ':audit', line)
  redis.call('LTRIM', c.anchor .. ':audit', 0, LINES - 1)
end

-- now, count -> {line …}, newest first
local function audit(anchor, args)
  local c, count = sq.look(anchor, args[1]), sq.whole(args[2] or 50, 'count', 1, LINES)
  return redis.call('LRANGE', c.anchor .. ':audit', 0, count - 1)
end

sq.register('audit', {'no-writes', 'allow-stale'}, audit)
