-- release ends an attempt in which nothing final happened.
--
-- KEYS    1 the record
-- ARGV    1 owner, 2 retention in ms, 3 time to live of a tombstone in ms,
--         4 void (0, 1), 5 lease in µs, 6 a new record from its algorithm on
-- Returns a reply as record describes it. The detail is the field that is
--         unreadable.
--
-- Idempotent: the owner's own released or completed record answers 'done' and
-- stays as it is. A release that finds nothing leaves a tombstone, which
-- refuses the same owner's claim that is still on its way.

local key, owner, void = KEYS[1], ARGV[1], ARGV[4]
-- include record

local function answer(verdict, detail)
  return reply(owner, 'release', verdict, detail)
end

-- with sets the void flag of a head.
local function with(flag, head)
  return sub(head, 1, 7) .. flag .. sub(head, 9)
end

local raw, bad = read(key)
if bad then return answer('unreadable', bad) end

if not raw then
  local tombstone = ended(running(owner, now, 0, now, tonumber(ARGV[5]), now, now), 'L', '0')
  create(key, with(void, tombstone) .. ARGV[6], ARGV[3])
  return answer('done')
end
local state = sub(raw, 5, 5)
if sub(raw, 130, 161) ~= owner or (state == 'U' and void == '0') then return answer('refused') end
if state ~= 'R' then return answer('done') end

local attempt = tonumber(sub(raw, 26, 33))
if void == '1' then attempt = math.max(attempt - 1, 0) end
local rest = sub(raw, 1, 25) .. string.format('%08d', attempt) .. sub(raw, 34)
if void == '1' and sub(raw, 9, 9) == '1' then
  -- It never started, so what was unknown before it is unknown again.
  save(key, 0, ended(rest, 'U', sub(raw, 6, 6)))
  announce(key, raw, 'U')
  return answer('done')
end
if attempt > 0 then void = '0' end
save(key, 0, with(void, ended(rest, 'L', '0')), ARGV[2])
announce(key, raw, 'L')
return answer('done')
