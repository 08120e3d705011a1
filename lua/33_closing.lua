-- Telling children how their parents have ended, and flows how their jobs have.
--   closing    parents that have ended and whose children have not all been told, oldest first
--   end:<job>  status, result: how such a parent ended; kept for an hour after the last child was told
-- What must hold: a call tells at most about STEP children and parents, and who comes next goes on at once.

local STEP, BITE = 250, 100      -- a call; of one parent at a time
local KEPT = 3600000             -- ms

-- A parent has ended: its children are told at the end of the call, some of many by the next ones.
function sq.begin_closing(c, job, status, result)
  c.ended = c.ended or {}
  local one = {job = job, status = status, result = string.find(status, '^completed') and result ~= '' and result or nil}
  c.ended[#c.ended + 1], c.ended[job] = one, one
end

-- How it ended is kept: until all of its children know, and an hour more when some are elsewhere.
local function keep_end(c, one)
  redis.call('UNLINK', sq.end_key(c, one.job))
  redis.call('HSET', sq.end_key(c, one.job), 'status', one.status)
  if one.result then redis.call('HSET', sq.end_key(c, one.job), 'result', one.result) end
end

local function postpone(c, one)
  keep_end(c, one)
  redis.call('RPUSH', c.anchor .. ':closing', one.job)
  sq.switch(c, 'closing', 1)
end

-- Tells some children; whether there are more, and whether some are elsewhere: those of one place get one message.
local function tell_children(c, one, most)
  local full, away, found = sq.full(c, one.job), {}, redis.call('ZPOPMIN', sq.children_key(c, one.job), most)
  for i = 1, #found, 2 do
    local child = string.gsub(found[i], '%+$', '')
    local place, id = string.match(child, '^(.+)%-(%d%-%d+%-%d+)$')
    if place == sq.place(c) then pcall(sq.close_edge, c, id, full, one.status, one.result)
    elseif place then
      if not away[place] then away[place], away[#away + 1] = {}, place end
      away[place][#away[place] + 1] = child
    end
  end
  for _, place in ipairs(away) do sq.send(c, place, 'close', full, one.status, table.concat(away[place], ' ')) end
  c.told = c.told + #found / 2 + 1
  return #found == 2 * most, #away > 0
end

-- The children of what has ended in this call.
local function tell_new(c)
  c.next_ended = c.next_ended or 1
  while c.ended and c.ended[c.next_ended] do
    local one = c.ended[c.next_ended]
    c.next_ended = c.next_ended + 1
    local has_more, has_away = c.told >= STEP, false
    if not has_more then has_more, has_away = tell_children(c, one, BITE) end
    if has_more then postpone(c, one)
    elseif has_away then
      keep_end(c, one)
      redis.call('PEXPIRE', sq.end_key(c, one.job), KEPT)
    end
  end
end

-- And those that earlier calls have left.
local function tell_old(c)
  while c.closing > 0 and c.told < STEP do
    local job = redis.call('LINDEX', c.anchor .. ':closing', 0)
    if not job then return sq.switch(c, 'closing', -c.closing) end
    local e = redis.call('HMGET', sq.end_key(c, job), 'status', 'result')
    if not tell_children(c, {job = job, status = e[1] or 'gone', result = e[2] or nil}, BITE) then
      redis.call('LPOP', c.anchor .. ':closing')
      redis.call('PEXPIRE', sq.end_key(c, job), KEPT)
      sq.switch(c, 'closing', -1)
    end
  end
end

-- What the end of a job means for others, its children and its flow: `r` is what its record said of them, the fields KIN.
function sq.tell_kin(c, job, r, status, result)
  local flow, children, because, revived = unpack(r)
  local told = because and '-' .. status or status
  if children then
    sq.switch(c, 'parents', -1)
    sq.begin_closing(c, job, told .. (revived and '@' .. revived or ''), result)
  end
  if flow then sq.tell_flow(c, flow, job, told, revived) end
end

-- All that this call has ended is told to those whom it concerns, as far as a call may go.
function sq.spread(c)
  c.told = c.told or 0
  for _ = 1, 4 do
    tell_new(c)
    tell_old(c)
    if c.ends then sq.tell_flows(c) end
    if not (c.ended and c.ended[c.next_ended]) then break end
  end
  while c.ended and c.ended[c.next_ended] do
    postpone(c, c.ended[c.next_ended])
    c.next_ended = c.next_ended + 1
  end
  if c.added_due then sq.watch_over(c) end
end
