-- What the limiter does when a call enters, when its time has come and when it
-- leaves. A part of limiter.lua, which explains the arguments.

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
    q.share, q.cut = math.max(0.05, 0.97 * share(q, now)), now
    return
  end
  local which = named == 'requests' and {'r'} or named == 'tokens' and {'t'} or reached(q, now, call)
  local late = 0
  for _, d in ipairs(which) do
    local left, ahead = find(q, now, call, d), math.max(0, q[d .. 'next'] - now)
    late = math.max(late, ahead / left - ahead)
  end
  -- Those who have their time already have it by the pace that was too fast.
  pause(q, now, q.pause + math.min(late, settings[4]))
end

-- reserved is what a memo says of its call, nil without one.
local function reserved(q, memo)
  local n = numbers(memo or '')
  if not n[5] then return nil end
  return {start = n[1] + q.shift - n[5], tokens = n[2], rsum = n[3], tsum = n[4], rbooked = n[6] or q.rbooked, tbooked = n[7] or q.tbooked}
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
    spill(q, ctx.now, 'r')
    spill(q, ctx.now, 't')
    if plan.rgap > 0 then q.rnext = plan.start + plan.rgap end
    q.tnext = math.max(q.tnext, plan.start - CREDIT) + plan.tokens * plan.tgap
    q.live = q.live + 1
    q.rsum, q.tsum = q.rsum + 1, q.tsum + plan.tokens
    q.rbooked, q.tbooked = q.rbooked + 1, q.tbooked + plan.tokens
    started(q, ctx.now)
    changed[q] = true
    if q.line >= ctx.now and line(q, K[2])[worker] then
      line(q, K[2])[worker] = nil
      redis.call('HDEL', K[2], worker)
    end
    return string.format('%.0f %.0f %.0f %.0f %.0f %.0f %.0f', plan.start, plan.tokens, q.rsum, q.tsum, q.shift, q.rbooked, q.tbooked), plan.start - ctx.now
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
    if call and (A[4] == '1' or A[5] == 'limited') then
      q.rbooked, q.tbooked = q.rbooked - 1, q.tbooked - call.tokens
    end
    if call and A[7] ~= '' then
      local said, took = numbers(A[7]), A[5] ~= 'limited'
      steer(q, now, call, 'r', said[1], said[2], 1, took)
      steer(q, now, call, 't', said[3], said[4], took and used or call.tokens, took)
    end
    if call and used then
      local more = used - call.tokens
      if A[5] ~= 'limited' then q.tsum = q.tsum + more end
      if used == 0 or not believed(q, now, 't', s[2]) then
        q.tnext = math.max(q.tnext + more * gap(q, now, 't', s[2]), math.min(q.tnext, now - CREDIT))
      end
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
