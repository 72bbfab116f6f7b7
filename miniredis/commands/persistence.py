"""Saving the data set: now, in the background, and when that was last done."""

from __future__ import annotations

from typing import Any

from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import ADMIN, FAST, LOADING, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, STALE, command
from protocol.resp.values import OK, Failure, Reply, Status

_STARTED = Status("Background saving started")
_SCHEDULED = Status("Background saving scheduled")
_REWRITE_STARTED = Status("Background append only file rewriting started")
_REWRITE_SCHEDULED = Status("Background append only file rewriting scheduled")


def _snapshots(call: Call) -> Any:
    return call.state.snapshots


@command("SAVE", ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI,
         complexity="O(N) where N is the number of keys of all databases")  # fmt: skip
def save(call: Call) -> Reply:
    """Write all databases to the disk; nobody is served meanwhile."""
    snapshots = _snapshots(call)
    if snapshots.children.is_snapshot:
        raise Failure("ERR Background save already in progress")
    if not snapshots.save():
        raise Failure("ERR")
    return OK


@command("BGSAVE [SCHEDULE @3.2.2]", ADMIN | NOSCRIPT | NO_ASYNC_LOADING, complexity="O(1)",
         history=(("3.2.2", "Takes `SCHEDULE`."),))  # fmt: skip
def bgsave(call: Call) -> Reply:
    """Write all databases to the disk in another process."""
    if len(call.argv) > 1 and (len(call.argv) > 2 or call.option(1) != b"SCHEDULE"):
        raise Failure(SYNTAX_ERROR)
    snapshots = _snapshots(call)
    if snapshots.children.is_snapshot:
        raise Failure("ERR Background save already in progress")
    # In the middle of a transaction no process is made.
    if call.deny_blocking or (snapshots.children.kind and len(call.argv) > 1):
        snapshots.is_scheduled = True
        return _SCHEDULED
    if snapshots.children.kind:
        raise Failure(
            "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to "
            "schedule a BGSAVE whenever possible."
        )
    if not snapshots.save_in_background():
        raise Failure("ERR")
    return _STARTED


@command("BGREWRITEAOF", ADMIN | NOSCRIPT | NO_ASYNC_LOADING, complexity="O(1)")
def bgrewriteaof(call: Call) -> Reply:
    """Write all databases anew as the base of the append-only file, in another process."""
    appending = call.state.appending
    if appending.is_rewriting:
        raise Failure("ERR Background append only file rewriting already in progress")
    if call.state.snapshots.children.kind or call.deny_blocking:
        appending.schedule()
        return _REWRITE_SCHEDULED
    if not appending.rewrite_in_background():
        raise Failure(
            "ERR Can't execute an AOF background rewriting. Please check the server logs for more information."
        )
    return _REWRITE_STARTED


@command("LASTSAVE", FAST | LOADING | STALE, acl=("admin", "dangerous"), tips=("nondeterministic_output",))
def lastsave(call: Call) -> Reply:
    """Tell when the databases were last written to the disk, in seconds since 1970."""
    last: int = _snapshots(call).last_save_s
    return last
