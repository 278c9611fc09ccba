-- renew confirms running claims and moves their lease ends, many at once.
--
-- KEYS    the records
-- ARGV    one for each record: owner 1-32, lease in µs 33-48, time to live in ms
--         49-64
-- Returns for each record a reply as record describes it. The detail is the field
--         that is unreadable. One record that cannot be read does not disturb the
--         others.
--
-- Idempotent: a second run sets the same lease again, counted from later. It
-- acts on the owner's own running record only, so a renewal that arrives late
-- cannot shorten the life of a finished one.

-- include record
-- until_ends has the lease's end and length by the length: most are the same.
local until_ends = {}

local function renew(key, order)
  local raw, bad = read(key)
  local owner, lease = sub(order, 1, 32), sub(order, 33, 48)
  if bad then return reply(owner, 'renew', 'unreadable', bad) end
  if not raw or sub(raw, 5, 5) ~= 'R' or sub(raw, 130, 161) ~= owner or sub(raw, 34, 49) <= clock then
    return reply(owner, 'renew', 'lost')
  end
  if not until_ends[lease] then until_ends[lease] = decimal(now + tonumber(lease)) .. lease end
  save(key, 33, until_ends[lease], sub(order, 49, 64))
  return reply(owner, 'renew', 'done')
end

local answers = {}
for i, key in ipairs(KEYS) do answers[i] = renew(key, ARGV[i]) end
return answers
