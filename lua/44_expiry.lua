-- Jobs that nobody needs any more: those that have not begun in time (`expires`), and those whose `deadline` cannot be met.
-- Both are times on the wall clock, in the record. The first one is over with the first run that failed, the other never.
-- What must hold: such a job ends once, as expired, before it is run; why, is told to who waits, and kept for a while.

local KEPT = 60000               -- ms that the record of an expired job says why

-- When a job in these terms is too late; nil: never.
function sq.latest(expires, attempt, deadline)
  expires, deadline = not attempt and tonumber(expires or nil) or nil, tonumber(deadline or nil)
  return expires and deadline and math.min(expires, deadline) or expires or deadline
end

-- Why a job in these terms is too late now; nil when it is not.
function sq.lateness(c, expires, attempt, deadline)
  local latest = sq.latest(expires, attempt, deadline)
  if not latest or latest >= c.now then return nil end
  local what = latest == tonumber(deadline or nil) and 'its deadline was' or 'it had not begun in time: it expired'
  return string.format('%s %.1f s ago', what, (c.now - latest) / 1000)
end

-- The end of a job that is too late.
function sq.expire(c, job, task, reason) sq.finish_job(c, job, task, 'expired', reason, KEPT) end
