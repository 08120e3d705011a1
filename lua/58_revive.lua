-- Jobs of a flow that ended without success are run again from where it stopped, those behind them too. Functions: revive.
-- What must hold: a revived job keeps its id, its body and what it has been given of its parents; its flow hears that it is
-- open before it hears of its next end, which `run` orders.

local MOST = 100
local REVIVABLE = {dead = true, skipped = true, cancelled = true, expired = true}

local function read_job(c, args, i)
  local job, edges = sq.job(args[i]), args[i + 1] ~= '-' and sq.read_edges(args[i + 1]) or nil
  local r = redis.call('HMGET', sq.record(c, job), 'state', 'flow', 'unique', 'until', 'inputs', 'tags')
  if not r[2] then sq.refuse('NOTFOUND', 'nothing is kept of job ' .. args[i] .. ' of a flow') end
  if not REVIVABLE[r[1]] then sq.refuse('STATE', 'job ' .. args[i] .. ' is ' .. r[1] .. ' and cannot be run again') end
  local holder = r[3] and sq.holder(c, r[3])
  if holder and holder ~= job then sq.refuse('CONFLICT', holder .. ' holds the unique key ' .. sq.shown(r[3])) end
  return {id = job, edges = edges, state = r[1], flow = r[2], unique = r[3], mode = r[4], inputs = r[5], tags = r[6]}
end

-- Its flow hears that the job will end once more.
function sq.reopen(c, job, flow)
  local run = redis.call('HINCRBY', sq.record(c, job), 'revived', 1)
  sq.tell_flow(c, flow, job, 'open', run)
end

local function revive_job(c, job)
  local key = sq.record(c, job.id)
  redis.call('PERSIST', key)
  redis.call('HDEL', key, 'reason', 'because', 'died', 'attempt', 'parked', 'traceback', 'expires', 'deadline', 'first', 'ended', 'due')
  redis.call('ZREM', c.anchor .. ':dead', job.id)
  sq.count(c, job.state, -1)
  if job.unique then sq.hold(c, job.unique, job.id, job.mode) end
  for tag in string.gmatch(job.tags or '', '[^,]+') do redis.call('ZADD', c.anchor .. ':tag:' .. tag, c.ms, job.id) end
  sq.remember(c, job.id, 'revived')
  sq.hold_again(c, job.id, job.inputs)
  sq.reopen(c, job.id, job.flow)
  sq.find_children(c, job.id)
  if job.edges then sq.set_gate(c, job.id, job.edges, job.flow) else sq.open_gate(c, job.id) end
end

-- now, (job edges) … -> 1; edges are `-` for a job that waits for nothing
local function revive(anchor, args)
  local c, jobs, edges = sq.begin(anchor, args[1]), {}, 0
  if #args % 2 ~= 1 or #args < 3 or #args > 2 * MOST + 1 then sq.refuse('INVALID', 'pairs of job and edges are due, 1 to ' .. MOST) end
  for i = 2, #args, 2 do
    jobs[#jobs + 1] = read_job(c, args, i)
    edges = edges + #(jobs[#jobs].edges or {})
  end
  if edges > sq.CALL_EDGES then sq.refuse('LIMIT', edges .. ' edges; a call adds at most ' .. sq.CALL_EDGES) end
  -- checked: first write
  for _, job in ipairs(jobs) do revive_job(c, job) end
  sq.save(c)
  return 1
end

sq.register('revive', {}, revive)
