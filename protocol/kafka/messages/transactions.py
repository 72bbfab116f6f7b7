"""Messages of producer ids and transactions: what producers, groups and transaction coordinators tell each other."""

from __future__ import annotations

from protocol.kafka.schema import Message, Request, Response, Struct, field, i8, i16, i32, i64


class InitProducerIdResponse(Response, versions=(0, 5), flexible=2):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    producer_id: i64 = -1
    producer_epoch: i16 = 0


class InitProducerIdRequest(Request, key=22, versions=(0, 5), flexible=2, reply=InitProducerIdResponse):
    """Give me an id to number my batches with, and fence whoever had my transactional id (KIP-98)."""

    transactional_id: str | None
    transaction_timeout_ms: i32
    producer_id: i64 = field(3, default=-1)  # since v3
    producer_epoch: i16 = field(3, default=-1)  # since v3


class AddPartitionsToTxnPartitionResult(Struct):
    partition_index: i32
    partition_error_code: i16


class AddPartitionsToTxnTopicResult(Struct):
    name: str
    results_by_partition: list[AddPartitionsToTxnPartitionResult]


class AddPartitionsToTxnResult(Struct):
    transactional_id: str
    topic_results: list[AddPartitionsToTxnTopicResult]


class AddPartitionsToTxnResponse(Response, versions=(0, 5), flexible=3):
    throttle_time_ms: i32 = 0
    error_code: i16 = field(4)  # since v4
    results_by_transaction: list[AddPartitionsToTxnResult] = field(4)  # since v4
    results_by_topic_v3_and_below: list[AddPartitionsToTxnTopicResult] = field(0, 3)  # until v3


class AddPartitionsToTxnTopic(Struct):
    name: str
    partitions: list[i32]


class AddPartitionsToTxnTransaction(Struct):
    transactional_id: str
    producer_id: i64
    producer_epoch: i16
    verify_only: bool = False
    topics: list[AddPartitionsToTxnTopic]


class AddPartitionsToTxnRequest(Request, key=24, versions=(0, 5), flexible=3, reply=AddPartitionsToTxnResponse):
    """My transaction will write to these partitions. Since v4 brokers ask for several at once."""

    transactions: list[AddPartitionsToTxnTransaction] = field(4)  # since v4
    v3_and_below_transactional_id: str = field(0, 3)  # until v3
    v3_and_below_producer_id: i64 = field(0, 3)  # until v3
    v3_and_below_producer_epoch: i16 = field(0, 3)  # until v3
    v3_and_below_topics: list[AddPartitionsToTxnTopic] = field(0, 3)  # until v3


class AddOffsetsToTxnResponse(Response, versions=(0, 4), flexible=3):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0


class AddOffsetsToTxnRequest(Request, key=25, versions=(0, 4), flexible=3, reply=AddOffsetsToTxnResponse):
    """My transaction will commit this group's offsets."""

    transactional_id: str
    producer_id: i64
    producer_epoch: i16
    group_id: str


class EndTxnResponse(Response, versions=(0, 5), flexible=3):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    producer_id: i64 = field(5, default=-1)  # since v5
    producer_epoch: i16 = field(5, default=-1)  # since v5


class EndTxnRequest(Request, key=26, versions=(0, 5), flexible=3, reply=EndTxnResponse):
    """Commit or abort."""

    transactional_id: str
    producer_id: i64
    producer_epoch: i16
    committed: bool


class WritableTxnMarkerPartitionResult(Struct):
    partition_index: i32
    error_code: i16 = 0


class WritableTxnMarkerTopicResult(Struct):
    name: str
    partitions: list[WritableTxnMarkerPartitionResult]


class WritableTxnMarkerResult(Struct):
    producer_id: i64
    topics: list[WritableTxnMarkerTopicResult]


class WriteTxnMarkersResponse(Response, versions=(1, 2), flexible=1):
    markers: list[WritableTxnMarkerResult] = field()


class WritableTxnMarkerTopic(Struct):
    name: str
    partition_indexes: list[i32]


class WritableTxnMarker(Struct):
    producer_id: i64
    producer_epoch: i16
    transaction_result: bool
    topics: list[WritableTxnMarkerTopic]
    coordinator_epoch: i32
    transaction_version: i8 = field(2)  # since v2


