"""miniredis in a world of virtual time."""

from __future__ import annotations

import asyncio
from random import Random

from miniredis.config import CommandLine, Config
from miniredis.server import Server
from protocol.ops.logs import Logger
from tests.sim.disk import SimDisk
from tests.sim.world import SimClock, SimLoop, SimProcess, run

PORT = 6379


async def start(world: SimLoop, seed: int) -> Server:
    disk = SimDisk(Random(seed))
    config = Config(read_file=disk.read, list_directory=disk.list, is_directory=disk.is_dir, directory="/")
    config.load(CommandLine(["--bind", "127.0.0.1", "--port", str(PORT)]), stdin=bytes)
    server = Server(
        world, config, disk=disk, clock=SimClock(world), random=Random(seed), secrets=Random(seed + 1),
        process=SimProcess(), log=Logger(lambda level, text: text, write=lambda line: world.note("log", line)),
    )  # fmt: skip
    await server.start()
    return server


class Talker(asyncio.Protocol):
    """A client that sends random commands, pipelined, and counts the replies."""

    def __init__(self, world: SimLoop, seed: int, lines: int) -> None:
        self.world = world
        self.random = Random(seed)
        self.left = lines
        self.done = world.create_future()
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.say()

    def say(self) -> None:
        if self.left <= 0:
            self.transport.close()
            return
        count = self.random.randrange(1, 6)
        self.left -= count
        words = [
            "SET k{0} v{1}", "GET k{0}", "INCR n{0}", "LPUSH l{0} a", "BRPOP l{0} 3", "EXPIRE k{0} 2", "TTL t{0}",
            "ZADD z {1} m{0}", "SET t{0} v PX {1}", "HSET h f{0} {1}", "RANDOMKEY", "SRANDMEMBER s", "SADD s {1}",
        ]  # fmt: skip
        lines = [self.random.choice(words).format(self.random.randrange(4), self.random.randrange(900)) + "\r\n"
                 for _ in range(count)]  # fmt: skip
        self.transport.write("".join([*lines, "ECHO_END\r\n"]).encode())

    def data_received(self, data: bytes) -> None:
        self.received += data
        if b"ECHO_END" in self.received:
            self.received = self.received.partition(b"ECHO_END")[2][2:]
            self.world.call_later(self.random.random() / 50, self.say)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def story(world: SimLoop, seed: int, clients: int = 6, lines: int = 150) -> Server:
    server = await start(world, seed)
    talkers = [Talker(world, seed * 100 + number, lines) for number in range(clients)]
    for talker in talkers:
        await world.create_connection(lambda talker=talker: talker, "127.0.0.1", PORT)  # type: ignore[misc]
    await asyncio.wait([talker.done for talker in talkers], timeout=600)
    assert all(talker.done.done() for talker in talkers), "somebody was never answered"
    await server.stop()
    return server


def play(seed: int) -> tuple[int, Server]:
    kept: list[Server] = []

    async def main(world: SimLoop) -> None:
        kept.append(await story(world, seed))

    return run(seed, main).fingerprint(), kept[0]


def test_one_seed_is_one_world() -> None:
    """Something in the server takes time or chance from elsewhere: no failure could be played again."""
    first, server = play(11)
    again, _ = play(11)
    other, _ = play(12)
    assert first == again
    assert first != other
    assert server.state.observer.calls > 500


def test_blocked_clients_and_expiry_follow_virtual_time() -> None:
    """A deadline or an expiry would be missed, or somebody would poll."""

    async def main(world: SimLoop) -> None:
        server = await start(world, 1)
        reader = asyncio.StreamReader()
        transport, _ = await world.create_connection(lambda: asyncio.StreamReaderProtocol(reader), "127.0.0.1", PORT)
        began = world.time()
        transport.write(b"BLPOP nothing 2.5\r\n")
        assert await reader.readexactly(5) == b"*-1\r\n"
        assert 2.5 <= world.time() - began < 2.6
        transport.write(b"SET a 1 PX 500\r\n")
        await reader.readline()
        await asyncio.sleep(2)
        assert len(server.state.dbs[0]) == 0, "the active cycle does not remove dead keys"
        assert not server.state.blocked
        transport.close()
        await asyncio.sleep(0.1)
        assert not server.state.clients
        await server.stop()

    run(3, main)
