"""Ranges of sorted sets: by rank, by score, by member; read, counted, stored and removed.

Every range becomes ranks start ≤ rank < stop first; from there on reading, counting and removing are the same.
"""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import clipped
from miniredis.commands.zset_algebra import store
from miniredis.commands.zsets import changed
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import DENYOOM, FAST, READONLY, WRITE, command
from miniredis.structures.zset import LexBound, SortedSet
from protocol.resp.numbers import parse_bound
from protocol.resp.values import Failure, Pairs, Reply

NOT_A_SCORE_RANGE: Final = "ERR min or max is not a float"
NOT_A_LEX_RANGE: Final = "ERR min or max not valid string range item"

_READING: Final = "O(log(N)+M) for M members returned"
_REMOVING: Final = "O(log(N)+M) for M members removed"

# What a range is measured in.
_ANY: Final = 0
_RANK: Final = 1
_SCORE: Final = 2
_LEX: Final = 3


class ScoreRange:
    """Scores from `low` to `high`, each end open or closed."""

    __slots__ = ("high", "is_high_open", "is_low_open", "low")

    def __init__(self, low: bytes, high: bytes) -> None:
        self.low, self.is_low_open = _score_bound(low)
        self.high, self.is_high_open = _score_bound(high)

    def ranks(self, zset: SortedSet) -> tuple[int, int]:
        start = zset.count_below(self.low, and_equal=self.is_low_open)
        return start, max(start, zset.count_below(self.high, and_equal=not self.is_high_open))


class LexRange:
    """Members from `low` to `high`, each end open, closed or infinite."""

    __slots__ = ("high", "low")

    def __init__(self, low: bytes, high: bytes) -> None:
        self.low = _lex_bound(low)
        self.high = _lex_bound(high)


def _score_bound(text: bytes) -> tuple[float, bool]:
    is_open = text.startswith(b"(")
    try:
        return parse_bound(text[1:] if is_open else text), is_open
    except ValueError:
        raise Failure(NOT_A_SCORE_RANGE) from None


def _lex_bound(text: bytes) -> LexBound:
    kind = text[:1]
    if kind == b"[" or kind == b"(":
        return LexBound(text[1:], kind == b"(")
    if kind in (b"-", b"+") and text[1:2] in (b"", b"\0"):
        return LexBound(b"", True, 1 if kind == b"+" else -1)
    raise Failure(NOT_A_LEX_RANGE)


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────


@command("ZRANGE key start stop sortby=[BYSCORE | BYLEX] @6.2.0 [REV] @6.2.0 "
         "[LIMIT offset:integer count:integer] @6.2.0 [WITHSCORES]", READONLY, since="1.2.0", keys="RO access",
         complexity=_READING,
         history=(("6.2.0", "Has REV, BYSCORE, BYLEX and LIMIT."),))  # fmt: skip
def zrange(call: Call) -> Reply:
    """Return a range of a sorted set, by rank, score or member."""
    return _Range(call, 1, _ANY, None).reply()


@command("ZREVRANGE key start:integer stop:integer [WITHSCORES]", READONLY, since="1.2.0", keys="RO access",
         complexity=_READING,
         deprecated=("6.2.0", "`ZRANGE` with the `REV` argument"))  # fmt: skip
def zrevrange(call: Call) -> Reply:
    """Return a range of a sorted set by rank, greatest first."""
    return _Range(call, 1, _RANK, True).reply()


@command("ZRANGEBYSCORE key min:double max:double [WITHSCORES] @2.0.0 [LIMIT offset:integer count:integer]", READONLY,
         since="1.0.5", keys="RO access", complexity=_READING,
         history=(("2.0.0", "Has WITHSCORES."),),
         deprecated=("6.2.0", "`ZRANGE` with the `BYSCORE` argument"))  # fmt: skip
def zrangebyscore(call: Call) -> Reply:
    """Return the members whose scores are in a range."""
    return _Range(call, 1, _SCORE, False).reply()


@command("ZREVRANGEBYSCORE key max:double min:double [WITHSCORES] [LIMIT offset:integer count:integer]", READONLY,
         since="2.2.0", keys="RO access", complexity=_READING,
         history=(("2.1.6", "The ends may be open."),),
         deprecated=("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments"))  # fmt: skip
