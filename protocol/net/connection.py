"""One socket: bytes in go to its session, bytes out leave in one write per turn of the loop.

Laws:
1. The only asyncio protocol classes of the house. Sessions know a `Connection`, never a transport.
2. What a session writes is queued; the server's `Turn` sends each connection's queue with one call at the end of the
   loop turn, after what must come first (an append-only file, replicas) has been done.
3. Backpressure both ways: `is_congested` tells the writer to stop until `resumed`; `pause_reading` stops the peer.
4. Where reads are gathered, what several peers sent is worked on together, in the order in which it came, before the
   turn ends.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, cast

__all__ = ["Buffer", "Connection", "GatheringConnection", "LendingConnection", "LendingSession", "Session", "Turn"]

Buffer: TypeAlias = bytes | bytearray | memoryview

HIGH_WATERMARK_BYTES = 256 * 1024  # output beyond this is congestion: a few round trips on a fast network
LOW_WATERMARK_BYTES = 64 * 1024
HURRIED_CONNECTIONS = 24  # half of 50 clients: fewer cost more turns and calls, more leave the peers idle for longer
JOINED_BYTES = 16 * 1024
GATHERED_BYTES = 1024  # a larger read is many commands, or much to copy: little would be saved by keeping it for later


class Session(Protocol):
    """What a server puts behind a connection."""

    def received(self, data: bytes) -> None:
        """Bytes as they came, never empty."""

    def lost(self) -> None:
        """The peer is gone. Nothing written from here on arrives."""

    def resumed(self) -> None:
        """Output fell below the low watermark again."""


class LendingSession(Session, Protocol):
    """A session that says where the bytes for it are to be received, and so saves a copy of those it keeps."""

    def room(self) -> bytearray | memoryview:
        """Where to receive, never empty; `filled` follows before anything else is received."""

    def filled(self, count: int) -> None:
        """So many bytes came into the room."""

    def ended(self) -> bool:
        """As of a GatheringSession; it may be told more than once."""


class GatheringSession(Session, Protocol):
    """A session whose reads are worked on together with others', by the `work` of the turn. `received` gets what comes
    first in a turn, or is too large to be kept until its end."""

    def ended(self) -> bool:
        """The peer sends no more. True: what it sent is still being worked on, and the session closes the connection
        when it has been answered."""

    def pressed(self, answer: bytes) -> None:
        """An answer for a peer that is gone, or does not take what it is sent: to be written, or dropped."""


class Turn:
    """The end of a loop turn, once for all connections of one server.

    `before_flush` runs first; it may itself write to connections. Bytes written by a session during the turn leave
    together afterwards. While `may_hurry` says that nothing has to come before them, every few connections are flushed
    at once: their peers go on while the others of the turn are served, instead of both sides waiting for each other.

    What gathering connections received is worked on a few reads at a time, or all at the end of the turn.
    """

    __slots__ = (
        "_before_flush", "_chunks", "_dirty", "_is_shared", "_loop", "_may_hurry", "_most_bytes", "_readers",
        "_scheduled", "_work", "time",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, before_flush: Callable[[], None] | None = None,
        may_hurry: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._before_flush = before_flush
        self._may_hurry = may_hurry
        self._work: Callable[[list[Connection], list[bytes]], None] | None = None
        self._dirty: list[Connection] = []
        self._readers: list[Connection] = []  # who has received something, and what: in order
        self._chunks: list[bytes] = []
        self._scheduled = False
        self._most_bytes = 0  # a longer read is not gathered; of none, before a turn has begun
        self._is_shared = False  # several were read in the last turn
        self.time = 0.0  # loop time at which the turn began

    def add(self, connection: "Connection") -> None:
        """A connection has output in its queue: flush it at the end of this turn, or when there are a few."""
        self._dirty.append(connection)
        if not self._scheduled:
            self.want()
        elif len(self._dirty) >= HURRIED_CONNECTIONS and self._may_hurry():
            self._flush()

    def set_work(self, work: Callable[[list["Connection"], list[bytes]], None]) -> None:
        """What is done with that which connections have gathered: (who received, what), in order. It must not raise."""
        self._work = work

    def want(self) -> None:
        """Run `before_flush` at the end of this turn even if nobody writes."""
        if not self._scheduled:
            self._scheduled = True
            self._most_bytes = GATHERED_BYTES
            self.time = self._loop.time()
            self._loop.call_soon(self.settle)

    def begins_shared(self, size: int) -> bool:
        """Whether the first read of a turn, of so many bytes, waits for others: not where it mostly is the only one."""
        if self._scheduled or not self._is_shared or size > GATHERED_BYTES:
            return False
        self.want()
        return True

    def settle(self) -> None:
        try:
            if self._chunks:
                self.work()
        finally:  # whatever happens, the next turn has an end
            self._scheduled = False
            self._most_bytes = 0
        if self._before_flush is not None:
            self._before_flush()
        self._flush()

    def prepare(self) -> None:
        """Something is about to leave before the turn's end: what has to come before it comes now."""
        if self._before_flush is not None and not self._may_hurry():
            self._before_flush()

    def work(self) -> None:
        """Work on what was gathered, now."""
        readers, self._readers = self._readers, []
        chunks, self._chunks = self._chunks, []
        self._is_shared = len(chunks) > 1
        if self._work is not None and chunks:
            self._work(readers, chunks)

    def answer(self, connections: Sequence["Connection"], answers: Sequence[bytes]) -> None:
        """An answer to each of these gathering connections, at once where nothing has to leave before it."""
        hurries = self._may_hurry()
        if hurries and self._dirty:
            self._flush()
        for connection, answer in zip(connections, answers, strict=True):
            if connection.is_congested or connection.is_closing:
                cast("GatheringSession", connection.session).pressed(answer)
            elif hurries and not connection._queue:
                connection.transport.write(answer)
            else:
                connection.write(answer)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            queue = connection._queue
            if len(queue) == 1:  # by far the most: what follows is `flush` without a call
                connection._queue = []
                connection.transport.write(queue[0])
            else:
                connection._send()


