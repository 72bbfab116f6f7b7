"""Clients that are not answered yet: what each of them waits for, and how it goes on.

    keys           BLPOP …: the command is run again from the start when one of its keys becomes ready (`serve_ready`)
    their own work a script or transaction longer than busy-reply-threshold (`outlast`)
    freeing        FLUSHALL, until nothing is left to be freed
    elsewhere      MIGRATE, WAIT: whoever has what they wait for calls `settle_late` or `serve`
    a pause        CLIENT PAUSE, FAILOVER, SHUTDOWN: the call is put before all that was sent since

`client.blocked` is the Waiter of each, whatever it waits for. Whoever waits no longer is in `unblocked` until
`resume_unblocked` lets it go on with what it sent meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from miniredis.engine.call import Call, Origin
from miniredis.engine.client import CLOSING, Client
from miniredis.engine.state import BUSY_SCRIPT, LOADING, PAUSED_ALL, PAUSED_WRITES
from miniredis.keyspace.blocked import Waiter
from miniredis.keyspace.db import EXPIRES, HIDES
from protocol.resp.values import BLOCKED, NULL_ARRAY, OK, Failure, Reply

if TYPE_CHECKING:
    from miniredis.engine.execute import Engine


class Purpose(Enum):
    """Whose a pause is: nobody ends another's, and clients wait while there is any."""

    CLIENTS = "CLIENT PAUSE"
    FAILOVER = "FAILOVER"
    SHUTDOWN = "SHUTDOWN"


class Pause(NamedTuple):
    until_ms: int
    writes_only: bool


