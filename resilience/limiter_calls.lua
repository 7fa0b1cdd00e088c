-- What the limiter does when a call enters, when its time has come and when it
-- leaves. A part of limiter.lua, which explains the arguments.

-- gapNow is the time that one request or one token takes up, 0 without a limit,
-- and whether the limit is known rather than found. d is r for requests or t
-- for tokens.
local function gapNow(q, now, d, configured)
  local limit, steer = configured, 1
  local said = q[d .. 'limit']
  if said > 0 and now - q[d .. 'seen'] < FRESH and (configured == 0 or said <= 2 * configured) then
    if limit == 0 or said < limit then limit = said end
    steer = q[d .. 'steer']
  end
  if limit > 0 then return MINUTE / (limit * steer * share(q, now)), true end
  if q[d .. 'found'] > 0 then return MINUTE / found(q, now, d), false end
  return 0, false
end

-- gap is gapNow, which stays what it is until a response teaches something.
local function gap(q, now, d, configured)
  local known = q.gaps[d]
  if not known or known[1] ~= configured then
    known = {configured, gapNow(q, now, d, configured)}
    q.gaps[d] = known
  end
  return known[2], known[3]
end

-- steer takes in what a response's headers said: the provider's bucket is to
-- be kept half full, so that neither a limit configured too high nor somebody
-- else on the same key runs it dry. Its size is the most that was ever left.
-- What was left is old news: calls that were reserved since are in flight, or
-- wait for their time. So it is what will be left when the next may start that
-- counts; otherwise a bucket of few seconds would swing from empty to full.
local function steer(q, now, call, d, limit, left)
  if limit <= 0 or left < 0 or call.start < q[d .. 'from'] then return end
  local size = q[d .. 'limit'] == limit and q[d .. 'cap'] or 0
  size = math.max(size, left, limit / 60)
  local filled = limit * (math.max(now, q[d .. 'next']) - call.start) / MINUTE
  local expected = left + filled - (q[d .. 'sum'] - call[d .. 'sum'])
  q[d .. 'limit'], q[d .. 'cap'], q[d .. 'seen'], q[d .. 'from'] = limit, size, now, call.start
  q.gaps = {}
  q[d .. 'steer'] = clamp(0.5 + expected / size, 0.25, 1.1)
end

-- pause makes everybody wait: those who have a time already as well, in the same
-- order and at the same distances. It never shortens a pause.
local function pause(q, now, till)
  local more = till - math.max(now, q.pause)
  if more <= 0 then return end
  local begun = now >= q.pause and 1 or 0 -- whose time is this very moment has started
  q.pause, q.shift = till, q.shift + more - begun
  if q.rnext > now then q.rnext = q.rnext + more end
  if q.tnext > now then q.tnext = q.tnext + more end
end

-- limited is what a 429 does: it pauses the quota for everybody, never for
-- less than it was paused already, and takes a little off the limit. Calls that
-- started before the pause was over, or were reserved before the limit was last
-- cut, are of one wave with the first: they say nothing new.
local function limited(q, now, call, retry, settings, named)
  local start = call.start
  local fresh = start >= q.pause
  local taught = start < math.max(q.cut, q.rcut, q.tcut) + settings[4]
  if retry <= 0 then
    if not fresh then return end
    q.backoff = math.min(7, q.backoff + 1)
    retry = SECOND * 2 ^ (q.backoff - 1)
  end
  pause(q, now, now + math.min(retry, LONGEST))
  if not fresh or taught then return end
  local _, requests = gap(q, now, 'r', settings[1])
  local _, tokens = gap(q, now, 't', settings[2])
  if named == 'requests' and requests or named == 'tokens' and tokens or named == '' and (requests or tokens) then
    q.share, q.cut, q.gaps = math.max(0.05, 0.97 * share(q, now)), now, {}
    return
  end
  local which = named == 'requests' and {'r'} or named == 'tokens' and {'t'} or reached(q, now, call)
  local late = 0
  for _, d in ipairs(which) do
    local left, ahead = find(q, now, call, d), math.max(0, q[d .. 'next'] - now)
    late = math.max(late, ahead / left - ahead)
  end
  q.gaps = {}
  -- Those who have their time already have it by the pace that was too fast.
  pause(q, now, q.pause + math.min(late, settings[4]))
end

