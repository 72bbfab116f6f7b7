"""Sets: unordered, each member once.

As Redis keeps them, a set has one of three forms, seen by OBJECT ENCODING and by the order of replies:

    intset      only 64-bit integers, in numerical order                     array of 8 bytes each
    listpack    few and short members, in the order they were added          dict without values; packed at rest
    hashtable   anything                                                     dict without values, and a roster;
                                                                             a Spread (spread.py) once it is large

Law 1: a set only ever becomes larger in form (intset → listpack → hashtable); what shrinks keeps its form.
Law 2: when it changes form is decided by Redis's rules, by the three limits given with every addition.
Law 3: a random member costs the same whatever the size; a scan never misses a member that stays (see roster).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from random import Random
from typing import ClassVar, Final, Protocol

from msgpack import packb, unpackb

from miniredis.structures.roster import Roster
from miniredis.structures.spread import WHOLE_MOST, Spread, dissolve_whole

INTSET: Final = 0
LISTPACK: Final = 1
HASHTABLE: Final = 2

_ENCODINGS: Final = (b"intset", b"listpack", b"hashtable")

# An intset's length is a 32-bit field; Redis stops well before.
_INTSET_CEILING: Final = 1 << 30
_INT64_MAX: Final = 2**63 - 1
_INT64_MIN: Final = -(2**63)

# What a set and one member take beyond the member's own bytes, about, in Redis's forms.
_EMPTY_BYTES: Final = 56
_LISTPACK_MEMBER_BYTES: Final = 3
_HASHTABLE_MEMBER_BYTES: Final = 48


class SetLimits(Protocol):
    """The directives that decide a set's form (the settings object has them)."""

    @property
    def set_max_intset_entries(self) -> int: ...
    @property
    def set_max_listpack_entries(self) -> int: ...
    @property
    def set_max_listpack_value(self) -> int: ...


def integer_of(member: bytes) -> int | None:
    """The integer a member is the exact text of, or None."""
    size = len(member)
    if member.isdigit():
        if size > 19 or (member[0] == 48 and size > 1):
            return None
    elif size < 2 or size > 20 or member[0] != 45 or member[1] == 48 or not member[1:].isdigit():
        return None
    value = int(member)
    return value if _INT64_MIN <= value <= _INT64_MAX else None


