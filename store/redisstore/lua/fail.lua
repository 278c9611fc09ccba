-- fail makes the outcome of an attempt unknown.
--
-- KEYS    1 the record
-- ARGV    1 owner, 2 token, 3 adopt an absent record before this time in µs,
--         4 time to live of an adopted record in ms, 5 attempt, 6 lease in µs,
--         7 started in µs, 8 the record from its algorithm on, 9 marked (0, 1),
--         10 backoff in µs
-- Returns {verdict, now, sender, field that is unreadable}
--
-- Idempotent: the owner's own unknown or completed record answers 'done' and
-- stays as it is.

local key, owner, token = KEYS[1], ARGV[1], tonumber(ARGV[2])

local function answer(verdict, detail)
  return {verdict, now, owner .. ' fail', detail or ''}
end

-- unknown returns the head that the record gets.
local function unknown(raw)
  local backoff = tonumber(ARGV[10])
  return ended(raw, 'U', ARGV[9] == '1' and '1' or sub(raw, 6, 6), backoff > 0 and now + backoff)
end

local raw, bad = read(key)
if bad then return answer('unreadable', bad) end

if absent(raw, token) then
  if now >= tonumber(ARGV[3]) then return answer('refused') end
  local started = tonumber(ARGV[7])
  local adopted = running(owner, token, tonumber(ARGV[5]), now, tonumber(ARGV[6]), started, started)
  create(key, unknown(adopted) .. ARGV[8], ARGV[4])
  return answer('done')
end
local state = sub(raw, 5, 5)
if sub(raw, 130, 161) ~= owner or state == 'L' then return answer('refused') end
if state ~= 'R' then return answer('done') end

save(key, 0, unknown(raw))
announce(key, raw, 'U')
return answer('done')
