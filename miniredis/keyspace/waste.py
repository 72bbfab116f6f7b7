"""Large values that nobody can reach any more, let go of in pieces.

A sorted set of five million members takes more than a second to free. Deleting its key takes it out of the table, as
UNLINK does in Redis – and here DEL, expiry and eviction as well, since who waits is everybody – and what it held is
freed a little with each tick of the server.

Law: what is added is nobody else's. A value that lives on under another key is taken from the table by `Db.take`.
"""

from __future__ import annotations

from typing import Final

from miniredis.keyspace.value import Value
from miniredis.structures.stream import Stream
from miniredis.structures.zset import SortedSet

# What knows how to dissolve; and below this length it is freed faster than it is told.
DISSOLVING: Final = (SortedSet, Stream)
LEAST: Final = 4096

# Elements freed at a time, and so many times a tick: 2 ms.
_STEP: Final = 1000
_STEPS: Final = 5


class Waste:
    """The values of one server that are being freed."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: list[SortedSet | Stream] = []

    def add(self, value: Value) -> None:
        """A value just taken from the table: kept here if it is large, or else forgotten."""
        if isinstance(value, DISSOLVING) and len(value) > LEAST:
            self.values.append(value)

    def free(self) -> bool:
        """A tick's worth; whether there is more."""
        values = self.values
        for _ in range(_STEPS):
            if not values:
                return False
            if not values[-1].dissolve(_STEP):
                values.pop()
        return bool(values)
