-- acquire takes a lock.
--
-- KEYS    1 the record
-- ARGV    1 owner, 2 lease in µs, 16 digits, 3 time to live in ms, 4 wait (0, 1)
-- Returns the record (acquired), H owner µs (held, and how much of the lease is
--         left), E owner (ended), U owner field (unreadable)
--
-- Idempotent: an owner that asks again finds itself in the record and gets its
-- own lock again, with the same token and its lease armed anew, or 'ended' after
-- its release.

local key, owner, lease, ttl, wait = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local micros = time[2]
if #micros < 6 then micros = string.sub('00000' .. micros, -6) end
local clock = time[1] .. micros
if #clock < 16 then clock = string.sub('0000000000' .. clock, -16) end -- a clock before 2001
-- The time to live counts from this reading, as the lease does, however long the
-- server stands still before it writes: release tells by it that a lease runs.
-- Most calls find nothing, or the trace of another owner. Every string that they
-- make costs about as much as a command, so they make few.
local text, record = redis.pcall('GET', key), nil
if not text then
  record = 'RPK2H' .. wait .. '0' .. clock .. clock .. lease .. owner
    .. '00000000000000000000000000000000'
elseif type(text) == 'string' and #text == 119 then
  local _, digits = string.find(text, '^RPK2T[01]1[0-8]%d*')
  if digits and digits >= 55 and string.sub(text, 8, 23) < clock
    and not string.find(text, string.sub(owner, 17), 72, true) then
    record = 'RPK2H' .. wait .. '0' .. clock .. clock .. lease .. owner
      .. string.sub(text, 72, 103)
  end
end
if record then
  redis.call('SET', key, record, 'PXAT', tonumber(string.sub(clock, 1, 13)) + ttl)
  return record
end

-- include record
local raw, bad = read(key)
if bad then return 'U' .. owner .. bad end
local mine = raw and sub(raw, 56, 87) == owner
if mine and sub(raw, 5, 5) == 'T' or released(raw, owner) then return 'E' .. owner end

local rest = left(raw)
if rest > 0 and not mine then
  -- Only advice.
  if wait == '1' and sub(raw, 6, 6) == '0' then pcall('SETRANGE', key, 5, '1') end
  if sub(raw, 24, 39) > clock then pcall('SETRANGE', key, 23, clock) end
  return 'H' .. owner .. format('%.0f', rest)
end

local token, waiters = nil, wait
if mine then
  token = sub(raw, 8, 23)
  if sub(raw, 6, 6) == '1' then waiters = '1' end
else
  token = after(raw)
end
record = 'RPK2H' .. waiters .. '0' .. token .. clock .. lease .. owner .. former(raw)
call('SET', key, record, 'PXAT', tonumber(string.sub(clock, 1, 13)) + ttl)
return record
