-- The sweep: what strangers did to the streams is made good. Somebody's raw XADD becomes a counted job with a head, what a raw
-- reader took becomes lost, a group that was destroyed comes back, and counters follow the structures (`repaired` counts by
-- how much: it stays 0 while only these functions touch the keys).
-- What must hold: a call looks at each level once, and moves at most GIVE deliveries.

local EVERY = 20000              -- ms between two sweeps

local function unregistered(c, level, consumers)
  for _, row in ipairs(consumers or {}) do
    local id = row[1]
    if id ~= 'lost' and id ~= 'suspects' and redis.call('HEXISTS', c.anchor .. ':consumers', id) == 0 then
      for _, found in ipairs(redis.call('XPENDING', sq.stream(c, level), sq.GROUP, '-', '+', sq.GIVE, id)) do
        sq.lose(c, level, found[1])
      end
    end
  end
end

local function repair(c, level, name, counted, is)
  local added = name == 'pending' and c.adding[level] and c.adding[level].added or 0
  local difference = is - tonumber(counted or 0) - (c.counted[name .. ':' .. level] or 0) - added
  if difference == 0 then return end
  sq.count(c, name .. ':' .. level, difference)
  sq.count_enqueued(c, difference)
  sq.count(c, 'repaired', math.abs(difference))
end

local function first_waiting(c, level)
  local groups = redis.call('XINFO', 'GROUPS', sq.stream(c, level))
  for _, group in ipairs(groups) do
    if group[2] == sq.GROUP then sq.renew_head(c, level, group[8]) end
  end
end

local function sweep_level(c, level)
  local stream = sq.stream(c, level)
  if redis.call('EXISTS', stream) == 0 then return end
  sq.group(c, level)
  redis.pcall('XGROUP', 'CREATE', stream, sq.GROUP, '0')
  local pending = redis.call('XPENDING', stream, sq.GROUP)
  unregistered(c, level, pending[4])
  local counts = redis.call('HMGET', c.anchor .. ':counts', 'pending:' .. level, 'active:' .. level, 'tombs:' .. level)
  local tombs = tonumber(counts[3] or 0) + (c.counted['tombs:' .. level] or 0)
  repair(c, level, 'active', counts[2], pending[1])
  repair(c, level, 'pending', counts[1], redis.call('XLEN', stream) - pending[1] - tombs)
  if level ~= sq.LANES then first_waiting(c, level) end      -- what is new there is read with the next admission
  sq.renew_lost(c, level)
end

function sq.sweep(c)
  if c.mono - c.swept < EVERY then return end
  redis.call('HSET', c.meta, 'swept', c.mono)
  for level = 0, 9 do pcall(sweep_level, c, tostring(level)) end
  pcall(sq.ask_parents, c)
  pcall(sq.give_up_flows, c)
  pcall(sq.ask_jobs, c)
  if c.flow > 0 then
    pcall(sweep_level, c, sq.LANES)
    pcall(sq.sweep_lanes, c)
  end
  sq.release_orphans(c)
end
