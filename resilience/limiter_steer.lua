-- What responses' headers teach the limiter, of which this is a part: see
-- limiter.lua. d is q.r for requests or q.t for tokens, and has
--
--   limit   a minute, as the provider says
--   cap     what its bucket holds: the most there ever was
--   bare    when the first answer came that did not say so, of those since one did
--   from    when the call started that is the latest of which a header told,
--   left    how much was left then, and
--   base    how much had been let in until then
--   drain   what the bucket loses for each one reserved: more than one where the
--           provider counts more than was expected, or somebody else takes of it
--   since   when the call started from which on the drain is measured now, 0
--           without one,
--   upto    how much had been let in until then, and
--   had     how much was left then
--   reset   when its bucket was last full at once, 0 if it never was: not one that
--           fills little by little, but a window that begins again

local FORGET = 30 * SECOND -- of answers without headers, and what they said is forgotten
local NEAR = 0.95    -- of a bucket: it may have been full
local WEIGHT = 0.1   -- of the latest measurement of the drain
local STEPS = 10     -- calls in which the bucket is brought to where it is to be, at the fastest
local APART = 1.05   -- calls that there are to be in a bucket that holds hardly more than one
local SLOWEST, FASTEST = 0.25, 1.1 -- of the limit
local DRY = 0.05     -- of it, where a window is used up before its end

-- expected is what will be left when the next may start. What a header said was
-- left is old news: calls that were let in since are in flight, or wait for
-- their time. Steered by the old news itself, a bucket of few seconds would
-- swing from empty to full.
local function expected(d, now)
  local filled = d.limit * (math.max(now, d.next) - d.from) / MINUTE
  return d.left + filled - d.drain * (d.booked - d.base), filled
end

-- length is how long such a window is: what there is of it comes in that time.
local function length(d) return d.cap * MINUTE / d.limit end

-- window is how much longer the provider's window lasts when the next may start,
-- nothing if it is to have begun again by then, nil if it has none. A window that
-- has not been seen to begin for two of its lengths may never have been one.
local function window(d, now)
  if d.reset == 0 then return nil end
  local left = d.reset + length(d) - math.max(now, d.next)
  return left > -length(d) and math.max(0, left) or nil
end

-- within is the part of the limit to go at so that what is left of a window is
-- used up when it ends.
local function within(q, d, lasts)
  if lasts == 0 then return 1 / d.drain end
  local one = d.drain * unit(q, d)
  local left = d.left - d.drain * (d.booked - d.base) - one / 2
  return clamp(math.max(one, left) * MINUTE / (d.limit * lasts), DRY, FASTEST) / d.drain
end

-- pace is the part of the limit to go at, so that the provider's bucket comes to
-- be half full: neither a limit configured too high nor somebody else on the
-- same key is to run it dry. The older the news, the more gently.
local function pace(q, now, d)
  local lasts = window(d, now)
  if lasts then return within(q, d, lasts) end
  local cap, drain = d.cap, d.drain
  local left, filled = expected(d, now)
  local one = drain * unit(q, d)
  local wanted = math.max((one + cap) / 2, APART * one)
  return clamp((1 + (left - wanted) / math.max(cap, STEPS * one, filled / 2)) / drain, SLOWEST, FASTEST)
end

-- spill forgets what flows in while the bucket is full.
local function spill(d, now)
  if d.limit == 0 then return end
  d.left = d.left - math.max(0, expected(d, now) - d.cap)
end

-- believed is whether headers tell the limit. One that is far higher than what
-- is configured is of another window. They do while nobody asks as well.
local function believed(d, configured)
  return d.limit > 0 and (configured == 0 or d.limit <= 2 * configured)
end

-- gap is the time that one request or one token takes up, 0 without a limit,
-- and whether the limit is known rather than found.
local function gap(q, now, d, configured)
  local rate = configured
  if believed(d, configured) then
    local said = d.limit
    rate = said * pace(q, now, d)
    if configured > 0 and configured < said then rate = math.min(rate, configured) end
  end
  if rate > 0 then return MINUTE / (rate * share(q, now)), true end
  if d.found > 0 then return MINUTE / found(d, now), false end
  return 0, false
end

-- measure learns the drain from how much was left at two calls, and how much was
-- reserved in between. A bucket that was full meanwhile has lost less than it
-- seems, so that measures only the most that the drain can be.
local function measure(q, call, d, left, full)
  local since, booked = d.since, call[d.name].booked - d.upto
  if since > 0 and booked > 0 then
    local was = d.had >= full
    if booked < math.max(d.cap, STEPS * unit(q, d)) then
      if was or left < full then return end -- goes on
    else
      local drain = (d.had - left + d.limit * (call.start - since) / MINUTE) / booked
      if drain < d.drain or drain * SLOWEST < 1 and not was and left < full then
        d.drain = math.max(0.5, d.drain + WEIGHT * (drain - d.drain))
      end
    end
  end
  d.since, d.upto, d.had = call.start, call[d.name].booked, left
end

-- unsaid takes in that an answer's headers said nothing.
local function unsaid(d, now)
  if d.limit == 0 then return end
  if d.bare == 0 then
    d.bare = now
  elseif now - d.bare >= FORGET then
    d.limit, d.bare = 0, 0
  end
end

-- began reports whether there is far more left than can have flowed in since the
-- call before: a window has begun.
local function began(d, call, limit, cap, left)
  if d.from == 0 or cap < limit / 12 then return false end
  return left > d.left + limit * (call.start - d.from) / MINUTE + cap / 4
end

-- steer takes in what a response's headers said was left. took is how much of it
-- the call took, and passed whether it was let through.
local function steer(q, now, call, d, limit, left, took, passed)
  if limit <= 0 or left < 0 then
    if passed then unsaid(d, now) end
    return
  end
  if d.limit ~= limit then
    d.limit, d.cap, d.since, d.drain, d.from, d.reset = limit, 0, 0, 1, 0, 0
  end
  local cap = math.max(d.cap, left + took, limit / 60)
  d.cap, d.bare = cap, 0
  if d == q.r and left + 1 < cap then left = left + 0.5 end -- it is rounded down
  if passed and call.start > d.since then measure(q, call, d, left, NEAR * cap - took) end
  if call.start < d.from then return end
  if began(d, call, limit, cap, left) then d.reset, d.since = call.start, 0 end
  if not passed then left = left - took end
  d.from, d.left, d.base = call.start, left, call[d.name].booked
end

