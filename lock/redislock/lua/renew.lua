-- renew gives held locks a whole lease from now, many at once.
--
-- KEYS    the records
-- ARGV    three for each record: owner, lease in µs, 16 digits, time to live
--         in ms
-- Returns for each record D owner (done), L owner (lost), or U owner field
--         (unreadable). One record that cannot be read does not disturb the others.
--
-- Idempotent: a second run sets the same lease again, counted from later. It acts
-- on a lock that the owner holds only, so one that arrives late revives nothing. A
-- full Redis refuses the writes of a script only up to its first one, and never
-- refuses PEXPIREAT: so that comes first.

local time = redis.call('TIME')
local clock = time[1] .. string.sub('00000' .. time[2], -6)
if #clock < 16 then clock = string.sub('0000000000' .. clock, -16) end -- a clock before 2001
-- include record
local function renew(key, owner, lease, ttl)
  local raw, bad = read(key)
  if bad then return 'U' .. owner .. bad end
  if left(raw) == 0 or sub(raw, 56, 87) ~= owner then return 'L' .. owner end
  -- Counted from this reading of the clock, as the lease is: see acquire.
  call('PEXPIREAT', key, tonumber(sub(clock, 1, 13)) + ttl)
  call('SETRANGE', key, 23, clock .. lease)
  return 'D' .. owner
end

local answers = {}
for i, key in ipairs(KEYS) do
  answers[i] = renew(key, ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i])
end
return answers
