"""Clients on real sockets: pipelines, blocking in the middle of one, bad input, slow readers, the limits."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest
import uvloop

from miniredis.config import CommandLine, Config
from miniredis.listeners import CannotListen
from miniredis.server import Server
from protocol.disk.files import Disk
from protocol.ops.clock import Clock
from protocol.ops.logs import Logger
from protocol.ops.process import Process
from protocol.resp.encoder import encode_command

DEADLINE_S = 60.0


def on_both_loops(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[Callable[[], Any]], None]:
    """Run the test on both loops a server may find itself on."""

    @pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
    def run(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def make(*directives: str, place: str = "/nowhere") -> tuple[Server, list[str]]:
    disk = Disk()
    config = Config(read_file=disk.read, list_directory=disk.list, is_directory=disk.is_dir, directory=place)
    config.load(CommandLine(["--port", "0", "--bind", "127.0.0.1", *directives]), stdin=bytes)
    lines: list[str] = []
    server = Server(
        asyncio.get_running_loop(), config, disk=disk, clock=Clock(), random=Random(1), secrets=Random(2),
        process=Process(), log=Logger(lambda level, text: text, write=lines.append),
    )  # fmt: skip
    return server, lines


@contextlib.asynccontextmanager
async def running(*directives: str) -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory() as place:
        server, _ = make(*directives, place=place)
        await server.start()
        try:
            yield server
        finally:
            await server.stop(0.2)


class Wire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, server: Server) -> Wire:
        return cls(*await asyncio.open_connection("127.0.0.1", server.state.port))

    def send(self, text: str) -> None:
        self.writer.write(text.replace("\n", "\r\n").encode())

    async def read(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), DEADLINE_S)

    async def expect(self, data: bytes) -> None:
        assert await self.read(len(data)) == data

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), DEADLINE_S)


async def until(condition: object) -> None:
    deadline = asyncio.get_running_loop().time() + DEADLINE_S
    while not condition():  # type: ignore[operator]
        assert asyncio.get_running_loop().time() < deadline, "it never came true"
        await asyncio.sleep(0.005)


@on_both_loops
async def test_what_follows_a_blocking_command_waits_its_turn() -> None:
    """A pipeline behind BLPOP would be answered too early, twice or never."""
    async with running() as server:
        one, two = await Wire.to(server), await Wire.to(server)
        one.send("SET a 1\nBLPOP l 0\nGET a\n")
        await one.expect(b"+OK\r\n")
        await until(lambda: len(server.state.blocked) == 1)
        one.send("GET a\nBLPOP l 0\nGET b\n")
        two.send("SET a 2\nRPUSH l x\n")
        await two.expect(b"+OK\r\n:1\r\n")
        await one.expect(b"*2\r\n$1\r\nl\r\n$1\r\nx\r\n$1\r\n2\r\n$1\r\n2\r\n")
        two.send("RPUSH l y\n")
        await one.expect(b"*2\r\n$1\r\nl\r\n$1\r\ny\r\n$-1\r\n")


@on_both_loops
async def test_a_blocked_client_that_goes_away_is_noticed() -> None:
    """An element would be popped for somebody who is gone."""
    async with running() as server:
        one, two = await Wire.to(server), await Wire.to(server)
        one.send("BLPOP l 0\n")
        await until(lambda: len(server.state.blocked) == 1)
        one.writer.close()
        await until(lambda: len(server.state.blocked) == 0)
        two.send("RPUSH l x\nLLEN l\n")
        await two.expect(b":1\r\n:1\r\n")


@on_both_loops
async def test_a_broken_protocol_ends_after_the_answers_before() -> None:
    """A client would lose answers to what was right, or be left hanging."""
    async with running() as server:
        wire = await Wire.to(server)
        wire.send("SET a 1\n*1\n$x\n")
        assert await wire.rest() == b"+OK\r\n-ERR Protocol error: invalid bulk length\r\n"
        await until(lambda: not server.state.clients)


@on_both_loops
async def test_http_is_shown_the_door() -> None:
    """A web page could make a browser write into the store."""
    async with running() as server:
        wire = await Wire.to(server)
        wire.send("POST / HTTP/1.1\nHost: localhost\nSET hacked 1\n")
        with contextlib.suppress(ConnectionError):
            assert await wire.rest() == b""
        assert b"hacked" not in server.state.dbs[0].table


@on_both_loops
async def test_who_does_not_read_is_closed_at_the_limit() -> None:
    """One slow reader would fill the server's memory."""
    async with running("--client-output-buffer-limit", "normal 1mb 0 0") as server:
        wire = await Wire.to(server)
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        wire.send(f"SET big {'y' * 60_000}\n")
        wire.writer.write(b"GET big\r\n" * 400)
        await until(lambda: not server.state.clients)