class WriteTxnMarkersRequest(Request, key=27, versions=(1, 2), flexible=1, reply=WriteTxnMarkersResponse):
    """Put these verdicts into the logs of these partitions (among brokers)."""

    markers: list[WritableTxnMarker]


class TxnOffsetCommitResponsePartition(Struct):
    partition_index: i32
    error_code: i16 = 0


class TxnOffsetCommitResponseTopic(Struct):
    name: str
    partitions: list[TxnOffsetCommitResponsePartition]


class TxnOffsetCommitResponse(Response, versions=(0, 5), flexible=3):
    throttle_time_ms: i32 = 0
    topics: list[TxnOffsetCommitResponseTopic] = field()


class TxnOffsetCommitRequestPartition(Struct):
    partition_index: i32
    committed_offset: i64
    committed_leader_epoch: i32 = field(2, default=-1)  # since v2
    committed_metadata: str | None


class TxnOffsetCommitRequestTopic(Struct):
    name: str
    partitions: list[TxnOffsetCommitRequestPartition]


class TxnOffsetCommitRequest(Request, key=28, versions=(0, 5), flexible=3, reply=TxnOffsetCommitResponse):
    """Remember how far this group has read, should the transaction commit."""

    transactional_id: str
    group_id: str
    producer_id: i64
    producer_epoch: i16
    generation_id: i32 = field(3, default=-1)  # since v3
    member_id: str = field(3)  # since v3
    group_instance_id: str | None = field(3)  # since v3
    topics: list[TxnOffsetCommitRequestTopic]


class ProducerState(Struct):
    producer_id: i64
    producer_epoch: i32
    last_sequence: i32 = -1
    last_timestamp: i64 = -1
    coordinator_epoch: i32
    current_txn_start_offset: i64 = -1


class PartitionResponse(Struct):
    partition_index: i32
    error_code: i16 = 0
    error_message: str | None = None
    active_producers: list[ProducerState]


class TopicResponse(Struct):
    name: str
    partitions: list[PartitionResponse]


class DescribeProducersResponse(Response, versions=(0, 0), flexible=0):
    throttle_time_ms: i32 = 0
    topics: list[TopicResponse] = field()


class DescribeProducersTopicRequest(Struct):
    name: str
    partition_indexes: list[i32]


class DescribeProducersRequest(Request, key=61, versions=(0, 0), flexible=0, reply=DescribeProducersResponse):
    """Which producers are writing to these partitions (KIP-664)?"""

    topics: list[DescribeProducersTopicRequest]


class DescribeTransactionsTopicData(Struct):
    topic: str
    partitions: list[i32]


class DescribeTransactionsTransactionState(Struct):
    error_code: i16 = 0
    transactional_id: str
    transaction_state: str
    transaction_timeout_ms: i32
    transaction_start_time_ms: i64
    producer_id: i64
    producer_epoch: i16
    topics: list[DescribeTransactionsTopicData]


class DescribeTransactionsResponse(Response, versions=(0, 0), flexible=0):
    throttle_time_ms: i32 = 0
    transaction_states: list[DescribeTransactionsTransactionState] = field()


class DescribeTransactionsRequest(Request, key=65, versions=(0, 0), flexible=0, reply=DescribeTransactionsResponse):
    """How do these transactions stand (KIP-664)?"""

    transactional_ids: list[str]


class ListTransactionsTransactionState(Struct):
    transactional_id: str
    producer_id: i64
    transaction_state: str


class ListTransactionsResponse(Response, versions=(0, 2), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    unknown_state_filters: list[str] = field()
    transaction_states: list[ListTransactionsTransactionState] = field()


class ListTransactionsRequest(Request, key=66, versions=(0, 2), flexible=0, reply=ListTransactionsResponse):
    """Which transactions does this broker know (KIP-664)?"""

    state_filters: list[str]
    producer_id_filters: list[i64]
    duration_filter: i64 = field(1, default=-1)  # since v1
    transactional_id_pattern: str | None = field(2)  # since v2


class EndTxnMarker(Message, versions=(0, 0)):
    """Value of the control record that ends a transaction; whether it commits is in the key."""

    coordinator_epoch: i32
