"""What Redis does itself: the few steps that must not be torn apart, in Lua.

`KEYS[1]` is what all keys of one owner begin with, braces included, so that a cluster sends the
script to the node that holds them all; the keys themselves are made inside, in that one slot.
What may be long is handed out in parts: Redis does nothing else while a script runs.
"""

from __future__ import annotations

# ARGV: time to live and time now in milliseconds, then id, call id and body of each item.
# The members of an index are ranked by when they were put. Each put takes out up to two that have
# expired, so that a call id which a provider uses again and again does not grow its index.
PUT_ITEMS = """
local own, ttl, now = KEYS[1], ARGV[1], ARGV[2]
for n = 3, #ARGV, 3 do
  local id, call, body = ARGV[n], ARGV[n + 1], ARGV[n + 2]
  local item = own .. 'i:' .. id
  local before = redis.call('HGET', item, 'call')
  if before and before ~= '' and before ~= call then
    redis.call('ZREM', own .. 'k:' .. before, id)
  end
  redis.call('HSET', item, 'call', call, 'body', body, 'put', now)
  redis.call('PEXPIRE', item, ttl)
  if call ~= '' then
    local calls = own .. 'k:' .. call
    for _, old in ipairs(redis.call('ZRANGE', calls, 0, 1)) do
      if redis.call('HGET', own .. 'i:' .. old, 'call') ~= call then
        redis.call('ZREM', calls, old)
      end
    end
    local last = redis.call('ZREVRANGE', calls, 0, 0, 'WITHSCORES')
    redis.call('ZADD', calls, (tonumber(last[2]) or 0) + 1, id)
    redis.call('PEXPIRE', calls, ttl)
  end
end
"""

# ARGV: call ids. Returns one body or nil for each.
GET_CALLS = """
local own, found = KEYS[1], {}
for n, call in ipairs(ARGV) do
  found[n] = false
  local rank = 0
  repeat
    local id = redis.call('ZREVRANGE', own .. 'k:' .. call, rank, rank)[1]
    if id then
      local item = redis.call('HMGET', own .. 'i:' .. id, 'call', 'body')
      if item[1] == call then found[n] = item[2] end
    end
    rank = rank + 1
  until found[n] or not id
end
return found
"""

# ARGV: item ids. Returns how many were known.
DELETE_ITEMS = """
local own, known = KEYS[1], 0
for _, id in ipairs(ARGV) do
  local item = own .. 'i:' .. id
  local call = redis.call('HGET', item, 'call')
  if call then
    known = known + 1
    redis.call('DEL', item)
    if call ~= '' then redis.call('ZREM', own .. 'k:' .. call, id) end
  end
end
return known
"""

# ARGV: a response's id, the most links and bytes to return. Returns the links from there
# backwards and the id that comes next ('' at the beginning of the chain); or the missing id.
WALK = """
local own, id, records, bytes = KEYS[1], ARGV[1], {}, 0
repeat
  local link = redis.call('HMGET', own .. 'r:' .. id, 'parent', 'record')
  if not link[1] then return {'missing', id, records} end
  records[#records + 1] = link[2]
  bytes = bytes + #link[2]
  id = link[1]
until id == '' or #records >= tonumber(ARGV[2]) or bytes >= tonumber(ARGV[3])
return {'', id, records}
"""

# ARGV: a conversation's id, time to live and time now in milliseconds, then id and record of each
# item. Returns 0 when the conversation is not known.
ADD = """
local own, id, ttl, now = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local conversation, order, records = own .. 'c:' .. id, own .. 'o:' .. id, own .. 'b:' .. id
if redis.call('EXISTS', conversation) == 0 then return 0 end
redis.call('HSET', conversation, 'put', now)
local last = redis.call('ZREVRANGE', order, 0, 0, 'WITHSCORES')
local place = tonumber(last[2]) or 0
for n = 4, #ARGV, 2 do
  if not redis.call('ZSCORE', order, ARGV[n]) then
    place = place + 1
    redis.call('ZADD', order, place, ARGV[n])
  end
  redis.call('HSET', records, ARGV[n], ARGV[n + 1])
end
for _, key in ipairs({conversation, order, records}) do redis.call('PEXPIRE', key, ttl) end
return 1
"""

# ARGV: a conversation's id, 'asc' or 'desc', the item or else the place behind which to begin
# (both may be ''), the most items and bytes to return. Returns records in this order, and the
# place to go on from ('' when these were the last).
PAGE = """
local order, records = KEYS[1] .. 'o:' .. ARGV[1], KEYS[1] .. 'b:' .. ARGV[1]
local up, place, most, found, bytes = ARGV[2] == 'asc', ARGV[4], tonumber(ARGV[5]), {}, 0
if ARGV[3] ~= '' then
  place = redis.call('ZSCORE', order, ARGV[3])
  if not place then return {'', found} end
end
local from = place ~= '' and '(' .. place or (up and '-inf' or '+inf')
local ids = up and redis.call('ZRANGEBYSCORE', order, from, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
  or redis.call('ZREVRANGEBYSCORE', order, from, '-inf', 'WITHSCORES', 'LIMIT', 0, most)
for n = 1, #ids, 2 do
  found[#found + 1] = redis.call('HGET', records, ids[n])
  bytes = bytes + #found[#found]
  if bytes >= tonumber(ARGV[6]) then return {ids[n + 1], found} end
end
return {#found == most and ids[#ids] or '', found}
"""

# KEYS: a record's key and those that go with it; ARGV: time to live and time now in milliseconds.
# Returns 1 when it was too old; lets it live no longer than the time to live of today.
AGE = """
local put = tonumber(redis.call('HGET', KEYS[1], 'put'))
if not put then return 0 end
local left, had = put + ARGV[1] - ARGV[2], redis.call('PTTL', KEYS[1])
if left <= 0 then
  redis.call('DEL', unpack(KEYS))
  return 1
end
if had < 0 or had > left then
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, left) end
end
return 0
"""
