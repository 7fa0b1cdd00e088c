-- Rebuilding the sums: one replica at a time, and only while the gate is shut.
--
-- internal/lua/epoch.lua is put in front of this text.
--
-- KEYS  1 epoch, 2 owner (hash: owner, until), 3 accounts (set of keys),
--       4 live, 5 lapsed, 6 budgets (hash)
-- ARGV  1 "own", "release" or "fill", 2 owner
--   own:  3 for how long, in microseconds
--   fill: 3 the number of holds to drop, then as many pairs of "live" or "lapsed" and field, then the number
--         of budgets that are counted, these, then pairs of account key and JSON object of its fields, all of
--         them strings
--
-- Returns "open" if the gate is open, "busy" if another replica is rebuilding,
-- "done" otherwise.

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local function int(n) return string.format('%.0f', n) end

local owner = redis.call('HGET', KEYS[2], 'owner')
if ARGV[1] == 'release' then
  if owner == ARGV[2] then redis.call('DEL', KEYS[2]) end
  return 'done'
end
if trusted(redis.call('GET', KEYS[1])) then return 'open' end

if ARGV[1] == 'own' then
  local till = tonumber(redis.call('HGET', KEYS[2], 'until') or 0)
  -- A clock that was set back must not keep everybody out.
  if owner and owner ~= ARGV[2] and now < till and till <= now + ARGV[3] then return 'busy' end
  redis.call('HSET', KEYS[2], 'owner', ARGV[2], 'until', int(now + ARGV[3]))
  return 'done'
end

if owner ~= ARGV[2] then return 'busy' end
local key = {live = KEYS[4], lapsed = KEYS[5]}
local at = 4
for _ = 1, tonumber(ARGV[3]) do
  redis.call('HDEL', key[ARGV[at]], ARGV[at + 1])
  at = at + 2
end
for _, budget in ipairs(redis.call('HKEYS', KEYS[6])) do redis.call('HSET', KEYS[6], budget, '') end
local budgets = tonumber(ARGV[at])
for i = 1, budgets do redis.call('HSET', KEYS[6], ARGV[at + i], '1') end
at = at + 1 + budgets
-- What is known of an account outlives its sums: the book does not tell the
-- limit of a batch.
local known = {name = true, title = true, limit = true, start = true, ['end'] = true, alerts = true, alerted = true, told = true}
for _, account in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  for _, field in ipairs(redis.call('HKEYS', account)) do
    if not known[field] then redis.call('HDEL', account, field) end
  end
end
while ARGV[at] do
  local account = ARGV[at]
  for field, value in pairs(cjson.decode(ARGV[at + 1])) do
    redis.call(known[field] and 'HSETNX' or 'HSET', account, field, value)
  end
  redis.call('SADD', KEYS[3], account)
  at = at + 2
end
return 'done'
