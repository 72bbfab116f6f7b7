"""Fetch: whole batches from given offsets on, or a wait until there are enough.

A request that finds `min_bytes` (or an error, or a diverging log) is answered at once. Otherwise it is parked in its
partitions: each append or commit wakes it, and it counts what it could read, without reading. Bytes are read once, when
the answer is made.

    - a partition's answer begins with the batch that holds the offset asked for, whole
    - the first partition that has anything gives at least one batch, however long (KIP-74)
    - consumers read below the high watermark or the last stable offset, followers to the log's end
    - between high watermark and log end there is nothing yet: an empty success, no error
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

from minikafka.api.context import Context
from minikafka.api.leaders import endpoints, leader_of
from minikafka.api.quorum import fetch_metadata
from minikafka.api.registry import Operation, Resource, api
from minikafka.log.reading import Read
from minikafka.replica.partition import Partition
from minikafka.replica.sessions import NO_SESSION, FetchKey, FetchSession
from minikafka.replica.waiters import Parked
from protocol.kafka.errors import (
    FencedLeaderEpoch,
    InconsistentTopicId,
    KafkaError,
    NotLeaderOrFollower,
    OffsetOutOfRange,
    TopicAuthorizationFailed,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from protocol.kafka.messages.produce import (
    AbortedTransaction,
    DivergingEpoch,
    FetchableTopicResponse,
    FetchPartition,
    FetchPartitionData,
    FetchRequest,
    FetchResponse,
)
from protocol.kafka.schema import each
from protocol.ops.slices import taken

READ_COMMITTED = 1
CONSUMER = -1
FIRST_WITH_TOPIC_IDS = 13
FIRST_WITH_LEADERS = 16
FIRST_WITH_REPLICA_STATE = 15
NOT_LOOKED_FOR = (UnknownTopicOrPartition, UnknownTopicId, TopicAuthorizationFailed)  # no log was asked
PARTITIONS_A_SLICE = 500  # of one request that are looked for, or looked at, without a stop: about a millisecond
PARTITIONS_A_STEP = 50  # that are read, likewise
FULL_EPOCHS = (0, -1)  # of a session: begin one, or none at all

Item = tuple[FetchKey, FetchPartition]


@api(FetchRequest, 4, 18, listeners="BC")
def fetch(broker: Context, request: FetchRequest) -> FetchResponse | Future[FetchResponse] | Generator[None, None, Any]:
    """Read record batches; on a controller listener, those of the metadata."""
    if broker.side == "C":
        return fetch_metadata(broker, request)  # type: ignore[no-any-return]
    return Fetching(broker, request).begin()


class Asked:
    """One partition of a request, found or not, and its answer: made when it is read, of an error when it is told."""

    __slots__ = ("answer", "error", "item", "key", "partition", "topic")

    item: FetchPartition  # only of one that was found

    def __init__(self, key: FetchKey) -> None:
        self.key = key
        self.topic = ""
        self.partition: Partition | None = None
        self.error: KafkaError | None = None
        self.answer: FetchPartitionData | None = None


class Fetching:
    """One Fetch request from its arrival to its answer. One of many partitions is worked on in slices."""

    __slots__ = (
        "_answer", "_asked", "_broker", "_cold", "_count", "_errors", "_is_committed_only", "_is_first", "_is_follower",
        "_is_looking", "_leaders", "_left", "_max_bytes", "_parked", "_replica_id", "_request", "_session",
        "_shall_look_again", "_version",
    )  # fmt: skip

    def __init__(self, broker: Context, request: FetchRequest) -> None:
        self._broker = broker
        self._request = request
        self._version = broker.api_version
        self._replica_id = request.replica_id
        if self._version >= FIRST_WITH_REPLICA_STATE and request.replica_state is not None:
            self._replica_id = request.replica_state.replica_id
        self._is_follower = self._replica_id > CONSUMER
        self._is_committed_only = request.isolation_level == READ_COMMITTED and not self._is_follower
        self._max_bytes = min(request.max_bytes, broker.replicas.fetch_max_bytes)
        self._session: FetchSession | None = None
        self._asked: list[Asked] = []
        self._count = sum(len(topic.partitions) for topic in request.topics)  # of what is looked for
        self._leaders: set[int] = set()
        self._errors: dict[type[KafkaError], KafkaError] = {}  # one of each kind: a Fetch tells no texts
        self._answer: Future[FetchResponse] | None = None
        self._parked: Parked | None = None
        self._is_looking = self._shall_look_again = False  # in slices, whether there is enough
        self._left, self._is_first = 0, True  # bytes for the partitions to come; none has given any so far
        self._cold: list[tuple[Future[Read], Asked]] = []

    def begin(self) -> FetchResponse | Future[FetchResponse] | Generator[None, None, Any]:
        """Answer now, or give a Future, or what will."""
        request = self._request
        items = self._items()
        if self._count > PARTITIONS_A_SLICE:
            return self._begin_in_slices(items)
        self._asked = [self._find(key, item) for key, item in items]
        if self._is_unwilling() or self._missing(self._asked, self._wanted()) <= 0:
            return self._make()
        return self._park(request.max_wait_ms)

    def _begin_in_slices(self, items: Iterator[Item]) -> Generator[None, None, Any]:
        for key, item in items:
            self._asked.append(self._find(key, item))
            if len(self._asked) % PARTITIONS_A_SLICE == 0:
                yield
        if self._is_unwilling() or (yield from self._has_enough()):
            return (yield from self._make_in_slices())
        return self._park(self._request.max_wait_ms)

    def _is_unwilling(self) -> bool:
        """Whether the reader does not want to wait, or there is nothing to wait for."""
        return self._request.max_wait_ms <= 0 or self._request.min_bytes <= 0 or not self._asked

    def _park(self, wait_ms: int) -> Future[FetchResponse]:
        loop = self._broker.loop
        self._answer = loop.create_future()
        self._parked = parked = Parked(loop, loop.time() + wait_ms / 1000, self._look)
        for asked in self._asked:
            if asked.partition is not None:
                parked.watch(asked.partition.watchers)
        self._answer.add_done_callback(lambda _: parked.finish())
        return self._answer

    # ── what is asked ──

    def _items(self) -> Iterator[Item]:
        """The partitions of the request; of an incremental one, those of its session."""
        request, uses_ids = self._request, self._version >= FIRST_WITH_TOPIC_IDS
        if request.session_id == NO_SESSION and request.session_epoch == -1:
            return self._named_once()
        sessions, now_ms = self._broker.replicas.fetch_sessions, self._broker.clock.wall_ms()
        if request.session_epoch in FULL_EPOCHS:
            sessions.close(request.session_id)
            if request.session_epoch == 0:
                self._session = sessions.create(
                    self._count, is_follower=self._is_follower, uses_ids=uses_ids, now_ms=now_ms
                )
            if self._session is None:
                return self._named_once()
            sessions.change(self._session, self._named(), ())
        else:
            session = sessions.resume(request.session_id, request.session_epoch, uses_ids=uses_ids, now_ms=now_ms)
            sessions.change(session, self._named(), self._forgotten(uses_ids))
            if not session.partitions:
                sessions.close(session.id)
                self._count = 0
                return iter(())
            self._session = session
        self._count = len(self._session.partitions)
        return self._followed(self._session)

    def _named(self) -> Iterator[Item]:
        """What the request names. It is read once: what was taken over is not held twice."""
        uses_ids = self._version >= FIRST_WITH_TOPIC_IDS
        for topic in taken(self._request.topics):
            name: str | bytes = bytes(topic.topic_id) if uses_ids else topic.topic
            for item in taken(topic.partitions):
                yield (name, item.partition), item

    def _named_once(self) -> Iterator[Item]:
        """As `_named`; of a partition that is named again, what was said last."""
        if self._count < 2:
            return self._named()
        once = dict(self._named())
        self._count = len(once)
        return ((key, once.pop(key)) for key in list(once))

    def _followed(self, session: FetchSession) -> Iterator[Item]:
        for key in list(session.partitions):
            wanted = session.partitions.get(key)
            if wanted is not None:  # and not forgotten meanwhile
                yield key, wanted.asked

    def _forgotten(self, uses_ids: bool) -> list[FetchKey]:
        return [
            (bytes(topic.topic_id) if uses_ids else topic.topic, index)
            for topic in self._request.forgotten_topics_data
            for index in topic.partitions
        ]

    def _find(self, key: FetchKey, item: FetchPartition) -> Asked:
        asked = Asked(key)
        broker = self._broker
        try:
            name = key[0]
            asked.topic = self._name_of(key, name) if isinstance(name, bytes) else name
            self._authorize(asked.topic)
            partition = broker.replicas.partition(asked.topic, item.partition)
            if isinstance(name, bytes) and partition.topic_id != name:
                raise InconsistentTopicId
            partition.check_leader(item.current_leader_epoch)
            if self._is_follower:
                partition.follower_at(self._replica_id, item.fetch_offset, item.log_start_offset)
            asked.partition, asked.item = partition, item
        except KafkaError as error:
            self._refuse(asked, error)
        return asked

    def _refuse(self, asked: Asked, error: KafkaError) -> None:
        """Note the error, without the frames it has come through. Where its answer names a leader it is made now."""
        asked.error = self._errors.setdefault(type(error), error)
        error.__traceback__ = None
        if self._version >= FIRST_WITH_LEADERS and isinstance(error, NotLeaderOrFollower | FencedLeaderEpoch):
            asked.answer = self._refused(asked)

    def _name_of(self, key: FetchKey, topic_id: bytes) -> str:
        """The name behind an id. A session remembers it: of a topic that was deleted, or deleted and made again, its
        reader hears just that, and not that the id is unknown."""
        wanted = None if self._session is None else self._session.partitions.get(key)
        try:
            name = self._broker.replicas.topic_name(topic_id)
        except UnknownTopicId:
            if wanted is None or not wanted.topic:
                raise
            return wanted.topic
        if wanted is not None:
            wanted.topic = name
        return name

    def _authorize(self, topic: str) -> None:
        broker = self._broker
        if broker.authorizer is None:
            return
        if self._is_follower:
            broker.allow(Operation.CLUSTER_ACTION, Resource.CLUSTER)
        elif not broker.may(Operation.READ, Resource.TOPIC, topic):
            raise TopicAuthorizationFailed

    # ── is it enough? ──

    def _look(self, is_time_up: bool) -> bool:
        """Woken: answer if there is enough, or no more time."""
        assert self._answer is not None
        if self._answer.done():
            return True
        if len(self._asked) > PARTITIONS_A_SLICE:
            if is_time_up or not self._is_looking:
                self._is_looking = True
                self._broker.services.slices.start(self._look_in_slices(is_time_up), self)
            else:
                self._shall_look_again = True
            return False
        if not is_time_up and self._missing(self._asked, self._wanted()) > 0:
            return False
        self._hand_over(self._make())
        return True

    def _look_in_slices(self, is_time_up: bool) -> Generator[None, None, None]:
        if not is_time_up:
            while not (yield from self._has_enough()):
                if not self._shall_look_again:
                    self._is_looking = False
                    return
                self._shall_look_again = False
        self._hand_over((yield from self._make_in_slices()))

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        return self._answer is not None and self._answer.done()

    def _hand_over(self, made: FetchResponse | Future[FetchResponse]) -> None:
        assert self._answer is not None
        if isinstance(made, Future):
            if made.done():
                self._pass_on(made)
            else:
                made.add_done_callback(self._pass_on)
        elif not self._answer.done():
            self._answer.set_result(made)

    def _pass_on(self, made: Future[FetchResponse]) -> None:
        assert self._answer is not None
        if not self._answer.done():
            error = made.exception()
            if error is not None:
                self._answer.set_exception(error)
            else:
                self._answer.set_result(made.result())

    def _wanted(self) -> int:
        return min(self._request.min_bytes, self._max_bytes)

    def _has_enough(self) -> Generator[None, None, bool]:
        left = self._wanted()
        for start in range(0, len(self._asked), PARTITIONS_A_SLICE):
            left = self._missing(self._asked[start : start + PARTITIONS_A_SLICE], left)
            if left <= 0:
                return True
            yield
        return False

    def _missing(self, some: list[Asked], left: int) -> int:
        """How many of `left` bytes some partitions do not have; 0 where something must be told at once."""
        for asked in some:
            partition = asked.partition
            if partition is None or not partition.is_leader:
                return 0
            item = asked.item
            log, offset = partition.log, item.fetch_offset
            if not log.log_start_offset <= offset <= log.log_end_offset:
                return 0
            if item.last_fetched_epoch >= 0 and partition.has_diverged(offset, item.last_fetched_epoch):
                return 0
            end = self._end(partition)
            if offset < end:
                left -= min(log.available_bytes(offset, end), item.partition_max_bytes)
                if left <= 0:
                    return 0
        return left

    def _end(self, partition: Partition) -> int:
        return partition.readable_end(is_follower=self._is_follower, is_committed_only=self._is_committed_only)

    # ── the answer ──

    def _make(self) -> FetchResponse | Future[FetchResponse]:
        self._left = min(self._max_bytes, self._broker.replicas.answer_room)
        for asked in self._asked:
            self._take(asked)
        return self._made()

    def _make_in_slices(self) -> Generator[None, None, FetchResponse | Future[FetchResponse]]:
        self._left = min(self._max_bytes, self._broker.replicas.answer_room)
        for at, asked in enumerate(self._asked):
            self._take(asked)
            if at % PARTITIONS_A_STEP == PARTITIONS_A_STEP - 1:
                yield
        return self._made()

    def _take(self, asked: Asked) -> None:
        """One partition's part of the answer."""
        if asked.error is not None:  # raised again, it would remember that
            return
        try:
            asked.answer, read = self._read(asked, self._left, self._is_first)
        except KafkaError as error:
            self._refuse(asked, error)
            return
        if isinstance(read, Future):
            self._cold.append((read, asked))
            self._left, self._is_first = self._left - asked.item.partition_max_bytes, False
        elif read is not None and read.records:
            self._fill(asked, read)
            self._left, self._is_first = self._left - len(read.records), False

    def _made(self) -> FetchResponse | Future[FetchResponse]:
        return Warming(self, self._cold).done if self._cold else self.respond()

    def _read(self, asked: Asked, left: int, is_first: bool) -> tuple[FetchPartitionData, Read | Future[Read] | None]:
        """The partition's answer without its records, and those."""
        partition, item = asked.partition, asked.item
        assert partition is not None
        if not partition.is_leader:  # since it was found; it may be gone from here altogether
            self._broker.replicas.partition(asked.topic, item.partition)
        partition.check_leader(item.current_leader_epoch)
        log = partition.log
        answer = FetchPartitionData(
            partition_index=item.partition,
            high_watermark=log.high_watermark,
            last_stable_offset=log.last_stable_offset,
            log_start_offset=log.log_start_offset,
            aborted_transactions=[] if self._is_committed_only else None,
            records=b"",
        )
        if item.last_fetched_epoch >= 0:
            if item.fetch_offset < log.log_start_offset:
                raise OffsetOutOfRange
            leaves = partition.diverging(item.fetch_offset, item.last_fetched_epoch)
            if leaves is not None:
                answer.diverging_epoch = DivergingEpoch(epoch=leaves[0], end_offset=leaves[1])
                return answer, None
        limit = min(left, item.partition_max_bytes)
        return answer, log.read(item.fetch_offset, limit, up_to=self._end(partition), at_least_one=is_first)

    def _fill(self, asked: Asked, read: Read) -> None:
        assert asked.answer is not None
        asked.answer.records = read.records
        if self._is_committed_only:
            assert asked.partition is not None
            found = asked.partition.log.aborted_between(asked.item.fetch_offset, read.next_offset)
            asked.answer.aborted_transactions = [
                AbortedTransaction(producer_id=one.producer_id, first_offset=one.first_offset) for one in found
            ]

    def _refused(self, asked: Asked) -> FetchPartitionData:
        error = asked.error
        assert error is not None
        was_looked_for = asked.partition is not None or not isinstance(error, NOT_LOOKED_FOR)
        answer = FetchPartitionData(
            partition_index=asked.key[1],
            error_code=error.code,
            high_watermark=-1,
            aborted_transactions=None if was_looked_for and not self._is_committed_only else [],
            records=b"",
        )
        if self._version >= FIRST_WITH_LEADERS and isinstance(error, NotLeaderOrFollower | FencedLeaderEpoch):
            answer.current_leader = leader_of(self._broker, asked.topic, asked.key[1])
            if answer.current_leader is not None:
                self._leaders.add(answer.current_leader.leader_id)
        return answer

    def _told(self, asked: Asked) -> FetchPartitionData:
        return self._refused(asked) if asked.answer is None else asked.answer

    def respond(self) -> FetchResponse:
        """The reply: all of the answers, or what a session's reader does not know yet."""
        session, session_id, answers = self._session, NO_SESSION, self._asked
        if session is not None:
            session_id = session.id
            picked = session.pick(answers)
            if self._request.session_epoch != 0:
                answers = picked
        # A topic's partitions that follow one another are told together, as Kafka tells them.
        starts = [at for at, asked in enumerate(answers) if at == 0 or asked.key[0] != answers[at - 1].key[0]]
        starts.append(len(answers))

        def told(at: int) -> FetchableTopicResponse:
            some, name = range(starts[at], starts[at + 1]), answers[starts[at]].key[0]
            partitions = each(some, lambda one: self._told(answers[one]))
            if isinstance(name, bytes):
                return FetchableTopicResponse(topic_id=name, partitions=partitions)
            return FetchableTopicResponse(topic=name, partitions=partitions)

        response = FetchResponse(session_id=session_id, responses=each(range(len(starts) - 1), told))
        if self._leaders:
            response.node_endpoints = endpoints(self._broker, self._leaders)
        return response

    def fill_late(self, asked: Asked, reading: Future[Read]) -> None:
        """Records that had to come from the medium."""
        assert asked.answer is not None
        error = reading.exception()
        if error is None:
            self._fill(asked, reading.result())
        elif isinstance(error, KafkaError):
            asked.answer.error_code, asked.answer.high_watermark = error.code, -1
        else:
            raise error


class Warming:
    """An answer some of whose records are still being read."""

    __slots__ = ("_fetching", "_left", "done")

    def __init__(self, fetching: Fetching, cold: list[tuple[Future[Read], Asked]]) -> None:
        self._fetching = fetching
        self._left = len(cold)
        self.done: Future[FetchResponse] = cold[0][0].get_loop().create_future()
        for reading, asked in cold:
            reading.add_done_callback(partial(self._arrived, asked))

    def _arrived(self, asked: Asked, reading: Future[Read]) -> None:
        self._fetching.fill_late(asked, reading)
        self._left -= 1
        if self._left == 0 and not self.done.done():
            self.done.set_result(self._fetching.respond())
