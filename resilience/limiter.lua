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
-- The memo is "start tokens requests' sum tokens' sum shift requests
-- booked tokens booked".

local FIELDS = {
  'at',               -- when this was written
  'rnext', 'tnext',   -- when the next request may start, for requests and for tokens
  'live',             -- calls in flight
  'pause',            -- until when nobody may start
  'shift',            -- by how much pauses have put off all calls that waited for their time
  'backoff',          -- pauses in a row whose length the provider left to us
  'share', 'cut',     -- what 429s taught: the part of the limit that is ours, as of when
  'rfound', 'rcut', 'rslow', 'rmark', 'rpassed', 'rorder', -- where nobody knows the limit of
  'tfound', 'tcut', 'tslow', 'tmark', 'tpassed', 'torder', -- requests, or tokens: see limiter_found.lua
  'stretch', 'starts', 'before', -- calls started in this stretch of time and in the last
  'rsum', 'tsum',     -- requests and tokens reserved, of all calls so far
  'rrefused', 'trefused', -- how much of those was refused
  'rbooked', 'tbooked', -- the same of those that were let through, tokens as was expected
  'rlimit', 'rcap', 'rseen', 'rfrom', 'rleft', 'rbase', 'rdrain', 'rsince', 'rthen', 'rhad', -- what headers said of requests,
  'tlimit', 'tcap', 'tseen', 'tfrom', 'tleft', 'tbase', 'tdrain', 'tsince', 'tthen', 'thad', -- and of tokens: see limiter_steer.lua
  'line',             -- until when somebody has a place in the line
}
local TIMES = {'rnext', 'tnext', 'pause', 'shift', 'cut', 'stretch', 'rcut', 'tcut', 'rmark', 'tmark', 'rseen', 'rfrom', 'tseen', 'tfrom', 'rsince', 'tsince', 'line'}
local FRACTIONS = {share = true, rfound = true, tfound = true, rleft = true, rdrain = true, tdrain = true, rhad = true}
local SECOND, MINUTE = 1000000, 60000000
local CREDIT = SECOND         -- most that unused tokens are good for
local FRESH = 30 * SECOND     -- how long headers are believed
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

-- A clock that was put back moves all times with it, so nothing changes.
local function quota(key, now)
  local q = loaded[key]
  if q then return q end
  q = {key = key}
  local list = redis.call('HMGET', key, unpack(FIELDS))
  for i, f in ipairs(FIELDS) do q[f] = tonumber(list[i] or 0) end
  local back = q.at - now
  if back > 0 then
    for _, f in ipairs(TIMES) do q[f] = q[f] - back end
    changed[q] = true
  end
  for _, f in ipairs({'share', 'rdrain', 'tdrain'}) do
    if q[f] == 0 then q[f] = 1 end
  end
  q.at = now
  loaded[key] = q
  return q
end

local function finish()
  for q in pairs(changed) do
    local out = {}
    for i, f in ipairs(FIELDS) do
      out[2 * i - 1] = f
      out[2 * i] = FRACTIONS[f] and string.format('%.6f', q[f]) or int(q[f])
    end
    redis.call('HSET', q.key, unpack(out))
  end
end
