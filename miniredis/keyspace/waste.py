"""Large values that nobody can reach any more, let go of in pieces.

A sorted set of five million members takes more than a second to free. Deleting its key takes it out of the table, as
UNLINK does in Redis – and here DEL, expiry, another value under the key and eviction as well, since who waits is
everybody – and what it held is freed a little with each tick of the server. So are the tables of flushed databases.

Law: what is added is nobody else's. A value that lives on under another key is taken from the table by `Db.take`.
"""

from __future__ import annotations

from collections.abc import Callable
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
# Of pieces of memory, where freeing later was asked for: Redis's bound.
LEAST_TOLD: Final = 64

# Elements freed at a time, and so many times a tick at the most: 1 ms. The last ones may take ten times as long each,
# because whole arenas of memory become free with them; so the time is looked at in between.
_STEP: Final = 100
_STEPS: Final = 50
_LONGEST_S: Final = 0.002


class Waste:
    """The values of one server that are being freed, and the tables with what was in them.

    `freed` counts those objects – values, and keys of tables – that a command left to be freed later (INFO)."""

    __slots__ = ("_tables_told", "_values_told", "_wholes", "freed", "tables", "values")

    def __init__(self) -> None:
        self.values: list[Dissolving] = []
        self._values_told: list[bool] = []  # of each: whether it is counted
        self.tables: list[Table[Value] | Table[int]] = []
        self._tables_told: list[bool] = []
        self._wholes: list[tuple[object, int]] = []  # and as how many objects each counts
        self.freed = 0

    @property
    def pending(self) -> int:
        """Counted objects that are still to be freed."""
        tables = zip(self.tables, self._tables_told, strict=True)
        told = sum(self._values_told) + sum([table.size for table, is_told in tables if is_told])
        return told + sum([count for _, count in self._wholes])

    def add(self, value: Value, *, is_told: bool = False) -> None:
        """A value just taken from the table: kept here if it is large, or else forgotten. `is_told`: it was to be freed
        later, so that it counts, and less is large."""
        if isinstance(value, Dissolving) and (len(value) > LEAST or (is_told and _effort(value) > LEAST_TOLD)):
            self.values.append(value)
            self._values_told.append(is_told)

    def add_whole(self, what: object, pieces: int, count: int) -> None:
        """Something of so many pieces that cannot be taken apart here: an interpreter with its scripts."""
        if pieces > LEAST_TOLD:
            self._wholes.append((what, count))

    def add_table(self, table: Table[Value] | Table[int], *, is_told: bool = False) -> None:
        """A table that no database has any more. One with few keys is freed at once: who flushes often, a few keys each
        time, would leave more than the ticks free."""
        if not table.size:
            return
        is_small = table.size <= LEAST
        self.tables.append(table)
        self._tables_told.append(is_told)
        while is_small and self.tables and self.tables[-1] is table:
            self._free_keys()

    def free(self, monotonic: Callable[[], float] = float) -> bool:
        """A tick's worth, by count, and by the clock if one is given (s); whether there is more."""
        values, tables = self.values, self.tables
        until = monotonic() + _LONGEST_S
        if self._wholes:
            self.freed += self._wholes.pop()[1]
        for _ in range(_STEPS):
            if monotonic() >= until:
                break
            if values:
                if not values[-1].dissolve(_STEP):
                    values.pop()
                    self.freed += self._values_told.pop()
            elif tables:
                self._free_keys()
            else:
                break
        return bool(values or tables or self._wholes)

    def _free_keys(self) -> None:
        """Some of the last table: a key counts when its value is freed as well."""
        table, is_told, left = self.tables[-1], self._tables_told[-1], len(self.values)
        former = table.size
        for value in table.dissolve(_STEP):
            if type(value) in DISSOLVING:
                self.add(value)
        self._values_told[left:] = [is_told] * (len(self.values) - left)
        if is_told:
            self.freed += former - table.size - (len(self.values) - left)
        if not table.size:
            self.tables.pop()
            self._tables_told.pop()


def _effort(value: Dissolving) -> int:
    """About how many pieces of memory a value of moderate length is made of, as Redis counts them."""
    if isinstance(value, Stream):
        groups = list(value.groups.values())
        return len(list(value.nodes())) + (len(groups) * (1 + len(groups[0].pending)) if groups else 0)
    if value.encoding in (b"hashtable", b"skiplist"):
        return len(value)
    return len(value.runs()) if isinstance(value, List) else 1
