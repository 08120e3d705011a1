-- The pop of lanes: admits from the ring of a level by fair queueing, charges all of a job's limits or none, and hands the jobs
-- out through the stream of lane jobs in the same call, so that there is one pending list, one rule of ownership, one recovery.
--   given  job → entry, of the deliveries of lane jobs
--   held   entry → `<job>[ <key>,!<key>…]`: what its end gives back
-- What must hold: a lane job is admitted only by the take that hands it out; its slots are free at the end of its delivery,
-- whatever that end is; a call looks at a bounded number of lanes.

-- Water-filling: all candidates end at the same virtual time; the first one gets one at least.
local function set_shares(candidates, want)
  local weights, sum, line, left = 0, 0, 0, want
  for i, x in ipairs(candidates) do
    weights, sum = weights + x.weight, sum + x.weight * x.time
    line = (want * sq.UNIT + sum) / weights
    if not candidates[i + 1] or line <= candidates[i + 1].time then break end
  end
  for i, x in ipairs(candidates) do
    local share = math.max(math.floor((line - x.time) * x.weight / sq.UNIT + 0.5), i == 1 and 1 or 0)
    x.share = math.min(share, left)
    left = left - x.share
  end
end

local function candidates_of(set, most)
  local found, list = redis.call('ZRANGE', set, 0, most - 1, 'WITHSCORES'), {}
  for i = 1, #found, 2 do list[#list + 1] = {id = found[i], time = tonumber(found[i + 1]), weight = 1, share = 0} end
  return list
end

-- The limit that is closed to a job of this lane, and until when; nil when all are open.
local function first_closed(c, lane, cost)
  for j, limit in ipairs(lane.limits) do
    local till = sq.closed_until(c, limit, lane.keys.metered[j] and cost or 1)
    if till ~= nil then return limit, till end
  end
end

-- Wider limits come later in a lane's keys: whoever queues there was before us. `from`: the limit whose turn it is.
local function first_queue(lane, from)
  local has_passed = from == nil
  for _, limit in ipairs(lane.limits) do
    if has_passed and string.find(limit.rooms, lane.level, 1, true) then return limit end
    has_passed = has_passed or limit == from
  end
end

