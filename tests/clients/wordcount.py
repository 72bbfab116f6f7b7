"""Counts words out of Kafka into Redis, exactly once, with ordinary clients.

    python -m tests.clients.wordcount --kafka 127.0.0.1:9092 --redis 6379 --topic lines --group counters

Any number of these may run; they share the topic's partitions as a consumer group. The offset up to which a partition
has been counted lies in Redis beside the counts and moves in the same MULTI: whoever takes a partition over begins
where the counts end, so a worker may die at any instant and nothing is counted twice or left out.

    words           sorted set: word → how often
    offset:N        string: the next offset of partition N to count
    lengths         hash: word length → how many words (HINCRBY beside ZINCRBY)
"""

import argparse
import contextlib
import signal
from collections import Counter

import confluent_kafka
import redis

BATCH = 5_000  # lines counted before one transaction


class Worker:
    """One consumer of the group and one connection to Redis."""

    def __init__(self, brokers: str, redis_port: int, topic: str, group: str) -> None:
        self.redis = redis.Redis(port=redis_port)
        self.consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6_000,
                "fetch.wait.max.ms": 100,
            }
        )
        self.consumer.subscribe([topic], on_assign=self.take)

    def take(self, consumer: confluent_kafka.Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
        """Begin each partition where its counts end, whatever the group's own offsets say."""
        for partition in partitions:
            partition.offset = int(self.redis.get(f"offset:{partition.partition}") or 0)
        consumer.assign(partitions)

    def turn(self) -> None:
        by_partition: dict[int, list[confluent_kafka.Message]] = {}
        for message in self.consumer.consume(BATCH, timeout=0.5):
            if message.error() is None:
                by_partition.setdefault(message.partition(), []).append(message)
        for partition, messages in by_partition.items():
            self.count(partition, messages)

    def count(self, partition: int, messages: list[confluent_kafka.Message]) -> None:
        first, following = messages[0].offset(), messages[-1].offset() + 1
        words: Counter[bytes] = Counter()
        for message in messages:
            words.update((message.value() or b"").split())
        lengths = Counter[int]()
        for word, times in words.items():
            lengths[len(word)] += times
        mark = f"offset:{partition}"
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.watch(mark)
            if int(pipe.get(mark) or 0) != first:
                return  # another worker counted these; the rebalance that says so is on its way
            pipe.multi()
            for word, times in words.items():
                pipe.zincrby("words", times, word)
            for length, times in lengths.items():
                pipe.hincrby("lengths", str(length), times)
            pipe.set(mark, following)
            with contextlib.suppress(redis.WatchError):  # it was counted by another worker this very moment
                pipe.execute()

    def run(self) -> None:
        stop: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
        while not stop:
            self.turn()
        self.consumer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", default="127.0.0.1:9092")
    parser.add_argument("--redis", type=int, default=6379)
    parser.add_argument("--topic", default="lines")
    parser.add_argument("--group", default="counters")
    options = parser.parse_args()
    Worker(options.kafka, options.redis, options.topic, options.group).run()


if __name__ == "__main__":
    main()
