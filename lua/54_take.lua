-- The pop. One call settles what the caller has done, gives back what the dead held, promotes what is due, and hands out
-- deliveries: the lost ones of a level before new ones, the levels by priority with aging. Functions: take, adopt.
-- What must hold: only a clean consumer gets deliveries, and that is judged after the settlements and the recovery of the
-- same call; whoever leaves work behind rings, and whoever leaves a due time behind has it watched.

local MIXED = 16                 -- deliveries of one level before the levels are compared again
local ROUNDS = 64                -- comparisons a call

-- Up to n lost deliveries of a level, from its first lost one on; how many were claimed (some end here, see rows).
local function claim_lost(c, me, level, first, n, rows)
  local claimed = redis.call('XAUTOCLAIM', sq.stream(c, level), sq.GROUP, me.id, sq.FOREVER, first, 'COUNT', n)
  for _, raw in ipairs(claimed[2]) do
    if raw then sq.admit(c, level, raw, rows) end
  end
  local vanished = #(claimed[3] or {})
  sq.count(c, 'active:' .. level, -vanished)
  sq.count(c, 'purged', vanished)
  sq.renew_lost(c, level)
  return #claimed[2]
end

-- Up to n new ones, and the level's new head; whether it has no more.
local function read_new(c, me, level, n, rows)
  local read = redis.call('XREADGROUP', 'GROUP', sq.GROUP, me.id, 'COUNT', n, 'STREAMS', sq.stream(c, level), '>')
  local entries, tombs = read and read[1][2] or {}, 0
  if #entries == n then sq.renew_head(c, level, entries[n][1])
  else
    redis.call('HDEL', c.anchor .. ':heads', level)
    if c.adding[level] then c.adding[level].head = false end
  end
  for _, raw in ipairs(entries) do
    local _, tomb = sq.admit(c, level, raw, rows)
    if tomb then tombs = tombs + 1 end
  end
  sq.count(c, 'pending:' .. level, tombs - #entries)
  sq.count(c, 'active:' .. level, #entries - tombs)
  return #entries < n
end

-- Up to n deliveries of a level, those of its lanes apart. Lanes and plain jobs of one level get half each, and what the
-- other leaves. Whether there is surely no more.
local function read_level(c, me, level, found, n, rows, lane_rows)
  if found.lost and claim_lost(c, me, level, found.lost, n, rows) > 0 then return false end   -- its new jobs are younger: compare anew
  if found.has_lanes then
    c.is_odd = not c.is_odd
    sq.admit_lanes(c, me, level, found.has_plain and math.floor(n / 2 + (c.is_odd and 0.5 or 0)) or n, lane_rows)
    if not found.has_plain then return false end
    n = n - #lane_rows / 3
  end
  return (n == 0 or read_new(c, me, level, n, rows)) and not found.has_lanes
end

-- A level that cannot be read (a stranger put something else there) is skipped until a sweep finds it well.
local function skip_level(c, level)
  redis.call('HDEL', c.anchor .. ':heads', level, 'lost:' .. level, 'ring:' .. level)
  redis.call('HDEL', c.meta, 'swept')
end

local function put_group(groups, level, rows)
  if #rows == 0 then return 0 end
  groups[#groups + 1] = level
  groups[#groups + 1] = rows
  return #rows / 3
end

-- Up to n deliveries as {level, rows, level, rows …}; how many, and whether that was all there is.
local function fill(c, me, n, groups)
  local got, is_all = 0, false
  for _ = 1, ROUNDS do
    if got >= n or is_all then break end
    local level, levels, lost, has_lanes, has_plain = sq.best_level(c)
    if not level then return got, c.visits ~= 0 end
    local rows, lane_rows, found = {}, {}, {lost = lost, has_lanes = has_lanes, has_plain = has_plain}
    local ok, no_more = pcall(read_level, c, me, level, found, levels > 1 and math.min(n - got, MIXED) or n - got, rows, lane_rows)
    if not ok then skip_level(c, level) end
    is_all = ok and no_more and levels == 1
    got = got + put_group(groups, level, rows) + put_group(groups, sq.LANES, lane_rows)
  end
  return got, is_all
end

-- Up to k suspects, each of which the caller runs in a process of its own.
local function claim_suspects(c, me, k, groups)
  for level in string.gmatch(c.suspects > 0 and c.levels or '', '%w') do
    local rows = {}
    for _, found in ipairs(k > 0 and redis.call('XPENDING', sq.stream(c, level), sq.GROUP, '-', '+', k, 'suspects') or {}) do
      local raw = redis.call('XCLAIM', sq.stream(c, level), sq.GROUP, me.id, 0, found[1])[1]
      sq.switch(c, 'suspects', -1)
      k = k - 1
      if raw then sq.admit(c, level, raw, rows) end
    end
    put_group(groups, level, rows)
  end
end

-- Who is told that work or a due time is left, and how long the caller may sleep.
local function hand_on(c, me, n, got, is_all)
  if c.visits == 0 then c.visits = 1 end                        -- a ring counts as left, though this call looks at no more lanes
  local left = not c.paused and not is_all and sq.best_level(c)
  if left then sq.ring(c, got == n and n > 0 and 2 or 1) end
  if me.clean and got < n then
    local sleep = sq.sleep(c, me.id)
    return left and not c.yields and 1 or sleep   -- the rounds were over before the level was: come again at once
  end
  sq.pass_on(c, me.id)
  return 0
end

function sq.state_of(me) return me.clean and 'clean' or me.state == 'clean' and 'revoked' or me.state end

-- now, consumer, generation, n, isolate, settlement … -> {state, mono, now, fence, sleep, refused, wanted, commands,
-- suspects, groups, alone}
local function take(anchor, args)
  local c = sq.begin(anchor, args[1])
  local me = sq.caller(c, args[2], args[3])
  local n, isolate = sq.whole(args[4], 'n', 0, sq.TAKE), sq.whole(args[5], 'isolate', 0, 100)
  local list = sq.read_settlements(args, 6)
  -- checked: first write
  c.takes = true
  local report = sq.settle(c, me, list)
  if c.ended or c.ends or c.closing > 0 then sq.spread(c) end
  c.opened = nil                          -- the caller is the first who gets it
  redis.call('ZREM', c.anchor .. ':idle', me.id)
  redis.call('ZREM', c.anchor .. ':woken', me.id)
  if sq.recover_one(c) == me.id then me = sq.consumer(c, me.id) end
  sq.promote_due(c, me.id)
  sq.sweep(c)
  local groups, alone, got, is_all = {}, {}, 0, false
  if me.clean and not c.paused and not c.yields then
    got, is_all = fill(c, me, n, groups)
    claim_suspects(c, me, isolate, alone)
  end
  local fence = (got > 0 or #alone > 0) and sq.next_fence(c) or sq.num(c.fence)
  local commands = sq.drop_commands(c, me.id)
  if me.clean then sq.hand_out_ticks(c, commands) end
  local sleep = hand_on(c, me, n, got, is_all)
  if c.closing > 0 then sleep = math.min(sleep, 1) end          -- there are more to be told that a parent has ended
  if me.clean and sleep == 0 then sq.remind(c, commands) end
  if c.outbox > 0 or c.mail then
    if sq.claim_relay(c) then commands[#commands + 1] = 'relay' end
  end
  sq.save(c)
  return {sq.state_of(me), c.mono, c.now, fence, sleep, report.refused, report.wanted, commands, c.suspects, groups, alone}
end

-- now, consumer, generation -> {state, groups, mono, now, fence}
local function adopt(anchor, args)
  local c = sq.begin(anchor, args[1])
  local me, generation = sq.caller(c, args[2], args[3])
  -- checked: first write
  local groups = {}
  if me.state ~= 'unknown' then
    me.generation = generation
    sq.store_consumer(c, me)
    for level in string.gmatch(c.levels, '%w') do
      local rows = {}
      for _, found in ipairs(redis.call('XPENDING', sq.stream(c, level), sq.GROUP, '-', '+', sq.BATCH, me.id)) do
        local fields = sq.row(c, level, found[1])
        local value = fields and fields[2]
        if fields and fields[1] == sq.RECORD then value = sq.record_value(c, value) or {value, '?', '', 0, 0} end
        if fields then sq.put_row(rows, found[1], fields[1], value) end
      end
      put_group(groups, level, rows)
    end
  end
  local fence = sq.next_fence(c)
  sq.save(c)
  return {sq.state_of(me), groups, c.mono, c.now, fence}
end

sq.register('take', {'allow-oom'}, take)
sq.register('adopt', {'allow-oom'}, adopt)
