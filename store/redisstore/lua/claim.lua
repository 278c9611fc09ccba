-- claim asks to start an attempt.
--
-- KEYS    1 the record
-- ARGV    1 owner, 2 lease in µs, 3 time to live in ms, 4 take-over mode (never,
--         unmarked, always), 5 wait (0, 1), 6 a new record from its algorithm on
-- Returns {verdict, now, sender, detail}. The detail is the record's head, for
--         'other algorithm' the algorithm, for 'unreadable' the field. Never an
--         answer: GET follows in the same pipeline.
--
-- Idempotent: an owner that asks again finds itself in the record and gets its
-- own claim again, with the same token, its lease armed anew. Only a claim that
-- starts an attempt writes with SET first, and so is refused by a full Redis
-- before any handler runs.

local key, owner = KEYS[1], ARGV[1]
local lease, ttl, mode, wait, rest = tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local function answer(verdict, detail)
  return {verdict, now, owner .. ' claim', detail and sub(detail, 1, 161) or ''}
end

-- start makes the owner the running one, after a record that is released or
-- taken over, or after none.
local function start(was, took_over)
  local token, attempt, created = now, 1, now
  if was then
    token = math.max(now, number(was, 10) + 1)
    attempt = math.min(tonumber(sub(was, 26, 33)) + 1, 99999999)
    created = number(was, 82)
  end
  local head = running(owner, token, attempt, now + lease, lease, created, now)
  if took_over then -- what an earlier attempt marked stays marked
    head = sub(head, 1, 5) .. sub(was, 6, 6) .. '001' .. sub(head, 10)
  end
  redis.call('SET', key, head .. rest, 'PX', ttl)
  if was then announce(key, was, 'R') end
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
if not raw then return start(nil) end

local state = sub(raw, 5, 5)
if sub(raw, 130, 161) == owner and state ~= 'C' then
  if state ~= 'R' then return answer('ended') end
  local text = decimal(now + lease) .. decimal(lease)
  save(key, 33, text, ttl)
  return answer('claimed', sub(raw, 1, 33) .. text .. sub(raw, 66))
end

if sub(raw, 162, 169) ~= sub(rest, 1, 8) then
  return answer('other algorithm', sub(raw, 162, 169))
end
if sub(raw, 170, 233) ~= sub(rest, 9, 72) then return answer('mismatch') end

if state == 'L' then return start(raw) end
if state == 'C' then return answer('recorded', raw) end
if state == 'R' then
  local lease_end, length = number(raw, 34), number(raw, 50)
  local clamped = lease_end - now > length
  if clamped then lease_end = now + length end
  if now < lease_end then return in_progress(raw, lease_end, clamped) end
end

local allowed = mode == 'always' or (mode == 'unmarked' and sub(raw, 6, 6) == '0')
if not allowed or now < number(raw, 66) then return answer('outcome unknown', raw) end
return start(raw, true)
