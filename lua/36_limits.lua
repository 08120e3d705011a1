-- Limits: what the jobs of a lane must pass before they run: tokens, slots, a breaker, a quota. A key is `<name>` or
-- `<class>:<value>`.
--   limits  key, or <class>:* for all of a class → words that hold now, `rate=10 burst=20 slots=3 …` (a key's own win)
--   state   key → `<tokens> <at> <used> <rooms> <queued> <bytes>[ <till> <phase> <failed> <runs> <probes> <quota> <since>]`;
--           none: full and idle. Rooms are the levels of which lanes wait for it, or -
-- Tokens are stored, not times, so that a rate can change while jobs wait; they drip by the shard's monotonic clock (`at`),
-- `till` is a time on the wall. Breakers: closed (0), open until `till` (1),
-- half-open (2) with `quota` probes at once, which doubles with each success (Nygard, Release It!, 2007).
-- What must hold: a bucket never gives more than rate × time + burst (a single job dearer than the burst leaves a debt).

local NUMBERS = {rate = true, burst = true, slots = true, ordered = true, weight = true, most = true, bytes = true,
  fails = true, errors = true, window = true, least = true, open = true}
local KEPT = 1000                -- parsed texts that a process keeps
local FEW = 50                   -- configured limits that are read all at once
local CLOSED, OPEN, HALF_OPEN = 0, 1, 2
local UNTOUCHED = {__index = {used = 0, rooms = '', queued = 0, bytes = 0, till = 0, phase = 0, failed = 0, runs = 0, probes = 0, quota = 0, since = 0}}
local ENOUGH = 16                -- probes at once; the success after them closes the breaker
local parsed, count = {}, 0      -- pure functions of a text, so they may outlive a call

-- Refuses words that no limit has.
function sq.check_words(text)
  sq.text(text, 'words of a limit', 512)
  for word in string.gmatch(text, '%S+') do
    local name, value = string.match(word, '^(%a+)=(%S+)$')
    local number = value and tonumber(value)
    local fits = value == 'off' or (NUMBERS[name] and number and number >= 0 and number < 1e15 and (name ~= 'weight' or number > 0))
      or (name == 'over' and (value == 'refuse' or value == 'drop'))
    if not fits then sq.refuse('INVALID', 'limit says ' .. sq.shown(word) .. '; words like rate=10, burst=20, slots=3 or weight=2 are due') end
  end
  return text
end

function sq.limit_key(key)
  if not key or #key > 256 or not string.find(key, '^[^%s|,!=*]+%*?$') then
    sq.refuse('INVALID', 'limit is ' .. sq.shown(key) .. '; <name>, <class>:<value> or <class>:* is due')
  end
  return key
end

local function parse(text)
  local rule = {}
  for name, value in string.gmatch(text, '(%a+)=(%S+)') do
    if value == 'off' then rule[name] = nil else rule[name] = tonumber(value) or value end
  end
  if rule.rate then rule.burst = math.max(rule.burst or rule.rate, 1) end
  rule.breaks = rule.fails ~= nil or rule.errors ~= nil
  rule.counts = rule.slots ~= nil or rule.breaks
  rule.is_empty = next(rule) == nil or text == ''
  return rule
end

local function rule_of(text)
  local rule = parsed[text]
  if rule then return rule end
  if count >= KEPT then parsed, count = {}, 0 end
  parsed[text], count = parse(text), count + 1
  return parsed[text]
end

-- What is configured, when it is little: then one command says it for all keys. False when it is much.
local function all_words(c)
  if c.words == nil then
    c.words = redis.call('HLEN', c.anchor .. ':limits') <= FEW and {}
    local flat = c.words and redis.call('HGETALL', c.anchor .. ':limits') or {}
    for i = 1, #flat, 2 do c.words[flat[i]] = flat[i + 1] end
  end
  return c.words
end

-- The words of each key itself, false for one that has none.
local function own_words(c, keys)
  local all = all_words(c)
  if not all then return redis.call('HMGET', c.anchor .. ':limits', unpack(keys)) end
  local words = {}
  for i, key in ipairs(keys) do words[i] = all[key] or false end
  return words
end

-- The words of a class that is named with its colon, ended by a blank.
local function words_of_class(c, class)
  if not c.classes[class] then
    local words
    if c.words then words = c.words[class .. '*'] else words = redis.call('HGET', c.anchor .. ':limits', class .. '*') end
    c.classes[class] = words and words .. ' ' or ''
  end
  return c.classes[class]
end

-- What a key with these words of its own says, its class included.
local function rule_for(c, key, own)
  local colon = string.find(key, ':', 1, true)
  if not colon then return rule_of(own or '') end
  local words = words_of_class(c, string.sub(key, 1, colon))
  return rule_of(own and words .. own or words)
end

local function read_state(limit, text)
  local tokens, at, used, rooms, queued, bytes, rest = string.match(text, '^(%S+) (%d+) (%d+) (%S+) (%d+) (%d+)(.*)$')
  limit.tokens, limit.at, limit.used = tonumber(tokens), tonumber(at), tonumber(used)
  limit.rooms, limit.queued, limit.bytes = rooms == '-' and '' or rooms, tonumber(queued), tonumber(bytes)
  if rest == '' then return end
  local till, phase, failed, runs, probes, quota, since = string.match(rest, '^ (%d+) (%d) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  limit.till, limit.phase, limit.failed, limit.runs = tonumber(till), tonumber(phase), tonumber(failed), tonumber(runs)
  limit.probes, limit.quota, limit.since = tonumber(probes), tonumber(quota), tonumber(since)
end

-- What dripped into the bucket since it was looked at last.
local function refill(c, limit)
  local rule = limit.rule
  if not rule.rate then return end
  limit.tokens = math.min(limit.tokens + math.max(0, c.mono - limit.at) * rule.rate / 1000, rule.burst)
  limit.at = c.mono
end

local function load_some(c, need)
  local words, states = own_words(c, need), redis.call('HMGET', c.anchor .. ':state', unpack(need))
  for i, key in ipairs(need) do
    local rule = rule_for(c, key, words[i])
    local limit = setmetatable({key = key, rule = rule, tokens = rule.burst or 0, at = c.mono, has_changed = false}, UNTOUCHED)
    if states[i] then
      read_state(limit, states[i])
      refill(c, limit)
    end
    if rule.is_empty and not states[i] then limit.says_nothing = true end      -- lanes need not look at it
    c.limits[key] = limit
  end
end

-- Loads those of the keys that the call has not seen, by two commands for all of them.
function sq.load_limits(c, keys)
  local need = {}
  for _, key in ipairs(keys) do
    if not c.limits[key] then
      need[#need + 1] = key
      c.limits[key] = true
    end
  end
  for i = 1, #need, sq.MOST do load_some(c, {unpack(need, i, math.min(i + sq.MOST - 1, #need))}) end
end

function sq.limit(c, key)
  if not c.limits[key] then load_some(c, {key}) end
  return c.limits[key]
end

local function is_idle(c, limit)
  return limit.used == 0 and limit.rooms == '' and limit.queued == 0 and limit.till <= c.now and limit.phase == CLOSED
    and limit.failed == 0 and limit.runs == 0 and limit.tokens >= (limit.rule.burst or 0)
end

local function state_text(c, limit)
  c.at = c.at or ' ' .. sq.num(c.mono) .. ' '
  local at, is_calm = limit.at == c.mono and c.at or ' ' .. sq.num(limit.at) .. ' ', limit.till <= c.now and limit.phase == CLOSED and limit.failed == 0 and limit.runs == 0
  if is_calm and limit.used == 0 and limit.rooms == '' and limit.queued == 0 then return limit.tokens .. at .. '0 - 0 0' end
  local text = limit.tokens .. at .. limit.used .. ' ' .. (limit.rooms == '' and '-' or limit.rooms) .. ' ' .. limit.queued .. ' ' .. sq.num(limit.bytes)
  if is_calm then return text end
  return text .. string.format(' %.0f %d %d %d %d %d %.0f', limit.till, limit.phase, limit.failed, limit.runs, limit.probes, limit.quota, limit.since)
end

-- The limits that changed, by one command of each kind.
function sq.save_limits(c)
  local set, gone = {}, {}
  for _, limit in ipairs(c.changed_limits) do
    limit.has_changed = false
    if is_idle(c, limit) then gone[#gone + 1] = limit.key
    else
      set[#set + 1] = limit.key
      set[#set + 1] = state_text(c, limit)
    end
  end
  if #set > 0 then sq.many('HSET', c.anchor .. ':state', set) end
  if #gone > 0 then sq.many('HDEL', c.anchor .. ':state', gone) end
  c.changed_limits = {}
end

function sq.change(c, limit)
  if limit.has_changed then return end
  limit.has_changed = true
  c.changed_limits[#c.changed_limits + 1] = limit
end

-- Until when it is closed to a job of this cost: nil when it is open, false when only an end of a job or somebody's word opens it.
function sq.closed_until(c, limit, cost)
  local rule = limit.rule
  if limit.till > c.now then return limit.till end
  if limit.phase == OPEN then
    limit.phase, limit.probes, limit.quota = HALF_OPEN, 0, 1
    sq.change(c, limit)
  end
  if limit.phase == HALF_OPEN and limit.probes >= limit.quota then return false end
  if rule.slots and limit.used >= rule.slots then return false end
  if not rule.rate then return nil end
  local need = math.min(cost, rule.burst)      -- dearer than the burst: it passes a full bucket and leaves a debt
  if limit.tokens + 1e-9 >= need then return nil end
  return rule.rate > 0 and c.now + math.ceil((need - limit.tokens) / rule.rate * 1000)
end

-- How many jobs of cost 1 it lets pass now, at most `most`.
function sq.room_for(c, limit, most)
  local rule = limit.rule
  if limit.phase ~= CLOSED or limit.till > c.now then
    if sq.closed_until(c, limit, 1) ~= nil then return 0 end
  end
  if rule.rate then most = math.min(most, math.floor(limit.tokens + 1e-9)) end
  if rule.slots then most = math.min(most, rule.slots - limit.used) end
  if limit.phase == HALF_OPEN then most = math.min(most, limit.quota - limit.probes) end
  return most
end

-- What the delivery of a job that passes has to remember of it: `key`, `!key` for a probe, or nil.
function sq.mark_of(limit)
  if limit.phase == HALF_OPEN then return '!' .. limit.key end
  return limit.rule.counts and limit.key or nil
end

-- n jobs pass: their tokens go, their slots are taken.
function sq.charge(c, limit, n, cost)
  if limit.rule.rate then limit.tokens = limit.tokens - cost end
  if limit.rule.counts or limit.phase ~= CLOSED then limit.used = limit.used + n end
  if limit.phase == HALF_OPEN then limit.probes = limit.probes + n end
  sq.change(c, limit)
end

-- Tokens come back (or, with a negative number, more of them are gone).
function sq.refund(c, limit, tokens)
  if not limit.rule.rate then return end
  limit.tokens = math.min(limit.tokens + tokens, limit.rule.burst)
  sq.change(c, limit)
  if tokens > 0 then sq.wake_rooms(c, limit) end
end

-- Closed for `ms`, whatever else it says. Lanes that had passed over it because it said nothing look at it from now on.
function sq.shut(c, limit, ms)
  if limit.says_nothing then
    limit.says_nothing = nil
    for _, lane in pairs(c.lanes) do lane.limits, lane.weight = false, false end
  end
  limit.till = math.max(limit.till, c.now + ms)
  sq.change(c, limit)
end

local function trip(c, limit)
  limit.phase, limit.failed, limit.runs, limit.probes = OPEN, 0, 0, 0
  limit.till = math.max(limit.till, c.now + (limit.rule.open or 30000))
end

local function count_run(c, limit, failed)
  local rule = limit.rule
  if rule.window and c.now - limit.since > rule.window then limit.failed, limit.runs, limit.since = 0, 0, c.now end
  if rule.fails and not failed then limit.failed = 0 end
  if failed then limit.failed = limit.failed + 1 end
  if not rule.errors then
    if limit.failed >= rule.fails then trip(c, limit) end
    return
  end
  limit.runs = limit.runs + 1
  if limit.runs >= (rule.least or 10) and limit.failed >= rule.errors * limit.runs then trip(c, limit) end
end

local function count_probe(c, limit, failed)
  if failed then return trip(c, limit) end
  limit.quota = limit.quota * 2
  if limit.quota > ENOUGH then limit.phase, limit.failed, limit.runs, limit.probes = CLOSED, 0, 0, 0 end
end

-- A job that it had let pass is over: `outcome` is completed, failed, or nil when that says nothing of the other side.
function sq.discharge(c, limit, outcome, was_probe)
  limit.used = math.max(limit.used - 1, 0)
  if was_probe and limit.phase == HALF_OPEN then limit.probes = math.max(limit.probes - 1, 0) end
  if limit.rule.breaks and outcome then
    local failed = outcome == 'failed'
    if limit.phase == HALF_OPEN and was_probe then count_probe(c, limit, failed)
    elseif limit.phase == CLOSED then count_run(c, limit, failed) end
  end
  sq.change(c, limit)
  sq.wake_rooms(c, limit)
end
