-- Those who wait for the end of a job: `waiters` holds job id → their reply keys, parted by spaces.
-- Functions: wait, unwait.
-- What must hold: who registered for a job that had not ended gets exactly one push when it ends; nothing is paid
-- while nobody waits (the switch `waiters`).

local REPLY_TTL = 60000        -- ms that an answer waits to be fetched

-- Pushes how the job ended to all who wait for it.
function sq.tell_waiters(c, job, status, payload)
  if c.waiters == 0 then return end
  local keys = redis.call('HGET', c.anchor .. ':waiters', job)
  if not keys then return end
  for key in string.gmatch(keys, '%S+') do
    if key == '@children' then sq.begin_closing(c, job, status, payload)
    else
      redis.call('RPUSH', key, job .. ' ' .. status .. ' ' .. (payload or ''))
      redis.call('PEXPIRE', key, REPLY_TTL)
    end
  end
  redis.call('HDEL', c.anchor .. ':waiters', job)
  sq.switch(c, 'waiters', -1)
end

-- Which of these plain jobs does somebody wait for? A table of the awaited ones, or nil.
function sq.awaited(c, level, entries, jobs)
  if c.waiters == 0 then return nil end
  local found
  if not jobs then
    jobs = {}
    for i, entry in ipairs(entries) do jobs[i] = level .. '-' .. entry end
  end
  for i, keys in ipairs(redis.call('HMGET', c.anchor .. ':waiters', unpack(jobs))) do
    if keys then
      found = found or {}
      found[entries[i]] = true
    end
  end
  return found
end

function sq.is_awaited(c, job)
  return c.waiters > 0 and redis.call('HEXISTS', c.anchor .. ':waiters', job) == 1
end

function sq.failure(error_text, traceback) return (error_text or '') .. '\0' .. (traceback or '') end

-- Registers a reply key, or the word @children: then children of the job are told, too.
function sq.await(c, job, key)
  local keys = redis.call('HGET', c.anchor .. ':waiters', job)
  if not keys then sq.switch(c, 'waiters', 1) end
  if not keys or not string.find(' ' .. keys .. ' ', ' ' .. key .. ' ', 1, true) then
    redis.call('HSET', c.anchor .. ':waiters', job, keys and keys .. ' ' .. key or key)
  end
end

-- now, job, reply key -> {status, payload}
local function wait(anchor, args)
  local c, job, key = sq.begin(anchor, args[1]), sq.job(args[2]), sq.text(args[3], 'reply key', 512)
  if string.sub(key, 1, #anchor + 7) ~= anchor .. ':reply:' or string.find(key, '%s') then
    sq.refuse('INVALID', 'reply key is ' .. sq.shown(key) .. '; it must begin with ' .. anchor .. ':reply:')
  end
  local r = redis.call('HMGET', sq.record(c, job), 'state', 'result', 'reason', 'error', 'traceback')
  if r[1] == 'completed' then return {r[1], r[2]} end
  if r[1] == 'expired' then return {r[1], r[3]} end
  if r[1] == 'dead' then return {r[1], sq.failure(r[4] or r[3], r[5])} end
  if r[1] == 'skipped' or r[1] == 'cancelled' or r[1] == 'expired' then return {r[1], r[3]} end
  local how, is_flow = sq.flow_end(c, job)
  if how then return {(string.gsub(how, '@%d+$', '')), sq.flow_failure(c, job)} end
  if not r[1] and not is_flow and sq.find(c, job).place == 'gone' then
    local status, _, _, was_kept = sq.logged(c, job)
    return {status and not (status == 'completed' and was_kept) and status or 'gone', false}
  end
  -- checked: first write
  sq.await(c, job, key)
  sq.save(c)
  return {'waiting', false}
end

-- now, job, reply key -> 1
local function unwait(anchor, args)
  local c, job, key = sq.begin(anchor, args[1]), sq.job(args[2]), sq.text(args[3], 'reply key', 512)
  -- checked: first write
  local keys, left = redis.call('HGET', c.anchor .. ':waiters', job), {}
  if keys then
    for other in string.gmatch(keys, '%S+') do
      if other ~= key then left[#left + 1] = other end
    end
    if #left > 0 then redis.call('HSET', c.anchor .. ':waiters', job, table.concat(left, ' '))
    else
      redis.call('HDEL', c.anchor .. ':waiters', job)
      sq.switch(c, 'waiters', -1)
    end
  end
  sq.save(c)
  return 1
end

sq.register('wait', {'allow-oom'}, wait)
sq.register('unwait', {'allow-oom'}, unwait)
