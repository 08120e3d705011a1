-- Looking without changing: every function here is no-writes, so FCALL_RO runs it, also on a replica and for a user that
-- may only read. Functions: stats, job, list, workers, minutes, conservation.

local READ = {'no-writes', 'allow-stale'}

local function counts_of(c)
  local flat, counts = redis.call('HGETALL', c.anchor .. ':counts'), {enqueued = c.enqueued}
  for i = 1, #flat, 2 do counts[flat[i]] = tonumber(flat[i + 1]) end
  return counts
end

local function total(counts, name)
  local n = 0
  for level = 0, 9 do n = n + (counts[name .. ':' .. level] or 0) end
  n = n + (counts[name .. ':' .. sq.LANES] or 0)
  return n
end

-- now -> {name, value, …}
local function stats(anchor, args)
  local c = sq.look(anchor, args[1])
  local counts, out = counts_of(c), {}
  local function say(name, value)
    out[#out + 1] = name
    out[#out + 1] = type(value) == 'number' and sq.num(value) or value
  end
  for _, name in ipairs{'enqueued', 'completed', 'dead', 'cancelled', 'expired', 'skipped', 'purged', 'delayed', 'waiting'} do
    say(name, counts[name] or 0)
  end
  say('pending', total(counts, 'pending'))
  say('active', total(counts, 'active'))
  for level = 9, 0, -1 do
    if (counts['pending:' .. level] or 0) > 0 then say('pending:' .. level, counts['pending:' .. level]) end
  end
  say('suspects', c.suspects)
  say('workers', redis.call('HLEN', anchor .. ':consumers'))
  say('idle', redis.call('ZCARD', anchor .. ':idle'))
  say('paused', c.paused and '1' or '0')
  if c.paused then say('paused_note', redis.call('HGET', c.meta, 'paused_note') or '') end
  if c.strikes > 0 then
    say('strikes', redis.call('ZCARD', anchor .. ':strikes'))
    say('struck', sq.struck_jobs(c))
  end
  local oldest
  local heads = redis.call('HGETALL', anchor .. ':heads')
  for i = 1, #heads, 2 do
    local ms = tonumber(string.match(heads[i + 1], '^%d+'))
    if not oldest or ms < oldest then oldest = ms end
  end
  say('oldest_ms', oldest and math.max(0, c.mono - oldest) or 0)
  local due = sq.earliest(c)
  if due then say('next_due', due) end
  say('now', c.now)
  say('mono', c.mono)
  return out
end

-- now, job -> {name, value, …}
local function job(anchor, args)
  local c, id = sq.look(anchor, args[1]), sq.job(args[2])
  local at = sq.find(c, id)
  if at.place == 'gone' then
    local status, ended, task = sq.logged(c, id)
    if not status then return {} end
    return {'id', id, 'task', task, 'level', string.sub(id, 1, 1), 'created', (string.match(id, '^%d%-(%d+)')), 'state', status, 'ended', ended}
  end
  local fields = redis.call('HGETALL', sq.record(c, id))
  local out = {'id', id}
  for i = 1, #fields, 2 do
    if fields[i] ~= 'state' then
      out[#out + 1] = fields[i]
      out[#out + 1] = fields[i + 1]
    end
  end
  if #fields == 0 and at.place == 'lane' then
    for _, value in ipairs{'level', at.level, 'task', at.task, 'lane', at.lane, 'cost', at.cost or '1', 'body', at.body,
      'created', (string.match(id, '^%d%-(%d+)'))} do out[#out + 1] = value end
  elseif #fields == 0 and at.level == sq.LANES then
    local _, task, lane, cost = sq.job_of(at.level, at.entry, at.row)
    for _, value in ipairs{'level', string.sub(id, 1, 1), 'task', task, 'lane', lane, 'cost', cost ~= '' and cost or '1', 'body', at.row[2],
      'entry', at.entry, 'created', (string.match(id, '^%d%-(%d+)'))} do out[#out + 1] = value end
  elseif #fields == 0 then
    for _, value in ipairs{'level', at.level, 'task', at.row[1], 'body', at.row[2] or '', 'entry', at.entry,
      'created', string.match(at.entry, '^%d+')} do out[#out + 1] = value end
  end
  for _, value in ipairs{'state', sq.state_at(c, id, at), 'owner', at.owner or ''} do out[#out + 1] = value end
  local told = redis.call('HGETALL', anchor .. ':progress:' .. id)
  for i = 1, #told, 2 do
    out[#out + 1] = 'progress_' .. told[i]
    out[#out + 1] = told[i + 1]
  end
  local steps = sq.journal_fields(c, id)
  if #steps > 0 then
    out[#out + 1] = 'steps'
    out[#out + 1] = table.concat(steps, '\n')
  end
  return out
end

-- What a list shows of a job.
local function brief(c, id, task, more)
  local r = redis.call('HMGET', sq.record(c, id), 'task', 'state', 'attempt', 'due', 'error', 'reason', 'died', 'tags', 'waits_for', 'waits_until')
  local row = {id, 'task', task or r[1] or '?'}
  for i, name in ipairs{'state', 'attempt', 'due', 'error', 'reason', 'died', 'tags', 'waits_for', 'waits_until'} do
    if r[i + 1] then
      row[#row + 1] = name
      row[#row + 1] = r[i + 1]
    end
  end
  for _, value in ipairs(more or {}) do row[#row + 1] = value end
  return row
end

local function list_set(c, key, start, count)
  local rows, from = {}, start == '-' and 0 or sq.whole(start, 'start', 0, 1e9)
  for _, id in ipairs(redis.call('ZRANGE', key, from, from + count - 1)) do rows[#rows + 1] = brief(c, id) end
  return #rows == count and sq.num(from + count) or '', rows
end

-- Entries of the levels from the highest on; the place to go on is `<level> <last entry>`.
local function list_streams(c, start, count, read)
  local first, after = string.match(start, '^(%w) (%S+)$')
  local rows = {}
  for level in string.gmatch(string.match('l9876543210', (first or 'l') .. '.*$') or '', '.') do
    if string.find(c.levels, level, 1, true) then
      local last = read(level, level == first and after or nil, count - #rows, rows)
      if #rows >= count and last then return level .. ' ' .. last, rows end
    end
  end
  return '', rows
end

local function entry_row(c, level, raw, more)
  local fields = raw[2]
  if fields[1] == sq.RECORD then return brief(c, fields[2], nil, more) end
  local job, task = sq.job_of(level, raw[1], fields)
  return brief(c, job, task, more)
end

local function read_pending(c)
  return function(level, after, count, rows)
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', sq.stream(c, level))) do
      if group[2] == sq.GROUP then after = after or group[8] end
    end
    local last
    for _, raw in ipairs(count > 0 and redis.call('XRANGE', sq.stream(c, level), '(' .. (after or '0-0'), '+', 'COUNT', count) or {}) do
      last = raw[1]
      if c.cancels == 0 or redis.call('HGET', c.anchor .. ':cancels', level .. '-' .. last) ~= 'gone' then
        rows[#rows + 1] = entry_row(c, level, raw, raw[2][1] ~= sq.RECORD and {'state', 'pending'} or nil)
      end
    end
    return last
  end
end

local function read_active(c)
  return function(level, after, count, rows)
    local last
    local from = after and '(' .. after or '-'
    for _, found in ipairs(count > 0 and redis.call('XPENDING', sq.stream(c, level), sq.GROUP, from, '+', count) or {}) do
      last = found[1]
      local raw = redis.call('XRANGE', sq.stream(c, level), last, last)[1]
      if raw then rows[#rows + 1] = entry_row(c, level, raw, {'owner', found[2], 'deliveries', sq.num(found[4])}) end
    end
    return last
  end
end

-- Jobs that wait in lanes, in no order.
local function list_waiting(c, start, count)
  local cursor, rows = start == '-' and '0' or sq.num(sq.whole(start, 'start', 0, 1.8e19)), {}
  local found = redis.call('HSCAN', c.anchor .. ':laned', cursor, 'COUNT', count)
  for i = 1, #found[2], 2 do
    if string.byte(found[2][i + 1]) ~= 61 then
      local task, lane = sq.read_waiting(found[2][i + 1])
      rows[#rows + 1] = brief(c, found[2][i], task, task and {'lane', lane, 'state', 'waiting'} or {'lane', lane})
    end
  end
  return found[1] == '0' and '' or found[1], rows
end

-- now, what, start, count -> {next start, row …}; a row is {id, name, value, …}
local function list(anchor, args)
  local c, what, start = sq.look(anchor, args[1]), args[2] or '', args[3] or '-'
  local count, tag = sq.whole(args[4] or 50, 'count', 1, 500), string.match(what, '^tag:(.+)$')
  local nxt, rows
  if what == 'delayed' or what == 'dead' then nxt, rows = list_set(c, anchor .. ':' .. what, start, count)
  elseif what == 'suspended' or what == 'following' then nxt, rows = list_set(c, anchor .. ':' .. what, start, count)
  elseif tag then nxt, rows = list_set(c, anchor .. ':tag:' .. tag, start, count)
  elseif what == 'pending' then nxt, rows = list_streams(c, start, count, read_pending(c))
  elseif what == 'active' then nxt, rows = list_streams(c, start, count, read_active(c))
  elseif what == 'gated' then nxt, rows = list_set(c, anchor .. ':gates', start, count)
  elseif what == 'waiting' then nxt, rows = list_waiting(c, start, count)
  else sq.refuse('INVALID', 'what is ' .. sq.shown(what) .. '; pending, waiting, gated, suspended, following, active, delayed, dead or tag:<tag> is due') end
  return {nxt, unpack(rows)}
end

-- now -> {{consumer, state, lease left, idle ms or -1, active, about} …}, at most 1,000
local function workers(anchor, args)
  local c, out, active = sq.look(anchor, args[1]), {}, {}
  for level in string.gmatch(c.levels, '%w') do
    local pending = redis.pcall('XPENDING', sq.stream(c, level), sq.GROUP)
    for _, row in ipairs(not pending.err and pending[4] or {}) do active[row[1]] = (active[row[1]] or 0) + tonumber(row[2]) end
  end
  for _, id in ipairs(redis.call('ZRANGE', anchor .. ':alive', 0, 999)) do
    local ends, since = redis.call('ZSCORE', anchor .. ':alive', id), redis.call('ZSCORE', anchor .. ':idle', id)
    out[#out + 1] = {id, sq.state_of(sq.consumer(c, id)), math.max(0, math.floor(tonumber(ends) - c.mono)),
      since and math.max(0, math.floor(c.mono - tonumber(since))) or -1, active[id] or 0,
      redis.call('HGET', anchor .. ':workers', id) or ''}
  end
  return out
end

-- now, from, to -> {{minute, name, count …} …}
local function minutes(anchor, args)
  sq.look(anchor, args[1])
  local from = sq.whole(args[2], 'from', 0, 1e12)
  local to, out = sq.whole(args[3], 'to', from, from + 119), {}
  for minute = from, to do
    local flat = redis.call('HGETALL', anchor .. ':minute:' .. sq.num(minute))
    if #flat > 0 then
      table.insert(flat, 1, sq.num(minute))       -- unpack has an end: 8,000 values
      out[#out + 1] = flat
    end
  end
  return out
end

-- How far the counters of the levels are from their streams: the sum of the distances.
local function distance(c, counts)
  local off = math.abs((counts.delayed or 0) - redis.call('ZCARD', c.anchor .. ':delayed'))
    + math.abs((counts.dead or 0) - redis.call('ZCARD', c.anchor .. ':dead'))
    + math.abs((counts.waiting or 0) + (counts['active:' .. sq.LANES] or 0)
      - redis.call('HLEN', c.anchor .. ':laned') - redis.call('ZCARD', c.anchor .. ':suspended') - redis.call('ZCARD', c.anchor .. ':following')
      - redis.call('ZCARD', c.anchor .. ':gates'))
  for level in string.gmatch(c.levels, '%w') do
    local pending = redis.pcall('XPENDING', sq.stream(c, level), sq.GROUP)
    local given = not pending.err and pending[1] or 0
    local waiting = redis.call('XLEN', sq.stream(c, level)) - given - (counts['tombs:' .. level] or 0)
    off = off + math.abs(given - (counts['active:' .. level] or 0)) + math.abs(waiting - (counts['pending:' .. level] or 0))
  end
  return off
end

-- now -> {difference, name, value …}
local function conservation(anchor, args)
  local c = sq.look(anchor, args[1])
  local counts = counts_of(c)
  local out, sum = {0, 'enqueued', sq.num(counts.enqueued)}, 0
  local function term(name, value)
    sum = sum + value
    out[#out + 1] = name
    out[#out + 1] = sq.num(value)
  end
  for _, name in ipairs{'completed', 'dead', 'cancelled', 'expired', 'skipped', 'purged', 'delayed', 'waiting'} do
    term(name, counts[name] or 0)
  end
  term('pending', total(counts, 'pending'))
  term('active', total(counts, 'active'))
  out[1] = math.abs(counts.enqueued - sum) + distance(c, counts)
  return out
end

sq.register('stats', READ, stats)
sq.register('job', READ, job)
sq.register('list', READ, list)
sq.register('workers', READ, workers)
sq.register('minutes', READ, minutes)
sq.register('conservation', READ, conservation)
