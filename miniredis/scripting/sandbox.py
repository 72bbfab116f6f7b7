"""One Lua for all scripts of a server, and what it may do.

    compile(body)  →  a chunk                   run(script, keys, arguments, host)  →  a Reply; errors are Failures
    load_library(code)  →  what it registered   (a sandbox of its own: functions outlive the call that made them)

Laws: see prelude.py. Here besides: memory has a bound; whoever reaches it, or is ended, costs the scripts nothing but
the interpreter, which is made anew (its making takes a millisecond).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet

from miniredis.scripting import json, patterns, prelude, runs
from miniredis.scripting.convert import REPLY_MAX_DEPTH, Builder, Other, Table, grown, lua_error, to_reply, to_word
from miniredis.scripting.errors import ScriptError
from miniredis.scripting.libraries import libraries
from miniredis.scripting.rand48 import Rand48
from miniredis.scripting.shebang import FLAGS, NOT_A_NAME, is_name
from protocol.resp.values import Failure, Reply

if TYPE_CHECKING:
    from random import Random

# What all scripts together may hold at one time. Lua frees what it can before it refuses.
MEMORY_MAX_BYTES: Final = 256 * 1024 * 1024
# For what an answer of ours takes beside its bytes.
ANSWER_ROOM_BYTES: Final = 64 * 1024
# How many cjson of their own scripts may hold at a time (cjson.new).
JSON_MAX: Final = 1_000
# Words of a script that may make one list of jumps: twice as many take the parser four times as long, these 0.2 s.
JUMPS_MAX: Final = 10_000
_JUMP: Final = re.compile(rb"\b(?:or|and|elseif|break)\b")
_KILLED: Final = b"ERR Script killed by user with SCRIPT KILL..."
# Flat values fetched at a time: Lua's C stack holds 8,000.
PIECE: Final = 4_000


class Host(Protocol):
    """The server as a script reaches it. Every method is called while the script holds still."""

    resp: int

    def call(self, argv: list[bytes]) -> Reply: ...
    def may_call(self, argv: list[bytes]) -> bool: ...
    def set_targets(self, targets: int) -> None: ...
    def log(self, level: int, line: bytes) -> None: ...
    def end_reason(self) -> bytes | None: ...
    def enter(self) -> None: ...
    def leave(self) -> None: ...


class Runnable(Protocol):
    """A script, or a function of a library."""

    @property
    def name(self) -> bytes: ...
    @property
    def only_line(self) -> int | None: ...

    chunk: Any


class Registered:
    """What a library said in redis.register_function."""

    __slots__ = ("chunk", "description", "flags", "name")

    def __init__(self, name: bytes, description: bytes | None, flags: int, chunk: Any) -> None:
        self.name = name
        self.description = description
        self.flags = flags
        self.chunk = chunk


def _deny(target: object, name: object, is_setting: bool) -> None:
    raise AttributeError("no attribute of anything is for scripts")


class Sandbox:
    def __init__(self, version: str, random: Random, *, is_for_libraries: bool = False) -> None:
        # Imported when the first script comes: a server without scripts never loads it.
        from lupa import lua51

        self.chance = Rand48(random.getrandbits(48))
        self.host: Host | None = None
        self.fault: BaseException | None = None
        self._spent_bytes = MEMORY_MAX_BYTES // 2  # as much at a script's end: mostly garbage
        self.is_spent = False  # to be replaced before the next script
        self._memory_error: type[BaseException] = lua51.LuaMemoryError
        self._lua_type: Callable[[Any], str | None] = lua51.lua_type
        self._lua_error: type[BaseException] = lua51.LuaError
        runtime = lua51.LuaRuntime(
            encoding=None, register_eval=False, register_builtins=False, unpack_returned_tuples=True,
            attribute_filter=_deny, max_memory=0,
        )  # fmt: skip
        self._runtime = runtime
        self._memory_max = MEMORY_MAX_BYTES
        self.is_overdrawn = False
        self._always = (self._explain, self._end_reason)
        self.registered: list[Registered] = []  # by the library being loaded
        self._jsons: WeakSet[json.Json] = WeakSet()  # what cjson.new has made and scripts still hold
        self.builder = Builder(runtime.table_from)
        functions = {name.encode(): self._with_room(function) for name, function in self._functions().items()}
        lua = runtime.execute(
            prelude.SOURCE + patterns.SOURCE + runs.SOURCE, runtime.table_from(functions), prelude.HOOK_INTERVAL,
            prelude.UNPACK_MAX, prelude.STRING_MAX_BYTES, prelude.MOVES_MAX, prelude.SORT_MAX, prelude.WALK_MAX_ITEMS,
            prelude.WALK_MAX_BYTES, prelude.GC_STEP, is_for_libraries, name="@prelude",
        )  # fmt: skip
        self._run, self._run_function, self._compile = lua[b"run"], lua[b"run_function"], lua[b"compile"]
        self._load_library = lua[b"load_library"]
        self._runner = self._run_function if is_for_libraries else self._run
        self._flatten, self._piece, self._forget = lua[b"flatten"], lua[b"piece"], lua[b"forget"]
        self.null = lua[b"null"]
        for library, name, value in _constants(version):
            lua[b"add"](library, name, value)
        lua[b"seal"]()
        self._tidy, self._clean = lua[b"tidy"], lua[b"clean"]
        self._runs_until_tidy = prelude.GC_RUNS

    # What the server asks.

    @property
    def memory_bytes(self) -> int:
        """What the interpreter holds."""
        return self._runtime.get_memory_used(total=True) or 0

    def compile(self, body: bytes) -> Any:
        """A chunk. Raises Failure with Lua's words where it is none."""
        return self._compiled(body, b"@user_script", b"ERR Error compiling script (new function): ")

    def _compiled(self, body: bytes, name: bytes, complaint: bytes) -> Any:
        try:
            chunk, message = self._compile(body, name)
        except self._lua_error:
            self.is_spent = True
            raise Failure(complaint + b"not enough memory") from None
        if chunk is None:
            raise Failure(complaint + message)
        return chunk

    def run(self, script: Runnable, keys: list[bytes], arguments: list[bytes], host: Host) -> Reply:
        """What a script or function answers; its errors are Failures."""
        name = script.name
        table = self._runtime.table_from
        try:
            key_table, argument_table = table(keys), table(arguments)
            result = self._guarded(host, self._runner, script.chunk, key_table, argument_table, script.only_line)
            return self._answer(result, name, host)
        except ScriptError as error:  # of the answer's conversion
            return Failure(b"ERR " + error.text)
        except self._lua_error as error:
            self.is_spent = True
            return Failure(b"ERR Error running script %b, %b" % (name, str(error).encode()[:100]))
        finally:
            self._look_after(host)

    def load_library(self, code: bytes, host: Host) -> list[Registered]:
        """Run a library's code, once: what it registers. Raises Failure."""
        chunk = self._compiled(code, b"@user_function", b"ERR Error compiling function: ")
        self.registered = []
        try:
            result = self._guarded(host, self._load_library, chunk, 2 if code.count(b"\n") == 1 else None)
        except self._lua_error:
            self.is_spent = True
            raise Failure("ERR Error registering functions: ERR not enough memory") from None
        finally:
            self._look_after(host)
        if result[0] != b"ok":
            raise Failure(b"ERR Error registering functions: " + (result[1] or b"(null)"))
        found, self.registered = self.registered, []
        return found

    def _guarded(self, host: Host, function: Any, *arguments: Any) -> tuple[Any, ...]:
        """Call into Lua with its memory bound, the server left meanwhile."""
        self.host, self.fault = host, None
        self._runtime.set_max_memory(self._memory_max)
        host.leave()
        try:
            result: tuple[Any, ...] = function(*arguments)
        finally:
            self._runtime.set_max_memory(0)
            host.enter()
        if self.fault is not None:
            raise self.fault
        return result

    def _look_after(self, host: Host) -> None:
        self.host = None
        self._runs_until_tidy -= 1
        if not self._runs_until_tidy:
            self._runs_until_tidy = prelude.GC_RUNS
            self._tidy()
        # Lua 5.1 refuses memory without looking for garbage first: the next script shall not pay for this one.
        if host.end_reason() or self.is_overdrawn or self._runtime.get_memory_used() > self._spent_bytes:
            self.is_spent = True
        if self.is_spent:
            # What it leaves is freed here, in its own thread and while the server is left: close() frees the rest.
            host.leave()
            try:
                self._clean()
            finally:
                host.enter()

    def close(self) -> None:
        """Free the interpreter: it holds our functions and they hold it, where no collector of garbage looks."""
        vars(self).clear()
        self.is_spent = True

    def _answer(self, result: tuple[Any, ...], name: bytes, host: Host) -> Reply:
        if result[0] == b"ok":
            _, kind, value = result
            if kind == b"table":
                value = self.tree(value, REPLY_MAX_DEPTH)
            elif kind not in (b"string", b"number", b"boolean"):
                return None
            return to_reply(value, host.resp)
        if result[0] == b"failed":
            return Failure(b"ERR Error running script %b, %b" % (name, result[1][:100]))
        _, text, is_counted, source, line = (*result, None, None, None, None)[:5]
        text = text or b"(null)"
        if source is not None:
            text += b" script: %b, on %b:%d." % (name, source, line)
        failure = Failure(text)
        failure.is_counted = bool(is_counted)
        return failure

    def _with_room(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Lua's memory bound is for the script: where it met us in a function of ours, Lua would end the process.
        So the bound is lifted here, and left so high that the answer fits; who is beyond it gets an error, and who
        goes on from there is ended."""

        def roomy(*arguments: Any) -> Any:
            runtime = self._runtime  # not held here: see close()
            runtime.set_max_memory(0)
            size = 0
            try:
                used = runtime.get_memory_used()
                if used > 2 * self._memory_max and self.host is not None:
                    self.is_overdrawn = True
                if used > self._memory_max and self.host is not None and function not in self._always:
                    raise ScriptError("not enough memory")
                answer = function(*arguments)
                size = len(answer) if type(answer) is bytes else 0
                return answer
            finally:
                room = runtime.get_memory_used() + size + ANSWER_ROOM_BYTES
                runtime.set_max_memory(max(self._memory_max, room))

        return roomy

    def _end_reason(self) -> bytes | None:
        """Why the script may not go on."""
        reason = self.host.end_reason() if self.host is not None else None
        return reason or (_KILLED if self.is_overdrawn else None)

    def look_up(self) -> None:
        """For functions of ours that take long: they end where the script is to end."""
        reason = self._end_reason()
        if reason:
            raise ScriptError(reason, kind="plain")

    # Values.

    def tree(self, value: Any, depth: int) -> Any:
        """A Lua value with everything in it, as Python holds it."""
        if type(value) in (bytes, int, float, bool):
            return value
        if value is not None and self._lua_type(value) is None:
            return Other("function")  # one of ours: on its way here it was unpacked
        count = self._flatten(value, depth)
        if count > prelude.WALK_MAX_ITEMS:
            raise ScriptError("not enough memory")
        flat: list[Any] = []
        for first in range(1, count + 1, PIECE):
            items = self._piece(first, min(first + PIECE - 1, count))
            flat += items if isinstance(items, tuple) else (items,)
        self._forget()
        return grown(flat)

    # What scripts call.

    def _functions(self) -> dict[str, Callable[..., Any]]:
        functions: dict[str, Callable[..., Any]] = {
            "explain": self._explain,
            "fail": _fail,
            "end_reason": self._end_reason,
            "is_flag": lambda name: name.lower() in FLAGS,
            "is_tangled": _is_tangled,
            "register": self._register,
            "cjson_new": self._new_json,
            "math_random": self._math_random,
            "math_randomseed": self._math_randomseed,
            "redis.call": self._call,
            "redis.pcall": self._pcall,
            "redis.sha1hex": _sha1hex,
            "redis.log": self._log,
            "redis.setresp": self._setresp,
            "redis.set_repl": self._set_repl,
            "redis.status_reply": self._status_reply,
            "redis.error_reply": self._error_reply,
            "redis.acl_check_cmd": self._acl_check_cmd,
            "redis.replicate_commands": lambda *_: True,  # effects are what is replicated: nothing else is left
            "redis.breakpoint": lambda *_: False,  # no debugger is attached
            "redis.debug": lambda *_: None,
        }
        functions.update(libraries(self))
        return functions

    def _explain(self, error: object) -> tuple[bytes, bytes]:
        """An exception that a host function let out, for the Lua side: how it is to be raised, and its text."""
        if isinstance(error, ScriptError):
            return error.kind, error.text
        if isinstance(error, self._memory_error):
            return b"placed", b"not enough memory"
        if isinstance(error, BaseException):
            self.fault = error  # ours: it goes on when Lua has been left
            return b"plain", b"ERR internal error"
        return b"plain", b"ERR userdata"

    def _register(self, name: bytes, description: Any, flags: bytes, callback: Any) -> None:
        """redis.register_function, its words looked at (prelude.py)."""
        if not is_name(name):
            raise ScriptError(b"ERR " + NOT_A_NAME, kind="plain")
        if any(known.name == name for known in self.registered):
            raise ScriptError("ERR Function already exists in the library", kind="plain")
        bits = sum([FLAGS[flag] for flag in set(flags.lower().split(b",")) if flag])
        self.registered.append(Registered(name, description or None, bits, callback))

    def _new_json(self) -> Any:
        """cjson.new: another one, with settings of its own; None where there are too many."""
        if len(self._jsons) >= JSON_MAX:
            return None
        maker = json.Json(self)
        self._jsons.add(maker)
        functions = maker.functions()
        return self._runtime.table_from(
            {name.encode(): self._with_room(function) for name, function in functions.items()}
        )

    def _words(self, arguments: tuple[Any, ...]) -> list[bytes]:
        if not arguments:
            raise ScriptError("ERR Please specify at least one argument for this redis lib call", kind="plain")
        words = []
        for argument in arguments:
            word = to_word(argument)
            if word is None:
                raise ScriptError("ERR Lua redis lib command arguments must be strings or integers", kind="plain")
            words.append(word)
        return words

    def _perform(self, arguments: tuple[Any, ...]) -> Reply:
        words = self._words(arguments)
        host = self.host
        assert host is not None, "a script's function is called while a script runs"
        host.enter()
        try:
            return host.call(words)
        finally:
            host.leave()

    def _call(self, *arguments: Any) -> Any:
        reply = self._perform(arguments)
        if isinstance(reply, Failure):
            raise ScriptError(lua_error(reply), kind="table")
        kind = type(reply)
        assert self.host is not None
        return reply if kind is bytes or kind is int else self.builder.value(reply, self.host.resp)

    def _pcall(self, *arguments: Any) -> Any:
        try:
            return self._call(*arguments)
        except ScriptError as error:
            is_counted = {b"ignore_error_stats_update": True} if error.kind == b"table" else {}
            return self.builder.table({b"err": error.text, **is_counted})

    def _log(self, *arguments: Any) -> None:
        if len(arguments) < 2:
            raise ScriptError("ERR redis.log() requires two arguments or more.", kind="plain")
        level = _number(arguments[0])
        if level is None:
            raise ScriptError("ERR First argument must be a number (log level).", kind="plain")
        if not 0 <= int(level) <= 3:
            raise ScriptError("ERR Invalid log level.", kind="plain")
        words = [word for word in map(to_word, arguments[1:]) if word is not None]
        assert self.host is not None
        self.host.log(int(level), b" ".join(words))

    def _setresp(self, *arguments: Any) -> None:
        if len(arguments) != 1:
            raise ScriptError("ERR redis.setresp() requires one argument.", kind="plain")
        version = _number(arguments[0])
        if version is None or int(version) not in (2, 3):
            raise ScriptError("ERR RESP version must be 2 or 3.", kind="plain")
        assert self.host is not None
        self.host.resp = int(version)

    def _set_repl(self, *arguments: Any) -> None:
        if len(arguments) != 1:
            raise ScriptError("ERR redis.set_repl() requires one argument.", kind="plain")
        targets = int(_number(arguments[0]) or 0)
        if targets & ~3:
            raise ScriptError(
                "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.", kind="plain"
            )
        assert self.host is not None
        self.host.set_targets(targets)

    def _status_reply(self, *arguments: Any) -> Any:
        if len(arguments) != 1 or type(arguments[0]) is not bytes:
            return self.builder.table({b"err": b"ERR wrong number or type of arguments"})
        return self.builder.table({b"ok": arguments[0]})

    def _error_reply(self, *arguments: Any) -> Any:
        if len(arguments) != 1 or type(arguments[0]) is not bytes:
            return self.builder.table({b"err": b"ERR wrong number or type of arguments"})
        text = arguments[0].split(b"\0", 1)[0]
        code, space, message = text.removeprefix(b"-").partition(b" ")
        if not space:
            code, message = b"ERR", code
        return self.builder.table({b"err": code + b" " + message.strip(b"\r\n")})

    def _acl_check_cmd(self, *arguments: Any) -> bool:
        words = self._words(arguments)
        assert self.host is not None
        return self.host.may_call(words)

    def _math_random(self, *bounds: Any) -> Any:
        """Redis' own: after math.randomseed the numbers are those it would draw."""
        share = self.chance.share()
        if not bounds:
            return share
        if len(bounds) > 2:
            raise ScriptError("wrong number of arguments")
        numbers = [_int32(bound, "random", at) for at, bound in enumerate(bounds, 1)]
        low, high = (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
        if low > high:
            raise ScriptError(f"bad argument #{len(numbers)} to 'random' (interval is empty)")
        return math.floor(share * (high - low + 1)) + low

    def _math_randomseed(self, *arguments: Any) -> None:
        self.chance.seed(_int32(arguments[0] if arguments else None, "randomseed", 1))


def _constants(version: str) -> list[tuple[bytes, bytes, Any]]:
    numbers = [int(part) for part in version.split(".")]
    redis: dict[bytes, Any] = {
        b"LOG_DEBUG": 0, b"LOG_VERBOSE": 1, b"LOG_NOTICE": 2, b"LOG_WARNING": 3,
        b"REPL_NONE": 0, b"REPL_AOF": 1, b"REPL_REPLICA": 2, b"REPL_SLAVE": 2, b"REPL_ALL": 3,
        b"REDIS_VERSION": version.encode(), b"REDIS_VERSION_NUM": numbers[0] << 16 | numbers[1] << 8 | numbers[2],
    }  # fmt: skip
    return [(b"redis", name, value) for name, value in redis.items()] + [
        (b"cjson", b"_NAME", b"cjson"), (b"cjson", b"_VERSION", b"2.1.0"),
        (b"cmsgpack", b"_NAME", b"cmsgpack"), (b"cmsgpack", b"_VERSION", b"lua-cmsgpack 0.4.0"),
        (b"cmsgpack", b"_COPYRIGHT", b"Copyright (C) 2012, Salvatore Sanfilippo"),
        (b"cmsgpack", b"_DESCRIPTION", b"MessagePack C implementation for Lua"),
    ]  # fmt: skip


def _fail(text: bytes) -> None:
    """An error of a function of prelude.py: with its place, even where a tail call has taken the frame."""
    raise ScriptError(text)


def _is_tangled(code: bytes) -> bool:
    """The parser follows all earlier jumps of a list of them at each one it adds, and cannot be stopped."""
    return len(code) > 2 * JUMPS_MAX and sum(1 for _ in _JUMP.finditer(code)) > JUMPS_MAX


def _sha1hex(*arguments: Any) -> bytes:
    import hashlib

    if len(arguments) != 1:
        raise ScriptError("ERR wrong number of arguments", kind="plain")
    return hashlib.sha1(to_word(arguments[0]) or b"", usedforsecurity=False).hexdigest().encode()


def _number(value: Any) -> float | None:
    """As Lua reads a number: strings count."""
    if type(value) is int or type(value) is float:
        return float(value) if value == value and abs(value) < 2.0**63 else 0.0
    if type(value) is bytes:
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _int32(value: Any, name: str, at: int) -> int:
    """As luaL_checkint reads it."""
    number = _number(value)
    if number is None:
        kind = "no value" if value is None else _lua_type(value)
        raise ScriptError(f"bad argument #{at} to '{name}' (number expected, got {kind})")
    return (int(number) + (1 << 31)) % (1 << 32) - (1 << 31)


def _lua_type(value: Any) -> str:
    names = {bytes: "string", int: "number", float: "number", bool: "boolean", type(None): "nil"}
    return names.get(type(value), "table")


__all__ = ["Host", "Other", "Registered", "Runnable", "Sandbox", "Table"]
