"""The last part of the sandbox's Lua side: values on their way out, and how the server runs scripts and functions.

    run(chunk, keys, arguments, line)              a script: KEYS and ARGV are globals
    run_function(f, keys, arguments, line)         a function: they are its arguments
    load_library(chunk, line)                      a library's code, which sees nothing but redis.register_function,
                                                   redis.log and constants; each function goes to H.register

Each answers `ok, type, value`, `error, text, counted, source, line`, or `failed, text`. `line` is that of code which
has but one: where a tail call has taken the frame away, an error still has its place. See prelude.py for the laws.
"""

from __future__ import annotations

from typing import Final

SOURCE: Final = rb"""
G.string = protect(S)
local shared_strings = {}
for name, value in next, S do shared_strings[name] = value end
local strings = getmetatable('')
strings.__index = shared_strings
strings.__metatable = protect{__index = G.string}

-- Values on their way out, flat: a tag before each, tables as their pairs between `t` and `z`. No metatable is asked.

local function walk(value, out, depth)
  local kind = type(value)
  local at = out.n
  if at > walk_max then return end
  if kind == 'table' then
    value = protected[value] or value
    if depth == 0 then
      out[at + 1] = 'd'
      out.n = at + 1
      return
    end
    out[at + 1] = 't'
    out.n = at + 1
    for key, item in next, value do
      walk(key, out, depth - 1)
      walk(item, out, depth - 1)
    end
    at = out.n
    out[at + 1] = 'z'
    out.n = at + 1
  elseif kind == 'string' or kind == 'number' or kind == 'boolean' then
    if kind == 'string' then
      out.bytes = out.bytes + #value
      if out.bytes > walk_max_bytes then
        out.n = walk_max + 1
        return
      end
    end
    out[at + 1] = 'v'
    out[at + 2] = value
    out.n = at + 2
  else
    out[at + 1] = 'o'
    out[at + 2] = value == null and 'null' or kind
    out.n = at + 2
  end
end

local walked
local function flatten(value, depth)
  walked = {n = 0, bytes = 0}
  walk(value, walked, depth)
  local count = walked.n
  if count > walk_max then walked = nil end
  return count
end
local function piece(first, last) return raw_unpack(walked, first, last) end
local function forget() walked = nil end

-- What the server does with all this.

local function end_of_run()
  sethook()
  if gc_is_touched then
    gc_is_touched = false
    collect('restart')
    collect('setpause', 200)
    collect('setstepmul', 200)
  end
end
-- `line`: of the code, where it has but one.
local function begin_run(source, line)
  only_place = line and {source = source, currentline = line} or nil
  sethook(hook, '', interval)
end
local function outcome(ok, result)
  if ok then return 'ok', type(result), result end
  if type(result) ~= 'table' then return 'failed', tostring(result) end
  return 'error', result.err, result.counted, result.source, result.line
end

local function run(chunk, keys, arguments, line)
  setfenv(chunk, stage)  -- an earlier call may have given it another
  G.KEYS, G.ARGV = keys, arguments
  begin_run('@user_script', line)
  local ok, result = raw_xpcall(chunk, outermost)
  end_of_run()
  G.KEYS, G.ARGV = nil, nil
  return outcome(ok, result)
end

-- Libraries of functions.

local function run_function(f, keys, arguments, line)
  begin_run('@user_function', line)
  local ok, result = raw_xpcall(function() return f(keys, arguments) end, outermost)
  end_of_run()
  return outcome(ok, result)
end

-- redis.register_function: the words are looked at in Redis' order.
local registers, register = false, nil
local function objection(text) error({err = 'ERR ' .. text}, 0) end
local function word_of(value)
  local kind = type(value)
  if kind == 'string' then return value end
  return kind == 'number' and tostring(value) or nil
end
local function flags_of(list)
  local flags, at = {}, 1
  while true do
    local flag = list[at]
    if flag == nil then return table_concat(flags, ',') end
    flag = word_of(flag)
    if not flag or not H.is_flag(flag) then objection('unknown flag given') end
    flags[at] = flag
    at = at + 1
  end
end
local function named(arguments)
  local name, description, callback, flags
  for key, value in next, protected[arguments] or arguments do
    key = word_of(key)
    if not key then objection('named argument key given to redis.register_function is not a string') end
    key = string_lower(key)
    if key == 'function_name' then
      name = word_of(value)
      if not name then objection('function_name argument given to redis.register_function must be a string') end
    elseif key == 'description' then
      description = word_of(value)
      if not description then objection('description argument given to redis.register_function must be a string') end
    elseif key == 'callback' then
      if type(value) ~= 'function' then
        objection('callback argument given to redis.register_function must be a function')
      end
      callback = value
    elseif key == 'flags' then
      if type(value) ~= 'table' then
        objection('flags argument to redis.register_function must be a table representing function flags')
      end
      flags = flags_of(value)
    else
      objection('unknown argument given to redis.register_function')
    end
  end
  if not name then objection('redis.register_function must get a function name argument') end
  if not callback then objection('redis.register_function must get a callback argument') end
  H.register(name, description or false, flags or '', callback)
end
function register(...)
  if not registers then objection('redis.register_function can only be called on FUNCTION LOAD command') end
  local count = select('#', ...)
  if count < 1 or count > 2 then objection('wrong number of arguments to redis.register_function') end
  local name, callback = ...
  if count == 1 then
    if type(name) ~= 'table' then
      objection('calling redis.register_function with a single argument is only applicable to Lua table '
        .. '(representing named arguments).')
    end
    return named(name)
  end
  name = word_of(name)
  if not name then objection('first argument to redis.register_function must be a string') end
  if type(callback) ~= 'function' then objection('second argument to redis.register_function must be a function') end
  H.register(name, false, '', callback)
end

local function load_library(chunk, line)
  stage_meta.__index, registers = L, true
  begin_run('@user_function', line)
  local ok, result = raw_xpcall(chunk, outermost)
  end_of_run()
  stage_meta.__index, registers = env, false
  return outcome(ok, result)
end

quiet[run_function] = true
quiet[load_library] = true
quiet[begin_run] = true
quiet[end_of_run] = true
quiet[outcome] = true
quiet[run] = true

local function add(library, name, value) libraries[library][name] = value end
local function seal()
  for name, library in next, libraries do G[name] = protect(library) end
  local few = setmetatable({register_function = register, log = libraries.redis.log}, missing)
  for name, value in next, libraries.redis do
    if string_find(name, '^LOG_') or string_find(name, '^REDIS_VERSION') then few[name] = value end
  end
  L = protect(setmetatable({redis = protect(few)}, missing))
  collect('collect')  -- what making all this has left
end

-- A piece of the work of looking for garbage: Lua's own pace lets it grow to twice what is used.
local function tidy() collect('step', gc_step) end
-- Nothing of a script that was ended is kept, nor is its hook.
local function clean()
  sethook()
  walked = nil
  G.KEYS, G.ARGV = nil, nil
  collect('collect')
end

for name in next, copied(everything) do everything[name] = nil end
local new_json
function new_json()
  local fresh = {null = null, _NAME = 'cjson', _VERSION = libraries.cjson._VERSION, new = new_json}
  local made = H.cjson_new()
  if not made then
    collect('collect')  -- those nobody holds any longer
    made = H.cjson_new() or H.fail('not enough memory')
  end
  for name, f in next, made do fresh[name] = as_function(f) end
  return fresh
end
libraries.cjson.null = null
libraries.cjson.new = new_json

return {
  null = null, run = run, run_function = run_function, load_library = load_library, compile = compile,
  flatten = flatten, piece = piece, forget = forget, add = add, seal = seal, tidy = tidy,
  clean = clean
}
"""
