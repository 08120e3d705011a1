-- Adding jobs, once, however often the call comes. Functions: enqueue.
--   producer:<id>  channel → `<seq> <answer>`; forgotten a day after its last new channel
-- What must hold: a repeated call answers what the first one answered and adds nothing; a call that is older than one
-- that was executed is refused; a batch gets consecutive ids, whatever becomes of its jobs.

local KNOWN = {delay = true, at = true, unique = true, ['until'] = true, on_conflict = true, replace = true, debounce = true,
  longest = true, expires = true, deadline = true, within = true, tags = true, parent = true, record = true, lane = true, cost = true,
  id = true, after = true, flow = true}
local LEVELS = {['0'] = true, ['1'] = true, ['2'] = true, ['3'] = true, ['4'] = true,
  ['5'] = true, ['6'] = true, ['7'] = true, ['8'] = true, ['9'] = true}
local PRODUCER_TTL = 86400       -- seconds

local function check_tags(tags)
  local n = 0
  for tag in string.gmatch(tags, '[^,]+') do
    n = n + 1
    sq.text(tag, 'tag', 256)
  end
  if n > 32 then sq.refuse('LIMIT', n .. ' tags; the most is 32') end
end

local function read_options(c, args, i, n, level)
  local o, behind = sq.pairs(args, i, n, KNOWN)
  sq.check_unique(o)
  if o.delay and o.at then sq.refuse('INVALID', 'delay and at exclude each other') end
  o.due = o.at and sq.whole(o.at, 'at', 0, 1e14) or o.delay and c.now + sq.whole(o.delay, 'delay', 0, 1e13) or 0
  if o.expires then
    o.lasts = sq.whole(o.expires, 'expires', 1, 1e13)
    o.expires = math.max(o.due, c.now) + o.lasts
  end
  if o.deadline and o.within then sq.refuse('INVALID', 'deadline and within exclude each other') end
  if o.deadline then o.deadline = sq.whole(o.deadline, 'deadline', 0, 1e14) end
  if o.within then o.deadline = c.now + sq.whole(o.within, 'within', 1, 1e13) end
  if o.tags then check_tags(o.tags) end
  if o.parent then sq.text(o.parent, 'parent', 256) end
  if o.lane then sq.check_lane(o.lane) end
  if o.cost then sq.check_cost(o.cost) end
  if o.id or o.after or o.flow then sq.check_gated(c, o, level) end
  o.lasting = o.due > c.now or o.unique or o.expires or o.deadline or o.tags or o.record or o.gated
  return o, behind
end

