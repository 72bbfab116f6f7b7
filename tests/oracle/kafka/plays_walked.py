"""Batches whose records are looked at one by one, because their topic is compacted; partitions named twice."""

from __future__ import annotations

from protocol.kafka.batch import DELETE_HORIZON
from protocol.kafka.messages.produce import (
    FetchRequest,
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
    ProduceRequest,
)
from tests.oracle.kafka.play import Stage, play
from tests.oracle.kafka.plays_records import THEN, at, batch, changed, create, fetching, producing

KEYED = ((THEN, b"k", b"v"), (THEN + 5, b"", b"", [("h", b"x")]), (THEN + 3, b"key", None))
NOISE = b"\xde\xad\xbe\xef" * 6
HEADER_BYTES = 61
LENGTH_FROM = 12


def with_body(data: bytes, body: bytes) -> bytes:
    return changed(data[:HEADER_BYTES] + body, length=HEADER_BYTES - LENGTH_FROM + len(body))


@play(ProduceRequest, 9, 9)
def produce_what_is_walked(stage: Stage) -> None:
    topic_id = create(stage, "a", cleanup_policy="compact")

    def send(label: str, records: bytes) -> None:
        stage.ask(label, producing(stage, topic_id, "a", (0, records)))

    for codec in range(5):
        data = batch(KEYED, codec=codec)
        send(f"codec {codec}", data)
        send(f"codec {codec} count high", changed(data, count=4, last_offset_delta=3))
        send(f"codec {codec} count low", changed(data, count=2, last_offset_delta=1))
        if codec:
            send(f"codec {codec} noise", with_body(data, NOISE))
            send(f"codec {codec} nothing", with_body(data, b""))
    data = batch(KEYED)
    send("noise inside", changed(data[:70] + b"\xff" * 8 + data[78:]))
    send("append time", changed(data, attributes=8))
    send("delete horizon", changed(data, attributes=DELETE_HORIZON))
    send("unknown attributes", changed(data, attributes=0x7F00))
    send("all attributes", changed(data, attributes=-32768))
    send("greatest time too low", changed(data, max_timestamp=THEN - 5))
    send("greatest time too high", changed(data, max_timestamp=THEN + 1000))
    send("no greatest time", changed(data, max_timestamp=-1))
    send("times before the first", changed(data, base_timestamp=-50))
    stage.ask("all", fetching(stage, [("a", topic_id, [at(0)])]), 12)
    for time in (0, THEN - 1, THEN, THEN + 6, THEN + 999, -3):
        asked = [ListOffsetsPartition(partition_index=0, timestamp=time)]
        topics = [ListOffsetsTopic(name=stage.topic("a"), partitions=asked)]
        stage.ask(f"at {time - THEN if time > 0 else time}", ListOffsetsRequest(replica_id=-1, topics=topics), 7)


@play(ProduceRequest, 7)
def produce_to_a_partition_twice(stage: Stage) -> None:
    topic_id = create(stage, "a", partitions=2)
    some = [batch([(THEN, b"k", b"v%d" % number)]) for number in range(3)]
    bad = changed(some[0], seal=False, crc=5)
    stage.ask("twice", producing(stage, topic_id, "a", (0, some[0]), (1, some[1]), (0, some[2])))
    stage.ask("bad last", producing(stage, topic_id, "a", (0, some[0]), (0, bad)))
    stage.ask("bad first", producing(stage, topic_id, "a", (0, bad), (0, some[1])))
    stage.ask("what is there", fetching(stage, [("a", topic_id, [at(0)])]), 12)


@play(FetchRequest, 4)
def fetch_a_partition_twice(stage: Stage) -> None:
    topic_id = create(stage, "a", partitions=2)
    stage.produce("a", batch(KEYED), batch(KEYED))
    stage.ask("twice", fetching(stage, [("a", topic_id, [at(0), at(0, partition=1), at(3)])]))
    stage.ask(
        "in turns", fetching(stage, [("a", topic_id, [at(0)]), ("b", bytes(16), [at(0)]), ("a", topic_id, [at(3)])])
    )
