"""The quorum's requests and answers as Kafka's messages, both ways.

Each message speaks of one partition, 0 of __cluster_metadata: by name, in Fetch by its id. What is not about that one
is refused as InvalidRequest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from minikafka.raft.messages import (
    Answer,
    BeginQuorumEpoch,
    EndQuorumEpoch,
    Fetch,
    Fetched,
    FetchSnapshot,
    Heard,
    Member,
    OffsetAndEpoch,
    Request,
    SnapshotPiece,
    Vote,
    Voted,
)
from minikafka.raft.quorum import Endpoint
from protocol.kafka import schema
from protocol.kafka.batch import HEADER_SIZE, LENGTH_FROM, BatchHeader, verify_crc
from protocol.kafka.errors import InvalidRequest
from protocol.kafka.messages import produce, quorum
from protocol.kafka.primitives import Buffer, ProtocolError

NAME = "__cluster_metadata"
TOPIC_ID = b"\0" * 15 + b"\1"
PARTITION = 0
MAX_WAIT_MS = 500
MAX_BYTES = 1 << 20  # controller.quorum.fetch.max.bytes
NO_OFFSET = -1
LISTENER = "CONTROLLER"  # where an answer tells a leader's address, it leaves its listener's name out

VERSIONS: dict[type[schema.Request], int] = {
    produce.FetchRequest: 18,
    quorum.VoteRequest: 2,
    quorum.BeginQuorumEpochRequest: 1,
    quorum.EndQuorumEpochRequest: 1,
    quorum.FetchSnapshotRequest: 1,
}
Some = TypeVar("Some")


def message_of(request: Request) -> schema.Request:
    """A request as it is sent."""
    if isinstance(request, Vote):
        asked = quorum.VoteRequestPartitionData(
            partition_index=PARTITION,
            replica_epoch=request.epoch,
            replica_id=request.candidate.id,
            replica_directory_id=request.candidate.directory_id,
            voter_directory_id=request.voter.directory_id,
            last_offset_epoch=request.last.epoch,
            last_offset=request.last.end_offset,
            pre_vote=request.is_pre_vote,
        )
        vote_topic = quorum.VoteRequestTopicData(topic_name=NAME, partitions=[asked])
        return quorum.VoteRequest(cluster_id=request.cluster_id, voter_id=request.voter.id, topics=[vote_topic])
    if isinstance(request, BeginQuorumEpoch):
        begun = quorum.BeginQuorumEpochRequestPartitionData(
            partition_index=PARTITION,
            voter_directory_id=request.voter.directory_id,
            leader_id=request.leader_id,
            leader_epoch=request.epoch,
        )
        return quorum.BeginQuorumEpochRequest(
            cluster_id=request.cluster_id,
            voter_id=request.voter.id,
            topics=[quorum.BeginQuorumEpochRequestTopicData(topic_name=NAME, partitions=[begun])],
            leader_endpoints=[
                quorum.LeaderEndpoint(name=one.name, host=one.host, port=one.port) for one in request.endpoints
            ],
        )
    if isinstance(request, EndQuorumEpoch):
        ended = quorum.EndQuorumEpochRequestPartitionData(
            partition_index=PARTITION,
            leader_id=request.leader_id,
            leader_epoch=request.epoch,
            preferred_candidates=[
                quorum.ReplicaInfo(candidate_id=one.id, candidate_directory_id=one.directory_id)
                for one in request.preferred
            ],
        )
        end_topic = quorum.EndQuorumEpochRequestTopicData(topic_name=NAME, partitions=[ended])
        return quorum.EndQuorumEpochRequest(cluster_id=request.cluster_id, topics=[end_topic], leader_endpoints=[])
    return _fetch_message(request)


def _fetch_message(request: Fetch | FetchSnapshot) -> schema.Request:
    if isinstance(request, Fetch):
        fetched = produce.FetchPartition(
            partition=PARTITION,
            current_leader_epoch=request.epoch,
            fetch_offset=request.offset,
            last_fetched_epoch=request.last_epoch,
            partition_max_bytes=0,
            replica_directory_id=request.replica.directory_id,
            high_watermark=request.high_watermark,
        )
        return produce.FetchRequest(
            cluster_id=request.cluster_id,
            replica_state=produce.FetchReplicaState(replica_id=request.replica.id),
            max_wait_ms=MAX_WAIT_MS,
            min_bytes=0,
            max_bytes=MAX_BYTES,
            session_id=0,
            topics=[produce.FetchTopic(topic="", topic_id=TOPIC_ID, partitions=[fetched])],
            forgotten_topics_data=[],
            rack_id="",
        )
    wanted = quorum.FetchSnapshotRequestPartitionSnapshot(
        partition=PARTITION,
        current_leader_epoch=request.epoch,
        snapshot_id=quorum.SnapshotId(end_offset=request.snapshot.end_offset, epoch=request.snapshot.epoch),
        position=request.position,
        replica_directory_id=request.replica.directory_id,
    )
    return quorum.FetchSnapshotRequest(
        cluster_id=request.cluster_id,
        replica_id=request.replica.id,
        max_bytes=MAX_BYTES,
        topics=[quorum.FetchSnapshotRequestTopicSnapshot(name=NAME, partitions=[wanted])],
    )


def _only(listed: list[Some]) -> Some:
    if len(listed) != 1:
        raise InvalidRequest()
    return listed[0]


def _check(name: str, partition: int) -> None:
    if name != NAME or partition != PARTITION:
        raise InvalidRequest()


def request_of(message: schema.Request) -> Request:
    """A request as it came. Raises InvalidRequest."""
    if isinstance(message, quorum.VoteRequest):
        topic = _only(message.topics)
        asked = _only(topic.partitions)
        _check(topic.topic_name, asked.partition_index)
        return Vote(
            asked.replica_epoch,
            Member(asked.replica_id, bytes(asked.replica_directory_id)),
            Member(message.voter_id, bytes(asked.voter_directory_id)),
            OffsetAndEpoch(asked.last_offset, asked.last_offset_epoch),
            asked.pre_vote,
            message.cluster_id,
        )
    if isinstance(message, quorum.BeginQuorumEpochRequest):
        begin_topic = _only(message.topics)
        begun = _only(begin_topic.partitions)
        _check(begin_topic.topic_name, begun.partition_index)
        ends = tuple(Endpoint(one.name, one.host, one.port) for one in message.leader_endpoints)
        voter = Member(message.voter_id, bytes(begun.voter_directory_id))
        return BeginQuorumEpoch(begun.leader_epoch, begun.leader_id, voter, ends, message.cluster_id)
    if isinstance(message, quorum.EndQuorumEpochRequest):
        end_topic = _only(message.topics)
        ended = _only(end_topic.partitions)
        _check(end_topic.topic_name, ended.partition_index)
        preferred = [Member(one.candidate_id, bytes(one.candidate_directory_id)) for one in ended.preferred_candidates]
        preferred = preferred or [Member(number) for number in ended.preferred_successors]
        return EndQuorumEpoch(ended.leader_epoch, ended.leader_id, tuple(preferred), message.cluster_id)
    if isinstance(message, quorum.FetchSnapshotRequest):
        snapshot_topic = _only(message.topics)
        wanted = _only(snapshot_topic.partitions)
        _check(snapshot_topic.name, wanted.partition)
        return FetchSnapshot(
            wanted.current_leader_epoch,
            Member(message.replica_id, bytes(wanted.replica_directory_id)),
            OffsetAndEpoch(wanted.snapshot_id.end_offset, wanted.snapshot_id.epoch),
            wanted.position,
            message.cluster_id,
        )
    assert isinstance(message, produce.FetchRequest), "nothing else is asked of the quorum"
    return _fetch_of(message)


def _fetch_of(message: produce.FetchRequest) -> Fetch:
    topic = _only(message.topics)
    fetched = _only(topic.partitions)
    if bytes(topic.topic_id) != TOPIC_ID or fetched.partition != PARTITION or message.max_wait_ms < 0:
        raise InvalidRequest()
    number = message.replica_id if message.replica_state is None else message.replica_state.replica_id
    return Fetch(
        fetched.current_leader_epoch,
        Member(number, bytes(fetched.replica_directory_id)),
        fetched.fetch_offset,
        fetched.last_fetched_epoch,
        fetched.high_watermark,
        message.cluster_id,
    )


def reply_of(answer: Answer, request: Request) -> schema.Response:
    """An answer as it is sent."""
    ends = []
    if answer.endpoint is not None and answer.leader_id >= 0:
        host, port = answer.endpoint.host, answer.endpoint.port
        ends = [quorum.NodeEndpoint(node_id=answer.leader_id, host=host, port=port)]
    if isinstance(answer, Voted):
        voted = quorum.VoteResponsePartitionData(
            partition_index=PARTITION,
            error_code=answer.error,
            leader_id=answer.leader_id,
            leader_epoch=answer.epoch,
            vote_granted=answer.is_granted,
        )
        vote_topic = quorum.VoteResponseTopicData(topic_name=NAME, partitions=[voted])
        return quorum.VoteResponse(topics=[vote_topic], node_endpoints=ends)
    if isinstance(answer, Heard):
        return _heard_reply(answer, request, ends)
    if isinstance(answer, SnapshotPiece):
        assert isinstance(request, FetchSnapshot), "an answer is to its request"
        piece = quorum.FetchSnapshotResponsePartitionSnapshot(
            index=PARTITION,
            error_code=answer.error,
            snapshot_id=quorum.SnapshotId(end_offset=request.snapshot.end_offset, epoch=request.snapshot.epoch),
            current_leader=quorum.LeaderIdAndEpoch(leader_id=answer.leader_id, leader_epoch=answer.epoch),
            size=answer.size,
            position=answer.position,
            unaligned_records=answer.data,
        )
        topic = quorum.FetchSnapshotResponseTopicSnapshot(name=NAME, partitions=[piece])
        return quorum.FetchSnapshotResponse(topics=[topic], node_endpoints=ends)
    return _fetched_reply(answer)


def _heard_reply(answer: Heard, request: Request, ends: list[quorum.NodeEndpoint]) -> schema.Response:
    if isinstance(request, BeginQuorumEpoch):
        begun = quorum.BeginQuorumEpochResponsePartitionData(
            partition_index=PARTITION, error_code=answer.error, leader_id=answer.leader_id, leader_epoch=answer.epoch
        )
        topic = quorum.BeginQuorumEpochResponseTopicData(topic_name=NAME, partitions=[begun])
        return quorum.BeginQuorumEpochResponse(topics=[topic], node_endpoints=ends)
    ended = quorum.EndQuorumEpochResponsePartitionData(
        partition_index=PARTITION, error_code=answer.error, leader_id=answer.leader_id, leader_epoch=answer.epoch
    )
    end_topic = quorum.EndQuorumEpochResponseTopicData(topic_name=NAME, partitions=[ended])
    return quorum.EndQuorumEpochResponse(topics=[end_topic], node_endpoints=ends)


def _fetched_reply(answer: Fetched) -> produce.FetchResponse:
    diverging, snapshot = answer.diverging, answer.snapshot
    fetched = produce.FetchPartitionData(
        partition_index=PARTITION,
        error_code=answer.error,
        high_watermark=answer.high_watermark,
        log_start_offset=NO_OFFSET,
        diverging_epoch=None
        if diverging is None
        else produce.DivergingEpoch(epoch=diverging.epoch, end_offset=diverging.end_offset),
        current_leader=produce.LeaderIdAndEpoch(leader_id=answer.leader_id, leader_epoch=answer.epoch),
        snapshot_id=None
        if snapshot is None
        else produce.SnapshotId(end_offset=snapshot.end_offset, epoch=snapshot.epoch),
        aborted_transactions=None,
        records=answer.records,
    )
    ends = []
    if answer.endpoint is not None and answer.leader_id >= 0:
        host, port = answer.endpoint.host, answer.endpoint.port
        ends = [produce.NodeEndpoint(node_id=answer.leader_id, host=host, port=port, rack=None)]
    topic = produce.FetchableTopicResponse(topic="", topic_id=TOPIC_ID, partitions=[fetched])
    return produce.FetchResponse(error_code=0, session_id=0, responses=[topic], node_endpoints=ends)


def answer_of(message: schema.Response, request: Request) -> Answer:
    """An answer as it came, to that request. Raises ProtocolError."""
    refused: int = message.error_code  # type: ignore[attr-defined]
    if refused:
        return _refused(request, refused)
    try:
        if isinstance(message, produce.FetchResponse):
            assert isinstance(request, Fetch), "an answer is to its request"
            return _fetched_of(message, request)
        if isinstance(message, quorum.FetchSnapshotResponse):
            piece = _only(_only(message.topics).partitions)
            leader = piece.current_leader or quorum.LeaderIdAndEpoch(leader_id=-1, leader_epoch=-1)
            end = _endpoint(message.node_endpoints, leader.leader_id)
            return SnapshotPiece(
                piece.error_code, leader.leader_epoch, leader.leader_id, piece.size, piece.position,
                _bytes(piece.unaligned_records), end,
            )  # fmt: skip
        if isinstance(message, quorum.VoteResponse):
            voted = _only(_only(message.topics).partitions)
            end = _endpoint(message.node_endpoints, voted.leader_id)
            return Voted(voted.error_code, voted.leader_epoch, voted.leader_id, voted.vote_granted, end)
        heard: quorum.BeginQuorumEpochResponsePartitionData | quorum.EndQuorumEpochResponsePartitionData
        if isinstance(message, quorum.BeginQuorumEpochResponse):
            heard = _only(_only(message.topics).partitions)
        else:
            assert isinstance(message, quorum.EndQuorumEpochResponse), "nothing else is asked of the quorum"
            heard = _only(_only(message.topics).partitions)
        end = _endpoint(message.node_endpoints, heard.leader_id)
        return Heard(heard.error_code, heard.leader_epoch, heard.leader_id, end)
    except InvalidRequest:
        raise ProtocolError("an answer that speaks of no partition, or of several") from None


def _refused(request: Request, error: int) -> Answer:
    """The whole request was refused: nothing is said of epochs."""
    if isinstance(request, Vote):
        return Voted(error, NO_OFFSET, NO_OFFSET)
    if isinstance(request, Fetch):
        return Fetched(error, NO_OFFSET, NO_OFFSET)
    return SnapshotPiece(error, -1, -1) if isinstance(request, FetchSnapshot) else Heard(error, -1, -1)


def _endpoint(ends: list[quorum.NodeEndpoint] | list[produce.NodeEndpoint], number: int) -> Endpoint | None:
    return next((Endpoint(LISTENER, one.host, one.port) for one in ends if one.node_id == number), None)


def _fetched_of(message: produce.FetchResponse, request: Fetch) -> Fetched:
    one = _only(_only(message.responses).partitions)
    leader = one.current_leader or produce.LeaderIdAndEpoch(leader_id=-1, leader_epoch=-1)
    diverging, snapshot = one.diverging_epoch, one.snapshot_id
    is_diverging = diverging is not None and diverging.epoch >= 0
    is_behind = snapshot is not None and snapshot.end_offset >= 0
    records, end_offset = whole_batches(_bytes(one.records), request.offset)
    return Fetched(
        one.error_code,
        leader.leader_epoch,
        leader.leader_id,
        one.high_watermark,
        OffsetAndEpoch(diverging.end_offset, diverging.epoch) if is_diverging and diverging is not None else None,
        OffsetAndEpoch(snapshot.end_offset, snapshot.epoch) if is_behind and snapshot is not None else None,
        records,
        end_offset,
        _endpoint(message.node_endpoints, leader.leader_id),
    )


def _bytes(records: Buffer | Sequence[Buffer] | None) -> Buffer:
    return records if isinstance(records, bytes | bytearray | memoryview) else b"".join(records or ())


def whole_batches(records: Buffer, offset: int) -> tuple[Buffer, int]:
    """The batches that came whole, and the offset behind the last. Raises ProtocolError for what does not go on at
    `offset`, or has another checksum than it says."""
    view, at = memoryview(records), 0
    while at + HEADER_SIZE <= len(view):
        header = BatchHeader.peek(view, at)
        size = header.length + LENGTH_FROM
        if size < HEADER_SIZE or at + size > len(view):
            break
        if header.base_offset != offset or not verify_crc(view[at : at + size]):
            raise ProtocolError(f"a batch at {header.base_offset} that is damaged, or does not follow {offset}")
        offset += header.last_offset_delta + 1
        at += size
    return bytes(view[:at]), offset
