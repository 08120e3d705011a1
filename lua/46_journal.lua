-- The journal of a job that runs in steps: what has been done already, so that the next run does not do it again.
--   steps:<job id>  a hash: `step <name>` → its result, `cursor <name>` → how far, `signal <name>` → what was sent,
--                   `until <what>` → due time of a wait, `over <name>` → default | failed: how a wait for a signal ended
--                   without one; and `bytes`, the size of all values
-- What must hold: only who owns the delivery writes; a journal goes with its job, whatever that job's end is, and stays
-- with a dead letter; it is bounded; nothing is paid while there is none (the switch `journals`).
-- Functions: journal, recall, journal_of.

local MOST, MOST_BYTES = 1000, 8388608

local function key_of(c, job) return c.anchor .. ':steps:' .. job end

function sq.noted(c, job, field) return redis.call('HGET', key_of(c, job), field) end

-- The name of a step, a cursor or a signal.
function sq.step_name(value)
  if sq.text(value, 'name', 200) == '' or string.find(value, '%c') then
    sq.refuse('INVALID', 'name is ' .. sq.shown(value) .. '; 1 to 200 bytes without control characters are due')
  end
  return value
end

-- Refuses what the journal has no room for; by how many bytes it will grow. `flat` is {field, value, …}.
function sq.check_journal(c, job, flat)
  local key, entries, bytes = key_of(c, job), 0, 0
  for i = 1, #flat, 2 do
    local old = redis.call('HSTRLEN', key, flat[i])
    if old == 0 then entries = entries + 1 end
    bytes = bytes + #flat[i + 1] - old
  end
  if entries > 0 and math.max(0, redis.call('HLEN', key) - 1) + entries > MOST then
    sq.refuse('LIMIT', 'the journal of job ' .. job .. ' has ' .. MOST .. ' entries already, which is the most: read many items with a cursor, or split the job')
  end
  if bytes > 0 and tonumber(redis.call('HGET', key, 'bytes') or 0) + bytes > MOST_BYTES then
    sq.refuse('LIMIT', 'the journal of job ' .. job .. ' would have more than ' .. MOST_BYTES .. ' bytes, which is the most: let steps return where their results lie')
  end
  return bytes
end

-- Writes what `check_journal` has allowed.
function sq.note(c, job, flat, bytes)
  local key = key_of(c, job)
  if redis.call('EXISTS', key) == 0 then sq.switch(c, 'journals', 1) end
  redis.call('HSET', key, unpack(flat))
  redis.call('HINCRBY', key, 'bytes', bytes)
end

-- Its fields in alphabetical order.
function sq.journal_fields(c, job)
  local fields = {}
  for _, field in ipairs(c.journals > 0 and redis.call('HKEYS', key_of(c, job)) or {}) do
    if field ~= 'bytes' then fields[#fields + 1] = field end
  end
  table.sort(fields)
  return fields
end

function sq.forget_journal(c, job)
  if c.journals > 0 then sq.switch(c, 'journals', -redis.call('UNLINK', key_of(c, job))) end
end

-- The keys of the journals that plain jobs would have.
function sq.journals_of(c, level, entries, jobs)
  local keys = {}
  for i, entry in ipairs(entries) do keys[i] = key_of(c, jobs and jobs[i] or level .. '-' .. entry) end
  return keys
end

function sq.forget_journals(c, keys) sq.switch(c, 'journals', -redis.call('UNLINK', unpack(keys))) end

-- A job that is run again after its death waits anew for the signals whose time was over.
function sq.reopen_waits(c, job)
  if c.journals == 0 then return end
  local key = key_of(c, job)
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local name = flat[i + 1] == 'failed' and string.match(flat[i], '^over (.+)$')
    if name then redis.call('HDEL', key, flat[i], 'until signal ' .. name) end
  end
end

-- The delivery that a call of a running job is about: `consumer generation level entry job` from args[2] on; whether it is the caller's.
function sq.running(c, args)
  local me = sq.caller(c, args[2], args[3])
  local level, entry, job = sq.given_level(args[4]), sq.entry(args[5]), sq.job(args[6])
  return job, sq.owner(c, level, entry) == me.id
end

-- It has begun, so it does not expire any more: half of a job is worse than a late one.
function sq.has_begun(c, job) redis.call('HDEL', sq.record(c, job), 'expires') end

-- now, consumer, generation, level, entry, job, (field value) … -> 1, or nothing when the delivery is not the caller's
local function journal(anchor, args)
  local c = sq.begin(anchor, args[1])
  local job, is_own = sq.running(c, args)
  local flat = {unpack(args, 7, math.min(#args, 40))}
  if #args > 40 or #flat == 0 or #flat % 2 ~= 0 then sq.refuse('INVALID', 'fields and values do not fit: 1 to 16 pairs are due') end
  for i = 1, #flat, 2 do
    local kind, name = string.match(sq.text(flat[i], 'field', 207), '^(%a+) (.+)$')
    if kind ~= 'step' and kind ~= 'cursor' then
      sq.refuse('INVALID', 'field is ' .. sq.shown(flat[i]) .. '; step <name> or cursor <name> is due')
    end
    sq.step_name(name)
    if sq.text(flat[i + 1], 'value', sq.BODY_BYTES) == '' then sq.refuse('INVALID', 'the value of ' .. flat[i] .. ' is empty') end
  end
  if not is_own then return false end
  local bytes = sq.check_journal(c, job, flat)
  -- checked: first write
  sq.note(c, job, flat, bytes)
  sq.has_begun(c, job)
  sq.save(c)
  return 1
end

-- now, consumer, generation, level, entry, job -> {field, value, …}, or nothing when the delivery is not the caller's
local function recall(anchor, args)
  local c = sq.look(anchor, args[1])
  local job, is_own = sq.running(c, args)
  return is_own and redis.call('HGETALL', key_of(c, job))
end

-- now, job -> {field, value, …}
local function journal_of(anchor, args)
  local c = sq.look(anchor, args[1])
  return redis.call('HGETALL', key_of(c, sq.job(args[2])))
end

sq.register('journal', {'allow-oom'}, journal)
sq.register('recall', {'no-writes'}, recall)
sq.register('journal_of', {'no-writes', 'allow-stale'}, journal_of)
