-- The breaker: may this model be called? There is one circuit for the fleet
-- and, in the same hash, one for each replica, so that a replica whose own
-- network is broken shuts itself out and nobody else.
--
-- KEYS[1]  circuits  hash of 'fleet' or a worker's name -> the FIELDS below
--
-- ARGV of Enter, Due and Leave: worker, settings: failures, recovery (us), probes,
--   window (us), least volume of the window and the rate of failures that
--   opens (%), with blanks in between
-- and of Leave also: verdict (good, bad, neutral or broken)
--
-- The memo says in which generation and as what the call passed the fleet's
-- circuit and its own: "3p 0n" with n normal, p probe, r while ramping up.

local FIELDS = {'state', 'gen', 'since', 'till', 'fails', 'probes', 'passed',
  'ramp', 'live', 'window', 'good', 'bad', 'oldgood', 'oldbad', 'seen'}
local CLOSED, OPEN, HALF = 0, 1, 2
local RAMP = 10 -- seconds, each allowing twice as many calls as the one before

local loaded, changed = {}, {}

local function parse(key, who, text)
  local c = {key = key, who = who, new = not text, state = 0, gen = 0, since = 0, till = 0, fails = 0, probes = 0, passed = 0,
    ramp = 0, live = 0, window = 0, good = 0, bad = 0, oldgood = 0, oldbad = 0, seen = 0}
  local i = 0
  for n in string.gmatch(text or '', '%S+') do
    i = i + 1
    c[FIELDS[i]] = tonumber(n)
  end
  loaded[key][who] = c
  return c
end

local function circuit(key, who)
  local l = loaded[key]
  if not l then
    l = {}
    loaded[key] = l
  end
  return l[who] or parse(key, who, redis.call('HGET', key, who))
end

local function save(c) changed[c] = true end

local function finish()
  for c in pairs(changed) do
    local out = {}
    for i, f in ipairs(FIELDS) do out[i] = int(c[f]) end
    redis.call('HSET', c.key, c.who, table.concat(out, ' '))
  end
end

-- all loads every circuit of the hash and forgets workers long gone.
local function all(key, now, window)
  local list = redis.call('HGETALL', key)
  for i = 1, #list, 2 do
    local c = loaded[key][list[i]] or parse(key, list[i], list[i + 1])
    if c.who ~= 'fleet' and now - c.seen > 10 * window and not changed[c] then
      redis.call('HDEL', key, c.who)
      loaded[key][c.who] = nil
    end
  end
  return loaded[key]
end

-- Settings and memos repeat within a group, so they are parsed once.
local parsed, passes = {}, {}

