"""Files and full synchronizations beside redis-server, a million commands each.

    one run of a server   start on an append-only file of a million commands → SAVE → start on that file → a replica
                          of the same kind comes and gets everything

    SET while it appends  redis-benchmark against servers that stay: everysec beside ours without a file, always
                          beside redis-server's

Times of loading are those that the servers write into their logs, without the start of the process. Nothing is
compressed, snapshots go to replicas directly and at once, and no file is written anew meanwhile.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.redis_load import CLIENTS, throughput
from bench.rounds import Row, alternate
from tests.peers.redis import DEADLINE_S, Link, Server, our_server, real_server, request

COMMANDS = 1_000_000
REQUESTS = 100_000
SHAPES = {"as it comes": [], "-r 100000 -d 100": ["-r", "100000", "-d", "100"]}
ALIKE = ("--rdbcompression", "no", "--auto-aof-rewrite-percentage", "0", "--repl-diskless-sync-delay", "0")
# How many times redis-server's time a file of strings may take, of the mixed one only that of commands; the least share
# of our own throughput that everysec leaves, and of redis-server's with always.
TIME_BAR = 4.0
EVERYSEC_BAR = 0.8
ALWAYS_BAR = 0.5

NAME = "appendonly.aof.1.incr.aof"
FILES = {"SET": lambda number: [b"SET", b"key:%012d" % number, b"val:%028d" % number]}

Make = Callable[..., Server]


def _mixed(number: int) -> list[bytes]:
    """What an application would leave: half of it strings, some with an end, and collections of a few elements."""
    key = b"%d" % (number // 40)
    value = b"value:%09d" % number
    return (
        [b"SET", b"key:%012d" % number, value],
        [b"HSET", b"hash:" + key, b"field%d" % (number % 10), value],
        [b"SET", b"key:%012d" % number, value, b"PXAT", b"4000000000000"],
        [b"RPUSH", b"list:" + key, value],
        [b"SET", b"key:%012d" % number, value],
        [b"SADD", b"set:" + key, value],
        [b"INCR", b"count:" + key],
        [b"ZADD", b"zset:" + key, b"%d" % (number * 7919 % 1000), value],
    )[number % 8]


FILES["mixed"] = _mixed


def write_file(directory: Path, make: Callable[[int], list[bytes]], count: int) -> None:
    """An append-only file as a server leaves it that began empty."""
    (directory / "appendonlydir").mkdir(parents=True)
    (directory / "appendonlydir" / "appendonly.aof.manifest").write_text(f"file {NAME} seq 1 type i\n")
    with (directory / "appendonlydir" / NAME).open("wb") as file:
        file.write(request([b"SELECT", b"0"]))
        for start in range(0, count, 10_000):
            file.write(b"".join([request(make(number)) for number in range(start, min(start + 10_000, count))]))


@contextmanager
def started(server: Server, *directives: str) -> Iterator[Link]:
    """The server in its directory, with a connection to it once it has loaded what is there."""
    server.directives = [*ALIKE, *directives]
    server.start()
    try:
        link = Link(server.port)
        deadline = time.monotonic() + DEADLINE_S
        while link.command("PING") != b"+PONG\r\n":
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.05)
        yield link
        link.close()
    finally:
        server.stop()


def loaded_s(server: Server, what: str) -> float:
    """The time the log tells."""
    match = re.search(rf"DB loaded from {what}.*: ([0-9.]+) seconds", server.log())
    assert match is not None, server.log()
    return float(match[1])


def files(make: Make, source: Path, commands: int) -> dict[str, float]:
    """Seconds of one server's run."""
    server = make()
    server.keep = True
    shutil.rmtree(server.directory)
    shutil.copytree(source, server.directory)
    try:
        with started(server, "--appendonly", "yes") as link:
            figures = {f"load of an AOF of {commands:,} commands": loaded_s(server, "incr")}
            began = time.monotonic()
            assert link.command("SAVE") == b"+OK\r\n"
            figures["SAVE"] = time.monotonic() - began
        with started(server) as link:
            figures["load of the RDB file"] = loaded_s(server, "disk")
            figures["full synchronization"] = full_sync_s(make, server.port, link.command("DBSIZE"))
    finally:
        shutil.rmtree(server.directory, ignore_errors=True)
    return figures


def full_sync_s(make: Make, port: int, keys: bytes) -> float:
    with started(make()) as link:
        began = time.monotonic()
        assert link.command("REPLICAOF", "127.0.0.1", str(port)) == b"+OK\r\n"
        while b"master_link_status:up" not in link.command("INFO", "replication"):
            assert time.monotonic() - began < DEADLINE_S
            time.sleep(0.02)
        took = time.monotonic() - began
        assert link.command("DBSIZE") == keys
        return took


def _files_table(kind: str, rounds: int, commands: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source"
        write_file(source, FILES[kind], commands)
        table = alternate(
            lambda: files(our_server, source, commands), lambda: files(real_server, source, commands), rounds
        )
    return [
        Row(name, "s", *numbers, bar=TIME_BAR if kind == "SET" or "AOF" in name else None, more_is_better=False)
        for name, numbers in table.items()
    ]


def _appending_table(rounds: int, requests: int) -> list[Row]:
    rows: list[Row] = []

    def sets(server: Server) -> dict[str, float]:
        return {
            shape: throughput(server.port, 1, requests, [*words, "-t", "set"])["SET"] for shape, words in SHAPES.items()
        }

    def compare(what: str, one: Server, other: Server, bar: float | None) -> None:
        with one, other:
            table = alternate(lambda: sets(one), lambda: sets(other), rounds)
        rows.extend(Row(f"{what}, {shape}", "requests/s", *numbers, bar=bar) for shape, numbers in table.items())

    everysec = [*ALIKE, "--appendonly", "yes", "--appendfsync", "everysec"]
    always = [*ALIKE, "--appendonly", "yes", "--appendfsync", "always"]
    compare("everysec beside no file, both ours", our_server(*everysec), our_server(*ALIKE), EVERYSEC_BAR)
    compare("everysec beside no file, both redis-server", real_server(*everysec), real_server(*ALIKE), None)
    compare("everysec", our_server(*everysec), real_server(*everysec), None)
    compare("always", our_server(*always), real_server(*always), ALWAYS_BAR)
    return rows


def measure(rounds: int, commands: int = COMMANDS, requests: int = REQUESTS) -> dict[str, list[Row]]:
    """Tables by title."""
    tables = {f"files of {commands:,} commands, {kind}": _files_table(kind, rounds, commands) for kind in FILES}
    tables[f"SET while it appends, {CLIENTS} clients"] = _appending_table(rounds, requests)
    return tables