def zrevrangebyscore(call: Call) -> Reply:
    """Return the members whose scores are in a range, greatest first."""
    return _Range(call, 1, _SCORE, True).reply()


@command("ZRANGEBYLEX key min max [LIMIT offset:integer count:integer]", READONLY, since="2.8.9", keys="RO access",
         complexity=_READING,
         deprecated=("6.2.0", "`ZRANGE` with the `BYLEX` argument"))  # fmt: skip
def zrangebylex(call: Call) -> Reply:
    """Return the members between two, where all scores are equal."""
    return _Range(call, 1, _LEX, False).reply()


@command("ZREVRANGEBYLEX key max min [LIMIT offset:integer count:integer]", READONLY, since="2.8.9", keys="RO access",
         complexity=_READING,
         deprecated=("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments"))  # fmt: skip
def zrevrangebylex(call: Call) -> Reply:
    """Return the members between two, where all scores are equal, greatest first."""
    return _Range(call, 1, _LEX, True).reply()


@command("ZRANGESTORE dst:key src:key min max sortby=[BYSCORE | BYLEX] [REV] [LIMIT offset:integer count:integer]",
         WRITE | DENYOOM, since="6.2.0", keys="OW update | RO access",
         complexity="O(log(N)+M) for M members stored")  # fmt: skip
def zrangestore(call: Call) -> Reply:
    """Store a range of a sorted set as another sorted set."""
    return store(call, call.argv[1], _Range(call, 2, _ANY, None, is_store=True).scores(), b"zrangestore")


