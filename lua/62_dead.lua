-- Dead letters, looked at again: run one once more, run those that match, drop one. Functions: retry, retry_all, drop.
-- What must hold: a retried job keeps its id, its attempts start anew, its history stays.

-- What became of a job that is not among the dead letters.
local function absent(c, job, name)
  local state = sq.state_at(c, job, sq.find(c, job))
  return 'no dead job ' .. name .. (state == 'dead' and '; its dead letter was dropped' or '; it is ' .. state)
end

-- Why a dead job may not run again, or nil.
local function obstacle(c, job, name)
  local r = redis.call('HMGET', sq.record(c, job), 'state', 'unique')
  if r[1] ~= 'dead' then return 'NOTFOUND', absent(c, job, name or job) end
  local holder = r[2] and sq.holder(c, r[2])
  if holder and holder ~= job then return 'CONFLICT', holder .. ' holds the unique key ' .. sq.shown(r[2]) end
end

local function run_again(c, job)
  local key = sq.record(c, job)
  local r = redis.call('HMGET', key, 'level', 'unique', 'until', 'flow', 'schedule')
  redis.call('HDEL', key, 'reason', 'died', 'attempt', 'parked', 'traceback', 'expires', 'deadline', 'first')
  if r[2] then sq.hold(c, r[2], job, r[3]) end
  redis.call('ZREM', c.anchor .. ':dead', job)
  sq.reopen_waits(c, job)
  sq.count(c, 'dead', -1)
  sq.remember(c, job, 'retried')
  if r[4] then sq.reopen(c, job, r[4]) end
  if r[5] then sq.run_began(c, r[5], job) end
  sq.make_ready(c, job, r[1])
end

-- now, job [task body] -> 1
local function retry(anchor, args)
  local c, job = sq.begin(anchor, args[1]), sq.job(args[2])
  local word, sentence = obstacle(c, job, args[2])
  if word then sq.refuse(word, sentence) end
  if args[3] then
    sq.task(args[3])
    sq.text(args[4], 'body', sq.BODY_BYTES)
  end
  -- checked: first write
  if args[3] then
    redis.call('HDEL', sq.record(c, job), 'body', 'large')
    sq.forget_journal(c, job)      -- its steps were those of another call
    redis.call('HSET', sq.record(c, job), 'task', args[3], #args[4] > sq.INLINE_BYTES and 'large' or 'body', args[4])
  end
  run_again(c, job)
  if not c.paused then sq.ring(c, 1) end
  sq.save(c)
  return 1
end

local FILTERS = {task = true, error = true, reason = true, tag = true}

local function matches(c, job, filters)
  local r = redis.call('HMGET', sq.record(c, job), 'task', 'error', 'reason', 'tags')
  if filters.task and r[1] ~= filters.task then return false end
  if filters.error and not string.find(r[2] or '', filters.error, 1, true) then return false end
  if filters.reason and r[3] ~= filters.reason then return false end
  return not filters.tag or string.find(',' .. (r[4] or '') .. ',', ',' .. filters.tag .. ',', 1, true) ~= nil
end

-- now, cursor, bound, limit [name value]… -> {retried, next cursor, bound}
-- The cursor is a rank among the dead, the bound the time of the first call: what dies later is not looked at.
local function retry_all(anchor, args)
  local c = sq.begin(anchor, args[1])
  local from = args[2] == '-' and 0 or sq.whole(args[2], 'cursor', 0, 1e9)
  local bound, limit = sq.whole(args[3], 'bound', 0, 9e15), sq.whole(args[4], 'limit', 1, 500)
  local filters = sq.pairs(args, 5, #args - 4, FILTERS)
  if bound == 0 then bound = c.now end
  -- checked: first write
  local rows = redis.call('ZRANGE', anchor .. ':dead', from, from + limit - 1, 'WITHSCORES')
  local retried, seen = 0, 0
  for i = 1, #rows, 2 do
    if tonumber(rows[i + 1]) <= bound then
      seen = seen + 1
      if matches(c, rows[i], filters) and not obstacle(c, rows[i]) then
        run_again(c, rows[i])
        retried = retried + 1
      end
    end
  end
  if retried > 0 and not c.paused then sq.ring(c, 1) end
  sq.save(c)
  return {retried, seen < limit and '' or sq.num(from + seen - retried), sq.num(bound)}
end

-- now, job -> 1
local function drop(anchor, args)
  local c, job = sq.begin(anchor, args[1]), sq.job(args[2])
  if not redis.call('ZSCORE', anchor .. ':dead', job) then sq.refuse('NOTFOUND', absent(c, job, args[2])) end
  -- checked: first write
  sq.drop_dead(c, job)
  sq.save(c)
  return 1
end

sq.register('retry', {}, retry)
sq.register('retry_all', {}, retry_all)
sq.register('drop', {'allow-oom'}, drop)
