"""Plays of discovery and topics."""

from __future__ import annotations

import struct

from protocol.kafka.framing import frame_request
from protocol.kafka.messages.brokers import DescribeClusterRequest
from protocol.kafka.messages.topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    Cursor,
    DeleteTopicsRequest,
    DeleteTopicState,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsTopicRequest,
    MetadataRequest,
    MetadataRequestTopic,
)
from protocol.kafka.messages.versions import ApiVersionsRequest
from protocol.kafka.schema import NO_UUID
from tests.oracle.kafka.play import Stage, play
from tests.oracle.kafka.wire import plain

UNKNOWN_ID = b"no such topic id"
BAD_NAMES = ("", ".", "..", "a/b", "with space", "ü", "x" * 250, "\ufffd")


@play(ApiVersionsRequest)
def versions(stage: Stage) -> None:
    stage.ask("plain", ApiVersionsRequest(client_software_name="oracle", client_software_version="1.0"))
    for name, version in (("", "1"), ("a", ""), ("-a", "1"), ("a-", "1"), ("a b", "1"), ("a.b-c", "1.0-x"), ("ü", "1")):
        request = ApiVersionsRequest(client_software_name=name, client_software_version=version)
        stage.ask(f"software {name!r} {version!r}", request)
    stage.send_raw("a version to come", b"\0\0\0\x0f\0\x12\0\x63\0\0\0\7\0\4name\0")
    stage.send_raw("an unknown key", struct.pack(">ihhih", 10, 999, stage.version, 1, -1))
    stage.send_raw("metadata in a version to come", struct.pack(">ihhih", 10, 3, 99, 1, -1))
    stage.send_raw("no request at all", b"\0\0\0\4abcd")
    stage.send_raw("a negative size", b"\xff\xff\xff\xff")
    stage.send_raw("another protocol", b"GET / HTTP/1.0\r\n\r\n")
    stage.send_raw("too large", struct.pack(">i", 104857601))
    whole = b"".join(frame_request(MetadataRequest(topics=[]), 4, 1, "me"))
    stage.send_raw("a cut body", struct.pack(">i", len(whole) - 6) + whole[4:-2])


def asked(*names: str) -> list[MetadataRequestTopic]:
    return [MetadataRequestTopic(topic_id=NO_UUID, name=name) for name in names]


@play(MetadataRequest)
def metadata(stage: Stage) -> None:
    topic_id = stage.create("a", partitions=3)
    a = stage.topic("a")
    version = stage.version
    stage.ask("one", MetadataRequest(topics=asked(a)))
    if version:
        stage.ask("none", MetadataRequest(topics=[]))
    stage.ask("twice", MetadataRequest(topics=asked(a, a)))
    stage.ask("operations", MetadataRequest(topics=asked(a), include_topic_authorized_operations=True,
                                            include_cluster_authorized_operations=True))  # fmt: skip
    unknown = stage.topic("unknown")
    if version >= 4:
        stage.ask("unknown", MetadataRequest(topics=asked(unknown), allow_auto_topic_creation=False))
        for name in BAD_NAMES:
            stage.ask(f"named {name!r}", MetadataRequest(topics=asked(name), allow_auto_topic_creation=True))
    if version >= 10:
        by_id = MetadataRequestTopic(topic_id=topic_id, name=None)
        stage.ask("by id", MetadataRequest(topics=[by_id]))
        stage.ask("by unknown id", MetadataRequest(topics=[MetadataRequestTopic(topic_id=UNKNOWN_ID, name=None)]))
        stage.ask("by both", MetadataRequest(topics=[MetadataRequestTopic(topic_id=topic_id, name=a)]))
        mixed = [by_id, MetadataRequestTopic(topic_id=NO_UUID, name=unknown)]
        stage.ask("mixed", MetadataRequest(topics=mixed, allow_auto_topic_creation=False))
    auto = stage.topic("auto")
    stage.ask("made at once", MetadataRequest(topics=asked(auto), allow_auto_topic_creation=True))
    stage.await_topic(auto, partitions=2)
    stage.ask("then there", MetadataRequest(topics=asked(auto), allow_auto_topic_creation=False))


