-- Strikes: a task, or those of its jobs whose arguments match, is not run for a time or until somebody lifts the strike.
-- Bodies are opaque here, so it is the workers who compare arguments; what matches they hand back with the outcome `strike`.
--   strikes      strike → when it ends (inf: when it is lifted)
--   strike:<id>  task, at, by, note, until, and `where <argument>` → its value as text
-- Functions: strike, unstrike, strikes.
-- What must hold: all workers learn of every change, before they run what they take after it.

local MOST = 100                 -- strikes at a time
local CONDITIONS = 10
local TOLD = {['for'] = true, ['until'] = true, note = true, by = true}

local function record_of(c, id) return c.anchor .. ':strike:' .. id end

local function read_id(value)
  if not value or #value > 32 or not string.find(value, '^[%w_]+$') then
    sq.refuse('INVALID', 'strike is ' .. sq.shown(value) .. '; an id of 1 to 32 letters and digits is due')
  end
  return value
end

-- `<argument> <value>` … from args[i] on, as fields of the strike's record.
local function read_where(args, i)
  local fields = {}
  if (#args - i + 1) % 2 ~= 0 then sq.refuse('INVALID', 'an argument of the condition has no value') end
  if #args - i + 1 > 2 * CONDITIONS then sq.refuse('LIMIT', 'more than ' .. CONDITIONS .. ' conditions') end
  for k = i, #args, 2 do
    if #args[k] > 128 or not string.find(args[k], '^[^%s=]+$') then
      sq.refuse('INVALID', 'argument is ' .. sq.shown(args[k]) .. '; a name of 1 to 128 bytes without blanks is due')
    end
    fields[#fields + 1] = 'where ' .. args[k]
    fields[#fields + 1] = sq.text(args[k + 1], 'value of ' .. args[k], 1024)
  end
  return fields
end

-- When it ends, on the wall clock; nil: when it is lifted.
local function read_end(c, told)
  if told['for'] and told['until'] then sq.refuse('INVALID', 'for and until exclude each other') end
  if told['for'] then return c.now + sq.whole(told['for'], 'for', 1, 1e13) end
  return told['until'] and sq.whole(told['until'], 'until', 0, 1e14)
end

-- What it stops, for people: `send_email where tenant=acme`.
local function target(c, id)
  local flat, conditions, task = redis.call('HGETALL', record_of(c, id)), {}, '?'
  for i = 1, #flat, 2 do
    local argument = string.match(flat[i], '^where (.+)$')
    if argument then conditions[#conditions + 1] = argument .. '=' .. flat[i + 1] end
    if flat[i] == 'task' then task = flat[i + 1] end
  end
  table.sort(conditions)
  return #conditions == 0 and task or task .. ' where ' .. table.concat(conditions, ' and ')
end

-- When a strike that stands ends (math.huge: when it is lifted), or nil.
function sq.strike_ends(c, id)
  local ends = redis.call('ZSCORE', c.anchor .. ':strikes', id)
  ends = ends and (ends == 'inf' and math.huge or tonumber(ends))
  if ends and ends > c.now and redis.call('EXISTS', record_of(c, id)) == 1 then return ends end
end

function sq.forget_strike(c, id)
  sq.switch(c, 'strikes', -redis.call('ZREM', c.anchor .. ':strikes', id))
  redis.call('UNLINK', record_of(c, id))
end

local function tell_workers(c)
  for _, consumer in ipairs(redis.call('ZRANGE', c.anchor .. ':alive', '(0', '+inf', 'BYSCORE', 'LIMIT', 0, sq.BATCH)) do
    sq.command(c, consumer, 'strikes')
  end
end

local function lasts(ends) return ends == math.huge and 'until it is lifted' or 'until ' .. sq.utc(ends) end

-- The strike that a job waits for, for people.
function sq.say_struck(c, id, say)
  local ends = sq.strike_ends(c, id)
  if not ends then return say('strike ' .. id .. ' is over: the next takes bring its jobs back') end
  local note = redis.call('HGET', record_of(c, id), 'note') or ''
  say('struck: ' .. target(c, id) .. ', ' .. lasts(ends) .. ' (strike ' .. id .. ')' .. (note == '' and '' or ': ' .. note))
end

-- The strikes that a worker will hold against a job of this task.
function sq.say_strikes(c, task, say)
  for _, id in ipairs(redis.call('ZRANGE', c.anchor .. ':strikes', 0, MOST - 1)) do
    local ends = sq.strike_ends(c, id)
    if ends and redis.call('HGET', record_of(c, id), 'task') == task then
      say('strike ' .. id .. ' puts it aside ' .. lasts(ends) .. ' if it is ' .. target(c, id))
    end
  end
end

-- Their records go with the queue.
function sq.remove_strikes(c)
  for _, id in ipairs(redis.call('ZRANGE', c.anchor .. ':strikes', 0, -1)) do redis.call('UNLINK', record_of(c, id)) end
end

-- now, id, task, n, pairs, (argument value) … -> 1, or 0 when there is that strike already
local function strike(anchor, args)
  local c, id, task = sq.begin(anchor, args[1]), read_id(args[2]), sq.task(args[3])
  local told, first = sq.pairs(args, 5, sq.whole(args[4], 'count of pairs', 0, 6), TOLD)
  local ends, where = read_end(c, told), read_where(args, first)
  local note, by = sq.text(told.note or '', 'note', 1024), sq.text(told.by or '', 'by', 256)
  if redis.call('ZSCORE', anchor .. ':strikes', id) then return 0 end
  if redis.call('ZCARD', anchor .. ':strikes') >= MOST then
    sq.refuse('LIMIT', 'there are ' .. MOST .. ' strikes; lift one before you add another')
  end
  -- checked: first write
  redis.call('HSET', record_of(c, id), 'task', task, 'at', c.now, 'by', by, 'note', note, unpack(where))
  if ends then redis.call('HSET', record_of(c, id), 'until', ends) end
  redis.call('ZADD', anchor .. ':strikes', ends or '+inf', id)
  sq.switch(c, 'strikes', 1)
  local told_note = note == '' and '' or ': ' .. note
  sq.audit(c, 'struck ' .. target(c, id) .. ', ' .. lasts(ends or math.huge) .. ' (strike ' .. id .. ')' .. told_note, by)
  tell_workers(c)
  sq.save(c)
  return 1
end

-- now, id, by -> 1, or 0 when there is no such strike
local function unstrike(anchor, args)
  local c, id, by = sq.begin(anchor, args[1]), read_id(args[2]), sq.text(args[3] or '', 'by', 256)
  if not redis.call('ZSCORE', anchor .. ':strikes', id) then return 0 end
  -- checked: first write
  sq.audit(c, 'lifted strike ' .. id .. ' of ' .. target(c, id), by)
  sq.forget_strike(c, id)
  tell_workers(c)
  sq.promote_due(c)
  sq.watch_over(c)
  if not c.paused then sq.ring(c, 1) end
  sq.save(c)
  return 1
end

-- now -> {{id, waiting, name, value …} …}
local function strikes(anchor, args)
  local c, out = sq.look(anchor, args[1]), {}
  for _, id in ipairs(c.strikes > 0 and redis.call('ZRANGE', anchor .. ':strikes', 0, MOST - 1) or {}) do
    if sq.strike_ends(c, id) then
      out[#out + 1] = {id, redis.call('LLEN', anchor .. ':struck:' .. id), unpack(redis.call('HGETALL', record_of(c, id)))}
    end
  end
  return out
end

sq.register('strike', {}, strike)
sq.register('unstrike', {'allow-oom'}, unstrike)
sq.register('strikes', {'no-writes', 'allow-stale'}, strikes)
