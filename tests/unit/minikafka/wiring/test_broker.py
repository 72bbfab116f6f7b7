"""A whole broker on real files and sockets: start, stop, restart, and every way a start can fail."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minikafka.broker import Broker, StartError
from minikafka.config import settings_of
from protocol.disk.files import Disk
from protocol.kafka.framing import Framer, frame_request, read_reply
from protocol.kafka.messages import topics as t
from protocol.kafka.messages.transactions import InitProducerIdRequest
from protocol.kafka.messages.versions import ApiVersionsRequest
from protocol.kafka.schema import Request
from protocol.ops.clock import Clock
from protocol.ops.process import Process

TIMEOUT_S = 60.0


def broker(directory: Path, **given: str) -> Broker:
    settings = settings_of(
        {
            "listeners": "PLAINTEXT://127.0.0.1:0",
            "log.dirs": str(directory),
            **{name.replace("_", "."): value for name, value in given.items()},
        }
    )
    loop = asyncio.get_running_loop()
    return Broker(settings, loop=loop, disk=Disk(), clock=Clock(), random=random.SystemRandom(), process=Process())


@pytest.fixture
async def running() -> AsyncIterator[list[Broker]]:
    """Brokers put in here are stopped at the end."""
    brokers: list[Broker] = []
    yield brokers
    for one in brokers:
        if one.is_serving:
            await one.stop()


class Client:
    """Asks a broker over a socket."""

    def __init__(self, of: Broker, at: int = 0) -> None:
        self.port = of.endpoints[at].port
        self.sent = 0

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(self, request: Request, version: int) -> object:
        self.sent += 1
        self.writer.writelines(frame_request(request, version, self.sent, "test"))
        framer = Framer()
        while True:
            data = await asyncio.wait_for(self.reader.read(1 << 16), TIMEOUT_S)
            if not data:
                raise ConnectionError
            framer.feed(data)
            for frame in framer.frames():
                return read_reply(frame, type(request), version)[1]


async def create(client: Client, name: str, partitions: int = 1) -> bytes:
    wanted = t.CreatableTopic(name=name, num_partitions=partitions, replication_factor=1, assignments=[], configs=[])
    reply = await client.ask(t.CreateTopicsRequest(topics=[wanted]), 7)
    assert isinstance(reply, t.CreateTopicsResponse)
    assert reply.topics[0].error_code == 0
    return bytes(reply.topics[0].topic_id)


async def metadata(client: Client, *names: str) -> t.MetadataResponse:
    asked = [t.MetadataRequestTopic(name=name) for name in names]
    reply = await client.ask(t.MetadataRequest(topics=asked or None, allow_auto_topic_creation=False), 12)
    assert isinstance(reply, t.MetadataResponse)
    return reply


async def producer_id(client: Client) -> int:
    while True:
        reply = await client.ask(InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1), 4)
        if reply.error_code == 0:  # type: ignore[attr-defined]
            return int(reply.producer_id)  # type: ignore[attr-defined]


async def test_topics_ids_and_epochs_outlive_restarts(tmp_path: Path, running: list[Broker]) -> None:
    """After a restart topics would be gone, have other ids, or leader epochs would stand still."""
    first = broker(tmp_path)
    running.append(first)
    await first.start()
    async with Client(first) as client:
        topic_id = await create(client, "kept", 3)
        given = await producer_id(client)
    await first.stop()
    assert (tmp_path / ".kafka_cleanshutdown").exists()
    second = broker(tmp_path)
    running.append(second)
    await second.start()
    assert not (tmp_path / ".kafka_cleanshutdown").exists()
    assert second.cluster_id == first.cluster_id
    assert second.epoch > first.epoch
    async with Client(second) as client:
        topic = (await metadata(client, "kept")).topics[0]
        assert topic.topic_id == topic_id
        assert [(one.leader_id, one.leader_epoch) for one in topic.partitions] == [(1, 2)] * 3
        assert await producer_id(client) >= given + 1000


async def test_what_is_answered_survives_a_kill(tmp_path: Path, running: list[Broker]) -> None:
    """A topic or producer id that a client was told of would be gone, or given to somebody else."""
    told: set[int] = set()
    names: list[str] = []
    for at in range(3):
        one = broker(tmp_path)
        await one.start()
        async with Client(one) as client:
            assert {topic.name for topic in (await metadata(client)).topics} == set(names)
            await create(client, f"t{at}")
            names.append(f"t{at}")
            for _ in range(3):
                made = await producer_id(client)
                assert made not in told
                told.add(made)
        # As a killed process leaves it: descriptors and the lock are gone, nothing is written any more.
        for listener in one.listeners:
            listener.close()
        one.is_serving = False
        one.groups.close()
        one.replicas.close()
        one.store.logs.clear()
        one.store.close(clean=False)


async def test_a_client_is_told_the_address_it_dialled(tmp_path: Path, running: list[Broker]) -> None:
    """A client behind a forwarded port, or on another interface, would be sent elsewhere."""
    plain = broker(tmp_path / "a")
    told = broker(
        tmp_path / "b",
        listeners="ONE://127.0.0.1:0,TWO://127.0.0.1:0",
        listener_security_protocol_map="ONE:PLAINTEXT,TWO:PLAINTEXT,CONTROLLER:PLAINTEXT",
        advertised_listeners="TWO://broker.example:19",
    )
    for one in (plain, told):
        running.append(one)
        await one.start()
    async with Client(plain) as client:
        found = (await metadata(client)).brokers[0]
        assert (found.host, found.port) == ("127.0.0.1", plain.endpoints[0].port)
    async with Client(told) as client:
        found = (await metadata(client)).brokers[0]
        assert (found.host, found.port) == ("127.0.0.1", told.endpoints[0].port)
    async with Client(told, at=1) as client:
        found = (await metadata(client)).brokers[0]
        assert (found.host, found.port) == ("broker.example", 19)


async def test_a_controller_listener_serves_what_a_controller_serves(tmp_path: Path, running: list[Broker]) -> None:
    """Kafka's tools with --bootstrap-controller would not work, or clients could produce there."""
    one = broker(tmp_path, listeners="PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0")
    running.append(one)
    await one.start()
    async with Client(one, at=1) as client:
        request = ApiVersionsRequest(client_software_name="x", client_software_version="1")
        reply = await client.ask(request, 4)
        keys = {row.api_key for row in reply.api_keys}  # type: ignore[attr-defined]
        assert {1, 18, 19, 20, 32, 37, 52, 53, 54, 55, 59, 60} <= keys
        assert not keys & {0, 3, 11}
        await create(client, "by-the-controller")
        with pytest.raises(ConnectionError):
            await metadata(client)
    async with Client(one) as client:
        assert (await metadata(client)).topics[0].name == "by-the-controller"


