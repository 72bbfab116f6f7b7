"""What rests in `__consumer_offsets` and `__transaction_state`.

key     i16 record type (`api_key`), then the fields of the key's version 0
value   i16 version, then the fields; no value at all deletes what the key names
"""

from __future__ import annotations

from protocol.kafka.schema import Record, Struct, Uuid, field, i8, i16, i32, i64


class LegacyOffsetCommitKey(Record, key=0, versions=(0, 0)):
    """Whose offset, in the first format."""

    group: str
    topic: str
    partition: i32


class LegacyOffsetCommitValue(Record, key=0, versions=(0, 0)):
    """The offset, in the first format."""

    offset: i64
    metadata: str
    commit_timestamp: i64


class OffsetCommitKey(Record, key=1, versions=(0, 0)):
    """Whose offset."""

    group: str
    topic: str
    partition: i32


class OffsetCommitValue(Record, key=1, versions=(0, 4), flexible=4):
    """How far a group has read a partition. v1 alone has an expiry; v4 knows the topic by id."""

    offset: i64
    leader_epoch: i32 = field(3, default=-1)  # since v3
    metadata: str
    commit_timestamp: i64
    expire_timestamp: i64 = field(1, 1, default=-1)  # v1 to v1
    topic_id: Uuid = field(4, tag=0)  # since v4


class GroupMetadataKey(Record, key=2, versions=(0, 0)):
    """Which classic group."""

    group: str


class MemberMetadata(Struct):
    member_id: str
    group_instance_id: str | None = field(3)  # since v3
    client_id: str
    client_host: str
    rebalance_timeout: i32 = field(1, default=-1)  # since v1
    session_timeout: i32
    subscription: bytes
    assignment: bytes


class GroupMetadataValue(Record, key=2, versions=(0, 4), flexible=4):
    """A classic group after a rebalance."""

    protocol_type: str
    generation: i32
    protocol: str | None
    leader: str | None
    current_state_timestamp: i64 = field(2, default=-1)  # since v2
    members: list[MemberMetadata]


class ConsumerGroupMetadataKey(Record, key=3, versions=(0, 0)):
    """Which consumer group (KIP-848)."""

    group_id: str


class ConsumerGroupMetadataValue(Record, key=3, versions=(0, 0), flexible=0):
    """Its epoch."""

    epoch: i32
    metadata_hash: i64 = field(tag=0)


class ConsumerGroupPartitionMetadataKey(Record, key=4, versions=(0, 0)):
    """Which consumer group; brokers since 4.1 only delete these."""

    group_id: str


class PartitionMetadata(Struct):
    partition: i32
    racks: list[str]


class TopicMetadata(Struct):
    topic_id: Uuid
    topic_name: str
    num_partitions: i32
    partition_metadata: list[PartitionMetadata]


class ConsumerGroupPartitionMetadataValue(Record, key=4, versions=(0, 0), flexible=0):
    """The topics it is subscribed to, as they were when last looked at."""

    topics: list[TopicMetadata]


class ConsumerGroupMemberMetadataKey(Record, key=5, versions=(0, 0)):
    """Which member of which consumer group."""

    group_id: str
    member_id: str


class ClassicProtocol(Struct):
    name: str
    metadata: bytes


class ClassicMemberMetadata(Struct):
    session_timeout_ms: i32
    supported_protocols: list[ClassicProtocol]


class ConsumerGroupMemberMetadataValue(Record, key=5, versions=(0, 0), flexible=0):
    """What that member said of itself."""

    instance_id: str | None
    rack_id: str | None
    client_id: str
    client_host: str
    subscribed_topic_names: list[str]
    subscribed_topic_regex: str | None
    rebalance_timeout_ms: i32 = -1
    server_assignor: str | None
    classic_member_metadata: ClassicMemberMetadata | None = field(nullable=0, tag=0)


class ConsumerGroupTargetAssignmentMetadataKey(Record, key=6, versions=(0, 0)):
    """Which consumer group."""

    group_id: str


class ConsumerGroupTargetAssignmentMetadataValue(Record, key=6, versions=(0, 0), flexible=0):
    """The epoch of what its members should have."""

    assignment_epoch: i32
    assignment_timestamp: i64 = field(tag=0)


class ConsumerGroupTargetAssignmentMemberKey(Record, key=7, versions=(0, 0)):
    """Which member of which consumer group."""

    group_id: str
    member_id: str


class ConsumerGroupTargetAssignmentMemberValueTopicPartition(Struct):
    topic_id: Uuid
    partitions: list[i32]


class ConsumerGroupTargetAssignmentMemberValue(Record, key=7, versions=(0, 0), flexible=0):
    """What that member should have."""

    topic_partitions: list[ConsumerGroupTargetAssignmentMemberValueTopicPartition]


class ConsumerGroupCurrentMemberAssignmentKey(Record, key=8, versions=(0, 0)):
    """Which member of which consumer group."""

    group_id: str
    member_id: str


class ConsumerGroupCurrentMemberAssignmentValueTopicPartitions(Struct):
    topic_id: Uuid
    partitions: list[i32]
    assignment_epochs: list[i32] | None = field(tag=0)


class ConsumerGroupCurrentMemberAssignmentValue(Record, key=8, versions=(0, 0), flexible=0):
    """What that member has, and gives back."""

    member_epoch: i32
    previous_member_epoch: i32
    state: i8
    assigned_partitions: list[ConsumerGroupCurrentMemberAssignmentValueTopicPartitions]
    partitions_pending_revocation: list[ConsumerGroupCurrentMemberAssignmentValueTopicPartitions]


class ConsumerGroupRegularExpressionKey(Record, key=16, versions=(0, 0)):
    """Which expression of which consumer group."""

    group_id: str
    regular_expression: str


class ConsumerGroupRegularExpressionValue(Record, key=16, versions=(0, 0), flexible=0):
    """The topics it stands for."""

    topics: list[str]
    version: i64
    timestamp: i64


class TransactionLogKey(Record, key=0, versions=(0, 0)):
    """Which transaction."""

    transactional_id: str


class PartitionsSchema(Struct):
    topic: str
    partition_ids: list[i32]


class TransactionLogValue(Record, key=0, versions=(0, 1), flexible=1):
    """How it stands."""

    producer_id: i64
    previous_producer_id: i64 = field(1, default=-1, tag=0)  # since v1
    next_producer_id: i64 = field(1, default=-1, tag=1)  # since v1
    producer_epoch: i16
    next_producer_epoch: i16 = field(1, default=-1, tag=3)  # since v1
    transaction_timeout_ms: i32
    transaction_status: i8
    transaction_partitions: list[PartitionsSchema] | None
    transaction_last_update_timestamp_ms: i64
    transaction_start_timestamp_ms: i64
    client_transaction_version: i16 = field(1, tag=2)  # since v1
