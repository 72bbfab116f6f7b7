"""The world itself: if it were not repeatable, no seed would reproduce anything."""

import asyncio
import random

import pytest

from protocol.net.connection import Connection, Turn
from protocol.net.dialer import Dialer
from protocol.net.listener import Listener
from tests.sim.disk import SimDisk
from tests.sim.world import SimLoop, Stuck, run


class Echo:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.got = b""

    def received(self, data: bytes) -> None:
        self.got += data
        self.connection.write(data)

    def lost(self) -> None: ...

    def resumed(self) -> None: ...


class Asker(Echo):
    def received(self, data: bytes) -> None:
        self.got += data


def echo_world(seed: int) -> SimLoop:
    async def main(world: SimLoop) -> None:
        turn = Turn(world)
        listener = await Listener(world, turn, Echo).open("127.0.0.1", 0)
        askers: list[Asker] = []

        def ask(connection: Connection) -> Asker:
            askers.append(Asker(connection))
            return askers[-1]

        dialers = [Dialer(world, turn, world.chance, ask, "127.0.0.1", listener.port) for _ in range(5)]
        for dialer in dialers:
            dialer.start()
        await asyncio.sleep(1)
        for number in range(20):
            for asker in askers:
                asker.connection.write(b"%d " % number * 50)
            await asyncio.sleep(0.01)
        await asyncio.sleep(3600)
        for asker in askers:
            assert asker.got == b"".join(b"%d " % number * 50 for number in range(20))
        for dialer in dialers:
            dialer.stop()
        await listener.drain(1)

    return run(seed, main)


def test_one_seed_is_one_trace() -> None:
    """Without this a failing seed could not be looked at twice."""
    assert echo_world(1).fingerprint() == echo_world(1).fingerprint()
    assert echo_world(1).fingerprint() != echo_world(2).fingerprint()


def test_an_hour_passes_at_once() -> None:
    """Virtual time that waits is no use; time that stands still hides timeouts."""
    assert echo_world(3).time() > 3600


def test_a_world_that_waits_for_nothing_says_so() -> None:
    """A lost wake-up must end a run, not hang it."""

    async def main(world: SimLoop) -> None:
        await world.create_future()

    with pytest.raises(Stuck):
        run(1, main)


def test_crash_keeps_what_was_synced_and_maybe_a_prefix_of_the_rest() -> None:
    """A simulated disk that keeps too much would excuse a missing fsync."""
    outcomes = set()
    for seed in range(50):
        disk = SimDisk(random.Random(seed))
        disk.make_dirs("/d")
        disk.sync_dir("/")
        file = disk.open("/d/log")
        file.append(b"safe")
        file.sync()
        disk.sync_dir("/d")
        file.append(b"12")
        file.append(b"34")
        disk.write_atomically("/d/mark", b"old")
        disk.open("/d/unsynced").append(b"x")
        disk.crash()
        assert disk.read("/d/mark") == b"old"
        outcomes.add(disk.read("/d/log"))
    assert outcomes >= {b"safe", b"safe12", b"safe1234"}
    assert all(b"safe1234".startswith(left) for left in outcomes)
