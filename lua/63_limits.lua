-- Saying what limits there are, and using them from outside of jobs. Functions: limit_declare, limit_set, limit_unset, limit_wake,
-- limit_stop, limit_reset, limit_acquire, limit_spent.
--   declared   key → words of the code
--   overrides  key → words of an operator, which win
-- What must hold: a change holds at once, for what waits too; `limits` says the sum of both.

local WAKE_MOST = 200            -- limits of a class that one call wakes

-- How many of these words make a quota: the switch `quotas` counts the limits that have one.
local function has_quota(words)
  return words and (string.find(words, 'most=%d') or string.find(words, 'bytes=%d')) and 1 or 0
end

-- The high-water mark of the server's memory is a switch: every enqueue looks at it.
local function set_memory(c, words)
  local mark = tonumber(string.match(words or '', 'bytes=(%d+)')) or 0
  sq.switch(c, 'memory', mark - c.memory)
end

local function apply(c, key, old)
  local parts = redis.call('HMGET', c.anchor .. ':limits', key)
  local words = {}
  for _, name in ipairs{'declared', 'overrides'} do
    local text = redis.call('HGET', c.anchor .. ':' .. name, key)
    if text and text ~= '' then words[#words + 1] = text end
  end
  local now = table.concat(words, ' ')
  if now == (parts[1] or '') then return false end
  if now == '' then redis.call('HDEL', c.anchor .. ':limits', key) else redis.call('HSET', c.anchor .. ':limits', key, now) end
  if key == 'memory' then set_memory(c, now) else sq.switch(c, 'quotas', has_quota(now) - has_quota(parts[1])) end
  return true
end

-- Those of the limits with this name (or of its class, `<class>:*`) that lanes wait for may open now. The next cursor, '' at the end.
local function wake(c, name, cursor)
  c.classes, c.limits, c.words = {}, {}, nil
  local keys, nxt = {name}, ''
  if string.sub(name, -1) == '*' then
    local found = redis.call('HSCAN', c.anchor .. ':state', cursor, 'MATCH', (string.gsub(name, '[%[%]?\\^]', '\\%0')), 'COUNT', WAKE_MOST)
    keys, nxt = {}, found[1] == '0' and '' or found[1]
    for i = 1, #found[2], 2 do keys[#keys + 1] = found[2][i] end
  end
  sq.load_limits(c, keys)
  for _, key in ipairs(keys) do sq.wake_rooms(c, c.limits[key]) end
  return nxt
end

local function read_who(text) return sq.text(text or '', 'who', 256) end

-- now, (name, words) … -> how many changed
local function limit_declare(anchor, args)
  local c, changed = sq.begin(anchor, args[1]), 0
  if #args % 2 ~= 1 or #args < 3 or #args > 401 then sq.refuse('INVALID', 'names and words come in pairs, 1 to 200 of them') end
  for i = 2, #args, 2 do
    sq.limit_key(args[i])
    sq.check_words(args[i + 1])
  end
  -- checked: first write
  sq.use_flow(c)
  for i = 2, #args, 2 do
    redis.call('HSET', anchor .. ':declared', args[i], args[i + 1])
    if apply(c, args[i]) then
      changed = changed + 1
      wake(c, args[i], '0')
    end
  end
  sq.save(c)
  return changed
end

-- now, name, words, who -> next cursor for limit_wake
local function limit_set(anchor, args)
  local c, name, words, who = sq.begin(anchor, args[1]), sq.limit_key(args[2]), sq.check_words(args[3]), read_who(args[4])
  -- checked: first write
  sq.use_flow(c)
  redis.call('HSET', anchor .. ':overrides', name, words)
  apply(c, name)
  sq.audit(c, 'limit ' .. name .. ' set: ' .. words, who)
  local cursor = wake(c, name, '0')
  sq.save(c)
  return cursor
end

-- now, name, who -> next cursor for limit_wake
local function limit_unset(anchor, args)
  local c, name, who = sq.begin(anchor, args[1]), sq.limit_key(args[2]), read_who(args[3])
  if redis.call('HEXISTS', anchor .. ':overrides', name) == 0 then sq.refuse('NOTFOUND', 'limit ' .. name .. ' was not set by anybody') end
  -- checked: first write
  redis.call('HDEL', anchor .. ':overrides', name)
  apply(c, name)
  sq.audit(c, 'limit ' .. name .. ' unset', who)
  local cursor = wake(c, name, '0')
  sq.save(c)
  return cursor
end

-- now, name, cursor -> next cursor
local function limit_wake(anchor, args)
  local c, name = sq.begin(anchor, args[1]), sq.limit_key(args[2])
  local cursor = sq.num(sq.whole(args[3], 'cursor', 0, 1.8e19))
  -- checked: first write
  local nxt = c.flow > 0 and wake(c, name, cursor) or ''
  sq.save(c)
  return nxt
end

-- now, name, ms, who -> 1
local function limit_stop(anchor, args)
  local c, name, ms, who = sq.begin(anchor, args[1]), sq.limit_key(args[2]), sq.whole(args[3], 'ms', 1, 1e13), read_who(args[4])
  -- checked: first write
  sq.use_flow(c)
  sq.shut(c, sq.limit(c, name), ms)
  sq.audit(c, 'limit ' .. name .. ' stopped for ' .. sq.num(ms) .. ' ms', who)
  sq.save(c)
  return 1
end

-- now, name, who -> 1: full, closed by nothing, its breaker closed
local function limit_reset(anchor, args)
  local c, name, who = sq.begin(anchor, args[1]), sq.limit_key(args[2]), read_who(args[3])
  -- checked: first write
  sq.use_flow(c)
  local limit = sq.limit(c, name)
  limit.tokens, limit.till, limit.phase, limit.failed, limit.runs, limit.probes = limit.rule.burst or 0, 0, 0, 0, 0, 0
  sq.change(c, limit)
  sq.wake_rooms(c, limit)
  sq.audit(c, 'limit ' .. name .. ' reset', who)
  sq.save(c)
  return 1
end

-- now, (name, cost) … -> {1, 0, ''}, or {0, ms to wait or -1, the name that is closed}: tokens of all of them, or of none
local function limit_acquire(anchor, args)
  local c, names = sq.begin(anchor, args[1]), {}
  if #args % 2 ~= 1 or #args < 3 or #args > 17 then sq.refuse('INVALID', 'names and costs come in pairs, 1 to 8 of them') end
  for i = 2, #args, 2 do
    names[#names + 1] = sq.limit_key(args[i])
    sq.check_cost(args[i + 1])
  end
  -- checked: first write
  sq.use_flow(c)
  sq.load_limits(c, names)
  local answer
  for i, name in ipairs(names) do
    local till = sq.closed_until(c, c.limits[name], tonumber(args[2 * i + 1]))
    if till ~= nil and not answer then answer = {0, till and math.max(1, till - c.now) or -1, name} end
  end
  for i, name in ipairs(answer and {} or names) do sq.refund(c, c.limits[name], -tonumber(args[2 * i + 1])) end
  sq.save(c)
  return answer or {1, 0, ''}
end

-- now, name, difference -> tokens that are left, as text
local function limit_spent(anchor, args)
  local c, name = sq.begin(anchor, args[1]), sq.limit_key(args[2])
  local difference = args[3] and #args[3] <= 20 and string.find(args[3], '^-?%d+%.?%d*$') and tonumber(args[3])
  if not difference then sq.refuse('INVALID', 'difference is ' .. sq.shown(args[3]) .. '; a number is due') end
  -- checked: first write
  sq.use_flow(c)
  sq.refund(c, sq.limit(c, name), -difference)
  sq.save(c)
  return tostring(c.limits[name].tokens)
end

sq.register('limit_declare', {}, limit_declare)
sq.register('limit_set', {}, limit_set)
sq.register('limit_unset', {'allow-oom'}, limit_unset)
sq.register('limit_wake', {'allow-oom'}, limit_wake)
sq.register('limit_stop', {'allow-oom'}, limit_stop)
sq.register('limit_reset', {'allow-oom'}, limit_reset)
sq.register('limit_acquire', {'allow-oom'}, limit_acquire)
sq.register('limit_spent', {'allow-oom'}, limit_spent)
