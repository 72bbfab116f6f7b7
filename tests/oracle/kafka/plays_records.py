"""Plays of records: producing, fetching, finding offsets, deleting."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from protocol.checksums import crc32c
from protocol.kafka.batch import CONTROL, HEADER, LOG_APPEND_TIME, TRANSACTIONAL, BatchHeader
from protocol.kafka.messages.produce import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
    FetchPartition,
    FetchRequest,
    FetchTopic,
    ForgottenTopic,
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)
from protocol.kafka.messages.topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    MetadataRequest,
    MetadataRequestTopic,
)
from protocol.kafka.messages.transactions import InitProducerIdRequest
from protocol.kafka.records import NewRecord, build_batch
from protocol.kafka.schema import NO_UUID, Request
from tests.oracle.kafka.play import Stage, play
from tests.oracle.kafka.wire import Wire, plain

UNKNOWN_ID = b"no such topic id"
THEN = int(time.time() * 1000) - 3_600_000  # the same for both, and too young for retention to take
RECORDS: tuple[NewRecord, ...] = (
    (THEN, b"k", b"v"),
    (THEN + 5, None, b"", [("h", b"x")]),
    (THEN + 3, b"key", None),
)


def batch(records: Sequence[NewRecord] = RECORDS, **options: int) -> bytes:
    return build_batch(records, **options)


def changed(data: bytes, seal: bool = True, **fields: int) -> bytes:
    """A batch with other header fields, its checksum right unless told not to."""
    header = BatchHeader.peek(data)._replace(**fields)
    whole = bytearray(HEADER.pack(*header) + data[HEADER.size :])
    if seal:
        whole[17:21] = crc32c(bytes(whole[21:])).to_bytes(4, "big")
    return bytes(whole)


def create(stage: Stage, name: str, partitions: int = 1, **configs: str) -> bytes:
    """A topic with settings."""
    topic = CreatableTopic(
        name=stage.topic(name),
        num_partitions=partitions,
        replication_factor=1,
        assignments=[],
        configs=[CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in configs.items()],
    )
    stage.wire.ask(CreateTopicsRequest(topics=[topic], timeout_ms=10_000), 5)
    return stage.await_topic(stage.topic(name), partitions)


def producing(
    stage: Stage, topic_id: bytes, name: str, *data: tuple[int, bytes | None], acks: int = -1
) -> ProduceRequest:
    topic = TopicProduceData(
        name=stage.topic(name),
        topic_id=topic_id,
        partition_data=[PartitionProduceData(index=index, records=records) for index, records in data],
    )
    return ProduceRequest(acks=acks, timeout_ms=5000, topic_data=[topic])


@play(ProduceRequest)
def produce(stage: Stage) -> None:
    topic_id = create(stage, "a", partitions=2)

    def send(label: str, records: bytes | None, partition: int = 0, acks: int = -1) -> None:
        stage.ask(label, producing(stage, topic_id, "a", (partition, records), acks=acks))

    for acks in (1, -1):
        send(f"acks {acks}", batch(), acks=acks)
    send("acks 2", batch(), acks=2)
    for codec, name in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
        send(name, batch(codec=codec))
    send("unknown codec", changed(batch(), attributes=5))
    stage.ask("two partitions", producing(stage, topic_id, "a", (0, batch()), (1, batch())))
    send("unknown partition", batch(), partition=2)
    send("negative partition", batch(), partition=-1)
    send("no bytes", b"")  # null instead makes Kafka itself stumble, and leaves the client without an answer
    send("two batches", batch() + batch())
    send("a cut batch", batch()[:-3])
    send("a header", batch()[:61])
    send("less than a header", batch()[:60])
    send("noise", bytes(range(1, 101)))
    send("wrong checksum", changed(batch(), seal=False, crc=1))
    send("magic 1", changed(batch(), seal=False, magic=1))
    send("magic 3", changed(batch(), seal=False, magic=3))
    # A count that only walking the records would find wrong is not tried: such batches we take as they are.
    send("another last offset", changed(batch(), last_offset_delta=7))
    send("no records counted", changed(batch(), count=0, last_offset_delta=-1))
    send("another base offset", changed(batch(), base_offset=7))
    send("a leader epoch", changed(batch(), leader_epoch=9))
    send("control", changed(batch(), attributes=CONTROL))
    send("append time", changed(batch(), attributes=LOG_APPEND_TIME))
    send("another greatest time", changed(batch(), max_timestamp=THEN + 50))
    send("long before", batch([(0, b"", b"")]))
    send("no time", batch([(-1, b"", b"")]))
    send("too large", batch([(THEN, b"", bytes(1048588))]))
    send("just small enough", batch([(THEN, None, bytes(1048588 - 61 - 12))]))
    unknown = TopicProduceData(
        name=stage.topic("unknown"),
        topic_id=UNKNOWN_ID,
        partition_data=[PartitionProduceData(index=0, records=batch())],
    )
    stage.ask("unknown topic", ProduceRequest(acks=1, timeout_ms=5000, topic_data=[unknown]))
    stage.ask("no topic", ProduceRequest(acks=1, timeout_ms=5000, topic_data=[]))
    stage.send("unanswered", producing(stage, topic_id, "a", (0, batch()), acks=0))
    send("after the unanswered", batch())
    stage.send("unanswered and wrong", producing(stage, topic_id, "a", (9, batch()), acks=0))
    send("after the wrong", batch())


@play(ProduceRequest, 7)
def produce_by_policy(stage: Stage) -> None:
    compact = create(stage, "compact", cleanup_policy="compact")
    stage.ask("keyless", producing(stage, compact, "compact", (0, batch())))
    stage.ask("keyed", producing(stage, compact, "compact", (0, batch([(THEN, b"k", b"v")]))))
    stamped = create(stage, "stamped", message_timestamp_type="LogAppendTime")
    stage.ask("stamped", producing(stage, stamped, "stamped", (0, batch())))
    small = create(stage, "small", max_message_bytes="100")
    stage.ask("too large here", producing(stage, small, "small", (0, batch([(THEN, b"", bytes(100))]))))
    strict = create(stage, "strict", message_timestamp_before_max_ms="600000", message_timestamp_after_max_ms="600000")
    stage.ask("too old", producing(stage, strict, "strict", (0, batch())))
    stage.ask("too young", producing(stage, strict, "strict", (0, batch([(THEN * 3, b"", b"")]))))
    now = int(time.time() * 1000)
    stage.ask("just right", producing(stage, strict, "strict", (0, batch([(now, b"", b"")]))))
    packed = create(stage, "packed", compression_type="gzip")
    stage.ask("recompressed", producing(stage, packed, "packed", (0, batch(codec=3))))


@play(ProduceRequest)
def produce_idempotently(stage: Stage) -> None:
    topic_id = create(stage, "a")
    made = stage.until(
        InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1000),
        4,
        lambda reply: reply.error_code == 0,
    )

    def send(
        label: str, sequence: int, count: int = 1, epoch: int = 0, attributes: int = 0, value: bytes = b"v"
    ) -> None:
        records = build_batch(
            [(THEN, b"k", value)] * count,
            producer_id=made.producer_id,
            producer_epoch=epoch,
            base_sequence=sequence,
            attributes=attributes,
        )
        stage.ask(label, producing(stage, topic_id, "a", (0, records)))

    send("first", 0)
    send("again", 0)
    send("next", 1, 2)
    for sequence in range(3, 8):
        send(f"sequence {sequence}", sequence)
    send("the fifth before", 3)
    send("the sixth before", 1, 2)
    send("part of one", 2)
    send("gap", 10)
    send("newer epoch in the middle", 5, epoch=1)
    send("newer epoch", 0, epoch=1)
    send("older epoch", 8, epoch=0)
    send("no sequence", -1, epoch=1)
    send("transactional without a transaction", 1, epoch=1, attributes=TRANSACTIONAL)
    send("after all that", 1, epoch=1)


def fetching(
    stage: Stage,
    topics: Sequence[tuple[str, bytes, Sequence[FetchPartition]]],
    *,
    wait_ms: int = 0,
    least: int = 0,
    most: int = 1 << 20,
    session: tuple[int, int] = (0, -1),
    isolation: int = 0,
    forgotten: Sequence[ForgottenTopic] = (),
) -> FetchRequest:
    return FetchRequest(
        max_wait_ms=wait_ms,
        min_bytes=least,
        max_bytes=most,
        isolation_level=isolation,
        session_id=session[0],
        session_epoch=session[1],
        topics=[
            FetchTopic(topic=stage.topic(name), topic_id=topic_id, partitions=list(partitions))
            for name, topic_id, partitions in topics
        ],
        forgotten_topics_data=list(forgotten),
    )


def at(offset: int, partition: int = 0, most: int = 1 << 20, epoch: int = -1, last_epoch: int = -1) -> FetchPartition:
    return FetchPartition(
        partition=partition,
        fetch_offset=offset,
        partition_max_bytes=most,
        current_leader_epoch=epoch,
        last_fetched_epoch=last_epoch,
    )


@play(FetchRequest)
def fetch(stage: Stage) -> None:
    topic_id = create(stage, "a", partitions=2)
    stage.produce("a", batch(), batch(codec=1), batch([(THEN, b"x", bytes(500))]), batch())
    stage.produce("a", batch(), partition=1)

    def get(label: str, *partitions: FetchPartition, wait_ms: int = 0, least: int = 0, most: int = 1 << 20,
            isolation: int = 0) -> None:  # fmt: skip
        request = fetching(
            stage, [("a", topic_id, partitions)], wait_ms=wait_ms, least=least, most=most, isolation=isolation
        )
        stage.ask(label, request)

    for offset in (*range(9), 10, 11, 1000, -1, -2):
        get(f"from {offset}", at(offset))
    get("committed only", at(0), isolation=1)
    get("both", at(0), at(0, 1))
    get("one byte each", at(0, most=1), at(0, 1, most=1))
    get("one byte of all", at(0), at(0, 1), most=1)
    get("no bytes", at(0, most=0), most=0)
    get("two batches and a bit", at(0, most=300))
    get("of a later one too little", at(3, most=100), at(0, 1))
    get("unknown partition", at(0, 7))
    get("one of two unknown", at(0, 7), at(0, 1))
    get("waiting in vain", at(10), wait_ms=50, least=1)
    get("enough at once", at(0), wait_ms=10_000, least=100)
    stage.ask("nothing", fetching(stage, []))
    stage.ask("unknown topic", fetching(stage, [("unknown", UNKNOWN_ID, [at(0)])]))
    stage.ask("both topics", fetching(stage, [("unknown", UNKNOWN_ID, [at(0)]), ("a", topic_id, [at(0)])]))
    if stage.version >= 9:
        get("epoch of now", at(0, epoch=0))
        get("epoch to come", at(0, epoch=5))
    if stage.version >= 12:
        get("last epoch of now", at(4, last_epoch=0))
        get("last epoch to come", at(4, last_epoch=3))
        get("both epochs", at(4, epoch=0, last_epoch=0))


@play(FetchRequest, 7)
def fetch_in_sessions(stage: Stage) -> None:
    topic_id = create(stage, "a", partitions=2)
    stage.produce("a", batch())
    sessions: dict[int, str] = {0: "none"}

    def get(label: str, session: tuple[int, int], *partitions: FetchPartition, forget: Sequence[int] = ()) -> int:
        topics = [("a", topic_id, partitions)] if partitions else []
        forgotten = (
            [ForgottenTopic(topic=stage.topic("a"), topic_id=topic_id, partitions=list(forget))] if forget else []
        )
        request = fetching(stage, topics, session=session, forgotten=forgotten)
        reply = stage.wire.ask(request, stage.version)
        session_id: int = reply.session_id
        reply.session_id = 1 if session_id else 0
        stage.compare(label, plain(reply, stage.version))
        sessions[session_id] = label
        return session_id

    one = get("new", (0, 0), at(0), at(0, 1))
    get("nothing new", (one, 1))
    get("advanced", (one, 2), at(3))
    stage.produce("a", batch(), partition=1)
    get("one has something", (one, 3))
    get("still there", (one, 4))
    get("forgotten", (one, 5), forget=[1])
    get("then empty", (one, 6))
    get("old epoch", (one, 3))
    get("epoch ahead", (one, 9))
    get("unknown session", (12345, 1))
    get("closed", (one, -1), at(0))
    get("gone", (one, 7))
    get("without a session", (0, -1), at(0))
    two = get("of an unknown partition", (0, 0), at(0, 7), at(0))
    get("again", (two, 1))
    get("new one for the old", (two, 0), at(0))
    get("that is gone", (two, 2))


@play(FetchRequest, 13)
def fetch_in_a_session_what_was_deleted(stage: Stage) -> None:
    topic_id = create(stage, "a")
    name = stage.topic("a")
    stage.produce("a", batch())

    def get(label: str, session: tuple[int, int], *partitions: FetchPartition) -> int:
        topics = [("a", topic_id, partitions)] if partitions else []
        reply = stage.wire.ask(fetching(stage, topics, session=session), stage.version)
        session_id: int = reply.session_id
        reply.session_id = 1 if session_id else 0
        stage.compare(label, plain(reply, stage.version))
        return session_id

    one = get("new", (0, 0), at(0))
    stage.wire.ask(DeleteTopicsRequest(topic_names=[name], timeout_ms=10_000), 5)
    asked = MetadataRequest(topics=[MetadataRequestTopic(topic_id=NO_UUID, name=name)], allow_auto_topic_creation=False)
    stage.until(asked, 12, lambda reply: reply.topics[0].error_code == 3)
    end = ListOffsetsTopic(name=name, partitions=[ListOffsetsPartition(partition_index=0, timestamp=-1)])
    stage.until(
        ListOffsetsRequest(replica_id=-1, topics=[end]), 2, lambda reply: reply.topics[0].partitions[0].error_code == 3
    )
    get("deleted", (one, 1))
    create(stage, "a")
    get("made again", (one, 2))
    get("without a session", (0, -1), at(0))


@play(FetchRequest)
def fetch_while_things_change(stage: Stage) -> None:
    topic_id = create(stage, "a", partitions=2)
    stage.produce("a", batch())

    def wait_for(label: str, act: Callable[[], Any], *partitions: FetchPartition, least: int = 1) -> None:
        with Wire(stage.broker.port) as reader:
            reader.send(fetching(stage, [("a", topic_id, partitions)], wait_ms=5000, least=least), stage.version)
            time.sleep(0.05)  # either way the answer is the same, but it should wait
            act()
            stage.compare(label, plain(reader.receive(), stage.version))

    wait_for("other partition", lambda: stage.produce("a", batch(), partition=1), at(3), at(0, 1))

    def produce_to_both() -> None:
        for index in (0, 1):
            stage.produce("a", batch([(THEN, None, bytes(300))]), partition=index)

    wait_for("enough in two", produce_to_both, at(3), at(3, 1), least=500)
    gone = DeleteTopicsRequest(topic_names=[stage.topic("a")], timeout_ms=10_000)
    wait_for("deleted", lambda: stage.wire.ask(gone, 5), at(4))


@play(ProduceRequest, 9, 9)
def requests_of_one_connection(stage: Stage) -> None:
    topic_id = create(stage, "a", partitions=2)
    asked: list[tuple[Request, int]] = [
        (producing(stage, topic_id, "a", (0, batch()), acks=1), 9),
        (fetching(stage, [("a", topic_id, [at(3)])], wait_ms=200, least=1), 12),
        (producing(stage, topic_id, "a", (0, batch())), 9),
        (fetching(stage, [("a", topic_id, [at(3)])], wait_ms=5000, least=1), 12),
        (fetching(stage, [("a", topic_id, [at(100)])], wait_ms=5000, least=1), 12),
        (ListOffsetsRequest(replica_id=-1, topics=[]), 2),
    ]
    for request, version in asked:
        stage.wire.send(request, version)
    for at_place, (_, version) in enumerate(asked):
        stage.compare(f"answer {at_place}", plain(stage.wire.receive(), version))


@play(ListOffsetsRequest)
def list_offsets(stage: Stage) -> None:
    topic_id = create(stage, "a", partitions=2)
    assert topic_id
    stage.produce("a", batch(), batch([(THEN + 100, b"", b""), (THEN + 50, b"", b"")]), batch([(THEN + 70, b"", b"")]))

    def find(label: str, *asked: tuple[int, int], topic: str = "a", epoch: int = -1, isolation: int = 0,
             replica: int = -1) -> None:  # fmt: skip
        partitions = [
            ListOffsetsPartition(partition_index=index, timestamp=timestamp, current_leader_epoch=epoch)
            for index, timestamp in asked
        ]
        topics = [ListOffsetsTopic(name=stage.topic(topic), partitions=partitions)]
        stage.ask(
            label, ListOffsetsRequest(replica_id=replica, isolation_level=isolation, topics=topics, timeout_ms=1000)
        )

    for timestamp in (-1, -2, -3, -4, -5, -6, -7, -100):
        find(f"of {timestamp}", (0, timestamp))
        find(f"of {timestamp} where nothing is", (1, timestamp))
    for timestamp in (
        0,
        THEN,
        THEN + 1,
        THEN + 4,
        THEN + 5,
        THEN + 6,
        THEN + 50,
        THEN + 60,
        THEN + 100,
        THEN + 101,
        2**62,
    ):
        find(f"at {timestamp - THEN}", (0, timestamp))
    find("where nothing is", (1, THEN))
    find("committed", (0, -1), isolation=1)
    find("both", (0, -1), (1, -1))
    find("twice", (0, -1), (0, -2))
    find("unknown partition", (2, -1))
    find("unknown topic", (0, -1), topic="unknown")
    find("for debugging", (0, -1), replica=-2)
    if stage.version >= 4:
        find("epoch of now", (0, -1), epoch=0)
        find("epoch to come", (0, -1), epoch=1)


@play(OffsetForLeaderEpochRequest)
def offset_for_leader_epoch(stage: Stage) -> None:
    stage.create("a")
    stage.produce("a", batch())

    def find(label: str, epoch: int, current: int = -1, partition: int = 0, topic: str = "a") -> None:
        asked = OffsetForLeaderPartition(partition=partition, leader_epoch=epoch, current_leader_epoch=current)
        topics = [OffsetForLeaderTopic(topic=stage.topic(topic), partitions=[asked])]
        stage.ask(label, OffsetForLeaderEpochRequest(topics=topics))

    for epoch in (-1, 0, 1, 5, -5):
        find(f"epoch {epoch}", epoch)
    find("current epoch of now", 0, current=0)
    find("current epoch to come", 0, current=3)
    find("unknown partition", 0, partition=3)
    find("unknown topic", 0, topic="unknown")


@play(DeleteRecordsRequest)
def delete_records(stage: Stage) -> None:
    topic_id = create(stage, "a", partitions=2)
    stage.produce("a", batch(), batch(), batch())

    def delete(label: str, *asked: tuple[int, int], topic: str = "a") -> None:
        partitions = [DeleteRecordsPartition(partition_index=index, offset=offset) for index, offset in asked]
        topics = [DeleteRecordsTopic(name=stage.topic(topic), partitions=partitions)]
        stage.ask(label, DeleteRecordsRequest(topics=topics, timeout_ms=5000))

    delete("inside a batch", (0, 4))
    stage.ask("then fetched", fetching(stage, [("a", topic_id, [at(4)])]), 12)
    stage.ask("and below", fetching(stage, [("a", topic_id, [at(3)])]), 12)
    delete("before that", (0, 2))
    delete("beyond the end", (0, 100))
    delete("below nothing", (0, -2))
    delete("where nothing is", (1, -1))
    delete("unknown partition", (7, 0))
    delete("unknown topic", (0, 0), topic="unknown")
    delete("two", (0, 5), (1, 0))
    delete("to the end", (0, -1))
    stage.ask("what is left", fetching(stage, [("a", topic_id, [at(9)])]), 12)
    compact = create(stage, "compact", cleanup_policy="compact")
    assert compact
    stage.produce("compact", batch([(THEN, b"k", b"v")]))
    delete("of a compacted topic", (0, 1), topic="compact")
