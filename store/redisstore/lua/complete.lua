-- complete makes an answer the recorded one.
--
-- KEYS    1 the record
-- ARGV    1 the order, one string: owner 1-32, token 33-48, adopt an absent record
--         before this time in µs 49-64, retention in ms 65-80, attempt 81-88, lease
--         in µs 89-104, started in µs 105-120, the record from its algorithm to its
--         operation 121-; 2 the answer
-- Returns a reply as record describes it. The detail is the field that is
--         unreadable.
--
-- Idempotent: the owner's own completed record answers 'done' and stays as it
-- is, but for the write that WAIT needs. Answers above some KiB come through complete_large instead.

local key, order = KEYS[1], ARGV[1]
local owner, ttl = sub(order, 1, 32), tonumber(sub(order, 65, 80))

-- Nearly always the record is the owner's running one with what it was claimed
-- with, and then it is sound. PEXPIRE comes first, as in save.
local text = redis.pcall('GETRANGE', key, 0, 595)
if type(text) == 'string' and sub(text, 1, 5) == 'RPR1R' and sub(text, 130, 161) == owner
  and sub(text, 162, 233) == sub(order, 121, 192) and sub(text, 243) == sub(order, 202) then
  local _, stop = string.find(text, '^[01][01][01][01][0-8]%d*', 6)
  if stop and stop >= 129 then
    redis.call('PEXPIRE', key, ttl)
    redis.call('SET', key, 'RPR1C' .. sub(text, 6, 6) .. '000' .. sub(text, 10, 65) .. '0000000000000000'
      .. sub(text, 82, 113) .. clock .. owner .. sub(order, 121) .. ARGV[2], 'PX', ttl)
    if sub(text, 7, 7) == '1' then redis.pcall('PUBLISH', key, 'C') end
    return clock .. ' ' .. owner .. ' complete: done: '
  end
end

-- include record
local token = number(order, 33)

local function answer(verdict, detail)
  return reply(owner, 'complete', verdict, detail)
end

local raw, bad = read(key)
if bad then return answer('unreadable', bad) end

if absent(raw, token) then
  if now >= number(order, 49) then return answer('refused') end
  create(key, ended(adopted(order, token), 'C', '0') .. sub(order, 121) .. ARGV[2], ttl)
  return answer('done')
end
local state = sub(raw, 5, 5)
if sub(raw, 130, 161) ~= owner or state == 'L' then return answer('refused') end
if state == 'C' then
  touch(key)
  return answer('done')
end

-- Written anew, as in rewrite, with the codec and the omission of the answer.
create(key, ended(raw, 'C', sub(raw, 6, 6)) .. sub(raw, 162, 233) .. sub(order, 193, 201) .. sub(raw, 243) .. ARGV[2], ttl)
announce(key, raw, 'C')
return answer('done')
