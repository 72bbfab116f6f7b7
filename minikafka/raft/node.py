"""The shell around the quorum machine: its log, its files, its timer, and who waits for a commit.

    append(values) → one batch at the end of the log → fsync in an executor → machine.held → high watermark
                                                                                 │
              Future of whoever appended  ←  committed(records, last offset)  ←──┘

    a request of another member → ask → machine.step → Outcome: files, log, timer, requests to others, the answer

Laws
1. A batch is one atomic decision: it is committed whole or not at all.
2. What is committed is handed down in the order of the log, once, and before the Futures that waited for it resolve.
3. One fsync at a time: what is appended while one runs is covered by the next.
4. A log that cannot be written stops the broker: a quorum that guesses is worse than one that stops.
5. What is appended and not yet committed is kept in memory too: it is handed down from there, and cut off there when
   another leader has decided otherwise.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, TimerHandle, wait_for
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any, NamedTuple, Protocol

from minikafka.raft.machine import Machine
from minikafka.raft.messages import Answer, Fetch, Fetched, FetchSnapshot, OffsetAndEpoch, Request, Send, SnapshotPiece
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
from minikafka.raft.terms import NEVER, Download, Outcome, Role, Timeouts
from protocol.kafka.batch import CONTROL, BatchHeader, iterate
from protocol.kafka.errors import KafkaStorageError, NotController, NotLeaderOrFollower, SnapshotNotFound
from protocol.kafka.primitives import Buffer
from protocol.ops.clock import Clock
from protocol.ops.logs import KafkaLogger

# Of the log at a time, while it is replayed or fetched: the default of Kafka's controller.quorum.fetch.max.bytes.
READ_BYTES = 1 << 20
LEAVE_S = 1.0  # a leader that stops waits so long for the next one


class Journal(Protocol):
    """What the node asks of the log of record batches it is given."""

    @property
    def start_offset(self) -> int: ...

    @property
    def end_offset(self) -> int: ...

    @property
    def last_epoch(self) -> int:
        """Of its last batch; 0 while there is none."""

    @property
    def size(self) -> int:
        """Bytes of all segments."""

    def end_of(self, epoch: int) -> tuple[int, int]:
        """(end offset, epoch) of the greatest epoch at or below `epoch`."""

    def append(self, batch: Buffer, epoch: int) -> None:
        """Add batches that carry their offsets and epochs already."""

    async def read(self, offset: int, max_bytes: int) -> Buffer:
        """Whole batches from that offset on."""

    def sync(self) -> None:
        """Everything appended is on the medium when this returns."""

    def sync_soon(self) -> Future[Any]:
        """The same, without holding up the loop."""

    def truncate_to(self, offset: int) -> None:
        """Drop everything at or above `offset`."""

    def restart_at(self, offset: int) -> None:
        """Drop everything, and go on at `offset`."""

    def delete_before(self, offset: int) -> None: ...


class Committed(NamedTuple):
    """Values of metadata records that are agreed, and the offset of the last."""

    values: Sequence[bytes]
    last_offset: int
    epoch: int
    append_ms: int


class Waiting(NamedTuple):
    """A batch that is appended and not yet committed; control batches have no values. `voters` held before it."""

    end_offset: int
    committed: Committed
    is_control: bool
    voters: Voters | None
    future: Future[int] | None


class Parked(NamedTuple):
    """A fetch that waits for something to fetch."""

    request: Fetch
    future: Future[Answer]
    timer: TimerHandle


class LogView:
    """The log and its snapshot, as the machine looks at them."""

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def start_offset(self) -> int:
        return self.node.journal.start_offset

    @property
    def end_offset(self) -> int:
        return self.node.journal.end_offset

    @property
    def last_epoch(self) -> int:
        return self.node.journal.last_epoch or self.node.last_snapshot.epoch

    @property
    def snapshot(self) -> OffsetAndEpoch:
        return self.node.last_snapshot

    def end_of(self, epoch: int) -> OffsetAndEpoch:
        end_offset, found = self.node.journal.end_of(epoch)
        snapshot = self.node.last_snapshot
        if not found and snapshot.end_offset == end_offset and snapshot.epoch <= epoch:
            return snapshot
        return OffsetAndEpoch(end_offset, found)


class Node:
    """This node's seat in the quorum. `configured` are its voters where nothing in its directory says who they are;
    `send` takes what other members are asked; `on_active` hears when this node's word begins to count and when it ends;
    `on_snapshot` takes a state that replaces everything handed down before."""

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
        *,
        random: Random,
        configured: Voters | None = None,
        bootstrap_servers: int = 0,
        cluster_id: str | None = None,
        timeouts: Timeouts = Timeouts(),
        send: Callable[[Send], None] | None = None,
        on_active: Callable[[bool], None] | None = None,
        on_snapshot: Callable[[Committed], None] | None = None,
    ) -> None:
        self.me = me
        self.journal = journal
        self.storage = storage
        self.loop = loop
        self.clock = clock
        self.on_committed = on_committed
        self.on_failure = on_failure
        self.log = log
        self.send = send
        self.on_active = on_active
        self.on_snapshot = on_snapshot
        self.last_snapshot = SnapshotId(0, 0)
        self.is_alone = configured is None and not bootstrap_servers
        self.recorded_voters: Voters | None = None  # what the log or a snapshot says
        self.machine = Machine(
            me,
            configured or Voters([me] if self.is_alone else []),
            storage.read_election(),
            LogView(self),
            random,
            timeouts,
            cluster_id,
            bootstrap_servers,
        )
        self.waiting: deque[Waiting] = deque()
        self.parked: dict[int, Parked] = {}
        self.parked_count = 0
        self.is_active = False
        self.is_syncing = False
        self.is_stopped = False
        self.cuts = 0  # how often the log was cut off: a sync from before says nothing of what came after
        self.timer: TimerHandle | None = None
        self.timer_due = NEVER
        self.left: Future[None] | None = None  # who waits for another leader, to leave after it
        self.last_offset = -1  # of the last committed record
        self.last_epoch = 0
        self.last_append_ms = -1
        self.bytes_since_snapshot = 0

    # ---- start

    async def start(self) -> None:
        """Load the last snapshot and the log behind it. An only voter leads, and all there is is committed, when this
        returns; a voter among others has the log in its hands, and looks for a leader."""
        self._load_snapshot()
        if self.last_snapshot.end_offset > self.journal.end_offset:
            self.journal.restart_at(self.last_snapshot.end_offset)
        await self._replay()
        self._settle_voters()
        self.journal.sync()
        self._take(self.machine.start(self.loop.time()))
        if self.machine.is_leader:
            self.journal.sync()
            self._take(self.machine.held(self.journal.end_offset, self.loop.time()))

    def _settle_voters(self) -> None:
        """Who votes: the log says, then what formatting wrote, then the configuration. An only voter is where it is
        now, whatever was recorded when it was elsewhere."""
        known = self.recorded_voters or self.formatted_voters
        if known is not None and not (len(known) == 1 and known.has(self.me.id, self.me.directory_id)):
            if self.is_alone and len(known) > 1:
                raise UnusableMetadata("the data directory belongs to a quorum of several voters")
            self.machine.take_voters(known)
        elif known is not None:
            self.machine.take_voters(Voters([self.me]))

    def _load_snapshot(self) -> None:
        self.formatted_voters: Voters | None = None
        found = self.storage.snapshots()
        if not found:
            return
        self.last_snapshot = found[-1]
        snapshot = self.storage.read_snapshot(self.last_snapshot)
        if self.last_snapshot.end_offset:  # what formatting wrote is no part of the log: the first leader repeats it
            self.recorded_voters = snapshot.voters
        else:
            self.formatted_voters = snapshot.voters
        self.last_offset = self.last_snapshot.end_offset - 1
        self.last_epoch = self.last_snapshot.epoch
        self.last_append_ms = snapshot.last_append_ms
        if snapshot.values:
            self.on_committed(Committed(snapshot.values, self.last_offset, self.last_epoch, self.last_append_ms))

    async def _replay(self) -> None:
        """The log of an only voter is agreed as far as it goes: nobody else can have decided otherwise. That of a voter
        among others waits for a leader's word."""
        offset = max(self.last_snapshot.end_offset, self.journal.start_offset)
        while offset < self.journal.end_offset:
            begin = offset
            for header, one in iterate(await self.journal.read(offset, READ_BYTES)):
                offset = header.base_offset + header.last_offset_delta + 1
                if offset > self.last_snapshot.end_offset:
                    self._enter(header, one)
            if offset == begin:
                raise UnusableMetadata(f"the metadata log holds nothing at offset {offset}, and should")
            known = self.recorded_voters or self.formatted_voters
            if self.is_alone and (known is None or len(known) == 1):
                self._hand_down(offset)

    def _enter(self, header: BatchHeader, one: Buffer, future: Future[int] | None = None) -> None:
        """A batch of the log: it waits to be committed; what it says of voters holds at once."""
        end, is_control, before = header.base_offset + header.last_offset_delta + 1, False, self.recorded_voters
        values: list[bytes] = []
        if header.attributes & CONTROL:
            is_control = True
            for kind, value in control_records(one):
                if kind == VOTERS_RECORD:
                    self.recorded_voters = voters_of(value)
        else:
            values = values_in(one)
        committed = Committed(values, end - 1, header.leader_epoch, header.max_timestamp)
        self.bytes_since_snapshot += len(one)
        self.waiting.append(Waiting(end, committed, is_control, before, future))

    def _open_epoch(self) -> None:
        """The first batch of an epoch: who leads, and, where the log does not say so yet, who votes and where."""
        voters, leading = self.machine.voters, self.machine.leading
        assert leading is not None, "an epoch is opened by its leader"
        mine = voters.by_id.get(self.me.id)
        if mine is not None and mine.directory_id == self.me.directory_id and mine != self.me and self.me.endpoints:
            voters = Voters([*(voter for voter in voters if voter.id != self.me.id), self.me])
            self.machine.take_voters(voters)
        changes = [leader_change(self.me.id, voters, leading.granted)]
        recorded = self.recorded_voters
        if not voters.are_static and (recorded is None or recorded.by_id != voters.by_id):
            changes += voters_records(voters)
        offset, epoch, now_ms = self.journal.end_offset, self.machine.epoch, self.clock.wall_ms()
        batch = control_batch(changes, base_offset=offset, epoch=epoch, now_ms=now_ms)
        self.journal.append(batch, epoch)
        self._enter(BatchHeader.peek(batch), batch)
        self.log.info("node %d leads the metadata quorum in epoch %d from offset %d", self.me.id, epoch, offset)

    # ---- the machine's wishes

    def ask(self, request: Request, max_wait_s: float = 0.0) -> Answer | Future[Answer]:
        """A member asks something of this one."""
        answer = self._take(self.machine.step(request, self.loop.time()))
        assert answer is not None, "every request has an answer"
        if isinstance(request, FetchSnapshot) and isinstance(answer, SnapshotPiece):
            return self._piece(request, answer)
        if not isinstance(request, Fetch) or not isinstance(answer, Fetched):
            return answer
        if max_wait_s > 0 and self._is_idle(request, answer):
            return self._park(request, max_wait_s)
        return self._read(request, answer)

    def heard(self, number: int, request: Request, answer: Answer) -> None:
        """A member has answered."""
        self._take(self.machine.heard(number, request, answer, self.loop.time()))

    def unreachable(self, number: int, request: Request) -> None:
        """A member could not be asked, or went away before it answered."""
        self._take(self.machine.unreachable(number, request, self.loop.time()))

    def _take(self, out: Outcome) -> Answer | None:
        if self.is_stopped:
            return out.reply
        try:
            again = self._do(out)
        except (OSError, KafkaStorageError, UnusableMetadata) as error:
            self.on_failure(error)
            return out.reply
        if again is not None:
            self._take(again)
        self._mind_time()
        self._mind_leadership()
        return out.reply

    def _do(self, out: Outcome) -> Outcome | None:
        now, again = self.loop.time(), None
        for election in out.persist:
            self.storage.write_election(election, self.machine.voters)
        if out.truncate_to is not None:
            self._truncate(out.truncate_to)
            again = self.machine.tick(now)
        if out.append:
            self._append_fetched(out.append)
        if out.download is not None:
            again = self._keep(out.download)
        if out.became_leader:
            self._open_epoch()
        if out.high_watermark is not None:
            self._hand_down(out.high_watermark)
        if self.send is not None:
            for one in out.send:
                self.send(one)
        if self.machine.synced < self.journal.end_offset and not self._is_alone_at_start(out) and not self.is_syncing:
            self._sync()
        self._wake()
        return again

    def _is_alone_at_start(self, out: Outcome) -> bool:
        """An only voter's first batch is synced on the spot: its start waits for it."""
        return out.became_leader and self.machine.voters.majority == 1

    def _append_fetched(self, records: Buffer) -> None:
        for header, one in iterate(records):
            self.journal.append(one, header.leader_epoch)
            before = self.recorded_voters
            self._enter(header, one)
            if self.recorded_voters is not before and self.recorded_voters is not None:
                self.machine.take_voters(self.recorded_voters)

    def _truncate(self, offset: int) -> None:
        self.log.warning("the log is cut off at %d: this epoch's leader has not what is behind", offset)
        self.cuts += 1
        self.journal.truncate_to(offset)
        while self.waiting and self.waiting[-1].end_offset > offset:
            one = self.waiting.pop()
            _refuse(one)
            if one.voters is not self.recorded_voters:
                self.recorded_voters = one.voters
                known = one.voters or self.formatted_voters
                if known is not None:
                    self.machine.take_voters(known)

    def _keep(self, piece: Download) -> Outcome:
        self.storage.keep_piece(piece.snapshot, piece.position, piece.data, is_last=piece.is_last)
        now = self.loop.time()
        if not piece.is_last:
            return self.machine.tick(now)
        self.cuts += 1
        self.last_snapshot = SnapshotId(*piece.snapshot)
        self.journal.restart_at(piece.snapshot.end_offset)
        self.waiting.clear()
        snapshot = self.storage.read_snapshot(self.last_snapshot)
        self.last_offset, self.last_epoch = self.last_snapshot.end_offset - 1, self.last_snapshot.epoch
        self.last_append_ms, self.bytes_since_snapshot = snapshot.last_append_ms, 0
        if snapshot.voters is not None:
            self.recorded_voters = snapshot.voters
            self.machine.take_voters(snapshot.voters)
        if self.on_snapshot is not None:
            self.on_snapshot(Committed(snapshot.values, self.last_offset, self.last_epoch, self.last_append_ms))
        return self.machine.installed(now)

    def _mind_time(self) -> None:
        due = self.machine.next_tick()
        if due == self.timer_due:
            return
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.timer_due = due
        if due < NEVER:
            self.timer = self.loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self.timer, self.timer_due = None, NEVER
        # A loop's timer may fire a clock's tick early.
        self._take(self.machine.tick(max(self.loop.time(), self.machine.next_tick())))

    def _mind_leadership(self) -> None:
        """The leader's word counts from when everything before its epoch is agreed and handed down."""
        if self.left is not None and self.machine.role is not Role.RESIGNED and not self.left.done():
            self.left.set_result(None)
        is_active = self.machine.is_leader and self.machine.told_high_watermark >= 0
        if is_active == self.is_active:
            return
        self.is_active = is_active
        if not is_active:
            self.log.warning(
                "node %d leads the metadata quorum no more, now in epoch %d", self.me.id, self.machine.epoch
            )
            for one in self.waiting:
                _refuse(one)
        if self.on_active is not None:
            self.on_active(is_active)

    async def leave(self) -> None:
        """Lead no more, tell the others, and hear (and vote) until another leads, or for so long at most."""
        if not self.machine.is_leader:
            return
        self._take(self.machine.resign(self.loop.time()))
        if self.machine.role is Role.RESIGNED:
            self.left = self.loop.create_future()
            with suppress(TimeoutError):
                await wait_for(self.left, LEAVE_S)

    def stop(self) -> None:
        """Say and hear nothing more."""
        self.is_stopped = True
        if self.timer is not None:
            self.timer.cancel()
        for one in list(self.parked.values()):
            one.timer.cancel()
            one.future.cancel()
        self.parked.clear()

    # ---- who fetches

    def _is_idle(self, request: Fetch, answer: Fetched) -> bool:
        is_plain = not answer.error and answer.diverging is None and answer.snapshot is None
        return is_plain and answer.end_offset <= request.offset and request.high_watermark >= answer.high_watermark

    def _park(self, request: Fetch, max_wait_s: float) -> Future[Answer]:
        future: Future[Answer] = self.loop.create_future()
        self.parked_count += 1
        place = self.parked_count
        timer = self.loop.call_later(max_wait_s, lambda: self._answer(place))
        self.parked[place] = Parked(request, future, timer)
        future.add_done_callback(lambda _: self._unpark(place))
        return future

    def _unpark(self, place: int) -> None:
        one = self.parked.pop(place, None)
        if one is not None:
            one.timer.cancel()

    def _wake(self) -> None:
        if not self.parked:
            return
        known, end = self.machine.told_high_watermark, self.journal.end_offset
        for place, one in list(self.parked.items()):
            if not self.machine.is_leader or end > one.request.offset or one.request.high_watermark < known:
                self.loop.call_soon(self._answer, place)

    def _answer(self, place: int) -> None:
        one = self.parked.pop(place, None)
        if one is None or one.future.done():
            return
        one.timer.cancel()
        answer = self.ask(one.request)
        if not isinstance(answer, Future):
            one.future.set_result(answer)
            return

        def pass_on(done: Future[Answer]) -> None:
            if not one.future.done():
                one.future.set_result(done.result())

        answer.add_done_callback(pass_on)

    def _read(self, request: Fetch, answer: Fetched) -> Answer | Future[Answer]:
        is_plain = not answer.error and answer.diverging is None and answer.snapshot is None
        if not is_plain or answer.end_offset <= request.offset:
            return answer
        return self.loop.create_task(self._read_log(request, answer))

    async def _read_log(self, request: Fetch, answer: Fetched) -> Answer:
        records = await self.journal.read(request.offset, READ_BYTES)
        if not self.machine.is_leader or self.machine.epoch != answer.epoch:
            return Fetched(NotLeaderOrFollower.code, self.machine.epoch, self.machine.leader_id)
        return answer._replace(records=records)

    def _piece(self, request: FetchSnapshot, answer: SnapshotPiece) -> SnapshotPiece:
        if answer.error:
            return answer
        found = self.storage.read_piece(request.snapshot, request.position, READ_BYTES)
        if found is None:
            return answer._replace(error=SnapshotNotFound.code)
        return answer._replace(size=found[0], position=request.position, data=found[1])

    # ---- work

    @property
    def end_offset(self) -> int:
        """The offset the next record gets."""
        return self.journal.end_offset

    def append(self, values: Sequence[bytes]) -> Future[int]:
        """Append one atomic batch of metadata records; the Future gives the last offset once it is committed, or
        NotController when another leader decides about it."""
        if not self.machine.is_leader:
            raise NotController()
        assert values, "a batch holds at least one record"
        offset, epoch, now_ms = self.journal.end_offset, self.machine.epoch, self.clock.wall_ms()
        self.journal.append(data_batch(values, base_offset=offset, epoch=epoch, now_ms=now_ms), epoch)
        end = self.journal.end_offset
        assert end == offset + len(values), "a record takes one offset"
        future: Future[int] = self.loop.create_future()
        voters = self.recorded_voters
        self.waiting.append(Waiting(end, Committed(values, end - 1, epoch, now_ms), False, voters, future))
        self.bytes_since_snapshot += sum(map(len, values))
        if not self.is_syncing:
            self._sync()
        self._wake()
        return future

    def _sync(self) -> None:
        self.is_syncing = True
        end, cuts = self.journal.end_offset, self.cuts
        self.journal.sync_soon().add_done_callback(lambda done: self._synced(end, cuts, done))

    def _synced(self, end: int, cuts: int, done: Future[Any]) -> None:
        self.is_syncing = False
        if done.cancelled() or self.is_stopped:
            return
        error = done.exception()
        if error is not None:
            self.on_failure(error)
        elif cuts == self.cuts:
            self._take(self.machine.held(end, self.loop.time()))
        else:
            self._sync()

    def _hand_down(self, high_watermark: int) -> None:
        while self.waiting and self.waiting[0].end_offset <= high_watermark:
            one = self.waiting.popleft()
            committed = one.committed
            self.last_offset, self.last_epoch = committed.last_offset, committed.epoch
            if not one.is_control:
                self.last_append_ms = committed.append_ms
                self.on_committed(committed)
            if one.future is not None and not one.future.done():
                one.future.set_result(committed.last_offset)

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


def _refuse(one: Waiting) -> None:
    """Nobody knows what becomes of a batch whose leader leads no more: who waits for it asks the next one."""
    if one.future is not None and not one.future.done():
        one.future.set_exception(NotController())
