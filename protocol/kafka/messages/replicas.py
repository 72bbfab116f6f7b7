"""Messages about replicas: who leads, who is in sync, where they lie on disk, moving them."""

from __future__ import annotations

from protocol.kafka.schema import Request, Response, Struct, Uuid, field, i8, i16, i32, i64


class ElectLeadersPartitionResult(Struct):
    partition_id: i32
    error_code: i16 = 0
    error_message: str | None = None


class ReplicaElectionResult(Struct):
    topic: str
    partition_result: list[ElectLeadersPartitionResult]


class ElectLeadersResponse(Response, versions=(0, 2), flexible=2):
    throttle_time_ms: i32 = 0
    error_code: i16 = field(1)  # since v1
    replica_election_results: list[ReplicaElectionResult] = field()


class ElectLeadersTopicPartitions(Struct):
    topic: str
    partitions: list[i32]


class ElectLeadersRequest(Request, key=43, versions=(0, 2), flexible=2, reply=ElectLeadersResponse):
    """Hold an election for these partitions, preferred or unclean. null asks for all."""

    election_type: i8 = field(1)  # since v1
    topic_partitions: list[ElectLeadersTopicPartitions] | None
    timeout_ms: i32 = 60000


class ReassignablePartitionResponse(Struct):
    partition_index: i32
    error_code: i16 = 0
    error_message: str | None = None


class ReassignableTopicResponse(Struct):
    name: str
    partitions: list[ReassignablePartitionResponse]


class AlterPartitionReassignmentsResponse(Response, versions=(0, 1), flexible=0):
    throttle_time_ms: i32 = 0
    allow_replication_factor_change: bool = field(1, default=True)  # since v1
    error_code: i16 = 0
    error_message: str | None = None
    responses: list[ReassignableTopicResponse] = field()


class ReassignablePartition(Struct):
    partition_index: i32
    replicas: list[i32] | None = None


class ReassignableTopic(Struct):
    name: str
    partitions: list[ReassignablePartition]


class AlterPartitionReassignmentsRequest(
    Request, key=45, versions=(0, 1), flexible=0, reply=AlterPartitionReassignmentsResponse
):
    """Move partitions to these brokers (KIP-455)."""

    timeout_ms: i32 = 60000
    allow_replication_factor_change: bool = field(1, default=True)  # since v1
    topics: list[ReassignableTopic]


class OngoingPartitionReassignment(Struct):
    partition_index: i32
    replicas: list[i32]
    adding_replicas: list[i32]
    removing_replicas: list[i32]


class OngoingTopicReassignment(Struct):
    name: str
    partitions: list[OngoingPartitionReassignment]


