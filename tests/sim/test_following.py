"""Our server as a replica in a world of virtual time: of one of ours, and of primaries that mean harm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from miniredis.config import CommandLine, Config
from miniredis.server import Server
from protocol.checksums import crc64
from protocol.ops.logs import Logger
from protocol.resp.encoder import encode_command
from protocol.resp.parser import Parser
from tests.sim.disk import SimDisk
from tests.sim.world import SimClock, SimLoop, SimProcess, run

PRIMARY, REPLICA = 7000, 7001
ID = b"a" * 40
MARK = b"f" * 40


async def start(world: SimLoop, port: int, *options: str, disk: SimDisk | None = None) -> Server:
    disk = disk or SimDisk(Random(world.seed + port))
    config = Config(read_file=disk.read, list_directory=disk.list, is_directory=disk.is_dir, directory="/")
    arguments = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--repl-diskless-sync-delay", "0", *options]
    config.load(CommandLine(arguments), stdin=bytes)
    server = Server(
        world, config, disk=disk, clock=SimClock(world), random=Random(world.seed), secrets=Random(world.seed + port),
        process=SimProcess(),
        log=Logger(lambda level, text: text, write=lambda line: world.note(f"log {port}", line)),
    )  # fmt: skip
    await server.start()
    return server


async def ask(port: int, *lines: str) -> list[bytes]:
    """First lines of the answers."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.create_connection(lambda: asyncio.StreamReaderProtocol(reader), "127.0.0.1", port)
    answers = []
    for line in lines:
        transport.write(line.encode() + b"\r\n")
        answer = await reader.readline()
        if answer.startswith(b"$") and answer != b"$-1\r\n":
            answer = await reader.readexactly(int(answer[1:]) + 2)
        answers.append(answer.rstrip())
    transport.close()
    return answers


def lines_of(world: SimLoop, port: int) -> str:
    return "\n".join(what for _, kind, what in world.trace if kind == f"log {port}")


async def until(what: str, condition: Callable[[], bool], seconds: float = 60.0) -> None:
    for _ in range(int(seconds * 20)):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never came: {what}")


@pytest.mark.parametrize("seed", range(6))
def test_a_link_that_breaks_at_any_time(seed: int) -> None:
    """After some break the replica would have a write twice, or not at all, or half a transaction."""

    async def main(world: SimLoop) -> None:
        primary, replica = await start(world, PRIMARY), await start(world, REPLICA)
        chance = Random(seed)
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
        for _ in range(12):
            for _ in range(chance.randrange(1, 20)):
                kind = chance.choice(["INCR n", "RPUSH l x", "SELECT 1", "SET s v PX 40", "APPEND s w", "XADD x * a b"])
                lines = ["MULTI", kind, "INCR n", "EXEC"] if chance.random() < 0.3 else [kind, "INCR n"]
                reader = asyncio.StreamReader()
                protocol = asyncio.StreamReaderProtocol(reader)
                transport, _ = await world.create_connection(lambda it=protocol: it, "127.0.0.1", PRIMARY)  # type: ignore[misc]
                transport.write("".join(line + "\r\n" for line in lines).encode())
                await reader.readline()
                transport.close()
            for client in list(primary.state.clients.values()):
                if client in primary.state.replication.primary.followers and chance.random() < 0.7:
                    client.kill()
            await asyncio.sleep(chance.random() * 2)
        history, followed = primary.state.history, replica.state.history
        await until("the same place", lambda: history.offset == followed.offset and history.id == followed.id)
        await asyncio.sleep(1)
        for mine, theirs in zip(primary.state.dbs, replica.state.dbs, strict=True):
            assert sorted(mine.table) == sorted(theirs.table)
            for key in (b"n", b"s"):
                assert mine.table.get(key) == theirs.table.get(key)
            for key in (b"l", b"x"):
                one, other = mine.table.get(key), theirs.table.get(key)
                assert (one is None) == (other is None)
                if one is not None:
                    assert len(one) == len(other)  # type: ignore[arg-type]
        assert primary.state.replication.primary.statistics.partial_good > 0
        await replica.stop()
        await primary.stop()

    run(seed, main)


# ── primaries that mean harm ───────────────────────────────────────────────────────────────────────────


