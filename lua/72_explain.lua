-- What a job waits for, in sentences, in the order in which the obstacles go away. Functions: explain.

local function seconds(ms) return string.format('%.1f s', ms / 1000) end

local function say_debounced(c, first, longest, due, say)
  local latest = longest and ', at the latest in ' .. seconds(math.max(due, first + longest) - c.now) or ''
  say('debounced: runs in ' .. seconds(due - c.now) .. latest)
end

local function say_delayed(c, id, say)
  local r = redis.call('HMGET', sq.record(c, id), 'state', 'attempt', 'error', 'reason', 'parked', 'struck', 'first', 'longest')
  local due = tonumber(redis.call('ZSCORE', c.anchor .. ':delayed', id) or c.now)
  say(r[1])
  if r[6] then sq.say_struck(c, r[6], say) end
  if r[5] then say('parked ' .. r[5] .. (r[5] == '1' and ' time: ' or ' times: ') .. (r[4] or 'no worker that took it could run it')) end
  if r[2] then say('attempt ' .. (r[2] + 1) .. ' is next; the last error was ' .. (r[3] or 'not kept')) end
  if due <= c.now then return say('due; the next take promotes it') end
  if r[7] and r[1] == 'scheduled' then say_debounced(c, r[7], r[8], due, say) else say('due in ' .. seconds(due - c.now)) end
end

local function shown(c, job) return string.match(c.anchor, '{(.+)}$') .. '-' .. job end

-- It follows another job of its unique key.
local function say_following(c, id, say)
  local before = redis.call('HGET', sq.record(c, id), 'follows')
  say('waiting')
  say('follows ' .. shown(c, before) .. ', which is ' .. sq.state_at(c, before, sq.find(c, before)))
end

-- A time in UTC for people; the date by Howard Hinnant's civil_from_days (era of 400 years that begins in March).
function sq.utc(ms)
  local day, second = math.floor(ms / 86400000) + 719468, math.floor(ms / 1000) % 86400
  local era = math.floor(day / 146097)
  local doe = day - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return string.format('%d-%02d-%02d %02d:%02d:%02d UTC', yoe + era * 400 + (month <= 2 and 1 or 0), month,
    doy - math.floor((153 * mp + 2) / 5) + 1, math.floor(second / 3600), math.floor(second / 60) % 60, second % 60)
end

local function say_suspended(c, id, say)
  local r = redis.call('HMGET', sq.record(c, id), 'waits_for', 'waits_until')
  say('waiting')
  local what = string.find(r[1] or '', '^sleep ') and 'sleeps' or 'waits for ' .. (r[1] or 'something outside')
  if not r[2] then return say(what .. ', for as long as it takes') end
  say(what .. ', until ' .. sq.utc(r[2]) .. ', which is in ' .. seconds(math.max(0, r[2] - c.now)))
end

local function say_expiry(c, id, say)
  local r = redis.call('HMGET', sq.record(c, id), 'expires', 'deadline', 'attempt')
  local expires, deadline = not r[3] and tonumber(r[1] or 0) or 0, tonumber(r[2] or 0)
  if deadline > 0 and deadline < c.now then return say('its deadline was ' .. seconds(c.now - deadline) .. ' ago: the next take drops it') end
  if deadline > 0 then say('it must be finished in ' .. seconds(deadline - c.now)) end
  if expires == 0 then return end
  if expires < c.now then say('expired ' .. seconds(c.now - expires) .. ' ago: the next take drops it')
  else say('expires in ' .. seconds(expires - c.now) .. ' unless it has begun') end
end