class Waiting:
    """The waiting clients of one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.state = engine.state
        self.keyspace = engine.keyspace
        self.unblocked: deque[Client] = deque()  # may go on with what they sent meanwhile
        self.postponed: dict[Client, None] = {}  # wait for the end of the pauses
        self.pauses: dict[Purpose, Pause] = {}
        self.flushing: list[Waiter] = []  # wait until all is freed that is to be
        self.ending: list[Waiter] = []  # wait for the end of the server
        self._is_serving = False
        self.is_resuming = False  # or nobody is to go on now
        self.of_file: Reply = None  # what came of the last slow script of a file

    def forget(self, client: Client) -> None:
        """It is gone."""
        if client.blocked is not None:
            self.state.blocked.remove(client.blocked)
            client.blocked = None
        self.postponed.pop(client, None)

    # Work that may take longer than the loop waits for it: scripts, and transactions with scripts in them.

    def outlast(self, call: Call, work: Callable[[], Reply]) -> Reply:
        """Do it on the companion's side while the loop stands still. After busy-reply-threshold the loop goes on, in
        a mode in which only few commands are allowed; the client waits, as if blocked, and `_end_late` answers it.
        Who replays a file waits for the end of that mode, and finds the outcome in `of_file`."""
        companion = self.state.companion
        is_of_file = call.origin is Origin.AOF
        # No second thread (tests); or we are on it already; or nobody waits for anything else: DEBUG LOADAOF.
        if companion is None or companion.is_working or (is_of_file and not self.state.mode & LOADING):
            return work()
        outcome: list[Reply] = []
        faults: list[BaseException] = []

        def carry_out() -> None:
            try:
                outcome.append(work())
            except Failure as failure:
                outcome.append(failure)
            except BaseException as fault:  # a fault of ours goes on where somebody hears of it: in the loop's thread
                faults.append(fault)

        client, argv, threshold_ms = call.session, call.argv, self.state.settings.busy_reply_threshold
        waiter = Waiter(client, call.db, {}, None, 0, argv)

        def end_late() -> None:
            self.state.mode &= ~BUSY_SCRIPT
            if faults:
                raise faults[0]
            if is_of_file:
                self.of_file = outcome[0]
            else:
                self._end_late(waiter, call, outcome[0])

        if companion.run(carry_out, threshold_ms / 1000 if threshold_ms > 0 else None, end_late):
            if faults:
                raise faults[0]
            return outcome[0]
        self.state.mode |= BUSY_SCRIPT
        self.engine.scripts.warn_slow(threshold_ms)
        if not is_of_file:
            client.blocked = waiter
        return BLOCKED

    def wait_for_freeing(self, call: Call) -> Reply:
        """FLUSHALL: the client is answered when nothing is left to be freed."""
        waiter = Waiter(call.session, call.db, {}, None, 0, call.argv)
        call.session.blocked = waiter
        self.flushing.append(waiter)
        return BLOCKED

    def release_flushing(self) -> None:
        """Now nothing is left."""
        flushing, self.flushing = self.flushing, []
        for waiter in flushing:
            if waiter.client.blocked is waiter:
                self._release_unserved(waiter, OK)

    def serve(self, waiter: Waiter, reply: Reply) -> None:
        """What it waited for elsewhere than in the keyspace has come."""
        if waiter.client.blocked is waiter:
            self._release_unserved(waiter, reply)

    def settle_late(self, waiter: Waiter, call: Call, work: Callable[[Call], Reply]) -> None:
        """What a client waited for outside of here has come: do what is to be done with it, as a unit of its own.
        The client is answered, or waits on if that is BLOCKED; it may be gone."""
        self.engine.begin(call)
        call.argv = waiter.argv
        reply = work(call)
        if reply is not BLOCKED:
            self._end_late(waiter, call, reply)
            return
        command = self.engine.lookup(waiter.argv)
        assert command is not None
        self.engine.conclude(call, command)

    def _end_late(self, waiter: Waiter, call: Call, reply: Reply) -> None:
        """What `perform` and `run` do after a command, for one that has outlasted their patience."""
        client: Client = waiter.client
        command = self.engine.lookup(waiter.argv)
        assert command is not None
        call.argv = waiter.argv
        self.engine.conclude(call, command)
        self.engine.count(client, command, waiter.argv, 1, 0.0)
        if isinstance(reply, Failure):
            self.engine.count_failure(command, reply)
        if client.blocked is waiter:
            self.release(client, reply)
        if self.keyspace.ready:
            self.serve_ready()
        self.resume_unblocked()

    # Those who wait.

    def serve_ready(self) -> None:
        """Run the commands of blocked clients again whose keys have become ready, until there are none."""
        keyspace = self.keyspace
        if self._is_serving or self.state.mode & BUSY_SCRIPT:
            return  # a script's unit is not complete: they are served after it
        self._is_serving = True
        try:
            while keyspace.ready:
                ready, keyspace.ready = keyspace.ready, {}
                for db, key in ready:
                    for waiter in self.state.blocked.at(db, key):
                        value = db.foresee(key)
                        if not waiter.is_done and (type(value) is waiter.kind or waiter.on_deletion):
                            self._retry(waiter)
        finally:
            self._is_serving = False

    def _retry(self, waiter: Waiter) -> None:
        """A unit of its own: the blocked command once more, from the start."""
        client: Client = waiter.client
        call = client.call
        assert call is not None
        self.state.blocked.leave_keys(waiter)
        command = self.engine.lookup(waiter.argv)
        assert command is not None
        self.engine.begin(call)
        reply = self.engine.perform(client, call, command, waiter.argv)
        if reply is not BLOCKED:
            self.release(client, reply)

    def release(self, client: Client, reply: Reply) -> None:
        """End a client's waiting with this answer; what it sent meanwhile is run soon."""
        waiter = client.blocked
        assert waiter is not None
        self.state.blocked.remove(waiter)
        client.blocked = None
        self.unblocked.append(client)
        self.engine.answer(client, reply)

    def release_expired(self, now: int) -> None:
        """Those whose timeout has passed get the null their command answers then."""
        for waiter in self.state.blocked.expired(now):
            self._release_unserved(waiter, self._too_late(waiter))
        self.resume_unblocked()

    def _release_unserved(self, waiter: Waiter, reply: Reply) -> None:
        command = self.engine.lookup(waiter.argv)
        assert command is not None
        self.engine.count(waiter.client, command, waiter.argv, 1, 0.0)  # waiting is no work
        if isinstance(reply, Failure):
            self.engine.count_failure(command, reply)
        self.release(waiter.client, reply)

    def unblock(self, client: Client, *, with_error: bool) -> bool:
        """CLIENT UNBLOCK: as if timed out, or with an error. Whether it was waiting for keys."""
        waiter = client.blocked
        if waiter is None or waiter not in self.state.blocked.waiters:
            return False  # or it waits for the end of a pause, or of its own script
        failure = Failure("UNBLOCKED client unblocked via CLIENT UNBLOCK")
        self._release_unserved(waiter, failure if with_error else self._too_late(waiter))
        return True

    def unblock_everybody(self) -> None:
        """This server becomes another's replica: who waits for keys here waits in vain, and is to look where to."""
        for waiter in list(self.state.blocked.waiters):
            text = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
            self._release_unserved(waiter, Failure(text))
            waiter.client.close_after_reply()

    @staticmethod
    def _too_late(waiter: Waiter) -> Reply:
        reply: Reply = NULL_ARRAY if waiter.otherwise is None else waiter.otherwise()
        return reply

    def resume_unblocked(self) -> None:
        """Let clients that no longer wait go on with what they sent meanwhile: one after the other, those too whom one
        of them wakes. (One within the other, a chain of some hundred would be deeper than the stack.)"""
        if self.is_resuming:
            return
        self.is_resuming = True
        try:
            while self.unblocked:
                client = self.unblocked.popleft()
                if not client.mode & CLOSING and not client.is_running:
                    client.resume()
        finally:
            self.is_resuming = False

    # Pauses.

    def pause(self, until_ms: int, *, writes_only: bool, purpose: Purpose = Purpose.CLIENTS) -> None:
        """Let clients wait until then; one for the same purpose gets the stricter mode and the later end."""
        before = self.pauses.get(purpose)
        if before is not None:
            until_ms, writes_only = max(before.until_ms, until_ms), before.writes_only and writes_only
        self.pauses[purpose] = Pause(until_ms, writes_only)
        self._judge_pauses()

    def unpause(self, purpose: Purpose = Purpose.CLIENTS) -> None:
        """Clients whom no other purpose holds go on, in the order they came to wait."""
        if self.pauses.pop(purpose, None) is not None:
            self._judge_pauses()

    def end_pauses(self, now_ms: int) -> None:
        """Those whose time is over."""
        for purpose, pause in list(self.pauses.items()):
            if pause.until_ms <= now_ms:
                self.unpause(purpose)

    def _judge_pauses(self) -> None:
        state, pauses = self.state, self.pauses.values()
        before = state.mode & (PAUSED_ALL | PAUSED_WRITES)
        mode = 0
        if pauses:
            mode = PAUSED_WRITES if all(pause.writes_only for pause in pauses) else PAUSED_ALL
        state.mode = state.mode & ~before | mode
        state.paused_until = min((pause.until_ms for pause in pauses), default=0)
        if mode and self.keyspace.expiry_rule == EXPIRES:
            self.keyspace.expiry_rule = HIDES
        elif not mode and self.keyspace.expiry_rule == HIDES and not state.is_replica:
            self.keyspace.expiry_rule = EXPIRES
        state.pause_changed()
        if mode != before and mode != PAUSED_ALL:
            self._release_postponed()

    def _release_postponed(self) -> None:
        """Who has still to wait is put here again."""
        postponed, self.postponed = self.postponed, {}
        for client in postponed:
            waiter = client.blocked
            assert waiter is not None
            client.blocked = None
            client.hold_first(waiter.argv)
            self.unblocked.append(client)

    def postpone(self, client: Client, call: Call, argv: list[bytes]) -> None:
        """This call is made when the pause has ended."""
        client.blocked = Waiter(client, call.db, {}, None, 0, argv)
        self.postponed[client] = None