class Connection(asyncio.BaseProtocol):
    """A connected socket with its session. Made by a listener or a dialer."""

    __slots__ = (
        "__weakref__", "_idle_handle", "_idle_timeout", "_on_lost", "_open_session", "_paused", "_queue",
        "_turn", "is_closing", "is_congested", "last_active", "local_address", "loop", "peer_address", "session",
        "tls", "transport",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        turn: Turn,
        open_session: Callable[["Connection"], Session],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self.loop = loop
        self.last_active = loop.time()
        self.is_congested = False
        self.is_closing = False
        self.tls = False
        self.peer_address: tuple[str, int] = ("", 0)
        self.local_address: tuple[str, int] = ("", 0)
        self.transport: asyncio.Transport
        self.session: Session
        self._turn = turn
        self._queue: list[Buffer] = []
        self._paused = False
        self._open_session = open_session
        self._on_lost = on_lost
        self._idle_timeout: float | None = None
        self._idle_handle: asyncio.TimerHandle | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports offer asyncio.Transport's methods without being one.
        self.transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(HIGH_WATERMARK_BYTES, LOW_WATERMARK_BYTES)
        self.peer_address = _address(transport.get_extra_info("peername"))
        self.local_address = _address(transport.get_extra_info("sockname"))
        self.tls = transport.get_extra_info("sslcontext") is not None
        self.session = self._open_session(self)
        if self._paused:
            self.loop.call_soon(self._pause_again)

    def _pause_again(self) -> None:
        """Before Python 3.11.3 asyncio begins to read after connection_made, whatever was asked for meanwhile."""
        if self._paused and not self.is_closing:
            self.transport.resume_reading()
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self.last_active = self.loop.time()
        self.session.received(data)

    def eof_received(self) -> bool:
        """The peer has sent all it will: False lets the transport close, after what is queued was flushed."""
        self.flush()
        return False

    def pause_writing(self) -> None:
        self.is_congested = True

    def resume_writing(self) -> None:
        self.is_congested = False
        self.session.resumed()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closing = True
        self._queue.clear()
        self.set_idle_timeout(None)
        self._on_lost(self)
        session = getattr(self, "session", None)
        if session is not None:
            session.lost()
            # The two know each other: half a request of 100 MB must not stay until the collector comes by.
            del self.session

    # What sessions call.

    @property
    def peer(self) -> str:
        """`127.0.0.1:51234`, `[::1]:51234`, or `path:0` for a unix socket, as Redis writes addresses."""
        return _text(self.peer_address)

    @property
    def local(self) -> str:
        return _text(self.local_address)

    @property
    def descriptor(self) -> int:
        """The socket's file descriptor; -1 when there is none (a simulated network)."""
        socket = self.transport.get_extra_info("socket")
        return socket.fileno() if socket is not None else -1

    @property
    def is_reading(self) -> bool:
        return not self._paused

    @property
    def pending_bytes(self) -> int:
        """Output the kernel has not taken yet."""
        return sum(map(len, self._queue)) + self.transport.get_write_buffer_size()

    def write(self, data: Buffer) -> None:
        """Queue `data`; it leaves at the end of the turn."""
        queue = self._queue
        queue.append(data)
        if len(queue) == 1:
            self._turn.add(self)

    def write_parts(self, parts: Sequence[Buffer]) -> None:
        """Queue several buffers without joining them."""
        is_first = not self._queue
        self._queue.extend(parts)
        if is_first:
            self._turn.add(self)

    def send_now(self, data: Buffer) -> None:
        """Hand `data` to the kernel at once, behind what is queued."""
        if self._queue:
            self._queue.append(data)
            self._send()
        else:
            self.transport.write(data)

    def flush(self) -> None:
        """Hand the queue to the kernel now: the connection is to be closed, or the server goes down."""
        if self._queue:
            self._turn.prepare()
            self._send()

    def _send(self) -> None:
        queue = self._queue
        if not queue:
            return
        self._queue = []
        if len(queue) == 1:
            self.transport.write(queue[0])
        elif sum(map(len, queue)) <= JOINED_BYTES:
            self.transport.write(b"".join(queue))  # one small copy costs less than a vector of many buffers
        else:
            self.transport.writelines(queue)

    def pause_reading(self) -> None:
        if not self._paused and not self.is_closing:
            self._paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused and not self.is_closing:
            self._paused = False
            self.transport.resume_reading()

    def close(self) -> None:
        """Close once everything written has left."""
        if not self.is_closing:
            self.flush()
            self.is_closing = True
            self.transport.close()

    def abort(self) -> None:
        """Close now; what is queued is lost."""
        self._queue.clear()
        self.is_closing = True
        self.transport.abort()

    def keep_alive(self, seconds: int) -> None:
        """Let the kernel probe a silent peer after `seconds`, and give it up after three unanswered probes."""
        raw = self.transport.get_extra_info("socket")
        if raw is None or raw.family == socket.AF_UNIX:
            return
        with contextlib.suppress(OSError):  # a time beyond what the system knows leaves its own
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):  # Linux; elsewhere the system's own times hold
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, seconds // 3))
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)

    def set_buffers(self, send_bytes: int, receive_bytes: int) -> None:
        """Sizes of the kernel's buffers for this socket; what is not positive is left to the system."""
        raw = self.transport.get_extra_info("socket")
        if raw is None:  # a simulated network
            return
        if send_bytes > 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
        if receive_bytes > 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)

    def set_idle_timeout(self, seconds: float | None) -> None:
        """Close the connection when nothing has come for `seconds`; None: never."""
        if self._idle_handle is not None:
            self._idle_handle.cancel()
            self._idle_handle = None
        self._idle_timeout = seconds
        if seconds is not None and not self.is_closing:
            self._idle_handle = self.loop.call_at(self.last_active + seconds, self._idle_check)

    def _idle_check(self) -> None:
        # One timer a connection that follows activity lazily: re-arming at each read would cost more than the read.
        assert self._idle_timeout is not None
        due = self.last_active + self._idle_timeout
        if self.loop.time() >= due:
            self.close()
        else:
            self._idle_handle = self.loop.call_at(due, self._idle_check)


