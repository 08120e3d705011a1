-- Steering one queue or one job. Functions: pause, resume, cancel, promote, progress, report.
-- What must hold: a pending job that is cancelled leaves its entry as a tombstone, because deleting an undelivered entry
-- would make the group's lag unknown for good; a running one ends when its worker, or its next delivery, obeys.

-- now, note -> 1
local function pause(anchor, args)
  local c, note = sq.begin(anchor, args[1]), sq.text(args[2] or '', 'note', 1024)
  -- checked: first write
  redis.call('HSET', c.meta, 'paused', '1', 'paused_at', c.now, 'paused_note', note)
  if not c.paused then redis.call('HINCRBY', c.meta, 'switches', 1) end
  sq.audit(c, 'paused the queue' .. (note == '' and '' or ': ' .. note))
  sq.save(c)
  return 1
end

-- now -> 1
local function resume(anchor, args)
  local c = sq.begin(anchor, args[1])
  -- checked: first write
  redis.call('HDEL', c.meta, 'paused', 'paused_at', 'paused_note')
  if c.paused then redis.call('HINCRBY', c.meta, 'switches', -1) end
  sq.audit(c, 'resumed the queue')
  c.paused = false
  sq.ring(c, 1)
  sq.save(c)
  return 1
end

local function in_lane(job, text, task_of_record)
  local task, lane, cost, body = sq.read_waiting(text)
  return {place = 'lane', level = string.sub(job, 1, 1), lane = lane, cost = cost, task = task_of_record or task, body = not task_of_record and body or nil}
end

-- Where a job is: {place, level, entry, task}. Place: delayed, lane, gate, suspended, following, ready, given (with its owner), dead,
-- ended, gone.
function sq.find(c, job)
  local r = redis.call('HMGET', sq.record(c, job), 'state', 'level', 'entry', 'task', 'follows')
  local level, entry = string.match(job, '^(%d)-(.+)$')
  if r[1] == 'dead' then return {place = 'dead', task = r[4]} end
  local text = c.flow > 0 and redis.call('HGET', c.anchor .. ':laned', job)
  if text and string.byte(text) ~= 61 then return in_lane(job, text, r[4]) end
  if text then r[1], r[2], r[3] = 'pending', sq.LANES, string.match(text, '^=(%S+)') end
  if r[1] == 'waiting' and redis.call('ZSCORE', c.anchor .. ':gates', job) then return {place = 'gate', level = r[2], task = r[4]} end
  if r[1] == 'waiting' then return {place = r[5] and 'following' or 'suspended', level = r[2], task = r[4]} end
  if r[1] and r[1] ~= 'pending' and r[1] ~= 'scheduled' and r[1] ~= 'retrying' then return {place = 'ended', task = r[4]} end
  if r[1] and not r[3] then return {place = 'delayed', level = r[2], task = r[4]} end
  if r[1] then level, entry = r[2], r[3] end
  local found = redis.pcall('XRANGE', sq.stream(c, level), entry, entry)
  local row = not found.err and found[1] and found[1][2]
  if not row or redis.call('HGET', c.anchor .. ':cancels', level .. '-' .. entry) == 'gone' then return {place = 'gone'} end
  local owner = sq.owner(c, level, entry)
  local _, task = sq.job_of(level, entry, row)
  return {place = owner and 'given' or 'ready', owner = owner, level = level, entry = entry, task = r[4] or task, row = row}
end

local STATES = {ready = 'pending', given = 'active', dead = 'dead', lane = 'waiting', gate = 'waiting'}

-- The state of a job as people say it, from where it was found.
function sq.state_at(c, job, at)
  if at.place == 'gone' then return sq.logged(c, job) or 'unknown' end
  if at.place == 'given' and (at.owner == 'lost' or at.owner == 'suspects') then return 'pending' end
  return STATES[at.place] or redis.call('HGET', sq.record(c, job), 'state')
end

-- Its entry, which was not delivered yet, stands for nothing any more, and is dropped by the pop later.
function sq.leave_tomb(c, at)
  redis.call('HSET', c.anchor .. ':cancels', at.level .. '-' .. at.entry, 'gone')
  sq.switch(c, 'cancels', 1)
  sq.switch(c, 'tombs', 1)
  sq.count(c, 'tombs:' .. at.level, 1)
  sq.count(c, 'pending:' .. at.level, -1)
end

local function ask_worker(c, at)
  if redis.call('HSET', c.anchor .. ':cancels', at.level .. '-' .. at.entry, 'asked') == 1 then sq.switch(c, 'cancels', 1) end
  sq.command(c, at.owner, 'cancel ' .. at.level .. ' ' .. at.entry)
end

