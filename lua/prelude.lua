-- The ground that every other file stands on: the shared table, the limits, registration and refusal.
-- What must hold: a refused call has changed nothing. So a function reads and checks everything first, then comes
-- the line "-- checked: first write", then only writes. `sq.refuse` before that line is always safe.
-- While a library loads there is no redis.call and no string or table library: only definitions may stand at top level.

local sq = {
  GROUP = 'workers',           -- the consumer group of every ready stream
  RECORD = '@',                -- the field of a stream entry whose job has a record
  LANES = 'l',                 -- the level whose stream hands out the jobs of lanes: `<job> <task> <lane>[ <cost>]` → body
  LEASE = 30000,               -- ms; the default of a shard, until a consumer registers with another one
  AGE = 60000,                 -- ms that a level is worth: nothing is overtaken by what came 9 AGE later
  CAP = 5000,                  -- ms; the longest sleep of a small fleet's idle worker
  PACE = 65,                   -- ms between two idle takes of a fleet: with jitter, below 20 a second however many workers
  WAKE = 1000,                 -- ms that a wake may be on its way before it counts as lost
  OVERDUE = 200,               -- ms after its time that a watchman is replaced
  GIVE = 100,                  -- deliveries that one call takes from a consumer that is gone
  PROMOTE = 250,               -- due jobs that one call promotes
  JUMP = 60000,                -- ms ahead of the clock at which the id generator goes on in a new epoch
  FOREVER = '1000000000000',   -- ms; only deliveries of `lost` (claimed with TIME 0) have been idle for so long
  DEATHS = 3,                  -- deaths alone that convict a job
  LOSSES = 10,                 -- leases that may end over a delivery
  BATCH = 1000, TAKE = 500, CALL_BYTES = 4194304, BODY_BYTES = 1114112, INLINE_BYTES = 8192, TEXT_BYTES = 8192,
  HISTORY = 10,                -- failures that a record remembers
  DONE_LINES = 1000,           -- lines of the done log
  DEAD_MOST = 100000,          -- dead letters that are kept
  DEAD_AGE = 7776000000,       -- ms that they are kept: 90 days
  FLOW_KEPT = 86400000,        -- ms that a flow is kept after its end, and what it could be run again with
}

-- Where an error was raised, as `user_function:<line>`. Only error() can say it; C functions and tail calls have no place.
local function raised_at()
  for level = 4, 6 do
    local _, place = pcall(error, '', level)
    if place ~= '' then return string.gsub(place, ': $', '') end
  end
end

-- The error reply for what a function raised. The text of an error of Lua names its place already, that of a command
-- does not; its first word stays the first, since clients know errors by it.
local function explained(raised)
  if type(raised) ~= 'table' then return 'ERR ' .. tostring(raised) end
  return raised.refusal or tostring(raised.err) .. ' (' .. (raised_at() or 'somewhere') .. ')'
end

-- Registers sq1_<name>. What is raised inside, a refusal or a bug, becomes an error reply.
function sq.register(name, flags, fn)
  local anchor, args
  local function run() return fn(anchor, args) end
  redis.register_function{function_name = 'sq1_' .. name, flags = flags, callback = function(keys, given)
    anchor, args = keys[1], given
    local ok, reply = xpcall(run, explained)
    args = nil
    if ok then return reply end
    return redis.error_reply(reply)
  end}
end

function sq.refuse(word, sentence) error({refusal = word .. ' ' .. sentence}) end
