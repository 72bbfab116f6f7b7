"""Transactions: what was queued since MULTI, run as one unit.

Between MULTI and EXEC a client's commands are only looked at: known, of the right arity, allowed. A refusal there makes
EXEC refuse; an error while they run stops none of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from miniredis.engine.call import Call
from miniredis.engine.client import DIRTY_CAS, DIRTY_EXEC, IN_MULTI, LIMITED_USER, NO_TOUCH, TRACKING, Client
from miniredis.engine.observe import Command
from miniredis.engine.plain import TIMED_ALONE_US, TIMED_TOGETHER
from miniredis.engine.state import MONITORED
from protocol.resp.values import Failure, Reply, Spoken

if TYPE_CHECKING:
    from miniredis.engine.execute import Engine

# Of whom each command in a transaction is looked at alone.
_LOOKED_AT_CLOSELY: Final = LIMITED_USER | NO_TOUCH | TRACKING


class Transactions:
    """EXEC and DISCARD of one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.state = engine.state

    def discard(self, client: Client) -> None:
        """Leave the transaction and forget what was queued and watched."""
        client.queue = []
        client.mode &= ~(IN_MULTI | DIRTY_CAS | DIRTY_EXEC)
        self.state.watches.unwatch(client)

    def run(self, call: Call) -> list[Reply]:
        """The queued commands as one unit; errors of one do not stop the others."""
        client = call.session
        state = self.state
        queue, client.queue = client.queue, []  # the client may go away before a long script in it has ended
        exec_argv = call.argv
        state.watches.unwatch(client)
        call.deny_blocking = True
        self.engine.depth += 1
        replies: list[Reply] = []
        spoken, since = client.resp, 0
        at = 0
        try:
            while at < len(queue):
                command, argv = queue[at]
                if command.is_brief and not (state.mode & MONITORED or client.mode & _LOOKED_AT_CLOSELY):
                    at = self._perform_alike(client, call, queue, at, replies)
                    continue
                at += 1
                denied = state.access.check(client.user, command.spec, argv) if state.access is not None else None
                if denied is not None:
                    self.engine.observer.count_error(denied)
                    replies.append(denied)
                else:
                    replies.append(self.engine.perform(client, call, command, argv))
                if client.resp != spoken:  # HELLO: what was answered before it is in the protocol of before
                    replies[since:-1] = [Spoken(reply, spoken) for reply in replies[since:-1]]
                    spoken, since = client.resp, len(replies) - 1
        finally:
            self.engine.depth -= 1
            call.deny_blocking = False
            self.discard(client)
            call.argv = exec_argv
        return replies

    def _perform_alike(
        self, client: Client, call: Call, queue: list[tuple[Command, list[bytes]]], start: int, replies: list[Reply]
    ) -> int:  # fmt: skip
        """What `perform` does, for calls of one brief command in a row, timed together. How far it got."""
        state, keyspace, is_heard = self.state, self.engine.keyspace, self.engine.journal.is_heard
        command = queue[start][0]
        run = command.run
        most = TIMED_TOGETHER if state.slow_us >= TIMED_ALONE_US else 1
        at = start
        started = state.clock.monotonic()
        for queued, argv in queue[start : start + most]:
            if queued is not command:
                break
            at += 1
            call.argv = argv
            db = call.db
            try:
                reply = run(call)
            except Failure as failure:
                failure.__traceback__ = failure.__context__ = None  # see plain.py
                reply = failure
                self.engine.count_failure(command, failure)
            if keyspace.pending or call.effects is not None or (db.dirty and is_heard):
                self.engine.conclude(call, command)
            elif db.dirty:
                state.dirty += db.dirty
                db.dirty = 0
            replies.append(reply)
        self.engine.count(client, command, call.argv, at - start, state.clock.monotonic() - started)
        return at
