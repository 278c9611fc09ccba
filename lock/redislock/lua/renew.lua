-- renew gives held locks a whole lease from now, many at once.
--
-- KEYS    the records
-- ARGV    three for each record: owner, lease in µs, time to live in ms
-- Returns for each record {verdict, owner, field that is unreadable}. One record
--         that cannot be read does not disturb the others.
--
-- Idempotent: a second run sets the same lease again, counted from later. It acts
-- on a lock that the owner holds only, so one that arrives late revives nothing.

local function renew(key, owner, lease, ttl)
  local raw, bad = read(key)
  if bad then return {'unreadable', owner, bad} end
  if left(raw) == 0 or sub(raw, 56, 87) ~= owner then return {'lost', owner, ''} end
  redis.call('PEXPIRE', key, ttl)
  redis.call('SETRANGE', key, 23, decimal(now + lease) .. decimal(lease))
  return {'done', owner, ''}
end

local answers = {}
for i, key in ipairs(KEYS) do
  answers[i] = renew(key, ARGV[3 * i - 2], tonumber(ARGV[3 * i - 1]), ARGV[3 * i])
end
return answers
