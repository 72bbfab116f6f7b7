"""What a server finds in what a loss of power has left, and what that says about it.

    refused   it does not start on its own files
    torn      half of a transaction is there
    hole      a write is missing, and a later one is there
    lost      what was acknowledged is not there: `age_s` tells since when the first of it was

Each image is loaded, then written to and loaded once more: what the first start cut off or left behind must not come
back, nor swallow what was written after it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Final, NamedTuple, Protocol

import redis

from miniredis.config import CommandLine, Config
from miniredis.engine.client import Client
from miniredis.persist.snapshots import CannotLoad
from miniredis.server import Server
from protocol.ops.logs import Logger
from tests.crash.recorded import scratch_directory
from tests.crash.replay import Image, Promise
from tests.crash.workload import WRITERS
from tests.peers.redis import DEADLINE_S
from tests.sim.disk import SimDisk
from tests.sim.world import SimClock, SimLoop, SimProcess, run

REFUSED, TORN, HOLE, LOST = "refused", "torn", "hole", "lost"
AGAIN: Final = "again "  # before what is only found at the second load
APPENDING: Final = ["--save", "", "--appendonly", "yes"]


class Found(NamedTuple):
    """Of each client what is there: the list, how many it counted, what it was told last. `all`: counted by all."""

    lists: list[list[bytes]]
    counts: list[int]
    seen: list[bytes | None]
    all: int


class Refused(Exception):
    """It does not start; the text says why."""


class Loader(Protocol):
    """Makes a server of an image. Raises Refused."""

    def load(self, image: Image) -> tuple[Found, Found]:
        """What is there; and once more, after one more transaction of each client and a kill."""


def _transaction(number: int, k: int) -> list[list[bytes]]:
    text = f"RPUSH list:{number} {k}|SET seen:{number} ack:{number}:{k},|INCR count:{number}|INCR all"
    return [line.encode().split() for line in text.split("|")]


class Ours:
    """miniredis, in this process."""

    def load(self, image: Image) -> tuple[Found, Found]:
        disk = SimDisk(Random(1))
        for path in image.directories:
            disk.make_dirs(path)
        for path, data in image.files.items():
            file = disk.open(path)
            file.append(data)
            file.sync()
        return self._start(disk, writes=True), self._start(disk, writes=False)

    def _start(self, disk: SimDisk, *, writes: bool) -> Found:
        kept: list[Found] = []

        async def main(world: SimLoop) -> None:
            config = Config(read_file=disk.read, list_directory=disk.list, is_directory=disk.is_dir, directory="/")
            config.load(CommandLine(["--bind", "127.0.0.1", "--port", "6379", *APPENDING]), stdin=bytes)
            server = Server(
                world, config, disk=disk, clock=SimClock(world), random=Random(1), secrets=Random(2),
                process=SimProcess(), log=Logger(lambda level, text: text, write=lines.append),
            )  # fmt: skip
            await server.start()
            found = self._found(server)
            kept.append(found)
            client = Client(0, server.state.dbs[0])
            server.engine.admit(client)
            for number in range(WRITERS if writes else 0):
                lines_of_it = [[b"MULTI"], *_transaction(number, len(found.lists[number])), [b"EXEC"]]
                server.engine.plain.run(client, lines_of_it)
            await server.stop()

        lines: list[str] = []
        try:
            run(1, main)
        except CannotLoad as error:
            raise Refused(str(error)) from None
        return kept[0]

    def _found(self, server: Server) -> Found:
        peek: Callable[[bytes], Any] = server.state.dbs[0].peek
        numbers = range(WRITERS)
        return Found(
            [list(peek(b"list:%d" % n) or []) for n in numbers], [int(peek(b"count:%d" % n) or 0) for n in numbers],
            [peek(b"seen:%d" % n) for n in numbers], int(peek(b"all") or 0),
        )  # fmt: skip


class Real:
    """A redis-server, a process for each image."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._home = scratch_directory()

    def load(self, image: Image) -> tuple[Found, Found]:
        directory = f"{self._home}/data"
        shutil.rmtree(directory, ignore_errors=True)
        os.mkdir(directory)
        for path in image.directories:
            os.mkdir(directory + path)
        for path, data in image.files.items():
            with open(directory + path, "wb") as file:
                file.write(data)
        return self._start(directory, writes=True), self._start(directory, writes=False)

    def close(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)

    def _start(self, directory: str, *, writes: bool) -> Found:
        path, log = f"{self._home}/s", f"{self._home}/log"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        words = ["--port", "0", "--unixsocket", path, "--dir", directory, *APPENDING, "--appendfsync", "no"]
        with open(log, "wb") as output:
            process = subprocess.Popen([self._binary, *words], stdout=output, stderr=output, cwd=self._home)
        try:
            self._wait(process, path)
            with redis.Redis(unix_socket_path=path) as client:
                found = self._found(client)
                for number in range(WRITERS if writes else 0):
                    pipe = client.pipeline(transaction=True)
                    for line in _transaction(number, len(found.lists[number])):
                        pipe.execute_command(*line)
                    pipe.execute()
            return found
        except redis.ConnectionError:  # it listens before it loads
            process.wait(DEADLINE_S)
            with open(log, encoding="utf-8", errors="replace") as file:
                raise Refused(file.read().strip().splitlines()[-1]) from None
        finally:
            process.kill()
            process.wait()

    def _wait(self, process: subprocess.Popen[bytes], path: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while process.poll() is None and time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
                probe.connect(path)
                return
            time.sleep(0.002)
        raise redis.ConnectionError

    def _found(self, client: Any) -> Found:
        numbers = range(WRITERS)
        pipe = client.pipeline(transaction=False)
        for n in numbers:
            pipe.lrange(f"list:{n}", 0, -1).get(f"count:{n}").get(f"seen:{n}")
        *rest, total = pipe.get("all").execute()
        return Found(rest[0::3], [int(count or 0) for count in rest[1::3]], rest[2::3], int(total or 0))


class Verdict(NamedTuple):
    """On one image, whatever was promised: how many writes of each client are there, and what is wrong, by name, each
    with an example."""

    counts: list[int]
    wrong: dict[str, str]


class Tally:
    """What was found in many images: how often each thing, and the first of its kind in words."""

    def __init__(self, name: str, loader: Loader) -> None:
        self.name = name
        self._loader = loader
        self._verdicts: dict[bytes, Verdict] = {}
        self.images = 0
        self.acknowledged = 0  # in all images
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.lost_writes = 0
        self.oldest_s = 0.0  # of what was lost: how long before it had been acknowledged

    def take(self, image: Image, promise: Promise) -> None:
        """Images that are the same on every byte are loaded once."""
        self.images += 1
        self.acknowledged += sum(map(len, promise.times))
        digest = hashlib.blake2b(repr(image).encode()).digest()
        verdict = self._verdicts.get(digest)
        if verdict is None:
            verdict = self._verdicts[digest] = self._judged(image)
        for what, example in verdict.wrong.items():
            self._count(what, example)
        if REFUSED not in verdict.wrong:
            self._compare(verdict.counts, promise)

    def _judged(self, image: Image) -> Verdict:
        try:
            before, after = self._loader.load(image)
        except Refused as error:
            return Verdict([], {REFUSED: str(error)})
        wrong = _wrong(before) | {AGAIN + what: example for what, example in _wrong(after).items()}
        counts = [len(values) for values in before.lists]
        count = sum(map(len, after.lists))
        if count != sum(counts) + WRITERS:
            wrong[AGAIN + LOST] = f"{sum(counts)} writes and {WRITERS} more are {count}"
        return Verdict(counts, wrong)

    def _compare(self, counts: list[int], promise: Promise) -> None:
        """What was acknowledged with what is there."""
        missing = [(told, count) for told, count in zip(promise.times, counts, strict=True) if count < len(told)]
        if missing:
            age_s = promise.at - min(told[count] for told, count in missing)
            self._count(LOST, f"acknowledged {age_s:.3f} s before")
            self.oldest_s = max(self.oldest_s, age_s)
            self.lost_writes += sum(len(told) - count for told, count in missing)

    def _count(self, what: str, example: str) -> None:
        self.counts[what] += 1
        self.examples.setdefault(what, example)

    def report(self) -> str:
        """One line of figures, and an example of each thing that was found."""
        counts = " · ".join(f"{what} {count}" for what, count in sorted(self.counts.items())) or "nothing wrong"
        told = self.acknowledged // max(1, self.images)
        line = (
            f"{self.name:44} {self.images:6} images ({len(self._verdicts)} different, {told} writes acknowledged"
            f"): {counts}; writes lost {self.lost_writes}, acknowledged {self.oldest_s:.3f} s before at most"
        )
        return "\n".join([line, *[f"    {what}: {example}" for what, example in sorted(self.examples.items())]])


def _wrong(found: Found) -> dict[str, str]:
    """What no loss of the last writes explains, with an example."""
    wrong = {}
    for number, values in enumerate(found.lists):
        if values != [b"%d" % k for k in range(len(values))]:
            shown = b" ".join(values[:3] + [b"..."] * (len(values) > 6) + values[max(3, len(values) - 3) :])
            wrong[HOLE] = f"list:{number} is {shown.decode()}"
        told, counted = found.seen[number], found.counts[number]
        if counted != len(values) or told != (b"ack:%d:%d," % (number, counted - 1) if counted else None):
            wrong[TORN] = f"{len(values)} in list:{number}, {counted} counted, {told!r}"
    if found.all != sum(found.counts):
        wrong[TORN] = f"{found.all} counted by all, {sum(found.counts)} by each"
    return wrong