-- How many of its lane stand before it: counted as far as 10,000.
local function say_place_in_lane(c, lane, id, say)
  local ahead, is_found = 0, false
  for item in string.gmatch(lane.text, '[^,+]+') do
    is_found = is_found or sq.parse_item(item) == id
    if not is_found then ahead = ahead + 1 end
  end
  if not is_found and not lane.by_deadline then
    local at = redis.call('LPOS', c.anchor .. ':lane:' .. lane.id, id, 'MAXLEN', 10000)
    if not at then return say('lane ' .. sq.name_of(lane) .. ': behind more than ' .. ahead .. ' of its ' .. sq.depth_of(c, lane)) end
    ahead = ahead + at
  end
  say('lane ' .. sq.name_of(lane) .. ': behind ' .. ahead .. ' of its ' .. sq.depth_of(c, lane) .. (lane.by_deadline and ', which go by deadline' or ''))
end

-- What keeps a limit closed to a job of this cost.
local function say_limit(c, limit, cost, say)
  local rule, till = limit.rule, sq.closed_until(c, limit, cost)
  local name = 'limit ' .. limit.key
  if limit.phase > 0 and till ~= nil then say(name .. (till and ': breaker open for ' .. seconds(till - c.now) .. ' more' or ': breaker half-open, its probes run'))
  elseif limit.till > c.now then say(name .. ': closed for ' .. seconds(limit.till - c.now) .. ' more')
  elseif rule.slots and limit.used >= rule.slots then
    say(name .. ': ' .. limit.used .. ' of ' .. rule.slots .. ' slots are taken, by ' .. sq.holders(c, limit.key))
  elseif till ~= nil then
    say(string.format('%s: %.6g of %.6g tokens, %.6g needed; %s', name, limit.tokens, rule.burst, math.min(cost, rule.burst),
      till and 'ready in ' .. seconds(till - c.now) or 'its rate is 0'))
  elseif rule.rate then say(string.format('%s: open, %.6g of %.6g tokens', name, limit.tokens, rule.burst))
  elseif rule.slots then say(name .. ': open, ' .. limit.used .. ' of ' .. rule.slots .. ' slots are taken') end
end

local function say_lane(c, id, at, say)
  say('waiting')
  local lane = sq.lane(c, sq.lane_id(at.level, at.lane))
  say_place_in_lane(c, lane, id, say)
  local place, limit = sq.place_of(c, lane)
  if place == 'ring' then say('the lane can move: number ' .. (redis.call('ZRANK', sq.ring_key(c, at.level), lane.id) + 1) .. ' of the '
    .. redis.call('ZCARD', sq.ring_key(c, at.level)) .. ' whose turn comes at level ' .. at.level)
  elseif limit then
    local room = sq.room_key(c, at.level, limit)
    say('the lane waits for limit ' .. place .. ', number ' .. (redis.call('ZRANK', room, lane.id) + 1) .. ' of ' .. redis.call('ZCARD', room))
  end
  sq.load_rules(c, {lane})
  local strike = c.strikes > 0 and string.match(redis.call('HGET', sq.record(c, id), 'reason') or '', '^strike (%w+)$')
  if strike then sq.say_struck(c, strike, say) elseif c.strikes > 0 then sq.say_strikes(c, at.task, say) end
  for j, one in ipairs(lane.limits) do say_limit(c, one, sq.price(lane, j, tonumber(at.cost or 1)), say) end
end

-- How many jobs of its level stand before it (counted up to 1,000), and which levels may go first.
local function say_ready(c, at, say)
  say('pending')
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', sq.stream(c, at.level))) do
    if group[2] == sq.GROUP then
      local before = #redis.call('XRANGE', sq.stream(c, at.level), '(' .. group[8], '(' .. at.entry, 'COUNT', 1000)
      say((before == 1000 and '1000 or more' or before) .. (before == 1 and ' job of level ' or ' jobs of level ') .. at.level .. (before == 1 and ' is before it' or ' are before it'))
    end
  end
  if c.strikes > 0 then sq.say_strikes(c, at.task, say) end
  local heads = redis.call('HGETALL', c.anchor .. ':heads')
  for i = 1, #heads, 2 do
    local level = string.sub(heads[i], -1)
    if level ~= at.level then
      local ahead = (tonumber(string.match(heads[i + 1], '^%d+')) - tonumber(level) * sq.AGE)
        < (tonumber(string.match(at.entry, '^%d+')) - tonumber(at.level) * sq.AGE)
      if ahead then say('level ' .. level .. ' has work that goes first') end
    end
  end
