-- Lanes: where jobs wait that share limit keys, one lane for each level of each list of keys. Within a lane: by age, or
-- by deadline where its name ends with `!`. Short lanes are one hash field, deep ones go on in a list (or zset).
--   laned  job → `<task> <lane>[ <cost>]`, a line feed, body, while it waits (for the task stands @ and the body's size where the
--          job has a record); `=<entry>[ <key>,!<key>…]` while it runs: the delivery, and what its end gives back
--   lanes  <level>:<lane> → its first items, `<job>[*<cost>][!<deadline>]`, parted by commas, and a + when more lie in
--   lane:<level>:<lane>  list of items, oldest first; of a lane by deadline a zset
--   dropped  job → 1: it waits no more, but its item was not reached yet (cancelled); the switch `dropped` counts them
-- What must hold: a lane that has items stands in exactly one place, the ring of its level or the room of one of its
-- limits; a job that waits is in `laned` and in its lane; nothing of a lane is left when it is empty.

local INLINE, CHUNK = 240, 24    -- bytes of items that a short lane has; items fetched at once from a deep one
sq.MOST = 4000                   -- arguments of one command

-- The call's own view of lanes and limits. `visits` bounds how many lanes it looks at.
function sq.begin_flow(c)
  c.lanes, c.limits, c.classes, c.changed_lanes, c.changed_limits = {}, {}, {}, {}, {}
  c.moved_rings, c.fronts, c.joins, c.visits = {}, {}, 0, 64
end

function sq.many(command, key, values)
  for i = 1, #values, sq.MOST do redis.call(command, key, unpack(values, i, math.min(i + sq.MOST - 1, #values))) end
end

