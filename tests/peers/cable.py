"""The way between two servers on loopback, which a test can cut, hold up and mend.

replica ──► Cable.port ═══╪═══ target

carries()   bytes go through                            the state at first, and after mend()
hold()      the connections stand, and nothing arrives  what was sent waits in buffers, as on a dead network
cut()       every connection is reset, with what was under way
sever()     the same, and nobody gets through before mend(): connections are refused
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import cast


class _End(asyncio.Protocol):
    """One side of a connection through the cable. What comes here goes out at `other`."""

    def __init__(self, cable: Cable, other: _End | None) -> None:
        self.cable = cable
        self.other = other
        self.transport: asyncio.Transport | None = None
        self.waiting = b""  # came before the other side was connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.cable.ends.add(self)
        if self.other is None:
            self.other = _End(self.cable, self)
            self.cable.dial(self.other)
        elif self.other.waiting:
            self.transport.write(self.other.waiting)
            self.other.waiting = b""

    def data_received(self, data: bytes) -> None:
        assert self.other is not None
        if self.other.transport is None:
            self.waiting += data
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.cable.is_held:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.cable.ends.discard(self)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Cable:
    """A context manager. Its calls return when what they ask for has happened."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.ends: set[_End] = set()
        self.is_held = False
        self._loop = asyncio.new_event_loop()
        self._dials: set[asyncio.Task[object]] = set()
        self._listening: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="cable", daemon=True)

    def __enter__(self) -> Cable:
        self._thread.start()
        self._wait_for(self._listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sever()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def hold(self) -> None:
        self._wait_for(self._hold)

    def cut(self) -> None:
        self._wait_for(self._reset)

    def sever(self) -> None:
        self._wait_for(self._close)
        self._wait_for(self._reset)

    def mend(self) -> None:
        self._wait_for(self._listen)

    def dial(self, end: _End) -> None:
        """The other side of a connection that came."""
        task = self._loop.create_task(self._dial(end))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _dial(self, end: _End) -> None:
        try:
            await self._loop.create_connection(lambda: end, "127.0.0.1", self.target_port)
        except OSError:
            assert end.other is not None
            assert end.other.transport is not None
            end.other.transport.abort()

    def _wait_for(self, act: Callable[[], object]) -> None:
        async def acted() -> None:
            result = act()
            if asyncio.iscoroutine(result):
                await result

        asyncio.run_coroutine_threadsafe(acted(), self._loop).result()

    async def _listen(self) -> None:
        self.is_held = False
        if self._listening is None:
            self._listening = await self._loop.create_server(
                lambda: _End(self, None), "127.0.0.1", self.port, reuse_address=True
            )
            self.port = self._listening.sockets[0].getsockname()[1]
        for end in self.ends:
            assert end.transport is not None
            end.transport.resume_reading()

    def _close(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _hold(self) -> None:
        self.is_held = True
        for end in self.ends:
            assert end.transport is not None
            end.transport.pause_reading()

    def _reset(self) -> None:
        self.is_held = False
        for end in list(self.ends):
            assert end.transport is not None
            end.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
            )
            end.transport.abort()
