"""What a client must not be able to do to the others: a whole broker, and requests no honest client sends."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.kafka.compression import ZSTD
from protocol.kafka.framing import frame_request
from protocol.kafka.messages import configs as c
from protocol.kafka.messages import groups as g
from protocol.kafka.messages import produce as p
from protocol.kafka.messages import topics as t
from protocol.kafka.records import build_batch
from protocol.kafka.schema import Request
from tests.unit.minikafka.wiring.test_broker import Broker, Client, broker, running  # noqa: F401

NAMES = 250
TURN_S = 0.050
TRIES = 5


def metadata_of(names: list[str]) -> Request:
    asked = [t.MetadataRequestTopic(name=name) for name in names]
    return t.MetadataRequest(topics=asked, allow_auto_topic_creation=True)


async def test_one_metadata_request_creates_a_hundred_topics_at_most(
    tmp_path: Path,
    running: list[Broker],  # noqa: F811
) -> None:
    """Anybody could stop the broker for seconds by asking for thousands of names; the others come when asked again."""
    one = broker(tmp_path)
    running.append(one)
    await one.start()
    names = [f"a_{number}.b" for number in range(NAMES)]
    async with Client(one) as client:
        seen = []
        for _ in range(3):
            await client.ask(metadata_of(names), 12)
            while one.controller.being_created:
                await asyncio.sleep(0.001)
            seen.append(len(one.image.topics))
    assert seen == [100, 200, NAMES]


async def test_a_request_for_the_same_configs_again_and_again_is_no_request(
    tmp_path: Path,
    running: list[Broker],  # noqa: F811
) -> None:
    """200 KB that name the broker 25,000 times would keep all others waiting for a minute, and make eight million
    configs of it."""
    one = broker(tmp_path)
    running.append(one)
    await one.start()
    async with Client(one) as client:
        resource = c.DescribeConfigsResource(resource_type=4, resource_name="1")
        told = await client.ask(c.DescribeConfigsRequest(resources=[resource] * 2), 4)
        assert [len(result.configs) > 300 for result in told.results] == [True, True]
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.ask(c.DescribeConfigsRequest(resources=[resource] * 25_000), 4)
    async with Client(one) as client:
        await client.ask(metadata_of(["still-there"]), 12)


def names(count: int) -> list[str]:
    return [f"a{number:05d}" for number in range(count)]


def fetch_of(topics: list[p.FetchTopic], session_epoch: int) -> Request:
    return p.FetchRequest(max_wait_ms=0, min_bytes=0, session_id=0, session_epoch=session_epoch, topics=topics)


def fetched(partition: int) -> p.FetchPartition:
    return p.FetchPartition(partition=partition, fetch_offset=123_456 + partition, partition_max_bytes=1 << 20)


def new_session() -> Request:
    return fetch_of([p.FetchTopic(topic="compacted", partitions=[fetched(at) for at in range(18_750)])], 0)


def fetch_of_topics() -> Request:
    topics = [p.FetchTopic(topic_id=at.to_bytes(16, "big"), partitions=[fetched(0)]) for at in range(20_000)]
    return fetch_of(topics, -1)


def offsets_of_topics() -> Request:
    asked = [p.ListOffsetsPartition(partition_index=0, current_leader_epoch=0, timestamp=-1)]
    return p.ListOffsetsRequest(topics=[p.ListOffsetsTopic(name=name, partitions=asked) for name in names(20_000)])


def commits_of_topics() -> Request:
    made = [g.OffsetCommitRequestPartition(partition_index=0, committed_offset=5, committed_metadata="")]
    topics = [g.OffsetCommitRequestTopic(name=name, partitions=made) for name in names(20_000)]
    return g.OffsetCommitRequest(group_id="g", topics=topics)


def new_topics() -> Request:
    topics = [
        t.CreatableTopic(name=name, num_partitions=1, replication_factor=1, assignments=[], configs=[])
        for name in names(20_000)
    ]
    return t.CreateTopicsRequest(topics=topics, timeout_ms=1)


def new_partitions() -> Request:
    topics = [t.CreatePartitionsTopic(name=name, count=3, assignments=None) for name in names(26_666)]
    return t.CreatePartitionsRequest(topics=topics, timeout_ms=1)


def coordinators() -> Request:
    return g.FindCoordinatorRequest(key="", key_type=0, coordinator_keys=names(75_000))


def tiny_records(key: bytes | None) -> Request:
    records = build_batch([(1, key, b"")] * 100_000)
    data = p.PartitionProduceData(index=0, records=records)
    return p.ProduceRequest(
        acks=1, timeout_ms=1000, topic_data=[p.TopicProduceData(name="compacted", partition_data=[data])]
    )


def folded_records() -> Request:
    values = [random.Random(number).randbytes(500).hex().encode() for number in range(50)]
    records = build_batch([(1, None, values[number % 50]) for number in range(7_900)], codec=ZSTD)
    data = p.PartitionProduceData(index=0, records=records)
    return p.ProduceRequest(
        acks=1, timeout_ms=1000, topic_data=[p.TopicProduceData(name="gzipped", partition_data=[data])]
    )


HOSTILE: dict[str, tuple[int, Callable[[], Request]]] = {
    "a new fetch session": (12, new_session),
    "a fetch of 20,000 topics": (13, fetch_of_topics),
    "offsets of 20,000 topics": (7, offsets_of_topics),
    "commits for 20,000 topics": (8, commits_of_topics),
    "20,000 new topics": (4, new_topics),
    "partitions for 26,666 topics": (0, new_partitions),
    "metadata of 50,000 topics": (4, lambda: metadata_of(names(50_000))),
    "the coordinators of 75,000 groups": (4, coordinators),
    "100,000 tiny records": (9, lambda: tiny_records(b"k")),
    "100,000 records without a key": (9, lambda: tiny_records(None)),
    "eight megabytes for another codec": (9, folded_records),
}


def converse(port: int, frame: bytes) -> bytes:
    """The answer to a request, its size before it; what there is of it when the broker hangs up."""
    got = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(frame)
        while len(got) < 4 or len(got) < 4 + int.from_bytes(got[:4], "big"):
            more = client.recv(1 << 20)
            if not more:
                break
            got += more
    return bytes(got)


class Turns:
    """How long the longest turn of the loop was, in time this thread had: neighbours on the machine do not count."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.is_over = False
        self.began = time.thread_time()

    def tick(self) -> None:
        now = time.thread_time()
        self.longest_s = max(self.longest_s, now - self.began)
        self.began = now
        if not self.is_over:
            asyncio.get_running_loop().call_soon(self.tick)