end

local function say_given(c, at, say)
  if at.owner == 'lost' then
    say('pending')
    return say('its worker was lost; the next take gets it, before new jobs of level ' .. at.level)
  end
  if at.owner == 'suspects' then
    say('pending')
    return say('a worker died while it ran; it waits for a process of its own')
  end
  say('active')
  local found = redis.call('XPENDING', sq.stream(c, at.level), sq.GROUP, at.entry, at.entry, 1)[1]
  say('worker ' .. at.owner .. ' (' .. (redis.call('HGET', c.anchor .. ':workers', at.owner) or 'unknown') .. ') has had it for '
    .. seconds(found[3]) .. ', delivery ' .. found[4])
  local ends = redis.call('ZSCORE', c.anchor .. ':alive', at.owner)
  if ends then say('lease of the worker: ' .. seconds(math.max(0, tonumber(ends) - c.mono)) .. ' left') end
  if redis.call('HGET', c.anchor .. ':cancels', at.level .. '-' .. at.entry) then say('it was asked to stop') end
end

local function say_follower(c, id, say)
  local follower = redis.call('HGET', sq.record(c, id), 'follower')
  if follower then say(shown(c, follower) .. ' follows it') end
end

local function say_workers(c, say)
  if c.paused then
    local note = redis.call('HGET', c.meta, 'paused_note')
    say('the queue is paused' .. (note and note ~= '' and ': ' .. note or ''))
  end
  local n = redis.call('ZCARD', c.anchor .. ':alive')
  if n == 0 then say('no worker is registered') else say(n .. (n == 1 and ' worker, ' or ' workers, ') .. redis.call('ZCARD', c.anchor .. ':idle') .. ' idle') end
end

local function say_schedule(c, id, say)
  local r = redis.call('HMGET', sq.record(c, id), 'schedule', 'scheduled')
  if r[2] then say('schedule ' .. r[1] .. ' made it for its time ' .. seconds(c.now - r[2]) .. ' ago') end
end

-- now, job -> {sentence …}
local function explain(anchor, args)
  local c, id, out = sq.look(anchor, args[1]), sq.job(args[2]), {}
  local function say(sentence) out[#out + 1] = sentence end
  local at = sq.find(c, id)
  if at.place == 'delayed' then say_delayed(c, id, say)
  elseif at.place == 'lane' then say_lane(c, id, at, say)
  elseif at.place == 'suspended' then say_suspended(c, id, say)
  elseif at.place == 'following' then say_following(c, id, say)
  elseif at.place == 'gate' then sq.say_gate(c, id, say)
  elseif at.place == 'ready' then say_ready(c, at, say)
  elseif at.place == 'given' then say_given(c, at, say)
  elseif at.place == 'gone' then
    local status, ended = sq.logged(c, id)
    say(status or 'unknown')
    if status then say('it ended ' .. seconds(c.now - ended) .. ' ago; nothing else of it was kept')
    else say('it has finished and nothing of it was kept, or it never was') end
  else
    local r = redis.call('HMGET', sq.record(c, id), 'state', 'reason', 'error')
    say(r[1])
    if r[2] then say(r[2] .. (r[3] and ': ' .. r[3] or '')) end
  end
  say_follower(c, id, say)
  say_schedule(c, id, say)
  if at.place == 'delayed' or at.place == 'lane' or at.place == 'gate' or at.place == 'suspended' or at.place == 'ready' then say_expiry(c, id, say) end
  if at.place == 'delayed' or at.place == 'lane' or at.place == 'ready' or (at.place == 'given' and at.owner == 'lost') then say_workers(c, say) end
  return out
end

sq.register('explain', {'no-writes', 'allow-stale'}, explain)
