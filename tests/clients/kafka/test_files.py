"""The files are Kafka's: Apache Kafka 4.3.1 opens what we closed, and serves the same records."""

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.peers.kafka import Broker, our_broker, real_broker

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
COUNT = 200
DEADLINE_S = 60.0
Found = list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]] | None, tuple[int, int], int]]


def write(broker: Broker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.address})
    config = {"internal.segment.bytes": "8192", "index.interval.bytes": "256"}
    for future in admin.create_topics([NewTopic("t", 1, 1, config=config)]).values():
        future.result(DEADLINE_S)
    for codec in CODECS:
        producer = Producer(
            {"bootstrap.servers": broker.address, "compression.type": codec, "enable.idempotence": True, "linger.ms": 5}
        )
        for at in range(COUNT):
            producer.produce("t", b"%s %d" % (codec.encode(), at), b"k%d" % at, headers=[("h", b"%d" % at)])
            if at % 40 == 0:
                producer.flush(DEADLINE_S)
        assert producer.flush(DEADLINE_S) == 0


def read(broker: Broker) -> Found:
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "g", "enable.auto.commit": False})
    consumer.assign([TopicPartition("t", 0, 0)])
    found: Found = []
    while len(found) < len(CODECS) * COUNT:
        message = consumer.poll(DEADLINE_S)
        assert message is not None, f"no record after {len(found)}"
        assert message.error() is None, message.error()
        found.append((message.key(), message.value(), message.headers(), message.timestamp(), message.offset()))
    consumer.commit(offsets=[TopicPartition("t", 0, 77)], asynchronous=False)
    consumer.close()
    return found


def committed(broker: Broker) -> int:
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "g"})
    offset = consumer.committed([TopicPartition("t", 0)], DEADLINE_S)[0].offset
    consumer.close()
    return offset


@pytest.mark.peer
@pytest.mark.slow
def test_kafka_serves_what_we_wrote() -> None:
    """Our users could not take their data to a larger cluster by starting Kafka on our directory."""
    with our_broker() as ours:
        write(ours)
        expected = read(ours)
        ours.stop()
        before = sorted(path.name for path in (ours.data / "t-0").iterdir())
        assert sum(name.endswith(".log") for name in before) > 2
        with real_broker(directory=ours.directory) as real:
            assert read(real) == expected
            assert committed(real) == 77
        with our_broker(directory=ours.directory) as again:
            assert read(again) == expected
            assert committed(again) == 77
