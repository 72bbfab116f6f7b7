"""The server as a whole: its databases, its time, its end, who watches it work, what was slow."""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import ALL_NODES, ALL_SHARDS, NO_SUCH_DB, wrong_subcommand
from miniredis.engine.call import SYNTAX_ERROR, Call, Origin
from miniredis.engine.client import MONITOR
from miniredis.engine.registry import (
    ADMIN,
    ALLOW_BUSY,
    FAST,
    LOADING,
    NO_MULTI,
    NOSCRIPT,
    READONLY,
    STALE,
    TOUCHES_ARBITRARY_KEYS,
    WAITS,
    WRITE,
    command,
    container,
)
from miniredis.engine.state import BUSY_SCRIPT, MONITORED
from protocol.resp.numbers import parse_int
from protocol.resp.values import NOTHING, OK, Failure, Reply

_ANY_TIME: Final = NOSCRIPT | LOADING | STALE
_FLUSH_HISTORY: Final = (("4.0.0", "Takes `ASYNC`."), ("6.2.0", "Takes `SYNC`."))
_FLUSH: Final = "flush-type=[ASYNC @4.0.0 | SYNC @6.2.0]"

container("SLOWLOG", since="2.2.12", group="server", summary="Commands about calls that took long.", help_since="6.2.0")


# ── databases ──────────────────────────────────────────────────────────────────────────────────────────


@command("DBSIZE", READONLY | FAST, acl=("keyspace",), tips=("request_policy:all_shards", "response_policy:agg_sum"))
def dbsize(call: Call) -> Reply:
    """Count the keys of the database."""
    return len(call.db)


@command(f"FLUSHDB {_FLUSH}", WRITE | TOUCHES_ARBITRARY_KEYS | WAITS, acl=("keyspace", "dangerous"), tips=ALL_SHARDS,
         complexity="O(N) where N is the number of keys", history=_FLUSH_HISTORY)  # fmt: skip
def flushdb(call: Call) -> Reply:
    """Remove all keys of the database."""
    leaves_it = _leaves_freeing(call)
    call.db.dirty += call.db.clear(is_told=leaves_it or not call.deny_blocking)
    # Also when there was nothing to remove: a replica may have something.
    call.replicate_verbatim()
    return OK if leaves_it else _freed(call)


@command(f"FLUSHALL {_FLUSH}", WRITE | TOUCHES_ARBITRARY_KEYS | WAITS, acl=("keyspace", "dangerous"), tips=ALL_SHARDS,
         complexity="O(N) where N is the number of keys", history=_FLUSH_HISTORY)  # fmt: skip
def flushall(call: Call) -> Reply:
    """Remove all keys of all databases."""
    leaves_it = _leaves_freeing(call)
    for db in call.state.dbs:
        call.db.dirty += db.clear(is_told=leaves_it or not call.deny_blocking)
    call.db.dirty += 1
    if call.state.snapshots is not None and call.state.snapshots.flushed():
        call.db.dirty = 0  # no change that is in no file
    call.replicate_verbatim()
    return OK if leaves_it else _freed(call)


def _leaves_freeing(call: Call) -> bool:
    """ASYNC: the client is answered before all is freed. With SYNC it waits for that; nobody else does."""
    if len(call.argv) > 2 or (len(call.argv) == 2 and call.option(1) not in (b"SYNC", b"ASYNC")):
        raise Failure(SYNTAX_ERROR)
    return len(call.argv) == 2 and call.option(1) == b"ASYNC"


def _freed(call: Call) -> Reply:
    """A little is freed at once. A client of ours waits for more; a transaction, a script or a primary does not."""
    is_left = call.db.keyspace.waste.free(call.state.clock.monotonic)
    if call.deny_blocking or call.origin != Origin.CLIENT or not is_left:
        return OK
    return call.state.engine.waiting.wait_for_freeing(call)


@command("SWAPDB index1:integer index2:integer", WRITE | FAST, since="4.0.0", acl=("keyspace", "dangerous"),
         complexity="O(N) where N is the number of clients that watch or wait for keys of either")  # fmt: skip
def swapdb(call: Call) -> Reply:
    """Exchange the contents of two databases."""
    dbs = call.state.dbs
    first = _index(call.argv[1], "ERR invalid first DB index")
    second = _index(call.argv[2], "ERR invalid second DB index")
    if not (0 <= first < len(dbs) and 0 <= second < len(dbs)):
        raise Failure(NO_SUCH_DB)
    if first != second:
        call.state.watches.swapping(dbs[first], dbs[second])
        dbs[first].swap(dbs[second])
    call.db.dirty += 1
    return OK