async def test_a_taken_port_is_one_clear_line(tmp_path: Path, running: list[Broker]) -> None:
    """A second broker would fail with a traceback, or keep the directory locked."""
    first = broker(tmp_path / "a")
    running.append(first)
    await first.start()
    second = broker(tmp_path / "b", listeners=f"PLAINTEXT://127.0.0.1:{first.endpoints[0].port}")
    with pytest.raises(StartError, match=r"cannot listen on PLAINTEXT://127.0.0.1:\d+: "):
        await second.start()
    third = broker(tmp_path / "b")
    running.append(third)
    await third.start()


async def test_a_directory_in_use_or_of_another_node_is_refused(tmp_path: Path, running: list[Broker]) -> None:
    """Two brokers would write to the same logs."""
    first = broker(tmp_path / "a")
    running.append(first)
    await first.start()
    with pytest.raises(StartError, match="in use by another broker"):
        await broker(tmp_path / "a").start()
    await first.stop()
    with pytest.raises(StartError, match="Stored node id 1 doesn't match"):
        await broker(tmp_path / "a", node_id="2").start()
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot use the data directory"):
        await broker(tmp_path / "file" / "b").start()


async def test_a_snapshot_takes_the_place_of_the_log(tmp_path: Path, running: list[Broker]) -> None:
    """The metadata log would grow for ever, or a restart from a snapshot would lose topics."""
    first = broker(tmp_path)
    running.append(first)
    await first.start()
    async with Client(first) as client:
        topic_id = await create(client, "before", 2)
        first.snapshot()
        await create(client, "after")
    await first.stop()
    assert len(list((tmp_path / "__cluster_metadata-0").glob("*.checkpoint"))) == 2
    second = broker(tmp_path)
    running.append(second)
    await second.start()
    assert second.node.last_snapshot.end_offset > 0
    async with Client(second) as client:
        found = {topic.name: topic for topic in (await metadata(client)).topics}
        assert set(found) == {"before", "after"}
        assert found["before"].topic_id == topic_id
        assert [one.error_code for one in found["before"].partitions] == [0, 0]


