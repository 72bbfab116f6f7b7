"""FAILOVER in a world of virtual time, beside what clients do meanwhile."""

from __future__ import annotations

import asyncio

from miniredis.replication.follower import Phase
from miniredis.server import Server
from tests.sim.test_following import PRIMARY, ask, start, until
from tests.sim.world import SimLoop, run

DEAF = 7009  # the port of a replica that acknowledges nothing
TIMEOUT_MS = 2000


async def start_with_deaf_replica(world: SimLoop) -> tuple[Server, asyncio.Transport]:
    server = await start(world, PRIMARY)
    reader = asyncio.StreamReader()
    transport, _ = await world.create_connection(lambda: asyncio.StreamReaderProtocol(reader), "127.0.0.1", PRIMARY)
    transport.write(b"REPLCONF listening-port %d capa eof capa psync2\r\n" % DEAF)
    assert await reader.readline() == b"+OK\r\n"
    transport.write(b"PSYNC ? -1\r\n")
    followers = server.state.replication.primary.followers
    await until("a replica", lambda: any(each.phase is Phase.ONLINE for each in followers.values()))
    assert await ask(PRIMARY, "SET before 1") == [b"+OK"]
    return server, transport


def fail_over() -> str:
    return f"FAILOVER TO 127.0.0.1 {DEAF} TIMEOUT {TIMEOUT_MS}"


async def answered_at(world: SimLoop, line: str) -> float:
    assert (await ask(PRIMARY, line))[0] in (b"+OK", b":1")
    return world.time()


def test_clients_do_not_end_the_pause_of_a_failover() -> None:
    """A write after CLIENT UNPAUSE would be acknowledged and gone: the replica that takes over never saw it."""

    async def main(world: SimLoop) -> None:
        server, replica = await start_with_deaf_replica(world)
        began = world.time()
        assert await ask(PRIMARY, fail_over(), "CLIENT UNPAUSE") == [b"+OK", b"+OK"]
        write = asyncio.ensure_future(answered_at(world, "SET key value"))
        await asyncio.sleep(TIMEOUT_MS / 2000)
        assert not write.done()
        assert await write - began >= TIMEOUT_MS / 1000
        replica.close()
        await server.stop()

    run(1, main)


def test_a_short_pause_of_clients_does_not_end_that_of_a_failover() -> None:
    """As with CLIENT UNPAUSE: whoever has a pause of their own would let everybody write when it is over."""

    async def main(world: SimLoop) -> None:
        server, replica = await start_with_deaf_replica(world)
        began = world.time()
        assert await ask(PRIMARY, "CLIENT PAUSE 300 ALL", fail_over()) == [b"+OK", b"+OK"]
        assert world.time() - began >= 0.3  # FAILOVER itself has waited
        began = world.time()
        assert await ask(PRIMARY, "CLIENT PAUSE 300 WRITE") == [b"+OK"]
        assert await answered_at(world, "SET key value") - began >= TIMEOUT_MS / 1000 - 0.5
        replica.close()
        await server.stop()

    run(2, main)


def test_the_end_of_a_failover_does_not_end_a_pause_of_clients() -> None:
    """Whoever moves data behind a pause of their own would have writes in the middle of it."""

    async def main(world: SimLoop) -> None:
        server, replica = await start_with_deaf_replica(world)
        began = world.time()
        assert await ask(PRIMARY, "CLIENT PAUSE 5000 WRITE", fail_over()) == [b"+OK", b"+OK"]
        reading = await ask(PRIMARY, "GET key")
        assert reading == [b"$-1"]
        assert await answered_at(world, "SET key value") - began >= 5
        replica.close()
        await server.stop()

    run(3, main)
