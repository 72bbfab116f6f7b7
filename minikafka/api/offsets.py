"""Offsets: which one belongs to a time or to an end of the log, where a leader epoch ended, and dropping what is old.

time -1   latest: high watermark, or last stable offset for readers of committed data
     -2   earliest                     -4   earliest that lies here, not in a remote tier (the same here)
     -3   the record with the greatest timestamp
     -5   latest that lies in a remote tier, -6 earliest that is still to be copied there: none, offset -1
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

from minikafka.api.context import Context
from minikafka.api.registry import Operation, Resource, api
from minikafka.log.segment import FoundTimestamp
from minikafka.replica.partition import Partition
from protocol.kafka.errors import (
    InvalidRequest,
    InvalidTopicException,
    KafkaError,
    LeaderNotAvailable,
    OffsetNotAvailable,
    OffsetOutOfRange,
    PolicyViolation,
    TopicAuthorizationFailed,
    UnsupportedVersion,
)
from protocol.kafka.messages.produce import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
    EpochEndOffset,
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
    ListOffsetsTopicResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
    OffsetForLeaderTopicResult,
)
from protocol.kafka.schema import each
from protocol.ops.slices import begun, taken

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING_UPLOAD = -1, -2, -3, -4, -5, -6
SINCE = {LATEST: 1, EARLIEST: 1, MAX_TIMESTAMP: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9, EARLIEST_PENDING_UPLOAD: 11}
FIRST_WITH_OFFSET_NOT_AVAILABLE = 5
READ_COMMITTED = 1
CONSUMER = -1
DEBUGGING_CONSUMER = -2
HIGH_WATERMARK = -1  # as the offset of a DeleteRecords
TOPICS_A_SLICE = 500  # that are looked through without a stop
PARTITIONS_A_SLICE = 100  # whose logs are shortened without a stop
INTERNAL_TOPICS = frozenset(("__consumer_offsets", "__transaction_state", "__share_group_state"))


# ── ListOffsets ──


@api(ListOffsetsRequest, 1, 11)
def list_offsets(
    broker: Context, request: ListOffsetsRequest
) -> ListOffsetsResponse | Generator[None, None, ListOffsetsResponse]:
    """Find offsets by time, or the ends of a log."""
    return begun(_listed(broker, request))


def _listed(broker: Context, request: ListOffsetsRequest) -> Generator[None, None, ListOffsetsResponse]:
    twice = yield from _named_twice(request.topics)

    def told(topic: ListOffsetsTopic) -> ListOffsetsTopicResponse:
        name = topic.name
        is_refused = broker.authorizer is not None and not broker.may(Operation.DESCRIBE, Resource.TOPIC, name)

        def of(asked: ListOffsetsPartition) -> ListOffsetsPartitionResponse:
            index = asked.partition_index
            try:
                if is_refused:
                    raise TopicAuthorizationFailed
                if (name, index) in twice:
                    raise InvalidRequest
                found = find_offset(broker, name, asked, request)
            except KafkaError as error:
                return ListOffsetsPartitionResponse(partition_index=index, error_code=error.code)
            return ListOffsetsPartitionResponse(
                partition_index=index, timestamp=found.timestamp, offset=found.offset, leader_epoch=found.leader_epoch
            )

        once = {one.partition_index: one for one in topic.partitions}
        return ListOffsetsTopicResponse(name=name, partitions=each(list(once.values()), of))

    return ListOffsetsResponse(topics=each(request.topics, told))


def _named_twice(topics: Sequence[ListOffsetsTopic]) -> Generator[None, None, set[tuple[str, int]]]:
    """The partitions that a request names more than once."""
    names: set[str] = set()
    repeated: dict[str, set[int]] = {}  # topics that come again, and the partitions seen of them
    for at, topic in enumerate(topics):
        if topic.name in names:
            repeated[topic.name] = set()
        names.add(topic.name)
        if at % TOPICS_A_SLICE == TOPICS_A_SLICE - 1:
            yield
    twice: set[tuple[str, int]] = set()
    for at, topic in enumerate(topics):
        seen = repeated.get(topic.name)
        if seen is None:
            seen = set()
        for asked in topic.partitions:
            if asked.partition_index in seen:
                twice.add((topic.name, asked.partition_index))
            seen.add(asked.partition_index)
        if at % TOPICS_A_SLICE == TOPICS_A_SLICE - 1:
            yield
    return twice


NOT_FOUND = FoundTimestamp(-1, -1, -1)


def find_offset(
    broker: Context, topic: str, asked: ListOffsetsPartition, request: ListOffsetsRequest
) -> FoundTimestamp:
    """One partition's answer. Raises its error."""
    version, timestamp = broker.api_version, asked.timestamp
    if timestamp < 0 and version < SINCE.get(timestamp, version + 1):
        raise UnsupportedVersion
    partition = broker.replicas.partition(topic, asked.partition_index)
    if request.replica_id == DEBUGGING_CONSUMER:
        partition.check_epoch(asked.current_leader_epoch)
    else:
        partition.check_leader(asked.current_leader_epoch)
    log = partition.log
    if timestamp in (EARLIEST, EARLIEST_LOCAL):
        return FoundTimestamp(-1, log.log_start_offset, log.epochs.epoch_at(log.log_start_offset))
    if timestamp in (LATEST_TIERED, EARLIEST_PENDING_UPLOAD):
        return NOT_FOUND
    if request.replica_id >= 0:
        end = log.log_end_offset
        if timestamp == LATEST:
            return FoundTimestamp(-1, end, partition.leader_epoch)
        return _found_by_time(partition, timestamp, end)
    is_committed_only = request.isolation_level == READ_COMMITTED
    if timestamp == LATEST:
        return FoundTimestamp(-1, _latest(partition, is_committed_only, version), partition.leader_epoch)
    end = partition.readable_end(is_follower=False, is_committed_only=is_committed_only)
    found = _found_by_time(partition, timestamp, end)
    if found.offset < 0:
        _latest(partition, is_committed_only, version)  # it may lie where we cannot look yet
    return found