-- reserved is what a memo says of its call, nil without one.
local function reserved(q, memo)
  local start, tokens, rsum, tsum, shift = string.match(memo or '', '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  if not start then return nil end
  return {start = tonumber(start) + q.shift - tonumber(shift), tokens = tonumber(tokens), rsum = tonumber(rsum), tsum = tonumber(tsum)}
end

return {
  check = function(K, A, ctx)
    local s, worker, tokens, now = numbers(A[2]), A[1], tonumber(A[3]), ctx.now
    local rpm, tpm, most, horizon = s[1], s[2], s[3], s[4]
    local q = quota(K[1], now)
    if tpm > 0 and tokens > tpm then
      return {why = 'the call needs about ' .. int(tokens) .. ' tokens and the quota has ' .. int(tpm) .. ' a minute', final = true}
    end
    local rgap, tgap = gap(q, now, 'r', rpm), gap(q, now, 't', tpm)
    local before, taken = ahead(q, K[2], worker, now)
    local takes = math.ceil(math.max(rgap, tokens * tgap))
    if most > 0 and q.live + before >= most then
      queue(q, K[2], worker, now, BUSY, KEPT / 4, takes)
      return {why = 'all ' .. int(most) .. ' places of the quota are taken', wait = BUSY}
    end
    local start = math.max(now, q.rnext, q.tnext, q.pause)
    local turn = start + taken
    if turn > now + horizon then
      local wait = turn - horizon - now
      queue(q, K[2], worker, now, wait, KEPT, takes)
      if now < q.pause then return {why = 'the provider asked for a pause', wait = wait} end
      return {why = 'the quota is used up for now', wait = wait}
    end
    return nil, {start = start, tokens = tokens, rgap = rgap, tgap = tgap}
  end,

  apply = function(K, A, ctx, plan)
    local q, worker = quota(K[1], ctx.now), A[1]
    if plan.rgap > 0 then q.rnext = plan.start + plan.rgap end
    q.tnext = math.max(q.tnext, plan.start - CREDIT) + plan.tokens * plan.tgap
    q.live = q.live + 1
    q.rsum, q.tsum = q.rsum + 1, q.tsum + plan.tokens
    started(q, ctx.now)
    changed[q] = true
    if q.line >= ctx.now and line(q, K[2])[worker] then
      line(q, K[2])[worker] = nil
      redis.call('HDEL', K[2], worker)
    end
    return string.format('%.0f %.0f %.0f %.0f %.0f', plan.start, plan.tokens, q.rsum, q.tsum, q.shift), plan.start - ctx.now
  end,

  -- An admitted call asks once more when its time has come.
  due = function(K, A, ctx, memo)
    local q = quota(K[1], ctx.now)
    local call = reserved(q, memo)
    return call and clamp(call.start - ctx.now, 0, LONGEST) or 0
  end,

  leave = function(K, A, ctx, memo)
    local q, now = quota(K[1], ctx.now), ctx.now
    local s, used, call = numbers(A[2]), tonumber(A[3]), reserved(q, memo)
    if call and not ctx.lapsed then q.live = math.max(0, q.live - 1) end
    if call and A[7] ~= '' then
      local said = numbers(A[7])
      steer(q, now, call, 'r', said[1], said[2])
      steer(q, now, call, 't', said[3], said[4])
    end
    if call and used then
      local more = used - call.tokens
      if A[5] ~= 'limited' then q.tsum = q.tsum + more end
      q.tnext = math.max(q.tnext + more * gap(q, now, 't', s[2]), math.min(q.tnext, now - CREDIT))
    end
    if call and A[4] == '1' then
      q.rsum = q.rsum - 1
      q.rnext = math.max(q.rnext - gap(q, now, 'r', s[1]), math.min(q.rnext, now))
    end
    if A[5] == 'limited' then
      call = call or {start = now, tokens = 0, rsum = q.rsum, tsum = q.tsum}
      refuse(q, call)
      limited(q, now, call, tonumber(A[6]), s, A[8])
    elseif A[5] == 'ok' and call and call.start >= q.pause then
      q.backoff = 0
    end
    changed[q] = true
  end,

  lapse = function(K, A, ctx)
    local q = quota(K[1], ctx.now)
    q.live = math.max(0, q.live - 1)
    changed[q] = true
  end,

  finish = finish,
}
