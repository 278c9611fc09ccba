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

local fresh = record('H' .. wait .. '0', now, now + lease, lease, owner)
local set = pcall('SET', key, fresh, 'NX', 'PX', ttl)
if set and set.ok then return 'A' .. owner .. sub(fresh, 8, 23) end
-- A full or read-only Redis refused, and must say all the same who holds the lock.

local raw, bad = read(key)
if bad then return 'U' .. owner .. bad end
local mine = raw and sub(raw, 56, 87) == owner
if mine and sub(raw, 5, 5) == 'T' then return 'E' .. owner end

local rest = left(raw)
if rest > 0 and not mine then
  -- Only advice.
  if wait == '1' and sub(raw, 6, 6) == '0' then pcall('SETRANGE', key, 5, '1') end
  if rest < number(raw, 24) - now then pcall('SETRANGE', key, 23, format('%016.0f', now + rest)) end
  return 'H' .. owner .. format('%.0f', rest)
end

local token = now
if mine then
  token = number(raw, 8)
  if sub(raw, 6, 6) == '1' then wait = '1' end
elseif raw then
  token = math.max(now, number(raw, 8) + 1)
end
fresh = record('H' .. wait .. '0', token, now + lease, lease, owner)
call('SET', key, fresh, 'PX', ttl)
return 'A' .. owner .. sub(fresh, 8, 23)
