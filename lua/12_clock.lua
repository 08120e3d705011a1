-- The frame of a call: two clocks, the epoch, the id generator, the switches and the counters.
-- One HMGET at its beginning, one HSET at its end.
--   now    the wall clock (ms): due times and expiry mean it
--   mono   mono += max(0, now - last now): leases, grace and wakes mean it; it neither runs back nor stands still
--   epoch  the server's replication id. A new one means a restart or a failover: the generator jumps ahead (a stale
--          copy may have issued the next ids already), nothing is recovered for a lease, no consumer counts as clean
--   ids    ms = max(last ms, mono), then a sequence; they order, they do not date
-- What must hold: ids rise in every stream of the shard, and no id is ever given twice.

local FIELDS = {'now', 'mono', 'grace', 'ms', 'seq', 'fence', 'epoch', 'lease', 'paused', 'levels',
  'cancels', 'tombs', 'marks', 'waiters', 'commands', 'suspects'}

local function server_time()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function server_epoch()
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string' and string.sub(string.match(info, 'master_replid:(%x+)') or 'none', 1, 8) or 'none'
end

-- Reads without changing anything: what read-only functions use.
function sq.look(anchor, now)
  local m = redis.call('HMGET', anchor .. ':meta', unpack(FIELDS))
  local c = {anchor = anchor, meta = anchor .. ':meta', counted = {}, made = {}}
  c.now = sq.whole(now, 'now', 0, 9e15)
  if c.now == 0 then c.now = server_time() end
  c.last = tonumber(m[1])
  local step = c.last and c.now - c.last or 0
  c.step = step
  c.mono = m[2] and tonumber(m[2]) + math.max(0, step) or c.now
  c.grace, c.ms, c.seq, c.fence = tonumber(m[3] or 0), tonumber(m[4] or 0), tonumber(m[5] or 0), tonumber(m[6] or 0)
  c.old_epoch, c.epoch = m[7], server_epoch()
  c.lease, c.paused, c.levels = tonumber(m[8] or sq.LEASE), m[9] == '1', m[10] or ''
  c.cancels, c.tombs, c.marks = tonumber(m[11] or 0), tonumber(m[12] or 0), tonumber(m[13] or 0)
  c.waiters, c.commands, c.suspects = tonumber(m[14] or 0), tonumber(m[15] or 0), tonumber(m[16] or 0)
  return c
end

function sq.begin(anchor, now)
  local c = sq.look(anchor, now)
  if c.mono > c.ms then c.ms, c.seq = c.mono, 0 end
  if c.step > c.lease / 2 then c.grace = c.mono + c.lease end
  if c.old_epoch and c.old_epoch ~= c.epoch then
    c.ms, c.seq, c.grace = c.ms + sq.JUMP, 0, c.mono + c.lease
    c.fence = c.fence + sq.JUMP * 1000
    c.new_epoch = true
  end
  return c
end

-- The streams follow the generator, so that a stranger's XADD with * cannot give a lost id again either.
local function jump(c)
  for level in string.gmatch(c.levels, '%d') do
    redis.pcall('XSETID', c.anchor .. ':ready:' .. level, sq.num(c.ms) .. '-0')
  end
end

function sq.save(c)
  if c.new_epoch then jump(c) end
  redis.call('HSET', c.meta, 'now', sq.num(c.now), 'mono', sq.num(c.mono), 'grace', sq.num(c.grace),
    'ms', sq.num(c.ms), 'seq', sq.num(c.seq), 'fence', sq.num(c.fence), 'epoch', c.epoch)
  for name, n in pairs(c.counted) do
    if n ~= 0 then redis.call('HINCRBY', c.anchor .. ':counts', name, sq.num(n)) end
  end
end

function sq.count(c, name, n) c.counted[name] = (c.counted[name] or 0) + n end

-- A switch is the number of things of its kind; it saves the look for them on the hot path.
function sq.switch(c, name, n)
  if n == 0 then return end
  c[name] = c[name] + n
  redis.call('HINCRBY', c.meta, name, n)
end

function sq.next_id(c)
  c.seq = c.seq + 1
  return sq.num(c.ms) .. '-' .. sq.num(c.seq)
end

function sq.next_fence(c)
  c.fence = math.max(c.fence + 1, c.now * 1000)
  return sq.num(c.fence)
end
