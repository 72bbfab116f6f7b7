"""Listening sockets: TCP or unix, plain or TLS, with a limit on connections and a graceful end."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

from protocol.net.connection import Connection, GatheringConnection, LendingConnection, Session, Turn

if TYPE_CHECKING:
    import ssl as tls

__all__ = ["Listener"]


class Listener:
    """One listening socket and the connections that came in by it.

    `max_connections` may be changed at any time; a connection beyond it is told `refusal` and closed. `on_leave` is
    called with each one that is gone. With `is_lending` the sessions are LendingSessions, with `is_gathering`
    GatheringSessions.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        turn: Turn,
        open_session: Callable[[Connection], Session],
        *,
        max_connections: int = 10_000,
        refusal: bytes = b"",
        on_leave: Callable[[Connection], None] | None = None,
        is_lending: bool = False,
        is_gathering: bool = False,
    ) -> None:
        self.max_connections = max_connections
        self.refused = 0
        self.accepted = 0
        self.connections: dict[Connection, None] = {}  # a dict for its order
        self._loop = loop
        self._turn = turn
        self._open_session = open_session
        self._refusal = refusal
        self._on_leave = on_leave
        self._made = LendingConnection if is_lending else GatheringConnection if is_gathering else Connection
        self._server: asyncio.Server
        self._empty: asyncio.Future[None] | None = None

    async def open(
        self, host: str, port: int, *, ssl: "tls.SSLContext | None" = None, backlog: int = 511
    ) -> "Listener":
        """Listen on host:port; port 0 takes a free one. OSError when the address is taken."""
        self._server = await self._loop.create_server(self._connection, host, port, ssl=ssl, backlog=backlog)
        return self

    def open_at_once(self, host: str, port: int, *, backlog: int = 511) -> "Listener":
        """As `open`, for a caller who must not wait: when this returns, the address is bound. OSError as there."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.create_server((host, port), family=family, backlog=backlog)
        bound.setblocking(False)
        self._server = _finished(self._loop.create_server(self._connection, sock=bound, backlog=backlog))
        return self

    async def open_unix(self, path: str, *, backlog: int = 511) -> "Listener":
        self._server = await self._loop.create_unix_server(self._connection, path, backlog=backlog)
        return self

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop accepting; connections stay."""
        self._server.close()

    async def drain(self, timeout_s: float) -> None:
        """Close every connection once its output has left; abort what is left after `timeout_s`."""
        self.close()
        for connection in list(self.connections):
            connection.close()
        if not self.connections:
            return
        self._empty = self._loop.create_future()
        try:
            await asyncio.wait_for(self._empty, timeout_s)
        except TimeoutError:
            for connection in list(self.connections):
                connection.abort()

    def _connection(self) -> Connection:
        return self._made(self._loop, self._turn, self._enter, self._leave)

    def _enter(self, connection: Connection) -> Session:
        if len(self.connections) >= self.max_connections:
            self.refused += 1
            return Refused(connection, self._refusal)
        self.accepted += 1
        self.connections[connection] = None
        return self._open_session(connection)

    def _leave(self, connection: Connection) -> None:
        self.connections.pop(connection, None)
        if self._on_leave is not None:
            self._on_leave(connection)
        if self._empty is not None and not self.connections and not self._empty.done():
            self._empty.set_result(None)


def _finished(steps: Coroutine[None, None, asyncio.Server]) -> asyncio.Server:
    """The result of a coroutine that waits for nothing: a loop that is given a bound socket has nothing to wait for."""
    while True:
        try:
            steps.send(None)
        except StopIteration as done:
            server: asyncio.Server = done.value
            return server


class Refused:
    """The session of a connection there is no room for: says why and closes."""

    def __init__(self, connection: Connection, refusal: bytes) -> None:
        if refusal:
            connection.write(refusal)
        connection.close()

    def received(self, data: bytes) -> None:
        """What a refused peer sends is read by nobody."""

    def room(self) -> bytearray:
        return bytearray(1)

    def filled(self, count: int) -> None:
        """As `received`."""

    def pressed(self, answer: bytes) -> None:
        """As `received`."""

    def lost(self) -> None:
        """Nothing was kept for it."""

    def resumed(self) -> None:
        """Nothing waits to be written."""
