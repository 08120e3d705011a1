-- Gates: jobs that wait for the ends of other jobs, their parents, which may live in other shards.
--   gate:<job>      full id of an open parent → its edge: success, failure or any, with a + when its result is wanted, and
--                   @<run> when only an end of that run counts; `needs` while a failure is needed that no parent has had yet
--   gates           job → when its parents are asked again (monotonic clock)
--   children:<job>  full id of a child, a + behind it when it wants the result → its number
-- A status with a - before it is that of a job that did not run because of its own parents: nothing has failed there. One with
-- @<run> behind it is that of a job that was revived so often: what comes late of an earlier run closes nothing.
-- What must hold: a gate is a set, so closing an edge twice does nothing; a job leaves its gate once, by opening or by an
-- end that its children are told in turn.

local UNCLAIMED = 7200000        -- ms that children of a job are kept which is still to be added
local LOOKED_AT = 100            -- children of such a job that are looked at when it comes
local ASK_AFTER = 60000          -- ms; see 35_asking
local EDGES = 1000
sq.CALL_EDGES = 2000             -- edges that a call adds at most
sq.KIN = {'flow', 'children', 'because', 'revived'}
local ON = {success = true, failure = true, any = true}
local FAILED = {dead = true, cancelled = true, expired = true}
local FINAL = {completed = true, dead = true, cancelled = true, skipped = true, expired = true}
local TRAVELS = {cancelled = 'cancelled', ['-cancelled'] = 'cancelled', expired = 'expired', ['-expired'] = 'expired'}

local function gate_of(c, job) return c.anchor .. ':gate:' .. job end
function sq.children_key(c, job) return c.anchor .. ':children:' .. job end
function sq.end_key(c, job) return c.anchor .. ':end:' .. job end

function sq.place(c)
  c.place_name = c.place_name or string.match(c.anchor, '{(.+)}$')
  return c.place_name
end

-- The id that everybody knows the job by: its queue, and shard, stand before it.
function sq.full(c, job) return sq.place(c) .. '-' .. job end

-- The place and the local id of a full id.
function sq.apart(full)
  local place, job = string.match(full or '', '^([^%s{}]+)%-(%d%-%d+%-%d+)$')
  if not place or #full > 160 then sq.refuse('INVALID', 'job is ' .. sq.shown(full) .. '; a full id like mail-5-1732448000000-0 is due') end
  return place, sq.job(job)
end