@pytest.mark.parametrize("case", HOSTILE)
async def test_nobody_waits_long_behind_one_request(
    case: str,
    tmp_path: Path,
    running: list[Broker],  # noqa: F811
) -> None:
    """One client with one request of a megabyte could keep all the others waiting, and again and again; or an honest
    one with twenty thousand topics is not served."""
    one = broker(tmp_path, auto_create_topics_enable="false")
    running.append(one)
    await one.start()
    async with Client(one) as client:
        for name, config, value in (
            ("compacted", "cleanup.policy", "compact"),
            ("gzipped", "compression.type", "gzip"),
        ):
            configs = [t.CreatableTopicConfig(name=config, value=value)]
            topic = t.CreatableTopic(name=name, num_partitions=1, replication_factor=1, assignments=[], configs=configs)
            await client.ask(t.CreateTopicsRequest(topics=[topic]), 7)
    version, make = HOSTILE[case]
    frame = b"".join(frame_request(make(), version, 1, "hostile"))
    assert len(frame) < 1.1 * (1 << 20)
    tries: list[float] = []
    while len(tries) < TRIES and (not tries or tries[-1] > TURN_S):
        turns = Turns()
        turns.tick()
        answer = await asyncio.to_thread(converse, one.endpoints[0].port, frame)
        turns.is_over = True
        await asyncio.sleep(0)
        assert len(answer) > 40, "it is answered"
        tries.append(turns.longest_s)
    assert min(tries) <= TURN_S, f"{min(tries) * 1000:.0f} ms"


@pytest.mark.parametrize("acks", [0, 1])
async def test_what_a_client_sent_before_it_left_is_run(
    acks: int,
    tmp_path: Path,
    running: list[Broker],  # noqa: F811
) -> None:
    """A producer that wants no answers and leaves when all is sent would lose what was not yet run, and one that only
    says it sends no more its answers."""
    one = broker(tmp_path)
    running.append(one)
    await one.start()
    batches = 500  # more than are run in one turn, and then one that is looked through in slices
    async with Client(one) as client:
        compacted = t.CreatableTopicConfig(name="cleanup.policy", value="compact")
        topics = [
            t.CreatableTopic(name=name, num_partitions=1, replication_factor=1, assignments=[], configs=configs)
            for name, configs in (("plain", []), ("compacted", [compacted]))
        ]
        await client.ask(t.CreateTopicsRequest(topics=topics), 7)

    def produced(topic: str, count: int) -> bytes:
        data = p.PartitionProduceData(index=0, records=build_batch([(1, b"k", b"")] * count))
        request = p.ProduceRequest(
            acks=acks, timeout_ms=1000, topic_data=[p.TopicProduceData(name=topic, partition_data=[data])]
        )
        return b"".join(frame_request(request, 9, 1, "leaving"))

    def leave() -> int:
        answers = bytearray()
        with socket.create_connection(("127.0.0.1", one.endpoints[0].port), timeout=60) as client:
            client.sendall(produced("plain", 1) * batches + produced("compacted", 50_000) + produced("plain", 1))
            client.shutdown(socket.SHUT_WR)
            while more := client.recv(1 << 16):
                answers += more
        return len(answers)

    received = await asyncio.to_thread(leave)
    assert one.replicas.partition("plain", 0).log.log_end_offset == batches + 1
    assert one.replicas.partition("compacted", 0).log.log_end_offset == 50_000
    assert (received > 20 * batches) if acks else (received == 0)