def rdb(*pairs: tuple[bytes, bytes]) -> bytes:
    body = b"REDIS0010\xfe\x00"
    for key, value in pairs:
        body += b"\x00" + bytes([len(key)]) + key + bytes([len(value)]) + value
    body += b"\xff"
    return body + crc64(body).to_bytes(8, "little")


WHOLE = rdb((b"new", b"1"), (b"more", b"2"))
FULL = b"+FULLRESYNC " + ID + b" 100\r\n"


class Harm(asyncio.Protocol):
    """A primary that answers PSYNC with these bytes, and the greetings as it should or with `greeting`."""

    def __init__(self, answer: bytes, greeting: bytes = b"+OK\r\n") -> None:
        self.answer = answer
        self.greeting = greeting
        self.said = b""
        self.parser = Parser()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.said += data
        for words in self.parser.take(data):
            if words[0] == b"PSYNC":
                self.transport.write(self.answer)
                self.greeting = b""
            else:
                self.transport.write(self.greeting)


def full(payload: bytes, then: bytes = b"") -> bytes:
    return FULL + b"$%d\r\n" % len(payload) + payload + then


OLD = b"kept"
HARMS = {
    "an endless line": (b"x" * 5000, OLD),
    "no line end": (b"+FULLRESYNC", OLD),
    "an answer of another kind": (b":1\r\n", OLD),
    "an id too short": (b"+FULLRESYNC abc 100\r\n", OLD),
    "an offset that is none": (b"+FULLRESYNC " + ID + b" 1e9\r\n", OLD),
    "an offset beyond all": (b"+FULLRESYNC " + ID + b" " + b"9" * 40 + b"\r\n", OLD),
    "no payload": (FULL + b"+OK\r\n", OLD),
    "a length beyond all": (FULL + b"$" + b"9" * 60 + b"\r\n", OLD),
    "a negative length": (FULL + b"$-1\r\n", OLD),
    "a length that lies": (FULL + b"$999999\r\n" + WHOLE, OLD),
    "a mark that never comes": (FULL + b"$EOF:" + MARK + b"\r\n" + WHOLE, OLD),
    "an error instead": (FULL + b"-ERR no\r\n", OLD),
    "an endless announcement": (FULL + b"y" * 100_000, OLD),
    "nothing": (full(b""), OLD),
    "no data set": (full(b"hello world, this is no rdb"), OLD),
    "a version beyond all": (full(b"REDIS0099" + WHOLE[9:]), OLD),
    "a data set cut short": (full(WHOLE[:20]), OLD),
    "a wrong sum": (full(WHOLE[:-1] + b"\x00"), OLD),
    "a wrong sum behind a mark": (FULL + b"$EOF:" + MARK + b"\r\n" + WHOLE[:-1] + b"\x00" + MARK, OLD),
    "a count that lies": (full(b"REDIS0010\xfe\x00\x01\x01l\x81" + b"\xff" * 9 + b"\0" * 8), None),
    "a key twice": (full(rdb((b"a", b"1"), (b"a", b"2"))), None),
    "databases beyond all": (full(b"REDIS0010\xfe\x7f\xff\x00\x01a\x011\xff" + b"\0" * 8), None),
}


@pytest.mark.parametrize("name", HARMS)
def test_what_cannot_be_a_synchronization(name: str) -> None:
    """A primary could make us serve half a data set, forget ours for nothing, or fill our memory."""
    answer, kept = HARMS[name]

    async def main(world: SimLoop) -> None:
        await world.create_server(lambda: Harm(answer), "127.0.0.1", PRIMARY)
        replica = await start(world, REPLICA, "--repl-timeout", "5")
        await ask(REPLICA, "SET old kept", f"REPLICAOF 127.0.0.1 {PRIMARY}")
        following = replica.following
        await asyncio.sleep(12)
        assert following.stream is None
        assert await ask(REPLICA, "GET old", "GET new", "GET a") == [kept or b"$-1", b"$-1", b"$-1"]
        assert sum(len(db) for db in replica.state.dbs) == (1 if kept else 0)
        told = lines_of(world, REPLICA)
        assert told.count("MASTER <-> REPLICA sync started") > 1, "it was not tried again"
        assert told.count("MASTER <-> REPLICA sync started") < 60, "it was tried without a pause"
        await replica.stop()

    run(1, main)


