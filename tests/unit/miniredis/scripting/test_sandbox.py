"""What a script may not do, and what is kept of what it did."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import pytest

from miniredis.engine.journal import TO_AOF, TO_REPLICAS
from miniredis.engine.scripts import EVAL_SCRIPTS_MAX, KILLED
from miniredis.scripting import sandbox
from protocol.resp.parser import Parser
from protocol.resp.values import Failure
from tests.unit.miniredis.world import Ear, World


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def run(world: World, script: str | bytes, *words: bytes) -> Any:
    body = script if isinstance(script, bytes) else script.encode()
    return world.engine.execute(world.client, [[b"EVAL", body, b"0", *words]])[0]


# Everything here must answer an error or nil: what it reaches for is not there.
OUT_OF_REACH = [
    "return python.eval('1')",
    "return python.builtins",
    "return _G.python",
    "return rawget(_G, 'python')",
    "return getmetatable(redis.call)",
    "return getmetatable(cjson.null)",
    "return redis.call.__globals__",
    "return redis.call.x",
    "redis.call.x = 1",
    "return select(2, pcall(redis.call, 'nosuch')).__traceback__",
    "return select(2, pcall(cjson.decode, '[')).__class__.x",
    "return os.execute",
    "return os.getenv",
    "return io.open('/etc/passwd')",
    "return debug.getregistry()",
    "return require('os')",
    "return package.loaded",
    "return module",
    "return getmetatable(newproxy(true)).__index",
    "getmetatable(newproxy(true)).__gc = function() while true do end end",
    "rawset(getmetatable(newproxy(true)), '__gc', function() while true do end end)",
    "return newproxy(cjson.null)",
    "return rawget(getfenv(pcall), 'python')",
    "getfenv(redis.pcall).pairs = nil",
    "setfenv(0, {pairs = 1})",
    "setfenv(pcall, {})",
    "setfenv(1, {redis = 1, tostring = 1})",
    "setfenv(2, {})",
    "for level = 0, 20 do pcall(setfenv, level, {}) end",
    "return dofile('/etc/passwd')",
    "return loadfile('/etc/passwd')",
    "return string.dump(pcall)",
    "return loadstring(string.dump(function() return 1 end))",
    "return getfenv(string.find).sethook",
    "return __redis__err__handler(redis)",
    "getmetatable(_G).__index = nil",
    "return loadstring('\\27Lua')",
    "return load((function() local n = 0 return function() n = n + 1 return ({'\\27', 'Lua'})[n] end end)())",
    "return load(function() return redis.call('nosuch') end)",
    "string.rep = 1",
    "('').rep = 1",
    "getmetatable('').__index = {}",
    "setmetatable(_G, {})",
    "rawset(redis, 'call', 1)",
    "rawset(string, 'rep', 1)",
    "table.insert(table, 1)",
    "_G.x = 1",
    "for name, f in pairs(_G) do _G[name] = nil end",
    "return unpack({}, 0, 2147483647)",
    "return unpack({}, -2147483648, 2147483647)",
    "return string.rep('x', 1e9)",
    "return ('x'):rep(1e9)",
    "return string.find(('a'):rep(100000), ('a?'):rep(100000))",
    "return redis.call('set', 'k', {})",
    "return redis.call('set', 'k', redis.call)",
    "return redis.call(cjson.null)",
    "error(cjson.null)",
    "local function f() return f() + 1 end return f()",
    "return cjson.decode(('['):rep(100000))",
    "return cmsgpack.unpack(('\\145'):rep(100000))",
    "return cmsgpack.unpack('\\221\\255\\255\\255\\255')",
    "return cmsgpack.unpack('\\223\\255\\255\\255\\255')",
    "return struct.pack('i2147483648', 1)",
    "return struct.unpack('c2147483647', 'x')",
    "return struct.unpack('I4', 'x', 2147483647)",
    "return struct.pack('>I2147483648', 1)",
    "local t, s = {}, ('x'):rep(1e7) for i = 1, 7000 do t[i] = s end return redis.call('rpush', 'k', unpack(t))",
    "return loadstring('return ' .. ('x or '):rep(100000) .. '1')",
    "return loadstring('if x then ' .. ('elseif x then '):rep(100000) .. ' end')",
    "return struct.pack(('x'):rep(1e7))",
    "return table.insert({}, -2147483648, 1)",
    "return table.insert({}, 2147483648, 1)",
    "return table.insert({}, 1 / 0, 1)",
    "local t = {} for i = 0, 30 do t[2 ^ i] = i end return #t > 1e9 and table.remove(t, 1) or error('x')",
    "cjson.encode_sparse_array(false, 0, 0) return cjson.encode({[1000000000] = 1})",
    "cjson.encode_sparse_array(false, 0, 0) local t = {[2 ^ 19] = 1} return cjson.encode({t, t, t})",
    "local t, s = {}, ('x'):rep(1e7) for i = 1, 100000 do t[i] = s end return t",
    "local t, s = {}, ('x'):rep(1e7) for i = 1, 100000 do t[i] = s end return cjson.encode(t)",
    "local t, s = {}, ('x'):rep(1e7) for i = 1, 100000 do t[i] = s end return cmsgpack.pack(t)",
]


@pytest.mark.parametrize("script", OUT_OF_REACH)
def test_out_of_reach(world: World, script: str) -> None:
    """A script gets at the interpreter, at other scripts, or brings the server down."""
    assert run(world, script) is None or isinstance(run(world, script), Failure)
    assert run(world, "return {('x'):rep(3), redis.call('echo', 'well'), type(pairs), tostring(1)}") == [
        b"xxx", b"well", b"function", b"1"
    ]  # fmt: skip


def test_no_value_of_pythons_is_ever_seen(world: World) -> None:
    """An object of the server's lies in a table that scripts can walk."""
    script = """
    local seen, found = {}, {}
    local function look(t, path)
      if seen[t] then return end
      seen[t] = true
      for key, value in pairs(t) do
        if type(value) == 'userdata' and value ~= cjson.null then found[#found + 1] = path .. '.' .. tostring(key) end
        if type(value) == 'table' then look(value, path .. '.' .. tostring(key)) end
      end
    end
    look(_G, '_G')
    local ok, e = pcall(cjson.encode, redis.call)
    if type(e) ~= 'string' then found[#found + 1] = type(e) end
    ok, e = pcall(redis.call, 'nosuch')
    if type(e) ~= 'string' then found[#found + 1] = type(e) end
    ok, e = xpcall(function() redis.call('nosuch') end, type)
    if e ~= 'table' then found[#found + 1] = 'xpcall ' .. e end
    ok, e = coroutine.resume(coroutine.create(function() redis.call('nosuch') end))
    if type(e) ~= 'table' then found[#found + 1] = 'resume ' .. type(e) end
    ok, e = pcall(coroutine.wrap(function() cjson.decode('[') end))
    if type(e) ~= 'string' then found[#found + 1] = 'wrap ' .. type(e) end
    return found
    """
    assert run(world, script) == []