class ListPartitionReassignmentsResponse(Response, versions=(0, 0), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    error_message: str | None = None
    topics: list[OngoingTopicReassignment] = field()


class ListPartitionReassignmentsTopics(Struct):
    name: str
    partition_indexes: list[i32]


class ListPartitionReassignmentsRequest(
    Request, key=46, versions=(0, 0), flexible=0, reply=ListPartitionReassignmentsResponse
):
    """What is being moved (KIP-455)?"""

    timeout_ms: i32 = 60000
    topics: list[ListPartitionReassignmentsTopics] | None = None


class AlterPartitionResponsePartitionData(Struct):
    partition_index: i32
    error_code: i16 = 0
    leader_id: i32
    leader_epoch: i32
    isr: list[i32]
    leader_recovery_state: i8 = 0
    partition_epoch: i32


class AlterPartitionResponseTopicData(Struct):
    topic_id: Uuid
    partitions: list[AlterPartitionResponsePartitionData]


class AlterPartitionResponse(Response, versions=(2, 3), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    topics: list[AlterPartitionResponseTopicData] = field()


class BrokerState(Struct):
    broker_id: i32
    broker_epoch: i64 = -1


class AlterPartitionRequestPartitionData(Struct):
    partition_index: i32
    leader_epoch: i32
    new_isr: list[i32] = field(0, 2)  # until v2
    new_isr_with_epochs: list[BrokerState] = field(3)  # since v3
    leader_recovery_state: i8 = 0
    partition_epoch: i32


class AlterPartitionRequestTopicData(Struct):
    topic_id: Uuid
    partitions: list[AlterPartitionRequestPartitionData]


class AlterPartitionRequest(Request, key=56, versions=(2, 3), flexible=0, reply=AlterPartitionResponse):
    """A leader tells the controller of a new in-sync set."""

    broker_id: i32
    broker_epoch: i64 = -1
    topics: list[AlterPartitionRequestTopicData]


class AlterReplicaLogDirPartitionResult(Struct):
    partition_index: i32
    error_code: i16 = 0


class AlterReplicaLogDirTopicResult(Struct):
    topic_name: str
    partitions: list[AlterReplicaLogDirPartitionResult]


class AlterReplicaLogDirsResponse(Response, versions=(1, 2), flexible=2):
    throttle_time_ms: i32 = 0
    results: list[AlterReplicaLogDirTopicResult] = field()


class AlterReplicaLogDirTopic(Struct):
    name: str
    partitions: list[i32]


class AlterReplicaLogDir(Struct):
    path: str
    topics: list[AlterReplicaLogDirTopic]


class AlterReplicaLogDirsRequest(Request, key=34, versions=(1, 2), flexible=2, reply=AlterReplicaLogDirsResponse):
    """Move replicas to another disk of the same broker (KIP-113)."""

    dirs: list[AlterReplicaLogDir]


class DescribeLogDirsPartition(Struct):
    partition_index: i32
    partition_size: i64
    offset_lag: i64
    is_future_key: bool


class DescribeLogDirsTopic(Struct):
    name: str
    partitions: list[DescribeLogDirsPartition]


class DescribeLogDirsResult(Struct):
    error_code: i16 = 0
    log_dir: str
    topics: list[DescribeLogDirsTopic]
    total_bytes: i64 = field(4, default=-1)  # since v4
    usable_bytes: i64 = field(4, default=-1)  # since v4
    is_cordoned: bool = field(5)  # since v5


class DescribeLogDirsResponse(Response, versions=(1, 5), flexible=2):
    throttle_time_ms: i32 = 0
    error_code: i16 = field(3)  # since v3
    results: list[DescribeLogDirsResult] = field()


class DescribableLogDirTopic(Struct):
    topic: str
    partitions: list[i32]


class DescribeLogDirsRequest(Request, key=35, versions=(1, 5), flexible=2, reply=DescribeLogDirsResponse):
    """What lies on the disks of this broker, and how large is it (KIP-113)?"""

    topics: list[DescribableLogDirTopic] | None


class AssignReplicasToDirsResponsePartitionData(Struct):
    partition_index: i32
    error_code: i16 = 0


class AssignReplicasToDirsResponseTopicData(Struct):
    topic_id: Uuid
    partitions: list[AssignReplicasToDirsResponsePartitionData]


class AssignReplicasToDirsResponseDirectoryData(Struct):
    id: Uuid
    topics: list[AssignReplicasToDirsResponseTopicData]


class AssignReplicasToDirsResponse(Response, versions=(0, 0), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    directories: list[AssignReplicasToDirsResponseDirectoryData] = field()


class AssignReplicasToDirsRequestPartitionData(Struct):
    partition_index: i32


class AssignReplicasToDirsRequestTopicData(Struct):
    topic_id: Uuid
    partitions: list[AssignReplicasToDirsRequestPartitionData]


class AssignReplicasToDirsRequestDirectoryData(Struct):
    id: Uuid
    topics: list[AssignReplicasToDirsRequestTopicData]


class AssignReplicasToDirsRequest(Request, key=73, versions=(0, 0), flexible=0, reply=AssignReplicasToDirsResponse):
    """A broker tells the controller on which disks its replicas lie (KIP-858)."""

    broker_id: i32
    broker_epoch: i64 = -1
    directories: list[AssignReplicasToDirsRequestDirectoryData]
