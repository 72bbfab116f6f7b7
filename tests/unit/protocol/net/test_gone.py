"""What is left of a connection whose peer has gone: nothing."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from protocol.net.connection import Connection, Turn
from protocol.net.listener import Listener
from tests.unit.protocol.net.test_net import Lender, Quiet, Recorder


@pytest.fixture
def without_collector() -> Iterator[None]:
    """The servers collect rarely: what needs the collector is as good as lost."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("kind", [Quiet, Lender])
async def test_its_session_goes_with_it(kind: type[Recorder], without_collector: None) -> None:
    """Half a request of 100 MB would stay in memory after its client hung up; twenty clients fill a machine."""
    loop, sessions = asyncio.get_running_loop(), weakref.WeakSet[Recorder]()
    met = 0

    def enter(connection: Connection) -> Recorder:
        nonlocal met
        met += 1
        session = kind(connection)
        sessions.add(session)
        return session

    listener = await Listener(loop, Turn(loop), enter, is_lending=kind is Lender).open("127.0.0.1", 0)
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"hello")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    async with asyncio.timeout(10):
        while met < 3 or listener.connections or len(sessions):
            await asyncio.sleep(0.001)
    listener.close()
