-- Flows: jobs that were put in together, kept track of in one shard, their home; the jobs may be in several.
--   flow:<id>       name, state, created, total, undos, completed, dead, …: how many of its jobs ended how, …
--   flow:<id>:jobs  full id of a job → `main` or `undo`, then what its client says of it
--   flow:<id>:ends  full id of a job → `<status> <run> <ms>`; status is open while it is run again
--   flows           flow → when it was made
--   building        flow → since when its jobs have been added (monotonic clock)
--   running         flow → when jobs of other shards that it has not heard of are asked for again (monotonic clock)
-- Its id is that of a job of level 0 that does not exist; the same with level 1 is its start, for which its first jobs wait,
-- so that a flow of which a part is missing never runs. Its own end is one that jobs can wait for: its undo jobs do.
-- What must hold: a job that ended is counted once, however often its shard says so; a flow ends when all of its main jobs
-- have; a flow that nobody commits is given up.

local GIVEN_UP = 3600000         -- ms that a flow may take to be added
local ASKED = 50                 -- jobs that a sweep asks for
sq.FLOW_ASKS = 300000            -- ms after which a flow asks
local FAILED = {dead = true, cancelled = true, expired = true}

function sq.flow_key(c, flow) return c.anchor .. ':flow:' .. flow end

-- The id of the flow whose end, or whose start, a job waits for by this id; nothing when there is none.
function sq.flow_of(c, job)
  local level = string.sub(job, 1, 1)
  if level ~= '0' and level ~= '1' then return end
  local flow = '0' .. string.sub(job, 2)
  if redis.call('EXISTS', sq.flow_key(c, flow)) == 1 then return flow end
end

local ENDS = {completed = 'completed', failed = 'dead', cancelled = 'cancelled'}

-- How the flow ended, or began, as its jobs are told; nil while that is to come. And whether there is such a flow.
function sq.flow_end(c, job)
  local flow = sq.flow_of(c, job)
  if not flow then return nil, false end
  local r = redis.call('HMGET', sq.flow_key(c, flow), 'state', 'started', 'revived', 'outcome')
  if flow == job then
    local how = ENDS[r[1] == 'undoing' and r[4] or r[1]]
    return how and how .. (r[3] and '@' .. r[3] or ''), true
  end
  return r[2] and 'completed' or r[1] == 'cancelled' and 'cancelled' or nil, true
end

-- What those hear who wait for the end of a flow that failed.
function sq.flow_failure(c, flow)
  local r = redis.call('HMGET', sq.flow_key(c, flow), 'outcome', 'name', 'failures')
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
  local key = sq.flow_key(c, flow)
  redis.call('ZREM', c.anchor .. ':running', flow)
  redis.call('HSET', key, 'state', state, 'ended', c.now)
  for _, part in ipairs{key, key .. ':jobs', key .. ':ends'} do redis.call('PEXPIRE', part, redis.call('HGET', key, 'keep')) end
end

-- All main jobs have ended: so has the flow, for those who wait for it; those that undo go on.
local function conclude(c, flow, r)
  local state = r.asked and 'cancelled' or r.failures > 0 and 'failed' or 'completed'
  redis.call('HSET', sq.flow_key(c, flow), 'outcome', state)
  if state ~= 'completed' and r.undone < r.undos then redis.call('HSET', sq.flow_key(c, flow), 'state', 'undoing', 'ended', c.now)
  else finish_flow(c, flow, state) end
  sq.tell_waiters(c, flow, ENDS[state], sq.flow_failure(c, flow))
  sq.begin_closing(c, flow, (sq.flow_end(c, flow)))
end

local COUNTS = {'completed', 'dead', 'cancelled', 'expired', 'skipped', 'ended_main', 'ended_undo', 'failures'}
local COUNTED = {'state', 'total', 'undos', 'ended_main', 'ended_undo', 'failures', 'asked', 'outcome'}

