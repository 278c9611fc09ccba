-- claim starts an attempt, or says why there is none to start.
--
-- KEYS    1 the record
-- ARGV    1 the order, one string, since every argument costs: owner 1-32, lease in
--         µs 33-48, time to live in ms 49-64, take-over mode 65 (N never, U unmarked,
--         A always), wait 66 (0, 1), a new record from its algorithm on 67-
-- Returns a reply as record describes it. The detail is the record's head, for
--         'recorded' the token, for 'other algorithm' the algorithm, for 'unreadable'
--         the field. Never an answer: GET follows in the same pipeline.
--
-- Idempotent: an owner that asks again finds itself in the record and gets its
-- own claim again, with the same token, its lease armed anew. Only a claim that
-- starts an attempt writes with SET first, and so is refused by a full Redis
-- before any handler runs.

local key, order = KEYS[1], ARGV[1]
local owner = sub(order, 1, 32)

-- Most claims find nothing, or the answer. They need none of the functions below,
-- each of which is made anew in every run. What else is in a record with an answer
-- is checked by the client, which gets all of it.
local text = redis.pcall('GETRANGE', key, 0, 232)
if text == '' then
  local lease = sub(order, 33, 48)
  local head = 'RPR1R0000' .. clock .. '00000001' .. string.format('%016d', tonumber(clock) + tonumber(lease)) .. lease
    .. '0000000000000000' .. clock .. clock .. '0000000000000000' .. owner
  if redis.call('SET', key, head .. sub(order, 67), 'PX', tonumber(sub(order, 49, 64)), 'NX') then
    return clock .. ' ' .. owner .. ' claim: claimed: ' .. head
  end
elseif type(text) == 'string' and sub(text, 1, 5) == 'RPR1C'
  and string.find(order, sub(text, 162, 233), 67, true) == 67 then
  return clock .. ' ' .. owner .. ' claim: recorded: ' .. sub(text, 10, 25)
end

-- include record
local lease, mode, wait = tonumber(sub(order, 33, 48)), sub(order, 65, 65), sub(order, 66, 66)

local function answer(verdict, detail)
  return reply(owner, 'claim', verdict, detail and sub(detail, 1, 161))
end

-- start makes the owner the running one, after a record that is released or
-- taken over.
local function start(was, took_over)
  local token = math.max(now, number(was, 10) + 1)
  local attempt = math.min(tonumber(sub(was, 26, 33)) + 1, 99999999)
  local head = running(owner, token, attempt, now + lease, lease, number(was, 82), now)
  if took_over then -- what an earlier attempt marked stays marked
    head = sub(head, 1, 5) .. sub(was, 6, 6) .. '001' .. sub(head, 10)
  end
  redis.call('SET', key, head .. sub(order, 67), 'PX', tonumber(sub(order, 49, 64)))
  announce(key, was, 'R')
  return answer('claimed', head)
end

-- in_progress notes on somebody else's record that this claim waits, or that
-- its lease reached further than it is long: then the clock was set back. Only
-- advice: a full or read-only Redis does not take it, and must answer all the
-- same.
local function in_progress(raw, lease_end, clamped)
  if clamped then
    local text = decimal(lease_end)
    pcall(save, key, 33, text)
    raw = sub(raw, 1, 33) .. text .. sub(raw, 50)
  end
  if wait == '1' and sub(raw, 7, 7) == '0' then pcall(save, key, 6, '1') end
  return answer('in progress', raw)
end

local raw, bad = read(key)
if bad then return answer('unreadable', bad) end

local state = sub(raw, 5, 5)
if sub(raw, 130, 161) == owner and state ~= 'C' then
  if state ~= 'R' then return answer('ended') end
  local text = decimal(now + lease) .. decimal(lease)
  save(key, 33, text, tonumber(sub(order, 49, 64)))
  return answer('claimed', sub(raw, 1, 33) .. text .. sub(raw, 66))
end

if sub(raw, 162, 169) ~= sub(order, 67, 74) then
  return answer('other algorithm', sub(raw, 162, 169))
end
if sub(raw, 170, 233) ~= sub(order, 75, 138) then return answer('mismatch') end

if state == 'L' then return start(raw) end
if state == 'C' then return answer('recorded', sub(raw, 10, 25)) end
if state == 'R' then
  local lease_end, length = number(raw, 34), number(raw, 50)
  local clamped = lease_end - now > length
  if clamped then lease_end = now + length end
  if now < lease_end then return in_progress(raw, lease_end, clamped) end
end

local allowed = mode == 'A' or (mode == 'U' and sub(raw, 6, 6) == '0')
if not allowed or now < number(raw, 66) then return answer('outcome unknown', raw) end
return start(raw, true)
