-- fail makes the outcome of an attempt unknown.
--
-- KEYS    1 the record
-- ARGV    1 owner, 2 token, 3 adopt an absent record before this time in µs,
--         4 time to live of an adopted record in ms, 5 attempt, 6 lease in µs,
--         7 started in µs, 8 the record from its algorithm on, 9 marked (0, 1),
--         10 backoff in µs
-- Returns {verdict, now, owner, field that is unreadable}
--
-- Idempotent: the owner's own unknown or completed record answers 'done' and
-- stays as it is.

-- <prelude> the same text in every script; a test compares them.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

-- decimal returns n in so many digits. Never concatenate a number: Redis
-- would write the microseconds of a clock as 1.7953553421438e+15.
local function decimal(n, width)
  return string.format('%0' .. width .. '.0f', n)
end

-- check returns the name of the first field that makes raw no record of key.
local function check(key, raw)
  if string.sub(raw, 1, 4) ~= 'RPR1' then
    return string.find(raw, '^RPR[2-9]') and 'newer format' or 'format'
  end
  if #raw < 341 then return 'length' end
  if not string.find(raw, '^[RCUL]', 5) then return 'state' end
  if not string.find(raw, '^[01][01][01][01]', 6) then return 'flags' end
  if string.find(string.sub(raw, 10, 129), '%D') then return 'number' end
  if string.find(string.sub(raw, 130, 161), '[^0-9a-f]') then return 'owner' end
  if not string.find(string.sub(raw, 162, 169), '^[!-~]+ *$') then return 'algorithm' end
  if string.find(string.sub(raw, 170, 233), '[^0-9a-f]') then return 'fingerprint' end
  if string.find(string.sub(raw, 243, 274), '[^0-9a-f]') then return 'scope' end
  if string.sub(raw, 275, 338) ~= string.match(key, '{(%x+)}$') then return 'key digest' end
  if string.find(string.sub(raw, 339, 341), '%D') then return 'operation length' end
  local length = tonumber(string.sub(raw, 339, 341))
  if length < 1 or length > 255 then return 'operation length' end
  if #raw < 341 + length then return 'length' end
  if #raw > 341 + length and string.sub(raw, 5, 5) ~= 'C' then return 'length' end
end

-- read returns the record under key, nil when there is none, or nil and the
-- name of the field that makes it unreadable. It reads as far as the longest
-- operation name, so never a whole answer.
local function read(key)
  local raw = redis.pcall('GETRANGE', key, 0, 595)
  if type(raw) == 'table' then
    if string.find(raw.err, 'WRONGTYPE', 1, true) then return nil, 'type' end
    redis.call('GETRANGE', key, 0, 595) -- raises what pcall caught
  end
  if raw == '' and redis.call('EXISTS', key) == 0 then return nil end
  local bad = check(key, raw)
  if bad then return nil, bad end
  local function number(from, to)
    local n = tonumber(string.sub(raw, from, to))
    if n > 9007199254740991 then bad = 'number' end -- not exact any more
    return n
  end
  local r = {
    raw = raw, length = 341 + tonumber(string.sub(raw, 339, 341)),
    state = string.sub(raw, 5, 5), marked = string.sub(raw, 6, 6),
    waiters = string.sub(raw, 7, 7), void = string.sub(raw, 8, 8),
    tookover = string.sub(raw, 9, 9), token = number(10, 25),
    attempt = number(26, 33), lease_end = number(34, 49),
    lease = number(50, 65), not_before = number(66, 81),
    created = number(82, 97), started = number(98, 113),
    finished = number(114, 129), owner = string.sub(raw, 130, 161),
  }
  if bad then return nil, bad end
  return r
end

-- head returns the part of a record that scripts write: format to owner.
local function head(r)
  return 'RPR1' .. r.state .. r.marked .. r.waiters .. r.void .. r.tookover
    .. decimal(r.token, 16) .. decimal(r.attempt, 8) .. decimal(r.lease_end, 16)
    .. decimal(r.lease, 16) .. decimal(r.not_before, 16) .. decimal(r.created, 16)
    .. decimal(r.started, 16) .. decimal(r.finished, 16) .. r.owner
end

-- save writes the head of a record that is there, with a time to live in ms
-- (nil keeps the present one). A full Redis refuses the writes of a script
-- only until its first write, and never refuses PEXPIRE: so that comes first.
local function save(key, r, ttl)
  ttl = ttl or redis.call('PTTL', key)
  if tonumber(ttl) < 0 then
    redis.call('PERSIST', key) -- it has no end: keep that, too
  else
    redis.call('PEXPIRE', key, math.max(tonumber(ttl), 1))
  end
  redis.call('SETRANGE', key, 0, head(r))
end

-- create writes a whole record. PEXPIRE comes first, as in save: on an absent
-- key it does nothing but still counts as the first write.
local function create(key, r, ttl, rest)
  redis.call('PEXPIRE', key, ttl)
  redis.call('SET', key, head(r) .. rest, 'PX', ttl)
end

-- absent reports whether the end of the attempt with that token finds no
-- record: none is there, or only the trace of a later claim that never started.
local function absent(r, token)
  return not r or (r.state == 'L' and r.void == '1' and token < r.token)
end

-- adopted returns the record of an attempt that the store has lost.
local function adopted(owner, token, attempt, lease, started)
  return {
    state = 'R', marked = '0', waiters = '0', void = '0', tookover = '0',
    token = token, attempt = attempt, lease_end = now, lease = lease,
    not_before = 0, created = started, started = started, finished = 0,
    owner = owner,
  }
end

-- finish moves a record to its next state and returns whether somebody waits.
local function finish(r, state)
  local waited = r.waiters == '1'
  r.state, r.finished, r.not_before = state, now, 0
  r.waiters, r.tookover, r.void = '0', '0', '0'
  return waited
end

-- announce wakes the waiters, on the channel with the record's name. What is
-- decided stays decided when the user may not publish: waiters also look again.
local function announce(key, r, waited)
  if waited then redis.pcall('PUBLISH', key, r.state) end
end
-- </prelude>

local key, owner, token = KEYS[1], ARGV[1], tonumber(ARGV[2])
local r, bad = read(key)
if bad then return {'unreadable', now, owner, bad} end

local adopts = absent(r, token)
if adopts then
  if now >= tonumber(ARGV[3]) then return {'refused', now, owner, ''} end
  r = adopted(owner, token, tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]))
elseif r.owner ~= owner or r.state == 'L' then
  return {'refused', now, owner, ''}
elseif r.state ~= 'R' then
  return {'done', now, owner, ''}
end

local waited = finish(r, 'U')
if ARGV[9] == '1' then r.marked = '1' end
if tonumber(ARGV[10]) > 0 then r.not_before = now + tonumber(ARGV[10]) end
if adopts then
  create(key, r, ARGV[4], ARGV[8])
else
  save(key, r)
end
announce(key, r, waited)
return {'done', now, owner, ''}
