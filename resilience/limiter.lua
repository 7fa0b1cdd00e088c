-- The limiter: when may this quota be asked next? It reserves start times a
-- little ahead, first come, first served, for the whole fleet.
--
-- KEYS[1]  quota  hash of the FIELDS below
-- KEYS[2]  line   hash of worker -> "ticket expires takes", in microseconds: who
--                 was refused, when first, until when its place is kept, and how
--                 much of the quota its call takes up
--
-- ARGV of all: worker, settings: requests a minute, tokens a minute,
--   calls at once (0: no limit) and the horizon (us), with blanks in between
-- of Enter also: tokens
-- of Leave also: tokens used ('' if unknown), 1 if the request never reached
--   the provider, outcome (ok, limited or other), retry after (us, 0 if not
--   said), what the headers said: '' or the requests' limit and rest and the
--   tokens' limit and rest, negative if not said; and what a 429 named as used
--   up: requests, tokens or ''
--
-- The memo is "start tokens requests' sum tokens' sum shift requests booked
-- tokens booked", as calls of earlier builds have it that are still in flight.
-- The shift is negative where the clock was put back.

local FIELDS = {
  'at',               -- when this was written
  'live',             -- calls in flight
  'pause',            -- until when nobody may start
  'shift',            -- by how much pauses have put off all calls that waited for their time
  'backoff',          -- pauses in a row whose length the provider left to us
  'share', 'cut',     -- what 429s taught: the part of the limit that is ours, as of when
  'stretch', 'starts', 'before', -- calls started in this stretch of time and in the last
  'line',             -- until when somebody has a place in the line
}
-- What there is of requests and of tokens alike, in q.r and q.t.
local EACH = {
  'next',             -- when the next may start
  'found', 'cut', 'slow', 'rested', 'mark', 'passed', 'order', -- where nobody knows the limit: see limiter_found.lua
  'sum',              -- reserved, of all calls so far
  'refused',          -- how much of that was refused
  'booked',           -- the same of calls that were let through, tokens as was expected
  'limit', 'cap', 'bare', 'from', 'left', 'base', 'drain', 'since', 'upto', 'had', 'reset', -- what headers said: see limiter_steer.lua
}
-- NAMES are those of the hash: of FIELDS, and of EACH of the requests and of
-- the tokens. They are written out, and tables made with all of their fields,
-- since the whole of this runs for every group of calls: to put names together
-- and to grow tables took a third of its time.
local NAMES = {
  'at', 'live', 'pause', 'shift', 'backoff', 'share', 'cut', 'stretch', 'starts', 'before', 'line',
  'rnext', 'rfound', 'rcut', 'rslow', 'rrested', 'rmark', 'rpassed', 'rorder', 'rsum', 'rrefused', 'rbooked',
  'rlimit', 'rcap', 'rbare', 'rfrom', 'rleft', 'rbase', 'rdrain', 'rsince', 'rupto', 'rhad', 'rreset',
  'tnext', 'tfound', 'tcut', 'tslow', 'trested', 'tmark', 'tpassed', 'torder', 'tsum', 'trefused', 'tbooked',
  'tlimit', 'tcap', 'tbare', 'tfrom', 'tleft', 'tbase', 'tdrain', 'tsince', 'tupto', 'thad', 'treset',
}
local OF_TOKENS = #FIELDS + #EACH -- how many come before those of the tokens
local TIMES = {'pause', 'cut', 'stretch', 'line'}
local TIMES_EACH = {'next', 'cut', 'mark', 'bare', 'from', 'since', 'reset'}
local FRACTIONS = {share = true, rfound = true, tfound = true, rleft = true, rdrain = true, tdrain = true, rhad = true}

local SECOND, MINUTE = 1000000, 60000000
local CREDIT = SECOND         -- most that unused tokens are good for
local BUSY = SECOND / 50      -- ask again after this when all places are taken
local LONGEST = 3600 * SECOND -- no pause is longer, whatever a header says

local loaded, changed = {}, {}

-- Settings repeat within a group, so they are parsed once.
local parsed = {}

local function numbers(text)
  local n = parsed[text]
  if not n then
    n = {}
    for v in string.gmatch(text, '%S+') do n[#n + 1] = tonumber(v) end
    parsed[text] = n
  end
  return n
end

local function clamp(n, low, high) return math.max(low, math.min(high, n)) end

local function part(name)
  return {name = name, next = 0, found = 0, cut = 0, slow = 0, rested = 0, mark = 0, passed = 0, order = 0, sum = 0, refused = 0, booked = 0,
    limit = 0, cap = 0, bare = 0, from = 0, left = 0, base = 0, drain = 0, since = 0, upto = 0, had = 0, reset = 0}
end

-- take makes numbers of the texts from the first on, there and in a part.
local function take(into, texts, fields, first)
  for i = 1, #fields do
    local n = tonumber(texts[first + i] or 0)
    texts[first + i], into[fields[i]] = n, n
  end
end

-- move puts times back, but for those that are not set.
local function move(of, times, back)
  for _, f in ipairs(times) do
    if of[f] ~= 0 then of[f] = of[f] - back end
  end
end

-- A clock that was put back moves all times with it, so nothing changes.
local function quota(key, now)
  local q = loaded[key]
  if q then return q end
  q = {key = key, r = part('r'), t = part('t'), was = redis.call('HMGET', key, unpack(NAMES)), waiting = false,
    at = 0, live = 0, pause = 0, shift = 0, backoff = 0, share = 0, cut = 0, stretch = 0, starts = 0, before = 0, line = 0}
  take(q, q.was, FIELDS, 0)
  take(q.r, q.was, EACH, #FIELDS)
  take(q.t, q.was, EACH, OF_TOKENS)
  local back = q.at - now
  if back > 0 then
    q.shift = q.shift - back
    move(q, TIMES, back)
    move(q.r, TIMES_EACH, back)
    move(q.t, TIMES_EACH, back)
    changed[q] = true
  end
  for _, d in ipairs({q.r, q.t}) do
    if d.drain == 0 then d.drain = 1 end
  end
  if q.share == 0 then q.share = 1 end
  q.at = now
  loaded[key] = q
  return q
end

local function differences(out, of, was, fields, first)
  for i = 1, #fields do
    local n, name = of[fields[i]], NAMES[first + i]
    if n ~= was[first + i] then
      out[#out + 1] = name
      out[#out + 1] = FRACTIONS[name] and string.format('%.6f', n) or int(n)
    end
  end
end

-- finish writes what has changed.
local function finish()
  for q in pairs(changed) do
    local out = {}
    differences(out, q, q.was, FIELDS, 0)
    differences(out, q.r, q.was, EACH, #FIELDS)
    differences(out, q.t, q.was, EACH, OF_TOKENS)
    if #out > 0 then redis.call('HSET', q.key, unpack(out)) end
  end
end
