-- Whose code declares which schedules, while two versions of it run side by side. Functions: schedule_offer, schedule_keep.
--   releases  app → `<digest> <seen> <older digest> …`: the declarations that hold, when (monotonic clock) a worker with
--             them was here last, and those that held before, the latest first
-- What must hold: the newest declarations hold while any worker with them lives; older ones come back SILENT after the last
-- such worker was seen; so workers of two versions that restart in any order do not undo each other's schedules.

local SILENT = 90000             -- ms after which a version that nobody offers is gone; workers offer theirs every 30 s
local OLDER = 50                 -- versions that are remembered
local KEPT = 1000                -- schedules that the code of one app may declare in a queue

local function digest_of(value)
  if not value or not string.find(value, '^%w+$') or #value > 64 then
    sq.refuse('INVALID', 'digest is ' .. sq.shown(value) .. '; 1 to 64 letters and digits are due')
  end
  return value
end

local function standing(c, app)
  local current, seen, older = string.match(redis.call('HGET', c.anchor .. ':releases', app) or '', '^(%w+) (%d+)(.*)$')
  return current, tonumber(seen or 0), older or ''
end

-- now, app, digest -> {current | apply | older | nothing, now}; the digest `none` is that of no declarations
local function offer(anchor, args)
  local c, app, digest = sq.begin(anchor, args[1]), sq.schedule_name(args[2]), digest_of(args[3])
  local current, seen, older = standing(c, app)
  local is_older = current and string.find(older .. ' ', ' ' .. digest .. ' ', 1, true) and c.mono - seen < SILENT
  if not current and digest == 'none' then return {'nothing', c.now} end
  -- checked: first write
  if current == digest then redis.call('HSET', anchor .. ':releases', app, digest .. ' ' .. sq.num(c.mono) .. older) end
  sq.save(c)
  return {current == digest and 'current' or is_older and 'older' or 'apply', c.now}
end

-- now, app, digest, name … -> how many were removed: those that its code declares are these, and no others
local function keep(anchor, args)
  local c, app, digest = sq.begin(anchor, args[1]), sq.schedule_name(args[2]), digest_of(args[3])
  if #args > KEPT + 3 then sq.refuse('LIMIT', (#args - 3) .. ' schedules of app ' .. app .. '; the most is ' .. KEPT) end
  local kept, gone = {}, {}
  for i = 4, #args do kept[sq.schedule_name(args[i])] = true end
  for _, name in ipairs(redis.call('SMEMBERS', anchor .. ':schedules:' .. app)) do
    if not kept[name] then gone[#gone + 1] = name end
  end
  local current, _, older = standing(c, app)
  -- checked: first write
  for _, name in ipairs(gone) do sq.forget_schedule(c, name) end
  local past, n = current and current ~= digest and ' ' .. current or '', 1
  for one in string.gmatch(older, '%w+') do
    if one ~= digest and n < OLDER then past, n = past .. ' ' .. one, n + 1 end
  end
  redis.call('HSET', anchor .. ':releases', app, digest .. ' ' .. sq.num(c.mono) .. past)
  sq.save(c)
  return #gone
end

sq.register('schedule_offer', {'allow-oom'}, offer)
sq.register('schedule_keep', {'allow-oom'}, keep)
