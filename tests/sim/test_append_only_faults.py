"""The append-only file on a disk that refuses one thing: what is promised, and what can still be loaded."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from random import Random

import pytest

from miniredis.persist.aof import ON, WAITS
from miniredis.server import Server
from tests.sim.disk import SimDisk
from tests.sim.test_following import PRIMARY, REPLICA, ask, start, until
from tests.sim.world import SimLoop, run

PORT = 7000


class Faults:
    """Calls of a disk that are refused: those that `is_bad` names."""

    def __init__(self, seed: int) -> None:
        self.is_bad: Callable[[str, str], bool] = lambda operation, path: False
        self.disk = SimDisk(Random(seed), self._look)

    def _look(self, operation: str, path: str) -> None:
        if self.is_bad(operation, path):
            raise OSError(errno.EIO, "Input/output error")


async def appending(world: SimLoop, faults: Faults, *more: str) -> Server:
    return await start(world, PORT, "--appendonly", "yes", *more, disk=faults.disk)


def test_what_an_fsync_refused_is_not_told_as_kept() -> None:
    """WAITAOF would count a write that the medium never took."""

    async def main(world: SimLoop) -> None:
        faults = Faults(1)
        server = await appending(world, faults)
        faults.is_bad = lambda operation, path: operation == "sync" and path.endswith(".incr.aof")
        await asyncio.sleep(2)
        assert await ask(PORT, "SET a 1") == [b"+OK"]
        await asyncio.sleep(5)
        offset = server.state.history.offset
        assert server.appending.file.error
        assert server.appending.file.synced_offset < offset
        faults.is_bad = lambda operation, path: False
        await until("tried again", lambda: server.appending.file.synced_offset == offset)
        assert not server.appending.file.error
        await server.stop()

    run(1, main)


def test_an_fsync_of_a_file_that_was_given_up_says_nothing() -> None:
    """It would tell an offset that another history has by now: WAITAOF would count what no medium has."""

    async def main(world: SimLoop) -> None:
        faults = Faults(1)
        server = await appending(world, faults)
        held: list[asyncio.Future[None]] = []

        def hold(file: object, loop: SimLoop) -> asyncio.Future[None]:
            held.append(loop.create_future())
            return held[-1]

        faults.disk.async_sync = hold  # type: ignore[assignment, method-assign]
        await asyncio.sleep(2)
        assert await ask(PORT, "SET a 1") == [b"+OK"]
        await until("an fsync is under way", lambda: bool(held))
        assert await ask(PORT, "CONFIG SET appendonly no") == [b"+OK"]
        assert not server.appending.file.is_syncing
        held[0].set_result(None)
        await asyncio.sleep(0)
        assert server.appending.file.synced_offset == 0
        await server.stop()

    run(1, main)


def test_what_only_a_temporary_increment_has_is_not_told_as_kept() -> None:
    """Power lost before the first base is written would take what WAITAOF had promised."""

    async def main(world: SimLoop) -> None:
        disk = SimDisk(Random(1))
        server = await start(world, PORT, disk=disk)
        assert await ask(PORT, "CONFIG SET appendfsync always", "CONFIG SET appendonly yes") == [b"+OK"] * 2
        assert server.appending.state == WAITS
        assert await ask(PORT, "SET a 1", "WAITAOF 1 0 0") == [b"+OK", b"*2"]
        assert server.appending.state == ON
        disk.crash()
        again = await start(world, REPLICA, "--appendonly", "yes", disk=disk)
        assert await ask(REPLICA, "GET a") == [b"1"]
        await again.stop()

    run(1, main)


def test_no_file_is_begun_before_the_one_before_is_on_the_medium() -> None:
    """After a loss of power there would be later writes without earlier ones."""

    async def main(world: SimLoop) -> None:
        faults = Faults(1)
        server = await appending(world, faults)
        await ask(PORT, "SET a 1")
        faults.is_bad = lambda operation, path: operation == "sync" and path.endswith(".incr.aof")
        await ask(PORT, "BGREWRITEAOF")
        await asyncio.sleep(1)
        assert not faults.disk.exists("/appendonlydir/appendonly.aof.2.incr.aof")
        faults.is_bad = lambda operation, path: False
        await ask(PORT, "BGREWRITEAOF")
        await until("written anew", lambda: server.appending.is_last_good and not server.appending.is_rewriting)
        assert faults.disk.exists("/appendonlydir/appendonly.aof.2.incr.aof")
        await server.stop()

    run(1, main)


def test_what_is_loaded_is_on_the_medium() -> None:
    """What a process had written and not synced before it died would be shown, and gone with the power after that."""

    async def main(world: SimLoop) -> None:
        faults = Faults(1)
        server = await appending(world, faults, "--appendfsync", "no")
        await ask(PORT, "SET a 1")
        left = faults.disk.copy(Random(1))  # as the page cache has it when the process is killed
        await server.stop()
        again = await start(world, REPLICA, "--appendonly", "yes", "--appendfsync", "always", disk=left)
        assert await ask(REPLICA, "GET a") == [b"1"]
        for seed in range(10):
            after = left.copy(Random(seed))
            after.crash()
            one = await start(world, REPLICA + seed + 1, "--appendonly", "yes", disk=after)
            assert await ask(REPLICA + seed + 1, "GET a") == [b"1"]
            await one.stop()
        await again.stop()

    run(1, main)


@pytest.mark.parametrize("which", range(1, 6))
def test_a_directory_that_cannot_be_synced_leaves_what_can_be_loaded(which: int) -> None:
    """A manifest that may be the one on the disk would name a base that was removed: the server would never start."""

    async def main(world: SimLoop) -> None:
        faults = Faults(1)
        server = await appending(world, faults)
        await ask(PORT, "SET a 1")
        seen = 0

        def nth(operation: str, path: str) -> bool:
            nonlocal seen
            seen += operation == "sync_dir"
            return operation == "sync_dir" and seen == which

        faults.is_bad = nth
        await ask(PORT, "BGREWRITEAOF")
        await asyncio.sleep(1)
        await ask(PORT, "SET b 2")
        await asyncio.sleep(3)
        left = faults.disk.copy(Random(1))
        again = await start(world, REPLICA, "--appendonly", "yes", disk=left)
        assert await ask(REPLICA, "GET a", "GET b") == [b"1", b"2"]
        await again.stop()
        await server.stop()

    run(1, main)


@pytest.mark.parametrize("is_lasting", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_a_file_that_goes_on_beside_a_new_manifest_may_lose_its_end(seed: int, is_lasting: bool) -> None:
    """The directory of a manifest that is in its place cannot be synced, so effects go on into the file of before; the
    power goes. A start would refuse it: it is torn, and not the last one that the manifest on the disk names."""

    async def main(world: SimLoop) -> None:
        faults = Faults(seed)
        server = await appending(world, faults)
        await ask(PORT, "SET a 1")
        await asyncio.sleep(3)
        seen = 0

        def refused(operation: str, path: str) -> bool:
            nonlocal seen
            if operation == "sync_dir":
                seen += path.endswith("appendonlydir")
                return seen >= 2 if is_lasting else seen == 2  # the one after the manifest is renamed
            return False

        faults.is_bad = refused
        await ask(PORT, "BGREWRITEAOF")
        await asyncio.sleep(1.5)
        assert seen >= 2
        for number in range(20):
            await ask(PORT, f"SET b {number}" + "x" * 500)
        left = faults.disk.copy(Random(seed))
        left.crash()
        again = await start(world, REPLICA, "--appendonly", "yes", disk=left)
        assert await ask(REPLICA, "GET a") == [b"1"]
        await again.stop()
        await server.stop()

    run(seed, main)


def test_a_replica_keeps_its_file_after_a_synchronization_that_failed() -> None:
    """After an attempt that came to nothing and a link that goes on, what comes would be in no file."""

    async def main(world: SimLoop) -> None:
        one = await start(world, PRIMARY)
        stranger = await start(world, PRIMARY + 10)
        faults = Faults(1)
        replica = await start(world, REPLICA, "--appendonly", "yes", disk=faults.disk)
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
        await until("connected", lambda: replica.following.link_state == b"connected")
        await until("written", lambda: replica.appending.state == ON)
        faults.is_bad = lambda operation, path: operation == "rename" and path.endswith(".rdb")
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY + 10}")
        await asyncio.sleep(3)
        faults.is_bad = lambda operation, path: False
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
        await until("connected again", lambda: replica.following.link_state == b"connected")
        await until("written again", lambda: replica.appending.state == ON)
        for server in (replica, stranger, one):
            await server.stop()

    run(1, main)
