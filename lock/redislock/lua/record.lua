-- What all scripts that handle a lock have in common. It takes the place of the line
-- "-- include record" in each, because Redis gives a script no way to load another:
-- after the path that most calls take, which shall not pay for what it does not use.
-- By then clock is the time in µs, 16 digits.
--
-- A record is one string of fixed-width fields. Where they lie, counted from 1:
-- format 1-4, state 5 (H held, T trace of a hold that ended), waiters 6, held
-- until its release 7, token 8-23, when the lease was confirmed last 24-39, lease
-- 40-55, owner 56-87, former owners 88-119. Numbers are decimal, times in µs.
--
-- Former owners are those who held the lock up to their release, the last two, the
-- latest first, each by the second half of its name: so the owner of a trace, and who
-- was before it, are one piece of the next record. A release that is sent again
-- because its reply got lost finds itself there when others have held the lock since.
--
-- The format before, RPK1, had no former owners and never was in a release: it is
-- not read, and gone one lease and one trace after the last process that wrote it.
--
-- An answer is one string: a letter for the verdict, the owner that asked, and a
-- detail.
local sub, find, format, call, pcall = string.sub, string.find, string.format, redis.call, redis.pcall

local function number(raw, from)
  return tonumber(sub(raw, from, from + 15))
end

-- why names what is wrong with a record, or nothing. A token stays below what Lua
-- counts exactly.
local function why(raw)
  local _, digits = find(raw, '^RPK2[HT][01][01][0-8]%d*')
  if digits and digits >= 55 and #raw == 119 then return nil end
  if find(raw, '^RPK[3-9]') then return 'newer format' end
  if sub(raw, 1, 4) ~= 'RPK2' then return 'format' end
  if #raw ~= 119 then return 'length' end
  return 'number'
end

-- read returns the record under key, nil when there is none, or nil and what
-- makes it unreadable. It never reads more than a record.
local function read(key)
  local raw = pcall('GETRANGE', key, 0, 119)
  if type(raw) == 'table' then
    if find(raw.err, 'WRONGTYPE', 1, true) then return nil, 'type' end
    call('GETRANGE', key, 0, 119) -- raises what pcall caught
  end
  if raw == '' and call('EXISTS', key) == 0 then return nil end
  local bad = why(raw)
  if bad then return nil, bad end
  return raw
end

-- former returns who held the lock up to their release, for the record that takes
-- another's place.
local function former(raw)
  if not raw then return string.rep('0', 32) end
  if sub(raw, 5, 5) ~= 'T' or sub(raw, 7, 7) ~= '1' then return sub(raw, 88, 119) end
  return sub(raw, 72, 103)
end

-- released reports an owner who held the lock up to its release, before others did.
local function released(raw, owner)
  return raw and find(raw, sub(owner, 17), 88, true) ~= nil
end

-- left returns how much of the lease is left in µs; 0 if nobody holds the lock.
-- More than its length means that the clock was set back.
local function left(raw)
  if not raw or sub(raw, 5, 5) ~= 'H' then return 0 end
  local lease = number(raw, 40)
  return math.max(math.min(number(raw, 24) + lease - clock, lease), 0)
end

-- after returns the next token after a record's. Numbers are never concatenated:
-- Redis would write the microseconds of a clock as 1.7953553421438e+15.
local function after(raw)
  if not raw or sub(raw, 8, 23) < clock then return clock end
  return format('%016.0f', number(raw, 8) + 1)
end
