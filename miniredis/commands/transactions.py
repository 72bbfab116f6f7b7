"""MULTI, EXEC, DISCARD, WATCH, UNWATCH.

The engine queues (engine/execute.py) and remembers who watches what (engine/watch.py); these commands open, close and
abandon. Errors while running do not undo what ran before: Redis has no rollback.
"""

from __future__ import annotations

from miniredis.engine.call import Call
from miniredis.engine.client import DIRTY_CAS, DIRTY_EXEC, IN_MULTI
from miniredis.engine.registry import (
    ALLOW_BUSY,
    FAST,
    LOADING,
    NOSCRIPT,
    OUTLASTS,
    SKIP_SLOWLOG,
    STALE,
    UNQUEUED,
    command,
)
from protocol.resp.values import NULL_ARRAY, OK, Failure, Reply

_LOADED_OR_NOT = NOSCRIPT | LOADING | STALE
_ANY_TIME = _LOADED_OR_NOT | ALLOW_BUSY


@command("MULTI", _ANY_TIME | FAST | UNQUEUED, since="1.2.0")
def multi(call: Call) -> Reply:
    """Begin a transaction: what follows is queued until EXEC."""
    client = call.session
    if client.mode & IN_MULTI:
        raise Failure("ERR MULTI calls can not be nested")
    client.mode |= IN_MULTI
    return OK


@command(
    "EXEC", _LOADED_OR_NOT | SKIP_SLOWLOG | UNQUEUED, since="1.2.0",
    complexity="Depends on commands in the transaction",
)  # fmt: skip
def exec_(call: Call) -> Reply:
    """Run what was queued, with nothing else in between."""
    client, state = call.session, call.state
    if not client.mode & IN_MULTI:
        raise Failure("ERR EXEC without MULTI")
    if state.watches.is_expired(client):
        client.mode |= DIRTY_CAS
    if client.mode & DIRTY_EXEC:
        state.engine.transactions.discard(client)
        raise Failure("EXECABORT Transaction discarded because of previous errors.")
    if client.mode & DIRTY_CAS:
        state.engine.transactions.discard(client)
        return NULL_ARRAY
    engine = state.engine
    if any(command.flags & OUTLASTS for command, _ in client.queue):
        return engine.waiting.outlast(call, lambda: engine.transactions.run(call))
    return engine.transactions.run(call)


@command("DISCARD", _ANY_TIME | FAST | UNQUEUED, since="2.0.0", complexity="O(N)")
def discard(call: Call) -> Reply:
    """Abandon the transaction and forget what was queued."""
    client = call.session
    if not client.mode & IN_MULTI:
        raise Failure("ERR DISCARD without MULTI")
    call.state.engine.transactions.discard(client)
    return OK


@command(
    "WATCH key [key ...]", _ANY_TIME | FAST | UNQUEUED, since="2.2.0", keys="RO",
    complexity="O(1) for every key.",
)  # fmt: skip
def watch(call: Call) -> Reply:
    """Let the next transaction fail if one of the keys is touched before."""
    client = call.session
    if client.mode & IN_MULTI:
        raise Failure("ERR WATCH inside MULTI is not allowed")
    if not client.mode & DIRTY_CAS:
        for key in call.argv[1:]:
            call.state.watches.watch(client, call.db, key)
    return OK


@command("UNWATCH", _ANY_TIME | FAST, since="2.2.0")
def unwatch(call: Call) -> Reply:
    """Watch none of the keys any longer."""
    client = call.session
    call.state.watches.unwatch(client)
    client.mode &= ~DIRTY_CAS
    return OK
