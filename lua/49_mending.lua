-- The sweep of lanes: what strangers did to their keys, and states that say nothing any more. A part of them each time.
-- What must hold: a lane that stands nowhere is in its ring again, a room that could move has its group in the ring, and `used`
-- of a limit is what its deliveries hold, after a round of sweeps.

local SOME = 200                 -- lanes and limits a sweep

local function scan_on(c, name)
  local field = name .. '_swept'
  local found = redis.call('HSCAN', c.anchor .. ':' .. name, redis.call('HGET', c.meta, field) or '0', 'COUNT', SOME)
  redis.call('HSET', c.meta, field, found[1])
  local keys = {}
  for i = 1, #found[2], 2 do keys[#keys + 1] = found[2][i] end
  return keys
end

local function find_lost_lanes(c)
  local ids = scan_on(c, 'lanes')
  sq.load_lanes(c, ids)
  for _, id in ipairs(ids) do
    if sq.place_of(c, c.lanes[id]) == '' then sq.join_ring(c, c.lanes[id]) end
  end
end

-- How often each limit is held, when that can be counted at once.
local function count_held(c)
  if redis.call('HLEN', c.anchor .. ':held') > 1000 then return nil end
  local used = {}
  for _, text in ipairs(redis.call('HVALS', c.anchor .. ':held')) do
    for key in string.gmatch(string.match(text, ' (.*)$') or '', '[^,!]+') do used[key] = (used[key] or 0) + 1 end
  end
  return used
end

local function look_at_limits(c)
  local keys, used = scan_on(c, 'state'), count_held(c)
  sq.load_limits(c, keys)
  for _, key in ipairs(keys) do
    local limit = c.limits[key]
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
  find_lost_lanes(c)
  look_at_limits(c)
end
