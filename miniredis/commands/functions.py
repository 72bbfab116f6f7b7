"""FUNCTION, FCALL and FCALL_RO: libraries are kept in engine/functions.py, their functions run as scripts do."""

from __future__ import annotations

from miniredis.commands.shared import ALL_SHARDS, TOO_MANY_KEYS, wrong_subcommand
from miniredis.engine.call import Call
from miniredis.engine.functions import Library
from miniredis.engine.registry import (
    ALLOW_BUSY,
    DENYOOM,
    MAY_REPLICATE,
    NO_MANDATORY_KEYS,
    NOSCRIPT,
    OUTLASTS,
    READONLY,
    SKIP_MONITOR,
    STALE,
    WRITE,
    KeySpec,
    command,
    container,
)
from miniredis.scripting.shebang import FLAGS
from miniredis.structures.glob import matcher
from protocol.resp.values import OK, Failure, Reply, Status

_CALL = NOSCRIPT | SKIP_MONITOR | STALE | NO_MANDATORY_KEYS | OUTLASTS
_NOTE = "Only the code knows what it does with them: RW and UPDATE, to be safe."
_NOTE_RO = "Only the code knows what it does with them: RO and ACCESS, to be safe."
_POLICIES = (b"FLUSH", b"APPEND", b"REPLACE")


def _keys(flags: str, notes: str) -> tuple[KeySpec, ...]:
    return (KeySpec(2, 0, 1, flags, keynum_index=0, first_key=1, notes=notes),)


@command(
    "FCALL function:string numkeys:integer [key [key ...]] [arg:string [arg:string ...]]", _CALL | MAY_REPLICATE,
    since="7.0.0", key_specs=_keys("RW access update", _NOTE), complexity="Depends on the function that is executed.",
)  # fmt: skip
def fcall(call: Call) -> Reply:
    """Run a function of a library, with nothing else in between."""
    return _run(call, ro=False)


@command(
    "FCALL_RO function:string numkeys:integer [key [key ...]] [arg:string [arg:string ...]]", _CALL | READONLY,
    since="7.0.0", key_specs=_keys("RO access", _NOTE_RO), complexity="Depends on the function that is executed.",
)  # fmt: skip
def fcall_ro(call: Call) -> Reply:
    """Run a function of a library that may not write."""
    return _run(call, ro=True)


def _run(call: Call, *, ro: bool) -> Reply:
    scripts = call.state.engine.scripts
    scripts.tell_monitors(call)
    function = scripts.functions.functions.get(call.argv[1].lower())
    if function is None:
        raise Failure("ERR Function not found")
    count = call.integer(2, "ERR Bad number of keys provided")
    if count > len(call.argv) - 3:
        raise Failure(TOO_MANY_KEYS)
    if count < 0:
        raise Failure("ERR Number of keys can't be negative")
    return scripts.outlast(call, function, call.argv[3 : 3 + count], call.argv[3 + count :], ro=ro)


container(
    "FUNCTION", since="7.0.0", group="scripting", summary="Look after libraries of functions.", help_since="7.0.0"
)  # fmt: skip


@command(
    "FUNCTION|LOAD [REPLACE] function-code:string", NOSCRIPT | WRITE | DENYOOM, since="7.0.0", group="scripting",
    key_specs=(), complexity="O(1) (considering compilation time is redundant)", tips=ALL_SHARDS,
)  # fmt: skip
def function_load(call: Call) -> Reply:
    """Load a library: its code runs once and registers functions."""
    for word in call.argv[2:-1]:
        if word.upper() != b"REPLACE":
            raise Failure(b"ERR Unknown option given: " + word)
    library = call.state.engine.scripts.functions.load(call.argv[-1], replace=len(call.argv) > 3)
    _changed(call)
    return library.name


@command(
    "FUNCTION|DELETE library-name:string", NOSCRIPT | WRITE, since="7.0.0", group="scripting", key_specs=(),
    tips=ALL_SHARDS,
)  # fmt: skip
def function_delete(call: Call) -> Reply:
    """Forget a library and its functions."""
    call.state.engine.scripts.functions.delete(call.argv[2])
    _changed(call)
    return OK


