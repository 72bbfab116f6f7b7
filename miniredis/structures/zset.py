"""Sorted sets: members in the order of their scores, equal scores in the order of their bytes.

    by member   dict    member ─► score          a Spread of them (spread.py) once it is large
    in order    Order   columns of scores and members (order.py)
    added       lists   members that the order does not have yet, and the scores they came with
    moved       dicts   member ─► the score under which the order, or `added`, still has it; and the one it has now

A small one that nobody has changed for a while rests (keyspace/resting.py says when): members and scores in order, in
one string of bytes, 11 bytes an entry beside the member; msgpack's, as it is packed and unpacked in C. Reading looks
into the packed bytes and leaves them, changing opens the set.

Law 1: the dicts are the truth. The order, the roster and the count of bytes follow when somebody asks for them, or
       after _LAG_MOST changes: putting many members in their places at one go finds code and data in the
       processor's caches, and costs half.
Law 2: who removes lets the order catch up first: `added` and `moved` are all in the dicts.
Law 3: an object that is in the order is the one that is the dict's key, so a member is stored once.
Law 4: whether the set is a `listpack` or a `skiplist` to OBJECT ENCODING is decided as Redis does; there is no
       way back. A listpack cannot hold a negative zero: it becomes zero.
Law 5: no score is a NaN; who adds up scores refuses or replaces it before.
Law 6: nothing takes longer the more members there are: a dict that would grow beyond _WHOLE_MOST, and be copied for
       that while everybody waits, is dealt out once; `dissolve` lets go of a large set in pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from random import Random
from typing import ClassVar, Final, Protocol

from msgpack import packb, unpackb

from miniredis.structures.order import Entry, Order
from miniredis.structures.roster import Roster
from miniredis.structures.spread import PARTS, WHOLE_MOST, Spread, dissolve_whole

__all__ = ["ADDED", "CHANGED", "UNCHANGED", "Entry", "LexBound", "SortedSet", "ZsetLimits", "is_empty_lex_range"]

# Additions, and changes, that the order may be behind: to catch up with them takes half a millisecond.
_LAG_MOST: Final = 256
# Above this a tree of ranks costs more to keep up than to make anew.
_FEW: Final = 16

# Before the additions the order is behind bring the one dict to where it would grow, it is dealt out.
_WHOLE_MOST: Final = WHOLE_MOST - _LAG_MOST

# A larger listpack does not rest, whatever the directives say: to unpack it for one look would take too long.
_REST_MOST: Final = 512

# What a sorted set and one entry take beyond the member's own bytes, about, in Redis's forms.
_EMPTY_BYTES: Final = 64
_LISTPACK_ENTRY_BYTES: Final = 7
_SKIPLIST_ENTRY_BYTES: Final = 92

# What became of a put.
UNCHANGED: Final = 0
ADDED: Final = 1
CHANGED: Final = 2


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

    __slots__ = (
        "_added", "_added_scores", "_count", "_moved", "_moved_to", "_order", "_packed", "_payload_bytes", "_roster",
        "_scores", "is_small", "may_rest",
    )  # fmt: skip

    type_name: ClassVar[bytes] = b"zset"

    def __init__(self, is_small: bool = True) -> None:
        self.is_small = is_small
        self.may_rest = True  # open, and not yet on the list of those to be packed
        self._packed = b""  # members and scores in turn, at rest; then the following are not there
        self._count = 0  # members, at rest
        self._payload_bytes = 0
        self._begin()

    def _begin(self) -> None:
        self._scores: dict[bytes, float] | Spread[float] = {}
        self._added: list[bytes] = []
        self._added_scores: list[float] = []
        self._moved: dict[bytes, float] = {}
        self._moved_to: dict[bytes, float] = {}
        self._order = Order()
        self._roster: Roster | None = None

    @staticmethod
    def fitting(count: int, member_bytes: int, limits: ZsetLimits) -> SortedSet:
        """An empty sorted set in the form for about `count` members of this length."""
        return SortedSet(count <= limits.zset_max_listpack_entries and member_bytes <= limits.zset_max_listpack_value)

    @staticmethod
    def from_scores(scores: dict[bytes, float], limits: ZsetLimits | None = None) -> SortedSet:
        """A sorted set made at once, which keeps the dict; a listpack if the limits are given and allow it."""
        zset = SortedSet(is_small=False)
        longest = max(map(len, scores), default=0)
        if limits is not None:
            zset.is_small = (
                len(scores) <= limits.zset_max_listpack_entries and longest <= limits.zset_max_listpack_value
            )
        if zset.is_small:
            scores = {member: score + 0.0 for member, score in scores.items()}
        zset._scores = scores
        zset._order = Order.of(sorted(zip(scores.values(), scores, strict=True)))
        zset._payload_bytes = sum(map(len, scores))
        if len(scores) > _WHOLE_MOST:
            zset._scores = Spread(scores.items())
        return zset

    @property
    def encoding(self) -> bytes:
        return b"listpack" if self.is_small else b"skiplist"

    @property
    def size_bytes(self) -> int:
        if self._packed:
            return _EMPTY_BYTES + len(self._packed)
        each = _LISTPACK_ENTRY_BYTES if self.is_small else _SKIPLIST_ENTRY_BYTES
        roster_bytes = 0 if self._roster is None else self._roster.size_bytes
        if type(self._scores) is Spread:
            roster_bytes = self._scores.size_bytes
        return _EMPTY_BYTES + each * self._settled().size + self._payload_bytes + roster_bytes

    @property
    def counted_bytes(self) -> int:
        """For `used_memory`: by what it holds alone, whether packed or settled, and whatever reads keep on the side."""
        if self._packed:
            return _EMPTY_BYTES + self._count * _LISTPACK_ENTRY_BYTES + self._payload_bytes
        each = _LISTPACK_ENTRY_BYTES if self.is_small else _SKIPLIST_ENTRY_BYTES
        return _EMPTY_BYTES + each * len(self) + self._payload_bytes + sum(map(len, self._added))

    def __len__(self) -> int:
        if self._packed:
            return self._count
        scores = self._scores
        return len(scores) if type(scores) is dict else len(scores) + len(self._added)  # a Spread is told later

    def __iter__(self) -> Iterator[Entry]:
        """Entries in order."""
        return iter(self._settled())

    def __contains__(self, member: bytes) -> bool:
        return self.score(member) is not None

    def copy(self) -> SortedSet:
        twin = SortedSet(self.is_small)
        if self._packed:
            twin._payload_bytes = self._payload_bytes
            twin._rest(self._packed, self._count)
            return twin
        twin._order = self._settled().copy()
        twin._scores = self._scores.copy()
        twin._payload_bytes = self._payload_bytes
        return twin

    def dissolve(self, most: int) -> bool:
        """Let go of about `most` members of a set that is in no table any more; whether some are left."""
        if self._packed:
            return False
        order = self._order
        self._roster = order.tree = None
        self._added.clear()
        self._added_scores.clear()
        self._moved.clear()
        self._moved_to.clear()
        left = most
        while left > 0 and order.chunks:
            # Only the dict's hold on a member is left then: a fraction of the work.
            left -= len(order.chunks.pop()) // 4
            order.columns.pop()
            order.lasts.pop()
        scores = self._scores
        if left <= 0:
            return True
        return dissolve_whole(scores, left) if isinstance(scores, dict) else scores.dissolve(left)

    # ── resting ────────────────────────────────────────────────────────────────────────────────────────

    def rest(self) -> None:
        """Pack, if this is a small set with anything in it."""
        if self.is_small and not self._packed and type(self._scores) is dict and 0 < len(self._scores) <= _REST_MOST:
            order = self._settled()
            count = order.size
            scores, members = order.part(0, count)
            pairs = zip(members, scores, strict=True)
            self._rest(packb(list(chain.from_iterable(pairs))), count)

    def _rest(self, packed: bytes, count: int) -> None:
        self._packed = packed
        self._count = count
        self.may_rest = True
        del self._added, self._added_scores, self._moved, self._moved_to
        del self._order, self._roster, self._scores

    def _open(self) -> None:
        """Unpack, to be changed."""
        items = unpackb(self._packed)
        self._packed = b""
        self._begin()
        self._scores = dict(zip(items[::2], items[1::2], strict=True))
        self._order = Order.of_columns(items[1::2], items[::2])

    # ── by member ──────────────────────────────────────────────────────────────────────────────────────

    def score(self, member: bytes) -> float | None:
        if self._packed:
            items = unpackb(self._packed)
            found: float | None = dict(zip(items[::2], items[1::2], strict=True)).get(member)
            return found
        return self._scores.get(member)

    def scores(self) -> dict[bytes, float]:
        """Scores by member, greatest first, as Redis walks a sorted set to combine it with others."""
        order = self._settled()
        scores, members = order.part(0, order.size)
        scores.reverse()
        members.reverse()
        return dict(zip(members, scores, strict=True))

    def put(self, member: bytes, score: float, limits: ZsetLimits) -> int:
        """Add the member, or change its score: UNCHANGED, ADDED or CHANGED."""
        if self._packed:
            self._open()
        if self.is_small:
            if (
                len(self) >= limits.zset_max_listpack_entries or len(member) > limits.zset_max_listpack_value
            ) and self.score(member) is None:
                self.is_small = False
            else:
                score += 0.0
        return self.put_large(member, score)

    def put_large(self, member: bytes, score: float) -> int:
        """The same where the set is no listpack."""
        scores = self._scores
        if type(scores) is Spread:
            scores = scores.parts[hash(member) % PARTS]
        old = scores.get(member)
        if old == score:
            return UNCHANGED
        scores[member] = score
        if old is None:
            added = self._added
            added.append(member)
            self._added_scores.append(score)
            if len(added) >= _LAG_MOST:
                self._settle()
            return ADDED
        moved = self._moved
        moved.setdefault(member, old)
        self._moved_to[member] = score
        if len(moved) >= _LAG_MOST:
            self._settle()
        return CHANGED

    def remove(self, member: bytes) -> bool:
        """Whether it was there."""
        if self._packed:
            self._open()
        order = self._settled()
        score = self._scores.pop(member, None)
        if score is None:
            return False
        order.take_out(score, member)
        self._forget(member)
        return True

    def expect(self, count: int, limits: ZsetLimits) -> None:
        """`count` members are about to be added: leave the listpack now if it could not hold them."""
        if count > limits.zset_max_listpack_entries:
            self.leave_listpack()

    def leave_listpack(self) -> None:
        """Become a skiplist, for good."""
        if self._packed:
            self._open()
        self.is_small = False

    def _forget(self, member: bytes) -> None:
        self._payload_bytes -= len(member)
        if self._roster is not None:
            self._roster.remove(member)

    def _settled(self) -> Order:
        """The order, up with the dicts; of a set at rest only to be read."""
        if self._packed:
            items = unpackb(self._packed)
            return Order.of_columns(items[1::2], items[::2])
        if self._added or self._moved:
            self._settle()
        return self._order

    def _settle(self) -> None:
        order = self._order
        added, moved = self._added, self._moved
        if added:
            came_with = self._added_scores
            self._added, self._added_scores = [], []
            if len(added) > _FEW:
                order.put_all(came_with, added)
            else:
                for score, member in zip(came_with, added, strict=True):
                    order.put_in(score, member)
            self._payload_bytes += sum(map(len, added))
            if type(self._scores) is Spread:
                self._scores.tell_added(added)
            elif len(self._scores) > _WHOLE_MOST:
                self._scores = Spread(self._scores.items())
                self._roster = None
            elif self._roster is not None:
                for member in added:
                    self._roster.add(member)
        if moved:
            scores = self._moved_to
            self._moved, self._moved_to = {}, {}
            if len(moved) > _FEW:
                order.move_all(moved, moved.values(), scores.values())
            else:
                for member, former in moved.items():
                    order.put_in(scores[member], order.take_out(former, member))

    # ── by rank ────────────────────────────────────────────────────────────────────────────────────────

    def rank(self, member: bytes) -> int | None:
        """How many members come before it, or None if it is not there."""
        score = self.score(member)
        return None if score is None else self._settled().rank(score, member)

    def slice(self, start: int, stop: int) -> list[Entry]:
        """Entries of ranks start ≤ rank < stop, both already within 0 … len."""
        return list(zip(*self._settled().part(start, stop), strict=True))

    def pairs(self, start: int, stop: int) -> list[tuple[bytes, float]]:
        """Members with their scores, of ranks start ≤ rank < stop, both already within 0 … len."""
        scores, members = self._settled().part(start, stop)
        return list(zip(members, scores, strict=True))

    def members(self, start: int, stop: int) -> list[bytes]:
        """Members of ranks start ≤ rank < stop, both already within 0 … len."""
        return self._settled().members(start, stop)

    def remove_slice(self, start: int, stop: int) -> list[Entry]:
        """Remove the entries of these ranks; they are returned, in order."""
        if start >= stop:
            return []
        if self._packed:
            self._open()
        found = self.slice(start, stop)
        self._order.remove_slice(start, stop)
        for _, member in found:
            del self._scores[member]
            self._forget(member)
        return found

    def pop(self, count: int, from_greatest: bool) -> list[Entry]:
        """Remove up to `count` entries from one end, in the order they were taken."""
        if self._packed:
            self._open()
        size = len(self)
        if count == 1 and size:
            return [self.pop_one(from_greatest)]
        count = min(count, size)
        if not from_greatest:
            return self.remove_slice(0, count)
        found = self.remove_slice(size - count, size)
        found.reverse()
        return found

    def pop_one(self, from_greatest: bool) -> Entry:
        """Remove the entry at one end. There must be one."""
        if self._packed:
            self._open()
        if self._added or self._moved:
            self._settle()
        entry = self._order.pop_end(from_greatest)
        member = entry[1]
        del self._scores[member]
        self._payload_bytes -= len(member)
        if self._roster is not None:
            self._roster.remove(member)
        return entry

    def random(self, chance: Random) -> Entry:
        """One entry, each as likely as any other. There must be one."""
        order = self._settled()
        return order.at(int(chance.random() * order.size))

    # ── by score ───────────────────────────────────────────────────────────────────────────────────────

    def count_below(self, score: float, and_equal: bool) -> int:
        """How many entries have a score below this one (or equal to it)."""
        return self._settled().count_below(score, and_equal)

    # ── by member's bytes, where all scores are equal ──────────────────────────────────────────────────

    def lex_ranks(self, low: LexBound, high: LexBound, from_greatest: bool = False) -> tuple[int, int]:
        """The ranks start ≤ rank < stop of the members between the two. Where scores differ, members are not
        in order and Redis answers what it happens upon; small sets then do as its listpacks do."""
        order = self._settled()
        size = order.size
        if not size or is_empty_lex_range(low, high):
            return 0, 0
        if not low.is_below(order.lasts[-1]) or not high.is_above(order.chunks[0][0]):
            return 0, 0
        if self.is_small:
            return _lex_walk(order.members(0, size), low, high, from_greatest)
        if low.infinite:
            start = 0 if low.infinite < 0 else size
        else:
            start = order.count_members(low.member, low.is_open)
        if high.infinite:
            stop = size if high.infinite > 0 else 0
        else:
            stop = order.count_members(high.member, not high.is_open)
        return start, max(start, stop)

    # ── scanning ───────────────────────────────────────────────────────────────────────────────────────

    def scan(self, cursor: int, count: int) -> tuple[int, Iterable[Entry]]:
        """Entries of one page and the cursor of the next (0: done). A listpack comes in one page."""
        if self.is_small:
            return 0, list(self)
        self._settled()
        if type(self._scores) is Spread:
            cursor, members = self._scores.scan(cursor, count)
        else:
            if self._roster is None:
                self._roster = Roster(self._scores)
            cursor, members = self._roster.scan(cursor, count)
        page: list[Entry] = []
        for member in members:
            score = self.score(member)
            assert score is not None
            page.append((score, member))
        return cursor, page


def _lex_walk(members: list[bytes], low: LexBound, high: LexBound, from_greatest: bool) -> tuple[int, int]:
    """The first run of members between the two, from one end or the other."""
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
