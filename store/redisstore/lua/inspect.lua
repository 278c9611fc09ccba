-- inspect reads a record without its answer, and tells the server's time and
-- how long the record has to live. One byte more than the longest record
-- without an answer shows what is too long to be one.
--
-- KEYS    1 the record
-- Returns {now in µs, time to live in ms: -1 for ever, -2 no record, the record
--         up to the end of the longest operation name}
--
-- Idempotent: it only reads.

local time = redis.call('TIME')
local left = redis.call('PTTL', KEYS[1])
return {tonumber(time[1]) * 1000000 + tonumber(time[2]), left, redis.call('GETRANGE', KEYS[1], 0, 596)}