local function settings(text)
  local s = parsed[text]
  if not s then
    local n = {}
    for v in string.gmatch(text, '%S+') do n[#n + 1] = tonumber(v) end
    s = {failures = n[1], recovery = n[2], probes = n[3], window = n[4], volume = n[5], rate = n[6]}
    parsed[text] = s
  end
  return s
end

local function passed(memo)
  local p = passes[memo]
  if not p then
    local fgen, fas, ogen, oas = string.match(memo, '^(%d+)(%a) (%d+)(%a)$')
    p = {fgen = tonumber(fgen), fas = fas, ogen = tonumber(ogen), oas = oas}
    passes[memo] = p
  end
  return p
end

-- Nearly all calls pass two closed circuits and bring a good result. What such
-- calls have in common is kept by K, which is the same table for all of them,
-- until a circuit changes: the circuits and the memo.
local calm = {}

local function open(c, now, recovery)
  calm = {}
  c.state, c.gen, c.since, c.till = OPEN, c.gen + 1, now, now + recovery
  c.probes, c.passed, c.ramp, c.live = 0, 0, 0, 0
  c.window, c.good, c.bad, c.oldgood, c.oldbad = now, 0, 0, 0, 0
end

local function close(c, now)
  calm = {}
  c.state, c.since, c.till, c.fails, c.ramp, c.live = CLOSED, now, 0, 0, now, 0
end

-- turn makes the one change that comes with time: an open circuit becomes
-- half-open. A clock that was put back to before the opening counts as over.
local function turn(c, now)
  if c.state == OPEN and (now >= c.till or now < c.since) then
    c.state, c.since, c.probes, c.passed = HALF, now, 0, 0
  end
  return c
end

-- mine is a worker's own circuit as it counts now. What a worker had against
-- the model before the fleet's circuit changed is forgotten: the fleet finds
-- out for everybody.
local function mine(own, fleet, now)
  if own.state ~= CLOSED and own.since <= fleet.since then
    own.state, own.gen, own.fails, own.probes, own.ramp = CLOSED, own.gen + 1, 0, 0, 0
  end
  return turn(own, now)
end

local function pair(key, worker, now)
  local fleet = turn(circuit(key, 'fleet'), now)
  return fleet, mine(circuit(key, worker), fleet, now)
end

-- room is how many calls may be in flight while a circuit that has just
-- closed ramps up; nil once it is free.
local function room(c, now, probes)
  local elapsed = now - c.ramp
  if c.ramp == 0 or elapsed < 0 or elapsed >= RAMP * 1000000 then return nil end
  return probes * 2 ^ math.floor(elapsed / 1000000)
end

local function soon(s) return math.max(50000, math.min(1000000, s.recovery / 30)) end

-- refusal says why the circuit lets no call pass now, or nil. Its tag is the state.
local function refusal(c, now, s)
  local whose = c.who == 'fleet' and 'the circuit' or "this worker's own circuit"
  if c.state == OPEN then
    return {why = whose .. ' is open after ' .. int(c.fails) .. ' failures', wait = c.till - now, tag = 'open'}
  end
  if c.state == HALF and c.probes >= s.probes then
    return {why = whose .. ' is half open and ' .. int(c.probes) .. ' probes are under way', wait = soon(s), tag = 'half-open'}
  end
  local most = c.state == CLOSED and room(c, now, s.probes)
  if most and c.live >= most then
    return {why = whose .. ' has just closed and calls are ramping up', wait = soon(s), tag = 'closed'}
  end
end

-- bars is how long a call that passed in an earlier generation is kept by what
-- the circuit has become since.
local function bars(c, gen, now, s)
  if c.gen == gen or c.state == CLOSED then return 0 end
  return c.state == OPEN and c.till - now or soon(s)
end

local function admit(c, now, s)
  local as = 'n'
  if c.state == HALF then
    c.probes, as = c.probes + 1, 'p'
    save(c)
  elseif room(c, now, s.probes) then
    c.live, as = c.live + 1, 'r'
    save(c)
  end
  return int(c.gen) .. as
end

local function free(c, now, s) return c.state == CLOSED and not room(c, now, s.probes) end

-- settle remembers a pair that is closed for good, and whose windows are of now.
local function settle(K, fleet, own, now, s)
  if free(fleet, now, s) and free(own, now, s) then
    calm[K] = {fleet = fleet, own = own, memo = int(fleet.gen) .. 'n ' .. int(own.gen) .. 'n'}
  end
end

-- release gives back the place of a probe, or of a call in the ramp.
local function release(c, as)
  if as == 'p' and c.state == HALF then c.probes = math.max(0, c.probes - 1) end
  if as == 'r' then c.live = math.max(0, c.live - 1) end
  if as ~= 'n' then save(c) end
end

-- count adds a result to the sliding window, which is made of the current
-- stretch and the part of the last one that it still covers.
local function count(c, now, window, field)
  local age = now - c.window
  if age < 0 or age >= 2 * window then
    c.window, c.good, c.bad, c.oldgood, c.oldbad = now, 0, 0, 0, 0
  elseif age >= window then
    c.window, c.oldgood, c.oldbad, c.good, c.bad = c.window + window, c.good, c.bad, 0, 0
  end
  c[field] = c[field] + 1
end

local function failing(c, now, s, verdict)
  if verdict == 'broken' or c.fails >= s.failures then return true end
  local part = 1 - (now - c.window) / s.window
  local bad = c.bad + part * c.oldbad
  local total = bad + c.good + part * c.oldgood
  return total >= s.volume and bad * 100 >= s.rate * total
end

-- quorum reports whether most of the replicas that lately heard of the model
-- heard nothing good.
local function quorum(key, fleet, now, window)
  local live, bad = 0, 0
  for who, c in pairs(all(key, now, window)) do
    if who ~= 'fleet' and c.seen > 0 and now - c.seen <= window then
      live = live + 1
      mine(c, fleet, now)
      if c.fails > 0 or c.state ~= CLOSED then bad = bad + 1 end
    end
  end
  return bad * 2 > live
end

local function always() return true end

-- learn moves one circuit by the result of a call that belongs to its present
-- generation.
local function learn(c, now, s, verdict, agreed)
  if verdict == 'good' then
    if c.state == HALF then
      c.passed = c.passed + 1
      if c.passed >= s.probes then close(c, now) end
    else
      c.fails = 0
      count(c, now, s.window, 'good')
    end
  else
    c.fails = c.fails + 1
    if c.state == CLOSED then count(c, now, s.window, 'bad') end
    if c.state == HALF or failing(c, now, s, verdict) and agreed() then open(c, now, s.recovery) end
  end
  save(c)
end

return {
  check = function(K, A, ctx)
    if calm[K] then return end
    local s = settings(A[2])
    local fleet, own = pair(K[1], A[1], ctx.now)
    return refusal(fleet, ctx.now, s) or refusal(own, ctx.now, s)
  end,

  apply = function(K, A, ctx)
    if calm[K] then return calm[K].memo, 0 end
    local s = settings(A[2])
    local fleet, own = pair(K[1], A[1], ctx.now)
    settle(K, fleet, own, ctx.now, s)
    return admit(fleet, ctx.now, s) .. ' ' .. admit(own, ctx.now, s), 0
  end,

  -- A call that waited for its time is not sent into a circuit that has opened
  -- meanwhile.
  due = function(K, A, ctx, memo)
    if not memo then return 0 end
    local s, p = settings(A[2]), passed(memo)
    local fleet, own = pair(K[1], A[1], ctx.now)
    return math.max(bars(fleet, p.fgen, ctx.now, s), bars(own, p.ogen, ctx.now, s))
  end,

  leave = function(K, A, ctx, memo)
    local c = calm[K]
    if c and c.memo == memo and A[3] == 'good' then
      local fleet, own = c.fleet, c.own
      fleet.good, own.good, fleet.fails, own.fails = fleet.good + 1, own.good + 1, 0, 0
      return
    end
    if not memo then return end
    local s, now, verdict, p = settings(A[2]), ctx.now, A[3], passed(memo)
    local fleet, own = pair(K[1], A[1], now)
    local current, still = p.fgen == fleet.gen, p.ogen == own.gen
    if not ctx.lapsed then
      if current then release(fleet, p.fas) end
      if still then release(own, p.oas) end
    end
    if verdict == 'neutral' or not current then return end
    if own.new then all(K[1], now, s.window) end
    own.new, own.seen = false, now
    save(own)
    if still then learn(own, now, s, verdict, always) end
    learn(fleet, now, s, verdict, function() return quorum(K[1], fleet, now, s.window) end)
    -- What shut this worker out alone is not held against the model.
    if still and own.state == OPEN and fleet.state == CLOSED then
      fleet.fails = math.max(0, fleet.fails - own.fails)
    end
    if still and verdict == 'good' then settle(K, fleet, own, now, s) end
  end,

  lapse = function(K, A, ctx, memo)
    local p = passed(memo)
    local fleet, own = pair(K[1], A[1], ctx.now)
    if p.fgen == fleet.gen then release(fleet, p.fas) end
    if p.ogen == own.gen then release(own, p.oas) end
  end,

  finish = finish,
}
