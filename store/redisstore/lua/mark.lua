-- mark records that the owner is about to have an effect.
--
-- KEYS    1 the record
-- ARGV    1 owner
-- Returns {verdict, now, sender, field that is unreadable}
--
-- Idempotent: a mark that is set stays set. It is refused once the lease has
-- lapsed, to the owner too.

local key, owner = KEYS[1], ARGV[1]
local raw, bad = read(key)
if bad then return {'unreadable', now, owner .. ' mark', bad} end
if not raw or sub(raw, 5, 5) ~= 'R' or sub(raw, 130, 161) ~= owner or now >= number(raw, 34) then
  return {'lost', now, owner .. ' mark', ''}
end
save(key, 5, '1')
return {'done', now, owner .. ' mark', ''}
