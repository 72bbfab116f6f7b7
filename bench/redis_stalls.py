"""The longest time anybody has to wait while large values grow and go, beside redis-server.

    python -m bench.redis_stalls [MILLIONS] [WORD …]      5 million elements; only the cases that have one of the words

A process of its own sends PING again and again, a millisecond apart, while another loads. What counts is the worst of
them: how long it waited for its answer, and how long the server's main thread was at work for it. On a machine where
others run as well a wait may be theirs, so the second number is held against the bar: while something grows that is the
work for one batch of 500 elements, all that is asked then but PING; while it goes, the work during one PING (if the
asking process had to wait for its turn, that of several).
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path
from typing import NamedTuple

from tests.peers.redis import Link, Server, our_server, real_server, request

BAR_MS = 10.0
EACH = 50  # elements a command
BATCH = 10  # commands at a time
APART_S = 0.001
MILLION = 1_000_000
# How long to look on after something large was deleted: it goes in pieces.
SETTLING_S = 2.0
SETTLING_S_A_MILLION = 2.5


class Growth(NamedTuple):
    """What is loaded: the n-th command, which brings `each` elements."""

    name: str
    each: int
    make: Callable[[int], list[bytes]]


def _names(number: int) -> list[bytes]:
    return [b"member:%08d" % name for name in range(number * EACH, number * EACH + EACH)]


def _pairs(number: int) -> list[bytes]:
    return [word for name in _names(number) for word in (name, b"value")]


def _scored(number: int) -> list[bytes]:
    return [word for name in _names(number) for word in (b"%d.5" % (hash(name) % 1000003), name)]


def _keys(number: int) -> list[bytes]:
    return [word for name in _names(number) for word in (b"key:" + name, b"value")]


SET = Growth("one set", EACH, lambda n: [b"SADD", b"big", *_names(n)])
HASH = Growth("one hash", EACH, lambda n: [b"HSET", b"big", *_pairs(n)])
ZSET = Growth("one sorted set", EACH, lambda n: [b"ZADD", b"big", *_scored(n)])
LIST = Growth("one list", EACH, lambda n: [b"RPUSH", b"big", *_names(n)])
STREAM = Growth("one stream", 1, lambda n: [b"XADD", b"big", b"%d-0" % (n + 1), b"field", b"value"])
KEYS = Growth("keys", EACH, lambda n: [b"MSET", *_keys(n)])
SMALL_HASHES = Growth("hashes of five", 5, lambda n: [b"HSET", b"hash:%d" % n, *_pairs(n)[:10]])

WAYS: dict[str, list[list[str]]] = {
    "DEL": [["DEL", "big"]],
    "UNLINK": [["UNLINK", "big"]],
    "SET over it": [["SET", "big", "x"]],
    "RENAME over it": [["SET", "small", "x"], ["RENAME", "small", "big"]],
    "PEXPIRE": [["PEXPIRE", "big", "50"]],
    "FLUSHALL": [["FLUSHALL"]],
}


class Case(NamedTuple):
    """What grows and how it goes; to this share of the size asked for."""

    growth: Growth
    way: str
    share: float = 1.0


CASES = (
    Case(KEYS, "FLUSHALL"),
    Case(SMALL_HASHES, "FLUSHALL"),
    *[Case(growth, "DEL") for growth in (SET, HASH, ZSET, LIST)],
    Case(STREAM, "DEL", 0.2),
    *[Case(growth, way, 0.2) for growth in (SET, HASH, ZSET) for way in WAYS if way != "DEL"],
)


def _work_ns(pid: int) -> int:
    """How long the main thread of a process has been running."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])


def _ping(port: int, pid: int, worst: SynchronizedArray[float]) -> None:
    """For ever: [0] the longest wait, [1] the longest work of the server during one wait, both ms."""
    link = Link(port)
    while True:
        worked = _work_ns(pid)
        began = time.perf_counter()
        link.command("PING")
        waited = (time.perf_counter() - began) * 1e3
        worst[0] = max(worst[0], waited)
        worst[1] = max(worst[1], min(waited, (_work_ns(pid) - worked) / 1e6))
        time.sleep(APART_S)


class Pinger:
    """Somebody who waits, in a process of his own."""

    def __init__(self, server: Server) -> None:
        self._worst: SynchronizedArray[float] = multiprocessing.Array("d", 2)
        self._process = multiprocessing.Process(target=_ping, args=(server.port, server.pid, self._worst), daemon=True)
        self._process.start()

    def take(self) -> tuple[float, float]:
        """The worst wait and the worst work since last asked, ms."""
        found = self._worst[0], self._worst[1]
        self._worst[0] = self._worst[1] = 0.0
        return found

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()


def _grow(link: Link, pid: int, growth: Growth, count: int) -> float:
    """The most work for one batch, ms."""
    worst = 0
    for first in range(0, count // growth.each, BATCH):
        batch = b"".join([request(growth.make(number)) for number in range(first, first + BATCH)])
        worked = _work_ns(pid)
        link.send(batch)
        for _ in range(BATCH):
            reply = link.reply()
            assert not reply.startswith(b"-"), reply
        worst = max(worst, _work_ns(pid) - worked)
    return worst / 1e6


def stalls(server: Server, case: Case, count: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """The worst wait and work while it grows, and while it goes."""
    with server:
        link = Link(server.port)
        pinger = Pinger(server)
        time.sleep(0.3)
        pinger.take()
        worked = _grow(link, server.pid, case.growth, count)
        grown = pinger.take()[0], worked
        for words in WAYS[case.way]:
            link.command(*words)
        time.sleep(SETTLING_S + SETTLING_S_A_MILLION * count / MILLION)
        gone = pinger.take()
        pinger.stop()
        link.close()
        return grown, gone


def main(size: float, words: list[str]) -> int:
    print(f"worst PING, ms: waited (of it at work){'redis-server':>25}{'miniredis':>27}")
    is_over = False
    for case in CASES:
        title = f"{case.growth.name} {case.way}"
        if words and not any(word in title for word in words):
            continue
        count = int(size * MILLION * case.share)
        theirs = stalls(real_server(), case, count)
        ours = stalls(our_server(), case, count)
        for what, real, own in zip(("grows", case.way), theirs, ours, strict=True):
            mark = "   over" if own[1] > BAR_MS else ""
            is_over |= bool(mark)
            name = f"{case.growth.name} of {count / MILLION:g} M: {what}"
            print(f"{name:42}{real[0]:12.1f} ({real[1]:6.1f}){own[0]:16.1f} ({own[1]:6.1f}){mark}", flush=True)
    return 1 if is_over else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0, sys.argv[2:]))
