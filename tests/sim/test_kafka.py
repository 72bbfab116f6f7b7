"""minikafka in a world of virtual time: repeatable, and whole again after a kill or a power failure at any instant."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from minikafka.broker import Broker
from minikafka.config import settings_of
from protocol.kafka.framing import Framer, frame_request, read_reply
from protocol.kafka.messages.produce import (
    FetchPartition,
    FetchRequest,
    FetchTopic,
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)
from protocol.kafka.messages.topics import CreatableTopic, CreateTopicsRequest, MetadataRequest
from protocol.kafka.records import build_batch, each_record
from protocol.kafka.schema import Request
from tests.sim.disk import SimDisk
from tests.sim.world import EPOCH_MS, SimClock, SimLoop, SimProcess, run

PORT = 9092
TOPIC = "t"
BATCHES = 40
SETTINGS = {
    "node.id": "1",
    "listeners": f"PLAINTEXT://127.0.0.1:{PORT}",
    "log.dirs": "/data",
    # Preallocated indexes are sparse on a real disk and real memory here.
    "log.index.size.max.bytes": "4096",
    # Small segments: a kill falls on rolls, too.
    "log.segment.bytes": str(1 << 20),
}


class Client(asyncio.Protocol):
    """Asks one thing after the other."""

    def __init__(self, world: SimLoop) -> None:
        self.world = world
        self.framer = Framer()
        self.waiting: list[tuple[type[Request], int, asyncio.Future[Any]]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.framer.feed(data)
        for frame in self.framer.frames():
            kind, version, future = self.waiting.pop(0)
            future.set_result(read_reply(frame, kind, version)[1])

    def ask(self, request: Request, version: int) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.world.create_future()
        self.waiting.append((type(request), version, future))
        self.transport.write(b"".join(frame_request(request, version, len(self.waiting), "sim")))
        return future


async def start(world: SimLoop, disk: SimDisk) -> tuple[Broker, Client]:
    broker = Broker(
        settings_of(SETTINGS), loop=world, disk=disk, clock=SimClock(world), random=Random(world.seed),
        process=SimProcess(),
    )  # fmt: skip
    await broker.start()
    client = Client(world)
    await world.create_connection(lambda: client, "127.0.0.1", PORT)
    return broker, client


def produced(number: int, size: int) -> ProduceRequest:
    batch = build_batch([(EPOCH_MS + number, None, b"%d" % number + b"x" * size)])
    partition = PartitionProduceData(index=0, records=batch)
    return ProduceRequest(
        transactional_id=None, acks=-1, timeout_ms=10_000,
        topic_data=[TopicProduceData(name=TOPIC, partition_data=[partition])],
    )  # fmt: skip


async def create(client: Client) -> None:
    topic = CreatableTopic(name=TOPIC, num_partitions=1, replication_factor=1)
    reply = await client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=5_000), 4)
    assert reply.topics[0].error_code == 0


async def read_all(client: Client) -> list[int]:
    """The numbers of all records in the topic, in order."""
    numbers: list[int] = []
    while True:
        partition = FetchPartition(partition=0, fetch_offset=len(numbers), partition_max_bytes=1 << 16)
        fetch = FetchRequest(
            replica_id=-1, max_wait_ms=10, min_bytes=1, max_bytes=1 << 20, session_epoch=-1,
            topics=[FetchTopic(topic=TOPIC, partitions=[partition])],
        )  # fmt: skip
        reply = await client.ask(fetch, 11)
        found = reply.responses[0].partitions[0]
        assert found.error_code == 0
        if not found.records:
            return numbers
        data = bytes(found.records)
        while data:
            size = int.from_bytes(data[8:12]) + 12
            numbers += [int(record.value.rstrip(b"x")) for record in each_record(data[:size])]
            data = data[size:]


async def fill(client: Client, chance: Random, acknowledged: list[int]) -> None:
    """Send batches, several at once, and note what was acknowledged."""
    for first in range(0, BATCHES, 4):
        asked = [client.ask(produced(first + step, chance.randrange(100_000)), 7) for step in range(4)]
        for step, future in enumerate(asked):
            reply = await future
            assert reply.responses[0].partition_responses[0].error_code == 0
            acknowledged.append(first + step)


def test_one_seed_is_one_trace() -> None:
    """Without this no failure below could be looked at twice."""

    def play(seed: int) -> int:
        async def main(world: SimLoop) -> None:
            broker, client = await start(world, SimDisk(Random(seed)))
            await create(client)
            acknowledged: list[int] = []
            await fill(client, Random(seed), acknowledged)
            assert await read_all(client) == acknowledged
            await broker.stop()

        return run(seed, main).fingerprint()

    assert play(1) == play(1)
    assert play(1) != play(2)


def end_at(seed: int, disk: SimDisk, acknowledged: list[int]) -> None:
    """A run that is cut off at an instant of the seed's choosing, without a goodbye."""

    async def main(world: SimLoop) -> None:
        _, client = await start(world, disk)
        await create(client)
        filling = asyncio.ensure_future(fill(client, Random(seed), acknowledged))
        await asyncio.wait([filling], timeout=Random(seed).uniform(0.001, 0.05))
        if filling.done():
            filling.result()
        filling.cancel()

    run(seed, main)


def started_again(seed: int, disk: SimDisk) -> tuple[list[int], int]:
    """What a new broker on this disk serves, and how many brokers its metadata knows."""
    served: list[int] = []
    brokers = 0

    async def main(world: SimLoop) -> None:
        nonlocal brokers
        broker, client = await start(world, disk)
        metadata = await client.ask(MetadataRequest(topics=None), 9)
        brokers = len(metadata.brokers)
        assert [topic.name for topic in metadata.topics] == [TOPIC], "an acknowledged topic is gone"
        served.extend(await read_all(client))
        reply = await client.ask(produced(len(served), 10), 7)
        assert reply.responses[0].partition_responses[0].base_offset == len(served)
        await broker.stop()

    run(seed + 1_000, main)
    return served, brokers


@pytest.mark.parametrize("seed", range(12))
def test_a_killed_broker_loses_nothing(seed: int) -> None:
    """The page cache outlives the process: every acknowledged record is there, in order, and nothing twice."""
    disk, acknowledged = SimDisk(Random(seed)), list[int]()
    end_at(seed, disk, acknowledged)
    disk.let_go()
    served, brokers = started_again(seed, disk)
    assert served[: len(acknowledged)] == acknowledged
    assert served == list(range(len(served)))
    assert brokers == 1


@pytest.mark.parametrize("seed", range(12))
def test_a_power_failure_leaves_a_whole_prefix(seed: int) -> None:
    """Kafka does not fsync records before it acknowledges them; what is left must still be a clean beginning, the
    topic (whose metadata is fsynced) must exist, and the broker must start."""
    disk, acknowledged = SimDisk(Random(seed)), list[int]()
    end_at(seed, disk, acknowledged)
    disk.crash()
    served, _ = started_again(seed, disk)
    assert served == list(range(len(served)))
