"""Connections, listeners and the dialer, on real sockets and on the simulated network."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable

import pytest

from protocol.net.address import Endpoint, parse_endpoint, parse_host_port
from protocol.net.connection import GATHERED_BYTES, HURRIED_CONNECTIONS, Connection, GatheringConnection, Turn
from protocol.net.dialer import Dialer
from protocol.net.listener import Listener
from tests.sim.world import SimLoop, run


class Recorder:
    """Keeps what happened to it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.got = b""
        self.events: list[str] = []

    def received(self, data: bytes) -> None:
        self.got += data
        for _ in range(3):
            self.connection.write(b"x")

    def lost(self) -> None:
        self.events.append("lost")

    def resumed(self) -> None:
        self.events.append("resumed")


class Quiet(Recorder):
    """Listens, and never answers."""

    def received(self, data: bytes) -> None:
        self.got += data


class Lender(Quiet):
    """Has seven bytes of memory."""

    def room(self) -> bytearray:
        self.memory = bytearray(7)
        return self.memory

    def filled(self, count: int) -> None:
        self.got += self.memory[:count]

    def ended(self) -> bool:
        return False


async def serve(**options: object) -> tuple[Listener, list[Recorder], Turn]:
    loop, sessions = asyncio.get_running_loop(), []  # type: ignore[var-annotated]
    turn = Turn(loop)

    def enter(connection: Connection) -> Recorder:
        sessions.append(Recorder(connection))
        return sessions[-1]

    listener = Listener(loop, turn, enter, **options)  # type: ignore[arg-type]
    return await listener.open("127.0.0.1", 0), sessions, turn


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "condition never came true"
        await asyncio.sleep(0.005)


