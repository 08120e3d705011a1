-- A queue that nobody needs any more goes away. Functions: remove.
--   removed  where the generators stood; forgotten after a day, as producers are
-- What must hold: no job and no living worker is lost with it; ids and fences of a queue that comes again go on where they
-- were; what is left besides ends by itself (kept results, names of producers, held keys).

local REMEMBERED = 86400         -- s
local KEYS_OF_A_SHARD = {'meta', 'counts', 'heads', 'delayed', 'dead', 'done', 'consumers', 'workers', 'alive', 'idle', 'woken',
  'watch', 'cancels', 'marks', 'waiters', 'audit', 'strikes', 'struck', 'suspended', 'following',
  'lanes', 'laned', 'dropped', 'timers', 'state', 'limits', 'declared', 'overrides',
  'schedules', 'releases',
  'gates', 'closing', 'outbox', 'flows', 'building', 'running'}

-- How many entries of a level are jobs: those of cancelled ones are none.
local function jobs_of(c, level)
  return redis.call('XLEN', sq.stream(c, level)) - tonumber(redis.call('HGET', c.anchor .. ':counts', 'tombs:' .. level) or 0)
end

local function refuse_if_used(c)
  local ready, delayed, dead = 0, redis.call('ZCARD', c.anchor .. ':delayed'), redis.call('ZCARD', c.anchor .. ':dead')
  for level = 0, 9 do ready = ready + jobs_of(c, level) end
  if c.flow > 0 then ready = ready + jobs_of(c, sq.LANES) end
  local waiting = redis.call('HLEN', c.anchor .. ':laned') + redis.call('ZCARD', c.anchor .. ':suspended')
    + redis.call('ZCARD', c.anchor .. ':following') + redis.call('ZCARD', c.anchor .. ':gates')
  if ready + delayed + dead + waiting > 0 then
    sq.refuse('STATE', string.format('the queue has jobs: %d pending or active, %d waiting, %d delayed, %d dead; let them end, or purge them',
      ready, waiting, delayed, dead))
  end
  if c.schedules > 0 then
    sq.refuse('STATE', 'the queue has ' .. c.schedules .. (c.schedules == 1 and ' schedule' or ' schedules') .. '; remove what still makes jobs')
  end
  if sq.has_flows(c) then sq.refuse('STATE', 'flows of the queue run or are being added; let them end, or cancel them') end
  local living = redis.call('ZCOUNT', c.anchor .. ':alive', '(' .. sq.num(c.mono), '+inf')
  if living > 0 then
    sq.refuse('STATE', living .. (living == 1 and ' worker serves' or ' workers serve') .. ' the queue; stop them, or wait until their leases are over')
  end
end

-- now -> 1, or 0 when there is no such queue
local function remove(anchor, args)
  local c = sq.begin(anchor, args[1])
  if c.first then return 0 end
  refuse_if_used(c)
  -- checked: first write
  redis.call('HSET', anchor .. ':removed', 'ms', c.ms, 'seq', c.seq, 'fence', c.fence)
  redis.call('EXPIRE', anchor .. ':removed', REMEMBERED)
  for _, id in ipairs(redis.call('HKEYS', anchor .. ':consumers')) do redis.call('UNLINK', anchor .. ':commands:' .. id) end
  for level = 0, 9 do redis.call('UNLINK', sq.stream(c, level), sq.ring_key(c, level)) end
  redis.call('UNLINK', sq.stream(c, sq.LANES))
  sq.remove_strikes(c)
  sq.remove_flows(c)
  sq.remove_struck(c)
  for _, name in ipairs(KEYS_OF_A_SHARD) do redis.call('UNLINK', anchor .. ':' .. name) end
  local minute = math.floor(c.now / 60000)
  for past = 0, 120 do redis.call('UNLINK', anchor .. ':minute:' .. sq.num(minute - past)) end
  return 1
end

sq.register('remove', {'allow-oom'}, remove)
