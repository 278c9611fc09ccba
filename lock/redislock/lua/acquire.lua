-- acquire takes a lock.
--
-- KEYS    1 the record
-- ARGV    1 owner, 2 lease in µs, 16 digits, 3 time to live in ms, 4 wait (0, 1)
-- Returns A owner token (acquired), H owner µs (held, and how much of the lease is
--         left), E owner (ended), U owner field (unreadable)
--
-- Idempotent: an owner that asks again finds itself in the record and gets its
-- own lock again, with the same token and its lease armed anew, or 'ended' after
-- its release.

local key, owner, lease, ttl, wait = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local clock = time[1] .. string.sub('00000' .. time[2], -6)

local head, tail = 'RPK1H' .. wait .. '0', clock .. lease .. owner
local set = redis.pcall('SET', key, head .. clock .. tail, 'NX', 'PX', ttl)
if set and set.ok then return 'A' .. owner .. clock end
-- There is a record; or a full or read-only Redis refused, and must say all the same
-- who holds the lock. A trace of another owner is what is found most.
local text = redis.pcall('GETRANGE', key, 0, 87)
if type(text) == 'string' and #text == 87 and string.sub(text, 1, 5) == 'RPK1T'
  and string.sub(text, 8, 23) < clock and string.sub(text, 56) ~= owner then
  redis.call('SET', key, head .. clock .. tail, 'PX', ttl)
  return 'A' .. owner .. clock
end

-- include record
local raw, bad = read(key)
if bad then return 'U' .. owner .. bad end
local mine = raw and sub(raw, 56, 87) == owner
if mine and sub(raw, 5, 5) == 'T' then return 'E' .. owner end

local rest = left(raw)
if rest > 0 and not mine then
  -- Only advice.
  if wait == '1' and sub(raw, 6, 6) == '0' then pcall('SETRANGE', key, 5, '1') end
  if sub(raw, 24, 39) > clock then pcall('SETRANGE', key, 23, clock) end
  return 'H' .. owner .. format('%.0f', rest)
end

local token
if mine then
  token = sub(raw, 8, 23)
  if sub(raw, 6, 6) == '1' then head = 'RPK1H10' end
else
  token = after(raw)
end
call('SET', key, head .. token .. tail, 'PX', ttl)
return 'A' .. owner .. token
