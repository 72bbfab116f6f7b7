"""The append-only file and the loss of power: what a disk may leave behind, at any moment, loaded again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from itertools import zip_longest
from random import Random
from typing import NamedTuple

import pytest

from miniredis.config import CommandLine, Config
from miniredis.engine.client import Client
from miniredis.server import Server
from protocol.ops.logs import Logger
from tests.sim.disk import SimDisk
from tests.sim.world import SimClock, SimLoop, SimProcess, run

PORT = 6379
CLIENTS = 4
RUN_S = 6.0
# Images loaded for each policy, of so many runs at least; a long run is asked for from outside.
IMAGES = int(os.environ.get("CRASH_IMAGES", "240"))
RUNS = 4
IMAGES_A_MOMENT = 2
# What `everysec` may lose: a second until the fsync begins, two while one hangs.
EVERYSEC_LOSS_S = 3.0
# One write in so many asks for a rewrite first, in every other run.
WRITES_A_REWRITE = (100, 5000)

# When the power goes: between two steps of a start or a rewrite; while effects go to a file that is new, and the one of
# before is as good as its last fsync; whenever. Each kind has a third of the images, however rare it is.
STEP, SWITCH, WRITE = "step", "switch", "write"
SWITCH_S = 1.0
SHARES = {STEP: 1.0, SWITCH: 0.05, WRITE: 0.02}


class WatchedDisk(SimDisk):
    """Calls `before` with operation and path ahead of each step that changes it: power may go there too."""

    def __init__(self, chance: Random) -> None:
        super().__init__(chance, lambda operation, path: self.before(operation, path))
        self.before: Callable[[str, str], None] = lambda operation, path: None


class Moment(NamedTuple):
    """The disk at some instant, and how many writes of each client had been acknowledged when."""

    kind: str
    disk: SimDisk
    at: float
    acknowledged: list[list[float]]


def build(world: SimLoop, disk: SimDisk, directives: list[str], lines: list[str]) -> Server:
    config = Config(read_file=disk.read, list_directory=disk.list, is_directory=disk.is_dir, directory="/")
    words = ["--bind", "127.0.0.1", "--port", str(PORT), "--save", "", "--appendonly", "yes", *directives]
    config.load(CommandLine(words), stdin=bytes)
    return Server(
        world, config, disk=disk, clock=SimClock(world), random=Random(1), secrets=Random(2), process=SimProcess(),
        log=Logger(lambda level, text: text, write=lines.append),
    )  # fmt: skip


class Writer(asyncio.Protocol):
    """Adds the next number to its list, counts it in the same transaction, and waits for the answer."""

    def __init__(self, world: SimLoop, number: int, acknowledged: list[float], a_rewrite: int) -> None:
        self.world, self.number, self.acknowledged, self.a_rewrite = world, number, acknowledged, a_rewrite
        self.received = b""
        self.random = Random(number)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.write()

    def write(self) -> None:
        n, value = self.number, len(self.acknowledged)
        padding = "x" * self.random.randrange(1, 200)
        text = f"MULTI\r\nRPUSH list:{n} {value}\r\nSET pad:{n} {padding}\r\nINCR count:{n}\r\nEXEC\r\n"
        if self.random.randrange(self.a_rewrite) == 0:
            text = "BGREWRITEAOF\r\n" + text
        self.transport.write(text.encode())

    def data_received(self, data: bytes) -> None:
        self.received += data
        if b"*3\r\n" in self.received and self.received.count(b":") >= 2 and self.received.endswith(b"\r\n"):
            self.received = b""
            self.acknowledged.append(self.world.time())
            self.world.call_later(self.random.random() / 20, self.write)


def moments(seed: int, policy: str, more: list[str]) -> list[Moment]:
    """One run of a server under writes, and its disk at some instants of it, those of each kind in turn."""
    found: dict[str, list[Moment]] = {STEP: [], SWITCH: [], WRITE: []}

    async def main(world: SimLoop) -> None:
        chance = Random(seed)
        disk = WatchedDisk(Random(seed))
        server = build(world, disk, ["--appendfsync", policy, *more], [])
        acknowledged: list[list[float]] = [[] for _ in range(CLIENTS)]
        stepped_at = 0.0

        def keep(kind: str) -> None:
            image = disk.copy(Random(seed))
            found[kind].append(Moment(kind, image, world.time(), [times.copy() for times in acknowledged]))

        def sometimes(operation: str, path: str) -> None:
            nonlocal stepped_at
            if operation == "read":
                return
            kind = WRITE
            if not path.endswith(".incr.aof") or operation not in ("append", "sync"):
                kind, stepped_at = STEP, world.time()
            elif world.time() - stepped_at < SWITCH_S:
                kind = SWITCH
            if chance.random() < SHARES[kind]:
                keep(kind)

        disk.before = sometimes
        await server.start()
        transports = []
        for number in range(CLIENTS):
            writer = Writer(world, number, acknowledged[number], WRITES_A_REWRITE[seed % 2])
            transport, _ = await world.create_connection(lambda writer=writer: writer, "127.0.0.1", PORT)  # type: ignore[misc]
            transports.append(transport)
        await asyncio.sleep(RUN_S)
        disk.before = lambda operation, path: None
        for transport in transports:
            transport.close()
        await server.stop()

    run(seed, main)
    for of_a_kind in found.values():
        Random(seed).shuffle(of_a_kind)
    return [moment for each in zip_longest(*found.values()) for moment in each if moment is not None]


def loaded(disk: SimDisk, more: list[str], *, writes: bool) -> Server:
    """A server that has loaded what is there; with `writes` each client has written once more."""
    kept: list[Server] = []

    async def main(world: SimLoop) -> None:
        server = build(world, disk, more, [])
        kept.append(server)
        await server.start()
        client = Client(0, server.state.dbs[0])
        server.engine.admit(client)
        for n in range(CLIENTS if writes else 0):
            count = server.state.dbs[0].peek(b"count:%d" % n) or 0
            lines = (f"MULTI|RPUSH list:{n} {count}|INCR count:{n}|EXEC").split("|")
            server.engine.plain.run(client, [line.encode().split() for line in lines])
        await server.stop()

    run(1, main)
    return kept[0]


def check(server: Server, moment: Moment, until: float) -> int:
    """Everything acknowledged until then is there, in order, whole transactions; how many were acknowledged."""
    db = server.state.dbs[0]
    total = 0
    for number, times in enumerate(moment.acknowledged):
        values = db.peek(b"list:%d" % number)
        found = list(values) if values is not None else []
        assert found == [b"%d" % n for n in range(len(found))], "a write is missing in the middle"
        count = db.peek(b"count:%d" % number)
        assert (count or 0) == len(found), "half a transaction"
        promised = sum(1 for at in times if at <= until)
        assert len(found) >= promised, f"{promised - len(found)} acknowledged writes are gone"
        total += len(times)
    return total


@pytest.mark.parametrize(
    ("policy", "more", "loss_s"),
    [
        ("always", [], 0.0),
        ("always", ["--aof-use-rdb-preamble", "no", "--aof-timestamp-enabled", "yes"], 0.0),
        ("everysec", [], EVERYSEC_LOSS_S),
        ("no", [], float("inf")),
    ],
)
def test_power_lost_at_any_moment(policy: str, more: list[str], loss_s: float) -> None:
    """What was acknowledged would be gone, a transaction torn, or a server would refuse its own files."""
    images = seed = acknowledged = 0
    while images < IMAGES:
        seed += 1
        of_this_run = 0
        for moment in moments(seed, policy, more):
            for image in range(IMAGES_A_MOMENT):
                disk = moment.disk.copy(Random(seed * 1000 + image))
                disk.crash()
                acknowledged = max(acknowledged, check(loaded(disk, more, writes=True), moment, moment.at - loss_s))
            check(loaded(disk, more, writes=False), moment, moment.at - loss_s)  # what was cut off is gone for good
            of_this_run += IMAGES_A_MOMENT
            if of_this_run >= IMAGES / RUNS:
                break
        images += of_this_run
    assert acknowledged > 200, "too little was written to be lost"
