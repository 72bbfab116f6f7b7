"""Messages of the classic group protocol and of committed offsets, and what consumers put into them.

Consumers exchange `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment` through the broker, each behind an
i16 with its version; the broker looks into the former only to know what a group is subscribed to.
"""

from __future__ import annotations

from protocol.kafka.schema import Message, Request, Response, Struct, Uuid, field, i8, i16, i32, i64


class Coordinator(Struct):
    key: str
    node_id: i32
    host: str
    port: i32
    error_code: i16 = 0
    error_message: str | None = None


class FindCoordinatorResponse(Response, versions=(0, 6), flexible=3):
    throttle_time_ms: i32 = field(1)  # since v1
    error_code: i16 = field(0, 3)  # until v3
    error_message: str | None = field(1, 3)  # v1 to v3
    node_id: i32 = field(0, 3)  # until v3
    host: str = field(0, 3)  # until v3
    port: i32 = field(0, 3)  # until v3
    coordinators: list[Coordinator] = field(4)  # since v4


class FindCoordinatorRequest(Request, key=10, versions=(0, 6), flexible=3, reply=FindCoordinatorResponse):
    """Which broker looks after this group, transaction or share state?"""

    key: str = field(0, 3)  # until v3
    key_type: i8 = field(1)  # since v1
    coordinator_keys: list[str] = field(4)  # since v4


class JoinGroupResponseMember(Struct):
    member_id: str
    group_instance_id: str | None = field(5)  # since v5
    metadata: bytes


class JoinGroupResponse(Response, versions=(0, 9), flexible=6):
    throttle_time_ms: i32 = field(2)  # since v2
    error_code: i16 = 0
    generation_id: i32 = -1
    protocol_type: str | None = field(7)  # since v7
    protocol_name: str | None = field(default="", nullable=7)
    leader: str = ""
    skip_assignment: bool = field(9)  # since v9
    member_id: str = ""
    members: list[JoinGroupResponseMember] = field()


class JoinGroupRequestProtocol(Struct):
    name: str
    metadata: bytes


class JoinGroupRequest(Request, key=11, versions=(0, 9), flexible=6, reply=JoinGroupResponse):
    """Let me into the group, and tell me when everybody is in."""

    group_id: str
    session_timeout_ms: i32
    rebalance_timeout_ms: i32 = field(1, default=-1)  # since v1
    member_id: str
    group_instance_id: str | None = field(5)  # since v5
    protocol_type: str
    protocols: list[JoinGroupRequestProtocol]
    reason: str | None = field(8)  # since v8


class SyncGroupResponse(Response, versions=(0, 5), flexible=4):
    throttle_time_ms: i32 = field(1)  # since v1
    error_code: i16 = 0
    protocol_type: str | None = field(5)  # since v5
    protocol_name: str | None = field(5)  # since v5
    assignment: bytes = b""


class SyncGroupRequestAssignment(Struct):
    member_id: str
    assignment: bytes


class SyncGroupRequest(Request, key=14, versions=(0, 5), flexible=4, reply=SyncGroupResponse):
    """Here is what everybody gets (the leader) – what do I get?"""

    group_id: str
    generation_id: i32
    member_id: str
    group_instance_id: str | None = field(3)  # since v3
    protocol_type: str | None = field(5)  # since v5
    protocol_name: str | None = field(5)  # since v5
    assignments: list[SyncGroupRequestAssignment]


class HeartbeatResponse(Response, versions=(0, 4), flexible=4):
    throttle_time_ms: i32 = field(1)  # since v1
    error_code: i16 = 0


class HeartbeatRequest(Request, key=12, versions=(0, 4), flexible=4, reply=HeartbeatResponse):
    """I am still here; am I still in?"""

    group_id: str
    generation_id: i32
    member_id: str
    group_instance_id: str | None = field(3)  # since v3


class MemberResponse(Struct):
    member_id: str
    group_instance_id: str | None
    error_code: i16 = 0


