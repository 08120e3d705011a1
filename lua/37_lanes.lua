-- Lanes: where jobs wait that share limit keys, one lane for each level of each list of keys. Within a lane: by age, or
-- by deadline where its name ends with `!`. Short lanes are one hash field, deep ones go on in a list (or zset).
--   waiting        job → `<task> <lane>[ <cost>]`, a line feed, body; for the task stands @ and the body's size where the job
--                  has a record
--   lanes          <level>:<lane> → its first items, `<job>[*<cost>][!<deadline>]`, parted by commas, and a + when more lie in
--   lane:<level>:<lane>  list of items, oldest first; of a lane by deadline a zset
--   dropped        job → 1: it left `waiting` before its item was reached (cancelled); the switch `dropped` counts them
-- What must hold: a lane that has items stands in exactly one place, the ring of its level or the room of one of its
-- limits; a job that waits is in `waiting` and in its lane; nothing of a lane is left when it is empty.

local INLINE, CHUNK = 240, 24    -- bytes of items that a short lane has; items fetched at once from a deep one
local MOST = 4000                -- arguments of one command
local parsed, count = {}, 0

-- The call's own view of lanes and limits. `visits` bounds how many lanes it looks at.
function sq.begin_flow(c)
  c.lanes, c.limits, c.classes, c.changed_lanes, c.changed_limits = {}, {}, {}, {}, {}
  c.moved_rings, c.fronts, c.joins, c.visits = {}, {}, 0, 64
end

function sq.many(command, key, values)
  for i = 1, #values, MOST do redis.call(command, key, unpack(values, i, math.min(i + MOST - 1, #values))) end
end

