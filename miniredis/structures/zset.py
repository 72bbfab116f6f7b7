"""Sorted sets: members in the order of their scores, equal scores in the order of their bytes.

    by member   dict    member ─► entry (score, member)
    in order    chunks  [[entry, entry, …], [entry, …], …]      each sorted, each below the next
                last    [entry, entry, …]                       the last entry of every chunk

An entry is a tuple, so bisect compares scores and then members in C. Finding, adding and removing touch two
lists of about a thousand; ranks add up the lengths of the chunks before, kept in a Fenwick tree that is made
when the first rank is asked for and until then costs nothing.

Law 1: the member of an entry is the very object that is the dict's key, so a member is stored once.
Law 2: whether the set is a `listpack` or a `skiplist` to OBJECT ENCODING is decided as Redis does; there is no
       way back. A listpack cannot hold a negative zero: it becomes zero.
Law 3: no entry is a NaN; who adds up scores refuses or replaces it before.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from itertools import chain
from math import inf, nextafter
from operator import itemgetter
from random import Random
from typing import ClassVar, Final, Protocol, TypeAlias

from miniredis.structures.roster import Roster

Entry: TypeAlias = tuple[float, bytes]

# Entries of a full chunk are moved when one is put among them (8 bytes each); more chunks make ranks dearer.
_CHUNK_ENTRIES: Final = 1024
_CHUNK_MOST: Final = 2 * _CHUNK_ENTRIES
_CHUNK_LEAST: Final = _CHUNK_ENTRIES // 4

# What a sorted set and one entry take beyond the member's own bytes, about, in Redis's forms.
_EMPTY_BYTES: Final = 64
_LISTPACK_ENTRY_BYTES: Final = 7
_SKIPLIST_ENTRY_BYTES: Final = 92

# What became of a put.
UNCHANGED: Final = 0
CHANGED: Final = 1
ADDED: Final = 2

_member_of = itemgetter(1)


class ZsetLimits(Protocol):
    """The directives that decide a sorted set's form (the settings object has them)."""

    @property
    def zset_max_listpack_entries(self) -> int: ...
    @property
    def zset_max_listpack_value(self) -> int: ...


class LexBound:
    """One end of a range of members. `infinite` is -1 or 1 for the ends beyond all members, else 0."""

    __slots__ = ("infinite", "is_open", "member")

    def __init__(self, member: bytes, is_open: bool, infinite: int = 0) -> None:
        self.member = member
        self.is_open = is_open
        self.infinite = infinite

    def is_below(self, member: bytes) -> bool:
        """As a lower end: whether the range includes `member`."""
        if self.infinite:
            return self.infinite < 0
        return member > self.member if self.is_open else member >= self.member

    def is_above(self, member: bytes) -> bool:
        """As an upper end: whether the range includes `member`."""
        if self.infinite:
            return self.infinite > 0
        return member < self.member if self.is_open else member <= self.member


def is_empty_lex_range(low: LexBound, high: LexBound) -> bool:
    """Whether no member could be in it."""
    if low.infinite > 0 or high.infinite < 0:
        return True
    if low.infinite or high.infinite:
        return False
    return low.member > high.member or (low.member == high.member and (low.is_open or high.is_open))


