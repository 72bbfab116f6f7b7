"""Messages of the controller quorum, and the control records its log holds.

A control record has a type in its key and one of the messages at the end of this file as its value.
"""

from __future__ import annotations

from protocol.kafka.schema import Message, Records, Request, Response, Struct, Uuid, field, i16, i32, i64, u16


class VoteResponsePartitionData(Struct):
    partition_index: i32
    error_code: i16 = 0
    leader_id: i32
    leader_epoch: i32
    vote_granted: bool


class VoteResponseTopicData(Struct):
    topic_name: str
    partitions: list[VoteResponsePartitionData]


class NodeEndpoint(Struct):
    node_id: i32
    host: str
    port: u16


class VoteResponse(Response, versions=(0, 2), flexible=0):
    error_code: i16 = 0
    topics: list[VoteResponseTopicData] = field()
    node_endpoints: list[NodeEndpoint] = field(1, tag=0)  # since v1


class VoteRequestPartitionData(Struct):
    partition_index: i32
    replica_epoch: i32
    replica_id: i32
    replica_directory_id: Uuid = field(1)  # since v1
    voter_directory_id: Uuid = field(1)  # since v1
    last_offset_epoch: i32
    last_offset: i64
    pre_vote: bool = field(2)  # since v2


class VoteRequestTopicData(Struct):
    topic_name: str
    partitions: list[VoteRequestPartitionData]


class VoteRequest(Request, key=52, versions=(0, 2), flexible=0, reply=VoteResponse):
    """Vote for me; or would you (pre-vote, KIP-996)?"""

    cluster_id: str | None = None
    voter_id: i32 = field(1, default=-1)  # since v1
    topics: list[VoteRequestTopicData]


class BeginQuorumEpochResponsePartitionData(Struct):
    partition_index: i32
    error_code: i16 = 0
    leader_id: i32
    leader_epoch: i32


class BeginQuorumEpochResponseTopicData(Struct):
    topic_name: str
    partitions: list[BeginQuorumEpochResponsePartitionData]


class BeginQuorumEpochResponse(Response, versions=(0, 1), flexible=1):
    error_code: i16 = 0
    topics: list[BeginQuorumEpochResponseTopicData] = field()
    node_endpoints: list[NodeEndpoint] = field(1, tag=0)  # since v1


class BeginQuorumEpochRequestPartitionData(Struct):
    partition_index: i32
    voter_directory_id: Uuid = field(1)  # since v1
    leader_id: i32
    leader_epoch: i32


class BeginQuorumEpochRequestTopicData(Struct):
    topic_name: str
    partitions: list[BeginQuorumEpochRequestPartitionData]


class LeaderEndpoint(Struct):
    name: str
    host: str
    port: u16


class BeginQuorumEpochRequest(Request, key=53, versions=(0, 1), flexible=1, reply=BeginQuorumEpochResponse):
    """I lead now."""

    cluster_id: str | None = None
    voter_id: i32 = field(1, default=-1)  # since v1
    topics: list[BeginQuorumEpochRequestTopicData]
    leader_endpoints: list[LeaderEndpoint] = field(1)  # since v1


class EndQuorumEpochResponsePartitionData(Struct):
    partition_index: i32
    error_code: i16 = 0
    leader_id: i32
    leader_epoch: i32


class EndQuorumEpochResponseTopicData(Struct):
    topic_name: str
    partitions: list[EndQuorumEpochResponsePartitionData]


class EndQuorumEpochResponse(Response, versions=(0, 1), flexible=1):
    error_code: i16 = 0
    topics: list[EndQuorumEpochResponseTopicData] = field()
    node_endpoints: list[NodeEndpoint] = field(1, tag=0)  # since v1


class ReplicaInfo(Struct):
    candidate_id: i32
    candidate_directory_id: Uuid


