"""Produce: append each partition's batch, then wait for as many replicas as the producer asked.

Stage 1 runs in the order of arrival and ends with every batch in its log, or refused. Stage 2 is a Future: with
acks=all it waits until the batches are committed. Otherwise, and where one replica is all there are, there is none.

    acks 0     no answer; an error can only be told by closing the connection
    acks 1     in the leader's log
    acks -1    in the log of every replica in sync, of which there are at least min.insync.replicas
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Generator
from functools import partial
from typing import Any

from minikafka.api.context import Context
from minikafka.api.leaders import endpoints, leader_of
from minikafka.api.produce_one import FIRST_WITH_TOPIC_IDS, INTERNAL_TOPICS, ProduceOne
from minikafka.api.registry import Hangup, Operation, Resource, Shortcut, api
from minikafka.log.validate import InvalidRecords, InvalidTimestamps, MalformedRequest, UnknownMagic, UnreadableRecords
from minikafka.replica.partition import Partition
from protocol.kafka.batch import CODEC_MASK, HEADER_SIZE, MAGIC, TRANSACTIONAL
from protocol.kafka.compression import ZSTD
from protocol.kafka.errors import (
    InvalidProducerEpoch,
    InvalidRecord,
    InvalidRequiredAcks,
    InvalidTimestamp,
    InvalidTopicException,
    InvalidTxnState,
    KafkaError,
    NotLeaderOrFollower,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailed,
    TransactionalIdAuthorizationFailed,
    UnsupportedCompressionType,
)
from protocol.kafka.messages.produce import (
    BatchIndexAndErrorMessage,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from protocol.kafka.schema import each
from protocol.ops.slices import begun

ACKS_ALL = -1
NO_ACKS = 0
PARTITIONS_A_SLICE = 100  # of one request that are written before others may have their turn
INTERNAL_WRITER = "__admin_client"  # the client id that may write to internal topics
FIRST_WITH_ZSTD = 7
FIRST_WITH_LEADERS = 10
FORMAT = 16  # the byte of a batch header that says its format
FLAGS = 22  # the byte of a batch header with codec and flags

# Errors of a log that was asked: their answers tell its start.
REFUSED_BY_LOG = (
    InvalidRecord,
    InvalidTimestamp,
    InvalidProducerEpoch,
    InvalidTxnState,
    OutOfOrderSequenceNumber,
    UnreadableRecords,
)


def shortcut(version: int) -> Shortcut | None:
    """One batch for one partition by the short way, in the flexible versions."""
    return ProduceOne(version).answer if version >= ProduceRequest.flexible else None


@api(ProduceRequest, 3, 13, pipelined=True, reported_low=0, shortcut=shortcut)
def produce(
    broker: Context, request: ProduceRequest
) -> ProduceResponse | Future[ProduceResponse] | Generator[None, None, Any] | None:
    """Append record batches. A partition named twice is written and answered once: what was named last counts."""
    return begun(appending(broker, request))


def appending(
    broker: Context, request: ProduceRequest
) -> Generator[None, None, ProduceResponse | Future[ProduceResponse] | None]:
    """The whole request, with a stop every `PARTITIONS_A_SLICE` and where many records are looked at."""
    pending: list[tuple[PartitionProduceResponse, Partition, int]] = []
    response = ProduceResponse(responses=[])
    leaders: set[int] = set()
    acks, version = request.acks, broker.api_version
    is_foreign = request.transactional_id is None and has_transactional(request)
    seen = 0
    for topic in named_once(request):
        answers: list[PartitionProduceResponse] = []
        response.responses.append(
            TopicProduceResponse(name=topic.name, topic_id=topic.topic_id, partition_responses=answers)
        )
        refusal: KafkaError | None = TransactionalIdAuthorizationFailed() if is_foreign else None
        name = topic.name
        try:
            if version >= FIRST_WITH_TOPIC_IDS:
                name = broker.replicas.topic_name(bytes(topic.topic_id))
            if broker.authorizer is not None and not broker.may(Operation.WRITE, Resource.TOPIC, name):
                raise TopicAuthorizationFailed
        except KafkaError as error:
            refusal = error
        for data in topic.partition_data:
            if seen == PARTITIONS_A_SLICE:
                seen = 0
                yield
            seen += 1
            try:
                if refusal is not None:
                    raise refusal
                partition = broker.replicas.partition(name, data.index)
                check(broker, name, acks)
                answer, end = yield from append(broker, partition, data, acks)
            except KafkaError as error:
                answer = refused(data.index, error)
                if isinstance(error, REFUSED_BY_LOG) and not isinstance(error, MalformedRequest):
                    answer.log_start_offset = partition.log.log_start_offset
                if isinstance(error, NotLeaderOrFollower) and version >= FIRST_WITH_LEADERS:
                    answer.current_leader = leader_of(broker, name, data.index)
                    if answer.current_leader is not None:
                        leaders.add(answer.current_leader.leader_id)
            else:
                if acks == ACKS_ALL and partition.log.high_watermark < end:
                    pending.append((answer, partition, end))
            answers.append(answer)
    if leaders:
        response.node_endpoints = endpoints(broker, leaders)
    if acks == NO_ACKS:
        say_nothing(response)
        return None
    if pending:
        return Commits(broker, response, pending, request.timeout_ms).done
    return response


def count_partitions(request: ProduceRequest) -> int:
    """How many batches a request has."""
    return sum(len(topic.partition_data) for topic in request.topic_data)


def named_once(request: ProduceRequest) -> list[TopicProduceData]:
    """The request's topics, each of them and of their partitions once, in the order in which they came first."""
    topics = request.topic_data
    if count_partitions(request) < 2:
        return topics
    once: dict[tuple[str, bytes], dict[int, PartitionProduceData]] = {}
    for topic in topics:
        partitions = once.setdefault((topic.name, bytes(topic.topic_id)), {})
        for data in topic.partition_data:
            partitions[data.index] = data
    return [
        TopicProduceData(name=name, topic_id=topic_id, partition_data=list(partitions.values()))
        for (name, topic_id), partitions in once.items()
    ]


