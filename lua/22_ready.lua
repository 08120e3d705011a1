-- The ready streams, one a level, and what is due later.
--   ready:<level>  entries of one field: task → body, or @ → job id
--   heads          <level> → ms of its first waiting entry (none: nothing waits); lost:<level> → first lost delivery; ring:<level> of its lanes
--   delayed        job id → due time on the wall clock
-- What must hold: a level with waiting entries has a head that is not later than the first of them; the counters
-- pending:<level> and delayed follow every move.

-- Of an entry: its job, and what it says of it: task, lane and cost (a record says it otherwise).
function sq.job_of(level, entry, fields)
  if fields[1] == sq.RECORD then return fields[2] end
  if level == sq.LANES then return string.match(fields[1], '^(%S+) (%S+) (%S+) ?(%S*)$') end
  return level .. '-' .. entry, fields[1]
end

function sq.stream(c, level) return c.anchor .. ':ready:' .. level end
function sq.record(c, job) return c.anchor .. ':job:' .. job end

-- The level's stream and group. Made at id 0, so that entries that were there before are seen.
function sq.group(c, level)
  if string.find(c.levels, level, 1, true) then return end
  c.levels = c.levels .. level
  redis.pcall('XGROUP', 'CREATE', sq.stream(c, level), sq.GROUP, '0', 'MKSTREAM')
  redis.call('HSET', c.meta, 'levels', c.levels)
end

-- An id so late that the generator does not go there: the stream begins anew when it is empty, and takes nothing before.
-- The next sweep, which comes soon, hands out what is in it.
local function begin_anew(c, level, last)
  local stream = sq.stream(c, level)
  if redis.call('XLEN', stream) > 0 then
    redis.call('HDEL', c.meta, 'swept')
    sq.refuse('STATE', stream .. ' ends at id ' .. last .. ', which somebody added by hand: it takes jobs again when its present entries are gone')
  end
  redis.call('DEL', stream)
  redis.call('XGROUP', 'CREATE', stream, sq.GROUP, '0', 'MKSTREAM')
end

-- A stranger's XADD may be ahead of the generator: it moves past the stream's last entry.
local function move_past(c, level, refusal)
  local info = redis.pcall('XINFO', 'STREAM', sq.stream(c, level))
  local ms, seq = sq.parts(not info.err and info[8] or '')
  if ms and ms > 9e15 then return begin_anew(c, level, info[8]) end
  if not ms or ms < c.ms or (ms == c.ms and seq < c.seq) then error({err = refusal}) end
  if seq > 1e12 then ms, seq = ms + 1, 0 end
  c.ms, c.seq = ms, seq
end

-- What a call needs to know of a level that it adds to: looked up once.
local function begin_adding(c, level)
  sq.group(c, level)
  c.adding[level] = {stream = sq.stream(c, level), head = level == sq.LANES, added = 0}   -- what lanes add is taken in the same call
  return c.adding[level]
end

-- Adds an entry under the generator's next id, and returns that id. Without a value the entry names itself as a job.
function sq.add(c, level, field, value)
  local to = c.adding[level] or begin_adding(c, level)
  local entry = sq.next_id(c)
  local added = redis.pcall('XADD', to.stream, entry, field, value or level .. '-' .. entry)
  if type(added) == 'table' then
    move_past(c, level, added.err)
    entry = sq.next_id(c)
    redis.call('XADD', to.stream, entry, field, value or level .. '-' .. entry)
  end
  if not to.head then
    to.head = true
    redis.call('HSETNX', c.anchor .. ':heads', level, c.ms)
  end
  to.added = to.added + 1
  return entry
end

-- Adds args[i] … args[last] as bodies of one task; how many. Only the first can meet a stranger's entry.
function sq.add_run(c, level, task, args, i, last)
  sq.add(c, level, task, args[i])
  local call, stream, prefix, seq = redis.call, c.adding[level].stream, c.prefix, c.seq
  for at = i + 1, last do
    seq = seq + 1
    call('XADD', stream, prefix .. seq, task, args[at])
  end
  c.seq, c.adding[level].added = seq, c.adding[level].added + last - i
  return last - i + 1
end

function sq.delay(c, job, due)
  redis.call('ZADD', c.anchor .. ':delayed', due, job)
  sq.count(c, 'delayed', 1)
end

