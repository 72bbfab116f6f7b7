"""Waiting until others have what this connection wrote."""

from __future__ import annotations

from typing import Any, Final

from miniredis.commands.shared import NOT_POSITIVE, at_least, timeout_ms
from miniredis.engine.call import Call
from miniredis.engine.registry import BLOCKING, command
from miniredis.keyspace.blocked import Waiter
from miniredis.replication.acknowledgements import Tally, Wish
from protocol.resp.values import BLOCKED, Failure, Reply

NO_FILE: Final = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."
_TIPS: Final = ("request_policy:all_shards", "response_policy:agg_min")


@command("WAIT numreplicas:integer timeout:integer", BLOCKING, since="3.0.0", group="generic", acl=("connection",),
         tips=_TIPS)  # fmt: skip
def wait(call: Call) -> Reply:
    """Wait until so many replicas have what this connection wrote, or the time (ms) is over; answers how many do."""
    if call.state.replication.upstream is not None:
        raise Failure(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is "
            "configured to be writable (which is not the default) writes to replicas are just local and are not "
            "propagated."
        )
    wish = Wish(call.session.written_at, call.integer(1))
    return _wait(call, wish, timeout_ms(call, 2))


@command("WAITAOF numlocal:integer numreplicas:integer timeout:integer", BLOCKING, since="7.2.0", group="generic",
         acl=("connection",), tips=_TIPS)  # fmt: skip
def waitaof(call: Call) -> Reply:
    """Wait until what this connection wrote is on disks: ours, those of so many replicas, or the time (ms) is over."""
    local = call.integer(1)
    if not 0 <= local <= 1:
        raise Failure("ERR value is out of range, value must between 0 and 1")
    replicas = at_least(call, 2, 0, NOT_POSITIVE)
    patience = timeout_ms(call, 3)
    if call.state.replication.upstream is not None:
        raise Failure(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just "
            "local and are not propagated."
        )
    if local and not call.state.replication.primary.counts_for_aof:
        raise Failure(NO_FILE)
    return _wait(call, Wish(call.session.written_at, replicas, True, local), patience)


def _wait(call: Call, wish: Wish, patience_ms: int) -> Reply:
    state, session = call.state, call.session
    primary = state.replication.primary
    acknowledgements = primary.acknowledgements
    tally = acknowledgements.count(wish)
    if call.deny_blocking or acknowledgements.is_met(wish, tally):
        return _answer(wish, tally)
    waiter = Waiter(session, call.db, {}, None, call.now + patience_ms if patience_ms else 0, call.argv)
    waiter.otherwise = lambda: _give_up(acknowledgements, waiter, wish)
    session.blocked = waiter
    state.blocked.add(waiter)
    engine = state.engine
    acknowledgements.wait(waiter, wish, lambda tally: engine.waiting.serve(waiter, _answer(wish, tally)))
    primary.request_acks()
    return BLOCKED


def _give_up(acknowledgements: Any, waiter: Waiter, wish: Wish) -> Reply:
    acknowledgements.forget(waiter)
    return _answer(wish, acknowledgements.count(wish))


def _answer(wish: Wish, tally: Tally | None) -> Reply:
    if tally is None:
        return Failure(NO_FILE)
    return [tally.local, tally.replicas] if wish.is_aof else tally.replicas
