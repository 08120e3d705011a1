-- Schedules: what makes jobs at set times. Which times these are, clients compute; here they are kept, and watched for.
--   schedules        name → when somebody has to look at it (wall clock, ms); NEVER while it is paused
--   schedule:<name>  expression, task, body, policies; next_run_at, last_run_at, last_job …: fields that people can read
--   fires:<name>     the times for which it made jobs → when that was; the latest FIRES of them
--   schedules:<app>  names of those that the code of an app declares
-- Functions: schedule_put, schedule_pause, schedule_resume, schedule_remove.
-- What must hold: a schedule that can fire has its next due time in `schedules`; a new definition with the same times keeps
-- the one that is due; a schedule that is over goes away KEPT later; the switch `schedules` counts them all.

local NEVER = 9e15
local KEPT = 604800000           -- ms that a schedule stays which is over, for people to look at
local MOST = 100000              -- schedules of a shard
local TIMES = {'expression', 'jitter', 'starts', 'ends', 'blackouts'}
local OTHERS = {'words', 'task', 'level', 'body', 'options', 'missed', 'most', 'lateness', 'overlap', 'grace', 'note', 'app'}
local KNOWN = {}
for i = 1, #TIMES do KNOWN[TIMES[i]] = true end
for i = 1, #OTHERS do KNOWN[OTHERS[i]] = true end

function sq.schedule_key(c, name) return c.anchor .. ':schedule:' .. name end

function sq.schedule_name(value)
  if not value or #value > 128 or not string.find(value, '^[%w_.:%-]+$') then
    sq.refuse('INVALID', 'schedule is ' .. sq.shown(value) .. '; a name of 1 to 128 letters, digits and _ . : - is due')
  end
  return value
end

-- When the first schedule is to be looked at; nil when none ever is.
function sq.next_tick(c)
  local at = redis.call('ZRANGE', c.anchor .. ':schedules', 0, 0, 'WITHSCORES')[2]
  at = at and tonumber(at)
  return at and at < NEVER and at or nil
end

-- Puts it where its fields say: at its next due time, at the end of its grace, at its release, or at its end.
function sq.place_schedule(c, name)
  local r = redis.call('HMGET', sq.schedule_key(c, name), 'paused', 'due_at', 'check_at', 'released', 'over_at')
  local at = tonumber(r[3] or NEVER)
  if not r[1] then
    if r[2] then at = math.min(at, tonumber(r[2])) end
    if r[4] then at = math.min(at, c.now) end
    if r[5] then at = math.min(at, tonumber(r[5]) + KEPT) end
  end
  redis.call('ZADD', c.anchor .. ':schedules', at, name)
end

-- The next time at which it fires, and when that is due; `-`: there is none, it is over.
function sq.read_next(next_run, due)
  if next_run == '-' then return nil, nil end
  next_run = sq.whole(next_run, 'next_run_at', 0, 1e14)
  return next_run, sq.whole(due, 'due_at', next_run, 1e14)
end

function sq.move_schedule(c, name, next_run, due)
  local key = sq.schedule_key(c, name)
  if next_run then
    redis.call('HSET', key, 'next_run_at', next_run, 'due_at', due)
    redis.call('HDEL', key, 'over_at')
  else
    redis.call('HDEL', key, 'next_run_at', 'due_at')
    redis.call('HSET', key, 'over_at', c.now)
  end
end

function sq.forget_schedule(c, name)
  local key = sq.schedule_key(c, name)
  local app = redis.call('HGET', key, 'app')
  if app then redis.call('SREM', c.anchor .. ':schedules:' .. app, name) end
  redis.call('UNLINK', key, c.anchor .. ':fires:' .. name)
  sq.switch(c, 'schedules', -redis.call('ZREM', c.anchor .. ':schedules', name))
end

local function known(c, name)
  local source = redis.call('HGET', sq.schedule_key(c, name), 'source')
  if not source then sq.refuse('NOSCHEDULE', 'there is no schedule ' .. name .. ' at ' .. c.anchor) end
  return source
end

-- A name belongs to the code of one app, or to people and programs.
local function refuse_if_taken(name, source, app, old_source, old_app)
  if not old_source then return end
  if old_source == 'code' and (source ~= 'code' or old_app ~= app) then
    sq.refuse('STATE', 'schedule ' .. name .. ' is declared in the code of app ' .. tostring(old_app) .. ': choose another name')
  elseif source == 'code' and old_source ~= 'code' then
    sq.refuse('STATE', 'schedule ' .. name .. ' was added by ' .. old_source .. ': choose another name, or remove it first')
  end
end

