"""One partition on this broker: its log, who leads it, who is in sync, what is committed.

Law 1: leader epoch, in-sync replicas, high watermark and log end are four facts, also where there is one replica.
Law 2: only the leader gives offsets, and only in its own epoch. Whoever asks with another epoch is told so: an older
       one is fenced, a newer one is news we have not heard yet.
Law 3: the high watermark is the least end of the maximal in-sync set, and stands still below min.insync.replicas. It
       never falls while we lead.
Law 4: what is above the high watermark is nobody's to read but followers'.
"""

import asyncio
from collections.abc import Generator, Sequence

from minikafka.log.log import Appended, Log, Origin
from minikafka.log.validate import Admitted
from minikafka.replica.waiters import Parked, Waiters
from protocol.disk.files import Buffer
from protocol.kafka.errors import (
    FencedLeaderEpoch,
    NotEnoughReplicas,
    NotEnoughReplicasAfterAppend,
    NotLeaderOrFollower,
    OffsetNotAvailable,
    OffsetOutOfRange,
    UnknownLeaderEpoch,
)
from protocol.ops.clock import Clock
from protocol.ops.slices import Places

__all__ = ["NO_LEADER", "Follower", "Partition"]

NO_LEADER = -1
NO_EPOCH = -1
ACKS_ALL = -1


class Follower:
    """What a leader knows of another replica."""

    __slots__ = ("broker_id", "caught_up_ms", "log_end_offset", "log_start_offset")

    def __init__(self, broker_id: int) -> None:
        self.broker_id = broker_id
        self.log_end_offset = -1  # not heard of since we lead
        self.log_start_offset = -1
        self.caught_up_ms = 0  # when it last held everything


