-- Emptying what waits, in steps. Functions: purge.
-- What must hold: a step removes at most STEP jobs; what is added after the first step stays; keys, tags and waiters of
-- purged jobs are free; the group's lag is known again afterwards (deleting undelivered entries makes it nil).

local STEP = 500

local function group_of(c, level)
  local groups = redis.pcall('XINFO', 'GROUPS', sq.stream(c, level))
  for _, group in ipairs(groups.err and {} or groups) do
    if group[2] == sq.GROUP then return group[8] end
  end
end

-- 1, or 0 for the tombstone of a job that was cancelled before.
local function purge_entry(c, level, raw)
  local entry, fields = raw[1], raw[2]
  local job, task = sq.job_of(level, entry, fields)
  local removed = 1
  if c.cancels > 0 and redis.call('HGET', c.anchor .. ':cancels', level .. '-' .. entry) == 'gone' then
    sq.switch(c, 'tombs', -1)
    sq.count(c, 'tombs:' .. level, -1)
    removed = 0
  else
    sq.finish_job(c, job, task, 'cancelled')
    sq.count(c, 'pending:' .. level, -1)
  end
  sq.forget_delivery(c, level, entry, job)
  redis.call('XDEL', sq.stream(c, level), entry)
  return removed
end

-- The group moves to the bound, behind everything that was deleted: Valkey does not know its lag again otherwise.
local function repair_lag(c, level, bound)
  local stream = sq.stream(c, level)
  local waiting = redis.call('XLEN', stream) - redis.call('XPENDING', stream, sq.GROUP)[1]
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'entries-added' then
      redis.pcall('XGROUP', 'SETID', stream, sq.GROUP, bound, 'ENTRIESREAD', info[i + 1] - waiting)
    end
  end
end

-- One step over one level; how many were removed, and whether the level is done.
local function purge_level(c, level, bound)
  local delivered = group_of(c, level)
  if not delivered or not sq.before(delivered, bound) then return 0, true end
  local rows = redis.call('XRANGE', sq.stream(c, level), '(' .. delivered, bound, 'COUNT', STEP)
  local removed = 0
  for _, raw in ipairs(rows) do removed = removed + purge_entry(c, level, raw) end
  if #rows > 0 then sq.renew_head(c, level, rows[#rows][1]) end
  if #rows < STEP then repair_lag(c, level, bound) end
  return removed, #rows < STEP
end

local function purge_pending(c, cursor, bound)
  local level = cursor == '-' and 9 or sq.whole(cursor, 'cursor', 0, 9)
  if bound == '0' then bound = sq.next_id(c) end      -- an id of no entry: all that is added later is behind it
  if sq.before(sq.num(c.ms) .. '-' .. sq.num(c.seq), sq.entry(bound)) then
    sq.refuse('INVALID', 'bound is ' .. sq.shown(bound) .. '; it is ahead of all jobs: pass on what the first step answered')
  end
  local removed, done = purge_level(c, tostring(level), bound)
  while done and removed == 0 and level > 0 do
    level = level - 1
    removed, done = purge_level(c, tostring(level), bound)
  end
  return {removed, done and (level == 0 and '' or tostring(level - 1)) or tostring(level), bound}
end

-- What waits in lanes, lane by lane: a few lanes a step, STEP jobs at most.
local function purge_waiting(c, bound)
  local left, removed = bound == '0' and redis.call('HLEN', c.anchor .. ':laned') or sq.whole(bound, 'bound', 0, 1e9), 0
  local ids = {}
  for i, value in ipairs(c.flow > 0 and left > 0 and redis.call('HSCAN', c.anchor .. ':lanes', 0, 'COUNT', 50)[2] or {}) do
    if i % 2 == 1 then ids[#ids + 1] = value end
  end
  sq.load_lanes(c, ids)
  for _, id in ipairs(ids) do
    local lane = c.lanes[id]
    local item, behind = sq.peek(c, lane)
    while item and removed < math.min(STEP, left) do
      local job = sq.parse_item(item)
      local task = sq.leave_waiting(c, job)
      if task ~= false then
        sq.finish_job(c, job, task, 'cancelled')
        removed = removed + 1
      elseif redis.call('HDEL', c.anchor .. ':dropped', job) == 1 then sq.switch(c, 'dropped', -1) end
      sq.step_past(c, lane, behind)
      item, behind = sq.peek(c, lane)
    end
    sq.leave_if_empty(c, lane)
  end
  left = left - removed
  return {removed, (#ids == 0 or left <= 0) and '' or '0', sq.num(math.max(left, 1))}
end

-- Delayed and dead ones are counted down from how many there were at the first step.
local function purge_set(c, key, bound, remove)
  local left = bound == '0' and redis.call('ZCARD', key) or sq.whole(bound, 'bound', 0, 1e9)
  local jobs = redis.call('ZRANGE', key, 0, math.min(left, STEP) - 1)
  if left == 0 then jobs = {} end
  for _, job in ipairs(jobs) do remove(job) end
  left = left - #jobs
  return {#jobs, (#jobs == 0 or left <= 0) and '' or '0', sq.num(math.max(left, 1))}
end

local WHAT = {pending = true, waiting = true, gated = true, suspended = true, following = true, delayed = true, dead = true}

-- now, what, cursor, bound -> {removed, next cursor, bound}
local function purge(anchor, args)
  local c, what, cursor, bound = sq.begin(anchor, args[1]), args[2], args[3], args[4] or '0'
  if not WHAT[what] then
    sq.refuse('INVALID', 'what is ' .. sq.shown(what) .. '; pending, waiting, gated, suspended, following, delayed or dead is due')
  end
  if not cursor then sq.refuse('INVALID', 'cursor is missing; - begins') end
  -- checked: first write
  local answer
  if what == 'pending' then answer = purge_pending(c, cursor, bound)
  elseif what == 'waiting' then answer = purge_waiting(c, bound)
  elseif what == 'gated' then
    answer = purge_set(c, anchor .. ':gates', bound, function(job)
      if sq.leave_gate(c, job) then sq.finish_job(c, job, nil, 'cancelled') end
    end)
  elseif what == 'dead' then answer = purge_set(c, anchor .. ':dead', bound, function(job) sq.drop_dead(c, job) end)
  elseif what == 'suspended' then
    answer = purge_set(c, anchor .. ':suspended', bound, function(job)
      sq.end_wait(c, job)
      sq.finish_job(c, job, nil, 'cancelled')
    end)
  elseif what == 'following' then
    answer = purge_set(c, anchor .. ':following', bound, function(job)
      sq.stop_following(c, job)
      sq.finish_job(c, job, nil, 'cancelled')
    end)
  else
    answer = purge_set(c, anchor .. ':delayed', bound, function(job)
      redis.call('ZREM', anchor .. ':delayed', job)
      sq.count(c, 'delayed', -1)
      sq.finish_job(c, job, nil, 'cancelled')
    end)
  end
  sq.save(c)
  return answer
end

sq.register('purge', {'allow-oom'}, purge)