local function charge_all(c, lane, cost)
  local held = {}
  for j, limit in ipairs(lane.limits) do held[#held + 1] = sq.charge(c, limit, lane.keys.metered[j] and cost or 1) end
  return table.concat(held, ',')
end

-- An item whose job is not to run: it was cancelled, or its deadline is past. Whether that was so.
local function is_dropped(c, job, deadline)
  if c.dropped > 0 and redis.call('HDEL', c.anchor .. ':dropped', job) == 1 then
    sq.switch(c, 'dropped', -1)
    return true
  end
  if not deadline or deadline >= c.now then return false end
  local task = sq.leave_waiting(c, job)
  if task ~= false then sq.expire(c, job, task, sq.lateness(c, nil, nil, deadline)) end
  return true
end

-- Admits up to k jobs of a lane into `out` (job, held, lane). How many; the limit that it has to queue for, if one; until when
-- that is closed (nil: it is open, others were there before).
local function serve_lane(c, lane, k, from, out)
  local n, seen = 0, 0
  while n < k and seen < sq.TAKE do
    local item, behind = sq.peek(c, lane)
    if not item then return n end
    local job, cost, deadline = sq.parse_item(item)
    seen = seen + 1
    if not is_dropped(c, job, deadline) then
      local limit, till = first_closed(c, lane, cost)
      if limit then return n, limit, till end
      local queue = n == 0 and first_queue(lane, from)
      if queue then return 0, queue, nil end
      local i = #out
      out[i + 1], out[i + 2], out[i + 3] = job, charge_all(c, lane, cost), lane
      n = n + 1
    end
    sq.step_past(c, lane, behind)
  end
  return n
end

-- One lane's turn, in the ring (`from` nil) or in the room of `from`. How many were admitted, and whether `from` closed.
local function serve_candidate(c, place, x, out)
  local lane, from = c.lanes[x.id], place.from
  local n, limit, till = serve_lane(c, lane, x.share, from, out)
  if limit and limit ~= from then
    place.gone[#place.gone + 1] = x.id
    sq.enter_room(c, lane, limit)
    sq.set_timer(c, limit, till)
    return n, false
  end
  if sq.is_empty(c, lane) then place.gone[#place.gone + 1] = x.id
  elseif n > 0 then
    place.put[#place.put + 1] = x.time + math.floor(n * sq.UNIT / lane.weight + 0.5)
    place.put[#place.put + 1] = x.id
  end
  if limit then sq.set_timer(c, limit, till) end
  return n, limit ~= nil
end

-- What became of the candidates of a place is written.
local function leave_place(c, level, place)
  if #place.put > 0 then redis.call('ZADD', place.set, unpack(place.put)) end
  if #place.gone == 0 then return end
  if place.from then sq.leave_room(c, level, place.gone, place.from) else redis.call('ZREM', place.set, unpack(place.gone)) end
end

-- The turn of all lanes that wait for a limit. How many were admitted, and whether the limit closed.
local function serve_room(c, level, x, out)
  local limit = c.limits[x.key]
  local place, n = {set = sq.room_key(c, level, limit), from = limit, put = {}, gone = {}}, 0
  set_shares(x.members, x.share)
  for _, member in ipairs(x.members) do
    if member.share > 0 and c.visits > 0 then
      c.visits = c.visits - 1
      local admitted, is_closed = serve_candidate(c, place, member, out)
      n = n + admitted
      if is_closed then
        leave_place(c, level, place)
        return n, true
      end
    end
  end
  leave_place(c, level, place)
  return n, false
end

-- The first lanes and groups of a ring, with their limits loaded and weighed.
local function load_candidates(c, level, want)
  local most = math.min(want, c.visits)
  local found, ids, keys, left = candidates_of(sq.ring_key(c, level), most), {}, {}, most
  for i, x in ipairs(found) do
    if left <= 0 then found[i] = nil
    elseif string.sub(x.id, 1, 1) == '=' then
      x.key = string.sub(x.id, 2)
      local room = c.anchor .. ':room:' .. level .. ':' .. x.key
      x.members, x.weight = candidates_of(room, left), math.max(redis.call('ZCARD', room), 1)
      keys[#keys + 1] = x.key
      for _, member in ipairs(x.members) do ids[#ids + 1] = member.id end
      left = left - #x.members
    else
      ids[#ids + 1] = x.id
      left = left - 1
    end
  end
  sq.load_lanes(c, ids)
  local lanes = {}
  for i, id in ipairs(ids) do lanes[i] = c.lanes[id] end
  sq.load_rules(c, lanes)
  sq.load_limits(c, keys)
  for _, x in ipairs(found) do
    for _, member in ipairs(x.members or {}) do member.weight = c.lanes[member.id].weight end
    if not x.key then x.weight = c.lanes[x.id].weight end
  end
  return found
end

-- One round over a ring: how many were admitted.
local function serve_ring(c, level, want, out)
  local candidates = load_candidates(c, level, want)
  local place, n = {set = sq.ring_key(c, level), put = {}, gone = {}}, 0
  set_shares(candidates, want)
  for _, x in ipairs(candidates) do
    if x.share > 0 and c.visits > 0 then
      local admitted, is_closed
      if x.key then
        admitted, is_closed = serve_room(c, level, x, out)
        if is_closed or #x.members == 0 then place.gone[#place.gone + 1] = x.id
        elseif admitted > 0 and string.find(c.limits[x.key].rooms, level, 1, true) then
          place.put[#place.put + 1] = x.time + math.floor(admitted * sq.UNIT / x.weight + 0.5)
          place.put[#place.put + 1] = x.id
        end
      else
        c.visits = c.visits - 1
        admitted = serve_candidate(c, place, x, out)
      end
      n = n + admitted
    end
  end
  leave_place(c, level, place)
  c.fronts = {}
  return n, #candidates
end

-- Gives back what an admitted job had taken that will not run.
local function undo(c, held, lane)
  for key in string.gmatch(held, '[^,!]+') do sq.discharge(c, c.limits[key], nil, false) end
  for _, limit in ipairs(lane.limits) do sq.refund(c, limit, 1) end
  sq.count(c, 'purged', 1)
end

-- The admitted jobs as entries of the stream of lane jobs. How many there are.
local function add_entries(c, out)
  local jobs, given, held, added = {}, {}, {}, 0
  for i = 1, #out, 3 do jobs[#jobs + 1] = out[i] end
  for i, text in ipairs(redis.call('HMGET', c.anchor .. ':waiting', unpack(jobs))) do
    local job, keys, lane = out[3 * i - 2], out[3 * i - 1], out[3 * i]
    if not text then undo(c, keys, lane)
    else
      local cut, entry = string.find(text, '\n', 1, true), nil
      sq.count_left(c, lane.keys, text)
      if string.byte(text) == 64 then
        entry = sq.add(c, sq.LANES, sq.RECORD, job)
        redis.call('HSET', sq.record(c, job), 'state', 'pending')
      else entry = sq.add(c, sq.LANES, job .. ' ' .. string.sub(text, 1, cut - 1), string.sub(text, cut + 1)) end
      given[#given + 1], given[#given + 2] = job, entry
      held[#held + 1], held[#held + 2] = entry, keys == '' and job or job .. ' ' .. keys
      added = added + 1
    end
  end
  redis.call('HDEL', c.anchor .. ':waiting', unpack(jobs))
  if added > 0 then
    redis.call('HSET', c.anchor .. ':given', unpack(given))
    redis.call('HSET', c.anchor .. ':held', unpack(held))
  end
  sq.count(c, 'waiting', -#jobs)
  return added
end

-- Up to `want` jobs of the lanes of a level as rows. What a stranger added to the stream is read with them.
function sq.admit_lanes(c, me, level, want, rows)
  local out, left = {}, want
  while left > 0 and c.visits > 0 do
    local n, candidates = serve_ring(c, level, left, out)
    left = left - n
    if candidates == 0 then break end
  end
  c.moved_rings[level] = true
  sq.renew_ring_heads(c)
  local added = #out > 0 and add_entries(c, out) or 0
  if added == 0 then return end
  local read = redis.call('XREADGROUP', 'GROUP', sq.GROUP, me.id, 'COUNT', added + sq.GIVE, 'STREAMS', sq.stream(c, sq.LANES), '>')
  local entries = read and read[1][2] or {}
  sq.count(c, 'pending:' .. sq.LANES, -#entries)
  sq.count(c, 'active:' .. sq.LANES, #entries)
  for _, raw in ipairs(entries) do sq.admit(c, sq.LANES, raw, rows) end
end

-- The jobs of these deliveries; a text that no job has where one is over.
function sq.admitted_jobs(c, entries)
  local jobs = redis.call('HMGET', c.anchor .. ':held', unpack(entries))
  for i, text in ipairs(jobs) do jobs[i] = text and string.match(text, '^%S+') or '-' end
  return jobs
end

-- These deliveries of lane jobs are over: what they held is free. `outcome` as in sq.discharge.
function sq.end_admissions(c, entries, outcome)
  local texts, jobs, keys = redis.call('HMGET', c.anchor .. ':held', unpack(entries)), {}, {}
  for _, text in ipairs(texts) do
    if text then
      local job, held = string.match(text, '^(%S+) ?(.*)$')
      jobs[#jobs + 1] = job
      for mark, key in string.gmatch(held, '(!?)([^,!]+)') do keys[#keys + 1] = {key, mark == '!'} end
    end
  end
  if #jobs == 0 then return end
  redis.call('HDEL', c.anchor .. ':held', unpack(entries))
  redis.call('HDEL', c.anchor .. ':given', unpack(jobs))
  for _, one in ipairs(keys) do sq.discharge(c, sq.limit(c, one[1]), outcome, one[2]) end
end