-- The keys of a lane's name, and which of them count the job's own cost.
local function keys_of(name)
  local keys = parsed[name]
  if keys then return keys end
  keys = {metered = {}, by_deadline = string.sub(name, -1) == '!'}
  for key, star in string.gmatch(name, '([^|*!]+)(%*?)') do
    keys[#keys + 1] = key
    keys.metered[#keys] = star == '*'
  end
  if count >= 1000 then parsed, count = {}, 0 end
  parsed[name], count = keys, count + 1
  return keys
end
sq.keys_of = keys_of

function sq.check_lane(name)
  if not name or #name > 512 or not (name == '!' or string.find(name, '^[^%s|,*!=]+%*?[^%s,!=]*!?$')) or #keys_of(name) > 8 then
    sq.refuse('INVALID', 'lane is ' .. sq.shown(name) .. '; 1 to 8 keys like tenant:acme|openai* are due, at most 512 bytes')
  end
  return name
end

-- A cost is kept as the text that came: a short decimal number above 0.
function sq.check_cost(text)
  local n = text and #text <= 16 and string.find(text, '^%d+%.?%d*$') and tonumber(text)
  if not n or n <= 0 or n > 1e12 then sq.refuse('INVALID', 'cost is ' .. sq.shown(text) .. '; a number above 0 is due') end
  return text
end

function sq.parse_item(item)     -- job, cost, deadline or nil
  local job, cost, deadline = string.match(item, '^([%d-]+)%*?([%d.]*)!?(%d*)$')
  return job, tonumber(cost) or 1, tonumber(deadline)
end

function sq.item(job, cost, deadline)
  return job .. ((cost and tonumber(cost) ~= 1) and '*' .. cost or '') .. (deadline and '!' .. deadline or '')
end

function sq.lane_id(level, name) return level .. ':' .. name end

local function tail_of(c, lane) return c.anchor .. ':lane:' .. lane.id end

-- The lanes by id, loaded by one command; their limits are loaded when they are served.
function sq.load_lanes(c, ids)
  local need = {}
  for _, id in ipairs(ids) do
    if not c.lanes[id] then
      need[#need + 1] = id
      c.lanes[id] = true
    end
  end
  for from = 1, #need, MOST do
    local some = {unpack(need, from, math.min(from + MOST - 1, #need))}
    for i, text in ipairs(redis.call('HMGET', c.anchor .. ':lanes', unpack(some))) do
      local id = some[i]
      c.lanes[id] = {id = id, level = string.sub(id, 1, 1), name = string.sub(id, 3), text = text or '', pos = 1,
        is_new = not text, keys = keys_of(string.sub(id, 3))}
    end
  end
end

function sq.lane(c, id)
  sq.load_lanes(c, {id})
  return c.lanes[id]
end

-- The limits of these lanes, in the order of their keys, and each lane's weight: that of the first limit that has one.
function sq.load_rules(c, lanes)
  local keys = {}
  for _, lane in ipairs(lanes) do
    if not lane.weight then
      for _, key in ipairs(lane.keys) do keys[#keys + 1] = key end
    end
  end
  sq.load_limits(c, keys)
  for _, lane in ipairs(lanes) do
    if not lane.weight then
      lane.limits = {}
      for j, key in ipairs(lane.keys) do
        lane.limits[j] = c.limits[key]
        lane.weight = lane.weight or c.limits[key].rule.weight
      end
      lane.weight = lane.weight or 1
    end
  end
end

function sq.change_lane(c, lane) c.changed_lanes[lane] = true end

local function fetch_tail(c, lane)
  local items = {}
  if lane.keys.by_deadline then
    local popped = redis.call('ZPOPMIN', tail_of(c, lane), CHUNK)
    for i = 1, #popped, 2 do items[#items + 1] = popped[i] end
  else
    items = redis.call('LPOP', tail_of(c, lane), CHUNK) or {}
  end
  lane.text, lane.pos = table.concat(items, ','), 1
  if #items == CHUNK and redis.call('EXISTS', tail_of(c, lane)) == 1 then lane.text = lane.text .. '+' end
  sq.change_lane(c, lane)
end

-- The lane's first item and the place behind it; nil when the lane is empty.
function sq.peek(c, lane)
  local item, behind = string.match(lane.text, '^([^,+]+),?()', lane.pos)
  if not item and string.sub(lane.text, lane.pos, lane.pos) == '+' then
    fetch_tail(c, lane)
    item, behind = string.match(lane.text, '^([^,+]+),?()')
  end
  return item, behind
end

function sq.step_past(c, lane, behind)
  lane.pos = behind
  sq.change_lane(c, lane)
end

function sq.is_empty(c, lane) return sq.peek(c, lane) == nil end

local function is_deep(lane) return string.sub(lane.text, -1) == '+' end

local function add_by_deadline(c, lane, item)
  local _, _, deadline = sq.parse_item(item)
  redis.call('ZADD', tail_of(c, lane), deadline or 9e15, item)
  if not is_deep(lane) then lane.text = lane.text .. '+' end
end

-- Items in the order of their jobs' age, all younger than what is in the lane.
function sq.append(c, lane, items)
  local was_empty = sq.is_empty(c, lane)
  if lane.keys.by_deadline then
    for _, item in ipairs(items) do add_by_deadline(c, lane, item) end
  else
    local text, from = string.sub(lane.text, lane.pos), 1
    if not is_deep(lane) then
      while items[from] and #text + #items[from] < INLINE do
        text, from = text == '' and items[from] or text .. ',' .. items[from], from + 1
      end
    end
    if items[from] then
      sq.many('RPUSH', tail_of(c, lane), from == 1 and items or {unpack(items, from)})
      if not is_deep(lane) then text = text .. '+' end
    end
    lane.text, lane.pos = text, 1
  end
  sq.change_lane(c, lane)
  if was_empty then sq.join_ring(c, lane) end
end

-- An item that was there before: to where its age belongs among the lane's first ones.
function sq.put_back(c, lane, item)
  local was_empty, job, items, is_put = sq.is_empty(c, lane), sq.parse_item(item), {}, false
  if lane.keys.by_deadline then add_by_deadline(c, lane, item)
  else
    for other in string.gmatch(string.sub(lane.text, lane.pos), '[^,+]+') do
      if not is_put and sq.before(string.sub(job, 3), string.sub(other, 3, (string.find(other, '[*!]') or 0) - 1)) then
        items[#items + 1], is_put = item, true
      end
      items[#items + 1] = other
    end
    if not is_put then items[#items + 1] = item end
    lane.text, lane.pos = table.concat(items, ',') .. (is_deep(lane) and '+' or ''), 1
  end
  sq.change_lane(c, lane)
  if was_empty then sq.join_ring(c, lane) end
end

-- A job with a record waits in its lane from now on: before those that are younger.
function sq.wait_in_lane(c, job, level, name, cost, deadline)
  redis.call('HSET', sq.record(c, job), 'state', 'waiting')
  redis.call('HSET', c.anchor .. ':waiting', job, sq.RECORD .. ' ' .. name .. (cost and ' ' .. cost or '') .. '\n')
  sq.count(c, 'waiting', 1)
  if c.quotas > 0 then sq.count_queued(c, keys_of(name), 1, 0) end
  sq.put_back(c, sq.lane(c, sq.lane_id(level, name)), sq.item(job, cost, deadline))
end

-- Of a waiting job: task (nil: its record says it), lane, cost as text or nil, body.
function sq.read_waiting(text)
  local cut = string.find(text, '\n', 1, true)
  local task, lane, cost = string.match(string.sub(text, 1, cut - 1), '^(%S+) (%S+) ?(%S*)$')
  if string.byte(task) == 64 then task = nil end
  return task, lane, cost ~= '' and cost or nil, string.sub(text, cut + 1)
end

-- The job waits no more; its item is dropped when its turn comes. What read_waiting says of it; false when it did not wait.
function sq.leave_waiting(c, job)
  local text = redis.call('HGET', c.anchor .. ':waiting', job)
  if not text then return false end
  redis.call('HDEL', c.anchor .. ':waiting', job)
  sq.count(c, 'waiting', -1)
  local task, lane, cost, body = sq.read_waiting(text)
  sq.count_left(c, keys_of(lane), text)
  return task, lane, cost, body
end

-- The job leaves its lane before its turn: its item goes now where that is cheap, else when it is reached.
function sq.drop_from_lane(c, job, at)
  local lane, items, is_gone = sq.lane(c, sq.lane_id(at.level, at.lane)), {}, false
  sq.leave_waiting(c, job)
  for item in string.gmatch(string.sub(lane.text, lane.pos), '[^,+]+') do
    if sq.parse_item(item) == job then is_gone = true else items[#items + 1] = item end
  end
  if not is_gone then
    redis.call('HSET', c.anchor .. ':dropped', job, 1)
    return sq.switch(c, 'dropped', 1)
  end
  lane.text, lane.pos = table.concat(items, ',') .. (is_deep(lane) and '+' or ''), 1
  sq.change_lane(c, lane)
  sq.leave_if_empty(c, lane)
end

-- What of a lane by deadline was fetched and not served goes back.
local function return_items(c, lane)
  local items = {}
  for item in string.gmatch(string.sub(lane.text, lane.pos), '[^,+]+') do items[#items + 1] = item end
  for _, item in ipairs(items) do
    local _, _, deadline = sq.parse_item(item)
    redis.call('ZADD', tail_of(c, lane), deadline or 9e15, item)
  end
  local more = #items > 0 or is_deep(lane)
  lane.text, lane.pos = more and '+' or '', 1
end

-- The lanes that changed, by one command of each kind.
function sq.save_lanes(c)
  local set, gone = {}, {}
  for lane in pairs(c.changed_lanes) do
    if lane.keys.by_deadline then return_items(c, lane) end
    if lane.pos <= #lane.text then
      set[#set + 1] = lane.id
      set[#set + 1] = string.sub(lane.text, lane.pos)
    elseif not lane.is_new then gone[#gone + 1] = lane.id end
  end
  if #set > 0 then sq.many('HSET', c.anchor .. ':lanes', set) end
  if #gone > 0 then sq.many('HDEL', c.anchor .. ':lanes', gone) end
  c.changed_lanes = {}
end
