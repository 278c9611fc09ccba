-- release ends a hold, or makes sure that a claim that is still on its way begins
-- none.
--
-- KEYS    1 the record
-- ARGV    1 owner, 2 time to live of the trace in ms
-- Returns {verdict, owner, field that is unreadable}: 'done' if the owner held the
--         lock up to its release, else 'lost'
--
-- Idempotent: a second run finds the trace of the first and answers the same. The
-- trace keeps the token, so that the next one is larger, and the owner, so that
-- its late claim is recognised. Another owner's lock stays as it is.

local key, owner, ttl = KEYS[1], ARGV[1], ARGV[2]

local function answer(verdict, detail)
  return {verdict, owner, detail or ''}
end

local raw, bad = read(key)
if bad then return answer('unreadable', bad) end
local mine, rest = raw and sub(raw, 56, 87) == owner, left(raw)
if rest > 0 and not mine then return answer('lost') end
if mine and sub(raw, 5, 5) == 'T' then
  return answer(sub(raw, 7, 7) == '1' and 'done' or 'lost')
end

local held = mine and rest > 0
local token = now
if raw then token = math.max(now, number(raw, 8)) end
save(key, text('T', '0', held and '1' or '0', token, now, 0, owner), ttl)
-- What is decided stays decided when the user may not publish.
if raw and sub(raw, 6, 6) == '1' then redis.pcall('PUBLISH', key, '') end
return answer(held and 'done' or 'lost')
