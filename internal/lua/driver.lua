-- The gate's script: a group of operations, each of which stands or falls
-- alone. The modules of the guards are put in front of this text, each as a
-- member of the table M.
--
-- KEYS[1]  epoch    string; the sums can be trusted if it is of this history, see epoch.lua
-- KEYS[2]  calls    zset of call id -> end of its lease, in microseconds
-- KEYS[3]  records  hash of call id -> its record, see below
-- KEYS[4]  lapsed   zset of call id -> when its lease had ended, in microseconds
-- KEYS[5]  turn     string; which of the next two sets is being filled, and since when
-- KEYS[6]  left:0   set of the calls that left lately
-- KEYS[7]  left:1   set of those that left just before or after
-- KEYS[8]  booked   set of the calls that were in the book when the sums were last rebuilt
-- KEYS[9…] the keys of the forms, and of their texts
--
-- ARGV is flat. Lists are preceded by how many there are.
--   how long, in seconds, the text of a form is kept
--   forms   what steps have in common: module, indexes into KEYS, arguments,
--           which of the arguments vary, their id, the index of its text in
--           KEYS (0 if it is not recorded) and the text
--   shapes  what operations have in common: kind, lease in microseconds, forms
--   calls   those that enter, then the others, each in the order of the operations
--   warm    form, values: what its module will look up
--   operations: a shape, then the varying arguments of all its steps. A beat
--           has a list of calls instead.
-- Kinds are
--   E  enter: the call may be made, or not
--   R  restore: the same for a call that is being made, also while there is no epoch
--   L  leave: this became of the call
--   D  due: how long does the admitted call still wait?
--   B  beat: these calls are alive
--
-- Returns for each operation
--   0 or more           done; the call waits this long, in us
--   -1                  no epoch: nothing was done
--   -2                  the call has left already
--   {0, module, why, wait, final, tag}    refused; final is 1 or 0
--   {-2, text}          a module failed
--   {3, call…}          beat: these calls have lapsed
--
-- A record is "I", the wait, the modules' names and memos, and the forms with
-- what varied, while the call is in flight. It begins with "P" once its lease has
-- lapsed, and with "B" if the sums were rebuilt from a book that had the call.

local SEP, END = '\31', '\30'
local MEMORY = 180000000       -- calls that left are remembered at least so long: repeats of a Leave come within seconds
local FROZEN = 24 * 3600000000 -- and those that lapsed: their worker may thaw
local NO_EPOCH, LEFT = -1, -2
local LAPSED, BOOKED = string.byte('P'), string.byte('B')

local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end
local function count()
  at = at + 1
  return tonumber(ARGV[at])
end
local function list()
  local n = count()
  at = at + n
  return {unpack(ARGV, at - n + 1, at)}
end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local state = redis.call('MGET', KEYS[1], KEYS[5])
local open = trusted(state[1])
local prefix = string.match(KEYS[2], '^(.*)calls$')
local kept = take()

local forms = {}
for i = 1, count() do
  local name = take()
  local m, keys, args, vary = M[name], list(), list(), list()
  for k = 1, #keys do keys[k] = KEYS[tonumber(keys[k])] end
  for v = 1, #vary do vary[v] = tonumber(vary[v]) end
  forms[i] = {name = name, keys = keys, args = args, vary = vary, head = SEP .. name .. SEP,
    tail = END .. take(), key = KEYS[count()], text = take(), saved = false,
    check = m.check, apply = m.apply, leave = m.leave, due = m.due}
end

