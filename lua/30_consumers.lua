-- Who owns a delivery. The pending list is the only authority; if a consumer is clean, every delivery ever given to it is
-- still its own, or it settled it.
--   consumers  <consumer> → <state>:<epoch>:<generation>; clean means: state clean and the epoch is today's
--   workers    <consumer> → what it says of itself
--   alive      <consumer> → end of its lease on the monotonic clock; 0 or less: it is being emptied
-- Pseudo-consumers: `lost` holds what take gives out again (idle for ever, by TIME 0), `suspects` what must run alone.
-- What must hold: whatever moves a live delivery away from a consumer revokes that consumer in the same call; a
-- consumer id is never used again and never becomes clean again; DELCONSUMER only with nothing pending.

function sq.consumer(c, id)
  local stored = redis.call('HGET', c.anchor .. ':consumers', id)
  if not stored then return {id = id, state = 'unknown', generation = 0, clean = false} end
  local state, epoch, generation = string.match(stored, '^(%a+):(%w+):(%d+)$')
  return {id = id, state = state, epoch = epoch, generation = tonumber(generation), clean = state == 'clean' and epoch == c.epoch}
end

-- The caller as it says it is: refused when a newer connection of the same consumer was here.
function sq.caller(c, id, generation)
  local me = sq.consumer(c, sq.text(id, 'consumer', 64))
  generation = sq.whole(generation, 'generation', 0, 1e9)
  if generation < me.generation then
    sq.refuse('STALE', string.format('generation %d of consumer %s is over, %d is current; nothing was changed', generation, id, me.generation))
  end
  return me, generation
end

function sq.store_consumer(c, me)
  redis.call('HSET', c.anchor .. ':consumers', me.id, me.state .. ':' .. me.epoch .. ':' .. me.generation)
end

function sq.revoke(c, me)
  if me.state ~= 'clean' then return end
  me.state, me.clean = 'revoked', false
  sq.store_consumer(c, me)
end

-- A stranger may have deleted the entry under the pending list: then the delivery is over.
local function vanished(c, level, entry)
  redis.call('XACK', sq.stream(c, level), sq.GROUP, entry)
  sq.forget_delivery(c, level, entry, '-')          -- of a lane job the sweep finds the rest
  sq.forget_journal(c, level .. '-' .. entry)
  sq.count(c, 'active:' .. level, -1)
  sq.count(c, 'purged', 1)
end

-- The delivery can be taken again; the level's first lost id moves back if need be.
function sq.lose(c, level, entry)
  local claimed = redis.call('XCLAIM', sq.stream(c, level), sq.GROUP, 'lost', 0, entry, 'TIME', 0, 'JUSTID')
  if #claimed == 0 then return vanished(c, level, entry) end
  local heads, field = c.anchor .. ':heads', 'lost:' .. level
  local first = redis.call('HGET', heads, field)
  if not first or sq.before(entry, first) then redis.call('HSET', heads, field, entry) end
end

function sq.suspect(c, level, entry)
  local claimed = redis.call('XCLAIM', sq.stream(c, level), sq.GROUP, 'suspects', 0, entry, 'JUSTID')
  if #claimed == 0 then return vanished(c, level, entry) end
  sq.switch(c, 'suspects', 1)
end

-- The level's first lost delivery, after some were claimed or dropped.
function sq.renew_lost(c, level)
  local row = redis.call('XPENDING', sq.stream(c, level), sq.GROUP, '-', '+', 1, 'lost')[1]
  if row then redis.call('HSET', c.anchor .. ':heads', 'lost:' .. level, row[1])
  else redis.call('HDEL', c.anchor .. ':heads', 'lost:' .. level) end
end

-- `deaths` and `losses` more against a delivery; both totals.
local function mark(c, level, entry, deaths, losses)
  local key, field = c.anchor .. ':marks', level .. '-' .. entry
  local old = redis.call('HGET', key, field)
  local d, l = string.match(old or '0:0', '^(%d+):(%d+)$')
  d, l = tonumber(d) + deaths, tonumber(l) + losses
  redis.call('HSET', key, field, d .. ':' .. l)
  if not old then sq.switch(c, 'marks', 1) end
  return d, l
