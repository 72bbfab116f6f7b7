"""Hashes: fields and their values, in the order the fields came.

Small hashes are what Redis keeps in a listpack: everything is read in insertion order, a scan returns it all.
Once there are more than hash-max-listpack-entries fields, or one field or value is longer than
hash-max-listpack-value, the hash becomes a hashtable and stays one, whatever is deleted later. Redis asks that
question with the arguments of a command, before it applies them (`prepare`), and again after each field (`set`);
so do we, because HSET of the same field ten times converts where one HSET does not.

A Python dict serves both forms, as it keeps insertion order and answers in one step. What it lacks, a scan by
cursor and a random field, a `Roster` adds when first asked for, to a hashtable only: while the hash is small
there is little to read. A large one is dealt out over many dicts, a `Spread` (spread.py), which brings both itself.

    open      fields ─► values, a dict          170 bytes a field beside its own
    at rest   one string of bytes               2 bytes a field: msgpack's, as it is packed and unpacked in C

A small hash that nobody has changed for a while rests packed (keyspace/resting.py says when). Reading looks into the
packed bytes and leaves them; changing opens the hash.

Fields may have an instant at which they end (structures/field_deadlines.py). A hash that ever had such a field is never
packed; a small one then keeps its fields in the order in which they end, as Redis's listpackex does.
"""

from collections.abc import Sequence
from random import Random
from types import MappingProxyType
from typing import ClassVar, Final, cast

from msgpack import packb, unpackb

from miniredis.structures.field_deadlines import FieldDeadlines
from miniredis.structures.roster import Roster
from miniredis.structures.spread import WHOLE_MOST, Spread, dissolve_whole

# What CPython takes for a field and its value beside their bytes: two object heads, an entry of the dict.
ENTRY_BYTES: Final = 170
HASH_BYTES: Final = 150
# An entry of a dict, one of a heap, and the number.
DEADLINE_BYTES: Final = 200
# The object itself, and the head of its packed bytes.
RESTING_BYTES: Final = 130
RESTING_ENTRY_BYTES: Final = 4

_NEVER: Final = 1 << 63

# Stands for the fields of a hash at rest; nobody writes to it.
_AT_REST: Final = cast("dict[bytes, bytes]", MappingProxyType({}))