class EndQuorumEpochRequestPartitionData(Struct):
    partition_index: i32
    leader_id: i32
    leader_epoch: i32
    preferred_successors: list[i32] = field(0, 0)  # until v0
    preferred_candidates: list[ReplicaInfo] = field(1)  # since v1


class EndQuorumEpochRequestTopicData(Struct):
    topic_name: str
    partitions: list[EndQuorumEpochRequestPartitionData]


class EndQuorumEpochRequest(Request, key=54, versions=(0, 1), flexible=1, reply=EndQuorumEpochResponse):
    """I lead no more; these should follow me."""

    cluster_id: str | None = None
    topics: list[EndQuorumEpochRequestTopicData]
    leader_endpoints: list[LeaderEndpoint] = field(1)  # since v1


class DescribeQuorumReplicaState(Struct):
    replica_id: i32
    replica_directory_id: Uuid = field(2)  # since v2
    log_end_offset: i64
    last_fetch_timestamp: i64 = field(1, default=-1)  # since v1
    last_caught_up_timestamp: i64 = field(1, default=-1)  # since v1


class DescribeQuorumResponsePartitionData(Struct):
    partition_index: i32
    error_code: i16 = 0
    error_message: str | None = field(2)  # since v2
    leader_id: i32
    leader_epoch: i32
    high_watermark: i64
    current_voters: list[DescribeQuorumReplicaState]
    observers: list[DescribeQuorumReplicaState]


class DescribeQuorumResponseTopicData(Struct):
    topic_name: str
    partitions: list[DescribeQuorumResponsePartitionData]


class Listener(Struct):
    name: str
    host: str
    port: u16


class Node(Struct):
    node_id: i32
    listeners: list[Listener]


class DescribeQuorumResponse(Response, versions=(0, 2), flexible=0):
    error_code: i16 = 0
    error_message: str | None = field(2)  # since v2
    topics: list[DescribeQuorumResponseTopicData] = field()
    nodes: list[Node] = field(2)  # since v2


class DescribeQuorumRequestPartitionData(Struct):
    partition_index: i32


class DescribeQuorumRequestTopicData(Struct):
    topic_name: str
    partitions: list[DescribeQuorumRequestPartitionData]


class DescribeQuorumRequest(Request, key=55, versions=(0, 2), flexible=0, reply=DescribeQuorumResponse):
    """Who votes, who leads, how far is everybody (KIP-595)?"""

    topics: list[DescribeQuorumRequestTopicData]


class SnapshotId(Struct):
    end_offset: i64
    epoch: i32


class LeaderIdAndEpoch(Struct):
    leader_id: i32
    leader_epoch: i32


class FetchSnapshotResponsePartitionSnapshot(Struct):
    index: i32
    error_code: i16 = 0
    snapshot_id: SnapshotId
    current_leader: LeaderIdAndEpoch | None = field(tag=0)
    size: i64
    position: i64
    unaligned_records: Records


class FetchSnapshotResponseTopicSnapshot(Struct):
    name: str
    partitions: list[FetchSnapshotResponsePartitionSnapshot]


