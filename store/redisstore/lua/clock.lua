-- What stands before the text of every script that handles a record: the time, as
-- 16 digits of µs. Every string that is made costs about as much as a command, so
-- the padding is made where it is needed only.
local sub = string.sub
local time = redis.call('TIME')
local micros = time[2]
if #micros < 6 then micros = sub('00000' .. micros, -6) end
local clock = time[1] .. micros