-- A job with a record goes into its ready stream, as an entry that names it, or into its lane.
function sq.make_ready(c, job, level)
  local r = c.flow > 0 and redis.call('HMGET', sq.record(c, job), 'lane', 'cost', 'expires', 'attempt', 'deadline')
  if r and r[1] then return sq.wait_in_lane(c, job, level, r[1], r[2], sq.latest(r[3], r[4], r[5])) end
  redis.call('HSET', sq.record(c, job), 'state', 'pending', 'entry', sq.add(c, level, sq.RECORD, job))
end

-- A job that the caller itself could not run is for somebody else: then the caller yields, and another is woken.
local function leave_to_others(c, parked_by, caller)
  if c.yields or not caller or parked_by ~= caller or redis.call('ZCARD', c.anchor .. ':idle') == 0 then return end
  c.yields = true
  sq.ring(c, 1, 'ZPOPMIN')
end

-- What is due goes into its ready stream; what that does not take stays. `caller`: who takes in the same call, if one does.
function sq.promote_due(c, caller)
  if c.flow > 0 then sq.open_due(c) end
  if c.suspended > 0 then sq.resume_due(c) end
  local delayed, closed = c.anchor .. ':delayed', {}
  if c.strikes > 0 then sq.end_strikes(c) end
  for _, job in ipairs(redis.call('ZRANGE', delayed, '-inf', c.now, 'BYSCORE', 'LIMIT', 0, sq.PROMOTE)) do
    local r = redis.call('HMGET', sq.record(c, job), 'level', 'parked_by', 'struck')
    local level = r[1]
    if not level then sq.count(c, 'purged', 1)
    elseif not closed[level] then closed[level] = not pcall(sq.make_ready, c, job, level) end
    if not level or not closed[level] then
      redis.call('ZREM', delayed, job)
      sq.count(c, 'delayed', -1)
    end
    if r[2] then leave_to_others(c, r[2], caller) end
    if r[3] then redis.call('HDEL', sq.record(c, job), 'struck', 'reason') end
  end
end

-- The level whose head, less what the level is worth, is oldest (of two equal ones the higher); how many levels have
-- one; its first lost delivery, if it has any; and what else it has: plain jobs, lanes that can move. Lost lane jobs count as
-- of the highest level. Rings are left out when the call may look at no more lanes.
function sq.best_level(c)
  if c.flow > 0 and next(c.moved_rings) then sq.renew_ring_heads(c) end
  local heads = redis.call('HGETALL', c.anchor .. ':heads')
  local best, best_value, seen, levels, lost, rings = nil, nil, {}, 0, {}, {}
  for i = 1, #heads, 2 do
    local kind, level = string.sub(heads[i], 1, -3), string.sub(heads[i], -1)
    if kind ~= 'ring' or (c.visits or 0) > 0 then
      local value = tonumber(string.match(heads[i + 1], '^%d+')) - (tonumber(level) or 9) * sq.AGE
      if not seen[level] then seen[level], levels = kind, levels + 1 end
      if kind == 'lost' then lost[level] = heads[i + 1] elseif kind == 'ring' then rings[level] = true else seen[level] = '' end
      if not best or value < best_value or (value == best_value and level > best) then best, best_value = level, value end
    end
  end
  return best, levels, lost[best], rings[best], seen[best] == ''
end

-- The level's head after entries up to `last` were taken or removed.
function sq.renew_head(c, level, last)
  local first = redis.call('XRANGE', sq.stream(c, level), '(' .. last, '+', 'COUNT', 1)[1]
  if c.adding[level] then c.adding[level].head = first ~= nil end
  if first then redis.call('HSET', c.anchor .. ':heads', level, (string.match(first[1], '^%d+')))
  else redis.call('HDEL', c.anchor .. ':heads', level) end
end

function sq.owner(c, level, entry)
  local row = redis.pcall('XPENDING', sq.stream(c, level), sq.GROUP, entry, entry, 1)[1]
  return row and row[2]
end

function sq.row(c, level, entry)
  local found = redis.call('XRANGE', sq.stream(c, level), entry, entry)[1]
  return found and found[2]
end

-- The entry is over: acknowledged and deleted, in the counters too.
function sq.remove(c, level, entry)
  sq.count(c, 'active:' .. level, -redis.call('XACK', sq.stream(c, level), sq.GROUP, entry))
  redis.call('XDEL', sq.stream(c, level), entry)
end
