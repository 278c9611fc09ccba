-- settle decides an unknown outcome from outside, by compare-and-set on the
-- token that the decider saw.
--
-- KEYS    1 the record
-- ARGV    1 owner, drawn for this decision, 2 token, 3 retention in ms, 4 also
--         while the lease runs (0, 1), 5 decision (complete, release), 6 codec
--         and omission, 7 the answer
-- Returns {verdict, now, owner, field that is unreadable}
--
-- Idempotent: a record that this owner completed, or that is released with that
-- token, answers 'done' and stays as it is.

local key, owner, ttl = KEYS[1], ARGV[1], ARGV[3]
local completes = ARGV[5] == 'complete'

local function answer(verdict, detail)
  return {verdict, now, owner, detail or ''}
end

-- settled recognises an earlier execution of the same decision.
local function settled(raw, state)
  if completes then return state == 'C' and sub(raw, 130, 161) == owner end
  return state == 'L'
end

local raw, bad = read(key)
if bad then return answer('unreadable', bad) end
if not raw or number(raw, 10) ~= tonumber(ARGV[2]) then return answer('refused') end

local state = sub(raw, 5, 5)
if settled(raw, state) then return answer('done') end
local open = state == 'U' or (state == 'R' and (ARGV[4] == '1' or now >= number(raw, 34)))
if not open then return answer('refused') end

if not completes then
  save(key, 0, ended(raw, 'L', '0'), ttl)
  announce(key, raw, 'L')
  return answer('done')
end
save(key, 0, sub(ended(raw, 'C', sub(raw, 6, 6)), 1, 129) .. owner, ttl)
redis.call('SETRANGE', key, 233, ARGV[6]) -- codec, omission
redis.call('SETRANGE', key, #raw, ARGV[7])
announce(key, raw, 'C')
return answer('done')
