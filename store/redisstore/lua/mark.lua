-- mark records that the owner is about to have an effect.
--
-- KEYS    1 the record
-- ARGV    1 owner
-- Returns a reply as record describes it. The detail is the field that is
--         unreadable.
--
-- Idempotent: a mark that is set stays set. It is refused once the lease has
-- lapsed, to the owner too.

local key, owner = KEYS[1], ARGV[1]
-- include record
local raw, bad = read(key)
if bad then return reply(owner, 'mark', 'unreadable', bad) end
if not raw or sub(raw, 5, 5) ~= 'R' or sub(raw, 130, 161) ~= owner or now >= number(raw, 34) then
  return reply(owner, 'mark', 'lost')
end
save(key, 5, '1')
return reply(owner, 'mark', 'done')
