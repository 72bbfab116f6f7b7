"""Replication under load, with links that break: ours beside real servers, on either end, until both hold the same.

    REPLICATION_LOAD="30000 60" REDIS_SERVER_74=... REDIS_SERVERS=...:... \\
        python -m pytest -n0 -s --timeout 3600 tests/clients/test_replication_load.py

Two connections write all types, with expiries, transactions, scripts and functions. Each of the five breaks is another:

    1  reset, and mended at once              4  refused until the backlog is outrun: only this asks for everything
    2  refused for half a second              5  as the first
    3  nothing arrives for a second, then reset

So Redis counts two full synchronizations, the first and the fourth, four partial ones and one that was refused, for
each replica: `REPLICATION_LOAD` shows that too, and everybody is held to it. By default small, with Debian's server.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.oracle.redis.traffic import KINDS, Traffic, info, same_data, until
from tests.peers.cable import Cable
from tests.peers.redis import Link, Server, binaries, our_server, request

RATE, SECONDS = map(int, os.environ.get("REPLICATION_LOAD", "2000 3").split())
IS_FULL_SIZE = "REPLICATION_LOAD" in os.environ
POPULATION = 100_000 if IS_FULL_SIZE else 1000  # keys that are there before, of a database of their own
BACKLOG_BYTES = (64 if IS_FULL_SIZE else 2) << 20
BATCHES = 150  # that are played round and round
BATCH = 200
LASTING_DB, POPULATED_DB = 9, 4  # of what has a far end, and of what was there before
FULL, PARTIAL, REFUSED = 2, 4, 1  # synchronizations of each replica
DIRECTIVES = (
    "--repl-backlog-size", str(BACKLOG_BYTES), "--repl-diskless-sync-delay", "0", "--protected-mode", "no",
)  # fmt: skip

# Four of five are what clients write for the most part, the others anything.
PLAIN_KINDS = 24 * (
    "SET {s} {v}", "SET {s} {v} PX {ms}", "INCRBY {n} {i}", "APPEND {s} {w}", "HSET {h} {w} {v}", "HDEL {h} {w}",
    "LPUSH {l} {v}", "RPOP {l}", "SADD {S} {w}", "SREM {S} {w}", "ZADD {z} {i} {w}", "XADD {x} MAXLEN ~ 50 * {w} {v}",
    "DEL {any}", "PEXPIRE {any} {ms}",
)  # fmt: skip
MORE_KINDS = (
    "HSETNX {h} {w} {v}", "HINCRBY {H} {w} {i}", "SMOVE {S} {S} {w}", "SDIFFSTORE {S} {S} {S}",
    "SINTERSTORE {S} {S} {S}", "ZADD {z} GT CH {i}.25 {w}", "ZREMRANGEBYRANK {z} 40 -1", "ZRANGESTORE {z} {z} 0 20",
    "ZINTERSTORE {z} 2 {z} {S}", "ZMPOP 1 {z} MAX COUNT 2", "LMPOP 2 {l} {l} RIGHT COUNT 3", "LREM {l} 1 {w}",
    "XADD {x} NOMKSTREAM MAXLEN ~ 30 LIMIT 10 * {w} {v}", "XAUTOCLAIM {x} group you 0 0 COUNT 2",
    "XGROUP CREATECONSUMER {x} group you", "XGROUP DELCONSUMER {x} group you", "XTRIM {x} MAXLEN 20",
    "BITOP XOR {b} {b} {b}", "BITFIELD {b} SET u8 #{i} 7 INCRBY i16 {i} 3", "PFMERGE {p} {p}", "COPY {S} {S} REPLACE",
    "GETSET {s} {v}", "SETNX {s} {v}", "SET {s} {v} EX 1", "EXPIRE {any} 1 NX", "PUBLISH news {v}", "RENAMENX {h} {h}",
    "FCALL touch 2 {n} {l} {v}", "GEORADIUS {G} {i} {i} 900 km ASC COUNT 7 STORE {z}",
)  # fmt: skip
KINDS_OF_FIELDS = (
    "HPEXPIRE {h} {ms} FIELDS 2 {w} {w}", "HEXPIRE {h} 1 NX FIELDS 1 {w}", "HPERSIST {h} FIELDS 1 {w}",
)  # fmt: skip
ACKNOWLEDGE = b"""
local told = redis.pcall('xpending', KEYS[1], 'group', '-', '+', 2)
for _, entry in ipairs(told.err and {} or told) do redis.call('xack', KEYS[1], 'group', entry[1]) end
"""
LIBRARY = b"""#!lua name=library
redis.register_function('touch', function(keys, argv)
    redis.call('incrby', keys[1], 2) return redis.call('rpush', keys[2], argv[1], %d) end)