async def test_writes_of_a_turn_leave_together_after_what_must_come_first() -> None:
    """A reply that leaves before the append-only file is written acknowledges what a crash can lose."""
    order: list[str] = []
    loop = asyncio.get_running_loop()
    turn = Turn(loop, lambda: order.append("before"))

    class Transport(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            order.append(bytes(data[:8]).decode())

        def writelines(self, parts: Iterable[bytes | bytearray | memoryview]) -> None:
            order.append(b"".join(parts)[:8].decode())

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    connection = Connection(loop, turn, Recorder, lambda _: None)
    connection.connection_made(Transport())
    connection.write(b"a")
    connection.write(b"b")
    connection.write_parts([b"c", b"d"])
    assert order == []
    await asyncio.sleep(0)
    assert order == ["before", "abcd"]
    connection.write(b"a")
    connection.write(b"b" * 100_000)
    await asyncio.sleep(0)
    assert order[2:] == ["before", "abbbbbbb"]


async def test_a_turn_hurries_only_while_nothing_must_come_first() -> None:
    """Fifty clients and their server would wait for each other by turns; or replies overtake the append-only file."""
    sent: list[bytes] = []

    class Transport(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            sent.append(bytes(data))

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    may_hurry = True
    loop = asyncio.get_running_loop()
    turn = Turn(loop, lambda: sent.append(b"before"), lambda: may_hurry)
    connections = [Connection(loop, turn, Recorder, lambda _: None) for _ in range(HURRIED_CONNECTIONS + 1)]
    for connection in connections:
        connection.connection_made(Transport())
    for connection in connections:
        connection.write(b"reply")
    assert sent == [b"reply"] * HURRIED_CONNECTIONS
    await asyncio.sleep(0)
    assert sent[HURRIED_CONNECTIONS:] == [b"before", b"reply"]
    sent.clear()
    may_hurry = False
    for connection in connections:
        connection.write(b"reply")
    assert sent == []
    await asyncio.sleep(0)
    assert sent == [b"before"] + [b"reply"] * len(connections)


async def test_a_session_lends_the_memory_it_is_received_into() -> None:
    """Bytes would be lost, or come twice, where one piece of memory ends and the next begins."""
    loop = asyncio.get_running_loop()
    lenders: list[Lender] = []

    def enter(connection: Connection) -> Lender:
        lenders.append(Lender(connection))
        return lenders[-1]

    listener = await Listener(loop, Turn(loop), enter, max_connections=1, is_lending=True).open("127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    sent = bytes(range(256)) * 300
    writer.write(sent)
    await until(lambda: bool(lenders) and len(lenders[0].got) >= len(sent))
    assert lenders[0].got == sent
    reader, late = await asyncio.open_connection("127.0.0.1", listener.port)
    late.write(b"too many")
    with contextlib.suppress(ConnectionResetError):  # it was closed with our bytes unread
        assert await reader.read() == b""
    assert listener.refused == 1
    writer.close()
    await until(lambda: lenders[0].events == ["lost"])
    await listener.drain(1)


async def test_refuses_what_is_one_too_many() -> None:
    """Without the limit a flood of connections takes every descriptor."""
    listener, sessions, _ = await serve(max_connections=1, refusal=b"-ERR max number of clients reached\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"hello")
    assert await reader.readexactly(3) == b"xxx"
    late, _ = await asyncio.open_connection("127.0.0.1", listener.port)
    assert await late.read() == b"-ERR max number of clients reached\r\n"
    assert (listener.refused, listener.accepted, len(sessions)) == (1, 1, 1)
    writer.close()
    await until(lambda: sessions[0].events == ["lost"])
    await listener.drain(1)


async def test_a_reader_that_stops_congests_the_writer() -> None:
    """Output for a stalled peer must not grow without the session knowing."""
    listener, sessions, _ = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1024)
    writer.write(b"go")
    await until(lambda: bool(sessions))
    connection = sessions[0].connection
    for _ in range(200):
        connection.write(bytes(100_000))
    await until(lambda: connection.is_congested)
    assert connection.pending_bytes > 0
    while not sessions[0].events:
        await reader.read(1_000_000)
    assert sessions[0].events == ["resumed"]
    assert not connection.is_congested
    writer.close()
    await listener.drain(1)


async def test_drain_sends_what_is_queued_then_closes() -> None:
    """A clean stop must not swallow answers already given."""
    listener, sessions, _ = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"go")
    await until(lambda: bool(sessions) and sessions[0].got == b"go")
    sessions[0].connection.write(b"last words")
    await listener.drain(2)
    assert (await reader.read()).endswith(b"last words")
    assert not listener.connections


async def test_keep_alive_is_set_on_the_socket() -> None:
    """A peer whose machine died would stay connected for ever."""
    listener, sessions, _ = await serve()
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    await until(lambda: bool(sessions))
    connection = sessions[0].connection
    connection.keep_alive(300)
    raw = connection.transport.get_extra_info("socket")
    assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 300
    assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    writer.close()
    await listener.drain(1)


async def test_unix_socket(tmp_path: object) -> None:
    """redis-cli -s must find us."""
    loop = asyncio.get_running_loop()
    path = f"{tmp_path}/s.sock"
    listener = await Listener(loop, Turn(loop), Recorder).open_unix(path)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"go")
    assert await reader.readexactly(3) == b"xxx"
    (connection,) = listener.connections
    assert connection.local == f"{path}:0"
    writer.close()
    await listener.drain(1)


def test_idle_connections_are_closed_and_busy_ones_not() -> None:
    """A peer that vanished without a word would hold its place for ever."""

    async def main(world: SimLoop) -> None:
        turn, sessions = Turn(world), []  # type: ignore[var-annotated]

        def enter(connection: Connection) -> Recorder:
            connection.set_idle_timeout(10)
            sessions.append(Recorder(connection))
            return sessions[-1]

        listener = await Listener(world, turn, enter).open("127.0.0.1", 0)
        _, caller = await world.create_connection(
            lambda: Connection(world, turn, Quiet, lambda _: None), "127.0.0.1", listener.port
        )
        called = caller.session
        for _ in range(3):
            await asyncio.sleep(8)
            caller.write(b"still here")
        await asyncio.sleep(9)
        assert sessions[0].events == []
        await asyncio.sleep(2)
        assert sessions[0].events == ["lost"]
        assert called.events == ["lost"]

    run(7, main)


def test_dialer_comes_back() -> None:
    """A follower whose leader restarts must find it again without being told."""

    async def main(world: SimLoop) -> None:
        turn, sessions = Turn(world), []  # type: ignore[var-annotated]

        def enter(connection: Connection) -> Recorder:
            sessions.append(Recorder(connection))
            return sessions[-1]

        dialer = Dialer(world, turn, world.chance, enter, "127.0.0.1", 7000, max_delay_s=1.0)
        dialer.start()
        await asyncio.sleep(10)
        assert dialer.connection is None
        assert 8 <= dialer.attempts <= 20
        listener = await Listener(world, turn, Recorder).open("127.0.0.1", 7000)
        await asyncio.sleep(2)
        assert dialer.connection is not None
        for connection in list(listener.connections):
            connection.abort()
        await asyncio.sleep(2)
        assert len(sessions) == 2
        assert sessions[0].events == ["lost"]
        dialer.stop()
        await asyncio.sleep(1)
        assert sessions[1].events == ["lost"]
        await listener.drain(1)

    run(11, main)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("PLAINTEXT://127.0.0.1:9092", Endpoint("PLAINTEXT", "127.0.0.1", 9092)),
        (" ssl://[::1]:0 ", Endpoint("SSL", "::1", 0)),
        ("PLAINTEXT://:9092", Endpoint("PLAINTEXT", "", 9092)),
    ],
)
def test_endpoints(text: str, endpoint: Endpoint) -> None:
    """`listeners` as operators write them."""
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["", "9092", "host:", "host:70000", "::1:80", "host:-1", "host:८०"])
def test_bad_addresses(text: str) -> None:
    """A mistyped address is named, not guessed at."""
    with pytest.raises(ValueError, match=r"host:port|brackets"):
        parse_host_port(text)