@pytest.mark.parametrize(
    ("stream", "line"),
    [
        (b"*1\r\n$-5\r\n", "Protocol error from master: invalid bulk length"),
        (b"*99999999999\r\n", "Protocol error from master: invalid multibulk length"),
        (b"*1\r\n:5\r\n", "Protocol error from master: expected '$', got ':'"),
        (b"z" * 70_000, "Protocol error from master: too big inline request"),
        (b"$3\r\nSET\r\n", "Protocol error from master: inline command where only arrays are sent"),
        (b"SET hidden 1\r\n", "Protocol error from master: inline command where only arrays are sent"),
        (b" set 'hidden' 1\r\n", "Protocol error from master: inline command where only arrays are sent"),
    ],
)
def test_what_cannot_be_a_stream(stream: bytes, line: str) -> None:
    """We would follow what is no stream, or go on from a place in it that is none."""

    async def main(world: SimLoop) -> None:
        harms: list[Harm] = []

        def accept() -> Harm:
            harms.append(Harm(full(WHOLE, encode_command([b"SET", b"x", b"1"]) + stream)))
            return harms[-1]

        await world.create_server(accept, "127.0.0.1", PRIMARY)
        replica = await start(world, REPLICA)
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
        await until("an end", lambda: line in lines_of(world, REPLICA))
        await until("another try", lambda: len(harms) > 1 and b"PSYNC" in harms[1].said)
        assert encode_command([b"PSYNC", b"?", b"-1"]) in harms[1].said
        await replica.stop()

    run(2, main)


def test_a_transaction_that_never_ends_is_bounded() -> None:
    """A primary could fill our memory with commands that it never lets us run."""

    async def main(world: SimLoop) -> None:
        stream = encode_command([b"MULTI"]) + encode_command([b"SET", b"k", b"v" * 100_000]) * 30
        await world.create_server(lambda: Harm(full(WHOLE, stream)), "127.0.0.1", PRIMARY)
        replica = await start(world, REPLICA, "--client-query-buffer-limit", "1mb")
        replica.following.stream_most_bytes = 2_000_000
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
        await until("an end", lambda: "is longer than 2000000 bytes" in lines_of(world, REPLICA))
        await replica.stop()

    run(3, main)


def test_commands_that_fail_are_told_and_the_rest_is_run() -> None:
    """A difference between primary and replica would show nowhere."""

    async def main(world: SimLoop) -> None:
        bad = [[b"SET", b"k"], [b"NOSUCH", b"x"], [b"LPUSH", b"new", b"x"], [b"BLPOP", b"none", b"0"]]
        stream = b"".join(map(encode_command, [*bad, [b"SET", b"after", b"1"]]))
        await world.create_server(lambda: Harm(full(WHOLE, stream)), "127.0.0.1", PRIMARY)
        replica = await start(world, REPLICA)
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
        await until("the link", lambda: replica.following.stream is not None)
        await asyncio.sleep(0.1)
        assert await ask(REPLICA, "GET after") == [b"1"]
        assert replica.state.history.offset == 100 + len(stream)
        told = lines_of(world, REPLICA)
        assert "== CRITICAL == This replica is sending an error to its master: 'WRONGTYPE" in told
        assert "after processing the command 'set'" in told
        await replica.stop()

    run(4, main)


def test_a_silent_primary_is_left() -> None:
    """A replica would wait for ever on a primary that is gone without a word."""

    async def main(world: SimLoop) -> None:
        accepted: list[Harm] = []

        def accept() -> Harm:
            accepted.append(Harm(full(WHOLE), greeting=b"" if len(accepted) == 1 else b"+OK\r\n"))
            return accepted[-1]

        await world.create_server(accept, "127.0.0.1", PRIMARY)
        replica = await start(world, REPLICA, "--repl-timeout", "3")
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
        await until("the first end", lambda: "MASTER timeout: no data nor PING" in lines_of(world, REPLICA))
        await until("the second", lambda: "Timeout connecting to the MASTER" in lines_of(world, REPLICA))
        acknowledged = encode_command([b"REPLCONF", b"ACK", b"100"])
        assert accepted[0].said.count(acknowledged) >= 2, "a replica says how far it is every second"
        await replica.stop()

    run(5, main)


