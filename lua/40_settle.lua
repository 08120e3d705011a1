-- Settling deliveries. A clean consumer's plain completions settle at once; everything else, and everything of a consumer
-- that is not clean, is checked entry by entry against the pending list. What is not the caller's is answered as refused.
-- Effects are written before XACK and XDEL, in the same call. Functions: finish.

local KNOWN = {limit = true, neutral = true, delay = true, error = true, traceback = true, reason = true, result = true, ttl = true, line = true,
  ['for'] = true}
local SHORT = 20                 -- bytes of an id whose numbers are surely below 2^64
local settlers = {}

-- Looked at all together: 0.3 us less an id than one by one (2026-11-24).
local function are_entries(entries)
  for k = 1, #entries do
    if #entries[k] > SHORT then return false end
  end
  local rest, found = string.gsub(table.concat(entries, ' ') .. ' ', '%d+%-%d+ ', '')
  return rest == '' and found == #entries
end

-- k entry ids from args[i] on.
local function read_entries(args, i, k)
  if i + k - 1 > #args then sq.refuse('INVALID', 'fewer entries than their count, ' .. k) end
  local entries = {unpack(args, i, i + k - 1)}
  if not are_entries(entries) then
    for _, entry in ipairs(entries) do sq.entry(entry) end
  end
  return entries
end

-- What a `wait` is for: `signal <name>` or `sleep <name>`.
local function read_wait(o)
  local kind, name = string.match(o['for'] or '', '^(%a+) (.+)$')
  if kind ~= 'signal' and kind ~= 'sleep' then
    sq.refuse('INVALID', 'for is ' .. sq.shown(o['for']) .. '; signal <name> or sleep <name> is due')
  end
  sq.step_name(name)
end

-- k jobs of lanes from args[i] on.
local function read_jobs(args, i, k)
  if i + k - 1 > #args then sq.refuse('INVALID', 'fewer jobs than entries, ' .. k) end
  local jobs = {unpack(args, i, i + k - 1)}
  local rest, found = string.gsub(table.concat(jobs, ' ') .. ' ', '%d%-%d+%-%d+ ', '')
  if rest ~= '' or found ~= k then
    for j, job in ipairs(jobs) do jobs[j] = sq.job(job) end
  end
  return jobs
end

