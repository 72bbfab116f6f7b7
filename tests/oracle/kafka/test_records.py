"""Records written, read, looked up and deleted, in every version, on Apache Kafka 4.3.1 and on ours: what the two say
must be the same.

What differs by nature is evened out: topic ids become names, error texts become "text", append times become "time".
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from protocol.checksums import crc32c
from protocol.kafka.batch import CONTROL, HEADER, TRANSACTIONAL, BatchHeader
from protocol.kafka.messages import produce as m
from protocol.kafka.messages.topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    MetadataRequest,
    MetadataRequestTopic,
)
from protocol.kafka.records import build_batch
from protocol.kafka.schema import Request
from tests.oracle.kafka.wire import Wire, plain
from tests.peers.kafka import Broker

NOW_MS = int(time.time() * 1000)
HOUR_MS = 3_600_000
NO_ID = bytes(16)
UNKNOWN_ID = b"no such topic id"
READY_S = 60.0
TOPICS: dict[str, dict[str, str]] = {
    "plain": {},
    "stamped": {"message.timestamp.type": "LogAppendTime"},
    "compact": {"cleanup.policy": "compact"},
    "small": {"max.message.bytes": "200"},
    "strict": {"min.insync.replicas": "2"},
    "zstd": {"compression.type": "zstd"},
    "past": {"message.timestamp.before.max.ms": "3600000"},
}
RANGES: dict[type[Request], tuple[int, int]] = {
    m.ProduceRequest: (3, 13),
    m.FetchRequest: (4, 18),
    m.ListOffsetsRequest: (1, 11),
    m.OffsetForLeaderEpochRequest: (2, 4),
    m.DeleteRecordsRequest: (0, 2),
}


def records(
    count: int = 1,
    *,
    first_ms: int = NOW_MS,
    codec: int = 0,
    producer_id: int = -1,
    epoch: int = 0,
    sequence: int = 0,
    key: bytes | None = b"k",
    attributes: int = 0,
) -> bytes:
    """A batch as a client sends it."""
    return build_batch(
        [(first_ms + at, key, b"v%d" % at) for at in range(count)],
        codec=codec,
        attributes=attributes,
        producer_id=producer_id,
        producer_epoch=epoch if producer_id >= 0 else -1,
        base_sequence=sequence if producer_id >= 0 else -1,
    )


def changed(made: bytes, **fields: int) -> bytes:
    """The batch with other header fields and a right checksum."""
    data = bytearray(HEADER.pack(*BatchHeader.peek(made)._replace(**fields))) + made[61:]
    data[17:21] = crc32c(bytes(data[21:])).to_bytes(4, "big")
    return bytes(data)


class Play:
    """The same requests to one broker; what was said goes to `script`."""

    def __init__(self, broker: Broker, version: int) -> None:
        self.version = version
        self.wire = Wire(broker.port)
        self.port = broker.port
        self.script: list[Any] = []
        self.names = {name: f"{name}-{version}" for name in TOPICS}
        self._create()
        self._await_leaders()
        asked = [MetadataRequestTopic(topic_id=NO_ID, name=name) for name in self.names.values()]
        topics = self.wire.ask(MetadataRequest(topics=asked), 12).topics
        self.ids = {topic.name: bytes(topic.topic_id) for topic in topics}

    def _create(self) -> None:
        topics = [
            CreatableTopic(
                name=self.names[name],
                num_partitions=2,
                replication_factor=1,
                configs=[CreatableTopicConfig(name=key, value=value) for key, value in configs.items()],
            )
            for name, configs in TOPICS.items()
        ]
        self.wire.ask(CreateTopicsRequest(topics=topics, timeout_ms=10_000), 5)

    def _await_leaders(self) -> None:
        """Kafka tells of a new topic before its own broker has taken it over."""
        topics = [
            m.ListOffsetsTopic(
                name=name,
                partitions=[m.ListOffsetsPartition(partition_index=index, timestamp=-1) for index in range(2)],
            )
            for name in self.names.values()
        ]
        deadline = time.monotonic() + READY_S
        while True:
            request = m.ListOffsetsRequest(replica_id=-1, isolation_level=0, topics=topics, timeout_ms=0)
            found = self.wire.ask(request, 1)
            if not any(each.error_code for topic in found.topics for each in topic.partitions):
                return
            assert time.monotonic() < deadline, "the topics have no leaders"
            time.sleep(0.05)

    def of(self, kind: type[Request]) -> int:
        low, high = RANGES[kind]
        return min(max(self.version, low), high)

    def ask(self, label: str, request: Request) -> Any:
        version = self.of(type(request))
        try:
            reply = self.wire.ask(request, version)
        except ConnectionError:
            self.wire.socket.close()
            self.wire = Wire(self.port)
            self.script.append((label, "closed"))
            return None
        self.script.append((label, self.even(plain(reply, version))))
        return reply

    def even(self, value: Any, name: str = "") -> Any:
        """What two brokers must say alike."""
        if isinstance(value, dict):
            return {key: self.even(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [self.even(each, name) for each in value]
        if name in ("error_message", "batch_index_error_message"):
            return None if value is None else "text"
        if name == "topic_id":
            return {topic_id: topic for topic, topic_id in self.ids.items()}.get(bytes(value), bytes(value))
        if name == "log_append_time_ms" and value > NOW_MS - 60_000:
            return "time"
        if name == "port" and value == self.port:
            return "port"
        if name == "session_id" and value:
            return "session"
        return value

    # ── requests ──

    def topic(self, name: str) -> tuple[str, bytes]:
        full = self.names.get(name, name)
        return full, self.ids.get(full, UNKNOWN_ID)

    def produce(self, label: str, topic: str, batch: bytes, *, acks: int = -1, partition: int = 0) -> Any:
        name, topic_id = self.topic(topic)
        data = [m.PartitionProduceData(index=partition, records=batch)]
        return self.ask(
            f"produce {label}",
            m.ProduceRequest(
                acks=acks,
                timeout_ms=2000,
                topic_data=[m.TopicProduceData(name=name, topic_id=topic_id, partition_data=data)],
            ),
        )

    def fetch(self, label: str, offsets: list[tuple[str, int, int]], **more: Any) -> Any:
        """`offsets`: (topic, partition, offset); `more`: fields of the request, or `epoch`, `last`, `bytes`."""
        epoch, last, size = more.pop("epoch", -1), more.pop("last", -1), more.pop("bytes", 1 << 20)
        topics = []
        for topic, partition, offset in offsets:
            name, topic_id = self.topic(topic)
            asked = m.FetchPartition(
                partition=partition,
                fetch_offset=offset,
                current_leader_epoch=epoch,
                last_fetched_epoch=last,
                partition_max_bytes=size,
            )
            topics.append(m.FetchTopic(topic=name, topic_id=topic_id, partitions=[asked]))
        request = m.FetchRequest(
            **{
                "max_wait_ms": 0,
                "min_bytes": 1,
                "topics": topics,
                "forgotten_topics_data": [],
                "session_id": 0,
                "rack_id": "",
                **more,
            }
        )
        return self.ask(f"fetch {label}", request)

    def list_offsets(self, label: str, topic: str, timestamp: int, **more: Any) -> Any:
        epoch, partition = more.pop("epoch", -1), more.pop("partition", 0)
        asked = m.ListOffsetsPartition(partition_index=partition, current_leader_epoch=epoch, timestamp=timestamp)
        request = m.ListOffsetsRequest(
            **{"replica_id": -1, "isolation_level": 0, "timeout_ms": 1000, **more},
            topics=[m.ListOffsetsTopic(name=self.topic(topic)[0], partitions=[asked])],
        )
        return self.ask(f"offsets {label}", request)

    def epoch_end(self, label: str, topic: str, epoch: int, current: int = -1) -> Any:
        asked = m.OffsetForLeaderPartition(partition=0, leader_epoch=epoch, current_leader_epoch=current)
        topics = [m.OffsetForLeaderTopic(topic=self.topic(topic)[0], partitions=[asked])]
        return self.ask(f"epoch {label}", m.OffsetForLeaderEpochRequest(replica_id=-1, topics=topics))

    def delete(self, label: str, topic: str, offset: int, partition: int = 0) -> Any:
        asked = m.DeleteRecordsPartition(partition_index=partition, offset=offset)
        topics = [m.DeleteRecordsTopic(name=self.topic(topic)[0], partitions=[asked])]
        return self.ask(f"delete {label}", m.DeleteRecordsRequest(topics=topics, timeout_ms=5000))


def produce(play: Play) -> None:
    """Good batches, and every way to be refused."""
    play.produce("one", "plain", records(3))
    play.produce("acks 1", "plain", records(2), acks=1)
    for codec in range(1, 5):
        play.produce(f"codec {codec}", "plain", records(5, codec=codec))
    # No records at all (null) is not asked: Kafka 4.3.1 never answers it.
    play.produce("empty", "plain", b"")
    play.produce("two batches", "plain", records() * 2)
    play.produce("checksum", "plain", records()[:-1] + b"?")
    play.produce("magic 1", "plain", changed(records(), magic=1))
    play.produce("base offset", "plain", changed(records(), base_offset=5))
    play.produce("count", "plain", changed(records(3), count=2))
    play.produce("control", "plain", changed(records(), attributes=CONTROL))
    play.produce("acks 2", "plain", records(), acks=2)
    play.produce("no topic", "absent", records())
    play.produce("no partition", "plain", records(), partition=9)
    play.produce("internal", "__consumer_offsets", records())
    play.produce("too few in sync", "strict", records())
    play.produce("too few, not asked", "strict", records(), acks=1)
    play.produce("too large", "small", records(40))
    play.produce("stamped", "stamped", records(2))
    play.produce("no keys", "compact", records(3, key=None))
    play.produce("keys", "compact", records(3, codec=4))
    play.produce("recompressed", "zstd", records(9, codec=1))
    play.produce("future", "plain", records(2, first_ms=NOW_MS + 2 * HOUR_MS))
    play.produce("past", "past", records(2, first_ms=NOW_MS - 2 * HOUR_MS))
    play.produce("lying maximum", "plain", changed(records(2), max_timestamp=NOW_MS - 5))


def idempotent(play: Play) -> None:
    """Sequences and epochs of a producer."""

    def put(label: str, sequence: int, epoch: int = 0, producer: int = 4000, attributes: int = 0) -> None:
        made = records(2, producer_id=producer, epoch=epoch, sequence=sequence, attributes=attributes)
        play.produce(label, "plain", made, partition=1)

    for at in range(7):
        put(f"sequence {2 * at}", 2 * at)
    for at in (6, 4, 2, 0):
        put(f"again {2 * at}", 2 * at)
    put("gap", 20)
    put("negative", -1)
    put("new epoch, not from 0", 4, epoch=1)
    put("new epoch", 0, epoch=1)
    put("old epoch", 14)
    put("unknown producer anywhere", 77, producer=4001)
    put("wraps", (1 << 31) - 2, producer=4002)
    put("wrapped", 0, producer=4002)
    put("transactional", 0, producer=4003, attributes=TRANSACTIONAL)


def fetch(play: Play) -> None:
    """Whole batches, limits, watermarks, epochs, sessions."""
    play.fetch("all", [("plain", 0, 0)])
    play.fetch("inside a batch", [("plain", 0, 1)])
    play.fetch("one byte", [("plain", 0, 0)], bytes=1)
    play.fetch("two, one byte", [("plain", 0, 0), ("plain", 1, 0)], max_bytes=1)
    play.fetch("committed", [("plain", 0, 3)], isolation_level=1)
    play.fetch("at the end", [("plain", 1, 22)])
    play.fetch("beyond", [("plain", 0, 1000)])
    play.fetch("below", [("plain", 0, -1)])
    play.fetch("no topic", [("absent", 0, 0)])
    play.fetch("no partition", [("plain", 9, 0)])
    play.fetch("epoch", [("plain", 0, 0)], epoch=0, bytes=1)
    play.fetch("later epoch", [("plain", 0, 0)], epoch=7)
    play.fetch("last epoch", [("plain", 0, 3)], last=0, bytes=1)
    play.fetch("parted ways", [("plain", 0, 900)], last=0)
    play.fetch("stamped", [("stamped", 1, 0)])
    play.fetch("waits", [("stamped", 1, 0)], max_wait_ms=50)
    if play.of(m.FetchRequest) >= 7:
        sessions(play)


def sessions(play: Play) -> None:
    both = [("plain", 0, 0), ("plain", 1, 22)]
    first = play.fetch("new session", both, session_epoch=0, bytes=1)
    number = first.session_id
    play.fetch("unchanged", [], session_id=number, session_epoch=1)
    play.fetch("moved on", [("plain", 0, 25), ("plain", 1, 22)], session_id=number, session_epoch=2)
    play.produce("for the session", "plain", records(), partition=1)
    play.fetch("news", [], session_id=number, session_epoch=3)
    play.fetch("stale epoch", [], session_id=number, session_epoch=3)
    play.fetch("no session", [], session_id=number ^ 1, session_epoch=3)
    name, topic_id = play.topic("plain")
    forgotten = [m.ForgottenTopic(topic=name, topic_id=topic_id, partitions=[1])]
    play.fetch("forgotten", [], session_id=number, session_epoch=4, forgotten_topics_data=forgotten)
    play.fetch("closed", [], session_id=number, session_epoch=-1)
    play.fetch("gone", [], session_id=number, session_epoch=5)


def offsets(play: Play) -> None:
    """Ends, times, epochs, and what is deleted."""
    play.produce("later", "plain", records(2, first_ms=NOW_MS + 60_000))
    play.produce("latest", "plain", records(3, first_ms=NOW_MS + 90_000, codec=4))
    play.produce("earlier", "plain", records(2, first_ms=NOW_MS - 60_000))
    for timestamp in (-1, -2, -3, -4, -5, -6, -7, 0, NOW_MS, NOW_MS + 60_001, NOW_MS + 90_002, NOW_MS + 999_999):
        play.list_offsets(f"at {timestamp - NOW_MS if timestamp > 0 else timestamp}", "plain", timestamp)
    play.list_offsets("committed", "plain", -1, isolation_level=1)
    play.list_offsets("debugging", "plain", -1, replica_id=-2)
    play.list_offsets("of nothing", "past", -3, partition=1)
    play.list_offsets("no topic", "absent", -1)
    play.list_offsets("no partition", "plain", -1, partition=9)
    play.list_offsets("epoch", "plain", -1, epoch=0)
    play.list_offsets("later epoch", "plain", -1, epoch=5)
    for epoch in (-1, 0, 3):
        play.epoch_end(str(epoch), "plain", epoch)
    play.epoch_end("of a later epoch", "plain", 0, current=4)
    play.epoch_end("no topic", "absent", 0)
    play.delete("inside a batch", "plain", 4)
    play.delete("again", "plain", 2)
    play.list_offsets("earliest", "plain", -2)
    play.list_offsets("time below the start", "plain", 0)
    play.fetch("below the start", [("plain", 0, 3)])
    play.fetch("at the start", [("plain", 0, 4)], bytes=1)
    play.delete("beyond", "plain", 10_000)
    play.delete("negative", "plain", -5)
    play.delete("compacted", "compact", 1)
    play.delete("internal", "__consumer_offsets", 0)
    play.delete("no topic", "absent", 0)
    play.delete("no partition", "plain", 0, partition=9)
    play.delete("everything", "plain", -1)
    play.fetch("nothing left", [("plain", 0, 1000)])


@pytest.mark.peer
@pytest.mark.parametrize("version", range(19))
def test_records_in_every_version(stages: tuple[Broker, Broker], version: int) -> None:
    """A client of that version would get another answer from us than from Kafka."""
    real, ours = (Play(broker, version) for broker in stages)
    for play in (real, ours):
        for act in (produce, idempotent, fetch, offsets):
            act(play)
        play.wire.socket.close()
    differences = [
        f"{label}\n   kafka: {theirs}\n   ours:  {our}"
        for (label, theirs), (_, our) in zip(real.script, ours.script, strict=True)
        if theirs != our
    ]
    assert not differences, "\n".join(differences)


@pytest.mark.peer
def test_acks_0_is_silent_until_it_fails(stages: tuple[Broker, Broker]) -> None:
    """A producer that asked for no answer would get one, or never hear that it writes to nothing."""
    told = []
    for broker in stages:
        play = Play(broker, 100)
        name, topic_id = play.topic("plain")
        data = [m.PartitionProduceData(index=0, records=records(4))]
        good = [m.TopicProduceData(name=name, topic_id=topic_id, partition_data=data)]
        play.wire.send(m.ProduceRequest(acks=0, timeout_ms=1000, topic_data=good), 9)
        play.wire.asked.clear()
        found = play.list_offsets("after", "plain", -1)
        bad = [m.TopicProduceData(name="absent", topic_id=UNKNOWN_ID, partition_data=data)]
        play.wire.send(m.ProduceRequest(acks=0, timeout_ms=1000, topic_data=bad), 9)
        with pytest.raises(ConnectionError):
            play.wire.receive()
        told.append(found.topics[0].partitions[0].offset)
    assert told == [4, 4]
