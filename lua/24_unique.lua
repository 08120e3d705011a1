-- Unique keys: `unique:<key>` holds `<job id> <until>`, where until is done, start or `for <ms>`: a window that ends then on
-- the wall clock, whatever becomes of the job (the key has a TTL too).
-- What must hold: a key is held by one job at a time, and is free at the end of its holder, whatever that end is; the key
-- of a holder that does not exist any more counts as free.

local function name(c, key) return c.anchor .. ':unique:' .. key end

-- The job that holds the key, or nil; and until when: done, start or for.
function sq.holder(c, key)
  local held = redis.call('GET', name(c, key))
  if not held then return nil end
  local job, mode, ends = string.match(held, '^(%S+) (%a+) ?(%d*)$')
  if mode == 'for' then return (tonumber(ends) or 0) > c.now and job or nil, mode end
  if not job or redis.call('EXISTS', sq.record(c, job)) == 0 then return nil end
  return job, mode
end

-- `mode` is done, start, or a number of ms.
function sq.hold(c, key, job, mode)
  if mode == 'done' or mode == 'start' then redis.call('SET', name(c, key), job .. ' ' .. mode)
  else redis.call('SET', name(c, key), job .. ' for ' .. sq.num(c.now + mode), 'PX', mode) end
end

-- Frees the key if the job still holds it; `at` is done or start, a key for a time is left to its TTL.
function sq.free(c, key, job, at)
  local held = redis.call('GET', name(c, key))
  if held == job .. ' ' .. at or (at == 'done' and held == job .. ' start') then redis.call('UNLINK', name(c, key)) end
end