local function check_definition(o)
  sq.task(o.task)
  sq.level(o.level)
  sq.text(o.body, 'body', sq.BODY_BYTES)
  sq.text(o.expression, 'expression', 512)
  for name, value in pairs(o) do
    if name ~= 'body' then sq.text(value, name, sq.TEXT_BYTES) end
  end
  for _, name in ipairs{'jitter', 'most', 'lateness', 'grace'} do
    if o[name] then sq.whole(o[name], name, 0, 1e13) end
  end
  if o.app then sq.schedule_name(o.app) end
end

local function same_times(c, name, o)
  local old = redis.call('HMGET', sq.schedule_key(c, name), unpack(TIMES))
  for i, field in ipairs(TIMES) do
    if (old[i] or nil) ~= o[field] then return false end
  end
  return true
end

local function write_definition(c, name, source, o)
  local key, fields, gone = sq.schedule_key(c, name), {'source', source}, {}
  for field in pairs(KNOWN) do
    if o[field] then
      fields[#fields + 1] = field
      fields[#fields + 1] = o[field]
    else gone[#gone + 1] = field end
  end
  redis.call('HDEL', key, unpack(gone))
  redis.call('HSET', key, unpack(fields))
  redis.call('HSETNX', key, 'created', c.now)
  redis.call('HINCRBY', key, 'revision', 1)
  if source == 'code' then redis.call('SADD', c.anchor .. ':schedules:' .. o.app, name) end
end

-- now, name, source, next_run_at, due_at, n, pairs -> 1: it is new, 0: it was there
local function put(anchor, args)
  local c, name, source = sq.begin(anchor, args[1]), sq.schedule_name(args[2]), args[3]
  if source ~= 'code' and source ~= 'cli' and source ~= 'api' then
    sq.refuse('INVALID', 'source is ' .. sq.shown(source) .. '; code, cli or api is due')
  end
  local next_run, due = sq.read_next(args[4], args[5])
  local o, behind = sq.pairs(args, 7, sq.whole(args[6], 'count of pairs', 0, 64), KNOWN)
  if behind <= #args then sq.refuse('INVALID', 'more arguments than the pairs that were counted') end
  check_definition(o)
  if source == 'code' and not o.app then sq.refuse('INVALID', 'app is missing: it says whose code declares the schedule') end
  local old = redis.call('HMGET', sq.schedule_key(c, name), 'source', 'app', 'next_run_at')
  refuse_if_taken(name, source, o.app, old[1], old[2])
  if not old[1] and c.schedules >= MOST then sq.refuse('LIMIT', MOST .. ' schedules are in this queue; the most is that') end
  -- checked: first write
  local keeps_time = old[3] and same_times(c, name, o)
  write_definition(c, name, source, o)
  if not keeps_time then sq.move_schedule(c, name, next_run, due) end
  if not old[1] then sq.switch(c, 'schedules', 1) end
  sq.place_schedule(c, name)
  sq.watch_over(c)
  sq.save(c)
  return old[1] and 0 or 1
end

-- now, name, note -> 1
local function pause(anchor, args)
  local c, name, note = sq.begin(anchor, args[1]), sq.schedule_name(args[2]), sq.text(args[3] or '', 'note', 1024)
  known(c, name)
  -- checked: first write
  redis.call('HSET', sq.schedule_key(c, name), 'paused', '1', 'paused_at', c.now, 'paused_note', note)
  redis.call('HDEL', sq.schedule_key(c, name), 'queued', 'released')
  sq.audit(c, 'paused schedule ' .. name .. (note == '' and '' or ': ' .. note))
  sq.place_schedule(c, name)
  sq.save(c)
  return 1
end

-- now, name, next_run_at, due_at -> 1
local function resume(anchor, args)
  local c, name = sq.begin(anchor, args[1]), sq.schedule_name(args[2])
  local next_run, due = sq.read_next(args[3], args[4])
  known(c, name)
  -- checked: first write
  if redis.call('HDEL', sq.schedule_key(c, name), 'paused', 'paused_at', 'paused_note') > 0 then
    sq.move_schedule(c, name, next_run, due)
    sq.audit(c, 'resumed schedule ' .. name)
  end
  sq.place_schedule(c, name)
  sq.watch_over(c)
  sq.save(c)
  return 1
end

-- now, name, force -> 1
local function remove(anchor, args)
  local c, name = sq.begin(anchor, args[1]), sq.schedule_name(args[2])
  if known(c, name) == 'code' and args[3] ~= '1' then
    sq.refuse('STATE', 'schedule ' .. name .. ' is declared in code: take it out there, or pause it (1 as last argument removes it anyway)')
  end
  -- checked: first write
  sq.forget_schedule(c, name)
  sq.audit(c, 'removed schedule ' .. name)
  sq.save(c)
  return 1
end

sq.register('schedule_put', {}, put)
sq.register('schedule_pause', {'allow-oom'}, pause)
sq.register('schedule_resume', {'allow-oom'}, resume)
sq.register('schedule_remove', {'allow-oom'}, remove)
