-- probe runs every command that the other scripts use, on a key that it removes
-- again, to find out what the user may not do.
--
-- KEYS    1 a name that nothing else uses
-- Returns a list of 'COMMAND error'
--
-- Idempotent: nothing is left of it.

local findings = {}
local function try(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) == 'table' and reply.err then
    findings[#findings + 1] = command .. ' ' .. reply.err
  end
end

try('TIME')
try('SET', KEYS[1], 'probe', 'NX', 'PX', 1000)
if #findings > 0 then return findings end -- the rest would only say it again
try('GET', KEYS[1])
try('GETRANGE', KEYS[1], 0, 1)
try('SETRANGE', KEYS[1], 0, 'p')
try('EXISTS', KEYS[1])
try('PUBLISH', KEYS[1], '')
try('PEXPIREAT', KEYS[1], 9999999999999)
try('PEXPIRE', KEYS[1], 0) -- which removes it; no script needs more for that
return findings
