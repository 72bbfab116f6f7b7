"""EVAL, EVALSHA, their read-only forms, and SCRIPT: how a script runs is in engine/scripts.py, where in scripting/."""

from __future__ import annotations

from miniredis.commands.shared import ALL_NODES, TOO_MANY_KEYS
from miniredis.engine.call import Call
from miniredis.engine.registry import (
    ALLOW_BUSY,
    MAY_REPLICATE,
    NO_MANDATORY_KEYS,
    NOSCRIPT,
    OUTLASTS,
    READONLY,
    SKIP_MONITOR,
    STALE,
    KeySpec,
    command,
    container,
)
from protocol.resp.values import OK, Failure, Reply

_SCRIPT = NOSCRIPT | SKIP_MONITOR | STALE | NO_MANDATORY_KEYS | OUTLASTS
_NOTE = "Only the code knows what it does with them: RW and UPDATE, to be safe."
_NOTE_RO = "Only the code knows what it does with them: RO and ACCESS, to be safe."
_COST = "Depends on the script that is executed."


def _keys(flags: str, notes: str = "") -> tuple[KeySpec, ...]:
    return (KeySpec(2, 0, 1, flags, keynum_index=0, first_key=1, notes=notes),)


def _words(call: Call) -> tuple[list[bytes], list[bytes]]:
    """KEYS and ARGV."""
    count = call.integer(2)
    if count > len(call.argv) - 3:
        raise Failure(TOO_MANY_KEYS)
    if count < 0:
        raise Failure("ERR Number of keys can't be negative")
    return call.argv[3 : 3 + count], call.argv[3 + count :]


def _run(call: Call, *, by_sha: bool, ro: bool) -> Reply:
    scripts = call.state.engine.scripts
    if by_sha and len(call.argv[1]) != 40:
        raise Failure("NOSCRIPT No matching script. Please use EVAL.")
    keys, arguments = _words(call)
    script = scripts.find(call.argv[1]) if by_sha else scripts.learn(call.argv[1], is_loaded=False)
    return scripts.evaluate(call, script, keys, arguments, ro=ro)


@command(
    "EVAL script numkeys:integer [key [key ...]] [arg [arg ...]]", _SCRIPT | MAY_REPLICATE, since="2.6.0",
    key_specs=_keys("RW access update", _NOTE), complexity=_COST,
)  # fmt: skip
def eval_(call: Call) -> Reply:
    """Run a Lua script, with nothing else in between."""
    return _run(call, by_sha=False, ro=False)


@command(
    "EVALSHA sha1 numkeys:integer [key [key ...]] [arg [arg ...]]", _SCRIPT | MAY_REPLICATE, since="2.6.0",
    key_specs=_keys("RW access update"), complexity=_COST,
)  # fmt: skip
def evalsha(call: Call) -> Reply:
    """Run a Lua script that the server knows, named by its SHA-1."""
    return _run(call, by_sha=True, ro=False)


@command(
    "EVAL_RO script numkeys:integer [key [key ...]] [arg [arg ...]]", _SCRIPT | READONLY, since="7.0.0",
    key_specs=_keys("RO access", _NOTE_RO), complexity=_COST,
)  # fmt: skip
def eval_ro(call: Call) -> Reply:
    """Run a Lua script that may not write."""
    return _run(call, by_sha=False, ro=True)


@command(
    "EVALSHA_RO sha1 numkeys:integer [key [key ...]] [arg [arg ...]]", _SCRIPT | READONLY, since="7.0.0",
    key_specs=_keys("RO access"), complexity=_COST,
)  # fmt: skip
def evalsha_ro(call: Call) -> Reply:
    """Run a Lua script that the server knows and that may not write."""
    return _run(call, by_sha=True, ro=True)


container("SCRIPT", since="2.6.0", group="scripting", summary="Look after the scripts the server knows.")


@command(
    "SCRIPT|LOAD script", NOSCRIPT | STALE, since="2.6.0", complexity="O(N) with N the length of the script.",
    tips=ALL_NODES,
)  # fmt: skip
def script_load(call: Call) -> Reply:
    """Remember a script without running it; the answer is its SHA-1."""
    return call.state.engine.scripts.learn(call.argv[2], is_loaded=True).sha


@command(
    "SCRIPT|EXISTS sha1 [sha1 ...]", NOSCRIPT, since="2.6.0", complexity="O(N) with N the number of scripts asked for.",
    tips=("request_policy:all_shards", "response_policy:agg_logical_and"),
)  # fmt: skip
def script_exists(call: Call) -> Reply:
    """Tell of each SHA-1 whether the server knows its script."""
    known = call.state.engine.scripts.known
    return [int(sha in known) for sha in call.argv[2:]]


@command(
    "SCRIPT|FLUSH flush-type=[ASYNC | SYNC] @6.2.0", NOSCRIPT, since="2.6.0",
    complexity="O(N) with N the number of scripts.",
    tips=ALL_NODES,
    history=(("6.2.0", "Learned the modes `ASYNC` and `SYNC`."),),
)  # fmt: skip
def script_flush(call: Call) -> Reply:
    """Forget every script."""
    if len(call.argv) > 3 or (len(call.argv) == 3 and call.option(2) not in (b"ASYNC", b"SYNC")):
        raise Failure("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    call.state.engine.scripts.flush(is_lazy=call.argv[-1].upper() == b"ASYNC")
    return OK


@command(
    "SCRIPT|KILL", NOSCRIPT | ALLOW_BUSY, since="2.6.0",
    tips=("request_policy:all_shards", "response_policy:one_succeeded"),
)  # fmt: skip
def script_kill(call: Call) -> Reply:
    """End the script that is running, unless it has written something."""
    call.state.engine.scripts.kill(is_eval=True)
    return OK
