"""Names in slots, so that a dict can be scanned by cursor and sampled at random.

    slot     0   1   2   3   4   5            the scan runs ← from the highest slot down to 0
           ┌───┬───┬───┬───┬───┬───┐
    names  │ a │ b │ ✗ │ d │ ✗ │ f │          ✗: the name has gone and stands in `dead`
           └───┴───┴───┴───┴───┴───┘

Law 1: a name that stays is never missed by a scan. It keeps its slot or, when the dead are swept out, moves to
       a lower one, in order; a cursor only ever moves down, so what it has not passed it will still meet.
Law 2: a living name has exactly one slot. A name that comes back while its old slot is not yet swept takes
       that slot again, so nobody has to know the slot of a name.
Law 3: of eight slots seven are living: a random draw finds one at the first try, and the dead keep little memory.

It is kept as long as its dict: the cursors that clients hold refer to its slots. The one of a whole dict is made when a
scan or a random choice first asks for it, those of a Spread with it.
"""

from collections.abc import Iterable
from random import Random
from typing import Final

# The dead are swept out when they are more than this part of all.
_DEAD_PART: Final = 8


class Roster:
    """The names of one dict, whose every new and every deleted name is told here."""

    __slots__ = ("_dead", "_names")

    def __init__(self, names: Iterable[bytes]) -> None:
        self._names = list(names)
        self._dead: set[bytes] | None = None

    def __len__(self) -> int:
        return len(self._names) - len(self._dead or ())

    @property
    def size_bytes(self) -> int:
        return 120 + 9 * len(self._names) + 64 * len(self._dead or ())

    @property
    def slots(self) -> int:
        """Living and dead."""
        return len(self._names)

    def at(self, slot: int) -> bytes | None:
        """The name that lives there, if any does."""
        if slot >= len(self._names):
            return None
        name = self._names[slot]
        return None if self._dead and name in self._dead else name

    def add(self, name: bytes) -> None:
        """`name` was not in the dict and now is."""
        dead = self._dead
        if dead and name in dead:
            dead.remove(name)
        else:
            self._names.append(name)

    def remove(self, name: bytes) -> None:
        """`name` was in the dict and no longer is."""
        dead = self._dead
        if dead is None:
            dead = self._dead = set()
        dead.add(name)
        if len(dead) * _DEAD_PART > len(self._names):
            self._names = [kept for kept in self._names if kept not in dead]
            self._dead = None

    def pop(self, slot: int) -> bytes | None:
        """Remove the name that lives in this slot, if any does, and give it out: the last name takes the slot. (It only
        moves down, and a scan goes down as well: it is not missed.)"""
        names = self._names
        if slot >= len(names):
            return None
        name = names[slot]
        if self._dead and name in self._dead:
            return None
        last = names.pop()
        if slot < len(names):
            names[slot] = last
        return name

    def pop_random(self, chance: Random) -> bytes:
        """Remove one living name, each as likely as any other. There must be one."""
        while True:
            name = self.pop(int(chance.random() * len(self._names)))
            if name is not None:
                return name

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Names of about `count` slots below `cursor` (0 starts at the top), and the cursor to go on with (0: done)."""
        top = len(self._names)
        if 0 < cursor < top:
            top = cursor
        bottom = max(top - count, 0)
        names = self._names[bottom:top]
        if self._dead:
            dead = self._dead
            names = [name for name in names if name not in dead]
        return bottom, names

    def random(self, chance: Random) -> bytes:
        """One living name, each as likely as any other. There must be one."""
        names, dead = self._names, self._dead
        while True:
            name = names[int(chance.random() * len(names))]
            if not dead or name not in dead:
                return name

    def copy(self) -> "Roster":
        twin = Roster(self._names)
        twin._dead = self._dead and self._dead.copy()
        return twin
