"""What the members of the controller quorum ask one another, and what tools ask about it.

On a controller listener: who votes, who leads, and the records of __cluster_metadata (whose Fetch `fetch.py`
passes on). The requests are answered by the quorum's machine through `raft/node.py`.
"""

from __future__ import annotations

from asyncio import Future
from typing import Any

from minikafka.api.context import Context
from minikafka.api.registry import CONTROLLER, api
from minikafka.api.topics import after
from minikafka.raft.leading import Progress
from minikafka.raft.messages import Answer
from minikafka.raft.quorum import NO_DIRECTORY
from minikafka.raft.wire import NAME, PARTITION, reply_of, request_of
from protocol.kafka.errors import NotLeaderOrFollower, UnknownTopicOrPartition
from protocol.kafka.messages import quorum
from protocol.kafka.messages.produce import FetchRequest
from protocol.kafka.schema import Request


def ask(broker: Context, message: Request, max_wait_s: float = 0.0) -> Any:
    """Put a request to the quorum's machine."""
    request = request_of(message)
    answer = broker.controller.node.ask(request, max_wait_s)

    def told(found: Answer) -> Any:
        return reply_of(found, request)

    return after(answer, told) if isinstance(answer, Future) else told(answer)


def fetch_metadata(broker: Context, message: FetchRequest) -> Any:
    """Records of the metadata log, committed or not; answered when there are some, or the high watermark moves."""
    return ask(broker, message, message.max_wait_ms / 1000)


@api(quorum.VoteRequest, 0, 2, listeners="C")
def vote(broker: Context, request: quorum.VoteRequest) -> Any:
    """A candidate, or one that would be (KIP-996), asks for this voter's vote."""
    return ask(broker, request)


@api(quorum.BeginQuorumEpochRequest, 0, 1, listeners="C")
def begin_quorum_epoch(broker: Context, request: quorum.BeginQuorumEpochRequest) -> Any:
    """A new leader says so."""
    return ask(broker, request)


@api(quorum.EndQuorumEpochRequest, 0, 1, listeners="C")
def end_quorum_epoch(broker: Context, request: quorum.EndQuorumEpochRequest) -> Any:
    """A leader leaves, and says who might follow it."""
    return ask(broker, request)


@api(quorum.FetchSnapshotRequest, 0, 1, listeners="C")
def fetch_snapshot(broker: Context, request: quorum.FetchSnapshotRequest) -> Any:
    """A piece of a snapshot of the metadata (KIP-630)."""
    return ask(broker, request)


@api(quorum.DescribeQuorumRequest, 0, 2, at=CONTROLLER)
def describe_quorum(broker: Context, request: quorum.DescribeQuorumRequest) -> quorum.DescribeQuorumResponse:
    """Who votes, who leads and how far everybody is (KIP-595); only the leader knows."""
    topics = [
        quorum.DescribeQuorumResponseTopicData(
            topic_name=topic.topic_name,
            partitions=[_described(broker, topic.topic_name, one.partition_index) for one in topic.partitions],
        )
        for topic in request.topics
    ]
    nodes = [
        quorum.Node(
            node_id=voter.id,
            listeners=[quorum.Listener(name=end.name, host=end.host, port=end.port) for end in voter.endpoints],
        )
        for voter in broker.controller.node.machine.voters
    ]
    return quorum.DescribeQuorumResponse(topics=topics, nodes=nodes)


def _described(broker: Context, name: str, partition: int) -> quorum.DescribeQuorumResponsePartitionData:
    machine = broker.controller.node.machine
    described = quorum.DescribeQuorumResponsePartitionData(
        partition_index=partition,
        leader_id=machine.leader_id,
        leader_epoch=machine.epoch,
        high_watermark=machine.told_high_watermark,
        current_voters=[],
        observers=[],
    )
    leading = machine.leading
    if (name, partition) != (NAME, PARTITION) or leading is None:
        error = NotLeaderOrFollower if leading is None else UnknownTopicOrPartition
        described.error_code, described.error_message = error.code, error.message
        return described
    for voter in machine.voters:
        progress = leading.voters[voter.id]
        described.current_voters.append(_state(broker, voter.id, voter.directory_id, progress))
    for member, progress in leading.observers.items():
        described.observers.append(_state(broker, member.id, member.directory_id, progress))
    return described


def _state(broker: Context, number: int, directory_id: bytes, progress: Progress) -> quorum.DescribeQuorumReplicaState:
    node = broker.controller.node
    now_s, now_ms = node.loop.time(), node.clock.wall_ms()

    def instant(at: float) -> int:
        return -1 if at < 0 else now_ms - int((now_s - at) * 1000)

    is_me = number == node.me.id
    return quorum.DescribeQuorumReplicaState(
        replica_id=number,
        replica_directory_id=directory_id if directory_id != NO_DIRECTORY or not is_me else node.me.directory_id,
        log_end_offset=node.end_offset if is_me else progress.end_offset,
        last_fetch_timestamp=now_ms if is_me else instant(progress.fetched_at),
        last_caught_up_timestamp=now_ms if is_me else instant(progress.caught_up_at),
    )
