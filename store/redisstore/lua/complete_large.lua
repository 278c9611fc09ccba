-- complete_large makes an answer the recorded one without touching its bytes:
-- the client has written the completed record under a second name just before,
-- in the same pipeline, and this script fills in its head and renames it.
--
-- KEYS    1 the record, 2 the second name, in the same slot
-- ARGV    1 the order, as complete has it, up to 120
-- Returns a reply as record describes it. The detail is the field that is
--         unreadable. The verdict 'again' asks for the same as complete, with the
--         answer in ARGV.
--
-- Idempotent: the owner's own completed record answers 'done' and stays as it
-- is, but for the write that WAIT needs. The second name is gone after every way out.

local key, temp, order = KEYS[1], KEYS[2], ARGV[1]
-- include record
local owner, token, ttl = sub(order, 1, 32), number(order, 33), number(order, 65)

local function answer(verdict, detail)
  redis.pcall('UNLINK', temp)
  return reply(owner, 'complete', verdict, detail)
end

local function failed(reply)
  return type(reply) == 'table' and reply.err
end

-- same reports whether what the client wrote has the fingerprint, scope and
-- operation that the record was claimed with, which it keeps.
local function same(raw)
  local copy = redis.call('GETRANGE', temp, 0, #raw - 1)
  return sub(copy, 162, 233) == sub(raw, 162, 233) and sub(copy, 243) == sub(raw, 243)
end

local raw, bad = read(key)
if bad then return answer('unreadable', bad) end

local adopts = absent(raw, token)
if adopts then
  if now >= number(order, 49) then return answer('refused') end
  raw = adopted(order, token)
else
  local state = sub(raw, 5, 5)
  if sub(raw, 130, 161) ~= owner or state == 'L' then return answer('refused') end
  if state == 'C' then
    touch(key)
    return answer('done')
  end
end
if redis.call('EXISTS', temp) == 0 then return answer('again') end
if not adopts and not same(raw) then return answer('again') end

-- Scripts do not roll back: nothing happens to the record before the rename,
-- and the rename brings the time to live along.
redis.call('PEXPIRE', temp, ttl)
local head = ended(raw, 'C', sub(raw, 6, 6))
if failed(redis.pcall('SETRANGE', temp, 0, head)) then return answer('again') end
if failed(redis.pcall('RENAME', temp, key)) then return answer('again') end
announce(key, raw, 'C')
return reply(owner, 'complete', 'done')
