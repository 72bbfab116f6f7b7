"""Outgoing connections that come back: dial, hand over, and when lost dial again after a growing, jittered pause."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from protocol.net.connection import Connection, Session, Turn

if TYPE_CHECKING:
    import ssl as tls

__all__ = ["Dialer", "dial"]


async def dial(
    loop: asyncio.AbstractEventLoop,
    turn: Turn,
    open_session: Callable[[Connection], Session],
    on_lost: Callable[[Connection], None],
    host: str,
    port: int,
    *,
    ssl: "tls.SSLContext | None" = None,
    timeout_s: float,
) -> Connection:
    """One outgoing connection. OSError (TimeoutError is one): there is nobody, or not in time; ValueError: no such
    name, or no such port, can be."""
    try:
        _, connection = await asyncio.wait_for(
            loop.create_connection(lambda: Connection(loop, turn, open_session, on_lost), host, port, ssl=ssl),
            timeout_s,
        )
    except OverflowError:
        raise ValueError(f"no port: {port}") from None
    return connection


class Dialer:
    """Keeps one outgoing connection open until stopped.

    The pause before a new attempt doubles from `first_delay_s` to `max_delay_s`, times a factor of 0.8 to 1.2 so that
    a herd of peers does not return at once; a connection that stood long enough to be used starts it anew.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        turn: Turn,
        chance: Random,
        open_session: Callable[[Connection], Session],
        host: str,
        port: int,
        *,
        ssl: "tls.SSLContext | None" = None,
        connect_timeout_s: float = 10.0,
        first_delay_s: float = 0.05,
        max_delay_s: float = 1.0,
    ) -> None:
        self.connection: Connection | None = None
        self.attempts = 0  # since the last connection that stood
        self._loop = loop
        self._turn = turn
        self._chance = chance
        self._open_session = open_session
        self._address = (host, port)
        self._ssl = ssl
        self._connect_timeout_s = connect_timeout_s
        self._first_delay_s, self._max_delay_s = first_delay_s, max_delay_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = self._loop.create_task(self._keep())

    def stop(self) -> None:
        """Close the connection and dial no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self.connection is not None:
            self.connection.close()

    async def _keep(self) -> None:
        while True:
            ended: asyncio.Future[None] = self._loop.create_future()
            try:
                await self._dial(ended)
                self.attempts = 0
                await ended
            except OSError:
                self.attempts += 1
            await asyncio.sleep(self._pause())

    async def _dial(self, ended: asyncio.Future[None]) -> None:
        def lost(_: Connection) -> None:
            self.connection = None
            if not ended.done():
                ended.set_result(None)

        host, port = self._address
        self.connection = await dial(
            self._loop, self._turn, self._open_session, lost, host, port,
            ssl=self._ssl, timeout_s=self._connect_timeout_s,
        )  # fmt: skip

    def _pause(self) -> float:
        doublings = min(self.attempts, 16)  # 2^16 times any first delay is past every maximum
        return min(self._first_delay_s * 2.0**doublings, self._max_delay_s) * self._chance.uniform(0.8, 1.2)
