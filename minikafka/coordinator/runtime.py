"""The shell around the group machines: one shard per partition of `__consumer_offsets` this broker leads.

    ask → shard → machine decides → Outcome → append one atomic batch → replay → timers → replies when committed

Law 1: one decision is one batch. It is replayed as soon as it is written, so the next decision sees it; what it
       answers, and what later decisions answer having seen it, waits until it is committed.
Law 2: when an append fails or leadership is lost, the shard's memory is worth nothing: it is thrown away, whoever
       waited is told to look for the coordinator, and the log is read again.
Law 3: everybody who asks is answered: by the machine, or by `refuse` when there is no machine to answer.

The log grows by one record for every commit. Shrinking it is the log's business (`cleanup.policy=compact`), not this
module's: as long as nothing compacts there, it keeps every commit ever made and a start reads them all, some 5 µs each.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, Task, sleep
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from minikafka.coordinator.groups import Groups
from minikafka.coordinator.members import (
    Caller,
    GroupSettings,
    Outcome,
    Record,
    TimerKey,
    Waiter,
    partition_for,
)
from minikafka.coordinator.records import build, replay
from minikafka.coordinator.timers import Timers
from protocol.kafka.errors import (
    CoordinatorLoadInProgress,
    CoordinatorNotAvailable,
    KafkaError,
    KafkaStorageError,
    MessageTooLarge,
    NotCoordinator,
    NotEnoughReplicas,
    NotEnoughReplicasAfterAppend,
    NotLeaderOrFollower,
    RecordListTooLarge,
    RequestTimedOut,
    UnknownServerError,
    UnknownTopicOrPartition,
)
from protocol.kafka.primitives import ProtocolError

if TYPE_CHECKING:
    from minikafka.metadata.image import Delta, Image
    from minikafka.replica.partition import Partition
    from protocol.ops.clock import Clock
from protocol.ops.logs import KafkaLogger

GROUP_TOPIC = "__consumer_offsets"
RECORDS_A_TURN = 1000  # what loading replays, some 5 ms, before the broker's other clients have their turn

Operation = Callable[..., None]


class CreateTopic(Protocol):
    """How the runtime has its topic created: through the controller."""

    def __call__(self, name: str, partitions: int, replication_factor: int, configs: dict[str, str]) -> Future[Any]: ...


class Runtime:
    """All shards of this broker, and the way to the right one."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        clock: Clock,
        random: Random,
        settings: GroupSettings,
        broker_id: int,
        partition: Callable[[str, int], Partition],
        create_topic: CreateTopic,
        log: KafkaLogger,
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.random = random
        self.settings = settings
        self.broker_id = broker_id
        self.partition = partition
        self.create_topic = create_topic
        self.log = log
        self.partitions = settings.partitions
        self.shards: dict[int, Shard] = {}
        self._creating: Future[Any] | None = None

    # ---- asking

    def index_of(self, group_id: str) -> int:
        """The partition of `__consumer_offsets` that owns a group."""
        return partition_for(group_id, self.partitions)

    def ask(
        self,
        group_id: str,
        operation: Operation,
        asked: Any,
        caller: Caller,
        refuse: Callable[[int], Any],
        adapt: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Run one operation of `Groups` on the group's shard: its reply, or a Future of it."""
        return self.ask_shard(self.index_of(group_id), operation, asked, caller, refuse, adapt)

    def ask_shard(
        self,
        index: int,
        operation: Operation,
        asked: Any,
        caller: Caller,
        refuse: Callable[[int], Any],
        adapt: Callable[[Any], Any] | None = None,
    ) -> Any:
        waiter = Waiter(refuse, adapt)
        shard = self.shards.get(index)
        if shard is None:
            waiter.answer(refuse(NotCoordinator.code))
        else:
            shard.decide(operation, asked, caller, waiter)
        if waiter.reply is not None:
            return waiter.reply
        future: Future[Any] = self.loop.create_future()

        def answered(reply: Any) -> None:
            if not future.done():  # a client that hung up has cancelled it
                future.set_result(reply)

        waiter.on_answer = answered
        return future

    def gather(self, answers: Sequence[Any], combine: Callable[[list[Any]], Any]) -> Any:
        """Several replies, some of them Futures, as one: `combine` gets them in order."""
        waiting = {at: answer for at, answer in enumerate(answers) if isinstance(answer, Future)}
        replies = list(answers)
        if not waiting:
            return combine(replies)
        combined: Future[Any] = self.loop.create_future()
        left = len(waiting)

        def arrived(at: int, answer: Future[Any]) -> None:
            nonlocal left
            if not answer.cancelled():
                replies[at] = answer.result()
            left -= 1
            if left == 0 and not combined.done():
                combined.set_result(combine(replies))

        for at, answer in waiting.items():
            answer.add_done_callback(partial(arrived, at))
        return combined

    # ---- the topic

    def want_topic(self, live_brokers: int) -> None:
        """See that `__consumer_offsets` gets created, in a small cluster with as many replicas as there are brokers."""
        if self._creating is not None or live_brokers == 0:
            return
        configs = {
            "cleanup.policy": "compact",
            "compression.type": "producer",
            "segment.bytes": str(self.settings.segment_bytes),
        }
        factor = min(self.settings.replication_factor, live_brokers)
        self._creating = self.create_topic(GROUP_TOPIC, self.settings.partitions, factor, configs)
        self._creating.add_done_callback(self._created)

    def _created(self, done: Future[Any]) -> None:
        self._creating = None
        if not done.cancelled() and done.exception() is not None:
            self.log.warning("creating %s failed, the next client that looks for a coordinator tries again: %s",
                        GROUP_TOPIC, done.exception())  # fmt: skip

    # ---- leadership

    def apply(self, delta: Delta, image: Image) -> None:
        """Metadata changed: take over shards we lead now, drop those we lost, forget offsets of deleted topics."""
        topic = image.topics.get(GROUP_TOPIC)
        if topic is not None and topic.partitions:
            self.partitions = len(topic.partitions)
        gone = [deleted.name for deleted in delta.deleted.values()]
        if GROUP_TOPIC in gone:
            for index in list(self.shards):
                self._resign(index)
        for (name, index), partition in delta.partitions.items():
            if name == GROUP_TOPIC:
                if partition.leader == self.broker_id:
                    self._elect(index)
                else:
                    self._resign(index)
        if gone:
            for shard in self.shards.values():
                shard.topics_deleted(gone)

    def _elect(self, index: int) -> None:
        if index in self.shards:
            return
        try:
            partition = self.partition(GROUP_TOPIC, index)
        except KafkaError as error:
            self.log.error("shard %d is ours and cannot be used: %s", index, error)
            return
        shard = self.shards[index] = Shard(self, index, partition)
        shard.load()

    def _resign(self, index: int) -> None:
        shard = self.shards.pop(index, None)
        if shard is not None:
            shard.close()

    def close(self) -> None:
        """Stop all shards; whoever waits is sent to another coordinator."""
        for index in list(self.shards):
            self._resign(index)


class Shard:
    """One partition of `__consumer_offsets`: its machine, its timers, and the replies its log holds back."""

    def __init__(self, runtime: Runtime, index: int, partition: Partition) -> None:
        self.runtime = runtime
        self.index = index
        self.partition = partition
        self.machine = Groups(runtime.settings, runtime.random)
        self.timers: Timers[TimerKey] = Timers(runtime.loop, self._expired)
        self.held: deque[tuple[int, Waiter, Any]] = deque()  # (offset that must be committed first, whom, what)
        self.end_offset = 0  # one past the last record written here
        self.is_loaded = False
        self.is_closed = False
        self.has_failed = False
        self._loading: Task[None] | None = None
        self._watching: Future[Any] | None = None

    # ---- deciding

    def decide(self, operation: Operation, asked: Any, caller: Caller, waiter: Waiter) -> None:
        if not self.is_loaded:
            waiter.answer(waiter.refuse(NotCoordinator.code if self.has_failed else CoordinatorLoadInProgress.code))
            return
        out = Outcome()
        now = self.runtime.clock.wall_ms()
        try:
            operation(self.machine, asked, caller, waiter, out, now)
        except KafkaError as error:
            waiter.answer(waiter.refuse(error.code))
        else:
            self._carry_out(out, now)

    def topics_deleted(self, topics: Sequence[str]) -> None:
        if self.is_loaded:
            out = Outcome()
            self.machine.topics_deleted(topics, out)
            self._carry_out(out, self.runtime.clock.wall_ms())

    def _expired(self, key: TimerKey) -> None:
        out = Outcome()
        now = self.runtime.clock.wall_ms()
        self.machine.expire(key, out, now)
        self._carry_out(out, now)

    def _carry_out(self, out: Outcome, now: int) -> None:
        if out.records:
            try:
                self._append(out.records, now)
            except KafkaError as error:
                self._failed(out, error)
                return
        self._set_timers(out)
        if self.end_offset <= self.partition.high_watermark:
            for waiter, reply in out.replies:
                waiter.answer(reply)
        elif out.replies:
            self.held.extend((self.end_offset, waiter, reply) for waiter, reply in out.replies)
            self._settle()

    def _set_timers(self, out: Outcome) -> None:
        for key, delay_ms in out.timers:
            if delay_ms is None:
                self.timers.cancel(key)
            else:
                self.timers.set(key, delay_ms)

    def _append(self, records: Sequence[Record], now: int) -> None:
        batch = build(records, now)
        limit = self.partition.log.config.max_batch_bytes
        if len(batch) > limit:
            raise MessageTooLarge(f"{len(records)} records in {len(batch)} bytes, {limit} is the limit")
        appended = self.partition.append_as_coordinator(batch)
        self.end_offset = appended.last_offset + 1
        for offset, (key, value) in enumerate(records, appended.first_offset):
            self.machine.replay(key, value, offset, now, is_live=True)

    def _failed(self, out: Outcome, error: KafkaError) -> None:
        """The append did not happen. Whoever was about to be answered hears so; memory that ran ahead goes."""
        code = told_instead(error)
        if not isinstance(error, KafkaStorageError):  # of which its directory has told, once
            self.runtime.log.warning("shard %d: appending %d records failed: %s", self.index, len(out.records), error)
        for waiter, _ in out.replies:
            waiter.answer(waiter.refuse(code))
        if out.is_pure:
            self._set_timers(out)
        else:
            self._forget()
            self.load()

    # ---- held replies

    def _settle(self) -> None:
        """Answer what is committed, and have ourselves called when the next of it is."""
        while self.held and self._watching is None:
            offset = self.held[0][0]
            if offset <= self.partition.high_watermark:
                _, waiter, reply = self.held.popleft()
                waiter.answer(reply)
                continue
            deadline = self.runtime.loop.time() + self.runtime.settings.commit_timeout_ms / 1000
            try:
                self._watching = self.partition.await_offset(offset, deadline)
            except KafkaError as error:
                self._refuse_up_to(offset, told_instead(error))
            if self._watching is not None:
                self._watching.add_done_callback(partial(self._watched, offset))

    def _watched(self, offset: int, done: Future[Any]) -> None:
        self._watching = None
        if self.is_closed or done.cancelled():
            return
        error = done.exception()
        if error is not None:
            self._refuse_up_to(offset, told_instead(error))
        self._settle()

    def _refuse_up_to(self, offset: int, code: int) -> None:
        """What these replies waited for did not come in time, or was not enough."""
        while self.held and self.held[0][0] <= offset:
            _, waiter, _ = self.held.popleft()
            waiter.answer(waiter.refuse(code))

    # ---- loading and unloading

    def load(self) -> None:
        """Read the partition from its start. Without anything in it, at once: a new topic's 50 shards are there."""
        journal = self.partition.log
        self.end_offset = journal.log_end_offset
        if journal.log_start_offset == journal.log_end_offset:
            self._loaded()
        else:
            self._loading = self.runtime.loop.create_task(self._load())

    async def _load(self) -> None:
        journal = self.partition.log
        clock = self.runtime.clock
        started_ms = clock.wall_ms()
        position, end = journal.log_start_offset, journal.log_end_offset
        budget = RECORDS_A_TURN
        try:
            while position < end:
                chunk = journal.read(position, self.runtime.settings.load_buffer_bytes, up_to=end, at_least_one=True)
                if isinstance(chunk, Future):
                    chunk = await chunk
                if not chunk.records:
                    break  # nothing but a hole that compaction left at the end
                position = chunk.next_offset
                for count in replay(self.machine, memoryview(chunk.records), clock.wall_ms()):
                    budget -= count
                    if budget <= 0:
                        await sleep(0)
                        budget = RECORDS_A_TURN
        except (KafkaError, ProtocolError, OSError) as error:
            self.has_failed = True
            self.runtime.log.error("shard %d: its log cannot be read below offset %d: %s", self.index, position, error)
            return
        self.runtime.log.info("shard %d: loaded %d groups up to offset %d in %d ms",
                 self.index, len(self.machine.groups), end, clock.wall_ms() - started_ms)  # fmt: skip
        self._loaded()

    def _loaded(self) -> None:
        self._loading = None
        self.is_loaded = True
        out = Outcome()
        now = self.runtime.clock.wall_ms()
        self.machine.loaded(out, now)
        self._carry_out(out, now)

    def _forget(self) -> None:
        """Throw the memory away; whoever waits for something of it is told that we do not coordinate now."""
        out = Outcome()
        self.machine.unloaded(out, self.runtime.clock.wall_ms())
        self.timers.clear()
        self.is_loaded = self.has_failed = False
        self.machine = Groups(self.runtime.settings, self.runtime.random)
        held, self.held = self.held, deque()
        for _, waiter, _ in held:
            waiter.answer(waiter.refuse(NotCoordinator.code))
        for waiter, reply in out.replies:
            waiter.answer(reply)

    def close(self) -> None:
        self.is_closed = True
        if self._loading is not None:
            self._loading.cancel()
        self._forget()


_TOLD_INSTEAD: dict[type[KafkaError], int] = {
    UnknownTopicOrPartition: CoordinatorNotAvailable.code,
    NotEnoughReplicas: CoordinatorNotAvailable.code,
    NotEnoughReplicasAfterAppend: CoordinatorNotAvailable.code,
    RequestTimedOut: CoordinatorNotAvailable.code,
    NotLeaderOrFollower: NotCoordinator.code,
    KafkaStorageError: NotCoordinator.code,
    MessageTooLarge: UnknownServerError.code,
    RecordListTooLarge: UnknownServerError.code,
}


def told_instead(error: BaseException) -> int:
    """What a group's client is told when our log says `error`: it knows nothing of our log."""
    if not isinstance(error, KafkaError):
        return UnknownServerError.code
    return _TOLD_INSTEAD.get(type(error), error.code)


def grouped_by_shard(runtime: Runtime, group_ids: Iterable[str]) -> dict[int, list[str]]:
    """Group ids by the shard that owns them, in the order they came."""
    shards: dict[int, list[str]] = {}
    for group_id in group_ids:
        shards.setdefault(runtime.index_of(group_id), []).append(group_id)
    return shards