"""


class Mixture(Traffic):
    """As what it extends, with more kinds, and now and then what is seldom done."""

    scripts = 0.01

    def __init__(self, port: int, seed: int, *, with_fields: bool) -> None:
        super().__init__(port, seed, keys=60)
        self.kinds = PLAIN_KINDS + KINDS + MORE_KINDS + (KINDS_OF_FIELDS if with_fields else ())

    def several(self) -> list[list[bytes]]:
        """Some that belong together."""
        chance = self.chance
        luck = chance.random()
        if luck < 0.01:
            return [[b"EVAL", ACKNOWLEDGE, b"1", self.key("x").encode()]]
        if luck < 0.012:
            return [[b"BLPOP", self.key("l").encode(), b"0.001"]]
        if luck < 0.013:
            return [[b"SWAPDB", b"%d" % chance.randrange(3), b"%d" % chance.randrange(3)]]
        if luck < 0.014:
            return [[b"FUNCTION", b"LOAD", b"REPLACE", LIBRARY % chance.randrange(9)]]
        if luck < 0.016:
            end = b"%d" % (9_000_000_000_000 + chance.randrange(1000))
            lasting = [b"SET", self.key("s").encode(), self.word(9).encode(), b"PXAT", end]
            return [[b"SELECT", b"%d" % LASTING_DB], lasting, [b"SELECT", b"0"]]
        if luck < 0.0161:
            return [[b"FLUSHDB"]]
        return [self.one() for _ in range(chance.randrange(1, 12))]

    def batch(self) -> bytes:
        told: list[bytes] = []
        count = 0
        while count < BATCH:
            some = self.several()
            count += len(some)
            if self.chance.random() < 0.3 and some[0][0] not in (b"BLPOP", b"FUNCTION"):
                some = [[b"MULTI"], *some, [b"EXEC"]]
            told += map(request, some)
        return b"".join(told)


class Load(threading.Thread):
    """Writes so many commands a second, and waits for the answers of each batch."""

    def __init__(self, mixture: Mixture, rate: float) -> None:
        super().__init__(daemon=True)
        self.link = mixture.link
        self.rate = rate
        self.is_stopping = False
        self.batches = [mixture.batch() for _ in range(BATCHES)]
        self.written = 0
        self.seconds = 0.0

    def run(self) -> None:
        started = time.monotonic()
        for number, batch in enumerate(itertools.cycle(self.batches)):
            mark = b"$12\r\nmark%08d\r\n" % number
            self.link.send(batch + b"*2\r\n$4\r\nECHO\r\n" + mark)
            tail = b""
            while not tail.endswith(mark):
                tail = (tail + self.link.socket.recv(1 << 18))[-len(mark) :]
            self.written += BATCH
            self.seconds = time.monotonic() - started
            if self.is_stopping:
                return
            time.sleep(max(self.written / self.rate - self.seconds, 0))

    def stop(self) -> None:
        self.is_stopping = True
        self.join()


class Replica(NamedTuple):
    server: Server
    link: Link
    cable: Cable

    @property
    def is_up(self) -> bool:
        return info(self.link, "master_link_status") == "up"


class Rig:
    """One primary, its replicas behind a cable each, and what writes to it."""

    def __init__(self, stack: ExitStack, source: Server, followers: Sequence[Server]) -> None:
        self.source = source
        self.primary = Link(stack.enter_context(source).port)
        self.replicas = []
        for follower in followers:
            cable = stack.enter_context(Cable(source.port))
            follower.directives += ["--replicaof", f"127.0.0.1 {cable.port}"]
            server = stack.enter_context(follower)
            self.replicas.append(Replica(server, Link(server.port), cable))
        with_fields = all(knows_fields(link) for link in (self.primary, *(each.link for each in self.replicas)))
        self.primary.command("FUNCTION", "LOAD", LIBRARY % 0)
        self.primary.command("SELECT", str(POPULATED_DB))
        self.primary.command("DEBUG", "POPULATE", str(POPULATION), "key", "100")
        self.primary.command("SELECT", "0")
        mixtures = [Mixture(source.port, seed, with_fields=with_fields) for seed in (1, 2)]
        self.loads = [Load(mixture, RATE / len(mixtures)) for mixture in mixtures]

    def await_links(self) -> None:
        def are_there() -> bool:
            online = info_text(self.primary).count("state=online")
            return online == len(self.replicas) and all(each.is_up for each in self.replicas)

        try:
            until("all links", are_there)
        except AssertionError as error:
            logs = [self.source.log(), *(each.server.log() for each in self.replicas)]
            raise AssertionError("\n-----\n".join([str(error), *logs])) from None

    def outrun_backlog(self) -> None:
        wanted = int(info(self.primary, "master_repl_offset")) + 2 * BACKLOG_BYTES
        while int(info(self.primary, "master_repl_offset")) < wanted:
            self.primary.command("SET", "filler", b"x" * (1 << 20))

    def break_links(self, way: int) -> None:
        cables = [each.cable for each in self.replicas]
        for cable in cables:
            cable.hold() if way == 3 else cable.sever() if way in (2, 4) else cable.cut()
        if way == 4:
            self.outrun_backlog()
        elif way in (2, 3):
            time.sleep(0.5 if way == 2 else 1)
        for cable in cables:
            cable.cut() if way == 3 else cable.mend()

    def play(self) -> None:
        self.await_links()
        for load in self.loads:
            load.start()
        for way in range(1, 6):
            time.sleep(SECONDS / 6)
            self.await_links()
            self.break_links(way)
        time.sleep(SECONDS / 6)
        for load in self.loads:
            load.stop()
        self.await_links()


def info_text(link: Link) -> str:
    return link.command("INFO", "replication").decode()


def knows_fields(link: Link) -> bool:
    return b"hpexpire" in link.command("COMMAND", "INFO", "HPEXPIRE")


def name(server: Server, link: Link) -> str:
    told = info(link, "valkey_version")
    if "miniredis" in server.command:
        return "ours"
    return f"Valkey {told}" if told else f"Redis {info(link, 'redis_version')}"


def ends(link: Link) -> list[bytes]:
    """When what has a far end ends."""
    link.command("SELECT", str(LASTING_DB))
    told = [link.command("PEXPIRETIME", f"s{number}") for number in range(60)]
    link.command("SELECT", "0")
    return told


def groups(link: Link) -> list[bytes]:
    """What digests do not see of streams: who has read what. (Of databases that nobody swaps any more.)"""
    found = []
    for db in range(3):
        link.command("SELECT", str(db))
        for number in range(60):
            found.append(link.command("XPENDING", f"x{number}", "group"))
    link.command("SELECT", "0")
    return found


def replicate(source: Server, followers: Sequence[Server]) -> None:
    """The whole play of one primary and his replicas, and what has to be true afterwards."""
    with ExitStack() as stack:
        rig = Rig(stack, source, followers)
        rig.play()
        links = [each.link for each in rig.replicas]
        waited = time.monotonic()
        for link in links:
            await_place(rig.primary, link)
        same_data(rig.primary, *links)
        report(rig, time.monotonic() - waited)
        for link in links:
            assert ends(link) == ends(rig.primary)
            assert groups(link) == groups(rig.primary)
        counted = [int(info(rig.primary, "sync_" + kind)) for kind in ("full", "partial_ok", "partial_err")]
        assert counted == [times * len(links) for times in (FULL, PARTIAL, REFUSED)]


def await_place(primary: Link, replica: Link) -> None:
    """Who has less of a processor than it needs is behind at the end."""
    deadline = time.monotonic() + 60 + 10 * SECONDS
    while int(info(primary, "master_repl_offset")) - int(info(replica, "slave_repl_offset")) > BATCH:
        assert time.monotonic() < deadline, "it does not catch up"
        time.sleep(0.2)


def report(rig: Rig, waited_s: float) -> None:
    written = sum(load.written for load in rig.loads)
    rate = sum(load.written / load.seconds for load in rig.loads)
    names = ", ".join(name(each.server, each.link) for each in rig.replicas)
    counted = " ".join(f"{kind} {info(rig.primary, 'sync_' + kind)}" for kind in ("full", "partial_ok", "partial_err"))
    print(
        f"\n{name(rig.source, rig.primary)} -> {names}: {written:,} writes, "
        f"{rate:,.0f}/s, {int(info(rig.primary, 'master_repl_offset')) >> 20} MiB, {counted}, "
        f"equal {waited_s:.1f} s later, digest {rig.primary.command('DEBUG', 'DIGEST').decode()[1:9]}",
        flush=True,
    )


def servers() -> list[Server]:
    return [Server([binary], DIRECTIVES) for binary in binaries()]


def test_real_replicas_follow_ours() -> None:
    """A real replica would lose a write, or need everything again where a part would do, after a link was lost."""
    with ExitStack() as stack:
        old, new = [], []
        for server in servers():
            with_fields = knows_fields(Link(stack.enter_context(server).port))
            (new if with_fields else old).append(server)
    for followers in filter(None, (old, new)):
        replicate(our_server(*DIRECTIVES), [Server(each.command, DIRECTIVES) for each in followers])


def test_ours_follows_real_primaries() -> None:
    """Ours would lose a write of a real primary, or make one twice, or fetch everything again without need."""
    for server in servers():
        replicate(server, [our_server(*DIRECTIVES)])


def test_ours_follows_ours() -> None:
    """Two of ours would not do for each other what real ones do."""
    replicate(our_server(*DIRECTIVES), [our_server(*DIRECTIVES)])


@pytest.mark.skipif(not IS_FULL_SIZE, reason="what Redis counts itself is shown with REPLICATION_LOAD only")
def test_what_redis_counts() -> None:
    """What everybody is held to would not be what Redis does."""
    for server in servers():
        replicate(server, [Server(server.command, DIRECTIVES)])
