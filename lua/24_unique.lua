-- Unique keys: `unique:<key>` holds `<job id> <until>`, where until is done, start or for (then the key has a TTL).
-- What must hold: a key is held by one job at a time, and is free at the end of its holder, whatever that end is; the key
-- of a holder that does not exist any more counts as free.

local function name(c, key) return c.anchor .. ':unique:' .. key end

-- The job that holds the key, or nil.
function sq.holder(c, key)
  local held = redis.call('GET', name(c, key))
  if not held then return nil end
  local job, mode = string.match(held, '^(%S+) (%a+)$')
  if not job or (mode ~= 'for' and redis.call('EXISTS', sq.record(c, job)) == 0) then return nil end
  return job
end

-- `mode` is done, start, or a number of ms.
function sq.hold(c, key, job, mode)
  if mode == 'done' or mode == 'start' then redis.call('SET', name(c, key), job .. ' ' .. mode)
  else redis.call('SET', name(c, key), job .. ' for', 'PX', mode) end
end

-- Frees the key if the job still holds it; `at` is done or start, a key for a time is left to its TTL.
function sq.free(c, key, job, at)
  local held = redis.call('GET', name(c, key))
  if held == job .. ' ' .. at or (at == 'done' and held == job .. ' start') then redis.call('UNLINK', name(c, key)) end
end
