"""Large values that nobody can reach any more, let go of in pieces.

A sorted set of five million members takes more than a second to free. Deleting its key takes it out of the table, as
UNLINK does in Redis – and here DEL, expiry, another value under the key and eviction as well, since who waits is
everybody – and what it held is freed a little with each tick of the server. So are the tables of flushed databases.

Law: what is added is nobody else's. A value that lives on under another key is taken from the table by `Db.take`.
"""

from __future__ import annotations

from typing import Final

from miniredis.keyspace.value import Value
from miniredis.structures.chunks import List
from miniredis.structures.hash import Hash
from miniredis.structures.sets import Set
from miniredis.structures.stream import Stream
from miniredis.structures.table import Table
from miniredis.structures.vector_set import VectorSet
from miniredis.structures.zset import SortedSet

# What knows how to dissolve; and below this length it is freed faster than it is told.
Dissolving = SortedSet | Set | Hash | List | Stream | VectorSet
DISSOLVING: Final = frozenset((SortedSet, Set, Hash, List, Stream, VectorSet))
LEAST: Final = 4096

# Elements freed at a time, and so many times a tick: 2 ms.
_STEP: Final = 1000
_STEPS: Final = 5


class Waste:
    """The values of one server that are being freed, and the tables with what was in them."""

    __slots__ = ("tables", "values")

    def __init__(self) -> None:
        self.values: list[Dissolving] = []
        self.tables: list[Table[Value] | Table[int]] = []

    def add(self, value: Value) -> None:
        """A value just taken from the table: kept here if it is large, or else forgotten."""
        if isinstance(value, Dissolving) and len(value) > LEAST:
            self.values.append(value)

    def add_table(self, table: Table[Value] | Table[int]) -> None:
        """A table that no database has any more."""
        if table.size:
            self.tables.append(table)

    def free(self) -> bool:
        """A tick's worth; whether there is more."""
        values, tables = self.values, self.tables
        for _ in range(_STEPS):
            if values:
                if not values[-1].dissolve(_STEP):
                    values.pop()
            elif tables:
                for value in tables[-1].dissolve(_STEP):
                    if type(value) in DISSOLVING:
                        self.add(value)
                if not tables[-1].size:
                    tables.pop()
            else:
                return False
        return bool(values or tables)
