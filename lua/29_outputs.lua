-- Results of parents, kept for their children in the children's shard.
--   output:<full id of a parent>  status, result; and the local id of each child of this shard that may still read it
-- What must hold: an output is there as long as a child of it can run: until the child ended, and longer than a dead one's
-- letter; without children it goes, or, when the last one may be run again with its flow, after FLOW_KEPT ms.

local function output_of(c, parent) return c.anchor .. ':output:' .. parent end

-- The job shall find the outputs of those of its edges that want them.
function sq.hold_outputs(c, job, edges)
  local names = {}
  for _, edge in ipairs(edges) do
    if edge.wants == '+' then
      redis.call('HSET', output_of(c, edge.full), job, '')
      names[#names + 1] = edge.full
    end
  end
  if #names == 0 then return end
  local old = not c.gating and redis.call('HGET', sq.record(c, job), 'inputs')     -- a new job has none
  redis.call('HSET', sq.record(c, job), 'inputs', (old and old .. ' ' or '') .. table.concat(names, ' '))
end

-- A job that is run again keeps what it has been given. Names that are twice in the list do no harm.
function sq.hold_again(c, job, inputs)
  for parent in string.gmatch(inputs or '', '%S+') do
    redis.call('HSET', output_of(c, parent), job, '')
    redis.call('PERSIST', output_of(c, parent))
  end
end

-- What a parent left. It is written once for all of its children here.
function sq.put_output(c, parent, status, result)
  local key = output_of(c, parent)
  if redis.call('HGET', key, 'status') == status then return end
  redis.call('HSET', key, 'status', status)
  if result and result ~= '' then redis.call('HSET', key, 'result', result) end
end

-- A parent that has completed and whose result is here need not be asked any more.
function sq.stored_end(c, edge)
  if edge.wants ~= '+' then return nil end
  local status = redis.call('HGET', output_of(c, edge.full), 'status')
  return status == 'completed' and status or nil
end

local ENDED = {skipped = true, cancelled = true, expired = true}

-- A parent ended after a child had: when that one could be run again with its flow, it will want the result.
function sq.keep_for_later(c, job, parent, status, result)
  status = string.match(status, '^[^@]+')
  local r = redis.call('HMGET', sq.record(c, job), 'state', 'inputs')
  if not ENDED[r[1] or ''] or not r[2] or not string.find(' ' .. r[2] .. ' ', ' ' .. parent .. ' ', 1, true) then return end
  local is_new = redis.call('EXISTS', output_of(c, parent)) == 0
  sq.put_output(c, parent, status, result)
  if is_new then redis.call('PEXPIRE', output_of(c, parent), sq.FLOW_KEPT) end
end

-- The job has read what it wanted; `may_run_again`: it could be run once more with its flow.
function sq.release_outputs(c, job, inputs, may_run_again)
  for parent in string.gmatch(inputs, '%S+') do
    local key = output_of(c, parent)
    redis.call('HDEL', key, job)
    local left = redis.call('HLEN', key)
    if left <= 2 and left == redis.call('HEXISTS', key, 'status') + redis.call('HEXISTS', key, 'result') then
      if may_run_again then redis.call('PEXPIRE', key, sq.FLOW_KEPT) else redis.call('UNLINK', key) end
    end
  end
end
