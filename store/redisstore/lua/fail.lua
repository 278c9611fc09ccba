-- fail makes the outcome of an attempt unknown.
--
-- KEYS    1 the record
-- ARGV    1 the order, as complete has it, the time to live being that of an adopted
--         record, 2 marked (0, 1), 3 backoff in µs
-- Returns a reply as record describes it. The detail is the field that is
--         unreadable.
--
-- Idempotent: the owner's own unknown or completed record answers 'done' and
-- stays as it is.

local key, order = KEYS[1], ARGV[1]
-- include record
local owner, token = sub(order, 1, 32), number(order, 33)

local function answer(verdict, detail)
  return reply(owner, 'fail', verdict, detail)
end

-- unknown returns the head that the record gets.
local function unknown(raw)
  local backoff = tonumber(ARGV[3])
  return ended(raw, 'U', ARGV[2] == '1' and '1' or sub(raw, 6, 6), backoff > 0 and now + backoff)
end

local raw, bad = read(key)
if bad then return answer('unreadable', bad) end

if absent(raw, token) then
  if now >= number(order, 49) then return answer('refused') end
  create(key, unknown(adopted(order, token)) .. sub(order, 121), number(order, 65))
  return answer('done')
end
local state = sub(raw, 5, 5)
if sub(raw, 130, 161) ~= owner or state == 'L' then return answer('refused') end
if state ~= 'R' then return answer('done') end

save(key, 0, unknown(raw))
announce(key, raw, 'U')
return answer('done')
