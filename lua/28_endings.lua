-- How a job ends, and what is left of it: its record, unique key, tags, marks, waiters, dead letter.
--   done   a capped list: `<now> <status> <job id> <task>` or, for a batch of plain ones, `<now> completed <line>`
--   dead   job id → when it gave up; DEAD_MOST of them are kept for DEAD_AGE
--   marks  <level>-<entry> → `<deaths alone>:<losses>`
-- What must hold: every job that was enqueued ends once, in exactly one counter; at its end nothing of it is left but a kept
-- result, a dead letter, or a line of the done log.

function sq.log(c, line)
  redis.call('LPUSH', c.anchor .. ':done', sq.num(c.now) .. ' ' .. line)
  if c.now % 16 == 0 then redis.call('LTRIM', c.anchor .. ':done', 0, sq.DONE_LINES - 1) end
end

-- How a job ended of which nothing else is left, if the log still says so: its status, when, its task (? when the batch
-- had several), and whether a result was kept for a time.
function sq.logged(c, job)
  for _, line in ipairs(redis.call('LRANGE', c.anchor .. ':done', 0, sq.DONE_LINES - 1)) do
    if string.find(line .. ' ', ' ' .. job .. ' ', 1, true) then
      local ended, status, first, second = string.match(line, '^(%d+) (%a+) (%S+) (%S+)')
      local task = first == job and second or string.match(first, '^([^,]+)%*%d+$') or '?'
      return status, ended, task, string.sub(line, -5) == ' kept'
    end
  end
end

-- A job without a record gets one: what its entry said.
function sq.ensure_record(c, job, level, entry, row)
  if row[1] == sq.RECORD then return end
  local _, task, lane, cost = sq.job_of(level, entry, row)
  redis.call('HSET', sq.record(c, job), 'level', string.sub(job, 1, 1), 'task', task, 'body', row[2],
    'created', (string.match(job, '^%d%-(%d+)')))
  if lane then redis.call('HSET', sq.record(c, job), 'lane', lane, 'cost', cost ~= '' and cost or '1') end
end

-- What the delivery of a job leaves in the hashes beside it. `outcome`, completed or failed, is for the breakers of its lane.
function sq.forget_delivery(c, level, entry, job, outcome)
  local field = level .. '-' .. entry
  if c.marks > 0 then sq.switch(c, 'marks', -redis.call('HDEL', c.anchor .. ':marks', field)) end
  if c.cancels > 0 then sq.switch(c, 'cancels', -redis.call('HDEL', c.anchor .. ':cancels', field)) end
  if level == sq.LANES then sq.end_admissions(c, {entry}, {job}, outcome) end
end

function sq.forget_tags(c, job, tags)
  for tag in string.gmatch(tags, '[^,]+') do redis.call('ZREM', c.anchor .. ':tag:' .. tag, job) end
end

-- The ending of a job: counted, told to those who wait; its key and tags are free, its record is gone
-- (unless `keep` ms are given: then a result, or the reason of another end, stays; or its flow may be run again from here).
-- Without `task` its record names it.
function sq.finish_job(c, job, task, status, payload, keep)
  local key = sq.record(c, job)
  local r = redis.call('HMGET', key, 'unique', 'tags', 'task', 'schedule', 'follower', 'inputs', unpack(sq.KIN))
  local runs_again = r[7] and status ~= 'completed'
  if r[1] then sq.free(c, r[1], job, 'done') end
  if r[2] then sq.forget_tags(c, job, r[2]) end
  if r[5] then sq.release(c, r[5]) end
  sq.count(c, status, 1)
  sq.tell_waiters(c, job, status, payload)
  redis.call('UNLINK', c.anchor .. ':progress:' .. job)
  sq.forget_journal(c, job)
  if runs_again then
    redis.call('HSET', key, 'state', status, 'ended', c.now)
    if payload then redis.call('HSET', key, 'reason', payload) end
    redis.call('HDEL', key, 'entry', 'due', 'children')
    redis.call('PEXPIRE', key, sq.FLOW_KEPT)
  elseif keep then
    redis.call('HSET', key, 'state', status, status == 'completed' and 'result' or 'reason', payload or '', 'ended', c.now)
    redis.call('HDEL', key, 'body', 'large', 'entry', 'due', 'traceback', 'history')
    redis.call('PEXPIRE', key, keep)
  else
    redis.call('UNLINK', key)
  end
  if r[6] then sq.release_outputs(c, job, r[6], runs_again) end
  sq.tell_kin(c, job, {unpack(r, 7)}, status, payload)
  sq.log(c, status .. ' ' .. job .. ' ' .. (task or r[3] or '?') .. (keep and ' kept' or ''))
  if r[4] then sq.run_ended(c, r[4]) end
end

-- One more line of what went wrong; the latest HISTORY of them stay.
function sq.remember(c, job, line)
  local old, lines = redis.call('HGET', sq.record(c, job), 'history'), {}
  for one in string.gmatch(old or '', '[^\n]+') do lines[#lines + 1] = one end
  lines[#lines + 1] = sq.num(c.now) .. ' ' .. string.sub(string.gsub(line, '\n', ' '), 1, 400)
  redis.call('HSET', sq.record(c, job), 'history', table.concat(lines, '\n', math.max(1, #lines - sq.HISTORY + 1)))
end

local function trim_dead(c)
  local dead = c.anchor .. ':dead'
  for _ = 1, 4 do
    local oldest = redis.call('ZRANGE', dead, 0, 0, 'WITHSCORES')
    if not oldest[1] then return end
    if redis.call('ZCARD', dead) <= sq.DEAD_MOST and tonumber(oldest[2]) > c.now - sq.DEAD_AGE then return end
    sq.drop_dead(c, oldest[1])
  end
end

-- A dead letter goes for good.
function sq.drop_dead(c, job)
  local r = redis.call('HMGET', sq.record(c, job), 'tags', 'inputs')
  if r[1] then sq.forget_tags(c, job, r[1]) end
  if r[2] then sq.release_outputs(c, job, r[2]) end
  redis.call('UNLINK', sq.record(c, job), c.anchor .. ':progress:' .. job)
  redis.call('ZREM', c.anchor .. ':dead', job)
  sq.forget_journal(c, job)
  sq.count(c, 'dead', -1)
  sq.count(c, 'purged', 1)
end

-- The job, which has a record and no entry any more, becomes a dead letter.
function sq.bury(c, job, reason, error_text, traceback)
  local key = sq.record(c, job)
  redis.call('HSET', key, 'state', 'dead', 'reason', reason, 'error', error_text, 'traceback', traceback,
    'died', sq.num(c.now))
  local r = redis.call('HMGET', key, 'unique', 'task', 'schedule', 'follower', unpack(sq.KIN))
  redis.call('HDEL', key, 'entry', 'due', 'children')
  if r[1] then sq.free(c, r[1], job, 'done') end
  if r[4] then sq.release(c, r[4]) end
  sq.remember(c, job, 'dead ' .. reason .. ' ' .. error_text)
  redis.call('ZADD', c.anchor .. ':dead', c.now, job)
  sq.count(c, 'dead', 1)
  sq.tell_waiters(c, job, 'dead', sq.failure(error_text ~= '' and error_text or reason, traceback))
  if r[3] then sq.run_ended(c, r[3]) end
  sq.log(c, 'dead ' .. job .. ' ' .. (r[2] or ''))
  sq.tell_kin(c, job, {unpack(r, 5)}, 'dead')
  trim_dead(c)
end
