"""Files of a large data set both ways: RDB and append-only files of ours and of every real server there is.

    FILE_KEYS=1000000 REDIS_SERVER_74=... REDIS_SERVERS=...:... \\
        python -m pytest -n0 -s --timeout 3600 tests/clients/test_file_exchange.py

The data are some 43 keys in every encoding, saved by real servers of 7.0, 7.2 and 7.4 (tests/golden/rdb) and moved to
database 1, and in database 0 FILE_KEYS keys of all types, with ends, streams with groups, and functions. Database 1 is
compared key by key, then emptied: 7.0 sums up fractions otherwise than others, what is left has none. Small by default.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.clients.test_replication_load import knows_fields, name
from tests.oracle.redis.test_replicas import contents
from tests.oracle.redis.traffic import info
from tests.peers.redis import Link, Server, binaries, request

KEYS = int(os.environ.get("FILE_KEYS", "3000"))
GOLDEN = Path(__file__).parents[1] / "golden" / "rdb"
PATIENCE_S = 60 + KEYS / 2000
BATCH = 500
SAMPLE = 97  # one of so many keys is asked when it ends
FAR_MS = 9_000_000_000_000
FUNCTION = "#!lua name=lib\nredis.register_function('f', function() return 7 end)"
APPENDING = ("--appendonly", "yes", "--appendfsync", "no")
LATER: list[list[object]] = [["SET", "later", 1], ["MULTI"], ["SADD", "later:set", 1], ["SET", "later", 2], ["EXEC"]]
OURS = [sys.executable, "-m", "miniredis"]
KINDS = 20  # of keys


def one(number: int) -> list[list[object]]:
    """What makes the key of this number."""
    key = f"key:{number}"
    kind = number % KINDS
    if kind < 4:
        return [["SET", key, number * 77777 - 5_000_000]]
    if kind < 9:
        return [["SET", key, f"value {number}"]]
    if kind == 9:
        return [["SET", key, f"abcd{number}" * 40]]
    if kind < 12:
        return [["RPUSH", key, "a", number, f"element {number}", -70000, *(["x" * 3000] * (number % 200 == 10) * 6)]]
    if kind < 14:
        many = 300 if number % 400 == 12 else 3
        return [["HSET", key, *(word for at in range(many) for word in (f"field:{at}", number + at))]]
    if kind == 14:
        return [["SADD", key, *(number * (at + 1) for at in range(5))]]
    if kind == 15:
        return [["SADD", key, *(f"member:{at}" for at in range(200 if number % 400 == 15 else 3))]]
    if kind < 18:
        many = 200 if number % 400 == 16 else 3
        return [["ZADD", key, *(word for at in range(many) for word in (f"{number + at}.25", f"m{at}"))]]
    if kind == 18:
        return [["PFADD", key, number, number + 1, number + 2]]
    id = f"{number + 1}-2"
    return [
        ["XADD", key, f"{number + 1}-1", "field", number], ["XADD", key, id, "field", "text", "other", 3],
        ["XGROUP", "CREATE", key, "group", "0"], ["XGROUP", "CREATECONSUMER", key, "group", "idle"],
        ["XREADGROUP", "GROUP", "group", "me", "COUNT", 1, "STREAMS", key, ">"], ["XDEL", key, id],
    ]  # fmt: skip


def everything() -> Iterator[list[object]]:
    for number in range(KEYS):
        yield from one(number)
        if number % 5 == 0:
            yield ["PEXPIREAT", f"key:{number}", FAR_MS + number]


def ending_fields() -> Iterator[list[object]]:
    """Of small hashes, and of a large one among four hundred."""
    for number in range(12, KEYS, KINDS):
        yield ["HPEXPIREAT", f"key:{number}", FAR_MS + number, "FIELDS", 2, "field:0", "field:2"]


def play(link: Link, commands: Iterable[list[object]]) -> None:
    waiting: list[bytes] = []

    def flush() -> None:
        link.send(b"".join(waiting))
        for _ in waiting:
            reply = link.reply()
            assert not reply.startswith(b"-"), reply
        waiting.clear()

    for command in commands:
        waiting.append(request([str(word).encode() for word in command]))
        if len(waiting) >= BATCH:
            flush()
    flush()


def filled(server: Server, link: Link) -> None:
    """Move what it was started on to database 1, and make the rest."""
    assert link.command("SWAPDB", "0", "1") == b"+OK\r\n"
    play(link, everything())
    play(link, LATER)
    link.command("FUNCTION", "LOAD", "REPLACE", FUNCTION)


def ready(server: Server) -> Link:
    """A link to a server that has loaded what it was started on."""
    link = Link(server.port, timeout_s=PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while b"loading:1" in link.command("INFO", "persistence"):
        assert time.monotonic() < deadline, "it loads for ever"
        time.sleep(0.02)
    return link


def until_rewritten(link: Link) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while info(link, "aof_rewrite_in_progress") != "0" or info(link, "aof_rewrite_scheduled") != "0":
        assert time.monotonic() < deadline, "a rewrite that does not end"
        time.sleep(0.02)
    assert info(link, "aof_last_bgrewrite_status") == "ok"


class Told:
    """What is compared of a server. Database 1 is gone afterwards."""

    def __init__(self, link: Link) -> None:
        link.command("SELECT", "1")
        self.golden = contents(link)
        link.command("SELECT", "0")
        self.ends = [link.command("PEXPIRETIME", f"key:{number}") for number in range(0, KEYS, SAMPLE)]
        self.has_function = link.command("FCALL", "f", "0") == b":7\r\n"
        self.libraries = [link.command("FUNCTION", "LIST", "LIBRARYNAME", each) for each in ("lib", "lib1")]
        streams = range(19, KEYS, KINDS * SAMPLE)
        self.groups = [link.command("XPENDING", f"key:{number}", "group") for number in streams]
        self.fields = []
        if knows_fields(link):
            hashes = range(12, KEYS, KINDS * SAMPLE)
            self.fields = [
                link.command("HPEXPIRETIME", f"key:{at}", "FIELDS", "2", "field:0", "field:1") for at in hashes
            ]
        assert link.command("SELECT", "1") + link.command("FLUSHDB") + link.command("SELECT", "0") == b"+OK\r\n" * 3
        self.digest = link.command("DEBUG", "DIGEST")
        self.keys = link.command("DBSIZE")

    def assert_same(self, other: Told) -> None:
        assert self.has_function
        assert (self.keys, self.ends, self.libraries, self.groups) == (
            other.keys, other.ends, other.libraries, other.groups,
        )  # fmt: skip
        assert self.golden == other.golden
        assert not (self.fields and other.fields) or self.fields == other.fields
        assert self.digest == other.digest


def told(server: Server) -> Told:
    """Start it on what its directory holds."""
    started = time.monotonic()
    with server:
        link = ready(server)
        took = time.monotonic() - started
        found = Told(link)
        print(
            f"    loaded by {name(server, link)} in {took:.1f} s: {found.keys[1:-2].decode()} keys, digest "
            f"{found.digest[1:9].decode()}",
            flush=True,
        )
        link.close()
        return found


def checked(command: list[str], path: Path) -> None:
    """By the checker that came with a server, where it is there."""
    server = Path(command[0])
    tool = server.name.split("-")[0] + ("-check-aof" if path.suffix == ".manifest" else "-check-rdb")
    checker = server.parent / tool
    if checker.exists():
        done = subprocess.run([str(checker), str(path)], capture_output=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        print(f"    {checker}: {done.stdout.splitlines()[-1].decode()}")


def servers(*, newer: bool) -> list[list[str]]:
    """Commands of those that know fields that end, or of the others."""
    found = []
    for binary in binaries():
        with Server([binary]) as server:
            if knows_fields(Link(server.port)) == newer:
                found.append(server.command)
    return found


def saved(server: Server, link: Link, compression: str) -> str:
    """Where a copy of its file is, a directory beneath its own."""
    link.command("CONFIG", "SET", "rdbcompression", compression)
    started = time.monotonic()
    assert link.command("SAVE") == b"+OK\r\n"
    took = time.monotonic() - started
    path = Path(server.directory) / "dump.rdb"
    magic = path.read_bytes()[:9].decode()
    print(
        f"\n{name(server, link)}, compression {compression}: {path.stat().st_size:,} bytes of {magic} in {took:.1f} s"
    )
    kept = path.parent / f"rdb, compression {compression}"
    kept.mkdir()
    shutil.copy(path, kept)
    return kept.name


def rewritten(server: Server, link: Link, preamble: str) -> str:
    """The same of its append-only file, with something behind the base that is in it already."""
    link.command("CONFIG", "SET", "aof-use-rdb-preamble", preamble)
    if info(link, "aof_enabled") == "0":
        link.command("CONFIG", "SET", "appendonly", "yes")
    else:
        assert link.command("BGREWRITEAOF").startswith(b"+Background")
    until_rewritten(link)
    play(link, LATER)
    path = Path(server.directory) / "appendonlydir"
    kept = path.parent / f"aof, preamble {preamble}"
    shutil.copytree(path, kept / path.name)
    return kept.name


def exchange(source: list[str], readers: list[list[str]], *, with_fields: bool, version: int) -> None:
    """Fill a server, save its data in all ways, and compare it with those that read that."""
    server = Server(source)
    shutil.copy(GOLDEN / f"enc-v{version}.rdb", Path(server.directory) / "dump.rdb")
    with server:
        link = ready(server)
        filled(server, link)
        if with_fields:
            play(link, ending_fields())
        ways = [saved(server, link, compression) for compression in ("yes", "no")]
        ways += [rewritten(server, link, preamble) for preamble in ("yes", "no")]
        mine = Told(link)
        for way in ways:
            print(way)
            directory = Path(server.directory) / way
            is_log = way.startswith("aof")
            for command in readers:
                if "miniredis" not in command:
                    checked(command, directory / ("appendonlydir/appendonly.aof.manifest" if is_log else "dump.rdb"))
                reader = Server(command, APPENDING if is_log else ())
                shutil.copytree(directory, reader.directory, dirs_exist_ok=True)
                told(reader).assert_same(mine)


def test_our_files_are_loaded() -> None:
    """Data could not leave this server, or would arrive changed, or a checker would not trust our files."""
    older, newer = servers(newer=False), servers(newer=True)
    exchange(OURS, older + newer, with_fields=False, version=10)
    if newer:
        exchange(OURS, newer, with_fields=True, version=12)


def test_their_files_are_loaded() -> None:
    """Data could not come here, or would arrive changed."""
    for command in servers(newer=True):
        exchange(command, [OURS], with_fields=True, version=12)
    for command in servers(newer=False):
        with Server(command) as server:
            is_70 = info(Link(server.port), "redis_version").startswith("7.0")
        exchange(command, [OURS], with_fields=False, version=10 if is_70 else 11)