def test_memory_is_bounded_and_given_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that only grows takes the machine's memory, or costs the scripts after it their interpreter."""
    monkeypatch.setattr(sandbox, "MEMORY_MAX_BYTES", 8 << 20)
    small = World()
    answer = run(small, "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end")
    assert isinstance(answer, Failure)
    assert b"not enough memory" in answer.text
    assert run(small, "return 'still here'") == b"still here"


def test_code_that_the_parser_would_follow_for_long_is_refused(world: World) -> None:
    """Half a megabyte of `x or x or ...` holds the server for twenty seconds."""
    begun = time.process_time()
    answer = run(world, "return " + "x or " * 100_000 + "1")
    assert isinstance(answer, Failure)
    assert b"control structure too long" in answer.text
    assert time.process_time() - begun < 1
    assert run(world, "local x = 7 return " + "x or " * 5_000 + "1 --" + "and " * 4_000) == 7


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_interpreters_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each script that is ended, and each flush, leaves an interpreter behind for ever."""
    monkeypatch.setattr(sandbox, "MEMORY_MAX_BYTES", 48 << 20)
    world = World()
    gc.disable()
    try:
        run(world, "local t = {} while true do t[#t + 1] = {} end")
        before = resident_bytes()
        for _ in range(4):
            assert isinstance(run(world, "local t = {} while true do t[#t + 1] = {} end"), Failure)
        for _ in range(100):
            run(world, "return 1")
            world.engine.execute(world.client, [[b"SCRIPT", b"FLUSH"]])
            library = b"#!lua name=lib\nredis.register_function('f', function() return 1 end)"
            world.engine.execute(world.client, [[b"FUNCTION", b"LOAD", library], [b"FUNCTION", b"FLUSH"]])
        assert resident_bytes() - before < 24 << 20
    finally:
        gc.enable()


# What one instruction of each takes is bounded only by the memory; a hundred thousand of them would take minutes.
DEAR_STEPS = [
    "local s = ('x'):rep(2e7) while true do local t = s .. #s end",
    "local s = ('x'):rep(1e8) while true do s:upper() end",
    "local t = {} for i = 1, 5e5 do t[i] = i end for i = 1, 5e5 do t[i] = nil end while true do next(t) end",
    "cjson.encode_sparse_array(false, 0, 0) while true do cjson.encode({[200000] = 1}) end",
    "local s = '[' .. ('1,'):rep(1e5) .. '1]' while true do cjson.decode(s) end",
    "while true do (''):rep(2147483647) end",
    "local t = {} for i = 1, 1e5 do t[i] = i % 100 end while true do table.sort(t) end",
]


@pytest.mark.parametrize("script", DEAR_STEPS)
def test_dear_steps_are_ended_soon(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SCRIPT KILL answers OK and nothing ends, since hooks come only after so many instructions."""
    world = World()
    run(world, "return 1")
    ending = time.process_time() + 0.3
    monkeypatch.setattr(
        type(world.engine.scripts), "end_reason", lambda scripts: KILLED if time.process_time() > ending else None
    )
    answer = run(world, script)
    assert isinstance(answer, Failure)
    assert time.process_time() - ending < 3


