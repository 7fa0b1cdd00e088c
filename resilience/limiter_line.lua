-- The limiter's line: who was refused and is to come back, in which order. It
-- is kept in KEYS[2], see limiter.lua, of which this is a part.

local KEPT = SECOND           -- a turn in the line outlives its time by this: slow workers keep theirs

-- line reads who waits, as worker -> {ticket, expires, takes}. A ticket of later
-- is of a clock that was put back since: whoever has it gets another.
local function line(q, key)
  if q.waiting then return q.waiting end
  q.waiting = {}
  local list = redis.call('HGETALL', key)
  for i = 1, #list, 2 do
    local ticket, expires, takes = string.match(list[i + 1], '(%d+) (%d+) (%d+)')
    ticket = tonumber(ticket)
    if ticket <= q.at then q.waiting[list[i]] = {ticket, tonumber(expires), tonumber(takes)} end
  end
  return q.waiting
end

-- ahead is how many other workers were refused before this one and are still
-- to come back, and how much of the quota their calls take up.
local function ahead(q, key, worker, now)
  if q.line < now then return 0, 0 end
  local waiting, n, takes = line(q, key), 0, 0
  local mine = waiting[worker] and waiting[worker][2] >= now and waiting[worker][1]
  for who, w in pairs(waiting) do
    if who ~= worker and w[2] >= now and (not mine or w[1] < mine) then n, takes = n + 1, takes + w[3] end
  end
  return n, takes
end

-- queue keeps the worker's place until it asks again. That is all a refused
-- call leaves behind, and it goes away by itself.
local function queue(q, key, worker, now, wait, kept, takes)
  local waiting = line(q, key)
  local w = waiting[worker]
  for who, other in pairs(waiting) do
    if other[2] < now then
      redis.call('HDEL', key, who)
      waiting[who] = nil
    end
  end
  local ticket = w and w[2] >= now and w[1] or now
  local expires = now + wait + kept
  if w and w[1] == ticket and w[3] == takes and math.abs(w[2] - expires) < kept / 10 then return end
  waiting[worker] = {ticket, expires, takes}
  redis.call('HSET', key, worker, int(ticket) .. ' ' .. int(expires) .. ' ' .. int(takes))
  q.line = math.max(q.line, expires)
  changed[q] = true
end