-- It was given, but nobody runs it at the moment.
local function drop_given(c, job, at)
  sq.finish_job(c, job, at.task, 'cancelled')
  sq.forget_delivery(c, at.level, at.entry, job)
  sq.remove(c, at.level, at.entry)
  if at.owner == 'lost' then sq.renew_lost(c, at.level) else sq.switch(c, 'suspects', -1) end
end

-- How a job that waits leaves its place.
local withdrawals = {
  delayed = function(c, job) sq.count(c, 'delayed', -redis.call('ZREM', c.anchor .. ':delayed', job)) end,
  lane = function(c, job, at) sq.drop_from_lane(c, job, at) end,
  gate = function(c, job) sq.leave_gate(c, job) end,
  suspended = function(c, job) sq.end_wait(c, job) end,
  following = function(c, job) sq.stop_following(c, job) end,
  ready = function(c, _, at) sq.leave_tomb(c, at) end,
}

-- The job ends, wherever it is, or the worker that runs it is asked to end it: CANCELLED, ASKED or GONE.
function sq.cancel(c, job)
  local at = sq.find(c, job)
  if withdrawals[at.place] then
    withdrawals[at.place](c, job, at)
    sq.finish_job(c, job, at.task, 'cancelled')
  elseif at.place == 'given' and (at.owner == 'lost' or at.owner == 'suspects') then drop_given(c, job, at)
  elseif at.place == 'given' then
    ask_worker(c, at)
    return 'ASKED'
  else return 'GONE' end
  return 'CANCELLED'
end

-- now, job -> CANCELLED | ASKED | GONE
local function cancel(anchor, args)
  local c, job = sq.begin(anchor, args[1]), sq.job(args[2])
  -- checked: first write
  local answer = sq.cancel(c, job)
  sq.save(c)
  return answer
end

-- now, job -> 1
local function promote(anchor, args)
  local c, job = sq.begin(anchor, args[1]), sq.job(args[2])
  if not redis.call('ZSCORE', c.anchor .. ':delayed', job) then
    sq.refuse('STATE', 'job ' .. args[2] .. ' does not wait for a time: it is ' .. sq.state_at(c, job, sq.find(c, job)))
  end
  local strike = redis.call('HGET', sq.record(c, job), 'struck')
  if strike and sq.strike_ends(c, strike) then
    sq.refuse('STATE', 'job ' .. args[2] .. ' was put aside by strike ' .. strike .. ': lift that, and it runs')
  end
  -- checked: first write
  redis.call('ZADD', c.anchor .. ':delayed', c.now, job)
  redis.call('HSET', sq.record(c, job), 'due', c.now)
  sq.promote_due(c)
  sq.watch_over(c)
  if not c.paused then sq.ring(c, 1) end
  sq.save(c)
  return 1
end

local TOLD = {fraction = true, note = true, partial = true}

-- now, consumer, generation, level, entry, job, n, pairs -> 1 | 0
local function progress(anchor, args)
  local c = sq.begin(anchor, args[1])
  local me = sq.caller(c, args[2], args[3])
  local level, entry, job = sq.given_level(args[4]), sq.entry(args[5]), sq.job(args[6])
  local told = sq.pairs(args, 8, sq.whole(args[7], 'count of pairs', 0, 6), TOLD)
  sq.text(told.note or '', 'note', 1024)
  sq.text(told.partial or '', 'partial', sq.BODY_BYTES)
  if sq.owner(c, level, entry) ~= me.id then return 0 end
  if c.cancels > 0 and redis.call('HEXISTS', c.anchor .. ':cancels', level .. '-' .. entry) == 1 then return 0 end
  -- checked: first write
  local key = c.anchor .. ':progress:' .. job
  redis.call('HSET', key, 'at', c.now)
  for name, value in pairs(told) do redis.call('HSET', key, name, value) end
  redis.call('EXPIRE', key, 86400)
  sq.save(c)
  return 1
end

-- now, name, count … -> 1
local function report(anchor, args)
  local c = sq.begin(anchor, args[1])
  if #args > 4001 then sq.refuse('LIMIT', 'more than 2,000 counts') end
  for i = 2, #args, 2 do
    sq.text(args[i], 'name', 256)
    sq.whole(args[i + 1], 'count', 0, 1e12)
  end
  -- checked: first write
  local key = anchor .. ':minute:' .. sq.num(math.floor(c.now / 60000))
  for i = 2, #args, 2 do redis.call('HINCRBY', key, args[i], args[i + 1]) end
  redis.call('EXPIRE', key, 7200)
  sq.save(c)
  return 1
end

sq.register('pause', {'allow-oom'}, pause)
sq.register('resume', {'allow-oom'}, resume)
sq.register('cancel', {'allow-oom'}, cancel)
sq.register('promote', {'allow-oom'}, promote)
sq.register('progress', {}, progress)
sq.register('report', {}, report)
