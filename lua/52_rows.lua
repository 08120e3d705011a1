-- What is handed out: rows, three values for a delivery in one flat list (a table for each costs 0.5 us more, 2026-11-24):
-- entry, task, body of a plain job; entry, @ and {job, task, body, attempt, created[, lane, cost[, deadline]]} of one with a record;
-- entry, `<job> <task> <lane>[ <cost>]`, body of a lane's plain one. Some entries end here instead: cancelled before, asked to stop before they were lost, expired, malformed.
-- What must hold: whatever was read from the group is handed out or settled in the same call.

function sq.put_row(rows, entry, field, value)
  local n = #rows
  rows[n + 1], rows[n + 2], rows[n + 3] = entry, field, value
  return true
end

-- The third value of a row with a record, and what was read for it; nil when that is gone. Body is false above INLINE_BYTES.
function sq.record_value(c, job)
  local r = redis.call('HMGET', sq.record(c, job), 'task', 'body', 'attempt', 'created', 'expires', 'until', 'unique', 'lane', 'cost', 'deadline')
  if not r[1] then return nil end
  local value = {job, r[1], r[2], tonumber(r[3] or 0) or 0, r[4]}
  if r[8] or r[10] then value[6], value[7], value[8] = r[8], r[9], tonumber(r[10] or nil) end
  return value, r
end

-- A cancelled job's entry that was left to be dropped.
local function drop_tomb(c, level, entry)
  sq.forget_delivery(c, level, entry, '-')       -- lane jobs leave none
  sq.switch(c, 'tombs', -1)
  sq.count(c, 'tombs:' .. level, -1)
  redis.call('XACK', sq.stream(c, level), sq.GROUP, entry)
  redis.call('XDEL', sq.stream(c, level), entry)
end

local function cancelled(c, level, entry, fields)
  local job, task = sq.job_of(level, entry, fields)
  sq.finish_job(c, job, task, 'cancelled')
  sq.forget_delivery(c, level, entry, job)
  sq.remove(c, level, entry)
end

-- An entry that nobody can run (a stranger made it, or took its record) is kept as a dead letter under its own id.
local function malformed(c, level, entry, fields, sentence)
  local job = level .. '-' .. entry
  redis.call('HSET', sq.record(c, job), 'level', level, 'task', '?', 'body', sq.shown(fields[2]), 'created', c.now)
  sq.forget_delivery(c, level, entry, level == sq.LANES and fields[1] == sq.RECORD and fields[2] or job)
  sq.remove(c, level, entry)
  sq.bury(c, job, 'malformed', sentence, '')
end

local function open(c, level, entry, fields, rows)
  if not string.find(fields[2], '^%d%-%d+%-%d+$') then
    return malformed(c, level, entry, fields, 'its entry names a job with an id of another form')
  end
  local value, r = sq.record_value(c, fields[2])
  if not value then return malformed(c, level, entry, fields, 'its entry names a job that has no record') end
  local late = (r[5] or r[10]) and sq.lateness(c, r[5], r[3], r[10])
  if late then
    sq.expire(c, fields[2], r[1], late)
    sq.forget_delivery(c, level, entry, fields[2])
    sq.remove(c, level, entry)
    return false
  end
  if r[6] == 'start' then sq.free(c, r[7], fields[2], 'start') end
  return sq.put_row(rows, entry, sq.RECORD, value)
end

-- Puts the row of an entry that this call has given to the caller; whether there is one, and whether it had ended before.
function sq.admit(c, level, raw, rows)
  local entry, fields = raw[1], raw[2]
  if #fields ~= 2 or #fields[1] > (level == sq.LANES and 1024 or 128) then
    return malformed(c, level, entry, fields, 'its entry has not the one field, task and body, that a job has')
  end
  if c.cancels == 0 and fields[1] ~= sq.RECORD then return sq.put_row(rows, entry, fields[1], fields[2]) end
  local cancel = c.cancels > 0 and redis.call('HGET', c.anchor .. ':cancels', level .. '-' .. entry)
  if cancel == 'gone' then
    drop_tomb(c, level, entry)
    return false, true
  end
  if cancel then return cancelled(c, level, entry, fields) end
  if fields[1] ~= sq.RECORD then return sq.put_row(rows, entry, fields[1], fields[2]) end
  return open(c, level, entry, fields, rows)
end
