-- Flows: jobs that were put in together, kept track of in one shard, their home; the jobs may be in several.
--   flow:<id>       name, state, created, total, undos, completed, dead, …: how many of its jobs ended how, …
--   flow:<id>:jobs  full id of a job → `main` or `undo`, then what its client says of it
--   flow:<id>:ends  full id of a job → `<status> <run> <ms>`; status is open while it is run again
--   flows           flow → when it was made
--   building        flow → since when its jobs have been added (monotonic clock)
-- Its id is that of a job of level 0 that does not exist; the same with level 1 is its start, for which its first jobs wait,
-- so that a flow of which a part is missing never runs. Its own end is one that jobs can wait for: its undo jobs do.
-- Functions: reserve, flow_open, flow_describe, flow_commit, flow_cancel.
-- What must hold: a job that ended is counted once, however often its shard says so; a flow ends when all of its main jobs
-- have; a flow that nobody commits is given up; a call touches at most ROWS of its jobs.

local ROWS, PAGE = 500, 250
local GIVEN_UP = 3600000         -- ms that a flow may take to be added
local FAILED = {dead = true, cancelled = true, expired = true}

local function flow_key(c, flow) return c.anchor .. ':flow:' .. flow end

-- The id of the flow whose end, or whose start, a job waits for by this id; nothing when there is none.
function sq.flow_of(c, job)
  local level = string.sub(job, 1, 1)
  if level ~= '0' and level ~= '1' then return end
  local flow = '0' .. string.sub(job, 2)
  if redis.call('EXISTS', flow_key(c, flow)) == 1 then return flow end
end

local ENDS = {completed = 'completed', failed = 'dead', cancelled = 'cancelled'}

-- How the flow ended, or began, as its jobs are told; nil while that is to come. And whether there is such a flow.
function sq.flow_end(c, job)
  local flow = sq.flow_of(c, job)
  if not flow then return nil, false end
  local r = redis.call('HMGET', flow_key(c, flow), 'state', 'started', 'revived', 'outcome')
  if flow == job then
    local how = ENDS[r[1] == 'undoing' and r[4] or r[1]]
    return how and how .. (r[3] and '@' .. r[3] or ''), true
  end
  return r[2] and 'completed' or r[1] == 'cancelled' and 'cancelled' or nil, true
end

-- What those hear who wait for the end of a flow that failed.
function sq.flow_failure(c, flow)
  local r = redis.call('HMGET', flow_key(c, flow), 'outcome', 'name', 'failures')
  if r[1] ~= 'failed' then return '' end
  return sq.failure('FlowFailed: ' .. r[3] .. ' of the jobs of ' .. r[2] .. ' failed')
end