def test_a_reply_without_end_is_cut(world: World) -> None:
    """A table that holds itself is followed for ever."""
    answer = run(world, "local t = {} t[1] = t return t")
    for _ in range(1000):
        if isinstance(answer, Failure):
            break
        (answer,) = answer
    assert answer == Failure("ERR reached lua stack limit")


def test_scripts_leave_nothing_for_the_next(world: World) -> None:
    """What one user's script was given can be read by another's."""
    run(world, "KEYS.x = 1 ARGV.y = 2", b"secret")
    assert run(world, "return {tostring(KEYS.x), tostring(ARGV.y), #ARGV}") == [b"nil", b"nil", 0]


def effects(script: str, target: int = TO_AOF) -> list[bytes]:
    world = World()
    ear = Ear(target)
    world.state.journal.attach(ear)
    run(world, script)
    return [b" ".join(argv) for argv in Parser().take(ear.data)] if ear.data else []


def test_effects_are_recorded_not_the_script() -> None:
    """A replica runs the script again and comes to another end."""
    assert effects("redis.call('set', 'a', 1)") == [b"SELECT 0", b"set a 1"]
    two = effects("redis.call('set', 'a', 1) redis.call('incr', 'a') return redis.call('get', 'a')")
    assert two == [b"MULTI", b"SELECT 0", b"set a 1", b"incr a", b"EXEC"]
    assert effects("return redis.call('get', 'a')") == []
    failed = effects("redis.call('set', 'a', 1) redis.call('lpush', 'a', 1) redis.call('set', 'b', 1)")
    assert failed == [b"SELECT 0", b"set a 1"]


def test_set_repl_narrows_who_is_told() -> None:
    """redis.set_repl is taken and not honoured."""
    script = (
        "redis.set_repl(redis.REPL_{}) redis.call('set', 'a', 1) "
        "redis.set_repl(redis.REPL_ALL) redis.call('set', 'b', 1)"
    )
    assert effects(script.format("AOF"), TO_AOF) == [b"MULTI", b"SELECT 0", b"set a 1", b"set b 1", b"EXEC"]
    assert b"set a 1" not in effects(script.format("AOF"), TO_REPLICAS)
    assert b"set a 1" not in effects(script.format("NONE"), TO_AOF)


