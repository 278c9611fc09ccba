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

-- running_of reports, cheaply, the owner's sound running record. What stands after
-- its head is not looked at: a renewal leaves it alone.
local function running_of(key, owner)
  local head = redis.pcall('GETRANGE', key, 0, 160)
  if type(head) ~= 'string' or sub(head, 130) ~= owner or sub(head, 34, 49) <= clock then return false end
  local _, stop = find(head, '^RPR1R[01][01][01][01][0-8]%d*')
  return stop and stop >= 129
end

local function renew(key, order)
  local owner, lease = sub(order, 1, 32), sub(order, 33, 48)
  if not running_of(key, owner) then
    local _, bad = read(key)
    return reply(owner, 'renew', bad and 'unreadable' or 'lost', bad)
  end
  if not until_ends[lease] then until_ends[lease] = decimal(now + tonumber(lease)) .. lease end
  save(key, 33, until_ends[lease], sub(order, 49, 64))
  return reply(owner, 'renew', 'done')
end

local answers = {}
for i, key in ipairs(KEYS) do answers[i] = renew(key, ARGV[i]) end
return answers
