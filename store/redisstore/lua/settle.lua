-- settle decides an unknown outcome from outside, by compare-and-set on the
-- token that the decider saw. No decision shortens the life of a record.
--
-- KEYS    1 the record
-- ARGV    1 owner, drawn for this decision, 2 token, 3 retention in ms, 4 also
--         while the lease runs (0, 1), 5 decision (complete, release, or erase:
--         release a completed record, too), 6 codec and omission, 7 the answer
-- Returns a reply as record describes it. The detail is the field that is
--         unreadable.
--
-- Idempotent: a record that this owner completed, or that is released with that
-- token, answers 'done' and stays as it is.

local key, owner, decision = KEYS[1], ARGV[1], ARGV[5]
-- include record

local function answer(verdict, detail)
  return reply(owner, 'settle', verdict, detail)
end

-- settled recognises an earlier execution of the same decision.
local function settled(raw, state)
  if decision == 'complete' then return state == 'C' and sub(raw, 130, 161) == owner end
  return state == 'L'
end

-- open reports whether there is something to decide.
local function open(raw, state)
  return state == 'U' or (state == 'R' and (ARGV[4] == '1' or now >= number(raw, 34)))
    or (state == 'C' and decision == 'erase')
end

-- life returns the time to live that the record gets: the retention, or what
-- it had left if that is more; nil, which keeps it, if it has no end.
local function life()
  local left = redis.call('PTTL', key)
  if left >= 0 then return math.max(left, tonumber(ARGV[3])) end
end

-- erased returns a record that is released, without the answer.
local function erased(raw)
  local last = 341 + tonumber(sub(raw, 339, 341))
  return ended(raw, 'L', '0') .. sub(raw, 162, 233) .. '        0' .. sub(raw, 243, last)
end

-- completed returns the record with the answer, as the decider's own.
local function completed(raw)
  local head = sub(ended(raw, 'C', sub(raw, 6, 6)), 1, 129) .. owner
  return head .. sub(raw, 162, 233) .. ARGV[6] .. sub(raw, 243) .. ARGV[7]
end

local raw, bad = read(key)
if bad then return answer('unreadable', bad) end
if not raw or number(raw, 10) ~= tonumber(ARGV[2]) then return answer('refused') end

local state = sub(raw, 5, 5)
if settled(raw, state) then return answer('done') end
if not open(raw, state) then return answer('refused') end

if decision == 'complete' then
  rewrite(key, completed(raw), life())
  announce(key, raw, 'C')
  return answer('done')
end
if state == 'C' then
  rewrite(key, erased(raw), life())
else
  save(key, 0, ended(raw, 'L', '0'), life())
end
announce(key, raw, 'L')
return answer('done')
