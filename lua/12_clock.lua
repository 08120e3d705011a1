-- The frame of a call: two clocks, the epoch, the id generator, the switches and the counters.
-- One HMGET at its beginning, one HSET at its end; numbers go to redis.call as they are (whole ones up to 2^53 stay whole).
--   now    the wall clock (ms): due times and expiry mean it
--   mono   mono += max(0, now - last now): leases, grace and wakes mean it; it neither runs back nor stands still
--   epoch  the server's replication id. A new one means a restart or a failover: the generator jumps ahead (a stale
--          copy may have issued the next ids already), nothing is recovered for a lease, no consumer counts as clean
--   ids    ms = max(last ms, mono), then a sequence; they order, they do not date
--   switches  how many rare things there are (cancels, marks, waiters …); while 0, nobody looks for any
-- What must hold: ids rise in every stream of the shard, and no id is ever given twice.

local EPOCH_FRESH = 100          -- ms of the server's own clock for which the replication id is remembered
local known_epoch, known_at = nil, 0

local function server_time()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Reading the id costs 3-4 us (2026-11-24), so a process remembers it for a moment: a server that stops being the master and
-- becomes it again within that moment, with other data, does not exist.
local function server_epoch(asked, now)
  if asked == '0' and known_epoch and math.abs(now - known_at) < EPOCH_FRESH then return known_epoch end
  local info = redis.pcall('INFO', 'replication')
  known_epoch = type(info) == 'string' and string.sub(string.match(info, 'master_replid:(%x+)') or 'none', 1, 8) or 'none'
  known_at = asked == '0' and now or 0
  return known_epoch
end

-- What there may be none of, then nobody looks for it. `flow` is 1 once the shard has known a lane or a limit, `memory` the mark in bytes.
local SWITCHES = {
  'cancels', 'tombs', 'marks', 'waiters', 'commands', 'suspects',
  'flow', 'dropped', 'quotas', 'memory',
  'strikes',
  'journals', 'suspended',
  'schedules',
  'parents', 'closing', 'outbox',
}
local NONE = {__index = {}}
for i = 1, #SWITCHES do NONE.__index[SWITCHES[i]] = 0 end

local function read_switches(c)
  local m = redis.call('HMGET', c.meta, 'paused', unpack(SWITCHES))
  c.paused = m[1] == '1'
  for i, name in ipairs(SWITCHES) do c[name] = tonumber(m[i + 1] or 0) end
end

-- A queue that was removed and comes again goes on with its ids.
local function after_removal(anchor, m)
  local r = redis.call('HMGET', anchor .. ':removed', 'ms', 'seq', 'fence')
  m[4], m[5], m[6] = r[1], r[2], r[3]
end

-- Reads without changing anything: what read-only functions use.
function sq.look(anchor, asked)
  if not string.find(anchor or '', ':{[^{}]+}$') then
    sq.refuse('INVALID', 'anchor is ' .. sq.shown(anchor) .. '; <namespace>:{<queue>} is due')
  end
  local now = asked == '0' and 0 or sq.whole(asked, 'now', 0, 9e15)
  if now == 0 then now = server_time() end
  local meta = anchor .. ':meta'
  local m = redis.call('HMGET', meta, 'now', 'mono', 'grace', 'ms', 'seq', 'fence', 'epoch', 'lease', 'levels', 'switches', 'swept', 'enqueued')
  if not m[1] then after_removal(anchor, m) end
  local step = m[1] and now - m[1] or 0
  local c = {
    anchor = anchor, meta = meta, now = now, step = step, first = not m[1], mono = m[2] and m[2] + math.max(0, step) or now,
    grace = tonumber(m[3] or 0), ms = tonumber(m[4] or 0), seq = tonumber(m[5] or 0), fence = tonumber(m[6] or 0),
    old_epoch = m[7], epoch = server_epoch(asked, now), lease = tonumber(m[8] or sq.LEASE), levels = m[9] or '',
    swept = tonumber(m[11] or 0), enqueued = tonumber(m[12] or 0), paused = false,
    counted = {}, adding = {},
  }
  setmetatable(c, NONE)
  if m[10] and m[10] ~= '0' then read_switches(c) end
  if c.flow > 0 then sq.begin_flow(c) end
  return c
end

function sq.begin(anchor, asked)
  local c = sq.look(anchor, asked)
  if c.mono > c.ms then c.ms, c.seq = c.mono, 0 end
  if c.old_epoch and c.old_epoch ~= c.epoch then
    c.ms, c.seq = math.max(c.ms + 1, c.mono + sq.JUMP), 0
    c.fence, c.new_epoch = math.max(c.fence, (c.now - c.step) * 1000) + sq.JUMP * 1000, true
  end
  c.graced = c.new_epoch or c.step > c.lease / 2
  if c.graced then c.grace = c.mono + c.lease end
  return c
end

-- The streams follow the generator, so that a stranger's XADD with * cannot give a lost id again either.
local function enter_epoch(c)
  for level in string.gmatch(c.levels, '%w') do
    redis.pcall('XSETID', c.anchor .. ':ready:' .. level, sq.num(c.ms) .. '-0')
  end
  redis.call('HSET', c.meta, 'epoch', c.epoch, 'ms', c.ms, 'seq', c.seq, 'fence', c.fence)
end

function sq.save(c)
  if c.ended or c.ends or c.closing > 0 then sq.spread(c) end
  if (c.opened and not c.paused) or (c.closing > 0 and not c.takes) then sq.ring(c, 1) end
  if c.mail then sq.post(c) end
  if c.flow > 0 then sq.save_flow(c) end
  if c.new_epoch or c.first then enter_epoch(c) end
  if c.drawn then redis.call('HSET', c.meta, 'now', c.now, 'mono', c.mono, 'ms', c.ms, 'seq', c.seq, 'enqueued', c.enqueued)
  else redis.call('HSET', c.meta, 'now', c.now, 'mono', c.mono) end
  if c.graced then redis.call('HSET', c.meta, 'grace', c.grace) end
  if c.fenced then redis.call('HSET', c.meta, 'fence', c.fence) end
  for level, to in pairs(c.adding) do sq.count(c, 'pending:' .. level, to.added) end
  for name, n in pairs(c.counted) do
    if n ~= 0 then redis.call('HINCRBY', c.anchor .. ':counts', name, n) end
  end
end

function sq.count(c, name, n) c.counted[name] = (c.counted[name] or 0) + n end

-- The one counter that lives in the frame: every call that adds jobs writes the frame anyway.
function sq.count_enqueued(c, n) c.enqueued, c.drawn = c.enqueued + n, true end

-- There are n more (or fewer) rare things of this kind.
function sq.switch(c, name, n)
  if n == 0 then return end
  c[name] = c[name] + n
  redis.call('HINCRBY', c.meta, name, n)
  redis.call('HINCRBY', c.meta, 'switches', n)
end

-- An id of the generator's present ms. The text of the ms is kept: 0.6 us less an id (2026-11-24).
function sq.id(c, seq)
  if c.prefix_ms ~= c.ms then c.prefix_ms, c.prefix = c.ms, sq.num(c.ms) .. '-' end
  return c.prefix .. seq
end

function sq.next_id(c)
  c.seq, c.drawn = c.seq + 1, true
  return sq.id(c, c.seq)
end

function sq.next_fence(c)
  c.fence, c.fenced = math.max(c.fence + 1, c.now * 1000), true
  return sq.num(c.fence)
end
