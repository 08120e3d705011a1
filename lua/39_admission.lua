-- The pop of lanes: admits from the ring of a level by fair queueing, charges all of a job's limits or none, and hands the jobs
-- out through the stream of lane jobs in the same call, so that there is one pending list, one rule of ownership, one recovery.
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

-- The first ones of a ring or room: lanes, and groups as {id, key}; each with its time. How many of them are lanes.
local function candidates_of(c, set, most)
  local found, ids, list = redis.call('ZRANGE', set, 0, most - 1, 'WITHSCORES'), {}, {}
  for i = 1, #found, 2 do
    if string.byte(found[i]) ~= 61 then ids[#ids + 1] = found[i] end
  end
  sq.load_lanes(c, ids)
  for i = 1, #found, 2 do
    local x = c.lanes[found[i]] or {id = found[i], key = string.sub(found[i], 2)}
    x.time, x.share, list[(i + 1) / 2] = tonumber(found[i + 1]), 0, x
  end
  return list, #ids
end

-- The limit that is closed to a job of this lane, and until when; nil when all are open.
local function first_closed(c, lane, cost)
  for j, limit in ipairs(lane.limits) do
    local till = sq.closed_until(c, limit, sq.price(lane, j, cost))
    if till ~= nil then return limit, till end
  end
end

-- Wider limits come later in a lane's keys: whoever queues there was before us. `from`: the limit whose turn it is.
local function first_queue(lane, from)
  local has_passed = from == nil
  for _, limit in ipairs(lane.limits) do
    if has_passed and limit.rooms ~= '' and string.find(limit.rooms, sq.level_of(lane), 1, true) then return limit end
    has_passed = has_passed or limit == from
  end
end

-- What the end of a delivery has to give back: keys parted by commas, with a ! before those of probes.
local function marks_of(lane)
  local marks = ''
  if not lane.counts then return marks end
  for _, limit in ipairs(lane.limits) do
    local mark = sq.mark_of(limit)
    if mark then marks = marks == '' and mark or marks .. ',' .. mark end
  end
  return marks
end

-- An item whose job is not to run: it was cancelled, or its deadline is past. Whether that was so.
local function is_dropped(c, job, deadline)
  if c.dropped > 0 and redis.call('HDEL', c.anchor .. ':dropped', job) == 1 then
    sq.switch(c, 'dropped', -1)
    return true
  end
  if not deadline or deadline >= c.now then return false end
  local task = sq.leave_waiting(c, job)
  if task == false then return true end
  local r = redis.call('HMGET', sq.record(c, job), 'expires', 'attempt', 'deadline')
  sq.expire(c, job, task, sq.lateness(c, r[1], r[2], r[3] or deadline))
  return true
end

-- The lane's next job that is to run: job, cost, and the place behind its item; nil when there is none.
local function next_job(c, lane)
  for _ = 1, sq.TAKE do
    local item, behind = sq.peek(c, lane)
    if not item then return nil end
    local job, cost, deadline = sq.parse_item(item)
    if (c.dropped == 0 and not deadline) or not is_dropped(c, job, deadline) then return job, cost, behind end
    sq.step_past(c, lane, behind)
  end
end

-- Up to k jobs that all cost 1, `job` the first of them, charged together. How many.
local function admit_alike(c, lane, k, job, behind, out)
  local n, marks, i = 0, marks_of(lane), #out
  while job do
    out[i + 1], out[i + 2], out[i + 3] = job, marks, lane
    n, i, lane.pos = n + 1, i + 3, behind
    if n == k then break end
    local _
    job, _, behind = next_job(c, lane)
  end
  for _, limit in ipairs(lane.limits) do sq.charge(c, limit, n, n) end
  sq.change_lane(c, lane)
  return n
end

-- The next job, charged by its own cost.
local function admit_one(c, lane, job, cost, behind, out)
  local i = #out
  out[i + 1], out[i + 2], out[i + 3] = job, marks_of(lane), lane
  for j, limit in ipairs(lane.limits) do sq.charge(c, limit, 1, sq.price(lane, j, cost)) end
  sq.step_past(c, lane, behind)
  return 1
end

local function room_of(c, lane, k)
  for _, limit in ipairs(lane.limits) do k = sq.room_for(c, limit, k) end
  return k
end

-- Admits up to k jobs of a lane into `out` (job, marks, lane). How many; the limit that it has to queue for, if one; until when
-- that is closed (nil: it is open, others were there before).
local function serve_lane(c, lane, k, from, out)
  local n = 0
  while n < k do
    local job, cost, behind = next_job(c, lane)
    if not job then return n end
    local room = not lane.metered and room_of(c, lane, k - n) or 0
    if room < 1 then
      local limit, till = first_closed(c, lane, cost)
      if limit then return n, limit, till end
    end
    local queue = n == 0 and first_queue(lane, from)
    if queue then return 0, queue, nil end
    n = n + (room < 1 and admit_one(c, lane, job, cost, behind, out) or admit_alike(c, lane, room, job, behind, out))
  end
  return n
end

-- One lane's turn, in the ring (`place.from` nil) or in the room of a limit. How many were admitted, and whether that limit closed.
local function serve_candidate(c, place, lane, out)
  local n, limit, till = serve_lane(c, lane, lane.share, place.from, out)
  if limit and limit ~= place.from then
    place.gone[#place.gone + 1] = lane.id
    sq.enter_room(c, lane, limit)
    sq.set_timer(c, limit, till)
    return n, false
  end
  if sq.is_empty(c, lane) then place.gone[#place.gone + 1] = lane.id
  elseif n > 0 then
    place.put[#place.put + 1] = lane.time + math.floor(n * sq.UNIT / lane.weight + 0.5)
    place.put[#place.put + 1] = lane.id
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

-- The first lanes and groups of a ring, the groups with the first lanes of their rooms; all with their limits loaded and weighed.
local function load_candidates(c, level, want)
  local most = math.min(want, c.visits)
  local found, left = candidates_of(c, sq.ring_key(c, level), most)
  local lanes, keys = {}, {}
  left = most - left
  for i, x in ipairs(found) do
    if not x.key then lanes[#lanes + 1] = x
    elseif left <= 0 then found[i] = nil       -- what stands behind it waits for the next call
    else
      local room, n = c.anchor .. ':room:' .. level .. ':' .. x.key, nil
      x.members, n = candidates_of(c, room, left)
      x.weight, left = math.max(redis.call('ZCARD', room), 1), left - n
      keys[#keys + 1] = x.key
      for _, lane in ipairs(x.members) do lanes[#lanes + 1] = lane end
    end
  end
  sq.load_rules(c, lanes)
  sq.load_limits(c, keys)
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

-- An admitted job that is not there any more (a stranger took it) gives everything back.
local function undo(c, marks, lane)
  for key in string.gmatch(marks, '[^,!]+') do sq.discharge(c, c.limits[key], nil, false) end
  for _, limit in ipairs(lane.limits) do sq.refund(c, limit, 1) end
  sq.count(c, 'purged', 1)
end

-- Field and value of the entry of an admitted job.
local function entry_of(c, job, text)
  if string.byte(text) == 64 then
    redis.call('HSET', sq.record(c, job), 'state', 'pending')
    return sq.RECORD, job
  end
  local cut = string.find(text, '\n', 1, true)
  return job .. ' ' .. string.sub(text, 1, cut - 1), string.sub(text, cut + 1)
end

-- The admitted jobs (`out`: job, marks, lane) as entries of the stream of lane jobs; from now on `laned` names the delivery. How many.
local function add_entries(c, out)
  local jobs, laned, n = {}, {}, 0
  for i = 1, #out, 3 do jobs[#jobs + 1] = out[i] end
  for i, text in ipairs(redis.call('HMGET', c.anchor .. ':laned', unpack(jobs))) do
    local job, marks, lane = jobs[i], out[3 * i - 1], out[3 * i]
    if not text or string.byte(text) == 61 then undo(c, marks, lane)
    else
      local entry = sq.add(c, sq.LANES, entry_of(c, job, text))
      laned[n + 1], laned[n + 2], n = job, marks == '' and '=' .. entry or '=' .. entry .. ' ' .. marks, n + 2
      if c.quotas > 0 then sq.count_left(c, sq.keys_of(sq.name_of(lane)), text) end
    end
  end
  if n > 0 then redis.call('HSET', c.anchor .. ':laned', unpack(laned)) end
  sq.count(c, 'waiting', -#jobs)
  return n / 2
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

-- These deliveries of lane jobs are over: what they held is free. `jobs` as the caller names them; a name that is not that of the
-- delivery changes nothing. `outcome` as in sq.discharge.
function sq.end_admissions(c, entries, jobs, outcome)
  local over = {}
  for i, text in ipairs(redis.call('HMGET', c.anchor .. ':laned', unpack(jobs))) do
    local entry = entries[i]
    if text and (text == '=' .. entry or string.sub(text, 1, #entry + 2) == '=' .. entry .. ' ') then
      over[#over + 1] = jobs[i]
      if #text > #entry + 1 then
        for mark, key in string.gmatch(string.sub(text, #entry + 3), '(!?)([^,!]+)') do sq.discharge(c, sq.limit(c, key), outcome, mark == '!') end
      end
    end
  end
  if #over > 0 then redis.call('HDEL', c.anchor .. ':laned', unpack(over)) end
end
