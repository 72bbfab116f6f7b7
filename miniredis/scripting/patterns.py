r"""Lua patterns that cannot run away: string.find, match, gmatch and gsub, put around Lua's own.

Lua's matcher goes back and forth in C, where no hook looks in. What a pattern may cost at most is known before: the
subject's length to the power of its repetitions that something follows, once more for the places to start at, doubled
for each `?`. Up to STEPS_MAX Lua's own matcher does it; beyond that the one below, which is written in Lua: slower by
far, but a script like any other, that the hook can end.

    pattern ─► items {kind, set, …}      set: byte → true       matched(at, item) → where the match ends, or nil
"""

from __future__ import annotations

from typing import Final

# Lua's matcher calls itself once for each quantifier and capture, on the C stack: more than any real pattern has.
CALLS_MAX: Final = 200
# What C does in about a tenth of a second.
STEPS_MAX: Final = 50_000_000
# Patterns whose items are remembered; then all are forgotten.
KNOWN_MAX: Final = 200

SOURCE: Final = rb"""
local calls_max, steps_max, known_max = %d, %d, %d
local raw_find, raw_match, raw_gmatch, raw_gsub = string.find, string.match, string.gmatch, string.gsub
local string_char = string.char

local sets, known, known_count = {}, {}, 0

-- The bytes that one item of a pattern (a character, a class, a set in brackets) stands for.
local function set_of(text)
  local set = sets[text]
  if set == nil then
    set = {}
    for byte = 0, 255 do
      if raw_find(string_char(byte), '^' .. text .. '$') then set[byte] = true end
    end
    sets[text] = set
  end
  return set
end

-- Where the item that begins at `at` ends; nil where the pattern is malformed.
local function item_end(pattern, at)
  local first = string_sub(pattern, at, at)
  if first == '%%' then return at < #pattern and at + 1 or nil end
  if first ~= '[' then return at end
  at = at + 1
  if string_sub(pattern, at, at) == '^' then at = at + 1 end
  repeat
    if at > #pattern then return nil end
    if string_sub(pattern, at, at) == '%%' then at = at + 1 end
    at = at + 1
  until string_sub(pattern, at, at) == ']'
  return at
end

-- {items, is_anchored, power, factor, calls}; nil where Lua's own matcher is to say what is wrong.
local function items_of(pattern, is_search)
  local items, at, size, power, factor, calls = {}, 1, #pattern, 0, 1, 0
  local is_anchored = is_search and string_sub(pattern, 1, 1) == '^'
  if is_anchored then at = 2 end
  while at <= size do
    local first, pair = string_sub(pattern, at, at), string_sub(pattern, at, at + 1)
    if first == '(' then
      calls = calls + 1
      if pair == '()' then
        items[#items + 1] = {'position'}
        at = at + 2
      else
        items[#items + 1] = {'open'}
        at = at + 1
      end
    elseif first == ')' then
      calls = calls + 1
      items[#items + 1] = {'close'}
      at = at + 1
    elseif first == '$' and at == size then
      items[#items + 1] = {'finish'}
      at = at + 1
    elseif pair == '%%b' then
      if at + 3 > size then return nil end
      items[#items + 1] = {'balance', string_byte(pattern, at + 2), string_byte(pattern, at + 3)}
      power = power + 1
      at = at + 4
    elseif raw_find(pair, '^%%%%%%d') then
      items[#items + 1] = {'back', string_byte(pattern, at + 1) - 48}
      power = power + 1
      at = at + 2
    elseif pair == '%%f' then
      local last = string_sub(pattern, at + 2, at + 2) == '[' and item_end(pattern, at + 2)
      if not last then return nil end
      items[#items + 1] = {'frontier', set_of(string_sub(pattern, at + 2, last))}
      at = last + 1
    else
      local last = item_end(pattern, at)
      if not last then return nil end
      local set, how = set_of(string_sub(pattern, at, last)), string_sub(pattern, last + 1, last + 1)
      at = last + 2
      if how == '*' or how == '+' or how == '-' then
        calls = calls + 1
        if raw_find(pattern, '[^%%)]', at) then power = power + 1 end
        items[#items + 1] = {how, set}
      elseif how == '?' then
        calls = calls + 1
        factor = factor * 2
        items[#items + 1] = {'?', set}
      else
        items[#items + 1] = {'one', set}
        at = last + 1
      end
    end
  end
  return {items, is_anchored, power, factor, calls}
end

-- What is to match this: nil for Lua's own matcher, else the items.
local function planned(text, pattern, is_search)
  if type(pattern) ~= 'string' or type(text) ~= 'string' then return nil end
  if #pattern < 2 or (#pattern <= 16 and #text <= 64) then return nil end
  local zero = raw_find(pattern, '%%z')
  if zero then pattern = string_sub(pattern, 1, zero - 1) end
  local key = (is_search and 's' or 'g') .. pattern
  local plan = known[key]
  if plan == nil then
    if known_count >= known_max then sets, known, known_count = {}, {}, 0 end
    plan = items_of(pattern, is_search) or false
    known[key], known_count = plan, known_count + 1
  end
  if not plan then
    local _, calls = raw_gsub(pattern, '[%%*%%+%%-%%?%%(%%)]', '')
    if calls > calls_max then H.fail('pattern too complex') end
    return nil
  end
  if plan[5] > calls_max then H.fail('pattern too complex') end
  local starts = plan[2] and 0 or 1
  if (#text + 1) ^ (plan[3] + starts) * plan[4] <= steps_max or (plan[3] == 0 and plan[4] == 1) then return nil end
  return plan
end

-- Captures are pairs in two lists: where each begins, and its length (-1 open, -2 a position).
local function matcher(text, items)
  local begins, lengths, level = {}, {}, 0
  local matched

  local function captured(index)
    local length = lengths[index]
    if length == nil then H.fail('invalid capture index') end
    if length == -1 then H.fail('unfinished capture') end
    if length == -2 then return begins[index] end
    return string_sub(text, begins[index], begins[index] + length - 1)
  end

  function matched(at, index)
    while true do
      local item = items[index]
      if item == nil then return at end
      local kind, set = item[1], item[2]
      index = index + 1
      if kind == 'one' then
        local byte = string_byte(text, at)
        if byte == nil or not set[byte] then return nil end
        at = at + 1
      elseif kind == '*' or kind == '+' then
        local last = at
        local byte = string_byte(text, last)
        while byte ~= nil and set[byte] do
          last = last + 1
          byte = string_byte(text, last)
        end
        local least = kind == '+' and at + 1 or at
        while last >= least do
          local found = matched(last, index)
          if found then return found end
          last = last - 1
        end
        return nil
      elseif kind == '-' then
        while true do
          local found = matched(at, index)
          if found then return found end
          local byte = string_byte(text, at)
          if byte == nil or not set[byte] then return nil end
          at = at + 1
        end
      elseif kind == '?' then
        local byte = string_byte(text, at)
        if byte ~= nil and set[byte] then
          local found = matched(at + 1, index)
          if found then return found end
        end
      elseif kind == 'open' or kind == 'position' then
        if level >= 32 then H.fail('too many captures') end
        level = level + 1
        begins[level], lengths[level] = at, kind == 'open' and -1 or -2
        local found = matched(at, index)
        if not found then level = level - 1 end
        return found
      elseif kind == 'close' then
        local open = level
        while open > 0 and lengths[open] ~= -1 do open = open - 1 end
        if open == 0 then H.fail('invalid pattern capture') end
        lengths[open] = at - begins[open]
        local found = matched(at, index)
        if not found then lengths[open] = -1 end
        return found
      elseif kind == 'finish' then
        if at ~= #text + 1 then return nil end
      elseif kind == 'frontier' then
        local before, here = at > 1 and string_byte(text, at - 1) or 0, string_byte(text, at) or 0
        if set[before] or not set[here] then return nil end
      elseif kind == 'back' then
        if set == 0 or set > level or lengths[set] == -1 then H.fail('invalid capture index') end
        local length = lengths[set]
        if length == -2 then return nil end -- a position is never met again
        if string_sub(text, begins[set], begins[set] + length - 1) ~= string_sub(text, at, at + length - 1) then
          return nil
        end
        at = at + length
      else -- balance
        if string_byte(text, at) ~= set then return nil end
        local depth, closer = 1, item[3]
        repeat
          at = at + 1
          local byte = string_byte(text, at)
          if byte == nil then return nil end
          if byte == closer then depth = depth - 1 elseif byte == set then depth = depth + 1 end
        until depth == 0
        at = at + 1
      end
    end
  end

  local function attempt(at)
    level = 0
    return matched(at, 1)
  end
  -- All captures, or the whole match where there are none.
  local function captures(first, last, is_bare)
    if level == 0 then
      if is_bare then return end
      return string_sub(text, first, last - 1)
    end
    local values = {}
    for index = 1, level do values[index] = captured(index) end
    return raw_unpack(values, 1, level)
  end
  return attempt, captures
end

local function searched(text, plan, init, is_find)
  local attempt, captures = matcher(text, plan[1])
  local at = tonumber(init) or 1
  at = at < 0 and #text + at + 1 or at
  at = at < 1 and 1 or at > #text + 1 and #text + 1 or at
  repeat
    local last = attempt(at)
    if last then
      if is_find then return at, last - 1, captures(at, last, true) end
      return captures(at, last)
    end
    at = at + 1
  until plan[2] or at > #text + 1
  return nil
end

function S.find(text, pattern, init, plain)
  local plan = not plain and planned(text, pattern, true)
  if plan then return searched(text, plan, init, true) end
  return raw_find(text, pattern, init, plain)
end

function S.match(text, pattern, ...)
  local plan = planned(text, pattern, true)
  if plan then return searched(text, plan, (...), false) end
  return raw_match(text, pattern, ...)
end

function S.gmatch(text, pattern)
  local plan = planned(text, pattern, false)
  if not plan then return raw_gmatch(text, pattern) end
  local attempt, captures = matcher(text, plan[1])
  local at = 1
  return function()
    while at <= #text + 1 do
      local first, last = at, attempt(at)
      if last then
        at = last > first and last or last + 1
        return captures(first, last)
      end
      at = at + 1
    end
    return nil
  end
end

local function replacement(how, whole, ...)
  local kind, value = type(how), nil
  if kind == 'function' then
    value = how(...)
  elseif kind == 'table' then
    value = how[(...)]
  else
    local first = {...}
    value = raw_gsub(how, '%%%%(.)', function(letter)
      if letter == '0' then return whole end
      if not raw_find(letter, '^%%d$') then return letter end
      local capture = first[letter + 0]
      if capture == nil then H.fail('invalid capture index') end
      return tostring(capture)
    end)
  end
  if not value then return whole end
  if type(value) ~= 'string' and type(value) ~= 'number' then
    H.fail('invalid replacement value (a ' .. type(value) .. ')')
  end
  return value
end

function S.gsub(text, pattern, how, limit)
  local plan = planned(text, pattern, true)
  local kind = type(how)
  if not plan or (kind ~= 'string' and kind ~= 'number' and kind ~= 'table' and kind ~= 'function') then
    return raw_gsub(text, pattern, how, limit)
  end
  local attempt, captures = matcher(text, plan[1])
  local most, count, at, out = tonumber(limit) or #text + 1, 0, 1, {}
  while count < most do
    local last = attempt(at)
    if last then
      count = count + 1
      out[#out + 1] = replacement(how, string_sub(text, at, last - 1), captures(at, last))
    end
    if last and last > at then
      at = last
    elseif at <= #text then
      out[#out + 1] = string_sub(text, at, at)
      at = at + 1
    else
      break
    end
    if plan[2] then break end
  end
  out[#out + 1] = string_sub(text, at)
  return table_concat(out), count
end
""" % (CALLS_MAX, STEPS_MAX, KNOWN_MAX)