@on_both_loops
async def test_a_slow_reader_gets_everything_where_nothing_limits() -> None:
    """Answers would be lost or reordered when the socket is full."""
    async with running() as server:
        wire = await Wire.to(server)
        wire.send(f"SET big {'y' * 50_000}\n")
        await wire.expect(b"+OK\r\n")
        wire.writer.write(b"GET big\r\n" * 200)
        await asyncio.sleep(0)
        await wire.expect((b"$50000\r\n" + b"y" * 50_000 + b"\r\n") * 200)


@on_both_loops
async def test_who_sends_without_end_holds_nobody_up() -> None:
    """The loop would read one client's bytes for as long as there are any, and the others would wait for seconds."""
    async with running() as server:
        flood, other = await Wire.to(server), await Wire.to(server)
        other.send("PING\n")
        await other.expect(b"+PONG\r\n")
        session = server.state.clients[min(server.state.clients)]
        session.received(b"SET a 1\r\n" * 20_000)  # as much as one read brings: more is not taken in this turn
        has_stopped = not session.connection.is_reading
        flood.send("PING\n")
        await flood.expect(b"+OK\r\n" * 20_000 + b"+PONG\r\n")
        assert has_stopped
        assert session.connection.is_reading


@on_both_loops
async def test_a_killed_client_gets_no_more() -> None:
    """Answers to a page that speaks HTTP would leave before its connection is cut."""
    async with running() as server:
        wire = await Wire.to(server)
        wire.send("GET / HTTP/1.1\nHost: localhost\n\n")
        with contextlib.suppress(ConnectionError):
            assert await wire.rest() == b""


@on_both_loops
async def test_any_chunking_gives_the_same_answers() -> None:
    """Commands cut by the network would be answered otherwise."""
    data = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nb\r\nc\r\r\n"
    data += b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nGET a\r\n*1\r\n$4\r\nNOPE\r\n"
    wanted = b"+OK\r\n$5\r\nb\r\nc\r\r\n$5\r\nb\r\nc\r\r\n-ERR unknown command 'NOPE', with args beginning with: \r\n"
    async with running() as server:
        wire = await Wire.to(server)
        for at in range(len(data)):
            wire.writer.write(data[at : at + 1])
            await asyncio.sleep(0)
        await wire.expect(wanted)


@on_both_loops
async def test_memory_is_given_back_when_nobody_waits() -> None:
    """A server that once held much would stay as large for ever: the allocator keeps what lies between live blocks."""
    async with running() as server:
        releases: list[float] = []
        server.process.release_memory = lambda: releases.append(0.0)  # type: ignore[method-assign]
        wire = await Wire.to(server)
        wire.send("GET big\n")
        await wire.expect(b"$-1\r\n")
        server.idleness.collect(100.0)
        server.idleness.collect(200.0)
        assert not releases  # nothing has come or gone
        for number, line in enumerate((f"SET big {'y' * 60_000}\n", "DEL big\n"), 1):
            wire.send(line)
            await wire.read(len(b"+OK") + 2 if number == 1 else len(b":1") + 2)
            server.idleness.collect(number * 1000.0)
            assert len(releases) == number - 1  # somebody was served a moment ago
            server.idleness.collect(number * 1000.0 + 100)
            server.idleness.collect(number * 1000.0 + 200)
            async with asyncio.timeout(10):
                while len(releases) < number:
                    await asyncio.sleep(0.001)
            assert len(releases) == number
    Process().release_memory()


async def test_too_many_clients_are_told() -> None:
    """A client over the limit would hang, or throw out others."""
    async with running("--maxclients", "2") as server:
        wires = [await Wire.to(server) for _ in range(2)]
        for wire in wires:
            wire.send("GET a\n")
            await wire.expect(b"$-1\r\n")
        late = await Wire.to(server)
        assert await late.rest() == b"-ERR max number of clients reached\r\n"
        assert server.state.connections_rejected == 1


@on_both_loops
async def test_all_doors_count_the_same_clients() -> None:
    """With a unix socket beside the port there could be twice as many clients as `maxclients` says."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "socket"
        async with running("--maxclients", "2", "--unixsocket", str(path)) as server:
            wires = [await Wire.to(server) for _ in range(2)]
            for wire in wires:
                wire.send("PING\n")
                await wire.expect(b"+PONG\r\n")
            late = Wire(*await asyncio.open_unix_connection(path))
            assert await late.rest() == b"-ERR max number of clients reached\r\n"
            wires[0].send("CONFIG SET maxclients 3\n")
            await wires[0].expect(b"+OK\r\n")
            late = Wire(*await asyncio.open_unix_connection(path))
            late.send("PING\n")
            await late.expect(b"+PONG\r\n")


@on_both_loops
async def test_idle_clients_are_closed_and_waiting_ones_kept() -> None:
    """`timeout` would do nothing, or cut off a worker that waits for a job."""
    async with running("--timeout", "1") as server:
        idle, waiting = await Wire.to(server), await Wire.to(server)
        waiting.send("BLPOP l 0\n")
        with contextlib.suppress(ConnectionError):
            assert await idle.rest() == b""
        assert len(server.state.clients) == 1


@on_both_loops
async def test_a_unix_socket_serves() -> None:
    """`unixsocket` would be taken without anybody listening there."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "socket"
        async with running("--unixsocket", str(path), "--unixsocketperm", "700") as server:
            wire = Wire(*await asyncio.open_unix_connection(path))
            wire.send("SET a 1\n")
            await wire.expect(b"+OK\r\n")
            assert path.stat().st_mode & 0o777 == 0o700
            assert next(iter(server.state.clients.values())).peer
        assert not path.exists()


