-- release ends a hold, or makes sure that a claim that is still on its way begins
-- none.
--
-- KEYS    1 the record
-- ARGV    1 owner, 2 time to live of the trace in ms
-- Returns D owner (done: the owner held the lock up to its release), L owner (lost:
--         it did not), or U owner field (unreadable)
--
-- Idempotent: a second run finds the trace of the first, or itself among the former
-- owners, and answers the same. The trace keeps the token, so that the next one is
-- larger, and the owner, so that its late claim is recognised. Another owner's lock
-- stays as it is.

local key, owner, ttl = KEYS[1], ARGV[1], ARGV[2]
-- A full Redis refuses the writes of a script only up to its first one, and never
-- refuses PEXPIRE, also of an absent key: so that comes first, here and below. A
-- held lock's time to live is its lease and that of the trace, so more than the
-- trace's says that the lease has not lapsed, and TIME, which costs more, is not
-- asked. LT makes that one command; Redis 6 does not know it and goes the long way.
local text = redis.pcall('GET', key)
if type(text) == 'string' and #text == 119 and string.sub(text, 56, 87) == owner then
  local _, digits = string.find(text, '^RPK2H00[0-8]%d*')
  if digits and digits >= 55 and redis.pcall('PEXPIRE', key, ttl, 'LT') == 1 then
    redis.call('SETRANGE', key, 4, 'T01')
    return 'D' .. owner
  end
end

local time = redis.call('TIME')
local clock = time[1] .. string.sub('00000' .. time[2], -6)
if #clock < 16 then clock = string.sub('0000000000' .. clock, -16) end -- a clock before 2001
-- include record
local raw, bad = read(key)
if bad then return 'U' .. owner .. bad end
local mine, rest = raw and sub(raw, 56, 87) == owner, left(raw)
if released(raw, owner) then return 'D' .. owner end
if rest > 0 and not mine then return 'L' .. owner end

local held, waiters = mine and rest > 0, raw and sub(raw, 6, 6) == '1'
if mine and sub(raw, 5, 5) == 'T' then
  held, waiters = sub(raw, 7, 7) == '1', false
elseif held then
  call('PEXPIRE', key, ttl)
  call('SETRANGE', key, 4, 'T01')
else
  local token = clock
  if raw and sub(raw, 8, 23) > clock then token = sub(raw, 8, 23) end
  call('PEXPIRE', key, ttl)
  call('SET', key, 'RPK2T00' .. token .. clock .. '0000000000000000' .. owner .. former(raw), 'PX', ttl)
end
-- What is decided stays decided when the user may not publish.
if waiters then pcall('PUBLISH', key, '') end
return (held and 'D' or 'L') .. owner
