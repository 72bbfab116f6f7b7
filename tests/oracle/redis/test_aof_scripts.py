"""Every script of `scripts/` played to both servers with an append-only file: both write the same commands into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from miniredis.persist.aof_read import CommandReader
from protocol.disk.files import Disk
from tests.oracle.redis.runner import Player, Script, scripts
from tests.peers.redis import Server, our_server, server_74

ON = ("--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0")
# They change what is kept, or where; or write nothing.
OTHERS = {"config", "persistence", "replicaof", "replication", "migrate", "cluster"}
INSTANT_FROM = 1_000_000_000_000

pytestmark = pytest.mark.peer


class Kept:
    """A server, and how far its files have been read."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.read: dict[str, int] = {}

    def play(self, script: Script) -> list[list[bytes]]:
        """What it wrote while it was played this script."""
        Player(self.server, 2).play(script)
        found: list[list[bytes]] = []
        for path in sorted(Path(self.server.directory, "appendonlydir").glob("*.incr.aof")):
            file = Disk().open(str(path))
            reader = CommandReader(file, self.read.get(path.name, 0))
            for commands in reader:
                found += [plain(argv) for argv, _ in commands]
            self.read[path.name] = reader.offset
            file.close()
        return told(found)


def plain(argv: list[bytes]) -> list[bytes]:
    """Without what chance (SPOP) and the clock decide, and the forms of an id: `XADD s 6` is told as `6-0` by us."""
    verb = argv[0].upper()
    words = [b"<instant>" if is_instant(word) else word for word in argv[1:]]
    if verb in (b"SREM", b"XADD"):
        words = words[:1]
    return [verb, *words]


def is_instant(word: bytes) -> bool:
    head = word.partition(b"-")[0]
    return head.isdigit() and int(head) >= INSTANT_FROM


def told(commands: list[list[bytes]]) -> list[list[bytes]]:
    """Without the HPEXPIREAT that we tell after the HSET of an HINCRBYFLOAT, which takes a field's end (7.4.1 forgets
    it), and the transaction around the two."""
    found: list[list[bytes]] = []
    at = 0
    while at < len(commands):
        verbs = [argv[0] for argv in commands[at : at + 4]]
        if verbs == [b"MULTI", b"HSET", b"HPEXPIREAT", b"EXEC"]:
            found.append(commands[at + 1])
            at += 4
        else:
            found.append(commands[at])
            at += 1
    return found


def difference(ours: list[list[bytes]], theirs: list[list[bytes]]) -> str:
    for number, (left, right) in enumerate(zip(ours, theirs, strict=False)):
        if left != right:
            return f"command {number}: ours {left[:12]!r}, the real one's {right[:12]!r}"
    return "" if len(ours) == len(theirs) else f"{len(ours)} commands, the real server {len(theirs)}"


def test_both_write_the_same_commands() -> None:
    """A replica or a restart would have other data than Redis."""
    newer = server_74(*ON)
    if newer is None:
        pytest.skip("REDIS_SERVER_74 names no redis-server 7.4.1")
    with our_server(*ON) as one, newer as other:
        ours, theirs = Kept(one), Kept(other)
        found = []
        for script in scripts():
            if script.name not in OTHERS and not script.directives and script.since < "8":
                problem = difference(ours.play(script), theirs.play(script))
                if problem:
                    found.append(f"{script.name}: {problem}")
    assert not found, "\n".join(found)
