"""The longest time anybody has to wait while large values grow and go, beside redis-server.

    python -m bench.redis_stalls [MILLIONS] [WORD …]      5 million elements; only the cases that have one of the words

A process of its own sends PING again and again, a millisecond apart, while another loads; what it waits for its answer
is the first figure. On a machine where others run as well a wait may be theirs. So the second figure, which is held
against the bar, is the longest turn of the server's loop in time of its own thread (bench/redis_turns.py): the work on
what had come, ticks, and what the garbage collector did. Rests: nobody asks anything, PING neither, for some seconds.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.redis_turns import Account
from tests.peers.redis import Link, Server, real_server, request

BAR_MS = 10.0
EACH = 50  # elements a command
BATCH = 10  # commands at a time
APART_S = 0.001
MILLION = 1_000_000
# How long to look on after something large was deleted: it goes in pieces.
SETTLING_S = 2.0
SETTLING_S_A_MILLION = 2.5
# Long enough to be taken for idle, and for what a server does then.
RESTING_S = 5.0


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
    *[Case(growth, way) for growth in (SET, HASH, ZSET) for way in ("DEL", "UNLINK", "FLUSHALL")],
    Case(LIST, "DEL"),
    Case(STREAM, "DEL", 0.2),
    *[Case(growth, way, 0.2) for growth in (SET, HASH, ZSET) for way in WAYS if "over" in way or way == "PEXPIRE"],
)


class Worst(NamedTuple):
    """The longest wait for a PING, and the longest turn of the loop, in time of its thread; 0 where nobody counts."""

    waited_ms: float
    turn_ms: float


def _ping(port: int, worst: SynchronizedArray[float]) -> None:
    """For ever; [0]: the longest wait, ms."""
    link = Link(port)
    while True:
        began = time.perf_counter()
        link.command("PING")
        worst[0] = max(worst[0], (time.perf_counter() - began) * 1e3)
        time.sleep(APART_S)


class Watch:
    """How long somebody waits who asks for PING alone, and how long the turns of the loop are, where that is told."""

    def __init__(self, server: Server, account: Account | None) -> None:
        self._server = server
        self._account = account
        self._process = multiprocessing.Process()

    def begin(self) -> None:
        self._worst: SynchronizedArray[float] = multiprocessing.Array("d", 1)
        self._process = multiprocessing.Process(target=_ping, args=(self._server.port, self._worst), daemon=True)
        self._process.start()
        time.sleep(0.3)
        self.take()

    def end(self) -> Worst:
        self._process.terminate()
        self._process.join()
        return self.take()

    def take(self) -> Worst:
        """The worst since it began."""
        return Worst(self._worst[0], self._account.take() if self._account else 0.0)


def _grow(link: Link, growth: Growth, count: int) -> None:
    for first in range(0, count // growth.each, BATCH):
        link.send(b"".join([request(growth.make(number)) for number in range(first, first + BATCH)]))
        for _ in range(BATCH):
            reply = link.reply()
            assert not reply.startswith(b"-"), reply


def stalls(server: Server, account: Account | None, case: Case, count: int) -> tuple[Worst, Worst, Worst]:
    """The worst while it grows, while nobody asks, and while it goes."""
    with server:
        link = Link(server.port)
        watch = Watch(server, account)
        watch.begin()
        _grow(link, case.growth, count)
        grown = watch.end()
        time.sleep(RESTING_S)
        rested = Worst(0.0, watch.take().turn_ms)
        watch.begin()
        for words in WAYS[case.way]:
            link.command(*words)
        time.sleep(SETTLING_S + SETTLING_S_A_MILLION * count / MILLION)
        gone = watch.end()
        time.sleep(RESTING_S)
        after = watch.take().turn_ms
        link.close()
        return grown, Worst(0.0, max(rested.turn_ms, after)), gone


def main(size: float, words: list[str]) -> int:
    print(f"ms{'redis-server: waited':>61}{'miniredis: waited':>20}{'turn':>8}")
    is_over = False
    for case in CASES:
        title = f"{case.growth.name} {case.way}"
        if words and not any(word in title for word in words):
            continue
        count = int(size * MILLION * case.share)
        theirs = stalls(real_server(), None, case, count)
        with TemporaryDirectory() as directory:
            path = Path(directory, "turns")
            account = Account.open(path)
            ours = stalls(Server([sys.executable, "-m", "bench.redis_turns", str(path)]), account, case, count)
        for what, real, own in zip(("grows", "rests", case.way), theirs, ours, strict=True):
            mark = "   over" if own.turn_ms > BAR_MS else ""
            is_over |= bool(mark)
            name = f"{case.growth.name} of {count / MILLION:g} M: {what}"
            print(f"{name:42}{real.waited_ms:21.1f}{own.waited_ms:20.1f}{own.turn_ms:8.1f}{mark}", flush=True)
    return 1 if is_over else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0, sys.argv[2:]))
