"""Messages that move records and tell where they lie: produce, fetch, offsets, epochs."""

from __future__ import annotations

from protocol.kafka.schema import Records, Request, Response, Struct, Uuid, field, i8, i16, i32, i64


class BatchIndexAndErrorMessage(Struct):
    batch_index: i32
    batch_index_error_message: str | None = None


class LeaderIdAndEpoch(Struct):
    leader_id: i32 = -1
    leader_epoch: i32 = -1


class PartitionProduceResponse(Struct):
    index: i32
    error_code: i16 = 0
    base_offset: i64
    log_append_time_ms: i64 = -1
    log_start_offset: i64 = field(5, default=-1)  # since v5
    record_errors: list[BatchIndexAndErrorMessage] = field(8)  # since v8
    error_message: str | None = field(8)  # since v8
    current_leader: LeaderIdAndEpoch | None = field(10, tag=0)  # since v10


class TopicProduceResponse(Struct):
    name: str = field(0, 12)  # until v12
    topic_id: Uuid = field(13)  # since v13
    partition_responses: list[PartitionProduceResponse]


class NodeEndpoint(Struct):
    node_id: i32
    host: str
    port: i32
    rack: str | None = None


class ProduceResponse(Response, versions=(3, 13), flexible=9):
    responses: list[TopicProduceResponse] = field()
    throttle_time_ms: i32 = 0
    node_endpoints: list[NodeEndpoint] = field(10, tag=0)  # since v10


class PartitionProduceData(Struct):
    index: i32
    records: Records | None


class TopicProduceData(Struct):
    name: str = field(0, 12)  # until v12
    topic_id: Uuid = field(13)  # since v13
    partition_data: list[PartitionProduceData]


class ProduceRequest(Request, key=0, versions=(3, 13), flexible=9, reply=ProduceResponse):
    """Append these batches (KIP-98 format; acks 0, 1 or -1 for all in sync)."""

    transactional_id: str | None = None
    acks: i16
    timeout_ms: i32
    topic_data: list[TopicProduceData]


class DivergingEpoch(Struct):
    epoch: i32 = -1
    end_offset: i64 = -1


class SnapshotId(Struct):
    end_offset: i64 = -1
    epoch: i32 = -1


class AbortedTransaction(Struct):
    producer_id: i64
    first_offset: i64


class FetchPartitionData(Struct):
    partition_index: i32
    error_code: i16 = 0
    high_watermark: i64
    last_stable_offset: i64 = -1
    log_start_offset: i64 = field(5, default=-1)  # since v5
    diverging_epoch: DivergingEpoch | None = field(12, tag=0)  # since v12
    current_leader: LeaderIdAndEpoch | None = field(12, tag=1)  # since v12
    snapshot_id: SnapshotId | None = field(12, tag=2)  # since v12
    aborted_transactions: list[AbortedTransaction] | None
    preferred_read_replica: i32 = field(11, default=-1)  # since v11
    records: Records | None


class FetchableTopicResponse(Struct):
    topic: str = field(0, 12)  # until v12
    topic_id: Uuid = field(13)  # since v13
    partitions: list[FetchPartitionData]


class FetchResponse(Response, versions=(4, 18), flexible=12):
    throttle_time_ms: i32 = 0
    error_code: i16 = field(7)  # since v7
    session_id: i32 = field(7)  # since v7
    responses: list[FetchableTopicResponse] = field()
    node_endpoints: list[NodeEndpoint] = field(16, tag=0)  # since v16


class FetchReplicaState(Struct):
    replica_id: i32 = -1
    replica_epoch: i64 = -1


class FetchPartition(Struct):
    partition: i32
    current_leader_epoch: i32 = field(9, default=-1)  # since v9
    fetch_offset: i64
    last_fetched_epoch: i32 = field(12, default=-1)  # since v12
    log_start_offset: i64 = field(5, default=-1)  # since v5
    partition_max_bytes: i32
    replica_directory_id: Uuid = field(17, tag=0)  # since v17
    high_watermark: i64 = field(18, default=9223372036854775807, tag=1)  # since v18


class FetchTopic(Struct):
    topic: str = field(0, 12)  # until v12
    topic_id: Uuid = field(13)  # since v13
    partitions: list[FetchPartition]


