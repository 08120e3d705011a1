-- Whose turn it is among lanes: start-time fair queueing (Goyal, Vin and Cheng, 1996).
--   ring:<level>        lanes that may move, and for each limit with a room `=<key>`, the group that stands for all lanes in
--                       it; scored by virtual time, in which a job of weight 1 takes UNIT
--   room:<level>:<key>  lanes that wait for this limit, scored likewise
--   timers              limit → when it opens (wall clock): then its groups go back into their rings
--   heads               ring:<level> → ms of the job that the ring would give next
-- What must hold: a room that has lanes has its group in the ring, or a timer, or waits for a slot or probe that an end of
-- a job gives back. So nothing is polled, and nothing is forgotten.

local UNIT = 4096
sq.UNIT = UNIT

function sq.ring_key(c, level) return c.anchor .. ':ring:' .. level end
function sq.room_key(c, level, limit) return c.anchor .. ':room:' .. level .. ':' .. limit.key end

-- The end of the present round of a ring or room: leaving and coming back gains nothing.
local function join_time(c, set, weight)
  if not c.fronts[set] then c.fronts[set] = tonumber(redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2] or 0) end
  c.joins = c.joins + 1          -- first come, first served among those that join in one call
  return c.fronts[set] + math.floor(UNIT / weight + 0.5) + c.joins
end

-- Something may be able to move there now.
local function touch(c, level)
  c.moved_rings[level], c.has_moved = true, true
end

-- Lanes that stand nowhere, in the order in which they came.
function sq.join_rings(c, lanes)
  local levels = {}
  for _, lane in ipairs(lanes) do
    local level = sq.level_of(lane)
    local ring, values = sq.ring_key(c, level), levels[level]
    if not values then
      values = {}
      levels[level] = values
      touch(c, level)
    end
    values[#values + 1], values[#values + 2] = join_time(c, ring, lane.weight or 1), lane.id
  end
  for level, values in pairs(levels) do redis.call('ZADD', sq.ring_key(c, level), 'NX', unpack(values)) end
end

-- Lanes wait in rooms of this limit, and one of them may be able to pass.
function sq.wake_rooms(c, limit)
  for level in string.gmatch(limit.rooms, '%d') do
    local ring = sq.ring_key(c, level)
    if redis.call('ZADD', ring, 'NX', join_time(c, ring, 1), '=' .. limit.key) == 1 then touch(c, level) end
  end
end

function sq.set_timer(c, limit, at)
  if at then redis.call('ZADD', c.anchor .. ':timers', at, limit.key) end
end

function sq.enter_room(c, lane, limit)
  local level = sq.level_of(lane)
  local room = sq.room_key(c, level, limit)
  redis.call('ZADD', room, join_time(c, room, lane.weight), lane.id)
  if not string.find(limit.rooms, level, 1, true) then
    limit.rooms = limit.rooms .. level
    sq.change(c, limit)
  end
end

-- Lanes of one level leave a limit's room, which may close with that.
function sq.leave_room(c, level, ids, limit)
  local room = sq.room_key(c, level, limit)
  redis.call('ZREM', room, unpack(ids))
  if redis.call('EXISTS', room) == 1 then return end
  limit.rooms = string.gsub(limit.rooms, level, '')
  redis.call('ZREM', sq.ring_key(c, level), '=' .. limit.key)
  if limit.rooms == '' then redis.call('ZREM', c.anchor .. ':timers', limit.key) end
  touch(c, level)
  sq.change(c, limit)
end

-- A lane whose last item is gone leaves where it stands.
function sq.leave_if_empty(c, lane)
  if not sq.is_empty(c, lane) then return end
  local level = sq.level_of(lane)
  if redis.call('ZREM', sq.ring_key(c, level), lane.id) == 1 then return touch(c, level) end
  sq.load_rules(c, {lane})
  for _, limit in ipairs(lane.limits) do
    if string.find(limit.rooms, level, 1, true) then sq.leave_room(c, level, {lane.id}, limit) end
  end
end

-- Another job stands first in a lane, which may cost less than the one that its room's timer was set for.
function sq.look_again(c, lane)
  local level = sq.level_of(lane)
  sq.load_rules(c, {lane})
  for _, limit in ipairs(lane.limits) do
    if string.find(limit.rooms, level, 1, true) then sq.wake_rooms(c, limit) end
  end
end

-- Limits whose time has come, at most PROMOTE of them.
function sq.open_due(c)
  local due = redis.call('ZRANGE', c.anchor .. ':timers', '-inf', c.now, 'BYSCORE', 'LIMIT', 0, sq.PROMOTE)
  if #due == 0 then return end
  sq.load_limits(c, due)
  for _, key in ipairs(due) do sq.wake_rooms(c, c.limits[key]) end
  redis.call('ZREM', c.anchor .. ':timers', unpack(due))
end

-- The job that this ring would give next, as the ms of its id; nil when nothing in it can move.
local function head_of(c, level)
  local first = redis.call('ZRANGE', sq.ring_key(c, level), 0, 0)[1]
  if first and string.sub(first, 1, 1) == '=' then first = redis.call('ZRANGE', c.anchor .. ':room:' .. level .. ':' .. string.sub(first, 2), 0, 0)[1] end
  if not first then return nil end
  return string.match(sq.peek(c, sq.lane(c, first)) or '', '^%d%-(%d+)') or c.ms
end

-- The heads of the rings that moved follow.
function sq.renew_ring_heads(c)
  for level in pairs(c.moved_rings) do
    local head = head_of(c, level)
    if head then redis.call('HSET', c.anchor .. ':heads', 'ring:' .. level, head)
    else redis.call('HDEL', c.anchor .. ':heads', 'ring:' .. level) end
  end
  c.moved_rings = {}
end

-- The end of a call that knows lanes. Whoever is not taking itself tells somebody that something can move.
function sq.save_flow(c)
  if next(c.moved_rings) then sq.renew_ring_heads(c) end
  sq.save_lanes(c)
  sq.save_limits(c)
  if c.has_moved and not c.takes and not c.paused then sq.ring(c, 1) end
end