class Gatherer(Quiet):
    """Writes down that its answer could not simply leave."""

    def pressed(self, answer: bytes) -> None:
        self.events.append("pressed")

    def ended(self) -> bool:
        return False


async def test_reads_of_a_turn_are_worked_on_in_order_before_it_ends() -> None:
    """Answers would leave before the append-only file is written, or what was read before the end would be lost."""
    loop = asyncio.get_running_loop()
    log: list[tuple[object, bytes]] = []
    may_hurry = False

    class Transport(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            log.append((self, bytes(data)))

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def work(readers: list[Connection], chunks: list[bytes]) -> None:
        log.append(("work", b"".join(chunks)))
        turn.answer(readers, chunks)

    turn = Turn(loop, lambda: log.append(("before", b"")), lambda: may_hurry)
    turn.set_work(work)
    one, two = (GatheringConnection(loop, turn, Gatherer, lambda _: None) for _ in range(2))
    for connection in (one, two):
        connection.connection_made(Transport())
    one.data_received(b"0")  # the first of a turn does not wait for others
    assert one.session.got == b"0"  # type: ignore[attr-defined]
    turn.want()
    one.data_received(b"a")
    two.data_received(b"b")
    one.data_received(b"c")
    assert log == []
    await asyncio.sleep(0)
    assert log == [("work", b"abc"), ("before", b""), (one.transport, b"ac"), (two.transport, b"b")]
    log.clear()
    may_hurry = True
    turn.want()
    one.data_received(b"a")
    two.data_received(b"x" * (GATHERED_BYTES + 1))  # not kept; nor does it overtake
    assert log == [("work", b"a"), (one.transport, b"a")]
    assert len(two.session.got) == GATHERED_BYTES + 1  # type: ignore[attr-defined]
    log.clear()
    one.data_received(b"a")
    one.eof_received()
    assert log[:2] == [("work", b"a"), (one.transport, b"a")]
    turn.want()
    two.data_received(b"b")
    session = two.session
    two.connection_lost(None)
    assert session.events == ["pressed", "lost"]  # type: ignore[attr-defined]
    log.clear()
    for _ in range(HURRIED_CONNECTIONS):
        one.data_received(b"d")
    assert log[0] == ("work", b"d" * HURRIED_CONNECTIONS)
    await asyncio.sleep(0)
    log.clear()
    one.data_received(b"e")  # others came behind the first of the last turn: this one waits for them
    assert log == []
    await asyncio.sleep(0)
    assert log[0] == ("work", b"e")
    one.data_received(b"f")  # in vain: the next does not
    assert one.session.got.endswith(b"f")  # type: ignore[attr-defined]
