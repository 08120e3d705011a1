-- What becomes of a job whose unique key is held: nothing (the holder stands for it), or it takes the place of the one that
-- waits, or it follows the one that runs.
--   following  job id → when it was last seen to wait for the end of the job that its record names in `follows`; that
--              one's record names it in `follower`
-- What must hold: a job has one follower at most; a follower holds no key, and becomes due, as the holder, in the call in
-- which the other one ends, whatever that end is.

local RULES = {existing = true, reject = true, latest = true, replace = true}
local PARTS = {arguments = true, time = true, priority = true}
local ALL = {arguments = true, priority = true}      -- and the time, where one is given
local WAITS = {delayed = true, ready = true, lane = true, gate = true}
local BEGUN = {given = true, suspended = true}
local ORPHANS = 50               -- followers that a sweep looks at, those first that were not looked at for the longest time

local function check_parts(o)
  if not o.replace then return ALL end
  if o.on_conflict ~= 'replace' then sq.refuse('INVALID', 'replace goes with on_conflict replace') end
  local chosen = {}
  for part in string.gmatch(sq.text(o.replace, 'replace', 64), '[^,]+') do
    if not PARTS[part] then sq.refuse('INVALID', 'replace is ' .. sq.shown(o.replace) .. '; some of arguments,time,priority are due') end
    chosen[part] = true
  end
  if not next(chosen) then sq.refuse('INVALID', 'replace names nothing; some of arguments,time,priority are due') end
  return chosen
end

-- A debounced job is one that holds its key until its start, is due when nobody has called for a while, and takes over what a
-- later call brings.
local function check_debounce(o)
  for _, name in ipairs{'delay', 'at', 'until', 'on_conflict'} do
    if o[name] then sq.refuse('INVALID', 'debounce and ' .. name .. ' exclude each other') end
  end
  o.wait = sq.whole(o.debounce, 'debounce', 1, 1e13)
  o.longest = o.longest and sq.whole(o.longest, 'longest', 1, 1e13)
  o.delay = math.min(o.wait, o.longest or o.wait)
  o['until'], o.on_conflict = 'start', 'latest'
end

-- The options that say what happens when the key is held.
function sq.check_unique(o)
  if not o.unique then
    for _, name in ipairs{'debounce', 'longest', 'replace'} do
      if o[name] then sq.refuse('INVALID', name .. ' goes with a unique key') end
    end
    return
  end
  sq.text(o.unique, 'unique key', 512)
  if o.debounce then check_debounce(o)
  elseif o.longest then sq.refuse('INVALID', 'longest goes with debounce')
  elseif o.on_conflict == 'latest' and o['until'] == 'start' then
    sq.refuse('INVALID', 'on_conflict latest needs a key that is held while the job runs, until done')
  end
  o.mode, o.on_conflict = o['until'] or 'done', o.on_conflict or 'existing'
  if o.mode ~= 'done' and o.mode ~= 'start' then
    sq.whole(o.mode, 'until', 1, 1e13)
    if o.on_conflict ~= 'existing' and o.on_conflict ~= 'reject' then
      sq.refuse('INVALID', 'a key for a time goes with on_conflict existing or reject')
    end
  end
  if not RULES[o.on_conflict] then
    sq.refuse('INVALID', 'on_conflict is ' .. sq.shown(o.on_conflict) .. '; existing, reject, latest or replace is due')
  end
  o.parts = check_parts(o)
end

-- A debounced job remembers when it was asked for first.
local function debounced_due(c, id, o)
  local key = sq.record(c, id)
  local first = tonumber(redis.call('HGET', key, 'first') or c.now)
  sq.note_debounce(c, id, o, first)
  return o.longest and math.min(c.now + o.wait, first + o.longest) or c.now + o.wait
end

function sq.note_debounce(c, id, o, first)
  redis.call('HSET', sq.record(c, id), 'first', first)
  if o.longest then redis.call('HSET', sq.record(c, id), 'longest', o.longest)
  else redis.call('HDEL', sq.record(c, id), 'longest') end
end

-- When the job is due from now on, or nil: that does not change.
local function new_due(c, id, o)
  if o.debounce then return debounced_due(c, id, o) end
  if o.parts.time or (o.parts == ALL and o.due > 0) then return math.max(o.due, c.now) end
end

-- The new arguments are those of a new job: with their tags, all attempts and no journal. Whether it was put aside by a
-- strike, which may not mean these arguments.
local function replace_arguments(c, id, job)
  local key = sq.record(c, id)
  local r = redis.call('HMGET', key, 'tags', 'struck')
  if r[1] then sq.forget_tags(c, id, r[1]) end
  redis.call('HDEL', key, 'body', 'large', 'tags', 'parent', 'attempt', 'struck')
  sq.forget_journal(c, id)
  sq.keep_content(c, id, job, 'created', sq.num(c.ms))
  return r[2]
