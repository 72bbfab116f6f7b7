"""How a command is run: guard → run → effects → answer.

    session ──► plain.py                        the plain case, one loop for all commands of a read, or of a few reads
                  │  refused bits, arity, unknown → process()      the long way: guards, MULTI queue, CLIENT REPLY
                  ▼
                handler(call) → reply
                  │
                conclude()                      facts of db.py → WATCH, events, journal
                  ▼
                client.out → flush

Laws:
1. No loop, no socket, no clock but `state.clock`: a client, EXEC, a script, a loading AOF and a primary's stream all
   come through here, and `call.origin` says which.
2. An execution unit – a command of a client, a whole transaction, one served waiter – sees one instant, and its effects
   enter the journal together.
3. Blocked clients are served after the unit that made their keys ready, in the order they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from miniredis.engine import divergence, guards
from miniredis.engine.call import Call, Origin
from miniredis.engine.client import (
    CLOSING,
    DIRTY_CAS,
    DIRTY_EXEC,
    IN_MULTI,
    NO_TOUCH,
    REPLICA,
    REPLY_OFF,
    REPLY_SKIP,
    REPLY_SKIP_NEXT,
    TRACKING,
    Client,
)
from miniredis.engine.journal import TO_AOF, TO_REPLICAS
from miniredis.engine.memory import Memory
from miniredis.engine.observe import Command
from miniredis.engine.plain import Plain
from miniredis.engine.registry import (
    ADMIN,
    FAST,
    SKIP_MONITOR,
    SKIP_SLOWLOG,
    TOUCHES_ARBITRARY_KEYS,
    UNQUEUED,
    Spec,
)
from miniredis.engine.scripts import Scripts
from miniredis.engine.state import MONITORED, State
from miniredis.engine.tracking import Tracking
from miniredis.engine.transactions import Transactions
from miniredis.engine.waiting import Waiting
from miniredis.keyspace.counting import NO_LIMIT
from miniredis.keyspace.db import HIDES, IGNORES
from protocol.resp.values import BLOCKED, NOTHING, QUEUED, Failure, Many, Push, Reply

# The clock is looked at again after so long: commands of one pipeline, and of clients read in one turn, mostly share an
# instant, as they do in Redis.
INSTANT_S: Final = 0.0001

# How an HTTP request that a browser was tricked into sending begins: its sender must not get any further.
_HTTP_WORDS: Final = (b"post", b"host:")


class Obeyed(Client):
    """The primary of a replica (upstream.py)."""

    __slots__ = ()

    def tell_error(self, name: bytes, text: bytes) -> None:
        """A command it sent has failed here."""


class Engine:
    """Runs commands against one `State`."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.keyspace = state.keyspace
        self.journal = state.journal
        self.observer = state.observer
        self.commands: dict[bytes, Command] = {}  # by the exact bytes of upper and lower case names
        self._learn()
        state.engine = self
        state.mode |= guards.LOOK_TWICE
        self._stale_at = float("-inf")  # monotonic: from then on the clock is looked at again
        self.depth = 0  # inside EXEC or a script: effects wait for the outer unit
        self._obeyed: Obeyed | None = None  # whose commands are being run, where it is our primary
        self.waiting = Waiting(self)
        self.transactions = Transactions(self)
        self.scripts = Scripts(self)
        self.memory = Memory(self)
        self.tracking = Tracking(state)
        self.plain = Plain(self)

    def _learn(self) -> None:
        known: dict[tuple[int, bool], int] = {}  # most commands have the flags of another
        everything = self.observer.commands

        def learned(spec: Spec) -> Command:
            alike = spec.flags, guards.has_second_look(spec)
            if alike not in known:
                known[alike] = guards.refuses(spec)
            command = Command(spec, known[alike])
            everything.append(command)
            return command

        for spec in self.state.table:
            command = learned(spec)
            for name, sub in spec.subcommands.items():
                command.subcommands[name] = learned(sub)
            self.commands[spec.name] = self.commands[spec.name.upper()] = command

    # Clients.

    def admit(self, client: Client, origin: Origin = Origin.CLIENT) -> None:
        """A new client: it gets the call object it will live with."""
        client.call = Call(self.state, client, origin)
        self.state.clients[client.id] = client

    def dismiss(self, client: Client) -> None:
        """A client is gone: nothing may remember it."""
        state = self.state
        client.mode |= CLOSING
        self.waiting.forget(client)
        if client.follower is not None:
            state.replication.primary.leave(client)
            client.follower = None
        state.watches.unwatch(client)
        self.tracking.stop(client)
        client.queue.clear()
        self.observer.monitors.pop(client, None)
        if not self.observer.monitors:
            state.mode &= ~MONITORED
        if state.pubsub is not None:
            state.pubsub.forget(client)
        state.clients.pop(client.id, None)
        client.call = None

    # What every way of running a command does.

    def count(self, client: Client, command: Command, argv: list[bytes], count: int, elapsed_s: float) -> None:
        """So many calls of a command took so long together; `argv` is the last of them."""
        elapsed_us = int(elapsed_s * 1e6)
        command.calls += count
        command.microseconds += elapsed_us
        command.histogram[(elapsed_us // count).bit_length()] += count
        if elapsed_us >= self.state.slow_us:
            self.log_slow(client, command, argv, elapsed_us)

    def follow_up(self, client: Client) -> None:
        """Between two commands of a client: messages behind its last reply, others whose keys became ready."""
        self._tell_late(client)
        if self.keyspace.ready:
            self.waiting.serve_ready()

    def _tell_late(self, client: Client) -> None:
        if client.late:
            client.out += client.late
            client.late.clear()

    def look_at_clock(self) -> float:
        """The monotonic time. The instant of the next unit (`keyspace.now`) is told when the last one is stale."""
        now = self.state.clock.monotonic()
        if now > self._stale_at:
            self._tell_time(now)
        return now

    def _tell_time(self, monotonic: float) -> None:
        """The instant of the units to come."""
        self._stale_at = monotonic + INSTANT_S
        self.keyspace.tell_time(self.state.clock.wall_ms())

    def begin(self, call: Call) -> None:
        """A unit of its own, away from the plain case."""
        self._tell_time(self.state.clock.monotonic())
        call.now = self.keyspace.now

    # The long way.

    def lookup(self, argv: list[bytes]) -> Command | None:
        """The command these words name, down to the subcommand; a container where that is missing or unknown."""
        command = self.commands.get(argv[0]) or self.commands.get(argv[0].lower())
        if command is not None and command.subcommands and len(argv) > 1:
            return command.subcommands.get(argv[1].lower(), command)
        return command

    def process(self, client: Client, call: Call, argv: list[bytes]) -> None:
        """Everything that is not the plain case: refusals, an open transaction, replies that are switched off."""
        if client.mode & CLOSING:
            return
        command = self.lookup(argv)
        if command is None and argv[0].lower() in _HTTP_WORDS:
            client.drop_attacker()
            return
        if self.keyspace.limit_bytes != NO_LIMIT:
            self.memory.look()
            self._tell_late(client)  # of keys that went before its command
        failure = self._objection(client, command, argv)
        if failure is not None:
            call.argv = argv
            self._reject(client, command, argv, failure)
            self.answer(client, failure)
            return
        assert command is not None
        if guards.is_paused(self.state, client, command, argv):
            self.waiting.postpone(client, call, argv)
            return
        reply = self._queue_or_perform(client, call, command, argv)
        if reply is not BLOCKED:
            self.answer(client, reply)

    def _queue_or_perform(self, client: Client, call: Call, command: Command, argv: list[bytes]) -> Reply:
        if client.mode & IN_MULTI and not command.flags & UNQUEUED:
            if not client.mode & (DIRTY_CAS | DIRTY_EXEC):
                client.queue.append((command, argv))
            return QUEUED
        return self.perform(client, call, command, argv)

    def answer(self, client: Client, reply: Reply) -> None:
        """Send a reply, unless CLIENT REPLY has switched it off; what is pushed is heard all the same."""
        mode = client.mode
        if not mode & (REPLY_OFF | REPLY_SKIP | REPLY_SKIP_NEXT | REPLICA):
            client.push(reply)
            return
        if mode & REPLICA:
            if reply is not NOTHING:
                self.refuse_chatter(client, reply)
            return
        if type(reply) is Many:
            for frame in reply.replies:
                if type(frame) is Push:
                    client.push(frame)
        client.mode &= ~(REPLY_SKIP | REPLY_SKIP_NEXT)
        if mode & REPLY_SKIP_NEXT:
            client.mode |= REPLY_SKIP

    def refuse_chatter(self, client: Client, reply: Reply) -> None:
        """A replica has asked for something: an answer would be taken for a part of its stream."""
        command = self.lookup(client.call.argv) if client.call is not None else None
        name = command.spec.name if command is not None else b"<unknown>"
        if isinstance(reply, Failure):
            divergence.of_replica(self.state, self.state.warn, name, reply.text)
        self.state.warn(
            f"Replica generated a reply to command '{name.decode()}', disconnecting it: id={client.id} "
            f"addr={client.peer}"
        )
        client.kill()

    def _objection(self, client: Client, command: Command | None, argv: list[bytes]) -> Failure | None:
        if command is None:
            return guards.unknown(argv)
        if command.subcommands and len(argv) > 1:
            return guards.unknown_subcommand(argv)
        if not command.low <= len(argv) <= command.high or command.spec.run is None:
            return guards.wrong_arity(command, argv)
        return guards.refusal(self.state, client, command, argv)

    def _reject(self, client: Client, command: Command | None, argv: list[bytes], failure: Failure) -> None:
        if command is not None and not (command.subcommands and len(argv) > 1):
            command.rejected += 1
            if command.spec.name == b"exec":
                self.transactions.discard(client)
                text = failure.text.removeprefix(b"ERR ")
                failure.text = b"EXECABORT Transaction discarded because of: " + text
        self.observer.count_error(failure)
        if self._obeyed is not None:
            self._obeyed.tell_error(command.spec.name if command is not None else b"?", failure.text)
        if client.mode & IN_MULTI:
            client.mode |= DIRTY_EXEC

    def perform(self, client: Client, call: Call, command: Command, argv: list[bytes]) -> Reply:
        """Run one command that nobody refuses, and see to everything but the answer."""
        state = self.state
        monotonic = state.clock.monotonic
        quiet = client.mode & NO_TOUCH and command.spec.name != b"touch"
        if quiet:
            self.keyspace.leave_clock(True)
        call.argv = argv
        is_repeated = client.blocked is not None
        started = monotonic()
        try:
            reply = command.run(call)
        except Failure as failure:
            failure.__traceback__ = failure.__context__ = None  # see run
            reply = failure
        elapsed_s = monotonic() - started
        if quiet:
            self.keyspace.leave_clock(False)
        call.argv = argv
        if state.mode & MONITORED and not command.flags & (SKIP_MONITOR | ADMIN) and not is_repeated:
            self.observer.feed_monitors(client, call.db.index, argv, state.clock.wall_us())
        self.conclude(call, command)
        if client.mode & TRACKING:
            self.tracking.ran(client, command, argv)
        if reply is not BLOCKED:
            self.count(client, command, argv, 1, elapsed_s)
            if isinstance(reply, Failure):
                self.count_failure(command, reply)
        return reply

    def conclude(self, call: Call, command: Command) -> None:
        """After a handler: hand out the facts it left, and its effects to the journal when the unit ends."""
        state = self.state
        journal = self.journal
        db = call.db
        if self.keyspace.pending:
            self.hand_out_facts(call.session)
        dirty = db.dirty
        if dirty:
            state.dirty += dirty
            db.dirty = 0
        effects = call.effects
        if effects is not None:
            call.effects = None
            if journal.is_heard:
                for argv, target in effects:
                    journal.add(db.index, argv, target)
        elif dirty and journal.is_heard:
            if self.depth == 0 and not command.flags & TOUCHES_ARBITRARY_KEYS:
                journal.tell(db.index, call.argv)
                call.session.written_at = state.history.offset
                return
            journal.add(db.index, call.argv, TO_AOF | TO_REPLICAS)
        if self.depth == 0 and journal.is_heard:
            before = state.history.offset
            journal.commit(as_transaction=not command.flags & TOUCHES_ARBITRARY_KEYS)
            if state.history.offset != before:
                call.session.written_at = state.history.offset

    def hand_out_facts(self, current: Client | None = None) -> None:
        """Expired keys to the journal, touched keys to WATCH and tracking, events to their subscribers. `current`: the
        client whose command it was."""
        keyspace = self.keyspace
        state = self.state
        # What is in the midst of a transaction or script is judged when that is complete.
        keyspace.pending = keyspace.limit_bytes != NO_LIMIT and self.memory.judge() and self.depth > 0
        if keyspace.deletions:
            deletions, keyspace.deletions = keyspace.deletions, []
            self._tell_removed(deletions, is_lazy=state.settings.lazyfree_lazy_expire)
        if keyspace.evictions:
            evictions, keyspace.evictions = keyspace.evictions, []
            self._tell_removed(evictions, is_lazy=state.settings.lazyfree_lazy_eviction)
        if keyspace.field_deletions:
            fields, keyspace.field_deletions = keyspace.field_deletions, []
            if self.journal.is_heard:
                for index, key, field in fields:
                    self.journal.add(index, [b"HDEL", key, field])
        if keyspace.touched:
            touched, keyspace.touched = keyspace.touched, []
            for db, key in touched:
                state.watches.touched(db, key)
            if self.tracking.clients:
                current = self.scripts.speaker(current)
                for _, key in touched:
                    self.tracking.touched(key, current)
        if keyspace.is_flushed:
            keyspace.is_flushed = False
            self.tracking.flushed()
        if keyspace.events:
            events, keyspace.events = keyspace.events, []
            if state.pubsub is not None:
                for _, event, index, key in events:
                    self._publish_event(event, index, key)

    def _tell_removed(self, keys: list[tuple[int, bytes]], *, is_lazy: bool) -> None:
        """To the journal, what the server removed of its own: (database, key)."""
        if self.journal.is_heard:
            verb = b"UNLINK" if is_lazy else b"DEL"
            for index, key in keys:
                self.journal.add(index, [verb, key])

    def _publish_event(self, event: bytes, index: int, key: bytes) -> None:
        mask = self.keyspace.events_mask
        if mask & 1:
            self.state.pubsub.publish(b"__keyspace@%d__:%b" % (index, key), event)
        if mask & 2:
            self.state.pubsub.publish(b"__keyevent@%d__:%b" % (index, event), key)

    def log_slow(self, client: Client, command: Command, argv: list[bytes], elapsed_us: int) -> None:
        """A call took longer than the slow log's threshold, or than the latency monitor's."""
        state = self.state
        state.latency.watch(b"fast-command" if command.flags & FAST else b"command", elapsed_us, state.clock.wall_ms())
        most = state.settings.slowlog_max_len
        if most and not command.flags & SKIP_SLOWLOG and 0 <= state.settings.slowlog_log_slower_than <= elapsed_us:
            self.observer.log_slow(client, argv, elapsed_us, state.clock.wall_ms(), most)

    def count_failure(self, command: Command, failure: Failure) -> None:
        command.failed += 1
        if self._obeyed is not None:
            self._obeyed.tell_error(command.spec.name, failure.text)
        if not failure.is_counted:
            self.observer.count_error(failure)

    # What runs by itself.

    def begin_unit(self) -> int:
        """Before work of the server's own (active expiry): the instant it happens at."""
        self._tell_time(self.state.clock.monotonic())
        return self.keyspace.now

    def end_unit(self) -> None:
        """After it: facts handed out, effects sent without a MULTI around them, waiters served."""
        if self.keyspace.pending:
            self.hand_out_facts()
        if self.journal.is_heard:
            self.journal.commit(as_transaction=False)
        if self.keyspace.ready:
            self.waiting.serve_ready()
        if self.waiting.unblocked:
            self.waiting.resume_unblocked()

    def obey(self, primary: Obeyed, commands: list[list[bytes]]) -> int:
        """Run what a primary sent: how much was taken. What a replica refuses its clients does not concern it, and for
        it no key has expired. Clients that it wakes go on when that holds no more."""
        state, keyspace = self.state, self.keyspace
        lifted = state.mode & guards.OF_REPLICA
        state.mode &= ~lifted
        keyspace.expiry_rule = IGNORES
        waiting = self.waiting
        is_resuming, waiting.is_resuming = waiting.is_resuming, True
        self._obeyed = primary
        try:
            return self.plain.run(primary, commands)
        finally:
            self._obeyed = None
            waiting.is_resuming = is_resuming
            if state.is_replica:  # it may have told us not to be
                state.mode |= lifted
                keyspace.expiry_rule = HIDES
            self.waiting.resume_unblocked()

    def execute(self, client: Client, argvs: Iterable[list[bytes]]) -> list[Reply]:
        """Run commands for internal callers (a loading AOF, a primary's stream, tests): their replies as values."""
        call = client.call
        assert call is not None
        replies: list[Reply] = []
        for argv in argvs:
            self.begin(call)
            if self.keyspace.limit_bytes != NO_LIMIT:
                self.memory.look()
            command = self.lookup(argv)
            failure = self._objection(client, command, argv)
            if failure is not None:
                self._reject(client, command, argv, failure)
                replies.append(failure)
                continue
            assert command is not None
            replies.append(self._queue_or_perform(client, call, command, argv))
            if self.keyspace.ready:
                self.waiting.serve_ready()
        return replies
