-- The ledger's part of the gate's script. All money is in millionths of a
-- dollar, all times in microseconds.
--
-- KEYS, of an Enter and a Leave alike
--   1   root; behind it are
--         :settings  hash  account name -> limit that overrides the configured
--                          one
--         :live      hash  job -> the hold of its one live call
--         :lapsed    hash  call -> the hold of a call whose worker died
--         :unbooked  hash  call -> job, worst case, model, batch and time of a
--                          call whose worker died and that the book may not know
--         :accounts  set   the keys of all accounts
--         :alerts    zset  alert -> when to hand it out next
--         :budgets   hash  budget -> 1 if the sums count its calls, '' if they
--                          are to, from the next rebuilding on
--   2…  hash  the accounts of the call: name, title, limit, start, end,
--             alerts, alerted, told (share=amount; for each that alerted),
--             spent, held, presumed, ambiguous, model:<name> and batch:<id>
-- ARGV
--   1   the worst case (Enter) or what it cost (Leave)
--   2   job, 3 model, 4 batch
--   5   Enter: "", "resume", or "cheaper" if a cheaper model may answer instead;
--       Leave: "" or "presumed"
--   6…  the terms of each account: name, title, limit (0 for none), start and
--       end of its window (0 for none), what becomes of the rest when it is
--       spent ("bury", "expire", or "" for pause), the shares that alert, each
--       in millionths and followed by ";", the share from which cheaper models
--       come first (0 for never), and which budget it is of ('' for a batch's)
-- The worst case and the job are what differs from call to call.
-- A hold is call, worst case, model, batch and the keys of its accounts. The
-- parts of holds, terms and alerts have GS in between.
--
-- A check returns nil or a refusal. Its tag is "claimed" if the job has a live
-- call; otherwise its text tells which amount does not fit where, and the tag
-- is "never" if no call as large as this one fits, "cheaper" if a cheaper model
-- is to be asked, else what becomes of the rest if the account says so. Where
-- the sums do not count a budget of the call's, they are to be made anew.

local GS = '\29'
local UNTIL_CLAIM_ENDS, UNTIL_HOLDS_SETTLE, UNTIL_LIMIT_RISES = 1000000, 500000, 60000000

-- A group of calls shares most of its accounts, so whatever this run has read
-- is remembered, and what it has changed is written once, at its end.
local P
local overrides, terms, books, owners, changed = {}, {}, {}, {}, {}
local counted, wanted = {}, {}
local holds, moved, owned = {}, {}, {}

local function locate(root)
  if P then return end
  P = {}
  for _, part in ipairs({'settings', 'live', 'lapsed', 'unbooked', 'accounts', 'alerts', 'budgets'}) do P[part] = root .. ':' .. part end
end

local function split(text)
  local f = {}
  for v in string.gmatch(text .. GS, '([^' .. GS .. ']*)' .. GS) do f[#f + 1] = v end
  return f
end

-- warm reads the holds of all jobs of the group.
local function warm(K, list, first, last)
  locate(K[1])
  for i, hold in ipairs(redis.call('HMGET', P.live, unpack(list, first, last))) do holds[list[first + i - 1]] = hold end
end

-- live returns the hold that is kept under a field, or false.
local function live(field)
  local hold = holds[field]
  if hold == nil then
    hold = redis.call('HGET', P.live, field)
    holds[field] = hold
  end
  return hold
end

-- keep puts a hold under a field, or with false takes it away.
local function keep(field, hold)
  holds[field], moved[field] = hold, true
end

local function setting(name)
  local n = overrides[name]
  if not n then
    n = tonumber(redis.call('HGET', P.settings, name) or 0)
    overrides[name] = n
  end
  return n
end

local TERM = '([^' .. GS .. ']*)'
local TERMS = '^' .. string.rep(TERM .. GS, 7) .. TERM .. GS .. '?(.*)$' -- earlier builds do not tell the last

-- termsOf reads an account's terms, with the limit that is in force.
local function termsOf(text)
  local t = terms[text]
  if not t then
    local name, title, limit, start, finish, spent, alerts, cheaper, budget = string.match(text, TERMS)
    t = {name = name, title = title, limit = tonumber(limit), start = tonumber(start), finish = tonumber(finish),
      spent = spent, alerts = alerts, cheaper = tonumber(cheaper), budget = budget, set = false}
    if setting(name) > 0 then t.limit, t.set = setting(name), true end
    terms[text] = t
  end
  return t
end

-- eachShare visits the shares that alert, in millionths, each with what is spent
-- of the account's limit when it is reached. They are texts, also as keys of what
-- was told: the embedded Lua would make room for as many numbers as the largest.
local function eachShare(b, visit)
  if b.limit == 0 then return end
  for share in string.gmatch(b.alerts, '(%d+);') do
    visit(share, math.ceil(b.limit * tonumber(share) / 1000000))
  end
end

-- rearm takes in that the limit or the shares have changed: shares alert again
-- that are not reached any more. What was told once is not told again if the
-- limit is as before later on: while it changes, some workers have the old one.
local function rearm(b)
  local before = b.alerted
  b.alerted = 0
  eachShare(b, function(share, amount)
    local told = b.told[share] or 0
    if tonumber(share) <= before and b.spent >= amount then told = math.max(told, amount) end
    if told > 0 then b.told[share], b.retold = told, true end
    if told >= amount then b.alerted = math.max(b.alerted, tonumber(share)) end
  end)
end

-- book returns an account's sums.
local function book(key)
  local b = books[key]
  if not b then
    local v = redis.call('HMGET', key, 'name', 'title', 'alerts', 'limit', 'spent', 'held', 'presumed', 'ambiguous', 'alerted', 'told')
    b = {key = key, name = v[1], title = v[2], alerts = v[3] or '', limit = tonumber(v[4] or 0), spent = tonumber(v[5] or 0),
      held = tonumber(v[6] or 0), presumed = tonumber(v[7] or 0), ambiguous = tonumber(v[8] or 0), alerted = tonumber(v[9] or 0),
      told = {}, parts = {}, retold = false, described = false}
    for share, amount in string.gmatch(v[10] or '', '(%d+)=(%d+);') do b.told[share] = tonumber(amount) end
    books[key] = b
    if not v[10] and b.alerted > 0 then rearm(b) end -- of an earlier build
  end
  return b
end

-- counts reports whether the sums count the calls of a budget. One of another
-- configuration than that of whoever made them last they may not.
local function counts(budget)
  if budget == '' then return true end
  local is = counted[budget]
  if is == nil then
    is = redis.call('HGET', P.budgets, budget) == '1'
    counted[budget] = is
    if not is then wanted[budget] = true end
  end
  return is
end

-- accountsOf returns the accounts of a call with their terms. K is the same
-- table for all calls that have them in common.
local charged = {}

local function accountsOf(K, A, now)
  local list = charged[K]
  if not list then
    list = {}
    for i = 2, #K do
      local t = termsOf(A[i + 4])
      local current = now >= t.start and (t.finish == 0 or now < t.finish)
      list[i - 1] = {book = book(K[i]), terms = t, plain = current and t.cheaper == 0}
      list.uncounted = list.uncounted or not counts(t.budget)
    end
    charged[K] = list
  end
  return list
end

-- toldText is at which amount each share alerted last.
local function toldText(b)
  local parts = {}
  for share, amount in pairs(b.told) do parts[#parts + 1] = share .. '=' .. int(amount) .. ';' end
  return table.concat(parts)
end

local function finish()
  local set, gone = {}, {}
  for field in pairs(moved) do
    if holds[field] then
      set[#set + 1] = field
      set[#set + 1] = holds[field]
    else
      gone[#gone + 1] = field
    end
  end
  if #set > 0 then redis.call('HSET', P.live, unpack(set)) end
  if #gone > 0 then redis.call('HDEL', P.live, unpack(gone)) end
  for budget in pairs(wanted) do redis.call('HSETNX', P.budgets, budget, '') end
  for b in pairs(changed) do
    local fields = {'held', int(b.held), 'spent', int(b.spent), 'presumed', int(b.presumed), 'ambiguous', int(b.ambiguous),
      'alerted', int(b.alerted)}
    if b.retold then
      fields[#fields + 1] = 'told'
      fields[#fields + 1] = toldText(b)
    end
    for part, n in pairs(b.parts) do
      fields[#fields + 1] = part
      fields[#fields + 1] = int(n)
    end
    redis.call('HSET', b.key, unpack(fields))
  end
end

-- describe keeps an account's terms beside its sums.
local function describe(b, t)
  if b.name == t.name and b.limit == t.limit and b.alerts == t.alerts then return end
  b.name, b.title, b.alerts, b.limit = t.name, t.title, t.alerts, t.limit
  rearm(b)
  redis.call('HSET', b.key, 'name', t.name, 'title', t.title, 'alerts', t.alerts, 'limit', int(t.limit),
    'start', int(t.start), 'end', int(t.finish))
  redis.call('SADD', P.accounts, b.key)
end

-- usd prints an amount as package jobs does: $2.50, $0.000125.
local function usd(n)
  local s = string.format('%07.0f', n)
  return '$' .. string.sub(s, 1, -7) .. '.' .. string.match(string.sub(s, -6), '^(%d%d.-)0*$')
end

local function percent(share)
  return string.format('%.4g', share / 10000) .. ' %'
end

-- refusal says why the amount does not fit the account now, or nil.
local function refusal(b, t, amount, now, cheaper)
  if t.finish > 0 and now >= t.finish then
    return {why = 'the window of ' .. t.title .. ' has ended, and the clock of this worker is behind', wait = UNTIL_HOLDS_SETTLE}
  end
  if now < t.start then
    return {why = 'the window of ' .. t.title .. ' has not begun, and the clock of this worker is ahead',
      wait = math.min(t.start - now, UNTIL_LIMIT_RISES)}
  end
  if t.limit == 0 then return end
  -- A limit that was lowered beneath what is spent, or while workers run, may
  -- well be raised again: what does not fit it is not given up.
  if amount > t.limit and not t.set and b.spent + b.held <= t.limit then
    return {why = 'a call of up to ' .. usd(amount) .. ' can never fit: the budget of ' .. t.title .. ' is ' .. usd(t.limit),
      wait = 0, final = true, tag = 'never'}
  end
  if cheaper and t.cheaper > 0 and b.spent >= math.ceil(t.limit * t.cheaper / 1000000) then
    return {why = 'from ' .. percent(t.cheaper) .. ' on cheaper models come first, and ' .. usd(b.spent) .. ' of the budget of '
      .. usd(t.limit) .. ' of ' .. t.title .. ' is spent', wait = 0, final = true, tag = 'cheaper'}
  end
  if amount <= t.limit - b.spent - b.held then return end
  local no = {why = 'a call of up to ' .. usd(amount) .. ' does not fit: ' .. usd(b.spent) .. ' of the budget of '
    .. usd(t.limit) .. ' of ' .. t.title .. ' is spent, ' .. usd(b.held) .. ' held', wait = 0, tag = t.spent}
  if b.held > 0 and amount <= t.limit - b.spent then
    no.wait = UNTIL_HOLDS_SETTLE
  elseif t.finish > 0 and t.spent == '' then
    no.wait = math.min(t.finish - now, UNTIL_LIMIT_RISES)
  elseif b.held > 0 then
    no.wait = UNTIL_HOLDS_SETTLE
  else
    no.final = true
  end
  return no
end

-- fits reports whether there is no more to be said about an amount.
local function fits(b, limit, amount)
  return limit == 0 or amount <= limit and amount <= limit - b.spent - b.held
end

local function gravity(no)
  if not no.final then return 0 end
  if no.tag == 'never' then return 4 end
  if no.tag == 'cheaper' then return 1 end
  return no.tag == '' and 2 or 3
end

-- graver is the refusal that holds for longer.
local function graver(a, b)
  if not a or not b then return a or b end
  if gravity(a) ~= gravity(b) then return gravity(a) > gravity(b) and a or b end
  return b.wait > a.wait and b or a
end

-- check plans under which field of the live holds the call's is kept.
local function check(K, A, ctx)
  locate(K[1])
  local hold = live(A[2])
  if A[5] == 'resume' then return nil, hold and ctx.call or A[2] end
  if hold then
    return {why = 'claimed by call ' .. string.match(hold, '^[^' .. GS .. ']*') .. ', which is live', wait = UNTIL_CLAIM_ENDS,
      tag = 'claimed'}
  end
  local no
  local amount = tonumber(A[1])
  local accounts, cheaper = accountsOf(K, A, ctx.now), A[5] == 'cheaper'
  if accounts.uncounted then return {shut = true} end
  for i = 1, #accounts do
    local a = accounts[i]
    if not (a.plain and fits(a.book, a.terms.limit, amount)) then
      no = graver(no, refusal(a.book, a.terms, amount, ctx.now, cheaper))
    end
  end
  return no, A[2]
end

-- ownerOf reads the part of a hold that many calls have in common, and ownerText
-- writes it. K is the same table for all of them.
local function ownerOf(text)
  local o = owners[text]
  if not o then
    local f = split(text)
    o = {model = 'model:' .. f[1], batch = 'batch:' .. f[2], books = {}}
    for i = 3, #f do o.books[i - 2] = book(f[i]) end
    owners[text] = o
  end
  return o
end

local function ownerText(K, A)
  local text = owned[K]
  if not text then
    text = table.concat({A[3], A[4], table.concat(K, GS, 2)}, GS)
    owned[K] = text
  end
  return text
end

local function apply(K, A, ctx, field)
  local amount = tonumber(A[1])
  local accounts = accountsOf(K, A, ctx.now)
  for i = 1, #accounts do
    local a = accounts[i]
    local b = a.book
    -- Whoever restores a call after a loss does not know its batch's terms.
    if b.described ~= a.terms and (A[5] ~= 'resume' or not b.name) then
      describe(b, a.terms)
      b.described = a.terms
    end
    changed[b] = true
    b.held = b.held + amount
  end
  keep(field, ctx.call .. GS .. A[1] .. GS .. ownerText(K, A))
  return '', 0
end

local function opened(text)
  local call, worst, owner = string.match(text, '^([^' .. GS .. ']*)' .. GS .. '(%d+)' .. GS .. '(.*)$')
  return {call = call, worst = tonumber(worst), owner = ownerOf(owner), text = text}
end

-- release takes the call's hold from those that are live.
local function release(A, ctx)
  local field, hold = A[2], live(A[2])
  if hold then hold = opened(hold) end
  if not hold or hold.call ~= ctx.call then
    field, hold = ctx.call, live(ctx.call)
    if hold then hold = opened(hold) end
  end
  if not hold or hold.call ~= ctx.call then return end
  keep(field, false)
  return hold
end

-- found is the hold of a call that had lapsed.
local function found(ctx)
  local text = redis.call('HGET', P.lapsed, ctx.call)
  if not text then return end
  redis.call('HDEL', P.lapsed, ctx.call)
  redis.call('HDEL', P.unbooked, ctx.call)
  return opened(text)
end

-- unheard makes up a hold of nothing for a call that the store has lost.
local function unheard(K, A, now)
  for _, a in ipairs(accountsOf(K, A, now)) do
    if not a.book.name then describe(a.book, a.terms) end
  end
  return {worst = 0, owner = ownerOf(ownerText(K, A))}
end

local function alert(b, now)
  eachShare(b, function(share, amount)
    if b.spent < amount or amount <= (b.told[share] or 0) then return end
    redis.call('ZADD', P.alerts, int(now), table.concat({b.key, b.name, b.title, share, int(b.limit), int(b.spent), int(now)}, GS))
    b.told[share], b.retold, b.alerted = amount, true, math.max(b.alerted, tonumber(share))
  end)
end

-- part is a model's or a batch's part of an account.
local function part(b, field)
  return b.parts[field] or tonumber(redis.call('HGET', b.key, field) or 0)
end

-- post moves the sums of every account of the hold.
local function post(hold, now, held, spent, presumed, ambiguous)
  local o = hold.owner
  for i = 1, #o.books do
    local b = o.books[i]
    changed[b] = true
    b.held, b.spent = b.held + held, b.spent + spent
    b.presumed, b.ambiguous = b.presumed + presumed, b.ambiguous + ambiguous
    local parts = b.parts
    parts[o.model] = (parts[o.model] or part(b, o.model)) + spent
    parts[o.batch] = (parts[o.batch] or part(b, o.batch)) + spent
    if spent > 0 and b.alerts ~= '' then alert(b, now) end
  end
end

local function leave(K, A, ctx)
  if ctx.booked then return end
  locate(K[1])
  local cost = tonumber(A[1])
  local ambiguous = A[5] == 'presumed' and cost or 0
  local hold = release(A, ctx)
  if hold then return post(hold, ctx.now, -hold.worst, cost, 0, ambiguous) end
  hold = found(ctx)
  if hold then return post(hold, ctx.now, 0, cost - hold.worst, -hold.worst, ambiguous) end
  post(unheard(K, A, ctx.now), ctx.now, 0, cost, 0, ambiguous)
end

local function lapse(K, A, ctx)
  locate(K[1])
  local hold = release(A, ctx)
  if not hold then return end
  redis.call('HSET', P.lapsed, ctx.call, hold.text)
  redis.call('HSET', P.unbooked, ctx.call, table.concat({A[2], A[1], A[3], A[4], int(ctx.now)}, GS))
  post(hold, ctx.now, -hold.worst, hold.worst, hold.worst, 0)
end

return {warm = warm, check = check, apply = apply, leave = leave, lapse = lapse, finish = finish}