def test_scripts_of_eval_are_forgotten_in_turn() -> None:
    """Every EVAL with a body of its own costs memory for ever; or a loaded script is lost."""
    world = World()
    kept = world.engine.execute(world.client, [[b"SCRIPT", b"LOAD", b"return 'kept'"]])[0]
    for number in range(EVAL_SCRIPTS_MAX + 10):
        assert run(world, f"return {number}") == number
        run(world, "return 'often'")
    scripts = world.engine.scripts
    assert len(scripts.known) == EVAL_SCRIPTS_MAX + 1
    assert kept in scripts.known
    assert scripts.evicted == 11
    assert b"often" in [script.body[8:13] for script in scripts.known.values()]


def test_time_stands_still_for_a_script() -> None:
    """A key expires between two lines of a script."""
    world = World()
    run(world, "redis.call('set', 'k', 1, 'px', 5)")
    real = world.clock.monotonic
    world.clock.monotonic = lambda: real() + world.clock.ms  # type: ignore[method-assign]
    assert run(world, "local n = 0 for i = 1, 100 do n = n + redis.call('exists', 'k') end return n") == 100


def test_the_clock_stands_still_for_a_script(world: World) -> None:
    """Two calls of TIME in one script differ, as if it had lasted."""
    first, second = run(world, "local a = redis.call('time') for i = 1, 1000000 do end return {a, redis.call('time')}")
    assert first == second


def test_a_cjson_of_ones_own(world: World) -> None:
    """cjson.new shares its settings with everybody, or each of them is kept for ever."""
    settings = (
        "local mine = cjson.new() mine.encode_max_depth(2) return {mine.encode_max_depth(), cjson.encode_max_depth()}"
    )
    assert run(world, settings) == [2, 1000]
    assert run(world, "for i = 1, 5000 do cjson.new() end return cjson.new().encode({1})") == b"[1]"
    held = run(world, "local all = {} for i = 1, 5000 do all[i] = cjson.new() end")
    assert isinstance(held, Failure)
    assert b"not enough memory" in held.text
    assert run(world, "return cjson.new().decode('[7]')[1]") == 7


def test_environments_are_a_scripts_own(world: World) -> None:
    """What one script does to its globals, the next one finds done."""
    assert run(world, "setfenv(1, {redis = redis}) x = 1 return x") == 1
    assert run(world, "setfenv(1, {redis = redis}) x = 1 return x") == 1
    assert run(world, "local f = setfenv(function() return y end, {y = 2}) return f()") == 2
    assert isinstance(run(world, "return x"), Failure)
    assert run(world, "return getfenv(1) == _G and getfenv(pcall) == _G and getfenv() == _G") == 1


def test_a_call_takes_all_that_unpack_gives(world: World) -> None:
    """Scripts that move a list with one RPUSH fail beyond a few thousand elements."""
    fill = "local a = {} for i = 1, 7990 do a[i] = i end a[%d] = %s "
    assert run(world, fill % (1, "0") + "return redis.call('rpush', 'many', unpack(a))") == 7990
    assert run(world, "return redis.call('lrange', 'many', -1, -1)") == [b"7990"]
    refused = run(world, fill % (77, "{}") + "return redis.call('rpush', 'many', unpack(a))")
    assert refused.text.startswith(b"ERR Lua redis lib command arguments must be strings or integers script: ")
    assert b"Wrong number" in run(world, fill % (1, "0") + "return redis.pcall('get', unpack(a)).err")
    run(world, "redis.call('del', 'many')")


def test_a_call_that_is_returned_keeps_its_place(world: World) -> None:
    """An error in `return redis.call(…)` would not say where in the script it was."""
    for call in ("call('NOPE')", "call('get')", "call('lpush', 'a')"):
        failure = run(world, f"local x = 1\n\nreturn redis.{call}")
        assert failure.text.endswith(b", on @user_script:3."), failure.text
