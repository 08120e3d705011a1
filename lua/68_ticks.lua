-- Ticks: the jobs that schedules make. A take tells its worker which schedules are due; the worker computes the next time
-- and calls schedule_tick, which adds the job and moves the schedule on in one step, once: only while it still stands at
-- the time that the caller expected. Functions: schedule_tick, schedule_fire, schedule_checked.
-- What must hold: one job for each schedule and time, whoever calls, however often, however late; a worker that was told
-- of a schedule and is silent for CLAIM is replaced; a run that waits for another one is released at that one's end.

local CLAIM = 2000               -- ms that a schedule is left to the worker that was told of it
local TOLD = 50                  -- schedules that one take tells of
local REMINDED = 60000           -- ms ahead that a full worker is told of the next time; it takes more often than that
local FIRES = 1000               -- times that are remembered of a schedule
local LATE = 'nobody ticked it in time'
local OPEN = 16                  -- jobs of a schedule that are looked after

-- Adds `tick <name>` to what the caller is told, for each due schedule that nobody else was told of.
function sq.hand_out_ticks(c, commands)
  if c.schedules == 0 then return end
  local schedules = c.anchor .. ':schedules'
  for _, name in ipairs(redis.call('ZRANGE', schedules, '-inf', c.now, 'BYSCORE', 'LIMIT', 0, TOLD)) do
    local r = redis.call('HMGET', sq.schedule_key(c, name), 'source', 'over_at', 'check_at', 'released')
    if not r[1] or (r[2] and not r[3] and not r[4]) then sq.forget_schedule(c, name)
    else
      redis.call('ZADD', schedules, c.now + CLAIM, name)
      commands[#commands + 1] = 'tick ' .. name
    end
  end
end

-- A worker that is full does not sleep, and where nobody sleeps, nobody wakes for the next time: so it is told when to come.
function sq.remind(c, commands)
  if c.schedules == 0 or redis.call('ZCARD', c.anchor .. ':idle') > 0 then return end
  local at = sq.next_tick(c)
  if at and at - c.now < REMINDED then commands[#commands + 1] = 'again ' .. sq.num(math.max(1, at - c.now)) end
end

-- A job of a schedule ended: one that waits for that is due.
function sq.run_ended(c, name)
  local key = sq.schedule_key(c, name)
  if c.schedules == 0 or redis.call('HEXISTS', key, 'queued') == 0 then return end
  redis.call('HSET', key, 'released', '1')
  sq.place_schedule(c, name)
end

local ENDED = {dead = true, ended = true, gone = true}

-- The ids of its latest jobs that have not ended.
local function open_jobs(c, text)
  local open = {}
  for job in string.gmatch(text or '', '%S+') do
    if not ENDED[sq.find(c, job).place] then open[#open + 1] = job end
  end
  return open
end

local function keep_open(key, open)
  redis.call('HSET', key, 'open', table.concat(open, ' ', math.max(1, #open - OPEN + 1)))
end

-- A job of a schedule that had ended goes on: a dead one that is retried.
function sq.run_began(c, name, job)
  local key = sq.schedule_key(c, name)
  local text = redis.call('HGET', key, 'open')
  if not text then return end
  local open = open_jobs(c, text)
  open[#open + 1] = job
  keep_open(key, open)
end

local function remember_fire(c, name, fire)
  local fires = c.anchor .. ':fires:' .. name
  redis.call('ZADD', fires, c.now, fire)
  redis.call('ZREMRANGEBYRANK', fires, 0, -FIRES - 1)
end

local function has_run(c, name, fire) return redis.call('ZSCORE', c.anchor .. ':fires:' .. name, fire) end

-- Adds the job of a time that had none: `added` and its id, or why not.
local function add_run(c, name, fire, job, open)
  local id, holder = sq.add_one(c, job)
  if holder then return 'skipped', 'job ' .. holder .. ' holds its unique key' end
  local key = sq.schedule_key(c, name)
  redis.call('HSET', sq.record(c, id), 'schedule', name, 'scheduled', fire)
  remember_fire(c, name, fire)
  open[#open + 1] = id
  redis.call('HSET', key, 'last_job', id, 'last_run_at', fire)
  keep_open(key, open)
  redis.call('HINCRBY', key, 'runs', 1)
  return 'added', id
end

local function queue_run(key, fire)
  redis.call('HSET', key, 'queued', fire)
  redis.call('HDEL', key, 'released')
  return 'queued', 'it begins when the one before has ended'
end

-- What becomes of a time that is due while earlier jobs of the schedule may go on.
local function run_beside(c, name, fire, job, r)
  if has_run(c, name, fire) then return 'before', '' end
  local key, open = sq.schedule_key(c, name), open_jobs(c, r.open)
  if #open == 0 or r.overlap == 'allow' then return add_run(c, name, fire, job, open) end
  if r.overlap == 'cancel' then
    for _, other in ipairs(open) do sq.cancel(c, other) end
    open = open_jobs(c, r.open)
    if #open == 0 then return add_run(c, name, fire, job, open) end
    return queue_run(key, fire)
  end
  if r.overlap == 'queue' and (not r.queued or r.queued == fire) then return queue_run(key, fire) end
  return 'skipped', 'job ' .. open[1] .. ' goes on' .. (r.queued and ', and one waits already' or '')
end

-- With a grace: by when this run has to be complete. One run at a time is watched. `why` it cannot be, where that is known.
local function watch_run(c, name, r, fire, job, why)
  if not r.grace or r.check_at then return end
  if why == '' and fire + r.grace < c.now then why = LATE end
  redis.call('HSET', sq.schedule_key(c, name), 'check_at', fire + r.grace, 'check_run', fire, 'check_job', job, 'check_why', why)
end

local function read_state(c, name)
  local r = redis.call('HMGET', sq.schedule_key(c, name), 'revision', 'next_run_at', 'paused', 'overlap', 'open', 'queued', 'grace', 'check_at')
  return {revision = r[1], next_run_at = r[2], paused = r[3], overlap = r[4] or 'skip', open = r[5], queued = r[6], grace = r[7], check_at = r[8]}
end

local function note_outcome(c, name, r, fire, outcome, said)
  local key = sq.schedule_key(c, name)
  redis.call('HSET', key, 'last_tick_at', c.now, 'last_outcome', outcome .. (said ~= '' and ' ' .. said or ''))
  if (outcome == 'added' or outcome == 'before') and r.queued == fire then redis.call('HDEL', key, 'queued', 'released') end
  if outcome == 'skipped' then redis.call('HINCRBY', key, 'skipped', 1) end
end

-- Every function that adds a job ends like this.
local function finish(c, name)
  sq.place_schedule(c, name)
  sq.announce(c)
  sq.watch_over(c)
  sq.save(c)
end

-- now, name, revision, expected, next_run_at, due_at, missed, fire, spec, task, body, pairs -> {outcome, job or why}
-- `fire` is the time to run for (`-`: none), `missed` the first one that is passed over (`-`: none).
local function tick(anchor, args)
  local c, name = sq.begin(anchor, args[1]), sq.schedule_name(args[2])
  local expected, missed, fire = sq.text(args[4], 'expected', 16), args[7], args[8]
  local next_run, due = sq.read_next(args[5], args[6])
  if missed ~= '-' then missed = sq.num(sq.whole(missed, 'missed', 0, 1e14)) end
  if fire ~= '-' then fire = sq.num(sq.whole(fire, 'fire', 0, 1e14)) end
  local job = sq.read_job(c, args, 9)
  local r = read_state(c, name)
  if not r.revision or r.paused or r.revision ~= args[3] or (r.next_run_at or '-') ~= expected then return {'moved', ''} end
  if fire ~= '-' then sq.check_room(c, {job}) end
  -- checked: first write
  local outcome, said = 'missed', ''
  if fire ~= '-' then outcome, said = run_beside(c, name, fire, job, r) end
  note_outcome(c, name, r, fire, outcome, said)
  if missed ~= '-' then watch_run(c, name, r, missed, '', LATE)
  elseif fire ~= '-' then watch_run(c, name, r, fire, outcome == 'added' and said or '', outcome == 'skipped' and said or '') end
  sq.move_schedule(c, name, next_run, due)
  finish(c, name)
  return {outcome, said}
end

-- now, name, fire, spec, task, body, pairs -> {outcome, job or why}: a run apart from the schedule's own times
local function fire(anchor, args)
  local c, name = sq.begin(anchor, args[1]), sq.schedule_name(args[2])
  local fire_at = sq.num(sq.whole(args[3], 'fire', 0, 1e14))
  local job, r = sq.read_job(c, args, 4), read_state(c, name)
  if not r.revision then sq.refuse('NOSCHEDULE', 'there is no schedule ' .. name .. ' at ' .. anchor) end
  sq.check_room(c, {job})
  -- checked: first write
  local outcome, said = 'before', ''
  if not has_run(c, name, fire_at) then outcome, said = add_run(c, name, fire_at, job, open_jobs(c, r.open)) end
  finish(c, name)
  return {outcome, said}
end

-- now, name, check_at -> 1: that run was looked at, 0: somebody else did
local function checked(anchor, args)
  local c, name = sq.begin(anchor, args[1]), sq.schedule_name(args[2])
  sq.whole(args[3], 'check_at', 0, 1e14)
  local key = sq.schedule_key(c, name)
  if redis.call('HGET', key, 'check_at') ~= args[3] then return 0 end
  -- checked: first write
  redis.call('HDEL', key, 'check_at', 'check_run', 'check_job', 'check_why')
  sq.place_schedule(c, name)
  sq.watch_over(c)
  sq.save(c)
  return 1
end

sq.register('schedule_tick', {}, tick)
sq.register('schedule_fire', {}, fire)
sq.register('schedule_checked', {'allow-oom'}, checked)