class SortedSet:
    """Members with scores, in order."""

    __slots__ = ("_chunks", "_entries", "_last", "_payload_bytes", "_roster", "_tree", "is_small")

    type_name: ClassVar[bytes] = b"zset"

    def __init__(self, is_small: bool = True) -> None:
        self.is_small = is_small
        self._entries: dict[bytes, Entry] = {}
        self._chunks: list[list[Entry]] = []
        self._last: list[Entry] = []
        self._tree: list[int] | None = None
        self._roster: Roster | None = None
        self._payload_bytes = 0

    @staticmethod
    def fitting(count: int, member_bytes: int, limits: ZsetLimits) -> SortedSet:
        """An empty sorted set in the form for about `count` members of this length."""
        return SortedSet(count <= limits.zset_max_listpack_entries and member_bytes <= limits.zset_max_listpack_value)

    @staticmethod
    def from_scores(scores: dict[bytes, float], limits: ZsetLimits | None = None) -> SortedSet:
        """A sorted set made at once; a listpack if the limits are given and allow it."""
        zset = SortedSet(is_small=False)
        longest = max(map(len, scores), default=0)
        if limits is not None:
            zset.is_small = (
                len(scores) <= limits.zset_max_listpack_entries and longest <= limits.zset_max_listpack_value
            )
        if zset.is_small:
            entries = [(score + 0.0, member) for member, score in scores.items()]
        else:
            entries = [(score, member) for member, score in scores.items()]
        zset._entries = dict(zip(scores, entries, strict=True))
        entries.sort()
        zset._chunks = [entries[start : start + _CHUNK_ENTRIES] for start in range(0, len(entries), _CHUNK_ENTRIES)]
        zset._last = [chunk[-1] for chunk in zset._chunks]
        zset._payload_bytes = sum(map(len, scores))
        return zset

    @property
    def encoding(self) -> bytes:
        return b"listpack" if self.is_small else b"skiplist"

    @property
    def size_bytes(self) -> int:
        each = _LISTPACK_ENTRY_BYTES if self.is_small else _SKIPLIST_ENTRY_BYTES
        roster_bytes = 0 if self._roster is None else self._roster.size_bytes
        return _EMPTY_BYTES + each * len(self._entries) + self._payload_bytes + roster_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Entries in order."""
        return chain.from_iterable(self._chunks)

    def __contains__(self, member: bytes) -> bool:
        return member in self._entries

    def copy(self) -> SortedSet:
        twin = SortedSet(self.is_small)
        twin._entries = self._entries.copy()
        twin._chunks = [chunk[:] for chunk in self._chunks]
        twin._last = self._last[:]
        twin._payload_bytes = self._payload_bytes
        return twin

    # ── by member ──────────────────────────────────────────────────────────────────────────────────────

    def score(self, member: bytes) -> float | None:
        entry = self._entries.get(member)
        return None if entry is None else entry[0]

    def scores(self) -> dict[bytes, float]:
        """Scores by member, greatest first, as Redis walks a sorted set to combine it with others."""
        return {member: score for chunk in reversed(self._chunks) for score, member in reversed(chunk)}

    def put(self, member: bytes, score: float, limits: ZsetLimits) -> int:
        """Add the member, or change its score: UNCHANGED, CHANGED or ADDED."""
        entry = self._entries.get(member)
        if entry is None:
            outcome = ADDED
            if self.is_small and (
                len(self._entries) >= limits.zset_max_listpack_entries or len(member) > limits.zset_max_listpack_value
            ):
                self.is_small = False
            self._payload_bytes += len(member)
            if self._roster is not None:
                self._roster.add(member)
        else:
            if entry[0] == score:
                return UNCHANGED
            outcome = CHANGED
            self._take_out(entry)
            member = entry[1]
        if self.is_small:
            score += 0.0
        entry = self._entries[member] = (score, member)
        self._put_in(entry)
        return outcome

    def remove(self, member: bytes) -> bool:
        """Whether it was there."""
        entry = self._entries.pop(member, None)
        if entry is None:
            return False
        self._take_out(entry)
        self._forget(member)
        return True

    def expect(self, count: int, limits: ZsetLimits) -> None:
        """`count` members are about to be added: leave the listpack now if it could not hold them."""
        if count > limits.zset_max_listpack_entries:
            self.is_small = False

    def _forget(self, member: bytes) -> None:
        self._payload_bytes -= len(member)
        if self._roster is not None:
            self._roster.remove(member)

    def _put_in(self, entry: Entry) -> None:
        chunks = self._chunks
        last = self._last
        spot = bisect_left(last, entry)
        if spot == len(last):
            if not spot:
                chunks.append([entry])
                last.append(entry)
                self._tree = None
                return
            spot -= 1
            chunk = chunks[spot]
            chunk.append(entry)
            last[spot] = entry
        else:
            chunk = chunks[spot]
            insort(chunk, entry)
        if len(chunk) > _CHUNK_MOST:
            self._split(spot)
        elif self._tree is not None:
            self._count(spot, 1)

    def _take_out(self, entry: Entry) -> None:
        spot = bisect_left(self._last, entry)
        chunk = self._chunks[spot]
        place = bisect_left(chunk, entry)
        del chunk[place]
        if len(chunk) < _CHUNK_LEAST and (len(self._chunks) > 1 or not chunk):
            self._join(spot)
            return
        if place == len(chunk):
            self._last[spot] = chunk[-1]
        if self._tree is not None:
            self._count(spot, -1)

    def _split(self, spot: int) -> None:
        chunk = self._chunks[spot]
        middle = len(chunk) // 2
        self._chunks.insert(spot + 1, chunk[middle:])
        del chunk[middle:]
        self._last.insert(spot, chunk[-1])
        self._tree = None

    def _join(self, spot: int) -> None:
        """Give a chunk that became short to a neighbour."""
        self._tree = None
        chunk = self._chunks.pop(spot)
        del self._last[spot]
        if not self._chunks:
            if chunk:
                self._chunks.append(chunk)
                self._last.append(chunk[-1])
            return
        if not chunk:
            return
        if spot:
            spot -= 1
            self._chunks[spot] += chunk
            self._last[spot] = chunk[-1]
        else:
            self._chunks[0] = chunk + self._chunks[0]
        if len(self._chunks[spot]) > _CHUNK_MOST:
            self._split(spot)

    # ── by rank ────────────────────────────────────────────────────────────────────────────────────────

    def rank(self, member: bytes) -> int | None:
        """How many members come before it, or None if it is not there."""
        entry = self._entries.get(member)
        if entry is None:
            return None
        spot = bisect_left(self._last, entry)
        return self._before(spot) + bisect_left(self._chunks[spot], entry)

    def slice(self, start: int, stop: int) -> list[Entry]:
        """Entries of ranks start ≤ rank < stop, both already within 0 … len."""
        if start >= stop:
            return []
        chunks = self._chunks
        spot, place = self._locate(start)
        left = stop - start
        found = chunks[spot][place : place + left]
        left -= len(found)
        while left > 0:
            spot += 1
            chunk = chunks[spot]
            if len(chunk) <= left:
                found += chunk
                left -= len(chunk)
            else:
                found += chunk[:left]
                left = 0
        return found

    def remove_slice(self, start: int, stop: int) -> list[Entry]:
        """Remove the entries of these ranks; they are returned, in order."""
        if start >= stop:
            return []
        found = self.slice(start, stop)
        spot, place = self._locate(start)
        left = len(found)
        chunks = self._chunks
        self._tree = None
        if place:
            part = len(chunks[spot]) - place
            del chunks[spot][place : place + left]
            left -= min(part, left)
            spot += 1
        final = spot
        while left > 0 and len(chunks[final]) <= left:
            left -= len(chunks[final])
            final += 1
        if left > 0:
            del chunks[final][:left]
        del chunks[spot:final]
        self._chunks = [chunk for chunk in chunks if chunk]
        self._last = [chunk[-1] for chunk in self._chunks]
        self._mend(max(0, spot - 1))
        entries = self._entries
        for _, member in found:
            del entries[member]
            self._forget(member)
        return found

    def pop(self, count: int, from_greatest: bool) -> list[Entry]:
        """Remove up to `count` entries from one end, in the order they were taken."""
        size = len(self._entries)
        if count == 1 and size:
            entry = self._last[-1] if from_greatest else self._chunks[0][0]
            self.remove(entry[1])
            return [entry]
        count = min(count, size)
        if not from_greatest:
            return self.remove_slice(0, count)
        found = self.remove_slice(size - count, size)
        found.reverse()
        return found

    def random(self, chance: Random) -> Entry:
        """One entry, each as likely as any other. There must be one."""
        spot, place = self._locate(int(chance.random() * len(self._entries)))
        return self._chunks[spot][place]

    def _mend(self, spot: int) -> None:
        """After a removal around `spot`: no chunk there may stay short beside another."""
        for near in (spot + 1, spot):
            if near < len(self._chunks) and len(self._chunks) > 1 and len(self._chunks[near]) < _CHUNK_LEAST:
                self._join(near)

    def _locate(self, rank: int) -> tuple[int, int]:
        """Chunk and place within it of the entry of this rank (which exists)."""
        chunks = self._chunks
        if rank < len(chunks[0]):
            return 0, rank
        before_last = len(self._entries) - len(chunks[-1])
        if rank >= before_last and self._tree is None:
            # The dict may be behind the chunks only inside remove_slice, which has located before.
            return len(chunks) - 1, rank - before_last
        tree = self._tree or self._grow_tree()
        spot = 0
        step = 1 << (len(tree).bit_length() - 1)
        while step:
            reach = spot + step
            if reach <= len(tree) and tree[reach - 1] <= rank:
                rank -= tree[reach - 1]
                spot = reach
            step >>= 1
        return spot, rank

    def _before(self, spot: int) -> int:
        """How many entries lie in the chunks before this one."""
        if not spot:
            return 0
        tree = self._tree or self._grow_tree()
        total = 0
        while spot:
            total += tree[spot - 1]
            spot &= spot - 1
        return total

    def _grow_tree(self) -> list[int]:
        """Fenwick's tree over the lengths of the chunks: node i-1 sums the i & -i chunks that end there."""
        tree = [len(chunk) for chunk in self._chunks]
        for spot in range(1, len(tree) + 1):
            parent = spot + (spot & -spot)
            if parent <= len(tree):
                tree[parent - 1] += tree[spot - 1]
        self._tree = tree
        return tree

    def _count(self, spot: int, change: int) -> None:
        tree = self._tree
        assert tree is not None
        spot += 1
        while spot <= len(tree):
            tree[spot - 1] += change
            spot += spot & -spot

    # ── by score ───────────────────────────────────────────────────────────────────────────────────────

    def count_below(self, score: float, and_equal: bool) -> int:
        """How many entries have a score below this one (or equal to it)."""
        if and_equal:
            if score == inf:
                return len(self._entries)
            score = nextafter(score, inf)
        # A tuple of one sorts before every entry of the same score.
        edge = (score,)
        spot = bisect_left(self._last, edge)
        if spot == len(self._last):
            return len(self._entries)
        return self._before(spot) + bisect_left(self._chunks[spot], edge)

    # ── by member's bytes, where all scores are equal ──────────────────────────────────────────────────

    def lex_ranks(self, low: LexBound, high: LexBound, from_greatest: bool = False) -> tuple[int, int]:
        """The ranks start ≤ rank < stop of the members between the two. Where scores differ, members are not
        in order and Redis answers what it happens upon; small sets then do as its listpacks do."""
        if not self._entries or is_empty_lex_range(low, high):
            return 0, 0
        if not low.is_below(self._last[-1][1]) or not high.is_above(self._chunks[0][0][1]):
            return 0, 0
        if self.is_small:
            return self._lex_walk(low, high, from_greatest)
        if low.infinite:
            start = 0 if low.infinite < 0 else len(self._entries)
        else:
            start = self._count_members(low.member, low.is_open)
        if high.infinite:
            stop = len(self._entries) if high.infinite > 0 else 0
        else:
            stop = self._count_members(high.member, not high.is_open)
        return start, max(start, stop)

    def _count_members(self, member: bytes, and_equal: bool) -> int:
        find = bisect_right if and_equal else bisect_left
        spot = find(self._last, member, key=_member_of)
        if spot == len(self._last):
            return len(self._entries)
        return self._before(spot) + find(self._chunks[spot], member, key=_member_of)

    def _lex_walk(self, low: LexBound, high: LexBound, from_greatest: bool) -> tuple[int, int]:
        members = [member for _, member in self]
        size = len(members)
        if from_greatest:
            stop = size
            while stop and not high.is_above(members[stop - 1]):
                stop -= 1
            start = stop
            while start and low.is_below(members[start - 1]):
                start -= 1
            return start, stop
        start = 0
        while start < size and not low.is_below(members[start]):
            start += 1
        stop = start
        while stop < size and high.is_above(members[stop]):
            stop += 1
        return start, stop

    # ── scanning ───────────────────────────────────────────────────────────────────────────────────────

    def scan(self, cursor: int, count: int) -> tuple[int, Iterable[Entry]]:
        """Entries of one page and the cursor of the next (0: done). A listpack comes in one page."""
        if self.is_small:
            return 0, list(self)
        if self._roster is None:
            self._roster = Roster(self._entries)
        cursor, members = self._roster.scan(cursor, count)
        entries = self._entries
        return cursor, [entries[member] for member in members]