class LeaveGroupResponse(Response, versions=(0, 5), flexible=4):
    throttle_time_ms: i32 = field(1)  # since v1
    error_code: i16 = 0
    members: list[MemberResponse] = field(3)  # since v3


class MemberIdentity(Struct):
    member_id: str
    group_instance_id: str | None = None
    reason: str | None = field(5)  # since v5


class LeaveGroupRequest(Request, key=13, versions=(0, 5), flexible=4, reply=LeaveGroupResponse):
    """These members go."""

    group_id: str
    member_id: str = field(0, 2)  # until v2
    members: list[MemberIdentity] = field(3)  # since v3


class OffsetCommitResponsePartition(Struct):
    partition_index: i32
    error_code: i16 = 0


class OffsetCommitResponseTopic(Struct):
    name: str = field(0, 9)  # until v9
    topic_id: Uuid = field(10)  # since v10
    partitions: list[OffsetCommitResponsePartition]


class OffsetCommitResponse(Response, versions=(2, 10), flexible=8):
    throttle_time_ms: i32 = field(3)  # since v3
    topics: list[OffsetCommitResponseTopic] = field()


class OffsetCommitRequestPartition(Struct):
    partition_index: i32
    committed_offset: i64
    committed_leader_epoch: i32 = field(6, default=-1)  # since v6
    committed_metadata: str | None


class OffsetCommitRequestTopic(Struct):
    name: str = field(0, 9)  # until v9
    topic_id: Uuid = field(10)  # since v10
    partitions: list[OffsetCommitRequestPartition]


class OffsetCommitRequest(Request, key=8, versions=(2, 10), flexible=8, reply=OffsetCommitResponse):
    """Remember how far this group has read."""

    group_id: str
    generation_id_or_member_epoch: i32 = -1
    member_id: str
    group_instance_id: str | None = field(7)  # since v7
    retention_time_ms: i64 = field(0, 4, default=-1)  # until v4
    topics: list[OffsetCommitRequestTopic]


class OffsetFetchResponsePartition(Struct):
    partition_index: i32
    committed_offset: i64
    committed_leader_epoch: i32 = field(5, default=-1)  # since v5
    metadata: str | None
    error_code: i16 = 0


class OffsetFetchResponseTopic(Struct):
    name: str
    partitions: list[OffsetFetchResponsePartition]


class OffsetFetchResponsePartitions(Struct):
    partition_index: i32
    committed_offset: i64
    committed_leader_epoch: i32 = -1
    metadata: str | None
    error_code: i16 = 0


class OffsetFetchResponseTopics(Struct):
    name: str = field(0, 9)  # until v9
    topic_id: Uuid = field(10)  # since v10
    partitions: list[OffsetFetchResponsePartitions]


class OffsetFetchResponseGroup(Struct):
    group_id: str
    topics: list[OffsetFetchResponseTopics]
    error_code: i16 = 0


class OffsetFetchResponse(Response, versions=(1, 10), flexible=6):
    throttle_time_ms: i32 = field(3)  # since v3
    topics: list[OffsetFetchResponseTopic] = field(0, 7)  # until v7
    error_code: i16 = field(2, 7)  # v2 to v7
    groups: list[OffsetFetchResponseGroup] = field(8)  # since v8


class OffsetFetchRequestTopic(Struct):
    name: str
    partition_indexes: list[i32]


class OffsetFetchRequestTopics(Struct):
    name: str = field(0, 9)  # until v9
    topic_id: Uuid = field(10)  # since v10
    partition_indexes: list[i32]


class OffsetFetchRequestGroup(Struct):
    group_id: str
    member_id: str | None = field(9)  # since v9
    member_epoch: i32 = field(9, default=-1)  # since v9
    topics: list[OffsetFetchRequestTopics] | None


