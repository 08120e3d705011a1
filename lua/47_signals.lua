-- Jobs that wait for the outside without a slot: for a signal, or for a time. Their worker has given them back, and runs
-- them from the start when the signal or the time has come.
--   suspended  job id → when its wait is over on the wall clock; +inf: only the signal ends it
--   In the record: waits_for (`signal <name>` or `sleep <number>`) and waits_until. What was sent lies in the journal.
-- What must hold: a job is in `suspended` exactly while its state is waiting for these reasons, and the counter `waiting` follows;
-- a signal is kept whether or not anybody waits for it yet, and its first value stands; a wait that ended without its
-- signal does not get it later. Nothing is paid while nobody waits (the switch `suspended`). Functions: await, signal.

local function set_of(c) return c.anchor .. ':suspended' end

-- When the first of them is due, or nil.
function sq.first_wait(c)
  local due = tonumber(redis.call('ZRANGE', set_of(c), 0, 0, 'WITHSCORES')[2])
  return due and due < 1e15 and due or nil
end

-- The job, which has a record and no entry any more, waits for `what`. If that has come meanwhile, it is due at once; when
-- its deadline is past, the take that gets it lets it go.
function sq.suspend(c, job, what)
  local key, due = sq.record(c, job), sq.noted(c, job, 'until ' .. what)
  redis.call('HDEL', key, 'entry', 'due', 'waits_until')
  redis.call('HSET', key, 'state', 'waiting', 'waits_for', what)
  if due then redis.call('HSET', key, 'waits_until', due) end
  if sq.noted(c, job, what) then due = c.now end
  local deadline = tonumber(redis.call('HGET', key, 'deadline'))
  if deadline then due = math.min(tonumber(due or deadline + 1), deadline + 1) end
  redis.call('ZADD', set_of(c), due or '+inf', job)
  sq.count(c, 'waiting', 1)
  sq.switch(c, 'suspended', 1)
end

function sq.end_wait(c, job)
  if redis.call('ZREM', set_of(c), job) == 0 then return end
  sq.count(c, 'waiting', -1)
  sq.switch(c, 'suspended', -1)
end

-- Those whose time has come go into their ready streams; what these do not take stays.
function sq.resume_due(c)
  for _, job in ipairs(redis.call('ZRANGE', set_of(c), '-inf', c.now, 'BYSCORE', 'LIMIT', 0, sq.PROMOTE)) do
    local key = sq.record(c, job)
    local level = redis.call('HGET', key, 'level')
    if not level then sq.count(c, 'purged', 1) end
    if not level or pcall(sq.make_ready, c, job, level) then
      sq.end_wait(c, job)
      if level then redis.call('HDEL', key, 'waits_for', 'waits_until') end
    end
  end
end

-- How a wait stands: over, value (and which), or nil. What was decided once stays.
local function outcome(c, job, kind, name, due)
  if kind == 'signal' then
    if sq.noted(c, job, 'over ' .. name) then return 'over' end
    local value = sq.noted(c, job, 'signal ' .. name)
    if value then return 'value', value end
  end
  return due and due <= c.now and 'over' or nil
end

local KINDS = {signal = true, sleep = true}

-- now, consumer, generation, level, entry, job, kind, name, limit, otherwise -> {status, value}, or nothing when the delivery is not the
-- caller's. The limit (ms, or -) counts from the first call; `otherwise` is default or failed: what its end will mean.
local function await(anchor, args)
  local c = sq.begin(anchor, args[1])
  local job, is_own = sq.running(c, args)
  local kind, name, otherwise = args[7], sq.step_name(args[8]), args[10]
  if not KINDS[kind] then sq.refuse('INVALID', 'kind is ' .. sq.shown(kind) .. '; signal or sleep is due') end
  local limit = args[9] ~= '-' and sq.whole(args[9], 'limit', 0, 1e13) or nil
  if otherwise ~= 'default' and otherwise ~= 'failed' then
    sq.refuse('INVALID', 'otherwise is ' .. sq.shown(otherwise) .. '; default or failed is due')
  end
  if not is_own then return false end
  local field = 'until ' .. kind .. ' ' .. name
  local noted = tonumber(sq.noted(c, job, field))
  local due = noted or limit and c.now + limit
  local status, value = outcome(c, job, kind, name, due)
  local flat = {}
  if due and not noted then flat = {field, sq.num(due)} end
  if status == 'over' and kind == 'signal' then flat[#flat + 1], flat[#flat + 2] = 'over ' .. name, otherwise end
  local bytes = sq.check_journal(c, job, flat)
  -- checked: first write
  if #flat > 0 then sq.note(c, job, flat, bytes) end
  sq.has_begun(c, job)
  sq.save(c)
  return {status or 'waits', value or false}
end

-- Why the job cannot be sent the signal, or nil. A dead one may be sent another value than that over which it died.
local function obstacle(c, job, name, given, replace)
  local at = sq.find(c, job)
  if at.place == 'gone' then return 'NOTFOUND', 'job ' .. given .. ' is ' .. sq.state_at(c, job, at) end
  if at.place == 'dead' and not replace then return 'STATE', 'job ' .. given .. ' is dead: retry it, then it can be sent signals' end
  if at.place == 'ended' then return 'STATE', 'job ' .. given .. ' is ' .. sq.state_at(c, job, at) end
  if sq.noted(c, job, 'over ' .. name) then return 'STATE', 'job ' .. given .. ' does not wait for ' .. name .. ' any more: its time was over' end
end

-- now, job, name, body [replace] -> SENT, or KEPT when there was one before
local function signal(anchor, args)
  local c, job, name = sq.begin(anchor, args[1]), sq.job(args[2]), sq.step_name(args[3])
  local body, replace = sq.text(args[4], 'body', sq.TEXT_BYTES * 8), args[5]
  if body == '' then sq.refuse('INVALID', 'the body of the signal is empty') end
  if replace and replace ~= 'replace' then sq.refuse('INVALID', 'surplus is ' .. sq.shown(replace) .. '; replace or nothing is due') end
  local word, sentence = obstacle(c, job, name, args[2], replace)
  if word then sq.refuse(word, sentence) end
  local flat = {'signal ' .. name, body}
  local bytes, old = sq.check_journal(c, job, flat), sq.noted(c, job, flat[1])
  if old and not replace then return 'KEPT' end
  -- checked: first write
  sq.note(c, job, flat, bytes)
  local waits_for = redis.call('HGET', sq.record(c, job), 'waits_for')
  if waits_for == flat[1] then
    redis.call('ZADD', set_of(c), 'XX', c.now, job)
    sq.promote_due(c)
    sq.watch_over(c)
    if not c.paused then sq.ring(c, 1) end
  end
  sq.save(c)
  return 'SENT'
end

sq.register('await', {'allow-oom'}, await)
sq.register('signal', {}, signal)
