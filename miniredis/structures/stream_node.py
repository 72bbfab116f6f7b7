"""One node of a stream: up to about a hundred entries, packed as Redis packs them in a listpack.

    listpack   ┌───────────┬───────────┬─────────────────────────────────────────────────┬────────────────┬──────┐
               │ bytes u32 │ count u16 │ live, deleted, number of fields, the fields, 0  │ entry, entry … │ 0xFF │
               └───────────┴───────────┴─────────────────────────────────────────────────┴────────────────┴──────┘
                                         the master entry                                  `body`
    entry      flags, ms, seq, [number of fields,] values or fields and values, how many elements this was

`ms` and `seq` are what has to be added to the node's own id. An entry whose fields are those of the master entry has
the flag SAME and holds the values alone; a deleted entry has the flag DELETED and stays where it is until its whole
node goes. Only the entries are kept as bytes: what stands before them is made again when somebody asks for the whole.

Law 1: an id is one integer of 128 bits, milliseconds << 64 | sequence.
Law 2: a body only grows at its end; marking an entry as deleted moves nothing. So a place once found stays.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final

from miniredis.structures.listpack import COUNT_UNKNOWN, HEADER_BYTES, checked, elements, entry, unpack
from miniredis.structures.packed import backlen_size

SEQUENCE: Final = 0xFFFFFFFFFFFFFFFF  # the mask of an id's lower half
MAX_ID: Final = (1 << 128) - 1

DELETED: Final = 1
SAME: Final = 2
_EVERY: Final = 1 << 62  # more entries than there can be
_SAME_FLAGS: Final = b"\x02\x01"
_OWN_FLAGS: Final = b"\x00\x01"

_END: Final = b"\xff"

Entry = tuple[int, list[bytes]]


# ── elements of a listpack ─────────────────────────────────────────────────────────────────────────────

# How far an id is from its node's mostly is a small number.
_PREPARED: Final = 1024
_INTEGERS: Final = [entry(number) for number in range(_PREPARED)]
# Bytes of an element by its first byte, backward length included; 0: they have to be read, or there is none like it.
_SIZES: Final[list[int]] = [
    *([2] * 128), *range(2, 66), *([3] * 32), *([0] * 16), 0, 4, 5, 6, 10, *([0] * 11)
]  # fmt: skip


def size_at(data: bytes | bytearray, at: int) -> int:
    """Bytes of the element that begins there. ValueError: none begins there."""
    first = data[at]
    if _SIZES[first]:
        return _SIZES[first]
    if 0xE0 <= first < 0xF0:
        stored = ((first & 15) << 8 | data[at + 1]) + 2
    elif first == 0xF0:
        stored = int.from_bytes(data[at + 1 : at + 5], "little") + 5
    else:
        raise ValueError("no element of a listpack")
    return stored + backlen_size(stored)


def integer_at(data: bytes | bytearray, at: int) -> int:
    """The number that begins there. ValueError: no number."""
    first = data[at]
    if first < 128:
        return first
    if first < 0xC0 or 0xE0 <= first <= 0xF0 or first > 0xF4:
        raise ValueError("no number in a listpack")
    if first < 0xE0:
        number = (first & 31) << 8 | data[at + 1]
        return number - 0x2000 if number >= 0x1000 else number
    return int.from_bytes(data[at + 1 : at + _SIZES[first] - 1], "little", signed=True)


def _signed(number: int) -> int:
    """A difference of two 64-bit numbers, as 64 bits with a sign hold it."""
    return (number + 0x8000000000000000 & SEQUENCE) - 0x8000000000000000


# ── the node ───────────────────────────────────────────────────────────────────────────────────────────


class Shape:
    """The fields of a master entry. Nodes that follow one another mostly share one."""

    __slots__ = ("count_bytes", "elements", "names", "only", "packed", "size_bytes")

    def __init__(self, names: list[bytes]) -> None:
        self.names = names
        self.only = names[0] if len(names) == 1 else None
        self.packed = b"".join([entry(len(names)), *map(entry, names), entry(0)])
        # A listpack without entries, while its two counts take two bytes each.
        self.size_bytes = HEADER_BYTES + 4 + len(self.packed) + len(_END)
        self.elements = len(names) + 4  # of an entry with these fields
        self.count_bytes = entry(len(names) + 3)  # ends an entry with these fields


class Places:
    """Where the entries of a node begin, as far as somebody has walked."""

    __slots__ = ("first_live", "offsets", "walked")

    def __init__(self) -> None:
        self.offsets = array("I")
        self.walked = 0  # the offset of the next entry
        self.first_live = 0  # no entry before this one (by number) is alive


class Node:
    """Entries that share the id they count from, `master`, and mostly their fields."""

    __slots__ = ("body", "deleted", "live", "master", "master_ms", "master_seq", "places", "shape", "surplus")

    def __init__(self, master: int, shape: Shape) -> None:
        self.master = master
        self.master_ms = master >> 64
        self.master_seq = master & SEQUENCE
        self.shape = shape
        self.body: bytes | bytearray = bytearray()
        self.live = 0
        self.deleted = 0
        self.surplus = 0  # elements of entries that have fields of their own, beyond what they would be without
        self.places: Places | None = None

    # Bytes.

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole listpack."""
        size = self.shape.size_bytes + len(self.body)
        if self.live > 127 or self.deleted > 127:
            size += len(entry(self.live)) + len(entry(self.deleted)) - 4
        return size

    @property
    def elements(self) -> int:
        """Elements of the whole listpack."""
        return 4 + len(self.shape.names) + (self.live + self.deleted) * self.shape.elements + self.surplus

    def listpack(self) -> bytes:
        """The node as Redis keeps and saves it."""
        shape = self.shape
        inside = b"".join((entry(self.live), entry(self.deleted), shape.packed, self.body, _END))
        size = HEADER_BYTES + len(inside)
        return size.to_bytes(4, "little") + min(self.elements, COUNT_UNKNOWN).to_bytes(2, "little") + inside

    def seal(self) -> None:
        """Nothing will be added any more: take no more memory than needed."""
        self.body = bytes(self.body)

    def copy(self) -> Node:
        twin = Node(self.master, self.shape)
        twin.body = self.body if type(self.body) is bytes else bytearray(self.body)
        twin.live, twin.deleted, twin.surplus = self.live, self.deleted, self.surplus
        return twin

    # Adding.

    def append(self, id: int, pairs: list[bytes]) -> None:
        """Add an entry, fields and values in turn; its id is above those that are there."""
        shape = self.shape
        ms = (id >> 64) - self.master_ms
        seq = (id & SEQUENCE) - self.master_seq
        ms_bytes = _INTEGERS[ms] if ms < _PREPARED else entry(_signed(ms))
        seq_bytes = _INTEGERS[seq] if 0 <= seq < _PREPARED else entry(_signed(seq))
        self.live += 1
        if len(pairs) == 2 and pairs[0] == shape.only:
            self.body += b"".join((_SAME_FLAGS, ms_bytes, seq_bytes, entry(pairs[1]), shape.count_bytes))
        elif pairs[::2] == shape.names:
            self.body += b"".join((_SAME_FLAGS, ms_bytes, seq_bytes, *map(entry, pairs[1::2]), shape.count_bytes))
        else:
            count = len(pairs) + 4
            fields = entry(len(pairs) // 2)
            self.body += b"".join((_OWN_FLAGS, ms_bytes, seq_bytes, fields, *map(entry, pairs), entry(count)))
            self.surplus += count + 1 - shape.elements

    # Finding. An entry is named by its number in the node, deleted ones included.

    def offsets(self, least: int = _EVERY) -> array[int]:
        """Where each entry begins, of the first `least` at any rate: walked once, and then only what was added since.

        That few are asked for at the beginning matters where a node may hold any number of entries."""
        places = self.places
        if places is None:
            places = self.places = Places()
        body = self.body
        at = places.walked
        end = len(body)
        missing = least - len(places.offsets)
        if at == end or missing <= 0:
            return places.offsets
        append = places.offsets.append
        sizes = _SIZES
        same = len(self.shape.names) + 1
        while at < end and missing:
            missing -= 1
            append(at)
            flags = body[at]
            at += 2
            at += sizes[body[at]]
            at += sizes[body[at]]
            rest = same
            if not flags & SAME:
                rest = 2 * integer_at(body, at) + 1
                at += sizes[body[at]]
            for _ in range(rest):
                at += sizes[body[at]] or size_at(body, at)
        places.walked = at
        return places.offsets

    def id_at(self, offset: int) -> int:
        body = self.body
        at = offset + 2
        return self.id_of(integer_at(body, at), integer_at(body, at + _SIZES[body[at]]))

    def id_of(self, ms: int, seq: int) -> int:
        """The id of an entry so far from the master's."""
        return (self.master_ms + ms & SEQUENCE) << 64 | (self.master_seq + seq & SEQUENCE)

    def seek(self, id: int) -> int:
        """The number of the first entry that is not below `id`."""
        if id <= self.master:
            return 0
        return bisect_left(self.offsets(), id, key=self.id_at)

    def find(self, id: int) -> int:
        """The number of the living entry with this id, -1 without."""
        number = self.seek(id)
        offsets = self.offsets()
        if number == len(offsets) or self.id_at(offsets[number]) != id:
            return -1
        return -1 if self.body[offsets[number]] & DELETED else number

    @property
    def last(self) -> int:
        """The id of the last entry, alive or not."""
        return self.id_at(self.offsets()[-1])

    @property
    def first(self) -> int:
        """The id of the first entry, alive or not."""
        return self.id_at(0)

    def first_live(self) -> int:
        """The number of the first living entry. Law: there is one."""
        assert self.live
        offsets = self.offsets(1)
        places = self.places
        assert places is not None
        number = places.first_live
        while self.body[offsets[number]] & DELETED:
            number += 1
            if number == len(offsets):
                self.offsets(2 * number)
        places.first_live = number
        return number

    # Removing.

    def delete(self, number: int) -> None:
        """Mark a living entry as deleted."""
        if type(self.body) is bytes:
            self.body = bytearray(self.body)
        body = self.body
        assert type(body) is bytearray
        body[self.offsets(number + 1)[number]] |= DELETED
        self.live -= 1
        self.deleted += 1

    def delete_first(self, count: int) -> int:
        """Mark that many of the first living entries as deleted; how many there were."""
        count = min(count, self.live)
        for _ in range(count):
            self.delete(self.first_live())
        return count

    def delete_below(self, id: int) -> int:
        """Mark all living entries below `id` as deleted; how many there were."""
        count = 0
        while self.live:
            number = self.first_live()
            if self.id_at(self.offsets(number + 1)[number]) >= id:
                break
            self.delete(number)
            count += 1
        return count

    # Reading.

    def read(self, start: int, end: int, count: int) -> list[Entry]:
        """Living entries with start <= id <= end in their order; the first `count` of them, 0 for all."""
        if start <= self.master and not (count and count < self.live):
            return self._decode(0, len(self.body), end, 0)
        # Among so many there are enough living ones.
        enough = count + self.deleted if count else _EVERY
        first = max(self.seek(start), self.first_live()) if self.live else 0
        offsets = self.offsets(first + enough + 1)
        if first == len(offsets) or not self.live:
            return []
        after = first + enough
        stop = offsets[after] if after < len(offsets) else len(self.body)
        return self._decode(offsets[first], stop, end, count)

    def read_back(self, start: int, end: int, count: int) -> list[Entry]:
        """Living entries with start <= id <= end, the last one first; `count` of them at most, 0 for all."""
        offsets = self.offsets()
        first = self.seek(start)
        after = self.seek(end + 1)
        if count:
            first = max(first, after - count - self.deleted)
        if first >= after:
            return []
        stop = offsets[after] if after < len(offsets) else len(self.body)
        found = self._decode(offsets[first], stop, end, 0)
        found.reverse()
        return found[:count] if count else found

    def _decode(self, at: int, stop: int, end: int, count: int) -> list[Entry]:
        """The living entries between two offsets, up to the id `end`; the first `count` of them, 0 for all."""
        data = bytes(memoryview(self.body)[at:stop])  # one copy: slices of a bytearray would have to be copied again
        master_ms, master_seq = self.master_ms, self.master_seq
        shared = self.shape.names
        sizes = _SIZES
        found: list[Entry] = []
        at = 0
        stop = len(data)
        while at < stop:
            flags = data[at]
            at += 2
            ms = data[at]
            if ms < 128:
                at += 2
            else:
                ms, at = integer_at(data, at), at + sizes[ms]
            seq = data[at]
            if seq < 128:
                at += 2
            else:
                seq, at = integer_at(data, at), at + sizes[seq]
            id = (master_ms + ms & SEQUENCE) << 64 | (master_seq + seq & SEQUENCE)
            if id > end:
                break
            rest = len(shared)
            if not flags & SAME:
                rest = 2 * integer_at(data, at)
                at += sizes[data[at]]
            if flags & DELETED:
                for _ in range(rest + 1):
                    at += sizes[data[at]] or size_at(data, at)
                continue
            words: list[bytes] = []
            for place in range(rest):
                if flags & SAME:
                    words.append(shared[place])
                first = data[at]
                if 0x80 <= first < 0xC0:
                    size = first & 63
                    words.append(data[at + 1 : at + 1 + size])
                    at += size + 2
                else:
                    word, at = unpack(data, at)
                    words.append(word)
            at += sizes[data[at]]
            found.append((id, words))
            if len(found) == count:
                break
        return found


# ── from a listpack ────────────────────────────────────────────────────────────────────────────────────


def node_of(master: int, listpack: bytes, shape: Shape | None, *, deep: bool) -> Node:
    """The node a listpack holds. `shape`: to be shared when the fields are the same.

    ValueError: it is not the listpack of a stream node. Without `deep` the entries are taken on trust."""
    items = checked(listpack) if deep else []
    try:
        node, count = _head(master, listpack, shape)
        if deep:
            _verify(node, items)
        if deep or count == COUNT_UNKNOWN:
            count = len(items or elements(listpack))
    except IndexError:
        raise ValueError("a stream node ends too soon") from None
    if not node.body:
        raise ValueError("a stream node without entries")
    node.surplus = count - node.elements
    return node


def _head(master: int, listpack: bytes, shape: Shape | None) -> tuple[Node, int]:
    """A node with its master entry read, and the count of elements from the header."""
    at = HEADER_BYTES
    counts: list[int] = []
    for _ in range(3):
        counts.append(integer_at(listpack, at))
        at += size_at(listpack, at)
    live, deleted, fields = counts
    if live < 0 or deleted < 0 or not 0 <= fields <= len(listpack):
        raise ValueError("counts of a stream node")
    names: list[bytes] = []
    for _ in range(fields):
        name, at = unpack(listpack, at)
        names.append(name)
    if listpack[at] != 0:
        raise ValueError("a stream node's master entry does not end")
    at += 2
    node = Node(master, shape if shape is not None and shape.names == names else Shape(names))
    node.live, node.deleted = live, deleted
    node.body = listpack[at:-1]
    return node, int.from_bytes(listpack[4:HEADER_BYTES], "little")


def _verify(node: Node, items: list[bytes | int]) -> None:
    """ValueError unless these elements are the entries that the node's master entry counts."""
    same = len(node.shape.names)
    at = 4 + same
    counts = [0, 0]
    last = node.master - 1
    while at < len(items):
        flags, ms, seq = (_number(items[at + place]) for place in range(3))
        if not 0 <= flags <= (DELETED | SAME):
            raise ValueError("flags of a stream entry")
        id = node.id_of(ms, seq)
        if id <= last:
            raise ValueError("ids of stream entries do not rise")
        last = id
        fields = same if flags & SAME else 2 * _number(items[at + 3]) + 1
        if fields < 0 or _number(items[at + 3 + fields]) != 3 + fields:
            raise ValueError("a stream entry is not as long as it says")
        at += 4 + fields
        counts[flags & DELETED] += 1
    if counts != [node.live, node.deleted]:
        raise ValueError("a stream node does not hold what it counts")


def _number(item: bytes | int) -> int:
    if isinstance(item, int):
        return item
    raise ValueError("text where a stream entry has a number")