-- Plain jobs of one level and task, their bodies in args[i] … args[last]: a step for each run of inline bodies, one for
-- each body that needs a record. Returns the bytes of all.
local function read_plain(steps, args, i, last, level, task)
  local run, bytes = nil, 0
  for at = i, last do
    local size = #args[at]
    bytes = bytes + size
    if size > sq.INLINE_BYTES then
      run, steps[#steps + 1] = nil, {level = level, task = task, body = sq.text(args[at], 'body', sq.BODY_BYTES), options = {due = 0, lasting = true}}
    elseif run then run.last = at
    else
      run = {level = level, task = task, first = at, last = at}
      steps[#steps + 1] = run
    end
  end
  return bytes
end

-- Jobs of one task in one lane, their bodies in args[i] … args[last]; `text` is `<lane>[ <cost>]`.
local function read_laned(steps, args, i, last, level, task, text)
  local lane, cost = string.match(text, '^(%S+) ?(%S*)$')
  sq.check_lane(lane)
  if cost ~= '' then sq.check_cost(cost) else cost = nil end
  local step, bytes = {level = level, task = task, lane = lane, cost = cost, text = text, args = {}}, 0
  steps[#steps + 1] = step
  for at = i, last do
    local size = #args[at]
    bytes = bytes + size
    if size <= sq.INLINE_BYTES then step.args[#step.args + 1] = args[at]
    else
      local options = {due = 0, lasting = true, lane = lane, cost = cost}
      steps[#steps + 1] = {level = level, task = task, body = sq.text(args[at], 'body', sq.BODY_BYTES), options = options}
      step = {level = level, task = task, lane = lane, cost = cost, text = text, args = {}}
      steps[#steps + 1] = step
    end
  end
  return bytes
end

-- `<level>`, `<level>*<count>`, `<level>=<count>` or `<level>:<arguments>`: the level, the mark, the number.
local function read_spec(spec)
  if LEVELS[spec] then return spec, '*', 1 end
  local level, mark, n = string.match(spec, '^(%d)([*=:])(%d+)$')
  if not level or #n > 4 then
    sq.refuse('INVALID', 'spec is ' .. sq.shown(spec) .. '; <level>, <level>*<jobs>, <level>=<jobs> or <level>:<arguments> is due')
  end
  return level, mark, tonumber(n)
end

-- One spec and its jobs from args[i] on. Returns how many jobs and bytes they are, and the index behind them.
local function read_step(c, steps, args, i)
  local level, mark, n = read_spec(args[i])
  local task, body = sq.task(args[i + 1]), args[i + 2]
  local last = mark == '*' and i + 1 + n or mark == '=' and i + 2 + n or i + 2
  if n < 1 or not args[last] then sq.refuse('INVALID', 'spec ' .. sq.shown(args[i]) .. ' of ' .. task .. ': its bodies are missing') end
  if mark == '*' then return n, read_plain(steps, args, i + 2, last, level, task), last + 1 end
  if mark == '=' then return n, read_laned(steps, args, i + 3, last, level, task, body), last + 1 end
  local options, behind = read_options(c, args, i + 3, n, level)
  steps[#steps + 1] = {level = level, task = task, body = sq.text(body, 'body', sq.BODY_BYTES), options = options}
  return 1, #body, behind
end

-- What a call adds, in order: {level, task, first, last} for plain jobs whose bodies are args[first] … args[last],
-- {level, task, lane, args …} for those of a lane, {level, task, body, options} for one with options; and how many jobs that is.
local function read_steps(c, args, i)
  local steps, jobs, bytes, last = {}, 0, 0, #args
  while i <= last do
    local count, size, behind = read_step(c, steps, args, i)
    jobs, bytes, i = jobs + count, bytes + size, behind
  end
  if jobs == 0 or jobs > sq.BATCH then sq.refuse('LIMIT', jobs .. ' jobs; a call adds 1 to ' .. sq.BATCH) end
  if bytes > sq.CALL_BYTES then sq.refuse('LIMIT', bytes .. ' bytes of bodies; a call carries at most ' .. sq.CALL_BYTES) end
  return steps, jobs
end

-- One job with options, as the arguments from args[i] on describe it; it gets a record whatever they say.
function sq.read_job(c, args, i)
  local steps = {}
  if not args[i] then sq.refuse('INVALID', 'the job is missing: spec, task, body and its pairs are due') end
  local n, _, behind = read_step(c, steps, args, i)
  local job = steps[1]
  if n ~= 1 or behind <= #args or job.lane then sq.refuse('INVALID', 'one job is due: spec, task, body and its pairs') end
  if not job.options then job.body, job.options = args[job.first], {due = 0} end
  job.options.lasting = true
  return job
end

-- A job that wants to be refused when its key is held, also by another one of the same batch.
local function check_conflicts(c, steps)
  local claimed = {}
  for _, step in ipairs(steps) do
    local o = step.options
    if o and o.unique then
      local holder = claimed[o.unique] or sq.holder(c, o.unique)
      if holder and (o.on_conflict == 'reject' or o.id) then
        sq.refuse('CONFLICT', holder .. ' holds the unique key ' .. sq.shown(o.unique))
      end
      claimed[o.unique] = holder or 'another job of this call'
    end
  end
end

-- What a call says of a job beside its level and its times, with more fields; a later call with the same unique key may
-- say it anew.
function sq.keep_content(c, id, job, ...)
  local o, key = job.options, sq.record(c, id)
  local is_large = #job.body > sq.INLINE_BYTES or o.record
  redis.call('HSET', key, 'task', job.task, is_large and 'large' or 'body', job.body, ...)
  if o.parent then redis.call('HSET', key, 'parent', o.parent) end
  if o.tags then
    redis.call('HSET', key, 'tags', o.tags)
    for tag in string.gmatch(o.tags, '[^,]+') do redis.call('ZADD', c.anchor .. ':tag:' .. tag, c.ms, id) end
  end
end

local function keep_record(c, id, job)
  local o, key = job.options, sq.record(c, id)
  sq.keep_content(c, id, job, 'level', job.level, 'created', sq.num(c.ms),
    'state', o.due > c.now and 'scheduled' or o.lane and 'waiting' or 'pending')
  if o.lane then redis.call('HSET', key, 'lane', o.lane, 'cost', o.cost or '1') end
  if o.due > c.now then redis.call('HSET', key, 'due', o.due) end
  if o.expires then redis.call('HSET', key, 'expires', o.expires) end
  if o.deadline then redis.call('HSET', key, 'deadline', o.deadline) end
  if o.unique then redis.call('HSET', key, 'unique', o.unique, 'until', o.mode) end
  if o.debounce then sq.note_debounce(c, id, o, c.now) end
end

-- A job that waits: for its time, or for the end of the one that it follows. Its id is the generator's next.
local function add_waiting(c, job, predecessor)
  local id = job.level .. '-' .. sq.next_id(c)
  keep_record(c, id, job)
  if predecessor then
    sq.follow(c, id, predecessor)
    return id
  end
  sq.delay(c, id, job.options.due)
  c.added_due = true
  return id
end

local function add_ready(c, job)
  local entry = sq.add(c, job.level, sq.RECORD)
  local id = job.level .. '-' .. entry
  keep_record(c, id, job)
  redis.call('HSET', sq.record(c, id), 'entry', entry)
  return id
end

-- Its gate is set when all jobs of the call are there: ids are drawn in a row.
local function add_gated(c, job)
  local drawn = sq.next_id(c)
  local id = job.level .. '-' .. (job.options.id or drawn)
  keep_record(c, id, job)
  c.gating[#c.gating + 1] = {id, job.options}
  return id
end

-- Adds a job with options under the generator's next id; the job that stands for it instead, if its unique key is held.
local function add_job(c, job)
  local o = job.options
  if not o.lasting then
    if o.lane then sq.add_laned(c, job.level, job.task, o.lane, o.cost, {job.body})
    else sq.add(c, job.level, job.task, job.body) end
    return
  end
  local standing, predecessor
  if o.unique then standing, predecessor = sq.meet(c, job) end
  if standing then
    sq.next_id(c)
    return standing
  end
  local id
  if o.gated then id = add_gated(c, job)
  elseif predecessor or o.due > c.now then id = add_waiting(c, job, predecessor)
  elseif o.lane then
    id = sq.add_recorded(c, job.level, o.lane, o.cost, sq.latest(o.expires, nil, o.deadline), #job.body)
    keep_record(c, id, job)
  else id = add_ready(c, job) end
  if o.unique and not predecessor then sq.hold(c, o.unique, id, o.mode) end
end

-- Adds one job that `read_job` read: its id, or nil and the job that holds its unique key.
function sq.add_one(c, job)
  if job.options.lane then sq.use_flow(c) end
  local holder = add_job(c, job)
  if holder then return nil, holder end
  local id = job.level .. '-' .. sq.id(c, c.seq)
  sq.join_lanes(c)
  if c.gating then sq.enter_gates(c) end
  sq.count_enqueued(c, 1)
  return id
end

-- Those who sleep learn what was added.
function sq.announce(c)
  if c.added_due then sq.watch_over(c) end
  if next(c.adding) and not c.paused then sq.ring(c, 1) end
end

local function has_lanes(steps)
  for _, step in ipairs(steps) do
    if step.lane or (step.options and step.options.lane) then return true end
  end
end

-- Adds all; the runs of ids `<ms>-<seq> <count> …` and the conflicts {index, job …}. The generator may jump before the
-- first job of a step (past what a stranger added), never within one.
local function add_all(c, args, steps)
  local runs, conflicts, first, count, ms, seq, index = {}, {}, nil, 0, nil, nil, 0
  for _, step in ipairs(steps) do
    local n, holder = 1, nil
    if step.options then holder = add_job(c, step)
    elseif step.lane then n = sq.add_laned(c, step.level, step.task, step.lane, step.cost, step.args)
    else n = sq.add_run(c, step.level, step.task, args, step.first, step.last) end
    if c.ms ~= ms or c.seq ~= seq + n then
      if first then runs[#runs + 1] = first .. ' ' .. count end
      first, count = sq.id(c, c.seq - n + 1), 0
    end
    count, ms, seq = count + n, c.ms, c.seq
    if holder then
      conflicts[#conflicts + 1] = index
      conflicts[#conflicts + 1] = holder
    end
    index = index + n
  end
  runs[#runs + 1] = first .. ' ' .. count
  return table.concat(runs, ' '), conflicts
end

-- What the channel answered last, when this call is a repetition of it.
local function repeated(key, channel, seq)
  local old = redis.call('HGET', key, channel)
  if not old then return nil end
  local last, runs, conflicts = string.match(old, '^(%d+) ([%d %-]+)|(.*)$')
  last = tonumber(last)
  if last > seq then
    sq.refuse('STALE', string.format('call %.0f of channel %s is older than %.0f, which was executed; nothing was added', seq, channel, last))
  end
  if last < seq then return nil end
  local found = {}
  for index, job in string.gmatch(conflicts, '(%d+) (%S+)') do
    found[#found + 1] = tonumber(index)
    found[#found + 1] = job
  end
  return {runs, found}
end

-- The name of a producer is forgotten a day after its last new channel: one is used for half a day at most.
local function remember_answer(key, channel, seq, runs, conflicts)
  local new = redis.call('HSET', key, channel, seq .. ' ' .. runs .. '|' .. table.concat(conflicts, ' '))
  if new == 1 then redis.call('EXPIRE', key, PRODUCER_TTL) end
end

-- now, producer, channel, seq, (spec task body … [name value …]) … -> {runs, conflicts}
local function enqueue(anchor, args)
  local c, producer, channel = sq.begin(anchor, args[1]), sq.text(args[2], 'producer', 64), sq.text(args[3], 'channel', 8)
  local seq, key = sq.whole(args[4], 'seq', 0, 9e15), anchor .. ':producer:' .. producer
  if producer ~= '-' then
    local answer = repeated(key, channel, seq)
    if answer then return answer end
  end
  local steps, jobs = read_steps(c, args, 5)
  check_conflicts(c, steps)
  sq.check_room(c, steps)
  -- checked: first write
  if has_lanes(steps) then sq.use_flow(c) end
  local runs, conflicts = add_all(c, args, steps)
  sq.join_lanes(c)
  if c.gating then sq.enter_gates(c) end
  if producer ~= '-' then remember_answer(key, channel, args[4], runs, conflicts) end
  sq.count_enqueued(c, jobs - #conflicts / 2)
  sq.announce(c)
  sq.save(c)
  return {runs, conflicts}
end

sq.register('enqueue', {}, enqueue)