class Hash:
    """Fields and values. The two limits are hash-max-listpack-entries and hash-max-listpack-value."""

    __slots__ = ("_bytes", "_count", "_fields", "_is_small", "_packed", "_roster", "deadlines", "may_rest")

    type_name: ClassVar[bytes] = b"hash"

    def __init__(self) -> None:
        self._fields: dict[bytes, bytes] | Spread[bytes] = {}
        self._is_small = True
        self._bytes = 0  # lengths of all fields and values
        self._roster: Roster | None = None
        self._packed = b""  # fields and values in turn, at rest
        self._count = 0  # fields, at rest
        self.deadlines: FieldDeadlines | None = None  # None: no field ever had one
        self.may_rest = True  # small, open, and not yet on the list of those to be packed

    def __len__(self) -> int:
        return self._count if self._packed else len(self._fields)

    # Resting

    def rest(self) -> None:
        """Pack, if this is a small hash with anything in it, and no field of it can end."""
        if self.deadlines is not None:
            self.may_rest = False
            return
        if self._is_small and self._fields and not self._packed:
            self._packed = packb([text for pair in self._fields.items() for text in pair])
            self._count = len(self._fields)
            self._fields = _AT_REST
            self.may_rest = True

    def _view(self) -> dict[bytes, bytes] | Spread[bytes]:
        """The fields, to be read only."""
        if not self._packed:
            return self._fields
        items = unpackb(self._packed)
        return dict(zip(items[::2], items[1::2], strict=True))

    def _open(self) -> dict[bytes, bytes] | Spread[bytes]:
        """The fields, to be changed."""
        if self._packed:
            self._fields = self._view()
            self._packed = b""
        return self._fields

    @property
    def encoding(self) -> bytes:
        if not self._is_small:
            return b"hashtable"
        return b"listpack" if self.deadlines is None else b"listpackex"

    @property
    def size_bytes(self) -> int:
        """Memory this hash takes, in bytes: an estimate that follows every change at no cost."""
        if self._packed:
            return RESTING_BYTES + len(self._packed)
        roster = self._roster.size_bytes if self._roster is not None else 0
        if type(self._fields) is Spread:
            roster = self._fields.size_bytes
        if self.deadlines is not None:
            roster += len(self.deadlines) * DEADLINE_BYTES
        return HASH_BYTES + self._bytes + len(self._fields) * ENTRY_BYTES + roster

    @property
    def counted_bytes(self) -> int:
        """For `used_memory`: by what it holds alone, whether packed, and whatever reads keep on the side."""
        deadlines = len(self.deadlines) * DEADLINE_BYTES if self.deadlines is not None else 0
        if self._is_small:
            return RESTING_BYTES + self._bytes + len(self) * RESTING_ENTRY_BYTES + deadlines
        return HASH_BYTES + self._bytes + len(self._fields) * ENTRY_BYTES + deadlines

    def copy(self) -> "Hash":
        twin = Hash()
        twin._packed = self._packed
        twin._count = self._count
        twin._fields = _AT_REST if self._packed else self._fields.copy()
        twin._is_small = self._is_small
        twin._bytes = self._bytes
        twin._roster = self._roster.copy() if self._roster is not None else None
        twin.deadlines = self.deadlines.copy() if self.deadlines is not None else None
        return twin

    def get(self, field: bytes) -> bytes | None:
        return self._view().get(field) if self._packed else self._fields.get(field)

    def __contains__(self, field: object) -> bool:
        return field in (self._view() if self._packed else self._fields)

    def fields(self) -> list[bytes]:
        return list(self._view())

    def values(self) -> list[bytes]:
        return list(self._view().values())

    def items(self) -> list[tuple[bytes, bytes]]:
        return list(self._view().items())

    def as_dict(self) -> dict[bytes, bytes]:
        """A copy of everything."""
        return dict(self._view().items())

    def prepare(self, pairs: Sequence[bytes], max_entries: int, max_value: int) -> None:
        """Convert if fields and values in turn, `pairs`, do not suit a small hash. Before they are set."""
        if self._is_small and (len(pairs) // 2 > max_entries or max(map(len, pairs)) > max_value):
            self._is_small = False

    def set(self, field: bytes, value: bytes, max_entries: int, max_value: int) -> bool:
        """Set one field; True when it is new."""
        fields = self._open() if self._packed else self._fields
        old = fields.get(field)
        fields[field] = value
        if old is None:
            self._bytes += len(field) + len(value)
            if self._roster is not None:
                self._roster.add(field)
            if len(fields) >= WHOLE_MOST and type(fields) is dict:
                self._fields = Spread(fields.items())
                self._roster = None
        else:
            self._bytes += len(value) - len(old)
        if self._is_small and (len(fields) > max_entries or len(field) > max_value or len(value) > max_value):
            self._is_small = False
        return old is None

    def delete(self, field: bytes) -> bool:
        """Delete one field; False when there was none."""
        value = self._open().pop(field, None)
        if value is None:
            return False
        self._bytes -= len(field) + len(value)
        if self._roster is not None:
            self._roster.remove(field)
        if self.deadlines is not None:
            self.deadlines.pop(field)
        return True

    def dissolve(self, most: int) -> bool:
        """Let go of about `most` fields of a hash that is in no table any more; whether some are left."""
        self._roster = None
        if self.deadlines is not None and self.deadlines.dissolve(most):
            return True
        if type(self._fields) is Spread:
            return self._fields.dissolve(most)
        return type(self._fields) is dict and dissolve_whole(self._fields, most)

    # Fields that end

    def heed_deadlines(self) -> FieldDeadlines:
        """From now on a hash whose fields may end."""
        if self.deadlines is None:
            self._open()
            self.deadlines = FieldDeadlines()
        return self.deadlines

    def expire(self, field: bytes, instant: int) -> None:
        """Let a field that is there end at this instant (ms since the epoch)."""
        deadlines = self.heed_deadlines()
        deadlines.set(field, instant)
        if self._is_small:
            later = [name for name in self._fields if (deadlines.get(name) or _NEVER) >= instant and name != field]
            self._put_last([field, *later])

    def persist(self, field: bytes) -> bool:
        """Let a field never end; False where that was so."""
        if self.deadlines is None or not self.deadlines.pop(field):
            return False
        if self._is_small:
            self._put_last([field])
        return True

    def _put_last(self, names: list[bytes]) -> None:
        fields = self._fields
        for name in names:
            value = fields[name]
            del fields[name]
            fields[name] = value

    def random(self, chance: Random) -> bytes:
        """Some field, each as likely as any other. The hash must not be empty."""
        if self._is_small:
            return chance.choice(list(self._view()))
        return self._listed().random(chance)

    def sample(self, count: int, chance: Random) -> list[bytes]:
        """`count` different fields, all of them if there are fewer."""
        if count >= len(self):
            return list(self._view())
        if self._is_small or count * 3 > len(self):
            return chance.sample(list(self._view()), count)
        roster = self._listed()
        chosen: dict[bytes, None] = {}
        while len(chosen) < count:
            chosen[roster.random(chance)] = None
        return list(chosen)

    def draw(self, count: int, chance: Random) -> list[bytes]:
        """`count` fields drawn independently; the same may come again."""
        if self._is_small:
            return chance.choices(list(self._view()), k=count)
        roster = self._listed()
        return [roster.random(chance) for _ in range(count)]

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Some fields and the cursor to continue with, 0 at the end.

        A field that is there during the whole scan is returned at least once. A small hash comes in one piece."""
        if self._is_small:
            return 0, list(self._view())
        return self._listed().scan(cursor, count)

    def _listed(self) -> Roster | Spread[bytes]:
        if type(self._fields) is Spread:
            return self._fields
        if self._roster is None:
            self._roster = Roster(self._fields)
        return self._roster