class FetchSnapshotResponse(Response, versions=(0, 1), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    topics: list[FetchSnapshotResponseTopicSnapshot] = field()
    node_endpoints: list[NodeEndpoint] = field(1, tag=0)  # since v1


class FetchSnapshotRequestPartitionSnapshot(Struct):
    partition: i32
    current_leader_epoch: i32
    snapshot_id: SnapshotId
    position: i64
    replica_directory_id: Uuid = field(1, tag=0)  # since v1


class FetchSnapshotRequestTopicSnapshot(Struct):
    name: str
    partitions: list[FetchSnapshotRequestPartitionSnapshot]


class FetchSnapshotRequest(Request, key=59, versions=(0, 1), flexible=0, reply=FetchSnapshotResponse):
    """Give me a piece of this snapshot (KIP-630)."""

    cluster_id: str | None = field(tag=0)
    replica_id: i32 = -1
    max_bytes: i32 = 2147483647
    topics: list[FetchSnapshotRequestTopicSnapshot]


class AddRaftVoterResponse(Response, versions=(0, 1), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    error_message: str | None = None


class AddRaftVoterRequest(Request, key=80, versions=(0, 1), flexible=0, reply=AddRaftVoterResponse):
    """Let this controller vote (KIP-853)."""

    cluster_id: str | None
    timeout_ms: i32
    voter_id: i32
    voter_directory_id: Uuid
    listeners: list[Listener]
    ack_when_committed: bool = field(1, default=True)  # since v1


class RemoveRaftVoterResponse(Response, versions=(0, 0), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    error_message: str | None = None


class RemoveRaftVoterRequest(Request, key=81, versions=(0, 0), flexible=0, reply=RemoveRaftVoterResponse):
    """Let this controller vote no more (KIP-853)."""

    cluster_id: str | None
    voter_id: i32
    voter_directory_id: Uuid


class CurrentLeader(Struct):
    leader_id: i32 = -1
    leader_epoch: i32 = -1
    host: str
    port: i32


class UpdateRaftVoterResponse(Response, versions=(0, 0), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    current_leader: CurrentLeader | None = field(tag=0)


class KRaftVersionFeature(Struct):
    min_supported_version: i16
    max_supported_version: i16


class UpdateRaftVoterRequest(Request, key=82, versions=(0, 0), flexible=0, reply=UpdateRaftVoterResponse):
    """A voter tells its new addresses and versions (KIP-853)."""

    cluster_id: str | None
    current_leader_epoch: i32
    voter_id: i32
    voter_directory_id: Uuid
    listeners: list[Listener]
    kraft_version_feature: KRaftVersionFeature


class AllocateProducerIdsResponse(Response, versions=(0, 0), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    producer_id_start: i64 = 0
    producer_id_len: i32 = 0


class AllocateProducerIdsRequest(Request, key=67, versions=(0, 0), flexible=0, reply=AllocateProducerIdsResponse):
    """A block of producer ids for this broker (KIP-730)."""

    broker_id: i32
    broker_epoch: i64 = -1


class EnvelopeResponse(Response, versions=(0, 0), flexible=0):
    response_data: bytes | None = None
    error_code: i16 = 0


class EnvelopeRequest(Request, key=58, versions=(0, 0), flexible=0, reply=EnvelopeResponse):
    """A request forwarded to the controller, with who asked (KIP-590)."""

    request_data: bytes
    request_principal: bytes | None
    client_host_address: bytes


class LeaderChangeMessageVoter(Struct):
    voter_id: i32
    voter_directory_id: Uuid = field(1)  # since v1


class LeaderChangeMessage(Message, versions=(0, 1), flexible=0):
    """First record of a leader: who it is and who voted."""

    version: i16
    leader_id: i32
    voters: list[LeaderChangeMessageVoter]
    granting_voters: list[LeaderChangeMessageVoter]


class SnapshotHeaderRecord(Message, versions=(0, 0), flexible=0):
    """First record of a snapshot."""

    version: i16
    last_contained_log_timestamp: i64


class SnapshotFooterRecord(Message, versions=(0, 0), flexible=0):
    """Last record of a snapshot."""

    version: i16


class KRaftVersionRecord(Message, versions=(0, 0), flexible=0):
    """The version of the quorum protocol from here on."""

    version: i16
    kraft_version: i16


class VotersRecordEndpoint(Struct):
    name: str
    host: str
    port: u16


class VotersRecordVoter(Struct):
    voter_id: i32
    voter_directory_id: Uuid
    endpoints: list[VotersRecordEndpoint]
    kraft_version_feature: KRaftVersionFeature


class VotersRecord(Message, versions=(0, 0), flexible=0):
    """Who votes from here on."""

    version: i16
    voters: list[VotersRecordVoter]
