-- What all scripts that handle a record have in common. It takes the place of the line
-- "-- include record" in each, because Redis gives a script no way to load another:
-- after the path that most calls take, which shall not pay for what it does not use.
--
-- A record is handled as the string that it is. Where its fields lie, counted
-- from 1: format 1-4, state 5, marked 6, waiters 7, void 8, took over 9, token
-- 10-25, attempt 26-33, lease end 34-49, lease 50-65, not before 66-81, created
-- 82-97, started 98-113, finished 114-129, owner 130-161 (the end of the head),
-- algorithm 162-169, fingerprint 170-233, codec 234-241, omission 242, scope
-- 243-274, key digest 275-338, length of the operation 339-341, operation 342-.
--
-- A reply is one string, "time owner event: verdict: detail": the time in µs, 16
-- digits, and the owner and event that it is a reply to. Where a connection has got out
-- of step, or something in between mixes up replies, the client sees by them that a
-- reply is none to what it asked.
local find, now = string.find, tonumber(clock)

local function reply(owner, event, verdict, detail)
  return clock .. ' ' .. owner .. ' ' .. event .. ': ' .. verdict .. ': ' .. (detail or '')
end

-- decimal writes a number into a field. Numbers are never concatenated: Redis
-- would write the microseconds of a clock as 1.7953553421438e+15.
local function decimal(n)
  return string.format('%016d', n)
end

local function number(raw, from)
  return tonumber(sub(raw, from, from + 15))
end

-- why names the first field of a head that is wrong.
local function why(raw)
  if find(raw, '^RPR[2-9]') then return 'newer format' end
  if sub(raw, 1, 4) ~= 'RPR1' then return 'format' end
  if #raw < 341 then return 'length' end
  if not find(raw, '^[RCUL]', 5) then return 'state' end
  if not find(raw, '^[01][01][01][01]', 6) then return 'flags' end
  return 'number'
end

-- check returns the name of the first field that makes raw no record of key.
-- What no script looks at is left to the client: the codec, the answer, capital
-- letters among hex digits. A run of digits may end beyond its field, in the
-- next one, but not before. A token stays below what Lua counts exactly.
local function check(key, raw)
  local _, stop = find(raw, '^RPR1[RCUL][01][01][01][01][0-8]%d*')
  if not stop then return why(raw) end
  if #raw < 341 then return 'length' end
  if stop < 129 then return 'number' end
  _, stop = find(raw, '^%x*', 130)
  if stop < 161 then return 'owner' end
  if not find(sub(raw, 162, 169), '^[!-~]+ *$') then return 'algorithm' end
  _, stop = find(raw, '^%x*', 170)
  if stop < 233 then return 'fingerprint' end
  _, stop = find(raw, '^%x*', 243)
  if stop < 274 then return 'scope' end
  if sub(raw, 275, 338) ~= sub(key, -65, -2) then return 'key digest' end
  if not find(raw, '^%d%d%d', 339) then return 'operation length' end
  local length = tonumber(sub(raw, 339, 341))
  if length < 1 or length > 255 then return 'operation length' end
  if #raw < 341 + length then return 'length' end
  if #raw > 341 + length and sub(raw, 5, 5) ~= 'C' then return 'length' end
end

-- read returns the record under key, nil when there is none, or nil and the
-- name of the field that makes it unreadable. It reads as far as the longest
-- operation name, so never a whole answer.
local function read(key)
  local raw = redis.pcall('GETRANGE', key, 0, 595)
  if type(raw) == 'table' then
    if find(raw.err, 'WRONGTYPE', 1, true) then return nil, 'type' end
    redis.call('GETRANGE', key, 0, 595) -- raises what pcall caught
  end
  if raw == '' and redis.call('EXISTS', key) == 0 then return nil end
  local bad = check(key, raw)
  if bad then return nil, bad end
  return raw
end

-- expire sets the time to live in ms of a record that is there; nil keeps the
-- present one. A full Redis refuses the writes of a script only up to its first
-- one, and never refuses PEXPIRE: so this comes before any other write.
local function expire(key, ttl)
  ttl = tonumber(ttl or redis.call('PTTL', key))
  if ttl < 0 then
    redis.call('PERSIST', key) -- it has no end: keep that, too
  else
    redis.call('PEXPIRE', key, math.max(ttl, 1))
  end
end

-- save writes text into a record that is there, from the byte at (counted from
-- 0) on, and sets its time to live.
local function save(key, at, text, ttl)
  expire(key, ttl)
  redis.call('SETRANGE', key, at, text)
end

-- rewrite writes a record that is there anew and sets its time to live. It is for
-- what makes a record longer or shorter: a string that SETRANGE lengthens takes
-- twice the memory that it needs, and no command makes one shorter in place.
local function rewrite(key, text, ttl)
  expire(key, ttl)
  redis.call('SET', key, text, 'KEEPTTL')
end

-- touch writes what a completed record says already. WAIT counts replicas up to the
-- last write of its own connection: one that repeats a completion and writes nothing
-- would be told of an earlier write, and count replicas that never got the answer.
-- A server that takes no writes answers WAIT accordingly.
local function touch(key)
  pcall(save, key, 4, 'C')
end

-- create writes a whole record. PEXPIRE comes first, as in save: on an absent
-- key it does nothing but still counts as the first write.
local function create(key, text, ttl)
  redis.call('PEXPIRE', key, ttl)
  redis.call('SET', key, text, 'PX', ttl)
end

-- absent reports whether the end of the attempt with that token finds no
-- record: none is there, or only the trace of a later claim that never started.
local function absent(raw, token)
  return not raw or (sub(raw, 5, 5) == 'L' and sub(raw, 8, 8) == '1' and token < number(raw, 10))
end

-- running returns the head of a running record.
local function running(owner, token, attempt, lease_end, lease, created, started)
  return string.format('RPR1R0000%016d%08d%016d%016d%016d%016d%016d%016d%s',
    token, attempt, lease_end, lease, 0, created, started, 0, owner)
end

-- adopted returns the head of the running record that an order of complete or fail
-- speaks of and the server has lost.
local function adopted(order, token)
  local started = number(order, 105)
  return running(sub(order, 1, 32), token, tonumber(sub(order, 81, 88)), now, number(order, 89), started, started)
end

-- ended returns the head of a record that moves on to another state: nobody
-- waits any more, and what held for the running attempt only is reset.
local function ended(raw, state, marked, not_before)
  return 'RPR1' .. state .. marked .. '000' .. sub(raw, 10, 65) .. decimal(not_before or 0)
    .. sub(raw, 82, 113) .. clock .. sub(raw, 130, 161)
end

-- announce wakes whoever waited on the record as it was, on the channel with
-- the record's name. What is decided stays decided when the user may not
-- publish: waiters also look again by themselves.
local function announce(key, was, state)
  if sub(was, 7, 7) == '1' then redis.pcall('PUBLISH', key, state) end
end

