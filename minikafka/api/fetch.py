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
from functools import partial

from minikafka.api.context import Context
from minikafka.api.leaders import endpoints, leader_of
from minikafka.api.registry import Operation, Resource, api
from minikafka.log.log import Read
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

READ_COMMITTED = 1
CONSUMER = -1
FIRST_WITH_TOPIC_IDS = 13
FIRST_WITH_LEADERS = 16
FIRST_WITH_REPLICA_STATE = 15
NOT_LOOKED_FOR = (UnknownTopicOrPartition, UnknownTopicId, TopicAuthorizationFailed)  # no log was asked
FULL_EPOCHS = (0, -1)  # of a session: begin one, or none at all

Item = tuple[FetchKey, FetchPartition]


@api(FetchRequest, 4, 18)
def fetch(broker: Context, request: FetchRequest) -> FetchResponse | Future[FetchResponse]:
    """Read record batches."""
    return Fetching(broker, request).begin()


class Asked:
    """One partition of a request, found or not."""

    __slots__ = ("error", "item", "key", "partition", "topic")

    def __init__(self, key: FetchKey, item: FetchPartition) -> None:
        self.key = key
        self.item = item
        self.topic = ""
        self.partition: Partition | None = None
        self.error: KafkaError | None = None


class Fetching:
    """One Fetch request from its arrival to its answer."""

    __slots__ = (
        "_answer", "_asked", "_broker", "_is_committed_only", "_is_follower", "_leaders", "_max_bytes", "_parked",
        "_replica_id", "_request", "_session", "_version",
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
        self._leaders: set[int] = set()
        self._answer: Future[FetchResponse] | None = None
        self._parked: Parked | None = None

    def begin(self) -> FetchResponse | Future[FetchResponse]:
        """Answer now, or give a Future."""
        self._asked = [self._find(key, item) for key, item in self._items()]
        request = self._request
        if request.max_wait_ms <= 0 or request.min_bytes <= 0 or not self._asked or self._has_enough():
            return self._make()
        loop = self._broker.loop
        self._answer = loop.create_future()
        self._parked = parked = Parked(loop, loop.time() + request.max_wait_ms / 1000, self._look)
        for asked in self._asked:
            if asked.partition is not None:
                parked.watch(asked.partition.watchers)
        self._answer.add_done_callback(lambda _: parked.finish())
        return self._answer

    # ── what is asked ──

    def _items(self) -> list[Item]:
        """The partitions of the request; of an incremental one, those of its session."""
        request = self._request
        uses_ids = self._version >= FIRST_WITH_TOPIC_IDS
        named: list[Item] = []
        for topic in request.topics:
            name: str | bytes = bytes(topic.topic_id) if uses_ids else topic.topic
            for item in topic.partitions:
                named.append(((name, item.partition), item))
        if request.session_id == NO_SESSION and request.session_epoch == -1:
            return named
        sessions, now_ms = self._broker.replicas.fetch_sessions, self._broker.clock.wall_ms()
        if request.session_epoch in FULL_EPOCHS:
            sessions.close(request.session_id)
            if request.session_epoch == 0:
                self._session = sessions.create(
                    len(named), is_follower=self._is_follower, uses_ids=uses_ids, now_ms=now_ms
                )
                if self._session is not None:
                    self._session.change(named, ())
            return named
        session = sessions.resume(request.session_id, request.session_epoch, uses_ids=uses_ids, now_ms=now_ms)
        session.change(named, self._forgotten(uses_ids))
        if not session.partitions:
            sessions.close(session.id)
            return []
        self._session = session
        return [(key, wanted.asked) for key, wanted in session.partitions.items()]

    def _forgotten(self, uses_ids: bool) -> list[FetchKey]:
        return [
            (bytes(topic.topic_id) if uses_ids else topic.topic, index)
            for topic in self._request.forgotten_topics_data
            for index in topic.partitions
        ]

    def _find(self, key: FetchKey, item: FetchPartition) -> Asked:
        asked = Asked(key, item)
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
            asked.partition = partition
        except KafkaError as error:
            asked.error = error
        return asked

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
        if not is_time_up and not self._has_enough():
            return False
        made = self._make()
        if isinstance(made, Future):
            made.add_done_callback(self._hand_over)
        else:
            self._answer.set_result(made)
        return True

    def _hand_over(self, made: Future[FetchResponse]) -> None:
        assert self._answer is not None
        if not self._answer.done():
            error = made.exception()
            if error is not None:
                self._answer.set_exception(error)
            else:
                self._answer.set_result(made.result())

    def _has_enough(self) -> bool:
        """Whether `min_bytes` can be read, or something must be told at once."""
        left = min(self._request.min_bytes, self._max_bytes)
        for asked in self._asked:
            partition, item = asked.partition, asked.item
            if partition is None or not partition.is_leader:
                return True
            log, offset = partition.log, item.fetch_offset
            if not log.log_start_offset <= offset <= log.log_end_offset:
                return True
            if item.last_fetched_epoch >= 0 and partition.has_diverged(offset, item.last_fetched_epoch):
                return True
            end = self._end(partition)
            if offset < end:
                left -= min(log.available_bytes(offset, end), item.partition_max_bytes)
                if left <= 0:
                    return True
        return False

    def _end(self, partition: Partition) -> int:
        return partition.readable_end(is_follower=self._is_follower, is_committed_only=self._is_committed_only)

    # ── the answer ──

    def _make(self) -> FetchResponse | Future[FetchResponse]:
        answers: list[tuple[FetchKey, FetchPartitionData]] = []
        cold: list[tuple[Future[Read], FetchPartitionData, Asked]] = []
        left, is_first = min(self._max_bytes, self._broker.replicas.answer_room), True
        for asked in self._asked:
            try:
                answer, read = self._read(asked, left, is_first)
            except KafkaError as error:
                answers.append((asked.key, self._refused(asked, error)))
                continue
            answers.append((asked.key, answer))
            if isinstance(read, Future):
                cold.append((read, answer, asked))
                left, is_first = left - asked.item.partition_max_bytes, False
            elif read is not None and read.records:
                self._fill(answer, read, asked)
                left, is_first = left - len(read.records), False
        if cold:
            return Warming(self, answers, cold).done
        return self.respond(answers)

    def _read(self, asked: Asked, left: int, is_first: bool) -> tuple[FetchPartitionData, Read | Future[Read] | None]:
        """The partition's answer without its records, and those."""
        if asked.error is not None:
            raise asked.error
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

    def _fill(self, answer: FetchPartitionData, read: Read, asked: Asked) -> None:
        answer.records = read.records
        if self._is_committed_only:
            assert asked.partition is not None
            found = asked.partition.log.aborted_between(asked.item.fetch_offset, read.next_offset)
            answer.aborted_transactions = [
                AbortedTransaction(producer_id=each.producer_id, first_offset=each.first_offset) for each in found
            ]

    def _refused(self, asked: Asked, error: KafkaError) -> FetchPartitionData:
        was_looked_for = asked.partition is not None or not isinstance(error, NOT_LOOKED_FOR)
        answer = FetchPartitionData(
            partition_index=asked.item.partition,
            error_code=error.code,
            high_watermark=-1,
            aborted_transactions=None if was_looked_for and not self._is_committed_only else [],
            records=b"",
        )
        if self._version >= FIRST_WITH_LEADERS and isinstance(error, NotLeaderOrFollower | FencedLeaderEpoch):
            answer.current_leader = leader_of(self._broker, asked.topic, asked.item.partition)
            if answer.current_leader is not None:
                self._leaders.add(answer.current_leader.leader_id)
        return answer

    def respond(self, answers: list[tuple[FetchKey, FetchPartitionData]]) -> FetchResponse:
        """The reply: all of the answers, or what a session's reader does not know yet."""
        session, session_id = self._session, NO_SESSION
        if session is not None:
            session_id = session.id
            picked = session.pick(answers)
            if self._request.session_epoch != 0:
                answers = picked
        topics: dict[str | bytes, FetchableTopicResponse] = {}
        for (name, _), answer in answers:
            topic = topics.get(name)
            if topic is None:
                topic = topics[name] = (
                    FetchableTopicResponse(topic_id=name, partitions=[])
                    if isinstance(name, bytes)
                    else FetchableTopicResponse(topic=name, partitions=[])
                )
            topic.partitions.append(answer)
        response = FetchResponse(session_id=session_id, responses=list(topics.values()))
        if self._leaders:
            response.node_endpoints = endpoints(self._broker, self._leaders)
        return response

    def fill_late(self, answer: FetchPartitionData, reading: Future[Read], asked: Asked) -> None:
        """Records that had to come from the medium."""
        error = reading.exception()
        if error is None:
            self._fill(answer, reading.result(), asked)
        elif isinstance(error, KafkaError):
            answer.error_code, answer.high_watermark = error.code, -1
        else:
            raise error


class Warming:
    """An answer some of whose records are still being read."""

    __slots__ = ("_answers", "_fetching", "_left", "done")

    def __init__(
        self,
        fetching: Fetching,
        answers: list[tuple[FetchKey, FetchPartitionData]],
        cold: list[tuple[Future[Read], FetchPartitionData, Asked]],
    ) -> None:
        self._fetching = fetching
        self._answers = answers
        self._left = len(cold)
        self.done: Future[FetchResponse] = cold[0][0].get_loop().create_future()
        for reading, answer, asked in cold:
            reading.add_done_callback(partial(self._arrived, answer, asked))

    def _arrived(self, answer: FetchPartitionData, asked: Asked, reading: Future[Read]) -> None:
        self._fetching.fill_late(answer, reading, asked)
        self._left -= 1
        if self._left == 0 and not self.done.done():
            self.done.set_result(self._fetching.respond(self._answers))