def _found_by_time(partition: Partition, timestamp: int, end: int) -> FoundTimestamp:
    log = partition.log
    found = log.offset_of_max_timestamp() if timestamp == MAX_TIMESTAMP else log.offset_for_time(timestamp)
    return found if found is not None and found.offset < end else NOT_FOUND


def _latest(partition: Partition, is_committed_only: bool, version: int) -> int:
    try:
        return partition.latest_offset(is_committed_only=is_committed_only)
    except OffsetNotAvailable:
        if version < FIRST_WITH_OFFSET_NOT_AVAILABLE:
            raise LeaderNotAvailable from None
        raise


# ── OffsetForLeaderEpoch ──


@api(OffsetForLeaderEpochRequest, 2, 4)
def offset_for_leader_epoch(broker: Context, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse:
    """Say where leader epochs ended."""

    def told(topic: OffsetForLeaderTopic) -> OffsetForLeaderTopicResult:
        name = topic.topic
        answers = each(topic.partitions, lambda asked: _epoch_end(broker, name, asked))
        return OffsetForLeaderTopicResult(topic=name, partitions=answers)

    return OffsetForLeaderEpochResponse(topics=each(request.topics, told))


def _epoch_end(broker: Context, topic: str, asked: OffsetForLeaderPartition) -> EpochEndOffset:
    try:
        is_broker = broker.authorizer is None or broker.may(Operation.CLUSTER_ACTION, Resource.CLUSTER)
        if not is_broker and not broker.may(Operation.DESCRIBE, Resource.TOPIC, topic):
            raise TopicAuthorizationFailed
        partition = broker.replicas.partition(topic, asked.partition)
        partition.check_leader(asked.current_leader_epoch)
        epoch, end = partition.log.epoch_end(asked.leader_epoch)
        return EpochEndOffset(partition=asked.partition, leader_epoch=epoch, end_offset=end)
    except KafkaError as error:
        return EpochEndOffset(error_code=error.code, partition=asked.partition)


# ── DeleteRecords ──


@api(DeleteRecordsRequest, 0, 2)
def delete_records(broker: Context, request: DeleteRecordsRequest) -> Any:
    """Drop everything before given offsets."""
    return begun(_deleting(broker, request))


def _deleting(
    broker: Context, request: DeleteRecordsRequest
) -> Generator[None, None, DeleteRecordsResponse | Future[DeleteRecordsResponse]]:
    response = DeleteRecordsResponse(topics=[])
    is_changed = False
    for topic in taken(request.topics):
        answers: list[DeleteRecordsPartitionResult] = []
        response.topics.append(DeleteRecordsTopicResult(name=topic.name, partitions=answers))
        for asked in {one.partition_index: one for one in topic.partitions}.values():
            try:
                start = _delete(broker, topic.name, asked)
                is_changed = True
                answer = DeleteRecordsPartitionResult(partition_index=asked.partition_index, low_watermark=start)
            except KafkaError as error:
                answer = DeleteRecordsPartitionResult(
                    partition_index=asked.partition_index, low_watermark=-1, error_code=error.code
                )
            answers.append(answer)
            if len(answers) % PARTITIONS_A_SLICE == 0:
                yield
        if len(response.topics) % PARTITIONS_A_SLICE == 0:
            yield
    if not is_changed:
        return response
    # What was dropped must stay dropped: the new starts are on the medium before the answer leaves.
    done: Future[DeleteRecordsResponse] = broker.loop.create_future()
    broker.replicas.store.checkpoint_log_starts().add_done_callback(partial(_written, done, response))
    return done


def _written(done: Future[DeleteRecordsResponse], response: DeleteRecordsResponse, writing: Future[None]) -> None:
    if done.done():
        return
    error = writing.exception()
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(response)


def _delete(broker: Context, topic: str, asked: DeleteRecordsPartition) -> int:
    """Move one partition's log start; the low watermark after it."""
    if broker.authorizer and not broker.may(Operation.DELETE, Resource.TOPIC, topic):
        raise TopicAuthorizationFailed
    partition = broker.replicas.partition(topic, asked.partition_index)
    if topic in INTERNAL_TOPICS:
        raise InvalidTopicException
    partition.check_leader()
    log = partition.log
    if log.config.is_compacted and not log.config.is_retained:
        raise PolicyViolation(f"Records of partition {partition.name} can not be deleted due to the configured policy")
    offset = log.high_watermark if asked.offset == HIGH_WATERMARK else asked.offset
    if offset < 0:
        raise OffsetOutOfRange
    log.delete_before(offset)
    return log.log_start_offset
