-- Entering lanes: what enqueue puts into them, and the quotas of what may wait.
-- What must hold: a call that is refused for a quota has added nothing; what is counted into a quota is counted out by the
-- same number of jobs and bytes when the job leaves `waiting`, whatever the reason.

local MEMORY_FRESH = 100         -- ms for which the server's use of memory is remembered
local used, used_at = 0, 0

-- The shard has lanes or limits from now on.
function sq.use_flow(c)
  if c.flow > 0 then return end
  sq.switch(c, 'flow', 1)
  sq.begin_flow(c)
end

local function draw(c, level)
  return level .. '-' .. sq.next_id(c)
end

local function join(c, level, name, item, bytes)
  c.joining = c.joining or {}
  local id = sq.lane_id(level, name)
  local items = c.joining[id]
  if not items then
    items = {bytes = 0}
    c.joining[id], c.joining[#c.joining + 1] = items, id
  end
  items[#items + 1], items.bytes = item, items.bytes + bytes
end

-- Adds jobs of one task to one lane; how many.
function sq.add_laned(c, level, task, name, cost, bodies)
  local head, values = task .. ' ' .. name .. (cost and ' ' .. cost or '') .. '\n', {}
  for _, body in ipairs(bodies) do
    local job = draw(c, level)
    values[#values + 1] = job
    values[#values + 1] = head .. body
    join(c, level, name, sq.item(job, cost), #body)
  end
  if #values > 0 then
    c.laned = c.laned or {}
    for _, value in ipairs(values) do c.laned[#c.laned + 1] = value end
  end
  return #bodies
end

-- Adds a job that gets a record; its id.
function sq.add_recorded(c, level, name, cost, deadline, size)
  local job = draw(c, level)
  redis.call('HSET', c.anchor .. ':laned', job, sq.RECORD .. size .. ' ' .. name .. (cost and ' ' .. cost or '') .. '\n')
  join(c, level, name, sq.item(job, cost, deadline), size)
  return job
end

-- The oldest of a lane go, as many as a quota that says so is over.
local function drop_oldest(c, lane, most)
  for _ = 1, most do
    local is_over = false
    for _, limit in ipairs(lane.limits) do
      local rule = limit.rule
      is_over = is_over or rule.over == 'drop' and (limit.queued > (rule.most or 1e15) or limit.bytes > (rule.bytes or 1e15))
    end
    local item, behind = sq.peek(c, lane)
    if not is_over or not item then return end
    local job = sq.parse_item(item)
    local task = sq.leave_waiting(c, job)
    sq.step_past(c, lane, behind)
    if task ~= false then sq.finish_job(c, job, task, 'cancelled', 'dropped: newer jobs of ' .. sq.name_of(lane) .. ' came while its quota was full') end
  end
end

local function apply_quotas(c)
  for _, id in ipairs(c.joining) do
    local lane, items = c.lanes[id], c.joining[id]
    sq.load_rules(c, {lane})
    sq.count_queued(c, sq.keys_of(sq.name_of(lane)), #items, items.bytes)
    drop_oldest(c, lane, #items + 1)
    sq.leave_if_empty(c, lane)
  end
end

-- What add_laned and add_recorded gathered goes into its lanes.
function sq.join_lanes(c)
  if not c.joining then return end
  if c.laned then sq.many('HSET', c.anchor .. ':laned', c.laned) end
  for _, id in ipairs(c.joining) do sq.count(c, 'waiting', #c.joining[id]) end
  sq.append_all(c, c.joining)
  if c.quotas > 0 then apply_quotas(c) end
end

-- How much a job that waits weighs for quotas: its body's bytes.
local function weight_of(text)
  local size = string.match(text, '^@(%d*)')
  if size then return tonumber(size) or 0 end
  return #text - (string.find(text, '\n', 1, true) or #text)
end

-- n jobs with these bytes came to wait for these keys, or (-1) left.
function sq.count_queued(c, keys, n, bytes)
  for _, key in ipairs(keys) do
    local limit = sq.limit(c, key)
    if limit.rule.most or limit.rule.bytes then
      limit.queued, limit.bytes = math.max(limit.queued + n, 0), math.max(limit.bytes + bytes, 0)
      sq.change(c, limit)
    end
  end
end

function sq.count_left(c, keys, text)
  if c.quotas > 0 then sq.count_queued(c, keys, -1, -weight_of(text)) end
end

local function asked_of(c, args_of_steps)
  local asked = {}
  for _, step in ipairs(args_of_steps) do
    local name = step.lane or (step.options and step.options.lane)
    local n, bytes = step.args and #step.args or 1, step.body and #step.body or 0
    for _, body in ipairs(step.args or {}) do bytes = bytes + #body end
    for _, key in ipairs(name and n > 0 and sq.keys_of(name) or {}) do
      local one = asked[key] or {jobs = 0, bytes = 0}
      one.jobs, one.bytes, asked[key] = one.jobs + n, one.bytes + bytes, one
    end
  end
  return asked
end

local function refuse_full(key, limit, what, is, most, n)
  local wait = limit.rule.rate and limit.rule.rate > 0 and math.ceil(n / limit.rule.rate * 1000) or 1000
  sq.refuse('FULL', string.format('%s %d %s: %.0f of at most %.0f wait', key, wait, what, is, most))
end

-- Refuses a call that a quota has no room for; a later one of many can only be told what there is now.
local function check_quotas(c, steps)
  for key, one in pairs(asked_of(c, steps)) do
    local limit = sq.limit(c, key)
    local rule = limit.rule
    if rule.over ~= 'drop' then
      if rule.most and limit.queued + one.jobs > rule.most then refuse_full(key, limit, 'jobs', limit.queued, rule.most, one.jobs) end
      if rule.bytes and limit.bytes + one.bytes > rule.bytes then refuse_full(key, limit, 'bytes', limit.bytes, rule.bytes, one.jobs) end
    end
  end
end

local function used_memory(c)
  if math.abs(c.now - used_at) < MEMORY_FRESH then return used end
  local info = redis.pcall('INFO', 'memory')   -- memory:// cannot say
  used, used_at = type(info) == 'string' and tonumber(string.match(info, 'used_memory:(%d+)')) or 0, c.now
  return used
end

-- Is there room for what an enqueue adds?
function sq.check_room(c, steps)
  if c.memory > 0 and used_memory(c) > c.memory then
    sq.refuse('FULL', string.format('memory 1000 bytes: the server uses %.0f, and %.0f is the mark', used, c.memory))
  end
  if c.quotas > 0 then check_quotas(c, steps) end
end