class ForgottenTopic(Struct):
    topic: str = field(0, 12)  # until v12
    topic_id: Uuid = field(13)  # since v13
    partitions: list[i32]


class FetchRequest(Request, key=1, versions=(4, 18), flexible=12, reply=FetchResponse):
    """Give me batches from these offsets on, or wait until there are some. Also how followers replicate."""

    cluster_id: str | None = field(12, tag=0)  # since v12
    replica_id: i32 = field(0, 14, default=-1)  # until v14
    replica_state: FetchReplicaState | None = field(15, tag=1)  # since v15
    max_wait_ms: i32
    min_bytes: i32
    max_bytes: i32 = 2147483647
    isolation_level: i8 = 0
    session_id: i32 = field(7)  # since v7
    session_epoch: i32 = field(7, default=-1)  # since v7
    topics: list[FetchTopic]
    forgotten_topics_data: list[ForgottenTopic] = field(7)  # since v7
    rack_id: str = field(11)  # since v11


class ListOffsetsPartitionResponse(Struct):
    partition_index: i32
    error_code: i16 = 0
    timestamp: i64 = -1
    offset: i64 = -1
    leader_epoch: i32 = field(4, default=-1)  # since v4


class ListOffsetsTopicResponse(Struct):
    name: str
    partitions: list[ListOffsetsPartitionResponse]


class ListOffsetsResponse(Response, versions=(1, 11), flexible=6):
    throttle_time_ms: i32 = field(2)  # since v2
    topics: list[ListOffsetsTopicResponse] = field()


class ListOffsetsPartition(Struct):
    partition_index: i32
    current_leader_epoch: i32 = field(4, default=-1)  # since v4
    timestamp: i64


class ListOffsetsTopic(Struct):
    name: str
    partitions: list[ListOffsetsPartition]


class ListOffsetsRequest(Request, key=2, versions=(1, 11), flexible=6, reply=ListOffsetsResponse):
    """Which offset belongs to a time, or to an end of the log (the negative times)?"""

    replica_id: i32
    isolation_level: i8 = field(2)  # since v2
    topics: list[ListOffsetsTopic]
    timeout_ms: i32 = field(10)  # since v10


class EpochEndOffset(Struct):
    error_code: i16 = 0
    partition: i32
    leader_epoch: i32 = -1
    end_offset: i64 = -1


class OffsetForLeaderTopicResult(Struct):
    topic: str
    partitions: list[EpochEndOffset]


class OffsetForLeaderEpochResponse(Response, versions=(2, 4), flexible=4):
    throttle_time_ms: i32 = 0
    topics: list[OffsetForLeaderTopicResult] = field()


class OffsetForLeaderPartition(Struct):
    partition: i32
    current_leader_epoch: i32 = -1
    leader_epoch: i32


class OffsetForLeaderTopic(Struct):
    topic: str
    partitions: list[OffsetForLeaderPartition]


class OffsetForLeaderEpochRequest(Request, key=23, versions=(2, 4), flexible=4, reply=OffsetForLeaderEpochResponse):
    """Where did that leader epoch end in your log (KIP-320)?"""

    replica_id: i32 = field(3, default=-2)  # since v3
    topics: list[OffsetForLeaderTopic]


class DeleteRecordsPartitionResult(Struct):
    partition_index: i32
    low_watermark: i64
    error_code: i16 = 0


class DeleteRecordsTopicResult(Struct):
    name: str
    partitions: list[DeleteRecordsPartitionResult]


class DeleteRecordsResponse(Response, versions=(0, 2), flexible=2):
    throttle_time_ms: i32 = 0
    topics: list[DeleteRecordsTopicResult] = field()


class DeleteRecordsPartition(Struct):
    partition_index: i32
    offset: i64


class DeleteRecordsTopic(Struct):
    name: str
    partitions: list[DeleteRecordsPartition]


class DeleteRecordsRequest(Request, key=21, versions=(0, 2), flexible=2, reply=DeleteRecordsResponse):
    """Drop everything before these offsets (KIP-107)."""

    topics: list[DeleteRecordsTopic]
    timeout_ms: i32