@on_both_loops
async def test_a_taken_port_is_one_clear_error() -> None:
    """Two servers would seem to run on one port."""
    async with running() as server:
        other, _ = make("--port", str(server.state.port))
        with pytest.raises(CannotListen, match="Address already in use"):
            await other.start()


@on_both_loops
async def test_every_key_that_ends_is_removed_without_a_visitor() -> None:
    """Dead keys would stay in memory until somebody asks for them."""
    async with running("--hz", "100") as server:
        wire = await Wire.to(server)
        wire.writer.write(b"".join(b"SET k%d v PX 20\r\n" % number for number in range(5000)))
        await wire.expect(b"+OK\r\n" * 5000)
        await until(lambda: len(server.state.dbs[0]) == 0)
        assert server.state.keyspace.expired_keys == 5000


@on_both_loops
async def test_a_fault_of_ours_costs_only_whose_command_it_was() -> None:
    """Whoever spoke in the same turn would never be answered."""
    async with running() as server:
        faults: list[dict[str, Any]] = []
        server.loop.set_exception_handler(lambda loop, context: faults.append(context))
        wires = [await Wire.to(server) for _ in range(5)]

        def fail(call: object) -> None:
            raise ZeroDivisionError

        server.engine.commands[b"TTL"].run = fail
        await until(lambda: len(server.state.clients) == 5)
        clients = list(server.state.clients.values())
        chunks = [encode_command(words.split()) for words in (b"SET a 1", b"INCR a", b"TTL a", b"GET a", b"INCR a")]
        for client, data in zip(clients, chunks, strict=True):
            client.connection.data_received(data)  # type: ignore[attr-defined]
        for wire, answer in zip(wires, (b"+OK\r\n", b":2\r\n", b"", b"$1\r\n2\r\n", b":3\r\n"), strict=True):
            await wire.expect(answer)
        with contextlib.suppress(ConnectionError):
            assert await wires[2].rest() == b""
        assert [type(context["exception"]) for context in faults] == [ZeroDivisionError]
        assert len(server.state.clients) == 4


@on_both_loops
async def test_pieces_of_commands_of_many_clients_are_put_together() -> None:
    """A chunk that looks like a command would be run in the middle of another."""
    async with running() as server:
        wires = [await Wire.to(server) for _ in range(3)]
        await until(lambda: len(server.state.clients) == 3)
        one, two, three = (client.connection for client in server.state.clients.values())  # type: ignore[attr-defined]
        ping = b"*1\r\n$4\r\nPING\r\n"
        for connection, data in (
            (one, b"*2\r\n$4\r\nECHO\r\n$14\r\n"), (two, ping), (one, ping), (three, b"*1\r\n$4\r\nPI"), (two, ping),
            (one, b"\r\n"), (three, b"NG\r\n"), (one, ping),
        ):  # fmt: skip
            connection.data_received(data)
        await wires[0].expect(b"$14\r\n" + ping + b"\r\n+PONG\r\n")
        await wires[1].expect(b"+PONG\r\n+PONG\r\n")
        await wires[2].expect(b"+PONG\r\n")


@on_both_loops
async def test_many_tiny_commands_are_run_a_slice_a_turn() -> None:
    """A mebibyte of line breaks and letters from one client holds everybody else up for a second."""
    async with running() as server:
        wire = await Wire.to(server)
        wire.send("PING\n")
        await wire.expect(b"+PONG\r\n")
        (session,) = server.state.clients.values()
        session.receive(b"INCR n\n" * 20000 + b"BLPOP l 0\nGET n\n")
        assert 0 < int(server.state.dbs[0].find(b"n")) < 10000, "all of it was run at once, or nothing"
        session.receive(b"GET m\n")
        await wire.expect(b"".join(b":%d\r\n" % number for number in range(1, 20001)))
        await until(lambda: len(server.state.blocked) == 1)
        other = await Wire.to(server)
        other.send("RPUSH l x\n")
        await wire.expect(b"*2\r\n$1\r\nl\r\n$1\r\nx\r\n$5\r\n20000\r\n$-1\r\n")


@on_both_loops
async def test_what_was_sent_before_leaving_is_run() -> None:
    """Commands of a client that closed its connection after them are run in part: those of its first turn."""
    async with running() as server:
        wire = await Wire.to(server)
        wire.send("PING\n")
        await wire.expect(b"+PONG\r\n")
        (session,) = server.state.clients.values()
        session.receive(b"INCR n\n" * 20000)
        session.lost()
        assert server.state.clients
        await until(lambda: not server.state.clients)
        assert int(server.state.dbs[0].find(b"n")) == 20000
        wire.writer.close()
