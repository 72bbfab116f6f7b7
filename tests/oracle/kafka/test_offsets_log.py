"""What groups leave on disk: Kafka's own decoder reads it, and it outlives the broker."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from protocol.kafka.messages import groups as m
from protocol.kafka.messages.topics import CreatableTopic, CreateTopicsRequest
from protocol.kafka.schema import Request
from tests.oracle.kafka.wire import Wire
from tests.peers.kafka import Broker, our_broker, real_broker, run_tool

SETTINGS = {"offsets.topic.num.partitions": "2"}
READY_S = 60.0
TIMES = re.compile(r'"(currentStateTimestamp|commitTimestamp|expireTimestamp)":\d+')
TOPIC_IDS = re.compile(r'"topicId":"[\w-]{22}"')
RECORD = re.compile(r"key: (\{.*?\}) payload: (.*)$")


def until_answered(wire: Wire, request: Request, version: int) -> Any:
    """The reply once a coordinator is there and has loaded its groups."""
    deadline = time.monotonic() + READY_S
    while True:
        wire.ask(m.FindCoordinatorRequest(key="g", key_type=0), 1)
        reply = wire.ask(request, version)
        codes = {getattr(reply, "error_code", 0)} | {
            partition.error_code for topic in getattr(reply, "topics", []) for partition in topic.partitions
        }
        if not codes & {14, 15, 16}:
            return reply
        assert time.monotonic() < deadline, reply
        time.sleep(0.02)


def play(broker: Broker) -> None:
    """A group with a member, offsets with and without one, offsets that were deleted, a group that was."""
    with Wire(broker.port, client_id="a") as wire:
        topics = [CreatableTopic(name=name, num_partitions=2, replication_factor=1) for name in ("t", "u")]
        wire.ask(CreateTopicsRequest(topics=topics, timeout_ms=10_000), 5)
        until_answered(wire, commit("", -1, "simple", {"t": [5, 6], "u": [7]}), 8)
        wire.ask(commit("", -1, "short", {"u": [9]}, retention_time_ms=3_600_000), 3)
        wire.ask(commit("", -1, "gone", {"t": [1]}), 8)
        wire.ask(m.DeleteGroupsRequest(groups_names=["gone"]), 2)
        join = m.JoinGroupRequest(
            group_id="g",
            session_timeout_ms=300_000,
            rebalance_timeout_ms=300_000,
            member_id="",
            group_instance_id="instance",
            protocol_type="consumer",
            protocols=[m.JoinGroupRequestProtocol(name="range", metadata=b"\0\0\0\0\0\1\0\1t\xff\xff\xff\xff")],
        )
        joined = until_answered(wire, join, 7)
        assignment = [m.SyncGroupRequestAssignment(member_id=joined.member_id, assignment=b"\0\0\0\0\0\0\0\0\0\0")]
        sync = m.SyncGroupRequest(
            group_id="g", generation_id=1, member_id=joined.member_id, group_instance_id="instance",
            protocol_type="consumer", protocol_name="range", assignments=assignment,
        )  # fmt: skip
        assert wire.ask(sync, 5).error_code == 0
        wire.ask(commit(joined.member_id, 1, "g", {"t": [11, 12]}, group_instance_id="instance"), 8)
        deleted = [m.OffsetDeleteRequestPartition(partition_index=0)]
        wire.ask(
            m.OffsetDeleteRequest(group_id="simple", topics=[m.OffsetDeleteRequestTopic(name="u", partitions=deleted)]),
            0,
        )


def commit(
    member_id: str, generation: int, group: str, offsets: dict[str, list[int]], **more: Any
) -> m.OffsetCommitRequest:
    return m.OffsetCommitRequest(
        group_id=group,
        generation_id_or_member_epoch=generation,
        member_id=member_id,
        topics=[
            m.OffsetCommitRequestTopic(
                name=name,
                partitions=[
                    m.OffsetCommitRequestPartition(
                        partition_index=index, committed_offset=offset, committed_metadata="meta"
                    )
                    for index, offset in enumerate(values)
                ],
            )
            for name, values in offsets.items()
        ],
        **more,
    )


def check(broker: Broker) -> None:
    """What another coordinator has to know after `play`."""
    with Wire(broker.port) as wire:
        for group, expected in (
            ("simple", {"t": {0: (5, "meta"), 1: (6, "meta")}}),
            ("short", {"u": {0: (9, "meta")}}),
            ("gone", {}),
            ("g", {"t": {0: (11, "meta"), 1: (12, "meta")}}),
        ):
            reply = until_answered(wire, m.OffsetFetchRequest(group_id=group, topics=None), 5)
            fetched = {
                t.name: {p.partition_index: (p.committed_offset, p.metadata) for p in t.partitions}
                for t in reply.topics
            }
            assert fetched == expected, group
        (described,) = wire.ask(m.DescribeGroupsRequest(groups=["g"]), 5).groups
        (member,) = described.members
        assert (described.group_state, member.group_instance_id, member.client_id) == ("Stable", "instance", "a")
        beat = m.HeartbeatRequest(
            group_id="g", generation_id=1, member_id=member.member_id, group_instance_id="instance"
        )
        assert wire.ask(beat, 4).error_code == 0


def decoded(broker: Broker) -> list[tuple[Any, Any]]:
    """Keys and values in `__consumer_offsets` as Kafka's tool tells them, without what differs by nature."""
    found = []
    for index in range(2):
        log = broker.data / f"__consumer_offsets-{index}" / f"{0:020}.log"
        told = run_tool("dump-log", "--deep-iteration", "--offsets-decoder", "--files", str(log)).stdout
        for line in told.splitlines():
            match = RECORD.search(line)
            if match is not None:
                value = re.sub(
                    r"instance-[0-9a-f-]{36}",
                    "member",
                    TIMES.sub(r'"\1":0', TOPIC_IDS.sub('"topicId":"known"', match[2])),
                )
                found.append((json.loads(match[1]), json.loads(value) if value.startswith("{") else value))
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ours")


def test_groups_survive_the_broker(directory: Path) -> None:
    """A killed and restarted broker has lost offsets it acknowledged, or who is in a group."""
    with our_broker(SETTINGS, directory) as broker:
        play(broker)
        broker.kill()
        broker.start()
        check(broker)
        broker.stop()
        broker.start()
        check(broker)


def test_kafkas_decoder_reads_what_it_would_have_written(directory: Path) -> None:
    """`dump-log --offsets-decoder` cannot read our groups, or finds other records than Kafka's broker writes."""
    with our_broker(SETTINGS) as ours, real_broker(SETTINGS) as real:
        for broker in (ours, real):
            play(broker)
            broker.stop()
        expected, got = decoded(real), decoded(ours)
    assert len(expected) > 10
    assert got == expected