end

-- The delivery killed its worker too often: a dead letter, from wherever its owner left it.
local function convict(c, level, entry, reason, sentence)
  local row = sq.row(c, level, entry)
  if not row then return vanished(c, level, entry) end
  local job = sq.job_of(level, entry, row)
  sq.ensure_record(c, job, level, entry, row)
  sq.forget_delivery(c, level, entry, job, 'failed')
  sq.remove(c, level, entry)
  sq.bury(c, job, reason, sentence, '')
  return job
end

-- No worker is left that could tell of the death of a job: some other one is asked to.
local function have_it_told(c, job)
  local longest = redis.call('ZRANGE', c.anchor .. ':alive', 0, 0, 'REV', 'WITHSCORES')
  if job and longest[1] and tonumber(longest[2]) > c.mono then sq.command(c, longest[1], 'dead ' .. job) end
end

-- A lease ended over a delivery. The first time it may run beside others again, then it must show itself alone.
local function lose_after_lease(c, level, entry)
  local _, losses = mark(c, level, entry, 0, 1)
  if losses >= sq.LOSSES then
    have_it_told(c, convict(c, level, entry, 'lost', 'Lost: its worker was lost ' .. losses .. ' times while it ran'))
  elseif losses > 1 then sq.suspect(c, level, entry)
  else sq.lose(c, level, entry) end
end

-- Its process died while it ran. Alone, the death counts against it; `how` it died is said of the last one.
local function accuse(c, level, entry, alone, how)
  if not alone then return sq.suspect(c, level, entry) end
  local deaths = mark(c, level, entry, 1, 0)
  if deaths >= sq.DEATHS then
    local sentence = 'Poison: its worker process died ' .. deaths .. ' times while it ran alone'
    convict(c, level, entry, 'poison', how == '' and sentence or sentence .. '; the last time: ' .. how)
  else sq.suspect(c, level, entry) end
end

local function forget_consumer(c, id)
  for level in string.gmatch(c.levels, '%w') do redis.pcall('XGROUP', 'DELCONSUMER', sq.stream(c, level), sq.GROUP, id) end
  redis.call('HDEL', c.anchor .. ':consumers', id)
  redis.call('HDEL', c.anchor .. ':workers', id)
  redis.call('ZREM', c.anchor .. ':alive', id)
  sq.drop_commands(c, id)
end

-- Up to GIVE deliveries of a consumer go, by `move`. It stays in `alive` until a call finds nothing more: with the score
-- 0 when it left or died, -1 when its lease was over.
local function empty(c, id, move)
  local me, moved = sq.consumer(c, id), 0
  if me.state == 'unknown' then return 0 end
  sq.revoke(c, me)
  for level in string.gmatch(c.levels, '%w') do
    if moved < sq.GIVE then
      local rows = redis.pcall('XPENDING', sq.stream(c, level), sq.GROUP, '-', '+', sq.GIVE - moved, id)
      for _, row in ipairs(rows) do move(c, level, row[1]) end
      moved = moved + #rows
    end
  end
  if moved >= sq.GIVE then redis.call('ZADD', c.anchor .. ':alive', move == lose_after_lease and -1 or 0, id)
  else forget_consumer(c, id) end
  if sq.forget_idle(c, id) or moved > 0 then sq.ring(c, 1) end
  return moved
end

