-- Whether the sums can be trusted. An epoch ends in @ and the history that it
-- is of: what Redis calls a replication id. A server that was restarted begins
-- a new history, and so does a replica that is promoted; either may have lost
-- what was acknowledged last, and nobody could tell. So the epoch of another
-- history is none.

-- history is '' where the server does not tell: the embedded one, or one that
-- does not permit INFO. Such a server is trusted.
local function history()
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or ''
end

-- trusted takes the epoch as GET returns it.
local function trusted(epoch)
  if not epoch then return false end
  local now = history()
  return now == '' or string.sub(epoch, -#now - 1) == '@' .. now
end
