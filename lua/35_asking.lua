-- Gates that wait long: their parents are asked again, since a message between shards, or a parent, may have been lost. And
-- what a gate waits for, for people.
-- What must hold: a sweep asks at most GATES gates for ASKED parents each.

local GATES, ASKED = 50, 20
local ASK_AGAIN = 600000         -- ms
local UNKNOWN_AFTER = 3600000    -- ms that a parent of the same flow may take to be added

-- Some gates that wait long: are they expired, or was a message about their parents lost?
function sq.ask_parents(c)
  for _, job in ipairs(redis.call('ZRANGE', c.anchor .. ':gates', '-inf', c.mono, 'BYSCORE', 'LIMIT', 0, GATES)) do
    redis.call('ZADD', c.anchor .. ':gates', c.mono + ASK_AGAIN, job)
    local r = redis.call('HMGET', sq.record(c, job), 'expires', 'flow', 'created')
    local may_come = r[2] and tonumber(r[3] or 0) > c.mono - UNKNOWN_AFTER
    local found = redis.call('HSCAN', sq.gate_key(c, job), 0, 'COUNT', ASKED)[2]
    if tonumber(r[1] or c.now) < c.now and sq.leave_gate(c, job) then
      sq.finish_job(c, job, nil, 'expired')
      found = {}
    end
    for i = 1, math.min(#found, 2 * ASKED), 2 do
      if found[i] ~= 'needs' then
        local place, parent = sq.apart(found[i])
        local edge = {full = found[i], place = place, job = parent, wants = string.match(found[i + 1], '%+?')}
        local status, result = sq.ask_parent(c, job, edge, may_come)
        if status then sq.close_edge(c, job, edge.full, status, result) end
      end
    end
  end
end

-- What a job at its gate waits for, for people.
function sq.say_gate(c, job, say)
  say('waiting')
  local found = redis.call('HSCAN', sq.gate_key(c, job), 0, 'COUNT', ASKED)[2]
  local open = redis.call('HLEN', sq.gate_key(c, job))
  for i = 1, math.min(#found, 2 * ASKED), 2 do
    if found[i] == 'needs' then say('none of its parents has failed yet, which is what it is for')
    else
      local place, parent = sq.apart(found[i])
      local known = place == sq.place(c) and sq.state_at(c, parent, sq.find(c, parent)) or 'in another shard'
      local on = string.match(found[i + 1], '^%a+')
      say('parent ' .. found[i] .. (on == 'any' and ' must end' or on == 'success' and ' must complete' or ' must fail') .. '; it is ' .. known)
    end
  end
  if open > ASKED then say('and ' .. (open - ASKED) .. ' more parents') end
end
