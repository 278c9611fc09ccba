-- complete makes an answer the recorded one.
--
-- KEYS    1 the record
-- ARGV    1 owner, 2 token, 3 adopt an absent record before this time in µs,
--         4 retention in ms, 5 attempt, 6 lease in µs, 7 started in µs, 8 the
--         record from its algorithm to its operation, 9 the answer
-- Returns {verdict, now, sender, field that is unreadable}
--
-- Idempotent: the owner's own completed record answers 'done' and stays as it
-- is, but for the write that WAIT needs. Answers above some KiB come through complete_large instead.

local key, owner, token, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[4]

local function answer(verdict, detail)
  return {verdict, now, owner .. ' complete', detail or ''}
end

local raw, bad = read(key)
if bad then return answer('unreadable', bad) end

if absent(raw, token) then
  if now >= tonumber(ARGV[3]) then return answer('refused') end
  local started = tonumber(ARGV[7])
  local adopted = running(owner, token, tonumber(ARGV[5]), now, tonumber(ARGV[6]), started, started)
  create(key, ended(adopted, 'C', '0') .. ARGV[8] .. ARGV[9], ttl)
  return answer('done')
end
local state = sub(raw, 5, 5)
if sub(raw, 130, 161) ~= owner or state == 'L' then return answer('refused') end
if state == 'C' then
  touch(key)
  return answer('done')
end

-- Written anew, as in rewrite, with the codec and the omission of the answer.
create(key, ended(raw, 'C', sub(raw, 6, 6)) .. sub(raw, 162, 233) .. sub(ARGV[8], 73, 81) .. sub(raw, 243) .. ARGV[9], ttl)
announce(key, raw, 'C')
return answer('done')
