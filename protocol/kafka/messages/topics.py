"""Messages about topics and partitions: what exists, making more, making less."""

from __future__ import annotations

from protocol.kafka.schema import Request, Response, Struct, Uuid, field, i8, i16, i32


class MetadataResponseBroker(Struct):
    node_id: i32
    host: str
    port: i32
    rack: str | None = field(1)  # since v1


class MetadataResponsePartition(Struct):
    error_code: i16 = 0
    partition_index: i32
    leader_id: i32
    leader_epoch: i32 = field(7, default=-1)  # since v7
    replica_nodes: list[i32]
    isr_nodes: list[i32]
    offline_replicas: list[i32] = field(5)  # since v5


class MetadataResponseTopic(Struct):
    error_code: i16 = 0
    name: str | None = field(default="", nullable=12)
    topic_id: Uuid = field(10)  # since v10
    is_internal: bool = field(1)  # since v1
    partitions: list[MetadataResponsePartition]
    topic_authorized_operations: i32 = field(8, default=-2147483648)  # since v8


class MetadataResponse(Response, versions=(0, 13), flexible=9):
    throttle_time_ms: i32 = field(3)  # since v3
    brokers: list[MetadataResponseBroker] = field()
    cluster_id: str | None = field(2)  # since v2
    controller_id: i32 = field(1, default=-1)  # since v1
    topics: list[MetadataResponseTopic] = field()
    cluster_authorized_operations: i32 = field(8, 10, default=-2147483648)  # v8 to v10
    error_code: i16 = field(13)  # since v13


class MetadataRequestTopic(Struct):
    topic_id: Uuid = field(10)  # since v10
    name: str | None = field(default="", nullable=10)


class MetadataRequest(Request, key=3, versions=(0, 13), flexible=9, reply=MetadataResponse):
    """Who are the brokers, and who leads the partitions of these topics? null asks for all topics."""

    topics: list[MetadataRequestTopic] | None = field(default=[], nullable=1)
    allow_auto_topic_creation: bool = field(4, default=True)  # since v4
    include_cluster_authorized_operations: bool = field(8, 10)  # v8 to v10
    include_topic_authorized_operations: bool = field(8)  # since v8


class CreatableTopicConfigs(Struct):
    name: str
    value: str | None
    read_only: bool
    config_source: i8 = -1
    is_sensitive: bool


class CreatableTopicResult(Struct):
    name: str
    topic_id: Uuid = field(7)  # since v7
    error_code: i16 = 0
    error_message: str | None = None
    topic_config_error_code: i16 = field(5, tag=0)  # since v5
    num_partitions: i32 = field(5, default=-1)  # since v5
    replication_factor: i16 = field(5, default=-1)  # since v5
    configs: list[CreatableTopicConfigs] | None = field(5, default=[])  # since v5


class CreateTopicsResponse(Response, versions=(2, 7), flexible=5):
    throttle_time_ms: i32 = 0
    topics: list[CreatableTopicResult] = field()


class CreatableReplicaAssignment(Struct):
    partition_index: i32
    broker_ids: list[i32]


class CreatableTopicConfig(Struct):
    name: str
    value: str | None


class CreatableTopic(Struct):
    name: str
    num_partitions: i32
    replication_factor: i16
    assignments: list[CreatableReplicaAssignment]
    configs: list[CreatableTopicConfig]


class CreateTopicsRequest(Request, key=19, versions=(2, 7), flexible=5, reply=CreateTopicsResponse):
    """Make topics, by counts or by an explicit placement."""

    topics: list[CreatableTopic]
    timeout_ms: i32 = 60000
    validate_only: bool = False


class DeletableTopicResult(Struct):
    name: str | None = field(default="", nullable=6)
    topic_id: Uuid = field(6)  # since v6
    error_code: i16 = 0
    error_message: str | None = field(5)  # since v5


class DeleteTopicsResponse(Response, versions=(1, 6), flexible=4):
    throttle_time_ms: i32 = 0
    responses: list[DeletableTopicResult] = field()


class DeleteTopicState(Struct):
    name: str | None = None
    topic_id: Uuid


class DeleteTopicsRequest(Request, key=20, versions=(1, 6), flexible=4, reply=DeleteTopicsResponse):
    """Remove topics, by name or since v6 by id."""

    topics: list[DeleteTopicState] = field(6)  # since v6
    topic_names: list[str] = field(0, 5)  # until v5
    timeout_ms: i32


class CreatePartitionsTopicResult(Struct):
    name: str
    error_code: i16 = 0
    error_message: str | None = None


class CreatePartitionsResponse(Response, versions=(0, 3), flexible=2):
    throttle_time_ms: i32 = 0
    results: list[CreatePartitionsTopicResult] = field()


class CreatePartitionsAssignment(Struct):
    broker_ids: list[i32]


class CreatePartitionsTopic(Struct):
    name: str
    count: i32
    assignments: list[CreatePartitionsAssignment] | None


class CreatePartitionsRequest(Request, key=37, versions=(0, 3), flexible=2, reply=CreatePartitionsResponse):
    """Give topics more partitions."""

    topics: list[CreatePartitionsTopic]
    timeout_ms: i32
    validate_only: bool


class DescribeTopicPartitionsResponsePartition(Struct):
    error_code: i16 = 0
    partition_index: i32
    leader_id: i32
    leader_epoch: i32 = -1
    replica_nodes: list[i32]
    isr_nodes: list[i32]
    eligible_leader_replicas: list[i32] | None = None
    last_known_elr: list[i32] | None = None
    offline_replicas: list[i32]


class DescribeTopicPartitionsResponseTopic(Struct):
    error_code: i16 = 0
    name: str | None
    topic_id: Uuid
    is_internal: bool = False
    partitions: list[DescribeTopicPartitionsResponsePartition]
    topic_authorized_operations: i32 = -2147483648


class Cursor(Struct):
    topic_name: str
    partition_index: i32


class DescribeTopicPartitionsResponse(Response, versions=(0, 0), flexible=0):
    throttle_time_ms: i32 = 0
    topics: list[DescribeTopicPartitionsResponseTopic] = field()
    next_cursor: Cursor | None = None


class DescribeTopicPartitionsTopicRequest(Struct):
    name: str


class DescribeTopicPartitionsRequest(
    Request, key=75, versions=(0, 0), flexible=0, reply=DescribeTopicPartitionsResponse
):
    """Metadata of topics in pages, with their eligible leaders (KIP-966)."""

    topics: list[DescribeTopicPartitionsTopicRequest]
    response_partition_limit: i32 = 2000
    cursor: Cursor | None = None
