-- What stands before the text of every script that handles a record: the time, as
-- 16 digits of µs. Lua hashes every byte of every string that it makes, at some 1.5 µs
-- a KiB, so scripts make few strings and read no more of a record than they need.
local sub = string.sub
local time = redis.call('TIME')
local micros = time[2]
if #micros < 6 then micros = sub('00000' .. micros, -6) end
local clock = time[1] .. micros
if #clock < 16 then clock = sub('0000000000' .. clock, -16) end -- a clock before 2001

