"""The shell around the election machine: its log, its files, and who waits for a commit.

    append(values) → one batch at the end of the log → fsync in an executor → machine.held → high watermark
                                                                                 │
              Future of whoever appended  ←  committed(records, last offset)  ←──┘

Laws
1. A batch is one atomic decision: it is committed whole or not at all.
2. What is committed is handed down in the order of the log, once, and before the Futures that waited for it resolve.
3. One fsync at a time: what is appended while one runs is covered by the next.
4. A log that cannot be written stops the broker: a quorum that guesses is worse than one that stops.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from minikafka.raft.machine import Machine, Outcome
from minikafka.raft.quorum import Voter, Voters
from minikafka.raft.storage import (
    VOTERS_RECORD,
    SnapshotId,
    Storage,
    UnusableMetadata,
    control_batch,
    control_records,
    data_batch,
    leader_change,
    values_in,
    voters_of,
    voters_records,
)
from protocol.kafka.batch import CONTROL, iterate
from protocol.kafka.primitives import Buffer
from protocol.ops.clock import Clock
from protocol.ops.logs import KafkaLogger

READ_BYTES = 1 << 20  # of the log at a time while it is replayed


class Journal(Protocol):
    """What the node asks of the log of record batches it is given."""

    @property
    def start_offset(self) -> int: ...

    @property
    def end_offset(self) -> int: ...

    @property
    def size(self) -> int:
        """Bytes of all segments."""

    def append(self, batch: bytes, epoch: int) -> None:
        """Add one batch that carries its offset and epoch already."""

    async def read(self, offset: int, max_bytes: int) -> Buffer:
        """Whole batches from that offset on."""

    def sync(self) -> None:
        """Everything appended is on the medium when this returns."""

    def sync_soon(self) -> Future[Any]:
        """The same, without holding up the loop."""

    def delete_before(self, offset: int) -> None: ...


class Committed(NamedTuple):
    """Values of metadata records that are agreed, and the offset of the last."""

    values: Sequence[bytes]
    last_offset: int
    epoch: int
    append_ms: int


class Waiting(NamedTuple):
    """A batch that is appended and not yet committed."""

    end_offset: int
    committed: Committed
    future: Future[int]


class Node:
    """This node's seat in the quorum."""

    def __init__(
        self,
        me: Voter,
        journal: Journal,
        storage: Storage,
        loop: AbstractEventLoop,
        clock: Clock,
        on_committed: Callable[[Committed], None],
        on_failure: Callable[[BaseException], None],
        log: KafkaLogger,
    ) -> None:
        self.me = me
        self.journal = journal
        self.storage = storage
        self.loop = loop
        self.clock = clock
        self.on_committed = on_committed
        self.on_failure = on_failure
        self.log = log
        self.machine = Machine(me, Voters([me]), storage.read_election())
        self.recorded_voters: Voters | None = None  # what the log or a snapshot says
        self.waiting: deque[Waiting] = deque()
        self.is_syncing = False
        self.last_snapshot = SnapshotId(0, 0)
        self.last_offset = -1  # of the last committed record
        self.last_epoch = 0
        self.last_append_ms = -1
        self.bytes_since_snapshot = 0

    # ---- start

    async def start(self) -> None:
        """Load the last snapshot and the log behind it, then lead; all there is is committed when this returns."""
        self._load_snapshot()
        await self._replay()
        if self.recorded_voters is not None and len(self.recorded_voters) > 1:
            raise UnusableMetadata("the data directory belongs to a quorum of several voters")
        outcome = self.machine.start(self.journal.end_offset)
        for election in outcome.persist:
            self.storage.write_election(election)
        if outcome.became_leader:
            self._open_epoch()
        self.journal.sync()
        self._settle(self.machine.held(self.me.id, self.journal.end_offset))

    def _load_snapshot(self) -> None:
        found = self.storage.snapshots()
        if not found:
            return
        self.last_snapshot = found[-1]
        snapshot = self.storage.read_snapshot(self.last_snapshot)
        if self.last_snapshot.end_offset:  # what formatting wrote is no part of the log: the first leader repeats it
            self.recorded_voters = snapshot.voters
        self.last_offset = self.last_snapshot.end_offset - 1
        self.last_epoch = self.last_snapshot.epoch
        self.last_append_ms = snapshot.last_append_ms
        if snapshot.values:
            self.on_committed(Committed(snapshot.values, self.last_offset, self.last_epoch, self.last_append_ms))

    async def _replay(self) -> None:
        """The log of an only voter is agreed as far as it goes: nobody else can have decided otherwise."""
        offset = max(self.last_snapshot.end_offset, self.journal.start_offset)
        while offset < self.journal.end_offset:
            begin = offset
            for header, one in iterate(await self.journal.read(offset, READ_BYTES)):
                offset = header.base_offset + header.last_offset_delta + 1
                if offset <= self.last_snapshot.end_offset:
                    continue
                self.bytes_since_snapshot += len(one)
                if header.attributes & CONTROL:
                    for kind, value in control_records(one):
                        if kind == VOTERS_RECORD:
                            self.recorded_voters = voters_of(value)
                    self.last_offset, self.last_epoch = offset - 1, header.leader_epoch
                    continue
                self._hand_down(Committed(values_in(one), offset - 1, header.leader_epoch, header.max_timestamp))
            if offset == begin:
                raise UnusableMetadata(f"the metadata log holds nothing at offset {offset}, and should")

    def _open_epoch(self) -> None:
        """The first batch of an epoch: who leads, and, where the log does not say so yet, who votes and where."""
        voters = self.machine.voters
        changes = [leader_change(self.me.id, voters)]
        recorded = self.recorded_voters
        if recorded is None or recorded.by_id != voters.by_id:
            changes += voters_records(voters)
            self.recorded_voters = voters
        offset, epoch = self.journal.end_offset, self.machine.epoch
        self.journal.append(control_batch(changes, base_offset=offset, epoch=epoch, now_ms=self.clock.wall_ms()), epoch)
        self.last_offset, self.last_epoch = self.journal.end_offset - 1, epoch
        self.log.info("node %d leads the metadata quorum in epoch %d from offset %d", self.me.id, epoch, offset)

    # ---- work

    @property
    def end_offset(self) -> int:
        """The offset the next record gets."""
        return self.journal.end_offset

    def append(self, values: Sequence[bytes]) -> Future[int]:
        """Append one atomic batch of metadata records; the Future gives the last offset once it is committed."""
        assert self.machine.is_leader, "only the leader appends"
        assert values, "a batch holds at least one record"
        offset, epoch, now_ms = self.journal.end_offset, self.machine.epoch, self.clock.wall_ms()
        self.journal.append(data_batch(values, base_offset=offset, epoch=epoch, now_ms=now_ms), epoch)
        end = self.journal.end_offset
        assert end == offset + len(values), "a record takes one offset"
        future: Future[int] = self.loop.create_future()
        self.waiting.append(Waiting(end, Committed(values, end - 1, epoch, now_ms), future))
        self.bytes_since_snapshot += sum(map(len, values))
        if not self.is_syncing:
            self._sync()
        return future

    def _sync(self) -> None:
        self.is_syncing = True
        end = self.journal.end_offset
        self.journal.sync_soon().add_done_callback(lambda done: self._synced(end, done))

    def _synced(self, end: int, done: Future[Any]) -> None:
        self.is_syncing = False
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            self.on_failure(error)
            return
        self._settle(self.machine.held(self.me.id, end))
        if self.waiting:
            self._sync()

    def _settle(self, outcome: Outcome) -> None:
        if outcome.high_watermark is None:
            return
        while self.waiting and self.waiting[0].end_offset <= outcome.high_watermark:
            one = self.waiting.popleft()
            self._hand_down(one.committed)
            if not one.future.done():
                one.future.set_result(one.committed.last_offset)

    def _hand_down(self, committed: Committed) -> None:
        self.last_offset, self.last_epoch = committed.last_offset, committed.epoch
        self.last_append_ms = committed.append_ms
        self.on_committed(committed)

    # ---- snapshots

    def write_snapshot(self, values: Sequence[bytes]) -> None:
        """Write a snapshot of everything committed so far and let go of what it replaces."""
        snapshot = SnapshotId(self.last_offset + 1, self.last_epoch)
        if snapshot.end_offset <= self.last_snapshot.end_offset:
            return
        voters = self.recorded_voters or self.machine.voters
        self.storage.write_snapshot(snapshot, voters, values, self.clock.wall_ms(), self.last_append_ms)
        self.last_snapshot = snapshot
        self.bytes_since_snapshot = 0

    def retain(self, max_bytes: int) -> None:
        """Drop old snapshots, and the log before what is left of them, once both together exceed `max_bytes`.

        The newest snapshot and the log behind it always stay.
        """
        found = self.storage.snapshots()
        sizes = [self.storage.snapshot_size(one) for one in found]
        excess = sum(sizes) + self.journal.size - max_bytes
        for snapshot, size in zip(found[:-1], sizes, strict=False):
            if excess <= 0:
                break
            self.storage.remove_snapshot(snapshot)
            excess -= size
        kept = self.storage.snapshots()
        if kept and excess > 0:
            self.journal.delete_before(kept[0].end_offset)
