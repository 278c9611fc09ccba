-- renew confirms running claims and moves their lease ends, many at once.
--
-- KEYS    the records
-- ARGV    1 the orders, 64 bytes for each record: owner 1-32, lease in µs 33-48, time
--         to live in ms 49-64
-- Returns one string: the time, ' renew:', and for each record a line of its own,
--         owner and verdict, which names the field of one that is unreadable. That does
--         not disturb the others.
--
-- Idempotent: a second run sets the same lease again, counted from later. It
-- acts on the owner's own running record only, so a renewal that arrives late
-- cannot shorten the life of a finished one.

local orders = ARGV[1]
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

local function renew(key, at)
  local owner, lease = sub(orders, at + 1, at + 32), sub(orders, at + 33, at + 48)
  if not running_of(key, owner) then
    local _, bad = read(key)
    return owner .. (bad and ' unreadable: ' .. bad or ' lost')
  end
  if not until_ends[lease] then until_ends[lease] = decimal(now + tonumber(lease)) .. lease end
  save(key, 33, until_ends[lease], sub(orders, at + 49, at + 64))
  return owner .. ' done'
end

local answers = {}
for i, key in ipairs(KEYS) do answers[i] = renew(key, 64 * (i - 1)) end
return clock .. ' renew:\n' .. table.concat(answers, '\n')
