-- Reading arguments. Everything that comes from outside is checked here, and named in the refusal.

local function shown(value)
  if value == nil then return 'nothing' end
  value = tostring(value)
  return "'" .. (#value > 60 and string.sub(value, 1, 60) .. '…' or value) .. "'"
end
sq.shown = shown

-- Digits only: what tonumber reads besides (0x1f, 1e3, blanks) is not a number to the commands that get the text.
function sq.whole(value, what, least, most)
  local n = type(value) == 'number' and value or value and string.find(value, '^%d+$') and tonumber(value)
  if not n or n < least or n > most then
    sq.refuse('INVALID', string.format('%s is %s; a whole number from %.0f to %.0f is due', what, shown(value), least, most))
  end
  return n
end

function sq.text(value, what, most)
  if type(value) ~= 'string' then sq.refuse('INVALID', what .. ' is missing') end
  if #value > most then sq.refuse('LIMIT', string.format('%s has %d bytes; the most is %d', what, #value, most)) end
  return value
end

function sq.level(value)
  if not value or not string.find(value, '^%d$') then
    sq.refuse('INVALID', 'level is ' .. shown(value) .. '; one digit from 0 to 9 is due')
  end
  return value
end

-- The level of a delivery: that of the job, or LANES.
function sq.given_level(value)
  return value == sq.LANES and value or sq.level(value)
end

function sq.task(value)
  if not value or #value > 128 or not string.find(value, '^[%w_.:%-]+$') then
    sq.refuse('INVALID', 'task is ' .. shown(value) .. '; a name of 1 to 128 letters, digits and _ . : - is due')
  end
  return value
end

local function fits_64_bits(digits)
  return #digits < 20 or (#digits == 20 and digits <= '18446744073709551615')
end

local function is_entry(value)
  local ms, seq = string.match(value, '^(%d+)%-(%d+)$')
  return ms and fits_64_bits(ms) and fits_64_bits(seq)
end

-- An entry id, `<ms>-<seq>`.
function sq.entry(value)
  if not value or not is_entry(value) then
    sq.refuse('INVALID', 'entry is ' .. shown(value) .. '; a stream entry id like 1732448000000-0 is due')
  end
  return value
end

-- A job id, with or without its queue in front; the local form comes back.
function sq.job(value)
  local id = value and string.match(value, '%d%-%d+%-%d+$')
  if not id or not is_entry(string.sub(id, 3)) then sq.refuse('INVALID', 'job is ' .. shown(value) .. '; an id like 5-1732448000000-0 is due') end
  return id
end

-- `<level>-<entry>`.
function sq.delivery(value)
  local level, entry = string.match(value or '', '^([%dl])%-(.+)$')
  if not level then sq.refuse('INVALID', 'delivery is ' .. shown(value) .. '; <level>-<entry> is due') end
  return level, sq.entry(entry)
end

-- `n` arguments behind args[i] as name → value; the index behind them. Only the names in `known` are allowed.
function sq.pairs(args, i, n, known)
  local found = {}
  if n % 2 ~= 0 or i + n - 1 > #args then sq.refuse('INVALID', 'names and values do not fit their count, ' .. n) end
  for k = i, i + n - 1, 2 do
    if not known[args[k]] then sq.refuse('INVALID', 'unknown name ' .. shown(args[k])) end
    found[args[k]] = args[k + 1]
  end
  return found, i + n
end

function sq.num(x) return string.format('%.0f', x) end

function sq.parts(entry)
  local ms, seq = string.match(entry, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

function sq.before(a, b)
  local x, y = sq.parts(a)
  local u, v = sq.parts(b)
  return x < u or (x == u and y < v)
end