class OffsetFetchRequest(Request, key=9, versions=(1, 10), flexible=6, reply=OffsetFetchResponse):
    """How far has this group read? null asks for all of its partitions."""

    group_id: str = field(0, 7)  # until v7
    topics: list[OffsetFetchRequestTopic] | None = field(0, 7, default=[], nullable=2)  # until v7
    groups: list[OffsetFetchRequestGroup] = field(8)  # since v8
    require_stable: bool = field(7)  # since v7


class OffsetDeleteResponsePartition(Struct):
    partition_index: i32
    error_code: i16 = 0


class OffsetDeleteResponseTopic(Struct):
    name: str
    partitions: list[OffsetDeleteResponsePartition]


class OffsetDeleteResponse(Response, versions=(0, 0)):
    error_code: i16 = 0
    throttle_time_ms: i32 = 0
    topics: list[OffsetDeleteResponseTopic] = field()


class OffsetDeleteRequestPartition(Struct):
    partition_index: i32


class OffsetDeleteRequestTopic(Struct):
    name: str
    partitions: list[OffsetDeleteRequestPartition]


class OffsetDeleteRequest(Request, key=47, versions=(0, 0), reply=OffsetDeleteResponse):
    """Forget how far this group has read (KIP-496)."""

    group_id: str
    topics: list[OffsetDeleteRequestTopic]


class DescribedGroupMember(Struct):
    member_id: str
    group_instance_id: str | None = field(4)  # since v4
    client_id: str
    client_host: str
    member_metadata: bytes
    member_assignment: bytes


class DescribedGroup(Struct):
    error_code: i16 = 0
    error_message: str | None = field(6)  # since v6
    group_id: str
    group_state: str
    protocol_type: str
    protocol_data: str
    members: list[DescribedGroupMember]
    authorized_operations: i32 = field(3, default=-2147483648)  # since v3


class DescribeGroupsResponse(Response, versions=(0, 6), flexible=5):
    throttle_time_ms: i32 = field(1)  # since v1
    groups: list[DescribedGroup] = field()


class DescribeGroupsRequest(Request, key=15, versions=(0, 6), flexible=5, reply=DescribeGroupsResponse):
    """Who is in these groups, with what in hand?"""

    groups: list[str]
    include_authorized_operations: bool = field(3)  # since v3


class ListedGroup(Struct):
    group_id: str
    protocol_type: str
    group_state: str = field(4)  # since v4
    group_type: str = field(5)  # since v5


class ListGroupsResponse(Response, versions=(0, 5), flexible=3):
    throttle_time_ms: i32 = field(1)  # since v1
    error_code: i16 = 0
    groups: list[ListedGroup] = field()


class ListGroupsRequest(Request, key=16, versions=(0, 5), flexible=3, reply=ListGroupsResponse):
    """Which groups are there on this broker?"""

    states_filter: list[str] = field(4)  # since v4
    types_filter: list[str] = field(5)  # since v5


class DeletableGroupResult(Struct):
    group_id: str
    error_code: i16 = 0


class DeleteGroupsResponse(Response, versions=(0, 2), flexible=2):
    throttle_time_ms: i32 = 0
    results: list[DeletableGroupResult] = field()


class DeleteGroupsRequest(Request, key=42, versions=(0, 2), flexible=2, reply=DeleteGroupsResponse):
    """Forget these groups and all they have committed."""

    groups_names: list[str]


class TopicPartition(Struct):
    topic: str
    partitions: list[i32]


class ConsumerProtocolSubscription(Message, versions=(0, 3)):
    """What a consumer tells the leader of its group about itself."""

    topics: list[str]
    user_data: bytes | None = None
    owned_partitions: list[TopicPartition] = field(1)  # since v1
    generation_id: i32 = field(2, default=-1)  # since v2
    rack_id: str | None = field(3)  # since v3


class ConsumerProtocolAssignment(Message, versions=(0, 3)):
    """What the leader of a group gives a consumer to read."""

    assigned_partitions: list[TopicPartition]
    user_data: bytes | None = None