def topic(name: str, partitions: int = 1, factor: int = 1, configs: dict[str, str | None] | None = None,
          assignments: list[tuple[int, list[int]]] | None = None) -> CreatableTopic:  # fmt: skip
    return CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=factor,
        assignments=[
            CreatableReplicaAssignment(partition_index=index, broker_ids=ids) for index, ids in assignments or []
        ],
        configs=[CreatableTopicConfig(name=key, value=value) for key, value in (configs or {}).items()],
    )


@play(CreateTopicsRequest)
def create_topics(stage: Stage) -> None:
    def create(label: str, *topics: CreatableTopic, validate_only: bool = False) -> None:
        request = CreateTopicsRequest(topics=list(topics), timeout_ms=10_000, validate_only=validate_only)
        reply = stage.wire.ask(request, stage.version)
        for one in reply.topics:
            stage.ids[one.topic_id] = one.name
        stage.ids.pop(NO_UUID, None)
        stage.compare(label, plain(reply, stage.version))

    name = stage.topic
    create("one", topic(name("a"), 2))
    create("again", topic(name("a"), 2))
    create("two", topic(name("b")), topic(name("c"), 3))
    create("none")
    create("the same twice", topic(name("d")), topic(name("d")), topic(name("e")))
    create("only looked at", topic(name("f")), topic(name("a")), validate_only=True)
    for bad in BAD_NAMES:
        create(f"named {bad!r}", topic(bad))
    create("collides", topic(name("x.y")), topic(name("x_y")))
    create("collides with one that is", topic(name("x_y")))
    create("no partitions", topic(name("g"), 0))
    create("minus two partitions", topic(name("g"), -2))
    create("no replicas", topic(name("g"), 1, 0))
    create("too many replicas", topic(name("g"), 1, 2))
    create("unknown config", topic(name("g"), configs={"no.such.config": "1"}))
    create("bad value", topic(name("g"), configs={"retention.ms": "soon"}))
    create("value out of range", topic(name("g"), configs={"segment.bytes": "1"}))
    create("null value", topic(name("g"), configs={"retention.ms": None}))
    create("configured", topic(name("h"), configs={"retention.ms": "60000", "cleanup.policy": "compact,delete"}))
    create("bad policy", topic(name("g"), configs={"cleanup.policy": "keep"}))
    create("placed", topic(name("i"), -1, -1, assignments=[(0, [1]), (1, [1])]))
    create("placed and counted", topic(name("j"), 1, 1, assignments=[(0, [1])]))
    create("placed nowhere", topic(name("j"), -1, -1, assignments=[(0, [])]))
    create("placed on an unknown broker", topic(name("j"), -1, -1, assignments=[(0, [7])]))
    create("placed twice on one", topic(name("j"), -1, -1, assignments=[(0, [1, 1])]))
    create("placed with a gap", topic(name("j"), -1, -1, assignments=[(1, [1])]))
    create("by default", topic(name("k"), -1, -1))
    create("internal", topic("__consumer_offsets", 1, 1, configs={"no.such": "1"}))


@play(DeleteTopicsRequest)
def delete_topics(stage: Stage) -> None:
    ids = {name: stage.create(name) for name in ("a", "b", "c", "d")}

    def delete(label: str, *topics: tuple[str | None, bytes]) -> None:
        request = DeleteTopicsRequest(timeout_ms=10_000)
        if stage.version >= 6:
            request.topics = [DeleteTopicState(name=name, topic_id=topic_id) for name, topic_id in topics]
        else:
            request.topic_names = [name for name, _ in topics if name is not None]
        stage.ask(label, request)

    name = stage.topic
    delete("one", (name("a"), NO_UUID))
    delete("again", (name("a"), NO_UUID))
    delete("none")
    delete("some", (name("b"), NO_UUID), (name("unknown"), NO_UUID))
    delete("the same twice", (name("c"), NO_UUID), (name("c"), NO_UUID))
    delete("nameless", ("", NO_UUID))
    if stage.version >= 6:
        delete("by id", (None, ids["d"]))
        delete("by an id that was", (None, ids["d"]))
        delete("by an unknown id", (None, UNKNOWN_ID))
        delete("by nothing", (None, NO_UUID))
        delete("by both", (name("c"), ids["c"]))
    left = MetadataRequest(topics=asked(*map(name, "abcd")), allow_auto_topic_creation=False)
    gone = 2 if stage.version < 6 else 3
    stage.until(left, 9, lambda reply: sum(one.error_code == 3 for one in reply.topics) >= gone)
    stage.ask("what is left", left, 9)


