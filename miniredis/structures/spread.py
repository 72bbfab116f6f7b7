"""Many names with what belongs to each, dealt out over dicts of which none is large.

A dict grows at two thirds of a power of two: it is copied then, while everybody waits, and that takes longer each time:
1 ms at 21,845 entries, 130 ms at 3 million. A set, a hash or a sorted set keeps one dict as long as that is small, and
is dealt out once (4 ms) when it has WHOLE_MOST names.

    part       0         1        …    508             name ─► hash(name) % 509
            ┌───────┬─────────┬─────┬─────────┐
    parts   │ dict  │  dict   │     │  dict   │        name ─► value
    rosters │Roster │ Roster  │     │ Roster  │        the same names in slots, for scans and draws
            └───────┴─────────┴─────┴─────────┘

Law 1: nothing but walking through all of it takes longer the more names there are.
Law 2: a cursor is 2**48 + (slots still to come << 9 | part), with 0 slots for a part that was not begun. A smaller one
       comes from the time of the one dict; it starts from the beginning, so that no name is missed.
Law 3: rosters are there from the start, for nine bytes a name: were they made when somebody draws the first time, that
       draw would have to walk through a part, and a draw of thousands through all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from random import Random
from typing import Final, Generic, TypeVar

from miniredis.structures.roster import Roster

V = TypeVar("V")

# With so many names a dict is dealt out: before it would grow.
WHOLE_MOST: Final = 21845
# Not a power of two: the low bits of the hash place a name within its dict.
PARTS: Final = 509

_PART_BITS: Final = 9
_PART_MASK: Final = (1 << _PART_BITS) - 1
_CURSOR_BASE: Final = 1 << 48
# So many draws in vain, and the slots are counted again.
_DRAWS: Final = 16


class Spread(Generic[V]):
    """A mapping from names; what a dict does and is needed of it here, a roster's scan and random draw, and
    `dissolve`."""

    __slots__ = ("_most_slots", "_rosters", "_size", "parts")

    def __init__(self, entries: Iterable[tuple[bytes, V]] = ()) -> None:
        # Open to those who look a name up and write it in one go; new names they tell afterwards (`tell_added`).
        self.parts: list[dict[bytes, V]] = [{} for _ in range(PARTS)]
        parts = self.parts
        for name, value in entries:
            parts[hash(name) % PARTS][name] = value
        self._rosters = [Roster(part) for part in parts]
        self._size = sum(map(len, parts))
        self._most_slots = max(map(len, parts))  # no part has more

    def __len__(self) -> int:
        return self._size

    def __contains__(self, name: object) -> bool:
        return name in self.parts[hash(name) % PARTS]

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self.parts)

    def __getitem__(self, name: bytes) -> V:
        return self.parts[hash(name) % PARTS][name]

    def get(self, name: bytes) -> V | None:
        return self.parts[hash(name) % PARTS].get(name)

    def values(self) -> Iterator[V]:
        return chain.from_iterable([part.values() for part in self.parts])

    def items(self) -> Iterator[tuple[bytes, V]]:
        return chain.from_iterable([part.items() for part in self.parts])

    def copy(self) -> Spread[V]:
        twin: Spread[V] = Spread()
        twin.parts = [part.copy() for part in self.parts]
        twin._rosters = [roster.copy() for roster in self._rosters]
        twin._size = self._size
        twin._most_slots = self._most_slots
        return twin

    @property
    def size_bytes(self) -> int:
        """What finding names by chance or cursor takes, beside the dicts."""
        return sum([roster.size_bytes for roster in self._rosters])

    # ── changing ───────────────────────────────────────────────────────────────────────────────────────

    def __setitem__(self, name: bytes, value: V) -> None:
        spot = hash(name) % PARTS
        part = self.parts[spot]
        count = len(part)
        part[name] = value
        if len(part) > count:
            self._list(spot, name)

    def tell_added(self, names: Iterable[bytes]) -> None:
        """These names have been written into their parts and were not there before."""
        for name in names:
            self._list(hash(name) % PARTS, name)

    def _list(self, spot: int, name: bytes) -> None:
        self._size += 1
        roster = self._rosters[spot]
        roster.add(name)
        if roster.slots > self._most_slots:
            self._most_slots = roster.slots

    def pop(self, name: bytes, missing: None) -> V | None:
        """Remove a name with its value; `missing` where there is none."""
        if name not in self.parts[hash(name) % PARTS]:
            return missing
        value = self[name]
        del self[name]
        return value

    def __delitem__(self, name: bytes) -> None:
        spot = hash(name) % PARTS
        part = self.parts[spot]
        del part[name]
        self._size -= 1
        if part:
            self._rosters[spot].remove(name)
        else:
            self._renew(spot)

    def _renew(self, spot: int) -> None:
        """This part has become empty: its dict still has the room for what it once held."""
        self.parts[spot] = {}
        self._rosters[spot] = Roster(())

    def dissolve(self, most: int) -> bool:
        """Let go of about `most` names of what nobody needs any more; whether some are left."""
        parts = self.parts
        while parts and most > 0:
            part = parts[-1]
            del self._rosters[len(parts) - 1 :]
            drop = part.popitem
            count = min(most, len(part))
            for _ in range(count):
                drop()
            self._size -= count
            most -= count
            if not part:
                parts.pop()
        return self._size > 0

    # ── chance and scanning ────────────────────────────────────────────────────────────────────────────

    def random(self, chance: Random) -> bytes:
        """One name, each as likely as any other. There must be one."""
        draw = chance.random
        while True:
            most = self._most_slots
            for _ in range(_DRAWS):
                # Any slot of a table with as many for each part as the fullest has; most of them hold a name.
                name = self._rosters[int(draw() * PARTS)].at(int(draw() * most))
                if name is not None:
                    return name
            self._most_slots = max([roster.slots for roster in self._rosters])

    def pop_random(self, chance: Random) -> bytes:
        """Remove one name, each as likely as any other, and give it out. There must be one."""
        draw, rosters = chance.random, self._rosters
        while True:
            most = self._most_slots
            for _ in range(_DRAWS):
                spot = int(draw() * PARTS)
                name = rosters[spot].pop(int(draw() * most))
                if name is not None:
                    self._size -= 1
                    part = self.parts[spot]
                    del part[name]
                    if not part:
                        self._renew(spot)
                    return name
            self._most_slots = max([roster.slots for roster in rosters])

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """About `count` names and the cursor to go on with, 0 at the end. A name that is there all the time comes."""
        spot = slots = 0
        if cursor >= _CURSOR_BASE:
            spot = cursor & _PART_MASK
            slots = (cursor - _CURSOR_BASE) >> _PART_BITS
        found: list[bytes] = []
        while spot < PARTS:
            if self.parts[spot]:
                slots, names = self._rosters[spot].scan(slots, count - len(found))
                found += names
            else:
                slots = 0
            if not slots:
                spot += 1
            if len(found) >= count:
                break
        return (0 if spot >= PARTS else _CURSOR_BASE + (slots << _PART_BITS | spot)), found


def dissolve_whole(names: dict[bytes, V], most: int) -> bool:
    """The same for a dict: let go of about `most` names; whether some are left."""
    drop = names.popitem
    for _ in range(min(most, len(names))):
        drop()
    return bool(names)
