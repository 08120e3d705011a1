-- Adding jobs, once, however often the call comes. Functions: enqueue.
--   producer:<id>  channel → `<seq> <answer>`; a day after its last use it is forgotten
-- What must hold: a repeated call answers what the first one answered and adds nothing; a call that is older than one
-- that was executed is refused; a batch gets consecutive ids, whatever becomes of its jobs.

local KNOWN = {delay = true, at = true, unique = true, ['until'] = true, on_conflict = true, expires = true,
  tags = true, parent = true, record = true}
local PRODUCER_TTL = 86400       -- seconds

local function check_tags(tags)
  local n = 0
  for tag in string.gmatch(tags, '[^,]+') do
    n = n + 1
    sq.text(tag, 'tag', 256)
  end
  if n > 32 then sq.refuse('LIMIT', n .. ' tags; the most is 32') end
end

local function check_unique(o)
  sq.text(o.unique, 'unique key', 512)
  o.mode = o['until'] or 'done'
  if o.mode ~= 'done' and o.mode ~= 'start' then sq.whole(o.mode, 'until', 1, 1e13) end
  o.on_conflict = o.on_conflict or 'existing'
  if o.on_conflict ~= 'existing' and o.on_conflict ~= 'reject' then
    sq.refuse('INVALID', 'on_conflict is ' .. sq.shown(o.on_conflict) .. '; existing or reject is due')
  end
end

local function read_options(c, args, i, n)
  local o, behind = sq.pairs(args, i, n, KNOWN)
  if o.delay and o.at then sq.refuse('INVALID', 'delay and at exclude each other') end
  o.due = o.at and sq.whole(o.at, 'at', 0, 1e14) or o.delay and c.now + sq.whole(o.delay, 'delay', 0, 1e13) or 0
  if o.expires then o.expires = math.max(o.due, c.now) + sq.whole(o.expires, 'expires', 1, 1e13) end
  if o.tags then check_tags(o.tags) end
  if o.parent then sq.text(o.parent, 'parent', 256) end
  if o.unique then check_unique(o) end
  o.lasting = o.due > c.now or o.unique or o.expires or o.tags or o.record
  return o, behind
end

