-- Looking at schedules (no-writes). Functions: schedule_read, schedule_list.

local LISTED = {'expression', 'words', 'task', 'source', 'app', 'paused', 'paused_note', 'note', 'next_run_at', 'due_at', 'last_run_at',
  'last_job', 'last_outcome', 'over_at', 'queued', 'runs', 'skipped', 'missed', 'most', 'lateness', 'overlap', 'jitter', 'grace',
  'starts', 'ends', 'blackouts'}

-- now, name … -> {now, {name, field, value …} …}; of one that is unknown, its name alone
local function read(anchor, args)
  local c, out = sq.look(anchor, args[1]), {}
  if #args > 101 then sq.refuse('LIMIT', (#args - 1) .. ' names; the most is 100') end
  out[1] = c.now
  for i = 2, #args do out[i] = {sq.schedule_name(args[i]), unpack(redis.call('HGETALL', sq.schedule_key(c, args[i])))} end
  return out
end

local function brief(c, name, at)
  local row, r = {name, 'at', at}, redis.call('HMGET', sq.schedule_key(c, name), unpack(LISTED))
  for i, field in ipairs(LISTED) do
    if r[i] then
      row[#row + 1] = field
      row[#row + 1] = r[i]
    end
  end
  return row
end

-- now, start, count -> {now, next start, {name, field, value …} …}, the next due one first
local function list(anchor, args)
  local c, count = sq.look(anchor, args[1]), sq.whole(args[3] or 100, 'count', 1, 500)
  local from = (args[2] or '-') == '-' and 0 or sq.whole(args[2], 'start', 0, 1e9)
  local found = redis.call('ZRANGE', anchor .. ':schedules', from, from + count - 1, 'WITHSCORES')
  local out = {c.now, #found == 2 * count and sq.num(from + count) or ''}
  for i = 1, #found, 2 do out[#out + 1] = brief(c, found[i], found[i + 1]) end
  return out
end

sq.register('schedule_read', {'no-writes', 'allow-stale'}, read)
sq.register('schedule_list', {'no-writes', 'allow-stale'}, list)