-- The keys of a lane's name in their order; `metered` of those that count the job's own cost.
function sq.keys_of(name)
  if not string.find(name, '[*!]') then
    local bar = string.find(name, '|', 1, true)
    if not bar then return {name} end
    if not string.find(name, '|', bar + 1, true) then return {string.sub(name, 1, bar - 1), string.sub(name, bar + 1)} end
  end
  local keys, metered = {}, nil
  for key, star in string.gmatch(name, '([^|*!]+)(%*?)') do
    keys[#keys + 1] = key
    if star == '*' then
      metered = metered or {}
      metered[#keys] = true
    end
  end
  return keys, metered
end

function sq.check_lane(name)
  if not name or #name > 512 or not (string.find(name, '^[^%s|,*!=][^%s,!=]*!?$') or name == '!')
    or (string.find(name, '|', 1, true) and #sq.keys_of(name) > 8) then
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
  if not string.find(item, '[*!]') then return item, 1 end
  local job, cost, deadline = string.match(item, '^([%d-]+)%*?([%d.]*)!?(%d*)$')
  return job, tonumber(cost) or 1, tonumber(deadline)
end

function sq.item(job, cost, deadline)
  return job .. ((cost and tonumber(cost) ~= 1) and '*' .. cost or '') .. (deadline and '!' .. deadline or '')
end

function sq.lane_id(level, name) return level .. ':' .. name end

local function tail_of(c, lane) return c.anchor .. ':lane:' .. lane.id end
local function is_deep(lane) return string.byte(lane.text, -1) == 43 end
local function goes_by_deadline(id) return string.byte(id, -1) == 33 end

local function load_some(c, ids)
  for i, text in ipairs(redis.call('HMGET', c.anchor .. ':lanes', unpack(ids))) do
    local id = ids[i]
    local lane = {id = id, text = text or '', pos = 1, limits = false, weight = false, has_changed = false, time = 0, share = 0}
    if not text then lane.is_new = true end               -- eight fields fit into a small table, so what is rare is left out
    if goes_by_deadline(id) then lane.by_deadline = true end
    c.lanes[id] = lane
  end
end

-- The lanes by id; their limits are loaded when they are served.
function sq.load_lanes(c, ids)
  local need = {}
  for _, id in ipairs(ids) do
    if not c.lanes[id] then need[#need + 1] = id end
  end
  if #need > sq.MOST then
    for from = 1, #need, sq.MOST do load_some(c, {unpack(need, from, math.min(from + sq.MOST - 1, #need))}) end
  elseif #need > 0 then load_some(c, need) end
end

function sq.lane(c, id)
  sq.load_lanes(c, {id})
  return c.lanes[id]
end

function sq.level_of(lane) return string.sub(lane.id, 1, 1) end
function sq.name_of(lane) return string.sub(lane.id, 3) end

-- Puts limits in place of the keys in `keys`; those that say nothing go.
local function resolve(c, lane, keys, metered)
  local n = 0
  for j = 1, #keys do
    local limit = c.limits[keys[j]]
    keys[j] = nil
    if not limit.says_nothing then
      n = n + 1
      keys[n] = limit
      lane.weight = lane.weight or limit.rule.weight
      if limit.rule.counts or limit.phase ~= 0 then lane.counts = true end
      if metered and metered[j] then
        lane.metered = lane.metered or {}
        lane.metered[n] = true
      end
    end
  end
  lane.limits, lane.weight = keys, lane.weight or 1
end

-- Of each lane the limits that say anything, in the order of its keys; its weight, that of the first key that has one; whether its
-- deliveries have to be remembered (`counts`).
function sq.load_rules(c, lanes)
  local all, fresh = {}, {}
  for _, lane in ipairs(lanes) do
    if not lane.limits then
      local n = #fresh
      local keys, metered = sq.keys_of(string.sub(lane.id, 3))
      fresh[n + 1], fresh[n + 2], fresh[n + 3] = lane, keys, metered or false
      for j = 1, #keys do all[#all + 1] = keys[j] end
      lane.limits = keys
    end
  end
  sq.load_limits(c, all)
  for i = 1, #fresh, 3 do resolve(c, fresh[i], fresh[i + 1], fresh[i + 2]) end
end

-- What a job of this cost costs at the lane's j-th limit.
function sq.price(lane, j, cost) return lane.metered and lane.metered[j] and cost or 1 end

function sq.change_lane(c, lane)
  if lane.has_changed then return end
  lane.has_changed = true
  c.changed_lanes[#c.changed_lanes + 1] = lane
end

local function fetch_tail(c, lane)
  local items = {}
  if lane.by_deadline then
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
  if not item and string.byte(lane.text, lane.pos) == 43 then
    fetch_tail(c, lane)
    item, behind = string.match(lane.text, '^([^,+]+),?()')
  end
  return item, behind
end

function sq.step_past(c, lane, behind)
  lane.pos = behind
  sq.change_lane(c, lane)
end

function sq.is_empty(c, lane)
  return lane.pos > #lane.text or sq.peek(c, lane) == nil
end

local function items_of(lane) return string.gmatch(string.sub(lane.text, lane.pos), '[^,+]+') end

local function add_by_deadline(c, lane, item)
  local _, _, deadline = sq.parse_item(item)
  redis.call('ZADD', tail_of(c, lane), deadline or 9e15, item)
  if not is_deep(lane) then lane.text = lane.text .. '+' end
end

-- How many of the items fit into the short form of a lane that has this text, and the text with them.
local function fill_short(text, items)
  local n = 0
  if string.byte(text, -1) == 43 then return text, 0 end
  while items[n + 1] and #text + #items[n + 1] < INLINE do
    n = n + 1
    text = text == '' and items[n] or text .. ',' .. items[n]
  end
  return text, n
end

-- Items in the order of their jobs' age, all younger than what is in the lane.
local function append(c, lane, items)
  if lane.by_deadline then
    for _, item in ipairs(items) do add_by_deadline(c, lane, item) end
  else
    local text, n = fill_short(string.sub(lane.text, lane.pos), items)
    if n < #items then
      sq.many('RPUSH', tail_of(c, lane), n == 0 and items or {unpack(items, n + 1)})
      if string.byte(text, -1) ~= 43 then text = text .. '+' end
    end
    lane.text, lane.pos = text, 1
  end
  sq.change_lane(c, lane)
end

-- Appends to many lanes: `joining` is a list of lane ids, with the items of each by its id.
function sq.append_all(c, joining)
  sq.load_lanes(c, joining)
  local joins = {}
  for _, id in ipairs(joining) do
    local lane = c.lanes[id]
    if lane.is_new and lane.text == '' then joins[#joins + 1] = lane end
    append(c, lane, joining[id])
  end
  sq.join_rings(c, joins)
end

-- An item that was there before: to where its age belongs among the lane's first ones.
function sq.put_back(c, lane, item)
  local was_empty, job, items, is_put = sq.is_empty(c, lane), sq.parse_item(item), {}, false
  if lane.by_deadline then add_by_deadline(c, lane, item)
  else
    for other in items_of(lane) do
      if not is_put and sq.before(string.sub(job, 3), string.sub(sq.parse_item(other), 3)) then
        items[#items + 1], is_put = item, true
      end
      items[#items + 1] = other
    end
    if not is_put then items[#items + 1] = item end
    lane.text, lane.pos = table.concat(items, ',') .. (is_deep(lane) and '+' or ''), 1
  end
  sq.change_lane(c, lane)
  if was_empty then sq.join_rings(c, {lane}) elseif items[1] == item then sq.look_again(c, lane) end
end

-- A job with a record waits in its lane from now on: before those that are younger.
function sq.wait_in_lane(c, job, level, name, cost, deadline)
  redis.call('HSET', sq.record(c, job), 'state', 'waiting')
  redis.call('HSET', c.anchor .. ':laned', job, sq.RECORD .. ' ' .. name .. (cost and ' ' .. cost or '') .. '\n')
  sq.count(c, 'waiting', 1)
  if c.quotas > 0 then sq.count_queued(c, sq.keys_of(name), 1, 0) end
  sq.put_back(c, sq.lane(c, sq.lane_id(level, name)), sq.item(job, cost, deadline))
end

-- What `laned` says of a waiting job: task (nil: its record says it), lane, cost as text or nil, body.
function sq.read_waiting(text)
  local cut = string.find(text, '\n', 1, true)
  local task, lane, cost = string.match(string.sub(text, 1, cut - 1), '^(%S+) (%S+) ?(%S*)$')
  if string.byte(task) == 64 then task = nil end
  return task, lane, cost ~= '' and cost or nil, string.sub(text, cut + 1)
end

-- The job waits no more; its item is dropped when its turn comes. What read_waiting says of it; false when it did not wait.
function sq.leave_waiting(c, job)
  local text = redis.call('HGET', c.anchor .. ':laned', job)
  if not text or string.byte(text) == 61 then return false end
  redis.call('HDEL', c.anchor .. ':laned', job)
  sq.count(c, 'waiting', -1)
  local task, lane, cost, body = sq.read_waiting(text)
  if c.quotas > 0 then sq.count_left(c, sq.keys_of(lane), text) end
  return task, lane, cost, body
end

-- The job leaves its lane before its turn: its item goes now where that is cheap, else when it is reached.
function sq.drop_from_lane(c, job, at)
  local lane, items, is_gone = sq.lane(c, sq.lane_id(at.level, at.lane)), {}, false
  sq.leave_waiting(c, job)
  for item in items_of(lane) do
    if sq.parse_item(item) == job then is_gone = true else items[#items + 1] = item end
  end
  if not is_gone then
    redis.call('HSET', c.anchor .. ':dropped', job, 1)
    return sq.switch(c, 'dropped', 1)
  end
  lane.text, lane.pos = table.concat(items, ',') .. (is_deep(lane) and '+' or ''), 1
  sq.change_lane(c, lane)
  if sq.is_empty(c, lane) then sq.leave_if_empty(c, lane) else sq.look_again(c, lane) end
end

-- What of a lane by deadline was fetched and not served goes back.
local function return_items(c, lane)
  local has_more = is_deep(lane)
  for item in items_of(lane) do
    local _, _, deadline = sq.parse_item(item)
    redis.call('ZADD', tail_of(c, lane), deadline or 9e15, item)
    has_more = true
  end
  lane.text, lane.pos = has_more and '+' or '', 1
end

-- The lanes that changed, by one command of each kind.
function sq.save_lanes(c)
  local set, gone = {}, {}
  for _, lane in ipairs(c.changed_lanes) do
    lane.has_changed = false
    if lane.by_deadline then return_items(c, lane) end
    if lane.pos <= #lane.text then
      set[#set + 1] = lane.id
      set[#set + 1] = lane.pos == 1 and lane.text or string.sub(lane.text, lane.pos)
    elseif not lane.is_new then gone[#gone + 1] = lane.id end
  end
  if #set > 0 then sq.many('HSET', c.anchor .. ':lanes', set) end
  if #gone > 0 then sq.many('HDEL', c.anchor .. ':lanes', gone) end
  c.changed_lanes = {}
end