class Partition:
    """One partition of which this broker has a replica."""

    __slots__ = (
        "_clock", "_high_watermark_waiters", "_loop", "epoch_start", "followers", "index", "is_leader", "isr",
        "leader_epoch", "leader_id", "log", "node_id", "partition_epoch", "replicas", "topic", "topic_id", "watchers",
    )  # fmt: skip

    def __init__(
        self,
        topic: str,
        index: int,
        topic_id: bytes,
        log: Log,
        node_id: int,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
    ) -> None:
        self.topic = topic
        self.index = index
        self.topic_id = topic_id
        self.log = log
        self.node_id = node_id
        self.leader_id = NO_LEADER
        self.leader_epoch = NO_EPOCH
        self.partition_epoch = -1
        self.epoch_start = 0  # where our own epoch begins in the log
        self.is_leader = False
        self.replicas: tuple[int, ...] = ()
        self.isr: frozenset[int] = frozenset()
        self.followers: dict[int, Follower] = {}
        self.watchers: dict[Parked, None] = {}  # fetches to wake when something can be read that could not before
        self._loop = loop
        self._clock = clock
        self._high_watermark_waiters = Waiters(loop)

    @property
    def name(self) -> str:
        return f"{self.topic}-{self.index}"

    @property
    def high_watermark(self) -> int:
        return self.log.high_watermark

    @property
    def min_insync(self) -> int:
        """min.insync.replicas, or all there are if that is fewer."""
        return min(self.log.config.min_insync_replicas, len(self.replicas))

    # ── roles ──

    def make_leader(self, leader_epoch: int, partition_epoch: int, replicas: Sequence[int], isr: Sequence[int]) -> None:
        """Lead from now on, or go on leading with another in-sync set."""
        is_new_epoch = not self.is_leader or leader_epoch != self.leader_epoch
        self._note(self.node_id, leader_epoch, partition_epoch, replicas, isr)
        if is_new_epoch:
            self.is_leader = True
            self.epoch_start = self.log.log_end_offset
            self.log.epochs.assign(leader_epoch, self.epoch_start)
            self.followers = {}
        for broker_id in self.replicas:
            if broker_id != self.node_id and broker_id not in self.followers:
                self.followers[broker_id] = Follower(broker_id)
        for broker_id in self.followers.keys() - set(self.replicas):
            del self.followers[broker_id]
        self._advance()

    def make_follower(
        self, leader_id: int, leader_epoch: int, partition_epoch: int, replicas: Sequence[int], isr: Sequence[int]
    ) -> None:
        """Follow (or wait for) a leader. Whoever waited for an answer of ours has to ask that one."""
        self._note(leader_id, leader_epoch, partition_epoch, replicas, isr)
        self.is_leader = False
        self.followers = {}
        self._lose()

    def _note(
        self, leader_id: int, leader_epoch: int, partition_epoch: int, replicas: Sequence[int], isr: Sequence[int]
    ) -> None:
        assert leader_epoch >= self.leader_epoch, "metadata only moves forward"
        self.leader_id = leader_id
        self.leader_epoch = leader_epoch
        self.partition_epoch = partition_epoch
        self.replicas = tuple(replicas)
        self.isr = frozenset(isr)

    def _lose(self) -> None:
        self._high_watermark_waiters.fail(NotLeaderOrFollower)
        self._wake()

    def close(self) -> None:
        """The partition is leaving this broker."""
        self.is_leader = False
        self._lose()

    def check_epoch(self, epoch: int) -> None:
        """Compare the leader epoch a client believes in (-1: none) with ours."""
        if epoch < 0 or epoch == self.leader_epoch:
            return
        if epoch < self.leader_epoch:
            raise FencedLeaderEpoch
        raise UnknownLeaderEpoch

    def check_leader(self, epoch: int = NO_EPOCH) -> None:
        """We lead, and in the epoch the client knows."""
        self.check_epoch(epoch)
        if not self.is_leader:
            raise NotLeaderOrFollower

    # ── append ──

    def admit(self, batch: memoryview, *, acks: int, places: Places) -> Generator[None, None, Admitted]:
        """Check a producer's batch in slices, so that `append_as_leader` need not. Raises the KafkaError it is refused
        with."""
        self._check_appendable(acks)
        return self.log.admit(batch, self._clock.wall_ms(), places)

    def _check_appendable(self, acks: int) -> None:
        if not self.is_leader:
            raise NotLeaderOrFollower
        if acks == ACKS_ALL and len(self.isr) < self.min_insync:
            raise NotEnoughReplicas(
                f"The size of the current ISR {len(self.isr)} is insufficient to satisfy the min.isr requirement of "
                f"{self.min_insync} for partition {self.name}"
            )

    def append_as_leader(self, batches: Buffer, *, acks: int = ACKS_ALL, admitted: Admitted | None = None) -> Appended:
        """A producer's batch. Raises the KafkaError it is refused with."""
        self._check_appendable(acks)
        now_ms = self._clock.wall_ms()
        appended = self.log.append(batches, leader_epoch=self.leader_epoch, now_ms=now_ms, admitted=admitted)
        if not appended.is_duplicate:
            self._appended()
        return appended

    def append_usual(self, batch: memoryview) -> int:
        """A producer's batch that is committed when it is in our log, because nobody follows: its first offset. -1 when
        anything is unusual; then nothing was done and `append_as_leader` knows what to do."""
        if not self.is_leader or self.followers:
            return -1
        log = self.log
        first_offset = log.append_usual(batch, self.leader_epoch, self._clock.wall_ms())
        if first_offset >= 0:
            log.advance_high_watermark(log.log_end_offset)
            if self.watchers:
                self._wake()
        return first_offset

    def append_as_coordinator(self, batch: Buffer) -> Appended:
        """A batch of a coordinator on this broker: always as acks=all."""
        if not self.is_leader:
            raise NotLeaderOrFollower
        if len(self.isr) < self.min_insync:
            raise NotEnoughReplicas
        now_ms = self._clock.wall_ms()
        appended = self.log.append(batch, leader_epoch=self.leader_epoch, now_ms=now_ms, origin=Origin.COORDINATOR)
        self._appended()
        return appended

    def _appended(self) -> None:
        if self.followers:
            self._advance()
            self._wake()  # followers read above the high watermark
        elif self.min_insync <= 1:
            self.log.advance_high_watermark(self.log.log_end_offset)
            if self.watchers:
                self._wake()

    def await_offset(self, offset: int, deadline: float) -> "asyncio.Future[int] | None":
        """None when everything below `offset` is committed already; else a Future: resolved when it is, RequestTimedOut
        at the deadline (loop time), NotEnoughReplicasAfterAppend when too few hold it."""
        if self.log.high_watermark >= offset:
            self.check_held()
            return None
        return self._high_watermark_waiters.until(offset, deadline)

    def check_held(self) -> None:
        """Enough replicas hold what is committed."""
        if len(self.isr) < self.min_insync:
            raise NotEnoughReplicasAfterAppend

    # ── high watermark ──

    def _advance(self) -> None:
        """Move the high watermark to the least end of the in-sync replicas."""
        if not self.is_leader or len(self.isr) < self.min_insync:
            return
        least = self.log.log_end_offset
        for follower in self.followers.values():
            if follower.broker_id in self.isr and follower.log_end_offset < least:
                least = follower.log_end_offset
        if self.log.advance_high_watermark(least):
            self._high_watermark_waiters.release(least)
            self._wake()

    def follower_at(self, broker_id: int, offset: int, log_start_offset: int) -> None:
        """A follower fetches from `offset`: it holds everything below."""
        follower = self.followers.get(broker_id)
        if follower is None:
            raise NotLeaderOrFollower(f"broker {broker_id} is no replica of {self.name}")
        follower.log_end_offset = offset
        follower.log_start_offset = log_start_offset
        if offset >= self.log.log_end_offset:
            follower.caught_up_ms = self._clock.wall_ms()
        self._advance()

    def _wake(self) -> None:
        for parked in list(self.watchers):
            parked.wake()

    # ── what readers may see ──

    def readable_end(self, *, is_follower: bool, is_committed_only: bool) -> int:
        """Up to where this kind of reader reads: log end, high watermark or last stable offset."""
        if is_follower:
            return self.log.log_end_offset
        return self.log.last_stable_offset if is_committed_only else self.log.high_watermark

    def latest_offset(self, *, is_committed_only: bool) -> int:
        """The end a consumer may be told of. OffsetNotAvailable while a new leader does not know it yet."""
        if self.log.high_watermark < self.epoch_start:
            raise OffsetNotAvailable
        return self.log.last_stable_offset if is_committed_only else self.log.high_watermark

    def diverging(self, offset: int, last_epoch: int) -> tuple[int, int] | None:
        """(epoch, end offset) where a reader's log, which ends at `offset` in `last_epoch`, leaves ours; None when it
        does not (KIP-595, KIP-320)."""
        epoch, end = self.log.epoch_end(last_epoch)
        if epoch < 0 or end < 0:
            raise OffsetOutOfRange(f"no leader epoch at or below {last_epoch} is known")
        return (epoch, end) if epoch < last_epoch or end < offset else None

    def has_diverged(self, offset: int, last_epoch: int) -> bool:
        """Whether `diverging` has anything to say, be it an error."""
        try:
            return self.diverging(offset, last_epoch) is not None
        except OffsetOutOfRange:
            return True