class LendingConnection(Connection, asyncio.BufferedProtocol):
    """A connection that receives into its session's memory."""

    __slots__ = ("_lender",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._lender = cast("LendingSession", self.session)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if hasattr(self, "_lender"):  # not where opening the session failed
            del self._lender

    def eof_received(self) -> bool:
        super().eof_received()
        return not self.is_closing and self._lender.ended()

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        return self._lender.room()

    def buffer_updated(self, nbytes: int) -> None:
        self.last_active = self.loop.time()
        self._lender.filled(nbytes)


class GatheringConnection(Connection):
    """A connection whose reads wait for those of others in the same turn: much of the work is then done once for all.

    Whatever else is about to happen to it comes after what it has received."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        turn = self._turn
        if len(data) > turn._most_bytes and not turn.begins_shared(len(data)):
            if turn._chunks:
                turn.work()
            self.last_active = self.loop.time()
            self.session.received(data)
            return
        chunks = turn._chunks
        chunks.append(data)
        turn._readers.append(self)
        self.last_active = turn.time
        if len(chunks) >= HURRIED_CONNECTIONS:
            turn.work()

    def eof_received(self) -> bool:
        self._turn.settle()
        super().eof_received()
        return not self.is_closing and cast("GatheringSession", self.session).ended()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closing = True
        self._turn.work()
        super().connection_lost(error)


def _address(name: object) -> tuple[str, int]:
    """A socket name as (host, port); (path, 0) for a unix socket."""
    if isinstance(name, tuple):
        return str(name[0]), int(name[1])
    return (name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")), 0


def _text(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