def _index(text: bytes, error: str) -> int:
    try:
        number = parse_int(text)
    except ValueError:
        raise Failure(error) from None
    if not -(2**31) <= number < 2**31:
        raise Failure(error)
    return number


# ── itself ─────────────────────────────────────────────────────────────────────────────────────────────


@command("TIME", LOADING | STALE | FAST, since="2.6.0", tips=("nondeterministic_output",))
def time(call: Call) -> Reply:
    """Tell the time: seconds since 1970, and microseconds of the current one."""
    # In a script or transaction time stands still, at the instant that keys expire by.
    now_us = call.now * 1000 if call.deny_blocking else call.state.clock.wall_us()
    seconds, microseconds = divmod(now_us, 1_000_000)
    return [b"%d" % seconds, b"%d" % microseconds]


@command("SHUTDOWN save-selector=[NOSAVE | SAVE] [NOW @7.0.0] [FORCE @7.0.0] [ABORT @7.0.0]",
         ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY | WAITS,
         complexity="O(N) when saving, where N is the number of keys",
         history=(("7.0.0", "Takes `NOW`, `FORCE` and `ABORT`."),))  # fmt: skip
def shutdown(call: Call) -> Reply:
    """End the server; the answer is the end of the connection."""
    options = [call.option(at) for at in range(1, len(call.argv))]
    if any(option not in (b"NOSAVE", b"SAVE", b"NOW", b"FORCE", b"ABORT") for option in options):
        raise Failure(SYNTAX_ERROR)
    if (b"ABORT" in options and set(options) != {b"ABORT"}) or (b"SAVE" in options and b"NOSAVE" in options):
        raise Failure(SYNTAX_ERROR)
    ending = call.state.ending
    if b"ABORT" in options:
        if not ending.abort():
            raise Failure("ERR No shutdown in progress.")
        return OK
    saves = True if b"SAVE" in options else False if b"NOSAVE" in options else None
    if saves is not False and call.state.mode & BUSY_SCRIPT:
        return call.state.engine.scripts.busy()
    reply: Reply = ending.request(call, saves=saves, is_now=b"NOW" in options, is_forced=b"FORCE" in options)
    return reply


@command("MONITOR", ADMIN | NOSCRIPT | LOADING | STALE, complexity="")
def monitor(call: Call) -> Reply:
    """Show this connection every command the server runs."""
    if call.deny_blocking:
        raise Failure("ERR MONITOR isn't allowed for DENY BLOCKING client")
    session, state = call.session, call.state
    if session.mode & MONITOR:
        return NOTHING
    session.mode |= MONITOR
    state.mode |= MONITORED
    state.observer.monitors[session] = None
    return OK


# ── the slow log ───────────────────────────────────────────────────────────────────────────────────────


@command("SLOWLOG|GET [count:integer]", ADMIN | LOADING | STALE, since="2.2.12",
         tips=("request_policy:all_nodes", "nondeterministic_output"),
         complexity="O(N) where N is the number of entries returned",
         history=(("4.0.0", "Tells address and name of the client."),))  # fmt: skip
def slowlog_get(call: Call) -> Reply:
    """Answer the latest entries of the slow log, ten of them or as many as said."""
    if len(call.argv) > 3:
        raise wrong_subcommand(call)
    slow = call.state.observer.slow
    error = "ERR count should be greater than or equal to -1"
    count = call.integer(2, error) if len(call.argv) == 3 else 10
    if count < -1:
        raise Failure(error)
    entries = list(slow) if count == -1 else list(slow)[:count]
    return [
        [entry.id, entry.at_s, entry.duration_us, list(entry.argv), entry.peer, entry.client_name] for entry in entries
    ]


@command("SLOWLOG|LEN", ADMIN | LOADING | STALE, since="2.2.12",
         tips=("request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"))  # fmt: skip
def slowlog_len(call: Call) -> Reply:
    """Count the entries of the slow log."""
    return len(call.state.observer.slow)


@command("SLOWLOG|RESET", ADMIN | LOADING | STALE, since="2.2.12", tips=ALL_NODES,
         complexity="O(N) where N is the number of entries")  # fmt: skip
def slowlog_reset(call: Call) -> Reply:
    """Empty the slow log."""
    call.state.observer.slow.clear()
    return OK
