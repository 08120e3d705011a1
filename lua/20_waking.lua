-- The registry of idle workers, and who is woken. A wake is a push to one consumer, never a token that could be lost
-- with the one who took it: after every wake, timer and call, somebody looks at the state again.
--   idle   consumer → since when, on the shard's monotonic clock; the latest sleeps last and is woken first (warm)
--   woken  consumer → when it was rung; for WAKE ms it counts as on its way
--   watch  {by, due}: the one idle worker that wakes by itself for the next due time
-- What must hold: whatever makes work eligible ends in a ring; a due time is always watched by somebody who is awake
-- in time, or somebody is rung.

-- Servers before Redis 7 have no shard channels.
function sq.publish(c, consumer, word)
  local sent = redis.pcall('SPUBLISH', c.anchor .. ':w:' .. consumer, word)
  if type(sent) == 'table' then redis.pcall('PUBLISH', c.anchor .. ':w:' .. consumer, word) end
end

-- Wakes up to k idle workers, the latest sleepers first, unless enough wakes are on their way; `pop` ZPOPMIN: the oldest first.
function sq.ring(c, k, pop)
  local idle, woken = c.anchor .. ':idle', c.anchor .. ':woken'
  if redis.call('ZCARD', idle) == 0 then return end
  redis.call('ZREMRANGEBYSCORE', woken, '-inf', c.mono - sq.WAKE)
  for _ = 1, k - redis.call('ZCARD', woken) do
    local consumer = redis.call(pop or 'ZPOPMAX', idle)[1]
    if not consumer then return end
    redis.call('ZADD', woken, c.mono, consumer)
    sq.publish(c, consumer, 'take')
  end
end

function sq.watchman(c)
  local w = redis.call('HMGET', c.anchor .. ':watch', 'by', 'due')
  return w[1], tonumber(w[2] or 0)
end

function sq.unwatch(c) redis.call('UNLINK', c.anchor .. ':watch') end

-- The first time at which something is due: a delayed job, a timer of a limit, a schedule.
function sq.earliest(c)
  if c.frees then return c.now end
  local head = redis.call('ZRANGE', c.anchor .. ':delayed', 0, 0, 'WITHSCORES')
  local due = head[2] and tonumber(head[2])
  local opens = c.flow > 0 and redis.call('ZRANGE', c.anchor .. ':timers', 0, 0, 'WITHSCORES')[2]
  if opens and (not due or tonumber(opens) < due) then due = tonumber(opens) end
  local wait = c.suspended > 0 and sq.first_wait(c)
  if wait and (not due or wait < due) then due = wait end
  local tick = c.schedules > 0 and sq.next_tick(c)
  return tick and math.min(tick, due or tick) or due
end

-- Is a due time earlier than anybody watches for, or the watchman late?
function sq.unwatched(c, due)
  local by, at = sq.watchman(c)
  return not by or due < at or at < c.now - sq.OVERDUE
end

-- After a due time was added by somebody who will not take: is it watched for?
function sq.watch_over(c)
  local due = sq.earliest(c)
  if due and sq.unwatched(c, due) then sq.ring(c, 1) end
end

-- It leaves the registry; whether somebody may have relied on it.
function sq.forget_idle(c, consumer)
  local relied = redis.call('ZREM', c.anchor .. ':idle', consumer) + redis.call('ZREM', c.anchor .. ':woken', consumer)
  if sq.watchman(c) == consumer then
    sq.unwatch(c)
    relied = 1
  end
  return relied > 0
end

-- The end of a take that has room left: it sleeps, perhaps as the watchman. Returns for how many ms at most.
function sq.sleep(c, consumer)
  local sleep = math.max(sq.CAP, sq.PACE * redis.call('ZCARD', c.anchor .. ':idle'))
  redis.call('ZADD', c.anchor .. ':idle', c.mono, consumer)
  local due, by = sq.earliest(c), sq.watchman(c)
  if due and (by == consumer or sq.unwatched(c, due)) then
    redis.call('HSET', c.anchor .. ':watch', 'by', consumer, 'due', due)
    return math.max(1, math.min(sleep, due - c.now))
  end
  if by == consumer then sq.unwatch(c) end
  return sleep
end

-- The end of a take that is full or may not take: somebody else has to watch.
function sq.pass_on(c, consumer)
  if sq.watchman(c) == consumer then sq.unwatch(c) end
  sq.watch_over(c)
end