# ── directives ─────────────────────────────────────────────────────────────────────────────────────────


async def followed(world: SimLoop, *lines: str, before: str = "PING") -> tuple[Server, Harm]:
    """A replica with these settings after a full synchronization, and its primary."""
    harm = Harm(full(WHOLE))
    await world.create_server(lambda: harm, "127.0.0.1", PRIMARY)
    replica = await start(world, REPLICA)
    for line in lines:
        assert await ask(REPLICA, f"CONFIG SET {line}") == [b"+OK"]
    await ask(REPLICA, before, f"REPLICAOF 127.0.0.1 {PRIMARY}")
    await until("the link", lambda: replica.following.stream is not None)
    return replica, harm


def test_what_a_replica_says_of_itself() -> None:
    """A primary would refuse it, or tell others a wrong address: masterauth, masteruser, replica-announce-*."""

    async def main(world: SimLoop) -> None:
        settings = ("masterauth secret", "masteruser me", "replica-announce-ip 10.0.0.7", "replica-announce-port 77")
        replica, harm = await followed(world, *settings)
        for words in ("AUTH me secret", "REPLCONF listening-port 77", "REPLCONF ip-address 10.0.0.7",
                      "REPLCONF capa eof capa psync2"):  # fmt: skip
            assert encode_command(words.encode().split()) in harm.said
        await replica.stop()

    run(6, main)


def test_what_a_replica_is_told_to_tell() -> None:
    """Sentinel would choose another one than it was asked to: replica-priority, replica-announced."""

    async def main(world: SimLoop) -> None:
        replica, _ = await followed(world, "replica-priority 7", "replica-announced no", "replica-read-only no")
        fields = replica.following.info()
        assert [fields[name] for name in ("slave_priority", "replica_announced", "slave_read_only")] == [7, 0, 0]
        assert await ask(REPLICA, "SET a b", "CONFIG SET replica-read-only yes", "SET a b") == [
            b"+OK", b"+OK", b"-READONLY You can't write against a read only replica.",
        ]  # fmt: skip
        await replica.stop()

    run(7, main)


def test_stale_data_is_served_or_not() -> None:
    """Clients would read what is no longer true where they are not to: replica-serve-stale-data."""

    async def main(world: SimLoop) -> None:
        replica, harm = await followed(world, "replica-serve-stale-data no")
        assert await ask(REPLICA, "GET new") == [b"1"]
        world.forget(("127.0.0.1", PRIMARY))
        harm.transport.abort()
        await asyncio.sleep(0.1)
        assert (await ask(REPLICA, "GET new"))[0].startswith(b"-MASTERDOWN")
        assert await ask(REPLICA, "CONFIG SET replica-serve-stale-data yes", "GET new") == [b"+OK", b"1"]
        await replica.stop()

    run(8, main)


@pytest.mark.parametrize(
    ("settings", "is_kept"),
    [
        ((), True), (("repl-diskless-load swapdb",), False), (("repl-diskless-load on-empty-db",), False),
        (("rdb-del-sync-files yes",), False),
    ],
)  # fmt: skip
def test_where_a_data_set_goes(settings: tuple[str, ...], is_kept: bool) -> None:
    """A file of before would be replaced that is not to be, or a copy of all data be left on a disk that is not to
    have one: repl-diskless-load, rdb-del-sync-files."""

    async def main(world: SimLoop) -> None:
        replica, _ = await followed(world, *settings)
        names = [name for name in replica.snapshots._disk.list("/") if name.endswith(".rdb")]
        assert names == (["dump.rdb"] if is_kept else [])
        assert await ask(REPLICA, "GET new", "GET more") == [b"1", b"2"]
        await replica.stop()

    run(9, main)


@pytest.mark.parametrize("is_lazy", [True, False])
def test_what_goes_is_counted_as_left_to_be_freed(is_lazy: bool) -> None:
    """INFO would not say that a replica frees its old data by and by: replica-lazy-flush."""

    async def main(world: SimLoop) -> None:
        setting = f"replica-lazy-flush {'yes' if is_lazy else 'no'}"
        replica, _ = await followed(world, setting, before="MSET " + " ".join(f"k{n} v" for n in range(100)))
        await asyncio.sleep(1)
        assert replica.state.keyspace.waste.freed == (100 if is_lazy else 0)
        await replica.stop()

    run(10, main)


