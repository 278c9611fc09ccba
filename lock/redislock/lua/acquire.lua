-- acquire takes a lock.
--
-- KEYS    1 the record
-- ARGV    1 owner, 2 lease in µs, 3 time to live in ms, 4 wait (0, 1)
-- Returns {verdict, owner, detail}: for 'acquired' the token, for 'held' how many
--         µs of the lease are left, for 'unreadable' the field
--
-- Idempotent: an owner that asks again finds itself in the record and gets its
-- own lock again, with the same token and its lease armed anew, or 'ended' after
-- its release. It writes with SET first, and so is refused by a full Redis.

local key, owner = KEYS[1], ARGV[1]
local lease, ttl, wait = tonumber(ARGV[2]), ARGV[3], ARGV[4]

local function answer(verdict, detail)
  return {verdict, owner, detail or ''}
end

local raw, bad = read(key)
if bad then return answer('unreadable', bad) end
local mine = raw and sub(raw, 56, 87) == owner
if mine and sub(raw, 5, 5) == 'T' then return answer('ended') end

local rest = left(raw)
if rest > 0 and not mine then
  -- Only advice: a full or read-only Redis does not take it, and must answer all
  -- the same.
  if wait == '1' and sub(raw, 6, 6) == '0' then redis.pcall('SETRANGE', key, 5, '1') end
  if rest < number(raw, 24) - now then redis.pcall('SETRANGE', key, 23, decimal(now + rest)) end
  return answer('held', decimal(rest))
end

local token, waiters = now, wait
if raw then token = math.max(now, number(raw, 8) + 1) end
if mine then
  token = number(raw, 8)
  if sub(raw, 6, 6) == '1' then waiters = '1' end
end
redis.call('SET', key, text('H', waiters, '0', token, now + lease, lease, owner), 'PX', ttl)
return answer('acquired', decimal(token))
