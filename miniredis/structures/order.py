"""The order of a sorted set: by score, equal scores by the members' bytes.

    columns   [d d d d …] [d d d …] …     scores as bare doubles, each chunk sorted and below the next
    chunks    [m m m m …] [m m m …] …     the members that have them
    tops      [d, d, …]                   the last score of every chunk
    lasts     [m, m, …]                   the last member of every chunk

A place is searched for among the scores, which lie side by side, and only among equal ones by members: what is not
looked at is not fetched into the processor's caches, and that is most of what a change costs. Ranks add up the
lengths of the chunks before, kept in a Fenwick tree that is made when the first rank is asked for and until then
costs nothing.

Law 1: no chunk is empty, and none is longer than _CHUNK_MOST.
Law 2: no score is a NaN.
Law 3: members are kept as the very objects that were given; whoever takes one out gets it back.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain
from math import inf, nextafter
from operator import itemgetter
from typing import Final, TypeAlias

Entry: TypeAlias = tuple[float, bytes]

# What follows a new entry in its chunk is moved (16 bytes an entry); more chunks make ranks dearer.
_CHUNK_ENTRIES: Final = 512
_CHUNK_MOST: Final = 2 * _CHUNK_ENTRIES
_CHUNK_LEAST: Final = _CHUNK_ENTRIES // 4

_score_of = itemgetter(0)
_member_of = itemgetter(1)


class Order:
    """Entries (score, member) in order, each at most once."""

    __slots__ = ("chunks", "columns", "lasts", "size", "tops", "tree")

    def __init__(self) -> None:
        self.chunks: list[list[bytes]] = []
        self.columns: list[array[float]] = []
        self.tops: list[float] = []  # searched with every entry: a float that is there is compared sooner than made
        self.lasts: list[bytes] = []
        self.size = 0
        self.tree: list[int] | None = None

    @staticmethod
    def of(entries: list[Entry]) -> Order:
        """The order of these, which are sorted."""
        order = Order()
        for start in range(0, len(entries), _CHUNK_ENTRIES):
            part = entries[start : start + _CHUNK_ENTRIES]
            order.columns.append(array("d", map(_score_of, part)))
            order.chunks.append(list(map(_member_of, part)))
        order._cap()
        order.size = len(entries)
        return order

    @staticmethod
    def of_columns(scores: list[float], members: list[bytes]) -> Order:
        """The order of a few entries, as many as a chunk may have, which are sorted; it keeps the members' list."""
        assert 0 < len(scores) <= _CHUNK_MOST
        order = Order()
        order.columns.append(array("d", scores))
        order.chunks.append(members)
        order._cap()
        order.size = len(members)
        return order

    def __iter__(self) -> Iterator[Entry]:
        return zip(chain.from_iterable(self.columns), chain.from_iterable(self.chunks), strict=True)

    def copy(self) -> Order:
        twin = Order()
        twin.chunks = [chunk[:] for chunk in self.chunks]
        twin.columns = [column[:] for column in self.columns]
        twin.tops = self.tops[:]
        twin.lasts = self.lasts[:]
        twin.size = self.size
        return twin

    # ── one entry ──────────────────────────────────────────────────────────────────────────────────────

    def put_in(self, score: float, member: bytes) -> None:
        """Add an entry that is not there."""
        tops = self.tops
        self.size += 1
        if tops and score > tops[-1]:  # the score is a time, perhaps
            spot = len(tops)
        else:
            spot = bisect_left(tops, score)
            if spot < len(tops) and tops[spot] == score:
                spot = bisect_left(self.lasts, member, spot, bisect_right(tops, score, spot))
        if spot < len(tops):
            column = self.columns[spot]
            chunk = self.chunks[spot]
            # All scores are equal, perhaps: then only members need to be searched.
            place = 0 if column[0] == score else bisect_left(column, score)
            if column[place] == score:
                after = place + 1
                if after < len(column) and column[after] == score:
                    stop = len(column) if column[-1] == score else bisect_right(column, score, after)
                    place = bisect_left(chunk, member, place, stop)
                elif chunk[place] < member:
                    place = after
            column.insert(place, score)
            chunk.insert(place, member)
        elif spot:
            spot -= 1
            chunk = self.chunks[spot]
            self.columns[spot].append(score)
            chunk.append(member)
            tops[spot] = score
            self.lasts[spot] = member
        else:
            self.chunks.append([member])
            self.columns.append(array("d", (score,)))
            tops.append(score)
            self.lasts.append(member)
            return
        if len(chunk) > _CHUNK_MOST:
            self._split(spot)
        elif self.tree is not None:
            self._count(spot, 1)

    def take_out(self, score: float, member: bytes) -> bytes:
        """Remove an entry that is there; the member as it was kept."""
        spot, place = self._find(score, member)
        column = self.columns[spot]
        chunk = self.chunks[spot]
        self.size -= 1
        held = chunk.pop(place)
        del column[place]
        if len(chunk) < _CHUNK_LEAST and (len(self.chunks) > 1 or not chunk):
            self._join(spot)
            return held
        if place == len(chunk):
            self._cap_again(spot)
        if self.tree is not None:
            self._count(spot, -1)
        return held

    def _find(self, score: float, member: bytes) -> tuple[int, int]:
        """Chunk, and place within it, of an entry that is there."""
        tops = self.tops
        spot = bisect_left(tops, score)
        if tops[spot] == score:
            spot = bisect_left(self.lasts, member, spot, bisect_right(tops, score, spot))
        column = self.columns[spot]
        chunk = self.chunks[spot]
        place = bisect_left(column, score)
        if chunk[place] != member:
            place += 1
            if chunk[place] != member:
                place = bisect_left(chunk, member, place, bisect_right(column, score, place))
        return spot, place

    # ── many entries ───────────────────────────────────────────────────────────────────────────────────
    # The same again without what is rare, which is left to the methods above: a call for each would cost a third more.

    def put_all(self, scores: Iterable[float], members: Iterable[bytes]) -> None:
        """Add many entries that are not there."""
        self.tree = None
        tops, columns, chunks = self.tops, self.columns, self.chunks
        size = 0
        for score, member in zip(scores, members, strict=True):
            if tops and score > tops[-1]:
                spot = len(tops) - 1
                columns[spot].append(score)
                chunk = chunks[spot]
                chunk.append(member)
                tops[spot] = score
                self.lasts[spot] = member
                size += 1
                if len(chunk) > _CHUNK_MOST:
                    self._split(spot)
                continue
            spot = bisect_left(tops, score)
            if spot == len(tops) or tops[spot] == score:
                self.put_in(score, member)
                continue
            column = columns[spot]
            chunk = chunks[spot]
            place = bisect_left(column, score)
            if column[place] == score:
                after = place + 1
                if column[after] == score:
                    place = bisect_left(chunk, member, place, bisect_right(column, score, after))
                elif chunk[place] < member:
                    place = after
            column.insert(place, score)
            chunk.insert(place, member)
            size += 1
            if len(chunk) > _CHUNK_MOST:
                self._split(spot)
        self.size += size

    def move_all(self, members: Iterable[bytes], formers: Iterable[float], scores: Iterable[float]) -> None:
        """Give many members that are there, with these former scores, another score each."""
        self.tree = None
        tops, columns, chunks = self.tops, self.columns, self.chunks
        for member, former, score in zip(members, formers, scores, strict=True):
            spot = bisect_left(tops, former)
            chunk = chunks[spot]
            if tops[spot] == former or len(chunk) <= _CHUNK_LEAST:
                self.put_in(score, self.take_out(former, member))
                continue
            column = columns[spot]
            place = bisect_left(column, former)
            if chunk[place] != member:
                place += 1
                if chunk[place] != member:
                    place = bisect_left(chunk, member, place, bisect_right(column, former, place))
            held = chunk.pop(place)
            del column[place]
            spot = bisect_left(tops, score)
            if spot == len(tops) or tops[spot] == score:
                self.size -= 1
                self.put_in(score, held)
                continue
            column = columns[spot]
            chunk = chunks[spot]
            place = bisect_left(column, score)
            if column[place] == score:
                after = place + 1
                if column[after] == score:
                    place = bisect_left(chunk, held, place, bisect_right(column, score, after))
                elif chunk[place] < held:
                    place = after
            column.insert(place, score)
            chunk.insert(place, held)
            if len(chunk) > _CHUNK_MOST:
                self._split(spot)

    def _split(self, spot: int) -> None:
        column = self.columns[spot]
        chunk = self.chunks[spot]
        # Scores that only grow, as those of times and counters do, leave fuller chunks behind.
        middle = len(chunk) * 3 // 4 if spot == len(self.tops) - 1 else len(chunk) // 2
        self.columns.insert(spot + 1, column[middle:])
        self.chunks.insert(spot + 1, chunk[middle:])
        del column[middle:]
        del chunk[middle:]
        self.tops.insert(spot, column[-1])
        self.lasts.insert(spot, chunk[-1])
        self.tree = None

    def _join(self, spot: int) -> None:
        """Give a chunk that became short to a neighbour."""
        self.tree = None
        column = self.columns.pop(spot)
        chunk = self.chunks.pop(spot)
        del self.tops[spot]
        del self.lasts[spot]
        if not chunk:
            return
        if spot:
            spot -= 1
            self.columns[spot] += column
            self.chunks[spot] += chunk
            self.tops[spot] = column[-1]
            self.lasts[spot] = chunk[-1]
        elif self.chunks:
            self.columns[0] = column + self.columns[0]
            self.chunks[0] = chunk + self.chunks[0]
        else:
            self.columns.append(column)
            self.chunks.append(chunk)
            self._cap()
        if len(self.chunks[spot]) > _CHUNK_MOST:
            self._split(spot)

    def _cap(self) -> None:
        self.tops = [column[-1] for column in self.columns]
        self.lasts = [chunk[-1] for chunk in self.chunks]

    # ── by rank ────────────────────────────────────────────────────────────────────────────────────────

    def rank(self, score: float, member: bytes) -> int:
        """How many entries come before this one, which is there."""
        spot, place = self._find(score, member)
        return self._before(spot) + place

    def at(self, rank: int) -> Entry:
        spot, place = self._locate(rank)
        return self.columns[spot][place], self.chunks[spot][place]

    def members(self, start: int, stop: int) -> list[bytes]:
        """Members of ranks start ≤ rank < stop, both within 0 … size."""
        if start >= stop:
            return []
        chunks = self.chunks
        spot, place = self._locate(start)
        left = stop - start
        found = chunks[spot][place : place + left]
        left -= len(found)
        while left > 0:
            spot += 1
            part = chunks[spot]
            found += part if len(part) <= left else part[:left]
            left -= len(part)
        return found

    def part(self, start: int, stop: int) -> tuple[list[float], list[bytes]]:
        """Scores and members of ranks start ≤ rank < stop, both within 0 … size."""
        if start >= stop:
            return [], []
        columns, chunks = self.columns, self.chunks
        spot, place = self._locate(start)
        left = stop - start
        scores = columns[spot][place : place + left].tolist()
        members = chunks[spot][place : place + left]
        left -= len(members)
        while left > 0:
            spot += 1
            column, chunk = columns[spot], chunks[spot]
            scores += column if len(chunk) <= left else column[:left]
            members += chunk if len(chunk) <= left else chunk[:left]
            left -= len(chunk)
        return scores, members

    def remove_slice(self, start: int, stop: int) -> None:
        """Remove the entries of these ranks."""
        spot, place = self._locate(start)
        left = stop - start
        columns, chunks = self.columns, self.chunks
        self.tree = None
        self.size -= left
        if place:
            part = min(len(chunks[spot]) - place, left)
            del columns[spot][place : place + left]
            del chunks[spot][place : place + left]
            left -= part
            self._cap_again(spot)
            spot += 1
        final = spot
        while left > 0 and len(chunks[final]) <= left:
            left -= len(chunks[final])
            final += 1
        if left > 0:
            del columns[final][:left]
            del chunks[final][:left]
        self._drop(spot, final)
        self._mend(max(0, spot - 1))

    def _drop(self, spot: int, final: int) -> None:
        """Whole chunks."""
        del self.columns[spot:final]
        del self.chunks[spot:final]
        del self.tops[spot:final]
        del self.lasts[spot:final]

    def _cap_again(self, spot: int) -> None:
        self.tops[spot] = self.columns[spot][-1]
        self.lasts[spot] = self.chunks[spot][-1]

    def _mend(self, spot: int) -> None:
        """After a removal around `spot`: no chunk there may stay short beside another."""
        for near in (spot + 1, spot):
            if near < len(self.chunks) and len(self.chunks) > 1 and len(self.chunks[near]) < _CHUNK_LEAST:
                self._join(near)

    def pop_end(self, from_greatest: bool) -> Entry:
        """Remove the least or the greatest entry. There must be one."""
        spot = place = -1 if from_greatest else 0
        chunk = self.chunks[spot]
        entry = (self.columns[spot].pop(place), chunk.pop(place))
        self.size -= 1
        if not chunk:
            spot %= len(self.chunks)
            self._drop(spot, spot + 1)
            self.tree = None
            return entry
        if from_greatest:
            self._cap_again(spot)
        if self.tree is not None:
            self._count(spot % len(self.chunks), -1)
        return entry

    def _locate(self, rank: int) -> tuple[int, int]:
        """Chunk and place within it of the entry of this rank (which exists)."""
        chunks = self.chunks
        if rank < len(chunks[0]):
            return 0, rank
        tree = self.tree
        if tree is None:
            before_last = self.size - len(chunks[-1])
            if rank >= before_last:
                return len(chunks) - 1, rank - before_last
            tree = self.grow_tree()
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
        tree = self.tree or self.grow_tree()
        total = 0
        while spot:
            total += tree[spot - 1]
            spot &= spot - 1
        return total

    def grow_tree(self) -> list[int]:
        """Fenwick's tree over the lengths of the chunks: node i-1 sums the i & -i chunks that end there."""
        tree = [len(chunk) for chunk in self.chunks]
        for spot in range(1, len(tree) + 1):
            parent = spot + (spot & -spot)
            if parent <= len(tree):
                tree[parent - 1] += tree[spot - 1]
        self.tree = tree
        return tree

    def _count(self, spot: int, change: int) -> None:
        tree = self.tree
        assert tree is not None
        spot += 1
        while spot <= len(tree):
            tree[spot - 1] += change
            spot += spot & -spot

    # ── by score, by member's bytes ────────────────────────────────────────────────────────────────────

    def count_below(self, score: float, and_equal: bool) -> int:
        """How many entries have a score below this one (or equal to it)."""
        if and_equal:
            if score == inf:
                return self.size
            score = nextafter(score, inf)
        spot = bisect_left(self.tops, score)
        if spot == len(self.tops):
            return self.size
        return self._before(spot) + bisect_left(self.columns[spot], score)

    def count_members(self, member: bytes, and_equal: bool) -> int:
        """How many members are below this one (or equal to it), where all scores are equal."""
        find = bisect_right if and_equal else bisect_left
        spot = find(self.lasts, member)
        if spot == len(self.lasts):
            return self.size
        return self._before(spot) + find(self.chunks[spot], member)