-- `<full id>=<success | failure | any>[+][@<run>] …` as a list of edges.
function sq.read_edges(text)
  local edges, known = {}, {}
  for word in string.gmatch(sq.text(text, 'after', EDGES * 170), '%S+') do
    local place, job, on, wants, run = string.match(word, '^([^%s{}]+)%-(%d%-%d+%-%d+)=(%a+)(%+?)(@?%d*)$')
    if not ON[on or ''] then sq.refuse('INVALID', 'edge is ' .. sq.shown(word) .. '; <job>=success, failure or any is due, + behind it for the result') end
    if #job > 24 or #place > 100 then sq.apart(place .. '-' .. job) end        -- which sees more, and costs more
    local full = place .. '-' .. job
    if known[full] then sq.refuse('INVALID', 'job ' .. full .. ' is twice among the parents') end
    known[full], edges[#edges + 1] = true, {full = full, place = place, job = job, on = on, wants = wants, run = run}
  end
  if #edges == 0 or #edges > EDGES then sq.refuse('LIMIT', #edges .. ' parents; 1 to ' .. EDGES .. ' are due') end
  return edges
end

-- How a parent ended, as messages say it.
function sq.check_end(status)
  local word = string.match(sq.text(status, 'status', 32), '^%-?(%a+)$') or string.match(status, '^%-?(%a+)@%d%d?%d?%d?%d?%d?$')
  if not FINAL[word or ''] and word ~= 'gone' then
    sq.refuse('INVALID', 'status is ' .. sq.shown(status) .. '; the end of a job is due')
  end
end

-- The options of a job that has a gate, a flow, or an id that was reserved for it.
function sq.check_gated(c, o, level)
  o.gated, c.gating = true, c.gating or {}
  if o.after then
    o.edges = sq.read_edges(o.after)
    c.edges = (c.edges or 0) + #o.edges
    if c.edges > sq.CALL_EDGES then sq.refuse('LIMIT', c.edges .. ' edges; a call adds at most ' .. sq.CALL_EDGES) end
  end
  if o.flow then sq.apart(string.gsub(o.flow, ' undo$', '')) end
  if o.unique and o.on_conflict ~= 'existing' and o.on_conflict ~= 'reject' then
    sq.refuse('INVALID', 'a job that waits for others may only have a unique key with existing or reject')
  end
  if not o.id then return end
  if sq.before(sq.id(c, c.seq), sq.entry(o.id)) then sq.refuse('INVALID', 'id ' .. o.id .. ' was not reserved: it is ahead of all ids') end
  local job = level .. '-' .. o.id
  if c.gating[job] or redis.call('EXISTS', sq.record(c, job)) == 1 then
    sq.refuse('STATE', 'job ' .. job .. ' is there already; nothing was added')
  end
  c.gating[job] = true
end

-- How a job ended, with what is kept of its result; nil and true while it lives; nothing when it is unknown.
function sq.known_end(c, job)
  local now = c.ended and c.ended[job]
  if now then return now.status, now.result end
  local r = redis.call('HMGET', sq.record(c, job), 'state', 'result', 'because', 'revived')
  if r[1] and not FINAL[r[1]] then return nil, nil, true end
  local e = redis.call('HMGET', sq.end_key(c, job), 'status', 'result')
  if e[1] then return e[1], e[2] end
  if r[1] then return (r[3] and '-' or '') .. r[1] .. (r[4] and '@' .. r[4] or ''), r[2] end
  local status, is_flow = sq.flow_end(c, job)
  if is_flow then return status, nil, true end
  if sq.find(c, job).place ~= 'gone' then return nil, nil, true end
  return (sq.logged(c, job))
end

-- The parent has a child that must be told: known by its record, or, while it has none, by those who wait for its end.
local function mark_parent(c, job, wants)
  local r = redis.call('HMGET', sq.record(c, job), 'task', 'children')
  if r[1] then
    if not r[2] then sq.switch(c, 'parents', 1) end
    if not r[2] or (wants == '+' and r[2] ~= '+') then redis.call('HSET', sq.record(c, job), 'children', wants) end
  elseif not sq.flow_of(c, job) then sq.await(c, job, '@children') end
end

-- A child, by its full id, shall be told how the job ends; how that has ended already, else nothing. A parent that the child's
-- own flow adds may come later.
function sq.attend(c, job, child, wants, may_come)
  c.attended = c.attended or {}
  local marked = c.attended[job]             -- what this call has found out of a parent that lives: 1.5 us less an edge
  if not marked then
    local status, result, lives = sq.known_end(c, job)
    if status then return status, result end
    if not lives and not may_come then return 'gone' end
    marked = lives and '' or 'absent'
    if lives then mark_parent(c, job, wants) end
  elseif marked == '' and wants == '+' then mark_parent(c, job, wants) end
  c.attended[job] = marked == 'absent' and marked or wants == '+' and wants or marked
  redis.call('ZADD', sq.children_key(c, job), string.match(child, '(%d+)$'), child .. wants)
  if marked == 'absent' then redis.call('PEXPIRE', sq.children_key(c, job), UNCLAIMED) end
end

-- Does a child want the result of this job, which has a record?
function sq.feeds_children(c, job)
  return c.parents > 0 and redis.call('HGET', sq.record(c, job), 'children') == '+'
end

-- A job is added of which children came first.
function sq.find_children(c, job)
  local some = redis.call('ZRANGE', sq.children_key(c, job), 0, LOOKED_AT - 1)
  if #some == 0 then return end
  redis.call('PERSIST', sq.children_key(c, job))
  local wants = #some == LOOKED_AT and '+' or ''
  for _, child in ipairs(some) do wants = string.match(child, '%+$') or wants end
  mark_parent(c, job, wants)
end

local function leave_gate(c, job)
  local was = redis.call('ZREM', c.anchor .. ':gates', job)
  redis.call('UNLINK', gate_of(c, job))
  sq.count(c, 'waiting', -was)
  return was == 1
end
sq.leave_gate, sq.gate_key = leave_gate, gate_of

-- Nothing holds the job any more, except its time.
function sq.open_gate(c, job)
  local r = redis.call('HMGET', sq.record(c, job), 'level', 'due')
  if not r[1] then return sq.count(c, 'purged', 1) end
  local due = tonumber(r[2] or 0)
  if due <= c.now and pcall(sq.make_ready, c, job, r[1]) then c.opened = true
  else
    redis.call('HSET', sq.record(c, job), 'state', 'scheduled', 'due', math.max(due, c.now))
    sq.delay(c, job, math.max(due, c.now))
    c.added_due = true
  end
end

-- What it needs cannot come to pass any more, because of this parent.
local function shut_gate(c, job, parent, status, state)
  if not leave_gate(c, job) then return end
  redis.call('HSET', sq.record(c, job), 'because', parent, 'reason', 'its parent ' .. parent .. ' was ' .. string.gsub(status, '^%-', ''))
  sq.finish_job(c, job, nil, state)
end

-- The parent has ended: this edge of the child is closed, and perhaps that was the last.
function sq.close_edge(c, job, parent, status, result)
  local gate = gate_of(c, job)
  local edge = redis.call('HGET', gate, parent)
  if not edge then return sq.keep_for_later(c, job, parent, status, result) end
  local on, wants, due = string.match(edge, '^(%a+)(%+?)@?(%d*)$')
  local run
  status, run = string.match(status, '^([^@]+)@?(%d*)$')
  if tonumber(run ~= '' and run or 0) < tonumber(due ~= '' and due or 0) then return end
  if wants == '+' then sq.put_output(c, parent, status, result) end
  redis.call('HDEL', gate, parent)
  if on == 'success' and status ~= 'completed' then return shut_gate(c, job, parent, status, TRAVELS[status] or 'skipped') end
  if on == 'failure' and FAILED[status] then redis.call('HDEL', gate, 'needs') end
  local left = redis.call('HLEN', gate)
  if left == 1 and redis.call('HEXISTS', gate, 'needs') == 1 then return shut_gate(c, job, parent, status, 'skipped') end
  if left == 0 and leave_gate(c, job) then sq.open_gate(c, job) end
end

-- Asks for the end of the edge's parent, wherever it is.
function sq.ask_parent(c, job, edge, may_come)
  if edge.place == sq.place(c) then return sq.attend(c, edge.job, sq.full(c, job), edge.wants, may_come) end
  sq.send(c, edge.place, 'attend', edge.full, may_come and 'flow' or '-', sq.full(c, job) .. edge.wants)
end

-- The job, which has a record, waits for its parents; those that have ended already are closed at once.
function sq.set_gate(c, job, edges, flow)
  local fields, ended, needs = {}, {}, nil
  for _, edge in ipairs(edges) do
    fields[#fields + 1] = edge.full
    fields[#fields + 1] = edge.on .. edge.wants .. edge.run
    needs = needs or edge.on == 'failure'
  end
  if needs then
    fields[#fields + 1] = 'needs'
    fields[#fields + 1] = 'failure'
  end
  sq.many('HSET', gate_of(c, job), fields)
  redis.call('ZADD', c.anchor .. ':gates', c.mono + ASK_AFTER, job)
  if flow then redis.call('HSET', sq.record(c, job), 'state', 'waiting', 'flow', flow)
  else redis.call('HSET', sq.record(c, job), 'state', 'waiting') end
  sq.count(c, 'waiting', 1)
  sq.hold_outputs(c, job, edges)
  for _, edge in ipairs(edges) do
    local status, result = sq.stored_end(c, edge), nil
    if not status then status, result = sq.ask_parent(c, job, edge, flow ~= nil) end
    if status then ended[#ended + 1] = {edge.full, status, result} end
  end
  for _, e in ipairs(ended) do sq.close_edge(c, job, e[1], e[2], e[3]) end
end

-- What an enqueue has gathered goes to its gates, or on at once.
function sq.enter_gates(c)
  for _, job in ipairs(c.gating) do
    local id, o = job[1], job[2]
    if o.id then sq.find_children(c, id) end
    if o.edges then sq.set_gate(c, id, o.edges, o.flow)
    else
      if o.flow then redis.call('HSET', sq.record(c, id), 'flow', o.flow) end
      sq.open_gate(c, id)
    end
  end
end
