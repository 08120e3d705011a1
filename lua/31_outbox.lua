-- Messages to other shards, whose keys are out of reach here: a worker of this shard carries them (docs/protocol.md, relay).
--   outbox  a stream: to, kind, about, status, names
-- Functions: outbox (read), relayed, hear.
-- What must hold: a message is carried at least once, and hearing it again changes nothing; whoever takes jobs here is asked
-- to carry when there are messages and nobody does.

local MOST, MOST_NAMES, MOST_BYTES = 100, 600, 2097152
local CLAIMED = 2000             -- ms that a worker has for carrying before another one is asked
local hearers = {}

local function is_claimed(c) return tonumber(redis.call('HGET', c.meta, 'relay') or 0) > c.mono end

-- Sent with the end of the call, since a message takes an id of the generator.
function sq.send(c, to, kind, about, status, names)
  c.mail = c.mail or {}
  c.mail[#c.mail + 1] = {to, kind, about, status, names}
end

function sq.post(c)
  for _, m in ipairs(c.mail) do
    redis.call('XADD', c.anchor .. ':outbox', sq.next_id(c), 'to', m[1], 'kind', m[2], 'about', m[3], 'status', m[4], 'names', m[5])
  end
  sq.switch(c, 'outbox', #c.mail)
  c.mail = nil
  if not c.takes and not is_claimed(c) then sq.ring(c, 1) end
end

-- Shall the caller carry messages? At most one worker is asked at a time.
function sq.claim_relay(c)
  if c.outbox + #(c.mail or {}) == 0 or is_claimed(c) then return false end
  redis.call('HSET', c.meta, 'relay', c.mono + CLAIMED)
  return true
end

-- now, from -> {id, to, kind, about, status, result, names …}, the oldest behind `from`
local function outbox(anchor, args)
  local c, from, out, bytes = sq.look(anchor, args[1]), sq.entry(args[2] or '0-0'), {}, 0
  for _, raw in ipairs(redis.call('XRANGE', anchor .. ':outbox', '(' .. from, '+', 'COUNT', MOST)) do
    local f = raw[2]
    local _, job = sq.apart(f[6])
    local result = f[4] == 'close' and redis.call('HGET', anchor .. ':end:' .. job, 'result') or ''
    for _, part in ipairs{raw[1], f[2], f[4], f[6], f[8], result, f[10]} do
      out[#out + 1], bytes = part, bytes + #part
    end
    if bytes > MOST_BYTES then break end
  end
  return out
end

-- now, id … -> how many there are still
local function relayed(anchor, args)
  local c = sq.begin(anchor, args[1])
  if #args < 2 or #args > MOST + 1 then sq.refuse('LIMIT', #args - 1 .. ' messages; 1 to ' .. MOST .. ' are due') end
  for i = 2, #args do sq.entry(args[i]) end
  -- checked: first write
  sq.switch(c, 'outbox', -redis.call('XDEL', anchor .. ':outbox', unpack(args, 2)))
  redis.call('HDEL', c.meta, 'relay')
  if redis.call('XLEN', anchor .. ':outbox') == 0 then redis.call('UNLINK', anchor .. ':outbox') end
  sq.save(c)
  return c.outbox
end

-- A parent in another shard has ended: about it, status, result; names are its children here.
function hearers.close(c, m)
  for child in string.gmatch(m.names, '%S+') do
    local _, id = sq.apart(child)
    sq.close_edge(c, id, m.about, m.status, m.result)
  end
end

-- A child in another shard wants to be told of the end of a job here; it is when that has ended already.
function hearers.attend(c, m)
  local child, wants = string.match(m.names, '^(%S-)(%+?)$')
  local status, result = sq.attend(c, m.job, child, wants, m.status == 'flow')
  if not status then return end
  redis.call('ZADD', c.anchor .. ':children:' .. m.job, 0, child .. wants)
  sq.begin_closing(c, m.job, status, result)
end

-- Jobs of a flow that lives here have ended elsewhere.
function hearers.ended(c, m) sq.hear_ends(c, m.job, m.names) end

-- A flow that lives elsewhere has not heard of a job here for long.
function hearers.report(c, m) sq.report_end(c, m.job, m.status, m.names) end

-- A job of a flow shall be cancelled.
function hearers.cancel(c, m) sq.cancel(c, m.job) end

local function read_message(args, i)
  local m = {to = args[i], kind = args[i + 1], about = args[i + 2], status = args[i + 3], result = args[i + 4], names = args[i + 5]}
  if not hearers[m.kind or ''] then sq.refuse('INVALID', 'kind is ' .. sq.shown(m.kind) .. '; close, attend, ended, report or cancel is due') end
  local _, job = sq.apart(m.about)
  m.job = job
  if m.kind == 'close' then sq.check_end(m.status) else sq.text(m.status, 'status', 32) end
  sq.text(m.result, 'result', sq.BODY_BYTES)
  m.words = select(2, string.gsub(sq.text(m.names, 'names', 262144), '%S+', ''))
  if m.kind == 'close' then
    for child in string.gmatch(m.names, '%S+') do sq.apart(child) end
  elseif m.kind == 'report' then
    sq.apart(m.names)
    sq.whole(m.status, 'run', 0, 999999)
  elseif m.kind == 'attend' then sq.apart(string.match(m.names, '^(%S-)%+?$')) end
  return m
end

-- now, (to kind about status result names) … -> 1
local function hear(anchor, args)
  local c, messages, names = sq.begin(anchor, args[1]), {}, 0
  if (#args - 1) % 6 ~= 0 then sq.refuse('INVALID', 'a message has six parts: to kind about status result names') end
  for i = 2, #args, 6 do
    local m = read_message(args, i)
    messages[#messages + 1], names = m, names + m.words
  end
  if #messages > MOST or names > MOST_NAMES then
    sq.refuse('LIMIT', #messages .. ' messages with ' .. names .. ' names; at most ' .. MOST .. ' with ' .. MOST_NAMES .. ' are heard at once')
  end
  -- checked: first write
  for _, m in ipairs(messages) do hearers[m.kind](c, m) end
  sq.save(c)
  return 1
end

sq.register('outbox', {'no-writes', 'allow-stale'}, outbox)
sq.register('relayed', {'allow-oom'}, relayed)
sq.register('hear', {'allow-oom'}, hear)