-- One consumer whose lease is over, or whose emptying goes on (grace or not): its id, and how many deliveries moved.
function sq.recover_one(c)
  local to = c.mono >= c.grace and sq.num(c.mono - 1) or '0'
  local found = redis.call('ZRANGE', c.anchor .. ':alive', '-inf', to, 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  if not found[1] then return nil, 0 end
  return found[1], empty(c, found[1], tonumber(found[2]) == 0 and sq.lose or lose_after_lease)
end

-- now, lease ms, about -> {consumer, mono, now}
local function register(anchor, args)
  local c, lease = sq.begin(anchor, args[1]), sq.whole(args[2], 'lease_ms', 100, 86400000)
  local about = sq.text(args[3] or '', 'about', 1024)
  -- checked: first write
  local me = {id = 'c' .. sq.next_fence(c), state = 'clean', epoch = c.epoch, generation = 0}
  sq.store_consumer(c, me)
  redis.call('HSET', c.anchor .. ':workers', me.id, about)
  redis.call('ZADD', c.anchor .. ':alive', c.mono + lease, me.id)
  local is_only = redis.call('ZCARD', c.anchor .. ':alive') == 1
  if lease > c.lease or (is_only and lease ~= c.lease) then redis.call('HSET', c.meta, 'lease', args[2]) end   -- the longest of the fleet
  sq.save(c)
  return {me.id, c.mono, c.now}
end

-- now, lease ms, consumer ... -> {suspects, ok | command | gone ...}
local function renew(anchor, args)
  local c, lease = sq.begin(anchor, args[1]), sq.whole(args[2], 'lease_ms', 100, 86400000)
  for i = 3, #args do sq.text(args[i], 'consumer', 64) end
  -- checked: first write
  for i = 3, #args do
    local ends = redis.call('ZSCORE', c.anchor .. ':alive', args[i])
    if ends and tonumber(ends) > 0 then redis.call('ZADD', c.anchor .. ':alive', 'XX', c.mono + lease, args[i]) end
  end
  sq.recover_one(c)
  sq.promote_due(c)
  sq.sweep(c)
  sq.watch_over(c)
  if not c.paused and sq.best_level(c) then sq.ring(c, 1) end
  local reply = {c.suspects}
  for i = 3, #args do
    local ends = redis.call('ZSCORE', c.anchor .. ':alive', args[i])
    local known = ends and tonumber(ends) > 0     -- or it is being emptied
    reply[#reply + 1] = not known and 'gone' or sq.has_commands(c, args[i]) and 'command' or 'ok'
  end
  sq.save(c)
  return reply
end

local TOLD = {how = true}

-- now, consumer, mode, n, pairs, suspect ... -> moved
local function abandon(anchor, args)
  local c, id, mode = sq.begin(anchor, args[1]), sq.text(args[2], 'consumer', 64), args[3]
  if mode ~= 'shared' and mode ~= 'alone' then sq.refuse('INVALID', 'mode is ' .. sq.shown(mode) .. '; shared or alone is due') end
  local told, first = sq.pairs(args, 5, sq.whole(args[4], 'count of pairs', 0, 2), TOLD)
  local how = sq.text(told.how or '', 'how', 200)
  if #args >= first + sq.BATCH then sq.refuse('LIMIT', 'more than ' .. sq.BATCH .. ' suspects') end
  for i = first, #args do sq.delivery(args[i]) end
  -- checked: first write
  local moved = 0
  for i = first, #args do
    local level, entry = sq.delivery(args[i])
    if sq.owner(c, level, entry) == id then
      accuse(c, level, entry, mode == 'alone', how)
      moved = moved + 1
    end
  end
  moved = moved + empty(c, id, sq.lose)
  if moved > 0 then sq.ring(c, 1) end
  sq.save(c)
  return moved
end

-- now, consumer -> moved
local function retire(anchor, args)
  local c, id = sq.begin(anchor, args[1]), sq.text(args[2], 'consumer', 64)
  -- checked: first write
  local moved = empty(c, id, sq.lose)
  sq.save(c)
  return moved
end

-- now -> moved
local function recover(anchor, args)
  local c = sq.begin(anchor, args[1])
  -- checked: first write
  local _, moved = sq.recover_one(c)
  sq.save(c)
  return moved
end

sq.register('register', {'allow-oom'}, register)
sq.register('renew', {'allow-oom'}, renew)
sq.register('abandon', {'allow-oom'}, abandon)
sq.register('retire', {'allow-oom'}, retire)
sq.register('recover', {'allow-oom'}, recover)
