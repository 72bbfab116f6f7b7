"""maxmemory: what is in use, when it is too much, and what is done then.

    used = what keys and values count for (keyspace/counting.py)             the moment's
         + their deadlines, clients' buffers, scripts and functions           as of a short while ago

What the interpreter itself takes is not part of it: a limit of a few megabytes means the same as in Redis.

    a unit grows the data beyond the limit ──► OUT_OF_MEMORY in State.mode ──► the next command takes the long way:
    `make_room` evicts as long as the policy and maxmemory-eviction-tenacity allow; then, if memory is still short,
        nothing to evict   commands that need memory are refused, and eviction is tried again before each
        out of time        commands go on, and the timekeeper evicts in slices of its own meanwhile

Law: what a unit does – a transaction, a script – is never stopped half way, and nothing is evicted in the midst of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from miniredis.engine.client import CLOSING, NO_EVICT, PRIMARY, REPLICA, Client
from miniredis.engine.state import BUSY_SCRIPT, LOADING, OUT_OF_MEMORY, PAUSED_ALL, PAUSED_WRITES
from miniredis.keyspace.counting import CLIENT_BYTES, DB_BYTES, DEADLINE_BYTES, NO_LIMIT
from miniredis.keyspace.evict import ENOUGH, HELPLESS, POLICIES, UNFINISHED, Evictor, patience_s

if TYPE_CHECKING:
    from miniredis.engine.execute import Engine

# Buffers count as they were so long ago at most; a look at those of ten thousand clients takes longer, and comes less
# often: after so many times what it took.
BUFFERS_FRESH_S: Final = 0.01
BUFFERS_PATIENCE: Final = 100
# An answer on its way is not counted up to here, or INFO's would leave less room for data for a moment.
PASSING_BYTES: Final = 16 * 1024


class Memory:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state = engine.state
        self._keyspace = engine.keyspace
        self.evictor = Evictor(engine.keyspace, engine.state.clock.monotonic)
        self._short_since = 0.0  # monotonic; 0: memory suffices
        self._short_s = 0.0  # how long it has not, before
        self._look_again_at = 0.0  # monotonic
        self._turns_seen = 0  # of the loop, in which somebody was answered: without one nothing has grown
        self.evicted_clients = 0
        self.is_limited = False  # by maxmemory or maxmemory-clients
        self.peak_bytes = 0
        self.is_unfinished = False  # eviction goes on with the next tick
        engine.state.memory_changed = self.set_limit

    # What there is.

    def overhead_bytes(self) -> int:
        """What is no key and no value."""
        state = self._state
        deadlines = sum([db.deadlines.size for db in state.dbs]) * DEADLINE_BYTES
        backlog, _ = self.stream_bytes()
        return self.startup_bytes() + deadlines + self.client_bytes() + self.script_bytes() + backlog

    def startup_bytes(self) -> int:
        """Of databases without keys."""
        return len(self._state.dbs) * DB_BYTES

    def client_bytes(self) -> int:
        """Of clients, with what they sent or are sent, and is not yet worked on or taken."""
        clients = self._state.clients.values()
        return sum([_bytes_of(each) for each in clients if not each.mode & (REPLICA | CLOSING)])

    def stream_bytes(self) -> tuple[int, int]:
        """Of the effect stream: what is kept as a backlog, and what beyond it is still to go to replicas. The second is
        no reason to evict: eviction makes more of it."""
        backlog = self._state.history.backlog
        if backlog is None:
            return 0, 0
        if not self._state.replication.primary.followers:
            return len(backlog), 0
        return min(len(backlog), backlog.size_bytes), max(len(backlog) - backlog.size_bytes, 0)

    def script_bytes(self) -> int:
        scripts = self._engine.scripts
        return scripts.size_bytes + scripts.functions.size_bytes

    def used_bytes(self) -> int:
        """INFO's used_memory."""
        used = self._keyspace.settle_count() + self.overhead_bytes() + self.stream_bytes()[1]
        if used > self.peak_bytes:
            self.peak_bytes = used
        return used

    def short_ms(self) -> tuple[int, int]:
        """How long memory has been short altogether, and in the present case."""
        present = self._state.clock.monotonic() - self._short_since if self._short_since else 0.0
        return int((self._short_s + present) * 1000), int(present * 1000)

    # What may be.

    def set_limit(self) -> None:
        """`maxmemory` or the overhead has changed."""
        state, keyspace = self._state, self._keyspace
        most = state.settings.maxmemory
        is_ignored = not most or (state.is_replica and state.settings.replica_ignore_maxmemory)
        keyspace.limit_bytes = NO_LIMIT if is_ignored else most - self.overhead_bytes()
        self.is_limited = keyspace.limit_bytes != NO_LIMIT or state.settings.maxmemory_clients != 0
        keyspace.share_limit(keyspace.settle_count())
        if not self.judge():
            self._suffices()

    def judge(self) -> bool:
        """Whether the data is beyond the limit; State.mode says so unless a unit is not complete."""
        if self._keyspace.settle_count() <= self._keyspace.limit_bytes:
            return False
        if self._engine.depth == 0:
            self._state.mode |= OUT_OF_MEMORY
        return True

    def settle(self) -> None:
        """A turn of the loop ends: what was changed in place has grown, and so have buffers."""
        if self._keyspace.opened:
            self.judge()
        self._look_at_clients(self._count_buffers)

    def _look_at_clients(self, look: Callable[[], object]) -> None:
        """Unless that was a short while ago."""
        started = self._state.clock.monotonic()
        if started >= self._look_again_at:
            look()
            took_s = self._state.clock.monotonic() - started
            self._look_again_at = started + max(BUFFERS_FRESH_S, took_s * BUFFERS_PATIENCE)

    def _count_buffers(self) -> None:
        self._evict_clients()
        self.set_limit()
        self.used_bytes()

    def _evict_clients(self) -> None:
        """maxmemory-clients, in bytes or (negative) percent of maxmemory: those that take most are disconnected."""
        settings = self._state.settings
        most = settings.maxmemory_clients
        if most < 0:
            most = settings.maxmemory * -most // 100
        if most <= 0:
            return
        used = self.client_bytes()
        spared = NO_EVICT | REPLICA | PRIMARY | CLOSING
        clients = sorted([each for each in self._state.clients.values() if not each.mode & spared], key=_bytes_of)
        while clients and used > most:
            client = clients.pop()
            used -= _bytes_of(client)
            self._state.log(f"Evicting client: id={client.id} addr={client.peer} tot-mem={_bytes_of(client)}")
            self.evicted_clients += 1
            client.kill()

    def look(self) -> None:
        """Before a command."""
        if self._keyspace.opened:
            self.judge()
        if self._state.mode & OUT_OF_MEMORY:
            self.make_room()

    def tick(self) -> None:
        """Buffers count as they are now, and an eviction that had to stop goes on; the peak is kept."""
        state = self._state
        if self.is_limited:
            self._engine.begin_unit()
            self._look_at_clients(self._count_buffers)
            if state.mode & OUT_OF_MEMORY or self.is_unfinished:
                self.make_room()
        elif state.traffic.turns != self._turns_seen:
            self._turns_seen = state.traffic.turns
            self._look_at_clients(self.used_bytes)

    def make_room(self) -> None:
        """Evict, if that is allowed; say in State.mode whether memory is short all the same. As a unit of its own."""
        engine, state, keyspace = self._engine, self._state, self._keyspace
        if state.mode & (BUSY_SCRIPT | LOADING | PAUSED_ALL | PAUSED_WRITES):
            return
        settings = state.settings
        started = state.clock.monotonic()
        outcome = self.evictor.evict(
            POLICIES[settings.maxmemory_policy], settings.maxmemory_samples,
            patience_s(settings.maxmemory_eviction_tenacity),
        )  # fmt: skip
        if keyspace.pending:
            engine.hand_out_facts()
        if engine.journal.is_heard:
            engine.journal.commit(as_transaction=False)
        ended = state.clock.monotonic()
        state.latency.watch(b"eviction-cycle", int((ended - started) * 1e6), keyspace.now)
        self.is_unfinished = outcome == UNFINISHED
        if outcome == ENOUGH:
            self._suffices()
        elif not self._short_since:
            self._short_since = ended
        if outcome == HELPLESS:
            state.mode |= OUT_OF_MEMORY
        else:
            state.mode &= ~OUT_OF_MEMORY

    def _suffices(self) -> None:
        self._state.mode &= ~OUT_OF_MEMORY
        self.is_unfinished = False
        if self._short_since:
            self._short_s += self._state.clock.monotonic() - self._short_since
            self._short_since = 0.0

    def forget_statistics(self) -> None:
        self._short_s = self._short_since = 0.0
        self.evicted_clients = 0
        self.peak_bytes = 0


def _bytes_of(client: Client) -> int:
    waiting = max(0, client.pending_bytes - PASSING_BYTES)
    return waiting + client.buffered_bytes + client.argument_bytes + CLIENT_BYTES