async def test_who_comes_early_is_served_once_the_broker_is(tmp_path: Path) -> None:
    """A client that connects while the broker starts would be told that there is nothing."""
    one = broker(tmp_path)
    reply: asyncio.Task[t.MetadataResponse] | None = None
    register = one._register

    async def dialled() -> t.MetadataResponse:
        async with Client(one) as client:
            return await metadata(client)

    async def late() -> None:
        nonlocal reply
        reply = asyncio.ensure_future(dialled())
        await asyncio.sleep(0.05)
        assert not reply.done()
        await register()

    one._register = late  # type: ignore[method-assign]
    await one.start()
    assert reply is not None
    assert len((await reply).brokers) == 1
    await one.stop()


async def test_ten_thousand_requests_leave_no_cycles(tmp_path: Path, running: list[Broker]) -> None:
    """Full collections are rare by configuration: what only they can free would pile up."""
    import gc

    one = broker(tmp_path)
    running.append(one)
    await one.start()
    request = ApiVersionsRequest(client_software_name="x", client_software_version="1")
    async with Client(one) as client:
        await client.ask(request, 4)
        await metadata(client)
        gc.collect()
        for _ in range(100):
            many = b"".join(b"".join(frame_request(request, 4, 1, "c")) for _ in range(50))
            many += b"".join(b"".join(frame_request(t.MetadataRequest(topics=None), 12, 1, "c")) for _ in range(50))
            client.writer.write(many)
            framer, left = Framer(), 100
            while left:
                framer.feed(await asyncio.wait_for(client.reader.read(1 << 16), TIMEOUT_S))
                left -= len(framer.frames())
    assert gc.collect() < 100


async def test_sockets_have_the_buffers_that_are_set(tmp_path: Path, running: list[Broker]) -> None:
    """`socket.send.buffer.bytes` would be accepted and do nothing: a consumer in C then wakes for every piece of an
    answer, and reads a fifth slower."""
    for sizes, kept in (({}, (102_400, 102_400)), ({"send": "30000", "receive": "50000"}, (30_000, 50_000))):
        given = {f"socket_{side}_buffer_bytes": size for side, size in sizes.items()}
        one = broker(tmp_path / str(len(running)), **given)
        running.append(one)
        await one.start()
        async with Client(one):
            (connection,) = [held for listener in one.listeners for held in listener.connections]
            raw = connection.transport.get_extra_info("socket")
            with socket.socket() as other:  # a system may tell another size than it was given: Linux twice as much
                for name, size in zip((socket.SO_SNDBUF, socket.SO_RCVBUF), kept, strict=True):
                    other.setsockopt(socket.SOL_SOCKET, name, size)
                    assert raw.getsockopt(socket.SOL_SOCKET, name) == other.getsockopt(socket.SOL_SOCKET, name)
