"""What must come before answers comes before those too that leave ahead of the turn's end."""

from __future__ import annotations

import asyncio
from typing import Any

from protocol.net.connection import Connection, Turn


class Wire(asyncio.Transport):
    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self.told = told

    def write(self, data: Any) -> None:
        self.told.append("answer")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def close(self) -> None:
        self.told.append("closed")


class Quiet:
    def received(self, data: bytes) -> None:
        pass

    def lost(self) -> None:
        pass

    def resumed(self) -> None:
        pass


def test_a_connection_that_is_closed_waits_for_what_comes_first() -> None:
    """With appendfsync always, SET and QUIT in one pipeline would be acknowledged before they are on the disk."""
    told: list[str] = []
    loop = asyncio.new_event_loop()
    try:
        turn = Turn(loop, lambda: told.append("written down"), lambda: False)
        connection = Connection(loop, turn, lambda connection: Quiet(), lambda connection: None)
        connection.connection_made(Wire(told))
        connection.write(b"+OK\r\n")
        connection.close()
    finally:
        loop.close()
    assert told == ["written down", "answer", "closed"]
