-- The sweep of lanes: what strangers did to their keys, and states that say nothing any more. A part of them each time.
-- What must hold: a lane that stands nowhere is in its ring again, a room that could move has its group in the ring, and `used`
-- of a limit is what its deliveries hold, after a round of sweeps.

local SOME = 200                 -- lanes and limits a sweep

local function scan_on(c, name)
  local field = name .. '_swept'
  local found = redis.call('HSCAN', c.anchor .. ':' .. name, redis.call('HGET', c.meta, field) or '0', 'COUNT', SOME)
  redis.call('HSET', c.meta, field, found[1])
  return found[2]
end

local function find_lost_lanes(c)
  local found = scan_on(c, 'lanes')
  for i = 1, #found, 2 do
    local lane = sq.lane(c, found[i])
    if sq.place_of(c, lane) == '' then sq.join_rings(c, {lane}) end
  end
end

-- How often each limit is held, when that can be counted at once.
local function count_held(c)
  local stream, jobs, used = sq.stream(c, sq.LANES), {}, {}
  if redis.call('XLEN', stream) > 1000 then return nil end
  for i, raw in ipairs(redis.call('XRANGE', stream, '-', '+')) do jobs[i] = sq.job_of(sq.LANES, raw[1], raw[2]) or '-' end
  for _, text in ipairs(#jobs > 0 and redis.call('HMGET', c.anchor .. ':laned', unpack(jobs)) or {}) do
    for key in string.gmatch(string.match(text or '', '^=%S+ (.*)$') or '', '[^,!]+') do used[key] = (used[key] or 0) + 1 end
  end
  return used
end

-- Deliveries that are over though nobody said so: a stranger deleted their entries.
local function find_lost_deliveries(c)
  local found = scan_on(c, 'laned')
  for i = 1, #found, 2 do
    local entry = string.match(found[i + 1], '^=(%S+)')
    if entry and not sq.owner(c, sq.LANES, entry) then sq.end_admissions(c, {entry}, {found[i]}) end
  end
end

local function look_at_limits(c)
  local found, used = scan_on(c, 'state'), count_held(c)
  for i = 1, #found, 2 do
    local key = found[i]
    local limit = sq.limit(c, key)
    if used and limit.used ~= (used[key] or 0) then
      sq.count(c, 'repaired', math.abs(limit.used - (used[key] or 0)))
      limit.used = used[key] or 0
    end
    sq.change(c, limit)
    if limit.rooms ~= '' and sq.closed_until(c, limit, 1) == nil then sq.wake_rooms(c, limit) end
  end
end

function sq.sweep_lanes(c)
  for level = 0, 9 do
    if redis.call('EXISTS', sq.ring_key(c, level)) == 1 then c.moved_rings[tostring(level)] = true end
  end
  find_lost_deliveries(c)
  find_lost_lanes(c)
  look_at_limits(c)
end
