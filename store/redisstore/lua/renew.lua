-- renew confirms running claims and moves their lease ends, many at once.
--
-- KEYS    the records
-- ARGV    three for each record: owner, lease in µs, time to live in ms
-- Returns for each record {verdict, now, sender, field that is unreadable}. One
--         record that cannot be read does not disturb the others.
--
-- Idempotent: a second run sets the same lease again, counted from later. It
-- acts on the owner's own running record only, so a renewal that arrives late
-- cannot shorten the life of a finished one.

local function renew(key, owner, lease, ttl)
  local raw, bad = read(key)
  if bad then return {'unreadable', now, owner .. ' renew', bad} end
  if not raw or sub(raw, 5, 5) ~= 'R' or sub(raw, 130, 161) ~= owner or now >= number(raw, 34) then
    return {'lost', now, owner .. ' renew', ''}
  end
  save(key, 33, decimal(now + lease) .. decimal(lease), ttl)
  return {'done', now, owner .. ' renew', ''}
end

local answers = {}
for i, key in ipairs(KEYS) do
  answers[i] = renew(key, ARGV[3 * i - 2], tonumber(ARGV[3 * i - 1]), ARGV[3 * i])
end
return answers