-- spec task body [name value …] from args[i] on, as a list.
local function read_jobs(c, args, i)
  local jobs, bytes, good = {}, 0, {}
  while args[i] do
    local spec, task, body = args[i], args[i + 1], args[i + 2]
    if not good[task or ''] then good[sq.task(task)] = true end
    if not body then sq.refuse('INVALID', 'body of ' .. task .. ' is missing') end
    bytes = bytes + #sq.text(body, 'body', sq.BODY_BYTES)
    local job = {level = spec, task = task, body = body}
    i = i + 3
    if #spec > 1 then
      local level, n = string.match(spec, '^(%d):(%d+)$')
      if not level then sq.refuse('INVALID', 'spec is ' .. sq.shown(spec) .. '; <level> or <level>:<n> is due') end
      job.level = level
      job.options, i = read_options(c, args, i, tonumber(n))
    else sq.level(spec) end
    jobs[#jobs + 1] = job
  end
  if #jobs == 0 or #jobs > sq.BATCH then sq.refuse('LIMIT', #jobs .. ' jobs; a call adds 1 to ' .. sq.BATCH) end
  if bytes > sq.CALL_BYTES then sq.refuse('LIMIT', bytes .. ' bytes of bodies; a call carries at most ' .. sq.CALL_BYTES) end
  return jobs
end

-- A job that wants to be refused when its key is held, also by another one of the same batch.
local function check_conflicts(c, jobs)
  local claimed = {}
  for _, job in ipairs(jobs) do
    local o = job.options
    if o and o.unique then
      local holder = claimed[o.unique] or sq.holder(c, o.unique)
      if holder and o.on_conflict == 'reject' then
        sq.refuse('CONFLICT', holder .. ' holds the unique key ' .. sq.shown(o.unique))
      end
      claimed[o.unique] = holder or 'another job of this call'
    end
  end
end

local function keep_record(c, id, job)
  local o, key = job.options, sq.record(c, id)
  redis.call('HSET', key, 'level', job.level, 'task', job.task, o.large and 'large' or 'body', job.body,
    'created', sq.num(c.ms), 'state', o.due > c.now and 'scheduled' or 'pending')
  if o.due > c.now then redis.call('HSET', key, 'due', sq.num(o.due)) end
  if o.expires then redis.call('HSET', key, 'expires', sq.num(o.expires)) end
  if o.parent then redis.call('HSET', key, 'parent', o.parent) end
  if o.unique then
    redis.call('HSET', key, 'unique', o.unique, 'until', o.mode)
    sq.hold(c, o.unique, id, o.mode)
  end
  if o.tags then
    redis.call('HSET', key, 'tags', o.tags)
    for tag in string.gmatch(o.tags, '[^,]+') do redis.call('ZADD', c.anchor .. ':tag:' .. tag, sq.num(c.ms), id) end
  end
end

-- Adds one job under the generator's next id; the id of a job that holds its unique key instead, if there is one.
local function add_job(c, job)
  local o = job.options or (#job.body > sq.INLINE_BYTES and {due = 0, lasting = true})
  if not o or not o.lasting then
    sq.add(c, job.level, job.task, job.body)
    return
  end
  local holder = o.unique and sq.holder(c, o.unique)
  if holder then
    sq.next_id(c)
    return holder
  end
  job.options, o.large = o, #job.body > sq.INLINE_BYTES or o.record
  if o.due > c.now then
    local id = job.level .. '-' .. sq.next_id(c)
    keep_record(c, id, job)
    sq.delay(c, id, o.due)
    c.added_due = true
    return
  end
  local entry = sq.add(c, job.level, sq.RECORD)
  keep_record(c, job.level .. '-' .. entry, job)
  redis.call('HSET', sq.record(c, job.level .. '-' .. entry), 'entry', entry)
end

-- Adds all; the runs of ids `<ms>-<seq> <count> …` and the conflicts {index, job …}.
local function add_all(c, jobs)
  local runs, conflicts, first, count = {}, {}, nil, 0
  for i, job in ipairs(jobs) do
    local ms = c.ms
    local holder = add_job(c, job)
    if first and (c.ms ~= ms) then
      runs[#runs + 1] = first .. ' ' .. count
      first, count = nil, 0
    end
    first, count = first or sq.num(c.ms) .. '-' .. sq.num(c.seq), count + 1
    if holder then
      conflicts[#conflicts + 1] = i - 1
      conflicts[#conflicts + 1] = holder
    end
  end
  runs[#runs + 1] = first .. ' ' .. count
  return table.concat(runs, ' '), conflicts
end

-- What the channel answered last, when this call is a repetition of it.
local function repeated(key, channel, seq)
  local old = redis.call('HGET', key, channel)
  if not old then return nil end
  local last, runs, conflicts = string.match(old, '^(%d+) ([%d %-]+)|(.*)$')
  last = tonumber(last)
  if last > seq then
    sq.refuse('STALE', string.format('call %.0f of channel %s is older than %.0f, which was executed; nothing was added', seq, channel, last))
  end
  if last < seq then return nil end
  local found = {}
  for index, job in string.gmatch(conflicts, '(%d+) (%S+)') do
    found[#found + 1] = tonumber(index)
    found[#found + 1] = job
  end
  return {runs, found}
end

-- now, producer, channel, seq, (spec task body [name value …]) … -> {runs, conflicts}
local function enqueue(anchor, args)
  local c, producer, channel = sq.begin(anchor, args[1]), sq.text(args[2], 'producer', 64), sq.text(args[3], 'channel', 8)
  local seq, key = sq.whole(args[4], 'seq', 0, 9e15), anchor .. ':producer:' .. producer
  if producer ~= '-' then
    local answer = repeated(key, channel, seq)
    if answer then return answer end
  end
  local jobs = read_jobs(c, args, 5)
  check_conflicts(c, jobs)
  -- checked: first write
  local runs, conflicts = add_all(c, jobs)
  if producer ~= '-' then
    redis.call('HSET', key, channel, args[4] .. ' ' .. runs .. '|' .. table.concat(conflicts, ' '))
    if seq % 64 == 1 then redis.call('EXPIRE', key, PRODUCER_TTL) end
  end
  sq.count(c, 'enqueued', #jobs - #conflicts / 2)
  if c.added_due then sq.watch_over(c) end
  if not c.paused then sq.ring(c, 1) end
  sq.save(c)
  return {runs, conflicts}
end

sq.register('enqueue', {}, enqueue)