-- A job of a flow has ended: told with the end of the call. `flow` is its id, and ` undo` for a job that undoes.
function sq.tell_flow(c, flow, job, status, run)
  c.ends = c.ends or {}
  local words = c.ends[flow]
  if not words then
    words = {}
    c.ends[flow], c.ends[#c.ends + 1] = words, flow
  end
  words[#words + 1] = sq.full(c, job) .. ' ' .. status .. ' ' .. (run or '0')
end

function sq.tell_flows(c)
  local ends = c.ends
  c.ends = nil
  for _, flow in ipairs(ends) do
    local id, words = string.gsub(flow, ' undo$', ''), ends[flow]
    local place, job = sq.apart(id)
    for i = 1, #words, 100 do
      local text = table.concat(words, ' ', i, math.min(i + 99, #words))
      if place == sq.place(c) then sq.hear_ends(c, job, text) else sq.send(c, place, 'ended', id, '-', text) end
    end
  end
end

local function finish_flow(c, flow, state)
  local key = flow_key(c, flow)
  redis.call('HSET', key, 'state', state, 'ended', c.now)
  for _, part in ipairs{key, key .. ':jobs', key .. ':ends'} do redis.call('PEXPIRE', part, redis.call('HGET', key, 'keep')) end
end

-- All main jobs have ended: so has the flow, for those who wait for it; those that undo go on.
local function conclude(c, flow, r)
  local state = r.asked and 'cancelled' or r.failures > 0 and 'failed' or 'completed'
  redis.call('HSET', flow_key(c, flow), 'outcome', state)
  if state ~= 'completed' and r.undone < r.undos then redis.call('HSET', flow_key(c, flow), 'state', 'undoing', 'ended', c.now)
  else finish_flow(c, flow, state) end
  sq.tell_waiters(c, flow, ENDS[state], sq.flow_failure(c, flow))
  sq.begin_closing(c, flow, (sq.flow_end(c, flow)))
end

local COUNTS = {'completed', 'dead', 'cancelled', 'expired', 'skipped', 'ended_main', 'ended_undo', 'failures'}
local COUNTED = {'state', 'total', 'undos', 'ended_main', 'ended_undo', 'failures', 'asked', 'outcome'}

local function review(c, flow)
  local found, r = redis.call('HMGET', flow_key(c, flow), unpack(COUNTED)), {}
  for i, name in ipairs(COUNTED) do r[name] = tonumber(found[i]) or 0 end
  r.state, r.asked, r.undone = found[1], found[7], r.ended_undo
  if r.state == 'undoing' and r.undone >= r.undos then return finish_flow(c, flow, found[8]) end
  if r.state == 'running' and r.ended_main >= r.total then conclude(c, flow, r) end
end

local function count_end(counts, role, status, n)
  local own = string.match(status, '^%-?(%a+)$')
  counts[own] = (counts[own] or 0) + n
  counts['ended_' .. role] = (counts['ended_' .. role] or 0) + n
  if role == 'main' and FAILED[status] then counts.failures = (counts.failures or 0) + n end
end

-- One job: what is older than what is known, or known, counts for nothing. Whether it is one that runs again.
local function hear_end(counts, changed, one, said, old)
  local role = string.match(said or '', '^%a+')
  local was, was_run = string.match(old or '', '^(%S+) (%d+)')
  if not role or (was and (one.run < tonumber(was_run) or (one.run == tonumber(was_run) and was ~= 'open'))) then return false end
  if was and was ~= 'open' then count_end(counts, role, was, -1) end
  if one.status ~= 'open' then count_end(counts, role, one.status, 1) end
  changed[one.job] = one.status .. ' ' .. one.run
  return one.status == 'open' and role == 'main'
end

local function reopen_flow(c, flow)
  local key = flow_key(c, flow)
  if redis.call('HGET', key, 'state') ~= 'running' then redis.call('HINCRBY', key, 'revived', 1) end
  redis.call('HSET', key, 'state', 'running')
  redis.call('HDEL', key, 'ended', 'outcome', 'asked')
  redis.call('UNLINK', c.anchor .. ':end:' .. flow)
  for _, part in ipairs{key, key .. ':jobs', key .. ':ends'} do redis.call('PERSIST', part) end
end

-- `<job> <status> <run> …`, at most 100 jobs of a flow that lives here.
function sq.hear_ends(c, flow, text)
  local key, jobs, heard, counts, changed, reopens = flow_key(c, flow), {}, {}, {}, {}, false
  for job, status, run in string.gmatch(text, '(%S+) (%S+) (%d+)') do
    jobs[#jobs + 1], heard[#heard + 1] = job, {job = job, status = status, run = tonumber(run)}
  end
  if #jobs == 0 or redis.call('EXISTS', key) == 0 then return end
  local said, old = redis.call('HMGET', key .. ':jobs', unpack(jobs)), redis.call('HMGET', key .. ':ends', unpack(jobs))
  for i, one in ipairs(heard) do
    reopens = hear_end(counts, changed, one, said[i], changed[one.job] or old[i]) or reopens
  end
  for _, job in ipairs(jobs) do
    if changed[job] then redis.call('HSET', key .. ':ends', job, changed[job] .. ' ' .. sq.num(c.now)) end
  end
  for _, name in ipairs(COUNTS) do
    if (counts[name] or 0) ~= 0 then redis.call('HINCRBY', key, name, counts[name]) end
  end
  if reopens then reopen_flow(c, flow) end
  review(c, flow)
end

-- A flow that was never committed; its jobs are cancelled, those of other shards when they ask.
local function give_up(c, flow)
  redis.call('ZREM', c.anchor .. ':building', flow)
  finish_flow(c, flow, 'cancelled')
  sq.begin_closing(c, '1' .. string.sub(flow, 2), 'cancelled')
end

function sq.give_up_flows(c)
  for _, flow in ipairs(redis.call('ZRANGE', c.anchor .. ':building', '-inf', c.mono - GIVEN_UP, 'BYSCORE', 'LIMIT', 0, 10)) do give_up(c, flow) end
end

-- Flows whose time is over leave the list, some a call.
local function trim_flows(c)
  for _, flow in ipairs(redis.call('ZRANGE', c.anchor .. ':flows', 0, 9)) do
    if redis.call('EXISTS', flow_key(c, flow)) == 0 then redis.call('ZREM', c.anchor .. ':flows', flow) end
  end
end

local OVER = {completed = true, failed = true, cancelled = true}

-- Is there a flow that has not ended?
function sq.has_flows(c)
  for _, flow in ipairs(redis.call('ZRANGE', c.anchor .. ':flows', 0, -1)) do
    local state = redis.call('HGET', flow_key(c, flow), 'state')
    if state and not OVER[state] then return true end
  end
end

-- They go with their queue.
function sq.remove_flows(c)
  for _, flow in ipairs(redis.call('ZRANGE', c.anchor .. ':flows', 0, -1)) do
    local key = flow_key(c, flow)
    redis.call('UNLINK', key, key .. ':jobs', key .. ':ends')
  end
end

local function draw(c, n)
  local first = sq.next_id(c)
  c.seq = c.seq + n - 1
  return first
end

-- now, n -> the first of n ids `<ms>-<seq>` in a row
local function reserve(anchor, args)
  local c, n = sq.begin(anchor, args[1]), sq.whole(args[2], 'n', 1, 1000000)
  -- checked: first write
  local first = draw(c, n)
  sq.save(c)
  return first
end

-- now, name, keep ms, n -> the flow's id without its level, behind which there are n more
local function flow_open(anchor, args)
  local c, name = sq.begin(anchor, args[1]), sq.text(args[2], 'name', 128)
  local keep, n = sq.whole(args[3], 'keep', 1000, 1e11), sq.whole(args[4], 'n', 0, 1000000)
  -- checked: first write
  local first = draw(c, n + 1)
  redis.call('HSET', flow_key(c, '0-' .. first), 'name', name, 'state', 'building', 'created', c.now, 'keep', keep, 'total', 0, 'undos', 0)
  redis.call('ZADD', anchor .. ':flows', c.now, '0-' .. first)
  redis.call('ZADD', anchor .. ':building', c.mono, '0-' .. first)
  trim_flows(c)
  sq.save(c)
  return first
end

-- `role job text` from args[i] on, checked: {main = {job, text, …}, undo = {…}}.
local function read_rows(args, i)
  local rows = {main = {}, undo = {}}
  if (#args - i + 1) % 3 ~= 0 then sq.refuse('INVALID', 'rows have three parts: role job text') end
  if #args - i + 1 > 3 * ROWS then sq.refuse('LIMIT', 'more than ' .. ROWS .. ' rows') end
  for k = i, #args, 3 do
    local list = rows[args[k]]
    if not list then sq.refuse('INVALID', 'role is ' .. sq.shown(args[k]) .. '; main or undo is due') end
    sq.apart(args[k + 1])
    list[#list + 1] = args[k + 1]
    list[#list + 1] = args[k] .. ' ' .. sq.text(args[k + 2], 'text', 262144)
  end
  return rows
end

local function describe(c, flow, rows)
  for role, name in pairs{main = 'total', undo = 'undos'} do
    if #rows[role] > 0 then
      local key = flow_key(c, flow)
      redis.call('HINCRBY', key, name, redis.call('HSET', key .. ':jobs', unpack(rows[role])))
    end
  end
end

local function known_flow(c, id)
  local flow = sq.job(id)
  local state = redis.call('HGET', flow_key(c, flow), 'state')
  if not state then sq.refuse('NOTFOUND', 'no flow ' .. sq.shown(id) .. '; it is kept for a time after its end') end
  return flow, state
end

-- now, flow, (role job text) … -> 1. Jobs that are added while the flow runs are described before they are added.
local function flow_describe(anchor, args)
  local c = sq.begin(anchor, args[1])
  local flow, state = known_flow(c, args[2])
  local rows = read_rows(args, 3)
  if state ~= 'building' and state ~= 'running' then sq.refuse('STATE', 'flow ' .. args[2] .. ' is ' .. state .. ': it takes no more jobs') end
  -- checked: first write
  describe(c, flow, rows)
  sq.save(c)
  return 1
end

-- now, flow, (role job text) … -> 1. All is there: it runs.
local function flow_commit(anchor, args)
  local c = sq.begin(anchor, args[1])
  local flow, state = known_flow(c, args[2])
  local rows = read_rows(args, 3)
  if state == 'cancelled' then sq.refuse('STATE', 'flow ' .. args[2] .. ' was given up; enqueue it anew') end
  if state ~= 'building' then return 1 end
  -- checked: first write
  describe(c, flow, rows)
  redis.call('HSET', flow_key(c, flow), 'state', 'running', 'started', c.now)
  redis.call('ZREM', anchor .. ':building', flow)
  sq.begin_closing(c, '1' .. string.sub(flow, 2), 'completed')
  review(c, flow)
  sq.save(c)
  return 1
end

-- now, flow, cursor -> the next cursor; - begins, an empty one ends. Its undo jobs are left alone.
local function flow_cancel(anchor, args)
  local c, cursor = sq.begin(anchor, args[1]), args[3] == '-' and '0' or sq.num(sq.whole(args[3], 'cursor', 0, 1.8e19))
  local flow, state = known_flow(c, args[2])
  local key = flow_key(c, flow)
  -- checked: first write
  if state == 'building' then give_up(c, flow) end
  if state ~= 'running' then
    sq.save(c)
    return ''
  end
  redis.call('HSET', key, 'asked', '1')
  local found = redis.call('HSCAN', key .. ':jobs', cursor, 'COUNT', PAGE)
  for i = 1, #found[2], 2 do
    local job = found[2][i]
    local ended = redis.call('HGET', key .. ':ends', job)
    if string.sub(found[2][i + 1], 1, 5) == 'main ' and (not ended or string.find(ended, '^open ')) then
      local place, id = sq.apart(job)
      if place == sq.place(c) then sq.cancel(c, id) else sq.send(c, place, 'cancel', job, '-', '') end
    end
  end
  sq.save(c)
  return found[1] == '0' and '' or found[1]
end

sq.register('reserve', {}, reserve)
sq.register('flow_open', {}, flow_open)
sq.register('flow_describe', {}, flow_describe)
sq.register('flow_commit', {'allow-oom'}, flow_commit)
sq.register('flow_cancel', {'allow-oom'}, flow_cancel)
