-- What the limiter does when a call enters, when its time has come and when it
-- leaves. A part of limiter.lua, which explains the arguments.

local FIRST = 64 -- calls at once at a provider whose limits nobody knows: as many as a worker has slots by default

-- pause makes everybody wait: those who have a time already as well, in the same
-- order and at the same distances. It never shortens a pause.
local function pause(q, now, till)
  local more = till - math.max(now, q.pause)
  if more <= 0 then return end
  local begun = now >= q.pause and 1 or 0 -- whose time is this very moment has started
  q.pause, q.shift = till, q.shift + more - begun
  if q.r.next > now then q.r.next = q.r.next + more end
  if q.t.next > now then q.t.next = q.t.next + more end
end

-- limited is what a 429 does: it pauses the quota for everybody, never for
-- less than it was paused already, and takes a little off the limit. Calls that
-- started before the pause was over, or were reserved before the limit was last
-- cut, are of one wave with the first: they say nothing new.
local function limited(q, now, call, retry, settings, named)
  local start = call.start
  local fresh = start >= q.pause
  local taught = start < math.max(q.cut, q.r.cut, q.t.cut) + settings[4]
  if retry <= 0 then
    if not fresh then return end
    q.backoff = math.min(7, q.backoff + 1)
    retry = SECOND * 2 ^ (q.backoff - 1)
  end
  pause(q, now, now + math.min(retry, LONGEST))
  if not fresh or taught then return end
  local _, requests = gap(q, now, q.r, settings[1])
  local _, tokens = gap(q, now, q.t, settings[2])
  if named == 'requests' and requests or named == 'tokens' and tokens or named == '' and (requests or tokens) then
    q.share, q.cut = math.max(0.05, 0.97 * share(q, now)), now
    return
  end
  local which = named == 'requests' and {q.r} or named == 'tokens' and {q.t} or reached(q, now, call)
  local late = 0
  for _, d in ipairs(which) do
    local left, ahead = find(q, now, call, d), math.max(0, d.next - now)
    late = math.max(late, ahead / left - ahead)
  end
  -- Those who have their time already have it by the pace that was too fast.
  pause(q, now, q.pause + math.min(late, settings[4]))
end

-- reserved is what a memo says of its call, nil without one: all of it, or when
-- it starts and how many tokens were expected.
local function reserved(q, memo, all)
  local start, tokens, sums, shift, booked = string.match(memo or '', '^(%d+) (%d+) (%S+ %S+) (%S+)(.*)$')
  if not start then return nil end
  local call = {start = tonumber(start) + q.shift - tonumber(shift), tokens = tonumber(tokens)}
  if all then
    local n = numbers(sums .. booked)
    call.r, call.t = {sum = n[1], booked = n[3] or q.r.booked}, {sum = n[2], booked = n[4] or q.t.booked}
  end
  return call
end

-- untold is how many calls may be in flight where no limit is known at all: twice
-- as many with each round of answers, until one tells. Not all slots of the fleet
-- are to run into a limit at once.
local function untold(q) return FIRST + q.r.sum - q.live end

local planned = {} -- for the call that was checked last

