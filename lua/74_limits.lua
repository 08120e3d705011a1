-- Looking at limits and lanes. Functions: limits, limit, lanes.

local READ = {'no-writes', 'allow-stale'}

-- Read-only functions see a shard without lanes as one with empty ones.
local function look(anchor, now)
  local c = sq.look(anchor, now)
  if c.flow == 0 then sq.begin_flow(c) end
  return c
end

local PHASES = {[0] = 'closed', 'open', 'half-open'}

local function waiting_for(c, limit)
  local n = 0
  for level in string.gmatch(limit.rooms, '%d') do n = n + redis.call('ZCARD', sq.room_key(c, level, limit)) end
  return n
end

local function phase_of(limit)
  return limit.rule.breaks and PHASES[limit.phase] or ''
end

local function limit_row(c, key)
  local limit = sq.limit(c, key)
  local words = redis.call('HGET', c.anchor .. ':limits', key) or ''
  return {key, words, redis.call('HGET', c.anchor .. ':declared', key) or '', redis.call('HGET', c.anchor .. ':overrides', key) or '',
    tostring(limit.tokens), limit.used, limit.queued, limit.bytes, waiting_for(c, limit), limit.till > c.now and limit.till or 0, phase_of(limit)}
end

local function scan(c, name, cursor, count, seen)
  local found = redis.call('HSCAN', c.anchor .. ':' .. name, cursor, 'COUNT', count)
  for i = 1, #found[2], 2 do seen[#seen + 1] = found[2][i] end
  return found[1]
end

-- now, cursor, count -> {next cursor, row …}: first what was configured, then keys that have a state
local function limits(anchor, args)
  local c, start, count = look(anchor, args[1]), args[2] or '-', sq.whole(args[3] or 100, 'count', 1, 500)
  local part, cursor = string.match(start, '^([cs])(%d+)$')
  if start == '-' then part, cursor = 'c', '0' end
  if not part then sq.refuse('INVALID', 'cursor is ' .. sq.shown(start) .. '; - begins') end
  local keys, nxt = {}, nil
  if part == 'c' then
    nxt = scan(c, 'limits', cursor, count, keys)
    nxt = nxt == '0' and 's0' or 'c' .. nxt
  else
    nxt = scan(c, 'state', cursor, count, keys)
    nxt = nxt == '0' and '' or 's' .. nxt
  end
  local rows = {nxt}
  for _, key in ipairs(keys) do
    if part == 'c' or redis.call('HEXISTS', anchor .. ':limits', key) == 0 then rows[#rows + 1] = limit_row(c, key) end
  end
  return rows
end

-- Who holds it: up to ten jobs, looked for among the first 500 lane jobs that run.
local function holders(c, key)
  local names, jobs = {}, {}
  for i, raw in ipairs(redis.call('XRANGE', sq.stream(c, sq.LANES), '-', '+', 'COUNT', 500)) do
    jobs[i] = sq.job_of(sq.LANES, raw[1], raw[2]) or '-'
  end
  for i, text in ipairs(#jobs > 0 and redis.call('HMGET', c.anchor .. ':laned', unpack(jobs)) or {}) do
    local held = string.match(text or '', '^=%S+ (.*)$')
    if held and #names < 10 and string.find(',' .. string.gsub(held, '!', '') .. ',', ',' .. key .. ',', 1, true) then names[#names + 1] = jobs[i] end
  end
  return table.concat(names, ' ')
end
sq.holders = holders

-- now, name -> {name, value …}
local function limit(anchor, args)
  local c, key = look(anchor, args[1]), sq.limit_key(args[2])
  local row = limit_row(c, key)
  local out = {}
  for i, name in ipairs{'name', 'words', 'declared', 'override', 'tokens', 'used', 'queued', 'bytes', 'lanes_waiting', 'closed_until', 'breaker'} do
    out[#out + 1] = name
    out[#out + 1] = type(row[i]) == 'number' and sq.num(row[i]) or row[i]
  end
  for _, value in ipairs{'burst', tostring(c.limits[key].rule.burst or ''), 'held_by', holders(c, key)} do out[#out + 1] = value end
  return out
end

-- Where a lane stands: ring, or the limit whose room it is in.
function sq.place_of(c, lane)
  local level = sq.level_of(lane)
  if redis.call('ZSCORE', sq.ring_key(c, level), lane.id) then return 'ring' end
  sq.load_rules(c, {lane})
  for _, one in ipairs(lane.limits) do
    if redis.call('ZSCORE', sq.room_key(c, level, one), lane.id) then return one.key, one end
  end
  return ''
end

-- How many items a lane has, dropped ones among them.
function sq.depth_of(c, lane)
  local n = 0
  for _ in string.gmatch(lane.text, '[^,+]+') do n = n + 1 end
  if string.sub(lane.text, -1) ~= '+' then return n end
  return n + redis.call(lane.by_deadline and 'ZCARD' or 'LLEN', c.anchor .. ':lane:' .. lane.id)
end

-- now, cursor, count -> {next cursor, {level, lane, waiting, ms since the oldest came, where, weight} …}
local function lanes(anchor, args)
  local c, cursor, count = look(anchor, args[1]), args[2] or '-', sq.whole(args[3] or 100, 'count', 1, 500)
  local ids = {}
  local nxt = scan(c, 'lanes', cursor == '-' and '0' or sq.num(sq.whole(cursor, 'cursor', 0, 1.8e19)), count, ids)
  sq.load_lanes(c, ids)
  local rows = {nxt == '0' and '' or nxt}
  for _, id in ipairs(ids) do
    local lane = c.lanes[id]
    local since = string.match(lane.text, '^%d%-(%d+)')
    local place = sq.place_of(c, lane)
    sq.load_rules(c, {lane})
    rows[#rows + 1] = {sq.level_of(lane), sq.name_of(lane), sq.depth_of(c, lane), since and math.max(0, c.mono - since) or 0, place, tostring(lane.weight)}
  end
  return rows
end

sq.register('limits', READ, limits)
sq.register('limit', READ, limit)
sq.register('lanes', READ, lanes)
