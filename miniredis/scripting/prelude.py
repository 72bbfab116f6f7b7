"""The Lua side of the sandbox: what is captured before anything is taken away, and what a script gets to see.

Laws:
1. A script reaches only strings, numbers, booleans, tables and functions. Nothing of Python's: host functions
   are plain C closures (`python.as_function`), and an exception of theirs travels as userdata only between the place
   that raised it and the nearest place that catches; every such place (pcall, xpcall, coroutine.resume and wrap, load,
   the outermost call) is ours and makes a Lua error of it there.
2. What scripts share they cannot change: libraries and globals are seen through tables that refuse to be written.
3. Every coroutine carries the hook, and no function of a script's runs while hooks are off: a script can be ended
   between any two instructions.
4. What C code of Lua does in one call is bounded before it begins: `unpack`, `string.rep`, `table.insert`,
   `table.sort`, patterns.

Lua 5.1 as Redis has it, on a Lua 5.1 that is not patched as Redis' is.
"""

from __future__ import annotations

from typing import Final

# Instructions between two looks at the clock, about ten microseconds; each millisecond one at whether the script is to
# end. A tenth of it where single instructions take long.
HOOK_INTERVAL: Final = 1_000
# unpack() of more overruns Lua's C stack (LUAI_MAXCSTACK is 8,000): bundled 5.1 does not look. Redis gives 7,999; the
# C functions under redis.call take no more than 7,997 words, and a Lua function before them would cost every
# `return redis.call(…)` its place in the script: a tail call leaves no frame.
UNPACK_MAX: Final = 7_990
# A string built in one step. Memory as a whole is bounded beside this (sandbox.MEMORY_MAX_BYTES).
STRING_MAX_BYTES: Final = 128 * 1024 * 1024
# Elements that table.insert and table.remove move in one step: 16 bytes each, all that memory holds.
MOVES_MAX: Final = 16 * 1024 * 1024
# Elements that Lua's own `<` sorts, at worst by the square of their number: a fraction of a second.
SORT_MAX: Final = 5_000
# After so many runs a step of this size (KiB) towards less garbage, as Redis does it.
GC_RUNS: Final = 50
GC_STEP: Final = 50
# Items of a value on its way out: shared tables count each time they are met.
WALK_MAX_ITEMS: Final = 4 * 1024 * 1024
# The same of the bytes of its strings.
WALK_MAX_BYTES: Final = 256 * 1024 * 1024