@command(
    "FUNCTION|FLUSH flush-type=[ASYNC | SYNC]", NOSCRIPT | WRITE, since="7.0.0", group="scripting", key_specs=(),
    complexity="O(N) with N the number of functions.", tips=ALL_SHARDS,
)  # fmt: skip
def function_flush(call: Call) -> Reply:
    """Forget every library."""
    if len(call.argv) > 3:
        raise wrong_subcommand(call)
    if len(call.argv) == 3 and call.option(2) not in (b"ASYNC", b"SYNC"):
        raise Failure("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
    call.state.engine.scripts.functions.flush(is_lazy=call.argv[-1].upper() == b"ASYNC")
    _changed(call)
    return OK


@command("FUNCTION|DUMP", NOSCRIPT, since="7.0.0", group="scripting", complexity="O(N) with N the number of functions.")
def function_dump(call: Call) -> Reply:
    """Return all libraries as bytes that FUNCTION RESTORE takes."""
    return call.state.engine.scripts.functions.dump(is_compressed=call.state.config["rdbcompression"])


@command(
    "FUNCTION|RESTORE serialized-value:string policy=[FLUSH | APPEND | REPLACE]", NOSCRIPT | WRITE | DENYOOM,
    since="7.0.0", group="scripting", key_specs=(),
    complexity="O(N) with N the number of functions in the payload.", tips=ALL_SHARDS,
)  # fmt: skip
def function_restore(call: Call) -> Reply:
    """Load the libraries that FUNCTION DUMP returned."""
    if len(call.argv) > 4:
        raise wrong_subcommand(call)
    policy = call.option(3) if len(call.argv) == 4 else b"APPEND"
    if policy not in _POLICIES:
        raise Failure("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
    call.state.engine.scripts.functions.restore(call.argv[2], policy)
    _changed(call)
    return OK


@command(
    "FUNCTION|LIST [LIBRARYNAME library-name-pattern:string] [WITHCODE]", NOSCRIPT, since="7.0.0", group="scripting",
    complexity="O(N) with N the number of functions.", tips=("nondeterministic_output_order",),
)  # fmt: skip
def function_list(call: Call) -> Reply:
    """Tell of all libraries, or those with names like a pattern, what functions they have."""
    pattern: bytes | None = None
    with_code = False
    words = iter(call.argv[2:])
    for word in words:
        option = word.upper()
        if option == b"WITHCODE" and not with_code:
            with_code = True
        elif option == b"LIBRARYNAME" and pattern is None:
            pattern = next(words, None)
            if pattern is None:
                raise Failure("ERR library name argument was not given")
        else:
            raise Failure(b"ERR Unknown argument " + word)
    libraries = list(call.state.engine.scripts.functions.by_name.values())
    if pattern is not None:
        matches = matcher(pattern, ignore_case=True)
        libraries = [library for library in libraries if matches(library.name)]
    return [_described(library, with_code=with_code) for library in libraries]


def _described(library: Library, *, with_code: bool) -> Reply:
    functions: list[Reply] = [
        {
            b"name": function.name,
            b"description": function.description,
            b"flags": {Status(name) for name, bit in FLAGS.items() if function.flags & bit},
        }
        for function in library.functions.values()
    ]
    shown: dict[bytes, Reply] = {b"library_name": library.name, b"engine": b"LUA", b"functions": functions}
    if with_code:
        shown[b"library_code"] = library.code
    return shown


@command(
    "FUNCTION|STATS", NOSCRIPT | ALLOW_BUSY, since="7.0.0", group="scripting",
    tips=("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
)  # fmt: skip
def function_stats(call: Call) -> Reply:
    """Tell which function is running, and how many functions there are."""
    scripts = call.state.engine.scripts
    run = scripts.running
    running: Reply = None
    if run is not None:
        if run.is_eval:
            raise scripts.busy()
        milliseconds = int((call.state.clock.monotonic() - run.started) * 1000)
        running = {b"name": run.script.name, b"command": list(run.argv), b"duration_ms": milliseconds}
    libraries = scripts.functions
    counts = {b"libraries_count": len(libraries.by_name), b"functions_count": len(libraries.functions)}
    return {b"running_script": running, b"engines": {b"LUA": counts}}


@command(
    "FUNCTION|KILL", NOSCRIPT | ALLOW_BUSY, since="7.0.0", group="scripting",
    tips=("request_policy:all_shards", "response_policy:one_succeeded"),
)  # fmt: skip
def function_kill(call: Call) -> Reply:
    """End the function that is running, unless it has written something."""
    call.state.engine.scripts.kill(is_eval=False)
    return OK


def _changed(call: Call) -> None:
    """Libraries are data: whoever follows is told, and a snapshot is due."""
    call.db.dirty += 1