@play(CreatePartitionsRequest)
def create_partitions(stage: Stage) -> None:
    for name in "abc":
        stage.create(name, partitions=2)

    def grow(label: str, *topics: tuple[str, int, list[list[int]] | None], validate_only: bool = False) -> None:
        asked = [
            CreatePartitionsTopic(
                name=name,
                count=count,
                assignments=None
                if placed is None
                else [CreatePartitionsAssignment(broker_ids=brokers) for brokers in placed],
            )
            for name, count, placed in topics
        ]
        stage.ask(label, CreatePartitionsRequest(topics=asked, timeout_ms=10_000, validate_only=validate_only))

    name = stage.topic
    grow("to three", (name("a"), 3, None))
    grow("to the same", (name("a"), 3, None))
    grow("to fewer", (name("a"), 1, None))
    grow("to none", (name("a"), 0, None))
    grow("to less than none", (name("a"), -1, None))
    grow("unknown", (name("unknown"), 3, None))
    grow("the same twice", (name("b"), 3, None), (name("b"), 4, None), (name("c"), 3, None))
    grow("only looked at", (name("b"), 4, None), validate_only=True)
    grow("placed", (name("b"), 4, [[1], [1]]))
    grow("placed too few", (name("b"), 6, [[1]]))
    grow("placed too many", (name("b"), 5, [[1], [1]]))
    grow("placed nowhere", (name("b"), 5, [[]]))
    grow("placed on an unknown broker", (name("b"), 5, [[9]]))
    grow("placed twice on one", (name("b"), 5, [[1, 1]]))
    for one, partitions in (("a", 3), ("b", 4), ("c", 3)):
        stage.await_topic(name(one), partitions)
    stage.ask("what became of it", MetadataRequest(topics=asked(*map(name, "abc"))), 9)


@play(DescribeTopicPartitionsRequest)
def describe_topic_partitions(stage: Stage) -> None:
    for name in "ab":
        stage.create(name, partitions=3)
    a, b, unknown = stage.topic("a"), stage.topic("b"), stage.topic("unknown")

    def describe(label: str, *names: str, limit: int = 2000, cursor: tuple[str, int] | None = None) -> None:
        request = DescribeTopicPartitionsRequest(
            topics=[DescribeTopicPartitionsTopicRequest(name=name) for name in names],
            response_partition_limit=limit,
            cursor=None if cursor is None else Cursor(topic_name=cursor[0], partition_index=cursor[1]),
        )
        stage.ask(label, request)

    describe("one", a)
    describe("two", b, a)
    describe("unknown", unknown)
    describe("unknown among known", a, unknown, b)
    describe("twice", a, a)
    describe("in pages", a, b, limit=2)
    describe("next page", a, b, limit=2, cursor=(a, 2))
    describe("last page", a, b, limit=2, cursor=(b, 1))
    describe("beyond the last", a, b, cursor=(b, 3))
    describe("from an unknown topic", a, b, cursor=(unknown, 0))
    describe("no limit", a, limit=0)
    describe("less than no limit", a, limit=-1)
    describe("from less than nothing", a, cursor=(a, -1))
    for bad in BAD_NAMES:
        describe(f"named {bad!r}", bad)


@play(DescribeClusterRequest)
def describe_cluster(stage: Stage) -> None:
    stage.ask("plain", DescribeClusterRequest(include_cluster_authorized_operations=False))
    stage.ask("with operations", DescribeClusterRequest(include_cluster_authorized_operations=True))
    for kind in (1, 2, 3, 7):
        for asks in (False, True):
            request = DescribeClusterRequest(include_cluster_authorized_operations=asks, endpoint_type=kind)
            stage.ask(f"endpoints of type {kind}, {asks}", request)
    request = DescribeClusterRequest(include_cluster_authorized_operations=False, include_fenced_brokers=True)
    stage.ask("with fenced brokers", request)
