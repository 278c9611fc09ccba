-- What all scripts that handle a lock have in common. It stands before the text
-- of each, because Redis gives a script no way to load another.
--
-- A record is one string of fixed-width fields. Where they lie, counted from 1:
-- format 1-4, state 5 (H held, T trace of a hold that ended), waiters 6, held
-- until its release 7, token 8-23, lease end 24-39, lease 40-55, owner 56-87.
-- Numbers are decimal, times in µs.
local sub, find = string.sub, string.find
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

-- decimal writes a number into a field. Numbers are never concatenated: Redis
-- would write the microseconds of a clock as 1.7953553421438e+15.
local function decimal(n)
  return string.format('%016.0f', n)
end

local function number(raw, from)
  return tonumber(sub(raw, from, from + 15))
end

-- read returns the record under key, nil when there is none, or nil and what
-- makes it unreadable. It never reads more than a record.
local function read(key)
  local raw = redis.pcall('GETRANGE', key, 0, 87)
  if type(raw) == 'table' then
    if find(raw.err, 'WRONGTYPE', 1, true) then return nil, 'type' end
    redis.call('GETRANGE', key, 0, 87) -- raises what pcall caught
  end
  if raw == '' and redis.call('EXISTS', key) == 0 then return nil end
  if find(raw, '^RPK[2-9]') then return nil, 'newer format' end
  if sub(raw, 1, 4) ~= 'RPK1' then return nil, 'format' end
  if #raw ~= 87 then return nil, 'length' end
  local _, stop = find(raw, '^RPK1[HT][01][01]%d*', 1)
  if not stop or stop < 55 then return nil, 'number' end
  _, stop = find(raw, '^%x*', 56)
  if stop < 87 then return nil, 'owner' end
  return raw
end

-- left returns how much of the lease is left in µs; 0 if nobody holds the lock.
-- More than its length means that the clock was set back.
local function left(raw)
  if not raw or sub(raw, 5, 5) ~= 'H' then return 0 end
  local rest = number(raw, 24) - now
  if rest > number(raw, 40) then rest = number(raw, 40) end
  return math.max(rest, 0)
end

-- text returns a whole record.
local function text(state, waiters, held, token, lease_end, lease, owner)
  return 'RPK1' .. state .. waiters .. held .. decimal(token) .. decimal(lease_end) .. decimal(lease) .. owner
end

-- save replaces a record and sets its time to live in ms. A full Redis refuses
-- the writes of a script only up to its first one, and never refuses PEXPIRE: so
-- that comes first. On an absent key it does nothing and still counts.
local function save(key, raw, ttl)
  redis.call('PEXPIRE', key, ttl)
  redis.call('SET', key, raw, 'PX', ttl)
end
