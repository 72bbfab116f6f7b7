"""The short way of Produce beside the handler that knows everything: whatever is sent, both say and write the same."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from minikafka.api.produce import shortcut
from minikafka.broker import Broker
from minikafka.config import settings_of
from minikafka.session import Session
from protocol.disk.files import Disk
from protocol.kafka.batch import HEADER
from protocol.kafka.framing import Scratch, frame_request
from protocol.kafka.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.kafka.messages.topics import CreatableTopic, CreateTopicsRequest, DeleteTopicsRequest, DeleteTopicState
from protocol.ops.clock import Clock
from protocol.ops.process import Process
from tests.unit.minikafka.api.test_session import FakeConnection
from tests.unit.minikafka.log import batch

NAMES = ("short", "known")
PARTITIONS = 2


class Outlet(FakeConnection):
    def write(self, data: bytes) -> None:
        self.write_parts([data])


class Side:
    """One session and the topic it writes to; without the short way if it `is_long`."""

    def __init__(self, broker: Broker, name: str, *, is_long: bool) -> None:
        self.broker = broker
        self.name = name
        self.ids: list[bytes] = []
        apis = dict(broker.services.apis)
        if is_long:
            apis[0] = dataclasses.replace(apis[0], shortcut=None)
        self.services = dataclasses.replace(broker.services, apis=apis)
        self.connect()

    def connect(self) -> None:
        self.outlet = Outlet()
        connection: Any = self.outlet
        self.session = Session(connection, self.services, {}, "PLAINTEXT", "B", 1 << 20, Scratch(256))

    async def create(self) -> None:
        topic = CreatableTopic(
            name=self.name, num_partitions=PARTITIONS, replication_factor=1, assignments=[], configs=[]
        )
        self.send(b"".join(frame_request(CreateTopicsRequest(topics=[topic]), 7, 1, "me")))
        await self.until_answered()
        self.ids.append(self.topic_id)

    async def delete(self) -> None:
        gone = DeleteTopicsRequest(topics=[DeleteTopicState(name=self.name, topic_id=bytes(16))], timeout_ms=1000)
        self.send(b"".join(frame_request(gone, 6, 1, "me")))
        await self.until_answered()

    async def until_answered(self) -> None:
        async with asyncio.timeout(10):
            while not self.outlet.out:
                await asyncio.sleep(0.001)
        self.outlet.out.clear()

    @property
    def topic_id(self) -> bytes:
        return self.broker.services.image.topics[self.name].id

    def send(self, data: bytes) -> None:
        if self.outlet.is_closed:
            self.connect()
        self.session.received(data)

    def told(self) -> tuple[bool, bytes]:
        """Whether we were hung up on, and what came since last asked, as if the topic had no name and no id."""
        out = bytes(self.outlet.out).replace(self.name.encode(), b"?")
        self.outlet.out.clear()
        for topic_id in self.ids:
            out = out.replace(topic_id, b"#")
        return self.outlet.is_closed, out

    def written(self) -> list[bytes]:
        found = [self.broker.replicas.partitions[self.name, index].log for index in range(PARTITIONS)]
        return [bytes(log.active.log.file().read(0, log.size)) for log in found]


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[tuple[Side, Side]]:
    settings = settings_of({"listeners": "PLAINTEXT://127.0.0.1:0", "log.dirs": str(tmp_path)})
    loop = asyncio.get_running_loop()
    broker = Broker(settings, loop=loop, disk=Disk(), clock=Clock(), random=random.SystemRandom(), process=Process())
    await broker.start()
    short, known = (Side(broker, name, is_long=name == "known") for name in NAMES)
    for side in (short, known):
        await side.create()
    yield short, known
    await broker.stop()


def request(side: Side, records: bytes, *, acks: int = 1, index: int = 0, id_: str | None = None) -> ProduceRequest:
    data = PartitionProduceData(index=index, records=records)
    topic = TopicProduceData(name=side.name, topic_id=side.topic_id, partition_data=[data])
    return ProduceRequest(transactional_id=id_, acks=acks, timeout_ms=1000, topic_data=[topic])


def framed(asked: ProduceRequest, version: int, number: int) -> bytes:
    return b"".join(frame_request(asked, version, number, "me"))


def test_only_versions_with_tags_have_a_short_way() -> None:
    """Where lengths are not compact the head would be looked for in the wrong place."""
    assert [version for version in range(3, 14) if shortcut(version) is not None] == [9, 10, 11, 12, 13]


async def test_the_usual_request_takes_it(sides: tuple[Side, Side]) -> None:
    """Everything would be right, and slow."""
    short, _ = sides
    short.send(framed(request(short, bytes(batch())), 9, 1))  # the first of an epoch is unusual
    decoded: list[int] = []
    session = short.session
    for version in (9, 12, 13):
        route = session.find_route(0, version, 0, memoryview(b""))
        assert route is not None
        route.handler = lambda *_: decoded.append(1)
        for acks in (1, -1):
            short.send(framed(request(short, bytes(batch(3)), acks=acks), version, 1))
            short.send(framed(request(short, bytes(batch(size=5000)), acks=acks), version, 1))
    assert decoded == []
    assert short.broker.replicas.partitions[short.name, 0].log.high_watermark == 1 + 6 * (3 + 1)


@pytest.mark.parametrize("seed", range(4))
async def test_both_ways_are_one(sides: tuple[Side, Side], seed: int) -> None:
    """A producer would get other offsets or errors, or other bytes would be written, depending on the way."""
    chance = random.Random(seed)
    sequence = 0
    for number in range(400):
        count = chance.choice([1, 1, 1, 3])
        has_producer = chance.random() < 0.5
        at = sequence if chance.random() < 0.8 else chance.choice([0, max(sequence - 1, 0), sequence + 1])
        records = bytearray(batch(count, producer_id=7, sequence=at) if has_producer else batch(count))
        if has_producer and at == sequence:
            sequence += count
        kind = chance.choice(["plain"] * 8 + ["cut", "twice", "flip", "header", "none"])
        if kind == "cut":
            del records[chance.randrange(len(records)) :]
        elif kind == "twice":
            records *= 2
        elif kind == "flip":
            records[chance.randrange(len(records))] ^= 1 << chance.randrange(8)
        elif kind == "header":
            records[chance.randrange(HEADER.size)] = chance.choice([0, 1, 0x7F, 0xFF])
        elif kind == "none":
            records.clear()
        options: dict[str, Any] = {
            "acks": chance.choice([1, 1, 1, -1, -1, 0, 2]),
            "index": chance.choice([0, 0, 0, 1, 9]),
            "id_": chance.choice([None] * 9 + ["x"]),
        }
        version = chance.choice([8, 9, 10, 11, 12, 13])
        broken = chance.choice([None] * 12 + ["tail", "more", "byte"])
        place, value = chance.random(), chance.randrange(256)
        for side in sides:
            frame = bytearray(framed(request(side, bytes(records), **options), version, number))
            if broken == "tail":
                del frame[4 + int(place * (len(frame) - 4)) :]
            elif broken == "more":
                frame += bytes([value])
            elif broken == "byte":  # behind the topic, whose name and id differ
                frame[-1 - int(place * 8)] = value
            frame[:4] = (len(frame) - 4).to_bytes(4, "big")
            side.send(bytes(frame))
        assert sides[0].told() == sides[1].told(), (number, kind, broken, version, options)
    assert sides[0].written() == sides[1].written()
    assert all(sides[0].written())


async def test_a_topic_of_the_same_name_is_another(sides: tuple[Side, Side]) -> None:
    """Who still names the deleted topic's id would write to the new one."""
    asked = []
    for side in sides:
        for version in (12, 13):
            frame = framed(request(side, bytes(batch())), version, 1)
            side.send(frame * 2)
            asked.append((side, frame))
        side.told()
    for side in sides:
        await side.delete()
        side.told()
    for side, frame in asked:
        side.send(frame)
    assert sides[0].told() == sides[1].told()
    for side in sides:
        await side.create()
    for side, frame in asked:
        side.send(frame)
    answers = [side.told() for side in sides]
    assert answers[0] == answers[1]
    assert all(side.broker.replicas.partitions[side.name, 0].log.log_end_offset == 1 for side in sides)
