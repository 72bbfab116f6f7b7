"""Nothing acknowledged is lost: the broker is killed while clients write, and started again on what it left."""

import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from tests.peers.kafka import Broker, our_broker, run_tool

RUN_S = 3.0
KILLS_AT_S = (0.8, 1.8)
DEADLINE_S = 60.0
OPTIONS = {"log.segment.bytes": "1048576", "log.index.interval.bytes": "512"}


class Writer:
    """A producer that remembers what was acknowledged, and where."""

    def __init__(self, broker: Broker, topic: str, acks: str) -> None:
        self.topic = topic
        self.acked: dict[bytes, tuple[int, int]] = {}
        self.failed: list[str] = []
        self.producer = Producer(
            {
                "bootstrap.servers": broker.address,
                "acks": acks,
                "enable.idempotence": acks == "all",
                "linger.ms": 1,
                "message.timeout.ms": int(DEADLINE_S * 1000),
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 100,
                "log_level": 0,
            }
        )

    def write(self, value: bytes) -> None:
        try:
            self.producer.produce(self.topic, value, on_delivery=self._told)
        except BufferError:
            self.producer.poll(0.01)
        self.producer.poll(0)

    def _told(self, error: object, message: Message) -> None:
        if error is not None:
            self.failed.append(str(error))
        else:
            value, partition, offset = message.value(), message.partition(), message.offset()
            assert value is not None
            assert partition is not None
            assert offset is not None
            self.acked[value] = (partition, offset)


def read_all(broker: Broker, topic: str, partitions: int) -> list[tuple[bytes, int, int]]:
    consumer = Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": "reader",
            "enable.partition.eof": True,
            "log_level": 0,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, index, 0) for index in range(partitions)])
    found, ended = [], 0
    deadline = time.monotonic() + DEADLINE_S
    while ended < partitions:
        assert time.monotonic() < deadline, f"{len(found)} records, and no end"
        for message in consumer.consume(10_000, 0.2):
            if message.error() is not None:
                ended += 1
            else:
                found.append((message.value(), message.partition(), message.offset()))
    consumer.close()
    return found


@pytest.mark.peer
@pytest.mark.parametrize("acks", ["1", "all"])
def test_a_killed_broker_loses_nothing_acknowledged(acks: str) -> None:
    """A client was told that its record is stored, and it is not; or an idempotent producer's is there twice."""
    with our_broker({**OPTIONS, "num.partitions": "2"}) as broker:
        writer = Writer(broker, "t", acks)
        started, kills, count = time.monotonic(), list(KILLS_AT_S), 0
        while (now := time.monotonic() - started) < RUN_S or kills:
            for _ in range(20):
                writer.write(b"%d" % count)
                count += 1
            time.sleep(0.0005)
            if kills and now > kills[0]:
                kills.pop(0)
                broker.kill()
                broker.start()
        assert writer.producer.flush(DEADLINE_S) == 0
        assert not writer.failed
        found = read_all(broker, "t", 2)
        where = {value: (partition, offset) for value, partition, offset in found}
        assert len(writer.acked) > 1000
        if acks == "all":
            assert len(found) == len(where), "an idempotent producer's record is there twice"
            assert {value: where.get(value) for value in writer.acked} == writer.acked
        else:
            assert writer.acked.keys() <= where.keys()
        broker.stop()
        check_files(broker.data)


def check_files(data: Path) -> None:
    """Kafka's own tool finds every batch, index entry and snapshot in order."""
    files = [str(path) for suffix in ("log", "index", "timeindex", "snapshot") for path in data.glob(f"t-*/*.{suffix}")]
    assert len(files) >= 6
    done = run_tool("dump-log", "--deep-iteration", "--index-sanity-check", "--files", ",".join(files))
    told = done.stdout + done.stderr
    for bad in ("Found", "isvalid: false", "corrupt", "Mismatches", "Exception"):
        assert bad not in told, told[told.index(bad) - 300 :][:600]
    checked = told.count("passed sanity check") + told.count(" is empty.")
    assert checked == sum(name.endswith("index") for name in files)