SOURCE: Final = rb"""
local functions, interval, unpack_max, string_max, moves_max, sort_max, walk_max, walk_max_bytes, gc_step,
  is_for_libraries = ...
local as_function, collect = python.as_function, collectgarbage
local getinfo, sethook = debug.getinfo, debug.sethook
local type, tostring, tonumber, select, error, next, setmetatable, getmetatable =
  type, tostring, tonumber, select, error, next, setmetatable, getmetatable
local rawget, rawset, rawequal, raw_xpcall, raw_pcall, raw_unpack, raw_pairs, raw_ipairs =
  rawget, rawset, rawequal, xpcall, pcall, unpack, pairs, ipairs
local raw_loadstring, getfenv, setfenv, raw_newproxy, raw_dump = loadstring, getfenv, setfenv, newproxy, string.dump
local string_lower = string.lower
local string_byte, string_find, string_sub, raw_rep = string.byte, string.find, string.sub, string.rep
local string_match, string_gsub = string.match, string.gsub
local table_concat, table_insert, table_remove, table_sort, table_setn =
  table.concat, table.insert, table.remove, table.sort, table.setn
local co_create, co_resume, co_status = coroutine.create, coroutine.resume, coroutine.status
local PRELUDE = '@prelude'
local function kind_of(value) return value == nil and 'no value' or type(value) end

-- cjson.null: equal to nothing else, and without a metatable.
local null = newproxy()
local everything = _G

local H = {}
for name, f in next, functions do H[name] = as_function(f) end

-- Tables that refuse to be written. `protected` maps what a script holds to what is behind it.

local protected = {}
local READ_ONLY = 'Attempt to modify a readonly table'
local function refuse() error(READ_ONLY, 2) end
local function protect(real, meta)
  local shown = setmetatable({}, {__index = real, __newindex = refuse, __metatable = meta or false})
  protected[shown] = real
  return shown
end
local function mine(t)
  if protected[t] then error(READ_ONLY, 0) end
  return t
end

-- Errors.

-- Where a frame is gone with a tail call, a script of one line still has its place.
local only_place
-- The innermost place in the script's own code, seen from an error handler.
local function place()
  local level = 3
  while true do
    local info = getinfo(level, 'Sl')
    if info == nil then return only_place end
    if info.what ~= 'C' and info.source ~= PRELUDE and info.what ~= 'tail' then return info end
    level = level + 1
  end
end

-- An exception of Python's becomes what Redis would have raised there.
local function explained(err, info)
  local kind, text = H.explain(err)
  if kind == 'table' then return {err = text, ignore_error_stats_update = true} end
  if kind == 'plain' then return {err = text} end
  if info then return string_sub(info.source, 2) .. ':' .. info.currentline .. ': ' .. text end
  return text
end

-- An error of Lua's own function that one of ours had called: it happened where ours was called, under its own name.
local function moved(err, info)
  local rest = type(err) == 'string' and string_match(err, '^prelude:%d+: (.*)$')
  if not rest then return err end
  rest = string_gsub(string_gsub(rest, "'raw_(%l+)'", "'%1'"), "'table_(%l+)'", "'%1'")
  return info and string_sub(info.source, 2) .. ':' .. info.currentline .. ': ' .. rest or rest
end

local function handler(err)
  if type(err) == 'string' then return moved(err, place()) end
  if type(err) == 'userdata' and err ~= null then return explained(err, place()) end
  return err
end

local function outermost(err)
  local info = place()
  if type(err) == 'userdata' and err ~= null then err = explained(err, info) end
  err = moved(err, info)
  local seen = {}
  if type(err) == 'table' then
    local text = rawget(err, 'err')
    if type(text) == 'string' or type(text) == 'number' then seen.err = tostring(text) end
    seen.counted = rawget(err, 'ignore_error_stats_update') == true
  elseif type(err) == 'string' or type(err) == 'number' then
    seen.err = 'ERR ' .. err
  else
    seen.err = 'ERR ' .. ((err == nil or type(err) == 'boolean') and tostring(err) or type(err))
  end
  if info then seen.source, seen.line = string_sub(info.source, 1), info.currentline end
  return seen
end

local function settled(ok, ...)
  if ok then return true, ... end
  local err = ...
  if type(err) == 'table' then
    local text = rawget(err, 'err')
    if type(text) == 'string' or type(text) == 'number' then return false, text end
  end
  return false, err
end

local function guarded(f, ...)
  local count = select('#', ...)
  if count == 0 then return raw_xpcall(f, handler) end
  local arguments = {...}
  return raw_xpcall(function() return f(raw_unpack(arguments, 1, count)) end, handler)
end

local function lua_pcall(...)
  if select('#', ...) == 0 then error("bad argument #1 to 'pcall' (value expected)", 2) end
  return settled(guarded(...))
end

-- The handler is called after the failed function has been left: one that loops can still be ended.
local function after(handle, ok, ...)
  if ok then return true, ... end
  return false, select(2, guarded(handle, (...)))
end
local function lua_xpcall(f, handle)
  return after(handle, raw_xpcall(f, handler))
end

-- Coroutines.

local quiet = {[place] = true, [explained] = true, [moved] = true, [handler] = true, [outermost] = true}
-- A step of C code that has no bound of its own (a `..` of long strings, `next` over what was emptied) is dear: where
-- there are such steps, hooks come closer together.
local clock, due = os.clock, 0
local function hook()
  local now = clock()
  if now < due then return end
  if now > due + 0.05 and due > 0 then sethook(hook, '', interval / 10) end
  due = now + 0.001
  local why = H.end_reason()
  if why then
    -- From now on before every instruction, so that no pcall goes on.
    due = 0
    sethook(hook, '', 1)
    if quiet[getinfo(2, 'f').func] then return end
    error({err = why}, 0)
  end
end

local function create(f)
  local thread = co_create(f)
  sethook(thread, hook, '', interval)
  return thread
end
local function resumed(thread, ok, ...)
  if not ok and type((...)) == 'userdata' and (...) ~= null then
    local info = getinfo(thread, 1, 'Sl')
    return false, explained((...), info and info.what ~= 'C' and info)
  end
  return ok, ...
end
local function resume(thread, ...)
  return resumed(thread, co_resume(thread, ...))
end
local function passed(ok, ...)
  if ok then return ... end
  error((...), 0)
end

-- Globals.

local G = {}
local missing = {__index = function(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end}
setmetatable(G, missing)
local env = protect(G, protect(missing))
-- The globals of all code: what is in `env`; for a library while it is loaded, only what it needs for that.
local stage, stage_meta, L = env, nil, nil
if is_for_libraries then
  stage_meta = {__index = env, __newindex = refuse, __metatable = false}
  stage = setmetatable({}, stage_meta)
  protected[stage] = G
end
G._G = env
G._VERSION = _VERSION

local as_they_are = {'assert', 'error', 'gcinfo', 'ipairs', 'rawequal', 'select', 'tonumber', 'type'}
for _, name in raw_ipairs(as_they_are) do
  G[name] = _G[name]
end
G.pcall, G.xpcall = lua_pcall, lua_xpcall
function G.tostring(...)
  if (...) == null then return 'userdata: (nil)' end
  return tostring(...)
end

function G.pairs(t)
  local real = protected[t]
  if real == nil then return raw_pairs(t) end
  local copy = {}
  for key, value in next, real do copy[key] = value end
  return next, copy, nil
end
function G.next(t, key) return next(protected[t] or t, key) end
function G.rawget(t, key) return rawget(protected[t] or t, key) end
function G.rawset(t, key, value) return rawset(mine(t), key, value) end
function G.setmetatable(t, meta) return setmetatable(mine(t), meta) end
-- A proxy's metatable is handed out as a table that lets everything through but `__gc`: what that names would run
-- while Lua looks for garbage, with the hooks off.
local proxies = setmetatable({}, {__mode = 'k'})
function G.newproxy(model)
  if model == nil or model == false then return raw_newproxy() end
  if model ~= true then
    local meta = proxies[model]
    if not meta then H.fail("bad argument #1 to 'newproxy' (boolean or proxy expected)") end
    local proxy = raw_newproxy(model)
    proxies[proxy] = meta
    return proxy
  end
  local proxy = raw_newproxy(true)
  local real = getmetatable(proxy)
  local function let(_, name, value)
    if name == '__gc' or name == '__mode' or name == '__metatable' then error(READ_ONLY, 2) end
    real[name] = value
  end
  real.__metatable = setmetatable({}, {__index = real, __metatable = false, __newindex = let})
  proxies[proxy] = real.__metatable
  return proxy
end
function G.getmetatable(value)
  local kind = type(value)
  if kind == 'userdata' then return proxies[value] end
  if kind ~= 'table' and kind ~= 'string' then return nil end
  return getmetatable(value) or nil
end

-- Environments: a script's functions have those it gave them; ours, and Lua's own, stay as they are.
local function environment_of(f, level)
  if type(f) == 'function' then return getfenv(f) end
  local number = f == nil and 1 or tonumber(f)
  if not number then H.fail("bad argument #1 to '" .. level .. "' (number expected, got " .. type(f) .. ")") end
  if number < 0 then H.fail("bad argument #1 to '" .. level .. "' (level must be non-negative)") end
  if number < 1 then return env end
  local info = getinfo(number + 2, 'f')
  if not info then H.fail("bad argument #1 to '" .. level .. "' (invalid level)") end
  return info.func and getfenv(info.func) or env, info.func
end
function G.getfenv(f)
  local found = environment_of(f, 'getfenv')
  return found == everything and env or found
end
function G.setfenv(f, t)
  if type(t) ~= 'table' then
    H.fail("bad argument #2 to 'setfenv' (table expected, got " .. kind_of(t) .. ")")
  end
  local now, func = environment_of(f, 'setfenv')
  if type(f) == 'function' then func = f end
  if now == everything or not func then H.fail("'setfenv' cannot change environment of given object") end
  return setfenv(func, t)
end

local gc_is_touched = false
function G.collectgarbage(what, ...)
  gc_is_touched = true
  local collectgarbage = collect  -- an error gives the name it was called by
  return collectgarbage(what, ...)
end

function G.unpack(list, first, last)
  if type(list) ~= 'table' then
    H.fail("bad argument #1 to 'unpack' (table expected, got " .. kind_of(list) .. ')')
  end
  if first == nil and last == nil and #list <= 250 then return raw_unpack(protected[list] or list) end
  local i, j = tonumber(first or 1), tonumber(last or #list)
  if not i or not j then error("bad argument to 'unpack' (number expected)", 2) end
  if j - i >= unpack_max or i < -2147483648 or j > 2147483647 then H.fail('too many results to unpack') end
  list = protected[list] or list
  -- More than a call can name: what goes to one of ours is copied there, each as often as it is given.
  local size = 0
  for at = i, j > i + 250 and j or i do
    local item = rawget(list, at)
    if type(item) == 'string' then size = size + #item end
  end
  if size > walk_max_bytes then H.fail('too many results to unpack') end
  return raw_unpack(list, i, j)
end

-- Code. Byte code is never taken: its loader believes everything. The name is held by us while the parser works.
local function compile(code, name)
  if string_byte(code, 1) == 27 then return nil, 'attempt to load chunk with wrong mode' end
  if H.is_tangled(code) then return nil, 'control structure too long' end
  local chunk, message = raw_loadstring(code, name)
  if chunk then setfenv(chunk, stage) end
  return chunk, message
end
local function chunk_name(name, code)
  name = name == nil and code or tostring(name)
  local zero = string_find(name, '\0', 1, true)
  return zero and string_sub(name, 1, zero - 1) or name
end
function G.loadstring(code, name)
  if type(code) == 'number' then code = tostring(code) end
  if type(code) ~= 'string' then
    error("bad argument #1 to 'loadstring' (string expected, got " .. type(code) .. ")", 2)
  end
  return compile(code, chunk_name(name, code))
end
function G.load(reader, name)
  if type(reader) ~= 'function' then
    H.fail("bad argument #1 to 'load' (function expected, got " .. kind_of(reader) .. ')')
  end
  local pieces, count, size = {}, 0, 0
  while true do
    local ok, piece = guarded(reader)
    if not ok then return nil, piece end
    if piece == nil or piece == '' then break end
    if type(piece) ~= 'string' then return nil, 'reader function must return a string' end
    count, size = count + 1, size + #piece
    if size > string_max then return nil, 'not enough memory' end
    pieces[count] = piece
  end
  return compile(table_concat(pieces), chunk_name(name or '=(load)', ''))
end

-- Libraries.

local function copied(library)
  local copy = {}
  for name, value in next, library do copy[name] = value end
  return copy
end

local T = copied(table)
-- Both move what lies behind `at`, and there is no hook meanwhile. A table of moves_max elements has no room in memory:
-- who asks for more has made up the position, or the length (which Lua finds by trying powers of two).
local function bounded(t, at, name)
  at = tonumber(at)
  if at and type(t) == 'table' and (at >= 2147483648 or #t - at > moves_max) then
    H.fail("bad argument #2 to '" .. name .. "' (position out of bounds)")
  end
end
function T.insert(t, ...)
  if select('#', ...) > 1 then bounded(t, (...), 'insert') end
  return table_insert(mine(t), ...)
end
function T.remove(t, ...)
  if select('#', ...) > 0 then bounded(t, (...), 'remove') end
  return table_remove(mine(t), ...)
end
-- Lua's quicksort can be made quadratic: beyond a few milliseconds of it, the comparing is done where hooks look in.
local function is_less(a, b) return a < b end
function T.sort(t, less, ...)
  if less == nil and type(t) == 'table' and #t > sort_max then less = is_less end
  return table_sort(mine(t), less, ...)
end
function T.setn(t, ...) return table_setn(mine(t), ...) end
G.table = protect(T)

local S = copied(string)
function S.dump(f)
  if type(f) ~= 'function' then
    H.fail("bad argument #1 to 'dump' (function expected, got " .. kind_of(f) .. ')')
  end
  if getfenv(f) == everything then H.fail('unable to dump given function') end
  return raw_dump(f)
end
function S.rep(...)
  local text, count = ...
  if text == '' and tonumber(count) then return '' end
  if (type(text) == 'string' or type(text) == 'number') and tonumber(count) and tonumber(count) > 0
      and #tostring(text) * tonumber(count) > string_max then
    H.fail('not enough memory')
  end
  return raw_rep(...)
end

local M = copied(math)
M.random, M.randomseed = H.math_random, H.math_randomseed
G.math = protect(M)

G.coroutine = protect{
  create = create, resume = resume, status = co_status, yield = coroutine.yield, running = coroutine.running,
  wrap = function(f)
    local thread = create(f)
    return function(...) return passed(resume(thread, ...)) end
  end,
}

G.os = protect{clock = os.clock}

if not is_for_libraries then
  function G.__redis__err__handler(err)
    local info = getinfo(2, 'nSl')
    if info and info.what == 'C' then info = getinfo(3, 'nSl') end
    if type(err) ~= 'table' then err = {err = 'ERR ' .. tostring(err)} end
    if info then
      mine(err).source = info.source
      err.line = info.currentline
    end
    return err
  end
end

local libraries = {redis = {}, cjson = {}, cmsgpack = {}, struct = {}, bit = {}}
for name, f in next, H do
  local library, member = string.match(name, '^(%l+)%.(.+)$')
  if library then libraries[library][member] = f end
end
"""
