"""Resident memory per key or element, beside redis-server in the same run.

    python -m bench.redis_memory [SHARE]        SHARE of the full sizes (1.0: a million keys), for a quick look

Each shape is loaded into a fresh server of either kind; what counts is how much its resident memory has grown, through
the number of keys or elements, once either has had a few seconds to let go of what loading needed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.peers.redis import Link, Server, our_server, real_server, request

PAGE_BYTES = 4096
BATCH = 500
REST_S = 4.0  # then Redis has freed its former table of keys, and both have returned free memory


class Shape(NamedTuple):
    """What is loaded: the n-th command of `count`, `each` things at a time, and how many times Redis's memory it may
    take."""

    name: str
    count: int
    each: int
    make: Callable[[int], list[bytes]]
    bar: float


def _members(number: int, each: int = 100) -> list[bytes]:
    return [b"member:%08d" % member for member in range(number * each, number * each + each)]


def _scored(number: int) -> list[bytes]:
    return [word for member in _members(number) for word in (b"%d.5" % (hash(member) % 1000003), member)]


def _fields(number: int) -> list[bytes]:
    return [word for field in range(10) for word in (b"field%d" % field, b"value:%d" % (number * 10 + field))]


MILLION = 1_000_000
SHAPES = (
    Shape("strings of 10 B", MILLION, 1, lambda n: [b"SET", b"key:%06d" % n, b"val:%06d" % n], 1.4),
    Shape("strings of 100 B", MILLION, 1, lambda n: [b"SET", b"key:%06d" % n, b"x%099d" % n], 1.4),
    Shape("strings of 10 B with TTL", MILLION, 1,
          lambda n: [b"SET", b"key:%06d" % n, b"val:%06d" % n, b"EX", b"100000"], 1.5),
    Shape("integers", MILLION, 1, lambda n: [b"SET", b"key:%06d" % n, b"%d" % (n + 100_000)], 2.0),
    Shape("hashes of ten fields", 200_000, 1, lambda n: [b"HSET", b"hash:%06d" % n, *_fields(n)], 2.0),
    Shape("sets of ten members", 200_000, 1, lambda n: [b"SADD", b"set:%06d" % n, *_members(n, 10)], 2.0),
    Shape("one sorted set", MILLION, 100, lambda n: [b"ZADD", b"zset", *_scored(n)], 2.0),
    Shape("one set", MILLION, 100, lambda n: [b"SADD", b"set", *_members(n)], 2.0),
    Shape("one list", MILLION, 100, lambda n: [b"RPUSH", b"list", *_members(n)], 2.0),
    Shape("one stream", MILLION, 1, lambda n: [b"XADD", b"stream", b"%d-0" % (n + 1), b"field", b"value"], 2.0),
)  # fmt: skip


def resident_bytes(server: Server) -> int:
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * PAGE_BYTES


def commands(shape: Shape, share: float) -> Iterator[list[bytes]]:
    for number in range(max(int(shape.count * share) // shape.each, 1)):
        yield shape.make(number)


def growth_bytes(server: Server, shape: Shape, share: float) -> float:
    """Memory per key or element that the server has grown by."""
    with server:
        link = Link(server.port)
        for number in range(200):  # what the first commands make once is not the data's
            link.command("SET", f"warm:{number}", "x")
        before = resident_bytes(server)
        batch: list[bytes] = []
        loaded = 0
        for words in commands(shape, share):
            batch.append(request(words))
            loaded += 1
            if len(batch) == BATCH:
                _send(link, batch)
        _send(link, batch)
        time.sleep(REST_S)
        grown = resident_bytes(server) - before
        link.close()
        return grown / (loaded * shape.each)


def _send(link: Link, batch: list[bytes]) -> None:
    link.send(b"".join(batch))
    for _ in batch:
        reply = link.reply()
        assert not reply.startswith(b"-"), reply
    batch.clear()


def main(share: float, names: list[str]) -> int:
    print(f"{'':28}{'redis-server':>14}{'miniredis':>12}{'times':>8}{'at most':>9}")
    for shape in SHAPES:
        if names and not any(name in shape.name for name in names):
            continue
        theirs = growth_bytes(real_server(), shape, share)
        ours = growth_bytes(our_server(), shape, share)
        mark = "" if ours <= theirs * shape.bar else "   over"
        print(f"{shape.name:28}{theirs:14.0f}{ours:12.0f}{ours / theirs:8.2f}{shape.bar:9.1f}{mark}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0, sys.argv[2:]))
