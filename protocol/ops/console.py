"""A small HTTP listener: `/metrics`, `/health`, and the pages a server adds. GET and HEAD only.

HTTP itself is h11's (extra `metrics`), imported when the listener is opened.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from protocol.net.connection import Connection, Turn
from protocol.net.listener import Listener

if TYPE_CHECKING:
    import h11

__all__ = ["Page", "open_console"]

Page = Callable[[], tuple[str, bytes]]  # content type and body, made when asked for

MAX_CONNECTIONS = 64  # scrapers and a browser or two
MAX_REQUEST_BYTES = 16 * 1024
IDLE_TIMEOUT_S = 60.0


async def open_console(loop: asyncio.AbstractEventLoop, host: str, port: int, pages: Mapping[str, Page]) -> Listener:
    """Serve `pages` by path. ModuleNotFoundError names the missing extra; OSError a taken port."""
    try:
        import h11  # noqa: F401  the first use, so that a missing extra is known before the port is open
        import prometheus_client  # noqa: F401
    except ModuleNotFoundError as error:
        missing = f"the metrics listener needs {error.name}: pip install 'minikafka[metrics]'"
        raise ModuleNotFoundError(missing) from error
    turn = Turn(loop)
    listener = Listener(loop, turn, lambda connection: Visitor(connection, pages), max_connections=MAX_CONNECTIONS)
    return await listener.open(host, port)


class Visitor:
    """One HTTP client."""

    def __init__(self, connection: Connection, pages: Mapping[str, Page]) -> None:
        import h11

        self._connection = connection
        self._pages = pages
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
        connection.set_idle_timeout(IDLE_TIMEOUT_S)

    def received(self, data: bytes) -> None:
        import h11

        try:
            self._http.receive_data(data)
            self._serve()
        except h11.RemoteProtocolError as error:
            if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self._answer(error.error_status_hint, "text/plain", b"bad request\n", close=True)
            self._connection.close()

    def _serve(self) -> None:
        import h11

        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._respond(event)
            elif isinstance(event, h11.EndOfMessage):
                if self._http.our_state is h11.MUST_CLOSE:
                    self._connection.close()
                    return
                self._http.start_next_cycle()
            elif not isinstance(event, h11.Data):  # NEED_DATA, PAUSED, ConnectionClosed
                return

    def _respond(self, request: "h11.Request") -> None:
        path = request.target.split(b"?", 1)[0].decode("latin-1")
        page = self._pages.get(path)
        if request.method not in (b"GET", b"HEAD"):
            self._answer(405, "text/plain", b"GET and HEAD only\n")
        elif page is None:
            known = "".join(f"{name}\n" for name in self._pages)
            self._answer(404, "text/plain", f"no such page; there are:\n{known}".encode())
        else:
            kind, body = page()
            self._answer(200, kind, body)

    def _answer(self, status: int, kind: str, body: bytes, *, close: bool = False) -> None:
        import h11

        headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
        if close:
            headers.append(("Connection", "close"))
        write = self._connection.write
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            if sent := self._http.send(event):
                write(sent)

    def lost(self) -> None:
        """Nothing outlives the connection."""

    def resumed(self) -> None:
        """Pages are small; nothing waits."""
