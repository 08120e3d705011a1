-- Looking at flows without changing them. Functions: flow, flow_jobs, flows.

local READ = {'no-writes', 'allow-stale'}

local function fields_of(c, flow)
  local fields = redis.call('HGETALL', c.anchor .. ':flow:' .. flow)
  if #fields > 0 then
    fields[#fields + 1] = 'id'
    fields[#fields + 1] = flow
  end
  return fields
end

-- now, flow -> {name, value, …}, empty when it is unknown
local function flow(anchor, args)
  local c = sq.look(anchor, args[1])
  return fields_of(c, sq.job(args[2]))
end

-- now, flow, cursor, count -> {next cursor, {job, role, text, status, ms, run} …}, in no order
local function flow_jobs(anchor, args)
  local c, id = sq.look(anchor, args[1]), sq.job(args[2])
  local cursor = args[3] == '-' and '0' or sq.num(sq.whole(args[3], 'cursor', 0, 1.8e19))
  local key, count = anchor .. ':flow:' .. id, sq.whole(args[4] or 500, 'count', 1, 1000)
  local found = redis.call('HSCAN', key .. ':jobs', cursor, 'COUNT', count)
  local out = {found[1] == '0' and '' or found[1]}
  for i = 1, #found[2], 2 do
    local role, text = string.match(found[2][i + 1], '^(%a+) (.*)$')
    local status, run, ms = string.match(redis.call('HGET', key .. ':ends', found[2][i]) or '', '^(%S+) (%d+) (%d+)')
    out[#out + 1] = {found[2][i], role, text, status or '', ms or '', run or '0'}
  end
  return out
end

-- now, start, count -> {next start, {name, value, …} …}, the newest first
local function flows(anchor, args)
  local c, from = sq.look(anchor, args[1]), args[2] == '-' and 0 or sq.whole(args[2], 'start', 0, 1e9)
  local count = sq.whole(args[3] or 50, 'count', 1, 500)
  local ids, out = redis.call('ZRANGE', anchor .. ':flows', from, from + count - 1, 'REV'), {}
  for _, id in ipairs(ids) do
    local fields = fields_of(c, id)
    if #fields > 0 then out[#out + 1] = fields end
  end
  return {#ids == count and sq.num(from + count) or '', unpack(out)}
end

sq.register('flow', READ, flow)
sq.register('flow_jobs', READ, flow_jobs)
sq.register('flows', READ, flows)