function sq.review_flow(c, flow)
  local found, r = redis.call('HMGET', sq.flow_key(c, flow), unpack(COUNTED)), {}
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
  local key = sq.flow_key(c, flow)
  if redis.call('HGET', key, 'state') ~= 'running' then redis.call('HINCRBY', key, 'revived', 1) end
  redis.call('HSET', key, 'state', 'running')
  redis.call('HDEL', key, 'ended', 'outcome', 'asked')
  redis.call('ZADD', c.anchor .. ':running', c.mono + sq.FLOW_ASKS, flow)
  redis.call('UNLINK', c.anchor .. ':end:' .. flow)
  for _, part in ipairs{key, key .. ':jobs', key .. ':ends'} do redis.call('PERSIST', part) end
end

-- `<job> <status> <run> …`, at most 100 jobs of a flow that lives here.
function sq.hear_ends(c, flow, text)
  local key, jobs, heard, counts, changed, reopens = sq.flow_key(c, flow), {}, {}, {}, {}, false
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
  sq.review_flow(c, flow)
end

-- A flow that was never committed; its jobs are cancelled, those of other shards when they ask.
function sq.give_up_flow(c, flow)
  redis.call('ZREM', c.anchor .. ':building', flow)
  finish_flow(c, flow, 'cancelled')
  sq.begin_closing(c, '1' .. string.sub(flow, 2), 'cancelled')
end

function sq.give_up_flows(c)
  for _, flow in ipairs(redis.call('ZRANGE', c.anchor .. ':building', '-inf', c.mono - GIVEN_UP, 'BYSCORE', 'LIMIT', 0, 10)) do sq.give_up_flow(c, flow) end
end

-- Some jobs of some flows that go on for long: has a message about their end been lost? What lives here tells in the same call.
function sq.ask_jobs(c)
  for _, flow in ipairs(redis.call('ZRANGE', c.anchor .. ':running', '-inf', c.mono, 'BYSCORE', 'LIMIT', 0, 2)) do
    local key = sq.flow_key(c, flow)
    local found = redis.call('HSCAN', key .. ':jobs', redis.call('HGET', key, 'asked_to') or '0', 'COUNT', ASKED)
    for i = 1, #found[2], 2 do
      local place, ended = sq.apart(found[2][i]), redis.call('HGET', key .. ':ends', found[2][i])
      if place ~= sq.place(c) and (not ended or string.find(ended, '^open ')) then
        local run = string.match(ended or '', '^open (%d+)') or '0'
        sq.send(c, place, 'report', found[2][i], run, sq.full(c, flow))
      end
    end
    redis.call('HSET', key, 'asked_to', found[1])
    if found[1] == '0' then redis.call('ZADD', c.anchor .. ':running', c.mono + sq.FLOW_ASKS, flow) end
  end
end

-- A flow asks for a job of this shard. One that nothing is known of any more is taken to have completed.
function sq.report_end(c, job, run, flow)
  local status, _, lives = sq.known_end(c, job)
  if lives then return end
  local word, its_run = string.match(status or 'completed', '^([^@]+)@?(%d*)$')
  if word == 'gone' then word = 'completed' end
  sq.tell_flow(c, flow, job, word, its_run ~= '' and its_run or run)
end

-- Flows whose time is over leave the list, some a call.
function sq.trim_flows(c)
  for _, flow in ipairs(redis.call('ZRANGE', c.anchor .. ':flows', 0, 9)) do
    if redis.call('EXISTS', sq.flow_key(c, flow)) == 0 then redis.call('ZREM', c.anchor .. ':flows', flow) end
  end
end

local OVER = {completed = true, failed = true, cancelled = true}

-- Is there a flow that has not ended?
function sq.has_flows(c)
  for _, flow in ipairs(redis.call('ZRANGE', c.anchor .. ':flows', 0, -1)) do
    local state = redis.call('HGET', sq.flow_key(c, flow), 'state')
    if state and not OVER[state] then return true end
  end
end

-- They go with their queue.
function sq.remove_flows(c)
  for _, flow in ipairs(redis.call('ZRANGE', c.anchor .. ':flows', 0, -1)) do
    local key = sq.flow_key(c, flow)
    redis.call('UNLINK', key, key .. ':jobs', key .. ':ends')
  end
end