@pytest.mark.parametrize("is_same", [True, False])
def test_who_reads_while_a_data_set_is_loaded_beside(is_same: bool) -> None:
    """Readers would wait for a load that they need not wait for; or read what is of another history."""

    async def main(world: SimLoop) -> None:
        names = [b"%05d" % number for number in range(20_000)]
        many = rdb(*[(name, b"v") for name in names])
        answers = [full(WHOLE), full(many)]
        if not is_same:
            answers[1] = answers[1].replace(ID, b"b" * 40)
        harms: list[Harm] = []

        def accept() -> Harm:
            harms.append(Harm(answers[min(len(harms), 1)]))
            return harms[-1]

        await world.create_server(accept, "127.0.0.1", PRIMARY)
        replica = await start(world, REPLICA, "--repl-diskless-load", "swapdb")
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
        await until("the link", lambda: replica.following.stream is not None)
        setting = "CONFIG SET repl-diskless-load disabled"
        asked: list[asyncio.Task[list[bytes]]] = []
        read = replica.snapshots.read

        def slowly(*words: Any, **named: Any) -> Iterator[None]:
            for step in read(*words, **named):
                world.hold(0.03)
                if not asked:
                    asked.append(world.create_task(ask(REPLICA, "GET new", "SAVE", setting)))
                yield step

        replica.snapshots.read = slowly  # type: ignore[method-assign]
        harms[0].transport.abort()
        await until("the second data set", lambda: len(replica.state.dbs[0]) == len(names))
        loads = b"-LOADING Redis is loading the dataset in memory"
        assert await asked[0] == ([b"1", loads, loads] if is_same else [loads] * 3)
        assert await ask(REPLICA, "GET new", "GET 00007") == [b"$-1", b"v"]
        await replica.stop()

    run(11, main)


def test_a_primary_that_was_away_says_what_has_expired_meanwhile() -> None:
    """Its replicas, which take up the stream where its file ends, would keep for ever what nobody has any more."""

    async def main(world: SimLoop) -> None:
        disk = SimDisk(Random(12))
        primary, replica = await start(world, PRIMARY, disk=disk), await start(world, REPLICA)
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
        await until("the link", lambda: replica.following.stream is not None)
        await ask(PRIMARY, "SET kept v", "SET short v PX 4000", "SAVE")
        await until("the same place", lambda: primary.state.history.offset == replica.state.history.offset)
        await primary.stop()
        await asyncio.sleep(6)
        assert sorted(replica.state.dbs[0].table) == [b"kept", b"short"], "a replica removes nothing by itself"
        assert await ask(REPLICA, "GET short", "EXISTS short") == [b"$-1", b":0"]
        again = await start(world, PRIMARY, disk=disk)
        await until("the link", lambda: replica.following.stream is not None)
        await asyncio.sleep(0.1)
        assert again.state.replication.primary.statistics.partial_good == 1
        assert list(replica.state.dbs[0].table) == list(again.state.dbs[0].table) == [b"kept"]
        await ask(PRIMARY, "SET more v")
        await asyncio.sleep(0.1)
        assert await ask(REPLICA, "GET more") == [b"v"]
        assert replica.state.history.offset == again.state.history.offset
        await again.stop()
        await replica.stop()

    run(12, main)


def test_a_link_that_is_killed_is_taken_up_again() -> None:
    """CLIENT KILL TYPE master would end the replication, or cost a full synchronization."""

    async def main(world: SimLoop) -> None:
        primary, replica = await start(world, PRIMARY), await start(world, REPLICA)
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
        await until("the link", lambda: replica.following.stream is not None)
        await ask(PRIMARY, "SET a 1")
        assert await ask(REPLICA, "CLIENT KILL TYPE master") == [b":1"]
        await ask(PRIMARY, "SET a 2")
        await asyncio.sleep(2)
        assert await ask(REPLICA, "GET a") == [b"2"]
        statistics = primary.state.replication.primary.statistics
        assert (statistics.full, statistics.partial_good) == (1, 1)
        await replica.stop()
        await primary.stop()

    run(13, main)