def has_transactional(request: ProduceRequest) -> bool:
    """Whether any batch says that it belongs to a transaction."""
    for topic in request.topic_data:
        for data in topic.partition_data:
            records = data.records
            if isinstance(records, memoryview) and len(records) >= HEADER_SIZE and flags_of(records) & TRANSACTIONAL:
                return True
    return False


def flags_of(records: memoryview) -> int:
    """Codec and flags of the first batch; none where it is of another format and that byte means something else."""
    return records[FLAGS] if records[FORMAT] == MAGIC else 0


def check(broker: Context, name: str, acks: int) -> None:
    """What holds for all partitions of a topic that is there."""
    if name in INTERNAL_TOPICS and broker.client_id != INTERNAL_WRITER:
        raise InvalidTopicException(f"Cannot append to internal topic {name}")
    if not -1 <= acks <= 1:
        raise InvalidRequiredAcks


def append(
    broker: Context, partition: Partition, data: PartitionProduceData, acks: int
) -> Generator[None, None, tuple[PartitionProduceResponse, int]]:
    """One partition's batch into its log; the answer, and up to where it must be committed."""
    records, version = data.records, broker.api_version
    if not isinstance(records, memoryview) or len(records) < HEADER_SIZE:
        raise MalformedRequest(f"Produce requests with version {version} must have at least one record batch")
    flags = flags_of(records)
    if flags & CODEC_MASK == ZSTD and version < FIRST_WITH_ZSTD:
        raise UnsupportedCompressionType(
            f"Produce requests with version {version} are not allowed to use ZStandard compression"
        )
    if flags & TRANSACTIONAL:
        # Nothing can have told this partition of a transaction: there is no transaction coordinator here yet.
        raise InvalidTxnState("Record was not part of an ongoing transaction")
    admitted = None
    if partition.log.looks_into_batches:
        admitted = yield from partition.admit(records, acks=acks, places=broker.services.slices.places)
    appended = partition.append_as_leader(records, acks=acks, admitted=admitted)
    answer = PartitionProduceResponse(
        index=data.index,
        base_offset=appended.first_offset,
        log_append_time_ms=appended.append_time_ms,
        log_start_offset=partition.log.log_start_offset,
    )
    return answer, appended.last_offset + 1


def refused(index: int, error: KafkaError) -> PartitionProduceResponse:
    """The answer for a partition whose batch was not taken; records are named where they are at fault."""
    answer = PartitionProduceResponse(index=index, error_code=error.code, base_offset=-1)
    if isinstance(error, UnknownMagic):
        answer.error_message = error.detail
    elif isinstance(error, InvalidRecords | InvalidTimestamps):
        answer.error_message = error.detail
        answer.record_errors = each(
            error.record_errors,
            lambda one: BatchIndexAndErrorMessage(batch_index=one[0], batch_index_error_message=one[1]),
        )
    return answer


def say_nothing(response: ProduceResponse) -> None:
    """acks=0: silence is success, so an error must end the connection."""
    errors = [answer.error_code for topic in response.responses for answer in topic.partition_responses]
    if any(errors):
        raise Hangup(f"a Produce with acks=0 failed with error {next(filter(None, errors))}")


class Commits:
    """An acks=all answer on its way: complete when every partition is committed, refused or out of time."""

    __slots__ = ("_left", "_response", "done")

    def __init__(
        self,
        broker: Context,
        response: ProduceResponse,
        pending: list[tuple[PartitionProduceResponse, Partition, int]],
        timeout_ms: int,
    ) -> None:
        self.done: Future[ProduceResponse] = broker.loop.create_future()
        self._response = response
        self._left = len(pending)
        deadline = broker.loop.time() + max(timeout_ms, 0) / 1000
        for answer, partition, end in pending:
            waiting = partition.await_offset(end, deadline)
            if waiting is None:
                self._settle(None)
            else:
                waiting.add_done_callback(partial(self._reached, answer, partition))

    def _reached(self, answer: PartitionProduceResponse, partition: Partition, reached: Future[int]) -> None:
        error = reached.exception()
        if error is None:
            try:
                partition.check_held()
            except KafkaError as few:
                error = few
        self._settle(None if error is None else (answer, error))

    def _settle(self, failed: tuple[PartitionProduceResponse, BaseException] | None) -> None:
        if failed is not None:
            answer, error = failed
            if not isinstance(error, KafkaError):
                raise error
            answer.error_code, answer.base_offset, answer.log_append_time_ms = error.code, -1, -1
        self._left -= 1
        if self._left == 0 and not self.done.done():
            self.done.set_result(self._response)
