-- epoch tells whether the server's memory is the one that is known, and notes a
-- new one.
--
-- KEYS    1 the note: the replication id that is known, and since when in µs
-- ARGV    1 look, or bless; 2 the quarantine of a memory that is new, in µs
-- Returns {1 if the change was noticed just now, what is left of its quarantine
--         in µs}
--
-- Idempotent: an id that is noted stays as it is, so a second look finds what the
-- first one wrote. An id is drawn anew when a server starts, or is promoted; a
-- note that is gone went with everything else. Behind a claim on the same
-- connection: a memory that is lost before the claim is lost before this.

local key, ordered, quarantine = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if not id then return redis.error_reply('ERR INFO replication names no master_replid') end

local function note(since)
  redis.call('SET', key, string.format('%s %.0f', id, since))
end

if ordered == 'bless' then
  note(0)
  return {0, 0}
end
local known, since = string.match(redis.call('GET', key) or '', '^(%x+) (%d+)$')
if known ~= id then
  note(now)
  return {1, quarantine}
end
-- A clock that was set back must not lengthen it.
local left = math.min(tonumber(since) + quarantine - now, quarantine)
return {0, math.max(left, 0)}