class Set:
    """A set of byte strings."""

    __slots__ = ("_count", "_integers", "_members", "_packed", "_payload_bytes", "_roster", "form", "may_rest")

    type_name: ClassVar[bytes] = b"set"

    def __init__(self, form: int = INTSET) -> None:
        self.form = form
        self._integers: array[int] = array("q")
        self._members: dict[bytes, None] | Spread[None] = {}
        self._roster: Roster | None = None
        self._payload_bytes = 0
        self._packed = b""  # members at rest
        self._count = 0  # of them
        self.may_rest = True  # not yet on the list of those to be packed (keyspace/resting.py)

    def rest(self) -> None:
        """Pack the members, if this is a listpack and has any: reading looks into the bytes, changing unpacks them."""
        if self.form == LISTPACK and self._members:
            self._packed = packb(list(self._members))
            self._count = len(self._members)
            self._members = {}
            self.may_rest = True

    def _view(self) -> dict[bytes, None] | Spread[None]:
        """The members of a listpack or hash table, to be read only."""
        return dict.fromkeys(unpackb(self._packed)) if self._packed else self._members

    def _open(self) -> dict[bytes, None] | Spread[None]:
        """The same, to be changed."""
        if self._packed:
            self._members = self._view()
            self._packed = b""
            self._count = 0
        return self._members

    @staticmethod
    def fitting(member: bytes, count: int, limits: SetLimits) -> Set:
        """An empty set in the form for about `count` members like this one."""
        if count <= limits.set_max_intset_entries and integer_of(member) is not None:
            return Set(INTSET)
        return Set(LISTPACK if count <= limits.set_max_listpack_entries else HASHTABLE)

    @staticmethod
    def of_integers(integers: array[int], limits: SetLimits) -> Set:
        """A set of different integers, in order; a hash table where an intset may not hold so many."""
        built = Set(INTSET)
        built._integers = integers
        if len(integers) > min(limits.set_max_intset_entries, _INTSET_CEILING):
            built._leave_intset(HASHTABLE)
        return built

    def integers(self) -> array[int]:
        """What an intset holds, in order; not to be changed."""
        return self._integers

    @property
    def encoding(self) -> bytes:
        return _ENCODINGS[self.form]

    @property
    def size_bytes(self) -> int:
        if self.form == INTSET:
            return _EMPTY_BYTES + 8 * len(self._integers)
        if self._packed:
            return _EMPTY_BYTES + len(self._packed)
        each = _LISTPACK_MEMBER_BYTES if self.form == LISTPACK else _HASHTABLE_MEMBER_BYTES
        roster_bytes = 0 if self._roster is None else self._roster.size_bytes
        if type(self._members) is Spread:
            roster_bytes = self._members.size_bytes
        return _EMPTY_BYTES + each * len(self._members) + self._payload_bytes + roster_bytes

    @property
    def counted_bytes(self) -> int:
        """For `used_memory`: by what it holds alone, whether packed, and whatever reads keep on the side."""
        if self.form == INTSET:
            return _EMPTY_BYTES + 8 * len(self._integers)
        each = _LISTPACK_MEMBER_BYTES if self.form == LISTPACK else _HASHTABLE_MEMBER_BYTES
        return _EMPTY_BYTES + each * len(self) + self._payload_bytes

    def __len__(self) -> int:
        return len(self._members) or len(self._integers) or self._count

    def __iter__(self) -> Iterator[bytes]:
        """Members in the order replies have them."""
        if self.form == INTSET:
            return iter([b"%d" % value for value in self._integers])
        return iter(self._view())

    def __contains__(self, member: bytes) -> bool:
        if self.form != INTSET:
            return member in (self._view() if self._packed else self._members)
        value = integer_of(member)
        if value is None:
            return False
        spot = bisect_left(self._integers, value)
        return spot < len(self._integers) and self._integers[spot] == value

    def members(self) -> list[bytes]:
        """All members, in the order replies have them."""
        if self.form == INTSET:
            return [b"%d" % value for value in self._integers]
        return list(self._view())

    def copy(self) -> Set:
        twin = Set(self.form)
        twin._integers = self._integers[:]
        twin._members = self._members.copy()
        twin._packed, twin._count = self._packed, self._count
        twin._payload_bytes = self._payload_bytes
        return twin

    def dissolve(self, most: int) -> bool:
        """Let go of about `most` members of a set that is in no table any more; whether some are left."""
        self._roster = None
        if type(self._members) is Spread:
            return self._members.dissolve(most)
        return type(self._members) is dict and dissolve_whole(self._members, most)

    # ── changing ───────────────────────────────────────────────────────────────────────────────────────

    def add(self, member: bytes, limits: SetLimits) -> bool:
        """Whether it was not there before."""
        form = self.form
        if form == INTSET:
            return self._add_to_intset(member, limits)
        members = self._open() if self._packed else self._members
        if member in members:
            return False
        if form == LISTPACK and (
            len(members) >= limits.set_max_listpack_entries or len(member) > limits.set_max_listpack_value
        ):
            self.form = HASHTABLE
        members[member] = None
        self._payload_bytes += len(member)
        if self._roster is not None:
            self._roster.add(member)
        if len(members) >= WHOLE_MOST and type(members) is dict:
            self._members = Spread(members.items())
            self._roster = None
        return True

    def update(self, members: Iterable[bytes], limits: SetLimits) -> int:
        """Add each; how many were not there before."""
        added = 0
        for member in members:
            if self.add(member, limits):
                added += 1
        return added

    def remove(self, member: bytes) -> bool:
        """Whether it was there."""
        if self.form == INTSET:
            value = integer_of(member)
            if value is None:
                return False
            spot = bisect_left(self._integers, value)
            if spot == len(self._integers) or self._integers[spot] != value:
                return False
            del self._integers[spot]
            return True
        if member not in (self._view() if self._packed else self._members):
            return False
        del self._open()[member]
        self._payload_bytes -= len(member)
        if self._roster is not None:
            self._roster.remove(member)
        return True

    def expect(self, count: int, limits: SetLimits) -> None:
        """`count` members are about to be added: change to a hash table now if a smaller form could not hold them."""
        if self.form == LISTPACK:
            if count > limits.set_max_listpack_entries:
                self._open()
                self.form = HASHTABLE
        elif self.form == INTSET and count > limits.set_max_intset_entries:
            self._leave_intset(HASHTABLE)

    def become_intset(self, limits: SetLimits) -> None:
        """For a set made anew whose members are all integers: an intset, unless there are too many of them."""
        if self.form == INTSET or len(self._open()) > min(limits.set_max_intset_entries, _INTSET_CEILING):
            return
        self._integers = array("q", sorted(map(int, self._members)))
        self._members = {}
        self._payload_bytes = 0
        self._roster = None
        self.form = INTSET

    def _add_to_intset(self, member: bytes, limits: SetLimits) -> bool:
        integers = self._integers
        value = integer_of(member)
        if value is not None:
            spot = bisect_left(integers, value)
            if spot < len(integers) and integers[spot] == value:
                return False
            integers.insert(spot, value)
            if len(integers) > min(limits.set_max_intset_entries, _INTSET_CEILING):
                self._leave_intset(HASHTABLE)
            return True
        longest = max(len(b"%d" % integers[0]), len(b"%d" % integers[-1])) if integers else 0
        is_small = (
            len(integers) < limits.set_max_listpack_entries
            and len(member) <= limits.set_max_listpack_value
            and longest <= limits.set_max_listpack_value
        )
        self._leave_intset(LISTPACK if is_small else HASHTABLE)
        self._members[member] = None
        self._payload_bytes += len(member)
        return True

    def _leave_intset(self, form: int) -> None:
        self._members = dict.fromkeys([b"%d" % value for value in self._integers])
        self._payload_bytes = sum(map(len, self._members))
        self._integers = array("q")
        self.form = form

    # ── chance and scanning ────────────────────────────────────────────────────────────────────────────

    def random(self, chance: Random) -> bytes:
        """One member, each as likely as any other. There must be one."""
        if self.form == INTSET:
            return b"%d" % self._integers[int(chance.random() * len(self._integers))]
        if self.form == LISTPACK:
            members = self.members()
            return members[int(chance.random() * len(members))]
        return self._rostered().random(chance)

    def pop(self, chance: Random) -> bytes:
        """Remove one member, each as likely as any other, and give it out. There must be one."""
        if self.form != HASHTABLE:
            member = self.random(chance)
            self.remove(member)
            return member
        members = self._members
        if type(members) is Spread:
            member = members.pop_random(chance)
        else:
            member = self._rostered().pop_random(chance)
            del members[member]
        self._payload_bytes -= len(member)
        return member

    def sample(self, count: int, chance: Random) -> list[bytes]:
        """`count` different members (all of them, if there are no more), small forms in their own order."""
        size = len(self)
        if count >= size:
            return self.members()
        if self.form != HASHTABLE or count * 3 > size:
            members = self.members()
            return [members[spot] for spot in sorted(chance.sample(range(size), count))]
        roster = self._rostered()
        chosen: dict[bytes, None] = {}
        while len(chosen) < count:
            chosen[roster.random(chance)] = None
        return list(chosen)

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Members of one page and the cursor of the next (0: done). Small forms come in one page."""
        if self.form != HASHTABLE:
            return 0, self.members()
        return self._rostered().scan(cursor, count)

    def _rostered(self) -> Roster | Spread[None]:
        if type(self._members) is Spread:
            return self._members
        if self._roster is None:
            self._roster = Roster(self._members)
        return self._roster
