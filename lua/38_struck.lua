-- Jobs that a strike has put aside. They are among the delayed, due at its end; a strike that is lifted brings them back before.
--   struck       the strikes for which jobs wait
--   struck:<id>  those jobs, in the order in which they were put aside
-- What must hold: nothing is paid while there is neither a strike nor a job of one (the switch `strikes` counts both); a
-- struck job comes back when its strike has ended, was lifted, or is gone in whatever way.

local AGAIN = 86400000           -- ms after which a job of a strike without an end is offered again, whatever happened here
local LANE = 5000                -- ms between two offers of the first job of an ordered lane
local FREED = 250                -- jobs that one call brings back
local GROUPS = 100               -- strikes that one call looks at

-- For how long an ordered lane stands still for a strike before its first job is offered again; 0: there is no such strike.
function sq.strike_pause(c, id)
  local ends = sq.strike_ends(c, id)
  return ends and math.min(ends - c.now, LANE) or 0
end

-- The job, which has a record and whose entry is about to go, waits for the end of a strike. When there is no such strike
-- any more, it is due at once, and the worker that still knows of it is told. When it is too late before, it ends then.
function sq.put_aside(c, job, id, consumer)
  local ends, record = sq.strike_ends(c, id), sq.record(c, job)
  local r = redis.call('HMGET', record, 'expires', 'attempt', 'deadline')
  local latest = sq.latest(r[1], r[2], r[3]) or math.huge
  local due = not ends and c.now or math.min(ends, c.now + AGAIN, latest + 1)
  redis.call('HSET', record, 'state', 'retrying', 'due', due)
  redis.call('HDEL', record, 'entry')
  sq.delay(c, job, due)
  if not ends then return sq.command(c, consumer, 'strikes') end
  redis.call('HSET', record, 'struck', id)
  redis.call('RPUSH', c.anchor .. ':struck:' .. id, job)
  sq.switch(c, 'strikes', redis.call('SADD', c.anchor .. ':struck', id))
end

-- Up to `most` jobs of a strike that stands no more become due, the first ones first; how many were looked at.
local function bring_back(c, id, most)
  local list = c.anchor .. ':struck:' .. id
  local jobs = redis.call('LRANGE', list, 0, most - 1)
  for _, job in ipairs(jobs) do
    if redis.call('HGET', sq.record(c, job), 'struck') == id then
      redis.call('ZADD', c.anchor .. ':delayed', 'XX', c.now, job)
      redis.call('HSET', sq.record(c, job), 'due', c.now)
    end
  end
  redis.call('LTRIM', list, #jobs, -1)
  if #jobs < most then sq.switch(c, 'strikes', -redis.call('SREM', c.anchor .. ':struck', id)) end
  return #jobs
end

-- Strikes that are over go, and some of their jobs come back; `c.frees`: more are left. The switch follows whoever deleted keys by hand.
function sq.end_strikes(c)
  local strikes, struck = c.anchor .. ':strikes', c.anchor .. ':struck'
  local there = redis.call('ZCARD', strikes) + redis.call('SCARD', struck)
  sq.switch(c, 'strikes', there - c.strikes)
  for _, id in ipairs(redis.call('ZRANGE', strikes, '-inf', c.now, 'BYSCORE', 'LIMIT', 0, GROUPS)) do sq.forget_strike(c, id) end
  local left = FREED
  for _, id in ipairs(redis.call('SRANDMEMBER', struck, GROUPS)) do
    if left > 0 and not sq.strike_ends(c, id) then left = left - bring_back(c, id, left) end
  end
  c.frees = left == 0
end

-- How many jobs wait for strikes, about: those that were cancelled or purged meanwhile count until theirs is over.
function sq.struck_jobs(c)
  local n = 0
  for _, id in ipairs(redis.call('SRANDMEMBER', c.anchor .. ':struck', GROUPS)) do n = n + redis.call('LLEN', c.anchor .. ':struck:' .. id) end
  return n
end

-- Their lists go with the queue.
function sq.remove_struck(c)
  for _, id in ipairs(redis.call('SMEMBERS', c.anchor .. ':struck')) do redis.call('UNLINK', c.anchor .. ':struck:' .. id) end
end