end

local function replace_expiry(c, id, o, due)
  local key = sq.record(c, id)
  redis.call('HDEL', key, 'expires', 'deadline')
  if o.deadline then redis.call('HSET', key, 'deadline', o.deadline) end
  if not o.lasts then return end
  local starts = math.max(c.now, due or tonumber(redis.call('HGET', key, 'due') or 0))
  redis.call('HSET', key, 'expires', sq.num(starts + o.lasts))
end

-- To its new level and time. From a ready stream it goes by leaving a tombstone there; in a lane it keeps its place.
local function move(c, id, at, level, due)
  local key = sq.record(c, id)
  if at.place == 'lane' then return end
  if level ~= at.level then redis.call('HSET', key, 'level', level) end
  if at.place == 'ready' then
    local later = due and due > c.now
    if level == at.level and not later then return end
    sq.leave_tomb(c, at)
    redis.call('HDEL', key, 'entry')
    if not later then return sq.make_ready(c, id, level) end
    redis.call('HSET', key, 'state', 'scheduled', 'due', due)
    sq.delay(c, id, due)
    c.added_due = true
  elseif due then
    redis.call('HDEL', key, 'struck')                  -- it waits for its time from now on; a strike is met again then
    redis.call('HSET', key, 'due', due)
    if at.place == 'delayed' then
      redis.call('ZADD', c.anchor .. ':delayed', due, id)
      c.added_due = true
    end
  end
end

-- The job that waits becomes what the later call says. How long it holds the key is said by the last one, too.
local function revise(c, id, job, is_holder)
  local o, at = job.options, sq.find(c, id)
  local due = new_due(c, id, o)
  if o.parts.arguments and replace_arguments(c, id, job) then due = due or c.now end
  if at.place ~= 'lane' and (o.parts.arguments or due) then replace_expiry(c, id, o, due) end
  redis.call('HSET', sq.record(c, id), 'until', o.mode)
  if is_holder then sq.hold(c, o.unique, id, o.mode) end
  move(c, id, at, o.parts.priority and job.level or at.level, due)
  return id
end

-- The job that stands for a new one whose key is held; else nil, and the one that it follows, if it follows one. In a window
-- the first job stands for all.
function sq.meet(c, job)
  local rule, holder, mode = job.options.on_conflict, sq.holder(c, job.options.unique)
  if not holder then return nil end
  if mode == 'for' or rule == 'existing' or rule == 'reject' then return holder end
  local follower = redis.call('HGET', sq.record(c, holder), 'follower')
  if follower then return revise(c, follower, job, false) end
  local place = sq.find(c, holder).place
  if WAITS[place] then return revise(c, holder, job, true) end
  if not BEGUN[place] then return nil end              -- a stranger took its entry
  if rule == 'replace' then return holder end
  return nil, holder
end

-- The new job waits for the end of the one that runs.
function sq.follow(c, id, predecessor)
  redis.call('HSET', sq.record(c, id), 'state', 'waiting', 'follows', predecessor)
  redis.call('HSET', sq.record(c, predecessor), 'follower', id)
  redis.call('ZADD', c.anchor .. ':following', c.now, id)
  sq.count(c, 'waiting', 1)
end

-- It waits no more, for whatever reason; how many that were: 1, or 0 when a stranger was faster.
function sq.stop_following(c, id)
  local was = redis.call('ZREM', c.anchor .. ':following', id)
  sq.count(c, 'waiting', -was)
  local predecessor = redis.call('HGET', sq.record(c, id), 'follows')
  if predecessor then redis.call('HDEL', sq.record(c, predecessor), 'follower') end
  redis.call('HDEL', sq.record(c, id), 'follows')
  return was
end

-- The job that it follows has ended: it holds the key, and is due.
function sq.release(c, id)
  local was, key = sq.stop_following(c, id), sq.record(c, id)
  local r = redis.call('HMGET', key, 'unique', 'until', 'due')
  if not r[1] then return sq.count(c, 'purged', was) end   -- a stranger took its record
  sq.hold(c, r[1], id, r[2])
  redis.call('HSET', key, 'state', 'scheduled')
  sq.delay(c, id, r[3] or 0)
  sq.watch_over(c)
end

-- A stranger may have taken a job away from before its follower.
function sq.release_orphans(c)
  for _, id in ipairs(redis.call('ZRANGE', c.anchor .. ':following', 0, ORPHANS - 1)) do
    local predecessor = redis.call('HGET', sq.record(c, id), 'follows')
    if not predecessor or sq.find(c, predecessor).place == 'gone' then sq.release(c, id)
    else redis.call('ZADD', c.anchor .. ':following', c.now, id) end
  end
end
