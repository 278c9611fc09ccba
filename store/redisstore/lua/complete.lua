-- complete makes an answer the recorded one.
--
-- KEYS    1 the record
-- ARGV    1 the order, one string: owner 1-32, token 33-48, adopt an absent record
--         before this time in µs 49-64, retention in ms 65-80, attempt 81-88, lease
--         in µs 89-104, started in µs 105-120; 2 the completed record, but for its
--         head, of which only the owner is right
-- Returns a reply as record describes it. The detail is the field that is
--         unreadable.
--
-- Idempotent: the owner's own completed record answers 'done' and stays as it
-- is, but for the write that WAIT needs. Answers above some KiB come through complete_large instead.

local key, order, record = KEYS[1], ARGV[1], ARGV[2]
local find = string.find
local owner, ttl = sub(order, 1, 32), tonumber(sub(order, 65, 80))

-- Nearly always the record is the owner's running one with what it was claimed
-- with, and then it is sound. A full server takes SET after PEXPIRE, see expire.
-- SETRANGE writes over the head only: the whole put together would be one more large
-- string.
local text = redis.pcall('GETRANGE', key, 0, 595)
if type(text) == 'string' and sub(text, 1, 5) == 'RPR1R'
  and find(record, sub(text, 130, 233), 130, true) == 130 and find(record, sub(text, 243), 243, true) == 243 then
  local _, stop = find(text, '^[01][01][01][01][0-8]%d*', 6)
  if stop and stop >= 129 then
    if redis.pcall('SET', key, record, 'PX', ttl).err then
      redis.call('PEXPIRE', key, ttl)
      redis.call('SET', key, record, 'PX', ttl)
    end
    redis.call('SETRANGE', key, 0, 'RPR1C' .. sub(text, 6, 6) .. '000' .. sub(text, 10, 65) .. '0000000000000000'
      .. sub(text, 82, 113) .. clock)
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
  create(key, ended(adopted(order, token), 'C', '0') .. sub(record, 162), ttl)
  return answer('done')
end
local state = sub(raw, 5, 5)
if sub(raw, 130, 161) ~= owner or state == 'L' then return answer('refused') end
if state == 'C' then
  touch(key)
  return answer('done')
end

-- Written anew, as in rewrite, with the codec and the omission of the answer.
create(key, ended(raw, 'C', sub(raw, 6, 6)) .. sub(raw, 162, 233) .. sub(record, 234, 242) .. sub(raw, 243)
  .. sub(record, 342 + tonumber(sub(record, 339, 341))), ttl)
announce(key, raw, 'C')
return answer('done')