-- Reads `ok level k line entry…` (of lane jobs: entry… job…) and `outcome level entry n pairs…` from args[i] on.
function sq.read_settlements(args, i)
  local list, jobs = {}, 0
  while args[i] do
    local outcome, level = args[i], sq.given_level(args[i + 1])
    local one = {outcome = outcome, level = level}
    if outcome == 'ok' then
      local k = sq.whole(args[i + 2], 'count of completions', 1, sq.BATCH)
      one.line, one.entries = sq.text(args[i + 3], 'line', 65536), read_entries(args, i + 4, k)
      i, jobs = i + 4 + k, jobs + k
      if level == sq.LANES then one.jobs, i = read_jobs(args, i, k), i + k end
    else
      if not settlers[outcome] then sq.refuse('INVALID', 'unknown outcome ' .. sq.shown(outcome)) end
      one.entry = sq.entry(args[i + 2])
      one.options, i = sq.pairs(args, i + 4, sq.whole(args[i + 3], 'count of pairs', 0, 16), KNOWN)
      local o = one.options
      if o.limit then sq.limit_key(o.limit) end
      if outcome == 'wait' then read_wait(o) end
      o.delay = sq.whole(o.delay or 0, 'delay', 0, 1e13)
      o.ttl = o.ttl and sq.whole(o.ttl, 'ttl', 1, 1e13)
      if o.result then sq.text(o.result, 'result', sq.BODY_BYTES) end
      for _, name in ipairs{'error', 'traceback', 'reason'} do o[name] = sq.text(o[name] or '', name, 2 * sq.TEXT_BYTES) end
      jobs = jobs + 1
    end
    list[#list + 1] = one
  end
  if jobs > sq.BATCH then sq.refuse('LIMIT', 'a call settles at most ' .. sq.BATCH .. ' deliveries') end
  return list
end

local function refuse(report, level, entry)
  report.refused[#report.refused + 1] = level
  report.refused[#report.refused + 1] = entry
end

-- Somebody waits for its result: it stays with the caller, who settles it again with `done`.
local function want(report, level, entry)
  report.wanted[#report.wanted + 1] = level
  report.wanted[#report.wanted + 1] = entry
end

-- Of these entries: those that the caller may settle as plain completions, in the order they came, and their jobs if they are
-- of lanes.
local function settleable(c, me, one, report)
  local awaited = sq.awaited(c, one.level, one.entries, one.jobs)
  if me.clean and not awaited then return one.entries, one.jobs end
  local own, jobs = {}, one.jobs and {}
  for i, entry in ipairs(one.entries) do
    if not me.clean and sq.owner(c, one.level, entry) ~= me.id then refuse(report, one.level, entry)
    elseif awaited and awaited[entry] and sq.owner(c, one.level, entry) == me.id then
      want(report, one.level, entry)
    else
      own[#own + 1] = entry
      if jobs then jobs[#own] = one.jobs[i] end
    end
  end
  return own, jobs
end

local function settle_plain(c, me, one, report)
  local entries, jobs = settleable(c, me, one, report)
  local stream = sq.stream(c, one.level)
  if #entries == 0 then return end
  local journals = c.journals > 0 and sq.journals_of(c, one.level, entries, jobs)
  if c.marks + c.cancels > 0 then
    for i, entry in ipairs(entries) do sq.forget_delivery(c, one.level, entry, jobs and jobs[i], 'completed') end
  elseif jobs then sq.end_admissions(c, entries, jobs, 'completed') end
  local live = redis.call('XACK', stream, sq.GROUP, unpack(entries))
  if live == #entries then redis.call('XDEL', stream, unpack(entries))
    if journals then sq.forget_journals(c, journals) end
  else
    for i, entry in ipairs(entries) do
      if redis.call('XDEL', stream, entry) == 0 then refuse(report, one.level, entry)
      elseif journals then sq.forget_journals(c, {journals[i]}) end
    end
  end
  sq.count(c, 'active:' .. one.level, -live)
  sq.count(c, 'completed', live)
  if live > 0 and one.line ~= '' then sq.log(c, 'completed ' .. one.line) end
end

-- The settlers of single deliveries, called before the entry goes.

function settlers.done(c, job, o)
  sq.finish_job(c, job, o.task, 'completed', o.result, o.ttl)
end

function settlers.cancelled(c, job, o)
  sq.finish_job(c, job, o.task, 'cancelled', o.error ~= '' and o.error or o.reason)
end

function settlers.expired(c, job, o) sq.expire(c, job, o.task, o.reason) end

-- Its condition was not met.
function settlers.skip(c, job, o) sq.finish_job(c, job, o.task, 'skipped', o.reason) end

function settlers.dead(c, job, o)
  redis.call('HINCRBY', sq.record(c, job), 'attempt', 1)
  sq.bury(c, job, o.reason ~= '' and o.reason or 'failed', o.error, o.traceback)
end

-- Back into its lane. Whether it has one; `closes` says which of its limits stay closed for `delay`.
local function back_into_lane(c, job, delay, closes)
  local r = redis.call('HMGET', sq.record(c, job), 'lane', 'cost', 'level')
  if c.flow == 0 or not r[1] then return false end
  local keys, has_closed = sq.keys_of(r[1]), false
  sq.load_limits(c, keys)
  for j, key in ipairs(keys) do
    if closes(c.limits[key], j == #keys) then
      sq.shut(c, c.limits[key], delay)
      has_closed = true
    end
  end
  if has_closed then sq.wait_in_lane(c, job, r[3], r[1], r[2]) end
  return has_closed
end

local function is_ordered(limit) return limit.rule.ordered == 1 end

-- Back into `delayed`, whatever the reason: its record says which. In a lane that is ordered it keeps its place instead.
local function again(c, job, state, delay)
  if c.flow > 0 and back_into_lane(c, job, delay, is_ordered) then return end
  local due = c.now + delay
  redis.call('HSET', sq.record(c, job), 'state', state, 'due', due)
  redis.call('HDEL', sq.record(c, job), 'entry')
  sq.delay(c, job, due)
end

function settlers.retry(c, job, o)
  local attempt = redis.call('HINCRBY', sq.record(c, job), 'attempt', 1)
  redis.call('HSET', sq.record(c, job), 'error', o.error, 'traceback', o.traceback)
  sq.remember(c, job, 'attempt ' .. attempt .. ' ' .. o.error)
  again(c, job, 'retrying', o.delay)
end

function settlers.snooze(c, job, o)
  redis.call('HSET', sq.record(c, job), 'reason', o.reason, 'error', o.error)
  again(c, job, 'retrying', o.delay)
end

-- The other side said: later. The job keeps its place in its lane, of which one limit, by default the last, is closed so long.
function settlers.limited(c, job, o)
  redis.call('HSET', sq.record(c, job), 'reason', o.reason, 'error', o.error)
  local function closes(limit, is_last) return limit.key == o.limit or (not o.limit and is_last) end
  if not back_into_lane(c, job, o.delay, closes) then again(c, job, 'retrying', o.delay) end
end

-- The pause doubles from 1 s to 32 s; the record's `parked` counts.
function settlers.park(c, job, o)
  local times = redis.call('HINCRBY', sq.record(c, job), 'parked', 1)
  redis.call('HSET', sq.record(c, job), 'reason', o.reason, 'parked_by', o.by)
  again(c, job, 'retrying', 1000 * 2 ^ math.min(times - 1, 5))
end

-- The buckets of its lane get back what it was charged: it was not run.
local function give_tokens_back(c, job)
  local r = redis.call('HMGET', sq.record(c, job), 'lane', 'cost', 'level')
  if not r[1] then return end
  local lane = sq.lane(c, sq.lane_id(r[3], r[1]))
  sq.load_rules(c, {lane})
  for j, limit in ipairs(lane.limits) do sq.refund(c, limit, sq.price(lane, j, tonumber(r[2] or 1))) end
end

-- It waits for the end of a strike: in a lane that is ordered in its place, looked at again and again, elsewhere aside.
function settlers.strike(c, job, o)
  local pause = sq.strike_pause(c, o.reason)
  if c.flow > 0 then give_tokens_back(c, job) end
  redis.call('HSET', sq.record(c, job), 'reason', 'strike ' .. o.reason)
  if not (c.flow > 0 and pause > 0 and back_into_lane(c, job, pause, is_ordered)) then sq.put_aside(c, job, o.reason, o.by) end
end

-- It waits for the outside without a slot; no attempt is spent.
function settlers.wait(c, job, o) sq.suspend(c, job, o['for']) end

function settlers.release() end

-- What an outcome says to the breakers of its lane.
local TOLD_BREAKERS = {done = 'completed', retry = 'failed', dead = 'failed'}

-- A job that was cancelled while it ran does not come back, whatever its worker says.
local function outcome_of(c, one)
  if one.outcome == 'done' or one.outcome == 'dead' or c.cancels == 0 then return one.outcome end
  local asked = redis.call('HEXISTS', c.anchor .. ':cancels', one.level .. '-' .. one.entry) == 1
  return asked and 'cancelled' or one.outcome
end

local function settle_single(c, me, one, report)
  local level, entry = one.level, one.entry
  if sq.owner(c, level, entry) ~= me.id then return refuse(report, level, entry) end
  local outcome = outcome_of(c, one)
  if outcome == 'release' then
    sq.revoke(c, me)
    sq.lose(c, level, entry)
    sq.ring(c, 1)
    return
  end
  local row = sq.row(c, level, entry)
  if not row then
    sq.count(c, 'purged', 1)
    sq.forget_delivery(c, level, entry, '-')
    sq.remove(c, level, entry)
    return refuse(report, level, entry)
  end
  local job, task = sq.job_of(level, entry, row)
  if outcome == 'done' and not one.options.result and (sq.is_awaited(c, job) or (row[1] == sq.RECORD and sq.feeds_children(c, job))) then return want(report, level, entry) end
  if outcome ~= 'cancelled' and outcome ~= 'skip' and (outcome ~= 'done' or one.options.ttl) then sq.ensure_record(c, job, level, entry, row) end
  one.options.by = me.id
  one.options.task = task
  sq.forget_delivery(c, level, entry, job, not one.options.neutral and TOLD_BREAKERS[outcome] or nil)
  settlers[outcome](c, job, one.options)
  sq.remove(c, level, entry)
end

function sq.settle(c, me, list)
  local report = {refused = {}, wanted = {}}
  for _, one in ipairs(list) do
    if one.outcome == 'ok' then settle_plain(c, me, one, report) else settle_single(c, me, one, report) end
  end
  return report
end

-- now, consumer, generation, settlement ... -> {state, refused, wanted}
local function finish(anchor, args)
  local c = sq.begin(anchor, args[1])
  local me = sq.caller(c, args[2], args[3])
  local list = sq.read_settlements(args, 4)
  -- checked: first write
  local report = sq.settle(c, me, list)
  sq.watch_over(c)
  sq.save(c)
  return {sq.state_of(me), report.refused, report.wanted}
end

sq.register('finish', {'allow-oom'}, finish)
