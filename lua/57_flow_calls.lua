-- Making and steering flows. Functions: reserve, flow_open, flow_describe, flow_commit, flow_cancel.
-- What must hold: nothing of a flow runs before its commit; a call touches at most ROWS of its jobs.

local ROWS, PAGE = 500, 250

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
  redis.call('HSET', sq.flow_key(c, '0-' .. first), 'name', name, 'state', 'building', 'created', c.now, 'keep', keep, 'total', 0, 'undos', 0)
  redis.call('ZADD', anchor .. ':flows', c.now, '0-' .. first)
  redis.call('ZADD', anchor .. ':building', c.mono, '0-' .. first)
  sq.trim_flows(c)
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
      local key = sq.flow_key(c, flow)
      redis.call('HINCRBY', key, name, redis.call('HSET', key .. ':jobs', unpack(rows[role])))
    end
  end
end

local function known_flow(c, id)
  local flow = sq.job(id)
  local state = redis.call('HGET', sq.flow_key(c, flow), 'state')
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
  redis.call('HSET', sq.flow_key(c, flow), 'state', 'running', 'started', c.now)
  redis.call('ZREM', anchor .. ':building', flow)
  redis.call('ZADD', anchor .. ':running', c.mono + sq.FLOW_ASKS, flow)
  sq.begin_closing(c, '1' .. string.sub(flow, 2), 'completed')
  sq.review_flow(c, flow)
  sq.save(c)
  return 1
end

-- now, flow, cursor -> the next cursor; - begins, an empty one ends. Its undo jobs are left alone.
local function flow_cancel(anchor, args)
  local c, cursor = sq.begin(anchor, args[1]), args[3] == '-' and '0' or sq.num(sq.whole(args[3], 'cursor', 0, 1.8e19))
  local flow, state = known_flow(c, args[2])
  local key = sq.flow_key(c, flow)
  -- checked: first write
  if state == 'building' then sq.give_up_flow(c, flow) end
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
