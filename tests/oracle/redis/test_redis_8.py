"""Data of Redis 8.0 travels between it and ours: payloads both ways, and each as a replica of the other."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from protocol.resp.inline import split_arguments
from tests.peers.redis import DEADLINE_S, Link, Server

pytestmark = pytest.mark.peer

KEYS = ("none", "bytes", "bits", "less", "ends", "many")
ELEMENTS = 120
LATER = (
    "VADD none VALUES 4 9 9 1 9 new NOQUANT M 4", "VREM none e3", "VSETATTR bytes e4 {}", "HGETDEL ends FIELDS 1 f0",
    "HGETEX ends PERSIST FIELDS 1 f1", "HSETEX ends EX 100 FIELDS 1 f2 x", "HSETEX ends PXAT 1 FIELDS 1 f3 x",
)  # fmt: skip


def written() -> Iterator[str]:
    """Commands that make KEYS: large enough for several layers of a graph, and for a hash that is unpacked."""
    for number in range(ELEMENTS):
        point = f"VALUES 4 {number % 11 - 5} {number % 7 - 3} {number % 5 + 1} {number} e{number}"
        yield f"VADD none {point} NOQUANT M 4" + (" SETATTR x" if number % 3 == 0 else "")
        yield f"VADD bytes {point} Q8"
        yield f"VADD bits {point} BIN"
        yield f"VADD less REDUCE 2 {point}"
    for key, count in (("ends", 5), ("many", 600)):
        for number in range(count):
            yield f"HSETEX {key} PXAT {4000000000000 + number} FIELDS 1 f{number} {number}"


def play(link: Link, lines: Iterator[str] | tuple[str, ...]) -> None:
    for line in lines:
        assert link.command(*split_arguments(line.encode()))[:1] != b"-", line


def digests(link: Link) -> list[bytes]:
    return [link.command("DEBUG", "DIGEST-VALUE", key) for key in KEYS]


@pytest.mark.parametrize("is_ours_first", [True, False])
def test_payloads_are_exchanged(ours: Server, newest: Server, is_ours_first: bool) -> None:
    """RESTORE would refuse what the other one's DUMP gave, or make something else of it."""
    one, other = (Link(server.port) for server in ((ours, newest) if is_ours_first else (newest, ours)))
    for link in (one, other):
        link.command("FLUSHALL")
    play(one, written())
    for key in KEYS:
        payload = one.command("DUMP", key).split(b"\r\n", 1)[1][:-2]
        assert other.command("RESTORE", key, "0", payload) == b"+OK\r\n", key
    assert digests(one) == digests(other)


@pytest.mark.parametrize("is_ours_first", [True, False])
def test_one_follows_the_other(ours: Server, newest: Server, is_ours_first: bool) -> None:
    """A replica of the other kind would have other data, after the snapshot or after the stream."""
    first, second = (ours, newest) if is_ours_first else (newest, ours)
    primary, replica = Link(first.port), Link(second.port)
    primary.command("FLUSHALL")
    play(primary, written())
    try:
        assert replica.command("REPLICAOF", "127.0.0.1", str(first.port)) == b"+OK\r\n"
        await_replica(primary)
        assert digests(primary) == digests(replica)
        play(primary, LATER)
        await_replica(primary)
        assert digests(primary) == digests(replica)
        assert primary.command("DEBUG", "DIGEST") == replica.command("DEBUG", "DIGEST")
    finally:
        replica.command("REPLICAOF", "NO", "ONE")


def await_replica(primary: Link) -> None:
    primary.command("SET", "mark", "x")
    deadline = time.monotonic() + DEADLINE_S
    while primary.command("WAIT", "1", "500") != b":1\r\n":
        assert time.monotonic() < deadline