-- Each of the slots of a shape, an arguments' table and a place in it, is filled
-- for every operation. Its memos are what its forms' modules wrote down of an
-- operation of the same modules.
local shapes = {}
for i = 1, count() do
  local s = {kind = take(), lease = count(), forms = {}, slots = {}, memos = '^.%d+'}
  for f = 1, count() do
    local form = forms[count()]
    s.forms[f] = form
    s.memos = s.memos .. form.head .. '([^' .. SEP .. END .. ']*)'
    for _, place in ipairs(form.vary) do
      s.slots[#s.slots + 1] = form.args
      s.slots[#s.slots + 1] = place
    end
  end
  s.enters = s.kind == 'E' or s.kind == 'R'
  shapes[int(i)] = s
end

-- What is known of all calls is read at once.
local records, left = {}, {}
local entering, others = count(), count()
local nextEnter, nextOther = at, at + entering
if entering + others > 0 then
  for i, text in ipairs(redis.call('HMGET', KEYS[3], unpack(ARGV, at + 1, at + entering + others))) do
    records[ARGV[at + i]] = text
  end
end
if entering > 0 then
  for set = 6, 8 do
    for i, is in ipairs(redis.call('SMISMEMBER', KEYS[set], unpack(ARGV, at + 1, at + entering))) do
      if is == 1 then left[ARGV[at + i]] = true end
    end
  end
end
at = at + entering + others

for _ = 1, count() do
  local f, n = forms[count()], count()
  M[f.name].warm(f.keys, ARGV, at + 1, at + n)
  at = at + n
end

-- And it is written at once: records, leases, and the calls that are gone.
local written, due, gone = {}, {}, {}

-- leftNow is the set that the calls go to that leave now.
local function leftNow()
  local which, since = string.match(state[2] or '', '^(%d) (%d+)$')
  which, since = tonumber(which or 0), tonumber(since)
  if since and now >= since and now - since <= MEMORY then return KEYS[6 + which] end
  if since and now > since then
    which = 1 - which
    redis.call('UNLINK', KEYS[6 + which])
  end
  state[2] = which .. ' ' .. int(now)
  redis.call('SET', KEYS[5], state[2])
  return KEYS[6 + which]
end

local function flush()
  if #written > 0 then redis.call('HSET', KEYS[3], unpack(written)) end
  if #due > 0 then redis.call('ZADD', KEYS[2], unpack(due)) end
  if #gone > 0 then
    redis.call('HDEL', KEYS[3], unpack(gone))
    redis.call('ZREM', KEYS[2], unpack(gone))
    redis.call('SADD', leftNow(), unpack(gone))
  end
  written, due, gone = {}, {}, {}
end

local ctx = {now = now}

local function save(f)
  redis.call('SET', f.key, f.text, 'EX', kept)
  f.saved = true
end

local parts = {} -- of a record
local function record(call, list, memos, wait)
  parts[1], parts[2] = 'I', wait == 0 and '0' or int(wait)
  local n = 2
  for i = 1, #list do
    parts[n + 1], parts[n + 2] = list[i].head, memos[i]
    n = n + 2
  end
  for i = 1, #list do
    local f = list[i]
    if not f.saved then save(f) end
    n = n + 1
    parts[n] = f.tail
    local args, vary = f.args, f.vary
    for v = 1, #vary do
      parts[n + 1], parts[n + 2] = SEP, args[vary[v]]
      n = n + 2
    end
  end
  local text = table.concat(parts, '', 1, n)
  records[call] = text
  written[#written + 1] = call
  written[#written + 1] = text
end

local plans, memos = {}, {}

local function admit(call, shape, restoring)
  local known, list = records[call], shape.forms
  if known then
    if string.sub(known, 1, 1) ~= 'I' then return LEFT end
    -- A repeat of an enter whose reply was lost: same answer, nothing twice.
    return tonumber(string.match(known, '^I(%d+)'))
  end
  if left[call] then
    if not restoring then return LEFT end
    -- A call to be restored that has left is one that the rebuilt sums would
    -- miss: its outcome is not in the book yet. It leaves once more.
    flush()
  end
  if not open and not restoring then return NO_EPOCH end
  ctx.call, ctx.lapsed, ctx.unknown = call, false, false
  for i = 1, #list do
    local f = list[i]
    local no, plan = f.check(f.keys, f.args, ctx)
    if no and no.shut then
      redis.call('DEL', KEYS[1])
      open = false
      return NO_EPOCH
    end
    if no then return {0, f.name, no.why, no.wait or 0, no.final and 1 or 0, no.tag or ''} end
    plans[i] = plan
  end
  local wait = 0
  for i = 1, #list do
    local f = list[i]
    local memo, w = f.apply(f.keys, f.args, ctx, plans[i])
    memos[i] = memo or ''
    if w and w > wait then wait = w end
  end
  record(call, list, memos, wait)
  due[#due + 1] = int(now + wait + shape.lease)
  due[#due + 1] = call
  return wait
end

-- recalled returns the modules' memos by name.
local function recalled(known)
  local memo = {}
  for name, m in string.gmatch(string.match(known, '^[^' .. END .. ']*'), SEP .. '([^' .. SEP .. ']*)' .. SEP .. '([^' .. SEP .. ']*)') do
    memo[name] = m
  end
  return memo
end

-- memosOf returns the modules' memos in the order of the shape's forms, nil for
-- those that have none.
local function memosOf(known, shape)
  if not known then return {} end
  local found = {string.match(known, shape.memos)}
  if found[1] then return found end
  local memo = recalled(known)
  for i, f in ipairs(shape.forms) do found[i] = memo[f.name] end
  return found
end

local function departed(call)
  if left[call] then return true end
  for set = 6, 8 do
    if redis.call('SISMEMBER', KEYS[set], call) == 1 then return true end
  end
  return false
end

local function leave(call, shape)
  if not open then return NO_EPOCH end
  local known = records[call]
  if not known and departed(call) then return LEFT end
  local memo, list = memosOf(known, shape), shape.forms
  local state = known and string.byte(known)
  ctx.call, ctx.lapsed, ctx.booked, ctx.unknown = call, state == LAPSED, state == BOOKED, not known
  for i = 1, #list do
    local f = list[i]
    f.leave(f.keys, f.args, ctx, memo[i])
  end
  records[call], left[call] = false, true
  gone[#gone + 1] = call
  return ctx.booked and LEFT or 0
end

-- due asks the modules that make calls wait. Of a call that is not known there
-- is nothing to say.
local function dueIn(call, shape)
  local known = records[call]
  if not known or string.sub(known, 1, 1) ~= 'I' then return 0 end
  local wait, memo = 0, memosOf(known, shape)
  ctx.call, ctx.lapsed, ctx.unknown = call, false, false
  for i, f in ipairs(shape.forms) do wait = math.max(wait, f.due(f.keys, f.args, ctx, memo[i])) end
  return wait
end

local function fields(s)
  local list = {}
  for v in string.gmatch(s .. SEP, '([^' .. SEP .. ']*)' .. SEP) do list[#list + 1] = v end
  return list
end

-- recorded makes a step of its form's text, which is module, number of keys,
-- keys, number of arguments, arguments and which of them vary, and of what
-- varied.
local function recorded(known, varied)
  local t, s = fields(known), {keys = {}, args = {}}
  local keys = tonumber(t[2])
  local args = tonumber(t[3 + keys])
  s.name = t[1]
  for k = 1, keys do s.keys[k] = t[2 + k] end
  for a = 1, args do s.args[a] = t[3 + keys + a] end
  for v = 4 + keys + args, #t do s.args[tonumber(t[v])] = varied[v - 2 - keys - args] end
  return s
end

local function lapse(call)
  local known = records[call] or redis.call('HGET', KEYS[3], call)
  redis.call('ZREM', KEYS[2], call)
  if not known or string.byte(known) == LAPSED then return end
  local memo = recalled(known)
  ctx.call, ctx.lapsed, ctx.unknown = call, false, false
  for part in string.gmatch(known, END .. '([^' .. END .. ']*)') do
    local varied = fields(part)
    local form = redis.call('GET', prefix .. 'form:' .. varied[1])
    if form then
      local s = recorded(form, varied)
      M[s.name].lapse(s.keys, s.args, ctx, memo[s.name])
    end
  end
  if string.byte(known) == BOOKED then
    records[call] = false
    redis.call('HDEL', KEYS[3], call)
    return
  end
  records[call] = 'P' .. string.sub(known, 2)
  redis.call('HSET', KEYS[3], call, records[call])
  redis.call('ZADD', KEYS[4], int(now), call)
end

-- Lapsed calls are cleared away by whoever comes next; a few at a time, so
-- that one script stays short. Those that lapsed a day ago are forgotten.
local function sweep()
  local late = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', int(now), 'LIMIT', 0, 100)
  if #late == 0 then return end
  for _, call in ipairs(late) do lapse(call) end
  for _, call in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', int(now - FROZEN), 'LIMIT', 0, 200)) do
    redis.call('ZREM', KEYS[4], call)
    redis.call('HDEL', KEYS[3], call)
  end
end

local function beat(_, shape)
  local calls, lapsed = list(), {3}
  flush()
  if #calls == 0 then return lapsed end
  for i, score in ipairs(redis.call('ZMSCORE', KEYS[2], unpack(calls))) do
    if score then
      due[#due + 1] = int(now + shape.lease)
      due[#due + 1] = calls[i]
    else
      lapsed[#lapsed + 1] = calls[i]
    end
  end
  return lapsed
end

local operations = {
  E = admit, L = leave, D = dueIn, B = beat,
  R = function(call, shape) return admit(call, shape, true) end,
}

-- nextCall reads the call and the arguments of an operation.
local function nextCall(shape)
  local slots = shape.slots
  for i = 1, #slots, 2 do
    at = at + 1
    slots[i][slots[i + 1]] = ARGV[at]
  end
  if shape.enters then
    nextEnter = nextEnter + 1
    return ARGV[nextEnter]
  elseif shape.kind ~= 'B' then
    nextOther = nextOther + 1
    return ARGV[nextOther]
  end
end

if open then sweep() end
local replies = {}
for i = 1, count() do
  local shape = shapes[take()]
  -- A fault in one operation must not take the others with it.
  local ok, reply = pcall(operations[shape.kind], nextCall(shape), shape)
  replies[i] = ok and reply or {-2, type(reply) == 'table' and reply.err or tostring(reply)}
end
flush()
for _, m in pairs(M) do
  if m.finish then m.finish() end
end
return replies
