"""A producer or a member of a consumer group in a process of its own, so that it can be killed.

    python -m tests.clients.kafka.member CLIENT produce BOOTSTRAP TOPIC CODEC COUNT
        sends COUNT records "CODEC-0", "CODEC-1", … with their number as key; prints "sent COUNT" at the end
    python -m tests.clients.kafka.member CLIENT consume BOOTSTRAP TOPIC GROUP
        prints "assigned 0,1,…" after each rebalance and "got PARTITION OFFSET VALUE" for each record; commits as it
        goes; leaves cleanly on SIGTERM

Member.java speaks the same words for the Java client.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

SESSION_MS = 5000  # a killed member is missed after this; one on a slow machine must not be
HEARTBEAT_MS = 300
COMMIT_MS = 200
DEADLINE_S = 100
FIRST_POLL_MS = 10_000


class Stop:
    """Set by SIGTERM."""

    def __init__(self) -> None:
        self.is_set = False
        signal.signal(signal.SIGTERM, self._set)

    def _set(self, *_: Any) -> None:
        self.is_set = True


def tell(text: str) -> None:
    print(text, flush=True)


def assigned(partitions: Iterable[int]) -> None:
    tell("assigned " + ",".join(str(partition) for partition in sorted(partitions)))


# ---- confluent-kafka (librdkafka)


def confluent_produce(bootstrap: str, topic: str, codec: str, count: int) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "enable.idempotence": True})
    failures: list[Any] = []
    for number in range(count):
        producer.produce(
            topic,
            f"{codec}-{number}",
            str(number),
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
    producer.flush(DEADLINE_S)
    assert not failures, failures


def confluent_consume(bootstrap: str, topic: str, group: str) -> None:
    from confluent_kafka import Consumer

    stop = Stop()
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": HEARTBEAT_MS,
            "auto.commit.interval.ms": COMMIT_MS,
        }
    )

    def on_assign(_: Any, partitions: Any) -> None:
        assigned(each.partition for each in partitions)

    consumer.subscribe([topic], on_assign=on_assign)
    while not stop.is_set:
        message = consumer.poll(0.1)
        if message is not None:
            assert message.error() is None, message.error()
            tell(f"got {message.partition()} {message.offset()} {message.value().decode()}")
    consumer.close()


# ---- kafka-python


def kafka_python_produce(bootstrap: str, topic: str, codec: str, count: int) -> None:
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec)
    sent = [producer.send(topic, f"{codec}-{n}".encode(), str(n).encode()) for n in range(count)]
    producer.flush(DEADLINE_S)
    for future in sent:
        future.get(DEADLINE_S)
    producer.close()


def kafka_python_consume(bootstrap: str, topic: str, group: str) -> None:
    from kafka import KafkaConsumer

    stop = Stop()
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        auto_commit_interval_ms=COMMIT_MS,
    )

    consumer.subscribe([topic], listener=_kafka_python_listener())
    while not stop.is_set:
        # kafka-python 3.0.12 forgets a rebalance when a poll ends in the middle of one that it began because it learned
        # of the topic's partitions only after it had assigned them: need_rejoin() is False by then, nobody takes the
        # answer of SyncGroup, the heartbeat stays off (coordinator/base.py, join_group_async). So the first poll lasts.
        for records in consumer.poll(timeout_ms=100 if consumer.assignment() else FIRST_POLL_MS).values():
            for record in records:
                tell(f"got {record.partition} {record.offset} {record.value.decode()}")
    consumer.close()


def _kafka_python_listener() -> Any:
    from kafka import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_revoked(self, revoked: Any) -> None:
            pass

        def on_partitions_assigned(self, partitions: Any) -> None:
            assigned(each.partition for each in partitions)

    return Listener()


# ---- aiokafka


def aiokafka_produce(bootstrap: str, topic: str, codec: str, count: int) -> None:
    async def run() -> None:
        from aiokafka import AIOKafkaProducer

        kind = None if codec == "none" else codec
        async with AIOKafkaProducer(
            bootstrap_servers=bootstrap, compression_type=kind, enable_idempotence=True
        ) as producer:
            sent = [await producer.send(topic, f"{codec}-{n}".encode(), str(n).encode()) for n in range(count)]
            await asyncio.wait_for(asyncio.gather(*sent), DEADLINE_S)

    asyncio.run(run())


def aiokafka_consume(bootstrap: str, topic: str, group: str) -> None:
    stop = Stop()

    async def run() -> None:
        from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener

        class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
            async def on_partitions_revoked(self, revoked: Any) -> None:
                pass

            async def on_partitions_assigned(self, partitions: Any) -> None:
                assigned(each.partition for each in partitions)

        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            auto_commit_interval_ms=COMMIT_MS,
        )
        consumer.subscribe([topic], listener=Listener())
        async with consumer:
            while not stop.is_set:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        tell(f"got {record.partition} {record.offset} {record.value.decode()}")

    asyncio.run(run())


CLIENTS: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "confluent": (confluent_produce, confluent_consume),
    "kafka-python": (kafka_python_produce, kafka_python_consume),
    "aiokafka": (aiokafka_produce, aiokafka_consume),
}


def main(client: str, what: str, bootstrap: str, topic: str, *rest: str) -> None:
    produce, consume = CLIENTS[client]
    if what == "consume":
        consume(bootstrap, topic, rest[0])
    else:
        produce(bootstrap, topic, rest[0], int(rest[1]))
        tell(f"sent {rest[1]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