def test_clients_that_are_to_wait_are_not_overtaken_by_the_primary() -> None:
    """While clients are paused, or in the middle of a long stretch of the stream, others would see it half done, or
    wait for all of it."""

    async def main(world: SimLoop) -> None:
        stream = encode_command([b"INCR", b"n"]) * 20_000
        harm = Harm(full(WHOLE))
        await world.create_server(lambda: harm, "127.0.0.1", PRIMARY)
        replica = await start(world, REPLICA, "--repl-timeout", "3")
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
        await until("the link", lambda: replica.following.stream is not None)
        assert await ask(REPLICA, "CLIENT PAUSE 5000 WRITE") == [b"+OK"]
        harm.transport.write(stream)
        await asyncio.sleep(4)
        assert await ask(REPLICA, "GET n") == [b"$-1"]
        assert replica.following.stream is not None, "that nothing comes while nothing is read is no silence"
        longest, obey = 0, replica.engine.obey

        def measured(primary: Any, commands: list[list[bytes]]) -> int:
            nonlocal longest
            longest = max(longest, len(commands))
            return obey(primary, commands)

        replica.engine.obey = measured  # type: ignore[method-assign]
        await until("the end", lambda: replica.state.history.offset == 100 + len(stream))
        assert await ask(REPLICA, "GET n") == [b"20000"]
        assert 0 < longest < 5000, "no client had a turn before all of the stream was run"
        await replica.stop()

    run(14, main)


def test_what_clients_write_to_a_replica_ends_in_time() -> None:
    """Keys that clients of a writable replica gave a deadline would stay for ever: no primary knows of them."""

    async def main(world: SimLoop) -> None:
        primary, replica = await start(world, PRIMARY), await start(world, REPLICA)
        await ask(PRIMARY, "DEBUG SET-ACTIVE-EXPIRE 0", "SET theirs v PX 300")
        primary.state.expires_actively = False
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}", "CONFIG SET replica-read-only no")
        await until("the link", lambda: replica.following.stream is not None)
        await ask(REPLICA, "SET ours v PX 300", "SET later v PX 9000", "SET kept v PX 300", "PERSIST kept")
        await asyncio.sleep(1)
        assert sorted(replica.state.dbs[0].table) == [b"kept", b"later", b"theirs"]
        await ask(REPLICA, "CONFIG SET replica-read-only yes")
        assert b"slave_expires_tracked_keys:1\r\n" in (await ask(REPLICA, "INFO stats"))[0] + b"\r\n"
        await asyncio.sleep(9)
        assert sorted(replica.state.dbs[0].table) == [b"kept", b"theirs"]
        await replica.stop()
        await primary.stop()

    run(15, main)


def test_a_disk_that_takes_nothing() -> None:
    """A replica whose disk is full would be stuck, or lose what it has, or say for ever that it loads."""

    async def main(world: SimLoop) -> None:
        def full_disk(operation: str, path: str) -> None:
            if "temp-" in path and operation in failing:
                raise OSError(28, "No space left on device")

        failing: set[str] = set()
        disk = SimDisk(Random(16), full_disk)
        await world.create_server(lambda: Harm(full(WHOLE)), "127.0.0.1", PRIMARY)
        replica = await start(world, REPLICA, "--repl-diskless-load", "swapdb", disk=disk)
        await ask(REPLICA, "SET old kept")
        for operation in ("open", "append", "read"):
            failing.clear()
            failing.add(operation)
            await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
            await asyncio.sleep(5)
            assert replica.following.stream is None, operation
            assert await ask(REPLICA, "GET old", "REPLICAOF NO ONE") == [b"kept", b"+OK"], operation
        failing.clear()
        await ask(REPLICA, f"REPLICAOF 127.0.0.1 {PRIMARY}")
        await until("the link", lambda: replica.following.stream is not None)
        assert await ask(REPLICA, "GET old", "GET new") == [b"$-1", b"1"]
        assert [name for name in disk.list("/") if "temp-" in name] == []
        await replica.stop()

    run(16, main)