return {
  check = function(K, A, ctx)
    local s, worker, tokens, now = numbers(A[2]), A[1], tonumber(A[3]), ctx.now
    local rpm, tpm, most, horizon = s[1], s[2], s[3], s[4]
    local q = quota(K[1], now)
    if tpm > 0 and tokens > tpm then
      return {why = 'the call needs about ' .. int(tokens) .. ' tokens and the quota has ' .. int(tpm) .. ' a minute', final = true}
    end
    local r, t = q.r, q.t
    local rgap, tgap = gap(q, now, r, rpm), gap(q, now, t, tpm)
    local before, taken = ahead(q, K[2], worker, now)
    local start = math.max(now, r.next, t.next, q.pause)
    local known = most > 0 or rgap > 0 or tgap > 0
    if not known then most = untold(q) end
    local full = (most > 0 or not known) and q.live + before >= most
    if full or start + taken > now + horizon then
      local takes = math.ceil(math.max(rgap, tokens * tgap))
      if full then
        queue(q, K[2], worker, now, BUSY, KEPT / 4, takes)
        local why = known and 'all %d places of the quota are taken'
          or 'nobody knows yet what the quota lets through: %d calls at once so far'
        return {why = string.format(why, most), wait = BUSY}
      end
      local wait = start + taken - horizon - now
      queue(q, K[2], worker, now, wait, KEPT, takes)
      if now < q.pause then return {why = 'the provider asked for a pause', wait = wait} end
      return {why = 'the quota is used up for now', wait = wait}
    end
    planned.start, planned.tokens, planned.rgap, planned.tgap = start, tokens, rgap, tgap
    return nil, planned
  end,

  apply = function(K, A, ctx, plan)
    local q, worker = quota(K[1], ctx.now), A[1]
    local r, t, start, tokens = q.r, q.t, plan.start, plan.tokens
    spill(r, ctx.now)
    spill(t, ctx.now)
    if plan.rgap > 0 then r.next = start + plan.rgap end
    t.next = math.max(t.next, start - CREDIT) + tokens * plan.tgap
    q.live = q.live + 1
    r.sum, t.sum = r.sum + 1, t.sum + tokens
    r.booked, t.booked = r.booked + 1, t.booked + tokens
    started(q, ctx.now)
    changed[q] = true
    if q.line >= ctx.now and line(q, K[2])[worker] then
      line(q, K[2])[worker] = nil
      redis.call('HDEL', K[2], worker)
    end
    return string.format('%d %d %d %d %d %d %d', start, tokens, r.sum, t.sum, q.shift, r.booked, t.booked), start - ctx.now
  end,

  -- An admitted call asks once more when its time has come.
  due = function(K, A, ctx, memo)
    local q = quota(K[1], ctx.now)
    local call = reserved(q, memo)
    return call and clamp(call.start - ctx.now, 0, LONGEST) or 0
  end,

  leave = function(K, A, ctx, memo)
    local q, now = quota(K[1], ctx.now), ctx.now
    local s, used, unsent, outcome, headers = numbers(A[2]), tonumber(A[3]), A[4] == '1', A[5], A[7]
    local limit = outcome == 'limited'
    local call, r, t = reserved(q, memo, limit or headers ~= ''), q.r, q.t
    changed[q] = true
    if call then
      if not ctx.lapsed then q.live = math.max(0, q.live - 1) end
      if unsent or limit then
        r.booked, t.booked = r.booked - 1, t.booked - call.tokens
      end
      if headers ~= '' then
        local said = numbers(headers)
        steer(q, now, call, r, said[1], said[2], 1, not limit)
        steer(q, now, call, t, said[3], said[4], not limit and used or call.tokens, not limit)
      elseif outcome == 'ok' then
        unsaid(r, now)
        unsaid(t, now)
      end
      if used and used ~= call.tokens then
        local more = used - call.tokens
        if not limit then t.sum = t.sum + more end
        if used == 0 or not believed(t, s[2]) then
          t.next = math.max(t.next + more * gap(q, now, t, s[2]), math.min(t.next, now - CREDIT))
        end
      end
      if unsent then
        r.sum = r.sum - 1
        r.next = math.max(r.next - gap(q, now, r, s[1]), math.min(r.next, now))
      end
    end
    if limit then
      call = call or {start = now, tokens = 0, r = {sum = r.sum, booked = r.booked}, t = {sum = t.sum, booked = t.booked}}
      refuse(q, call)
      limited(q, now, call, tonumber(A[6]), s, A[8])
    elseif outcome == 'ok' and call and call.start >= q.pause then
      q.backoff = 0
    end
  end,

  lapse = function(K, A, ctx)
    local q = quota(K[1], ctx.now)
    q.live = math.max(0, q.live - 1)
    changed[q] = true
  end,

  finish = finish,
}