class _Range:
    """What one ZRANGE of whatever name asks for. Words are read in the order in which Redis finds fault with them."""

    __slots__ = ("call", "is_reverse", "kind", "least", "limit", "most", "offset", "source", "with_scores")

    def __init__(self, call: Call, at: int, kind: int, is_reverse: bool | None, is_store: bool = False) -> None:
        self.call = call
        self.source = call.argv[at]
        self.kind = kind
        self.is_reverse = bool(is_reverse)
        self.with_scores = False
        self.offset = 0
        self.limit = -1
        self._read_options(at + 3, may_reverse=is_reverse is None, is_store=is_store)
        if self.limit != -1 and self.kind == _RANK:
            raise Failure("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
        if self.with_scores and self.kind == _LEX:
            raise Failure("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
        # By score and by member a reversed range is given greatest end first.
        swap = self.is_reverse and self.kind != _RANK
        self.least = at + 2 if swap else at + 1
        self.most = at + 1 if swap else at + 2

    def _read_options(self, at: int, may_reverse: bool, is_store: bool) -> None:
        call = self.call
        argv = call.argv
        while at < len(argv):
            option = call.option(at)
            if option == b"WITHSCORES" and not is_store:
                self.with_scores = True
            elif option == b"LIMIT" and at + 2 < len(argv):
                self.offset = call.integer(at + 1)
                self.limit = call.integer(at + 2)
                at += 2
            elif option == b"REV" and may_reverse and not self.is_reverse:
                self.is_reverse = True
            elif option == b"BYLEX" and self.kind == _ANY:
                self.kind = _LEX
            elif option == b"BYSCORE" and self.kind == _ANY:
                self.kind = _SCORE
            else:
                raise Failure(SYNTAX_ERROR)
            at += 1
        if self.kind == _ANY:
            self.kind = _RANK

    def reply(self) -> Reply:
        zset, start, stop = self.ranks()
        if zset is None or start >= stop:
            return []
        if self.with_scores:
            pairs = zset.pairs(start, stop)
            return Pairs(pairs[::-1] if self.is_reverse else pairs)
        members = zset.members(start, stop)
        return members[::-1] if self.is_reverse else members

    def scores(self) -> dict[bytes, float]:
        """Scores by member, for storing."""
        zset, start, stop = self.ranks()
        if zset is None or start >= stop:
            return {}
        return dict(zset.pairs(start, stop))

    def ranks(self) -> tuple[SortedSet | None, int, int]:
        """The sorted set, and from its least entry on, which ranks start ≤ rank < stop are asked for."""
        call = self.call
        if self.kind == _RANK:
            first, final = call.integer(self.least), call.integer(self.most)
            zset = call.db.typed(self.source, SortedSet)
            if zset is None:
                return None, 0, 0
            size = len(zset)
            start, stop = clipped(first, final, size)
            return (zset, size - stop, size - start) if self.is_reverse else (zset, start, stop)
        low, high = call.argv[self.least], call.argv[self.most]
        if self.kind == _SCORE:
            scores = ScoreRange(low, high)
            zset = call.db.typed(self.source, SortedSet)
            if zset is None:
                return None, 0, 0
            start, stop = scores.ranks(zset)
        else:
            lex = LexRange(low, high)
            zset = call.db.typed(self.source, SortedSet)
            if zset is None:
                return None, 0, 0
            start, stop = zset.lex_ranks(lex.low, lex.high, self.is_reverse)
        return zset, *self._limited(zset.is_small, start, stop)

    def _limited(self, is_small: bool, start: int, stop: int) -> tuple[int, int]:
        """What LIMIT leaves of the range. A negative offset finds nothing in a listpack; in a skip list Redis
        counts it from the other end of the range, and so do we."""
        offset, limit = self.offset, self.limit
        if offset < 0:
            if is_small or start >= stop:
                return 0, 0
            offset += stop - start
            if offset < 0:
                return 0, 0
        if self.is_reverse:
            stop -= offset
            if limit >= 0:
                start = max(start, stop - limit)
        else:
            start += offset
            if limit >= 0:
                stop = min(stop, start + limit)
        return start, stop


# ── counting ───────────────────────────────────────────────────────────────────────────────────────────


@command("ZCOUNT key min:double max:double", READONLY | FAST, since="2.0.0", keys="RO access", complexity="O(log(N))")
def zcount(call: Call) -> Reply:
    """Count the members whose scores are in a range."""
    scores = ScoreRange(call.argv[2], call.argv[3])
    zset = call.db.typed(call.argv[1], SortedSet)
    if zset is None:
        return 0
    start, stop = scores.ranks(zset)
    return stop - start


@command("ZLEXCOUNT key min max", READONLY | FAST, since="2.8.9", keys="RO access", complexity="O(log(N))")
def zlexcount(call: Call) -> Reply:
    """Count the members between two, where all scores are equal."""
    lex = LexRange(call.argv[2], call.argv[3])
    zset = call.db.typed(call.argv[1], SortedSet)
    if zset is None:
        return 0
    start, stop = zset.lex_ranks(lex.low, lex.high)
    return stop - start


# ── removing ───────────────────────────────────────────────────────────────────────────────────────────


@command("ZREMRANGEBYRANK key start:integer stop:integer", WRITE, since="2.0.0", keys="RW delete",
         complexity=_REMOVING)  # fmt: skip
def zremrangebyrank(call: Call) -> Reply:
    """Remove the members whose ranks are in a range."""
    first, final = call.integer(2), call.integer(3)
    zset = call.db.typed(call.argv[1], SortedSet, write=True)
    if zset is None:
        return 0
    start, stop = clipped(first, final, len(zset))
    return _remove(call, zset, start, stop, b"zremrangebyrank")


@command("ZREMRANGEBYSCORE key min:double max:double", WRITE, since="1.2.0", keys="RW delete",
         complexity=_REMOVING)  # fmt: skip
def zremrangebyscore(call: Call) -> Reply:
    """Remove the members whose scores are in a range."""
    scores = ScoreRange(call.argv[2], call.argv[3])
    zset = call.db.typed(call.argv[1], SortedSet, write=True)
    if zset is None:
        return 0
    start, stop = scores.ranks(zset)
    return _remove(call, zset, start, stop, b"zremrangebyscore")


@command("ZREMRANGEBYLEX key min max", WRITE, since="2.8.9", keys="RW delete",
         complexity=_REMOVING)  # fmt: skip
def zremrangebylex(call: Call) -> Reply:
    """Remove the members between two, where all scores are equal."""
    lex = LexRange(call.argv[2], call.argv[3])
    zset = call.db.typed(call.argv[1], SortedSet, write=True)
    if zset is None:
        return 0
    start, stop = zset.lex_ranks(lex.low, lex.high)
    return _remove(call, zset, start, stop, b"zremrangebylex")


def _remove(call: Call, zset: SortedSet, start: int, stop: int, event: bytes) -> int:
    key = call.argv[1]
    removed = len(zset.remove_slice(start, stop))
    if removed:
        changed(call, key, zset, event, removed)
        call.db.drop_if_empty(key, zset)
    return removed
