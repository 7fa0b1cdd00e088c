-- What 429s teach the limiter, of which this is a part: see limiter.lua. Of a
-- limit that is known a little is taken off; one that nobody knows is found, of
-- requests, tokens or both. d is q.r for requests or q.t for tokens, and has
--
--   found   the limit a minute as of cut, 0 so far
--   cut     when a 429 last changed it
--   slow    for how many seconds it then grows slowly: the better it was measured,
--           the longer
--   rested  for how long since the cut less was asked for than it allows
--   mark    when the call started that found the bucket empty last
--   passed  how much had passed until then
--   order   its place among all calls, as their sum

local STRETCH = 10 * SECOND -- over which starts are counted
local ENOUGH = 50           -- calls that measure a limit
local FEW = 10              -- calls that measure it roughly, to a tenth
local LEAST = 0.5           -- of a limit stays after a 429, however little seems to have passed
local RISE = 1.25          -- of a limit is the most that one 429 makes of it, however much passed
local NEARLY = 0.9          -- of two limits the one that is farther from its flow than this was not reached
local MOVED = 0.85          -- of what a limit has grown to: what flowed in was less, so the limit is another
local USED = 0.8           -- of a limit, in a stretch of time: all of it was asked for
local PROBE = 1200          -- calls for which a well measured limit grows slowly,
local TRUST = 6             -- or for so many times as many as it was measured by, if that is less,
local SLOW, LONG = 30, 120  -- for so many seconds at least and at most,
local GROWTH = 0.05         -- by so much in all: from a little below the limit to as much above

-- share and found grow again with the time since they were last cut: a limit
-- that was measured slowly first, so that it is touched rarely, then faster, in
-- case it moved. What is found grows only while it is used up: whoever comes after
-- a rest is not to meet a limit that is far beyond anything there is.
local function share(q, now) return q.share >= 1 and 1 or math.min(1, q.share + 0.003 * (now - q.cut) / SECOND) end

local function grown(d, now) return (now - d.cut - d.rested) / SECOND end

local function found(d, now)
  local s, slow = grown(d, now), d.slow
  return d.found * (1 + GROWTH * clamp(s, 0, slow) / math.max(slow, 25)) * 1.05 ^ clamp(s - slow, 0, 300)
end

-- unit is what a call takes of d on average.
local function unit(q, d) return d == q.r and 1 or math.max(1, q.t.sum / math.max(1, q.r.sum)) end

-- used reports whether all of what was found was asked for in this stretch of
-- time.
local function used(q, d)
  return d.cut >= q.stretch or (q.starts + 1) * unit(q, d) >= USED * found(d, q.stretch) * STRETCH / MINUTE
end

-- rest takes in what was not asked for in this stretch of time and since it. The
-- buckets may be full after a rest from both.
local function rest(q, since)
  local idle = true
  for _, d in ipairs({q.r, q.t}) do
    if d.found > 0 then
      local busy = used(q, d)
      d.rested, idle = d.rested + since + (busy and 0 or STRETCH), idle and not busy
    end
  end
  if idle or since > 0 then q.r.mark, q.t.mark = 0, 0 end
end

local function started(q, now)
  local age = now - q.stretch -- never negative, since a clock that was put back moves both
  if age >= 2 * STRETCH then
    rest(q, age - STRETCH)
    q.stretch, q.starts, q.before = now, 0, 0
  elseif age >= STRETCH then
    rest(q, 0)
    q.stretch, q.before, q.starts = q.stretch + STRETCH, q.starts, 0
  end
  q.starts = q.starts + 1
end

-- asked is how many calls a minute were lately started.
local function asked(q, now)
  local age = clamp(now - q.stretch, 0, STRETCH)
  if q.before > 0 then return (q.starts + (1 - age / STRETCH) * q.before) * MINUTE / STRETCH end
  return q.starts * MINUTE / math.max(age, SECOND)
end

-- passed is how much the provider let through before this call, which it
-- refused: what was reserved until then, but for what has been refused.
local function passed(call, d) return call[d.name].sum - d.refused end

-- refuse takes in that a call was refused. If it came before the one that is the
-- mark, what had passed until then was less by it.
local function refuse(q, call)
  q.r.refused, q.t.refused = q.r.refused + 1, q.t.refused + call.tokens
  if call.r.sum < q.r.order then q.r.passed = q.r.passed - 1 end
  if call.r.sum < q.t.order then q.t.passed = q.t.passed - call.tokens end
end

-- flow is how much a minute passed since the provider's bucket was last found
-- empty, and of how many calls, but for what they lack to measure a limit after
-- ten seconds, and really; nil if it is nothing.
local function flow(q, call, d)
  local took, through = call.start - d.mark, passed(call, d) - d.passed
  if d.mark == 0 or took < SECOND or through <= 0 then return nil end
  local calls = through / unit(q, d)
  return through * MINUTE / took, took >= STRETCH and ENOUGH or calls, calls
end

-- find learns from a 429 how much there may be. At two of them the provider's
-- bucket was empty, so what it let through in between is what flowed in: exactly
-- that, once it is enough to count. From the first there is only what was asked
-- for. After a long time without one the limit has moved, and the bucket may
-- have been full meanwhile: that is as good as the first, but for what has
-- passed all the same.
local function find(q, now, call, d)
  local measured, of, calls = flow(q, call, d)
  local was, settled, age = found(d, now), d.slow >= SLOW, grown(d, now)
  local late = age > (settled and d.slow + 3 or 20)
  local flowed = 0.98 * (measured or 0)
  if late and (measured or 0) < MOVED * was then measured, d.slow = nil, 0 end
  d.cut, d.rested = now, 0
  if measured then
    local less, enough = 0.97 * was, of >= ENOUGH
    if enough then
      less = math.min(RISE * was, flowed)
    elseif not settled then
      less = math.min(less, flowed)
    end
    if not enough and of >= FEW then
      less = math.max(math.min(less, 1.1 * measured), math.min(was, 0.9 * measured))
    end
    less = math.max(less, (enough and LEAST or 0.7) * was)
    d.found = less
    if enough then
      d.slow = math.floor(clamp(60 * math.min(PROBE, TRUST * calls) * unit(q, d) / less, SLOW, LONG))
    elseif not settled then
      d.slow = math.floor(SLOW * of / ENOUGH)
    end
    if not enough then return less / was end -- and counts on from the same mark
  elseif was > 0 then -- it may have grown for minutes beyond whatever was asked for
    was = math.min(was, math.max(d.found, asked(q, now) * unit(q, d)))
    d.found = math.min(was, math.max((late and 0.7 or 0.97) * was, flowed))
  else
    d.found = math.max(6, 0.7 * asked(q, now)) * unit(q, d)
  end
  d.mark, d.passed, d.order = call.start, passed(call, d), call.r.sum
  return was > 0 and d.found / was or 1
end

-- reached tells which limits a 429 that names none can be of. It was not one
-- that the flow stayed well below, if it came close to the other.
local function reached(q, now, call)
  local r, t = flow(q, call, q.r), flow(q, call, q.t)
  if not (r and t and q.r.found > 0 and q.t.found > 0) then return {q.r, q.t} end
  r, t = r / found(q.r, now), t / found(q.t, now)
  if r < NEARLY * t then return {q.t} end
  if t < NEARLY * r then return {q.r} end
  return {q.r, q.t}
end
