-- lookup tells the server's time and how long a record has to live. GET follows
-- in the same pipeline.
--
-- KEYS    1 the record
-- Returns {now in µs, time to live in ms: -1 for ever, -2 no record}
--
-- Idempotent: it only reads.

local time = redis.call('TIME')
return {tonumber(time[1]) * 1000000 + tonumber(time[2]), redis.call('PTTL', KEYS[1])}
