"""Combinations of sorted sets and sets: ZUNION, ZINTER, ZDIFF, returned, stored or counted.

A plain set takes part as if each member had the score 1. Additions are made in Redis's order – smallest source
first, where order is free – because sums of floating point numbers show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from miniredis.commands.shared import NEGATIVE_LIMIT, at_least
from miniredis.commands.zsets import changed
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import DENYOOM, READONLY, WRITE, command
from miniredis.keyspace import notify
from miniredis.keyspace.db import WRONG_TYPE
from miniredis.structures.sets import Set
from miniredis.structures.zset import SortedSet
from protocol.resp.values import Failure, Pairs, Reply

_SUM: Final = b"SUM"
_MIN: Final = b"MIN"
_MAX: Final = b"MAX"

_UNION: Final = 0
_INTER: Final = 1
_DIFF: Final = 2


@command("ZUNION numkeys:integer key [key ...] [WEIGHTS weight:integer [weight:integer ...]] "
         "[AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]", READONLY, since="6.2.0", keys="RO access",
         complexity="O(N)+O(M*log(M)) for N members in all and M in the result")  # fmt: skip
def zunion(call: Call) -> Reply:
    """Return the members of several sorted sets together."""
    return _reply(_Combination(call, 1, _UNION))


@command("ZINTER numkeys:integer key [key ...] [WEIGHTS weight:integer [weight:integer ...]] "
         "[AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]", READONLY, since="6.2.0", keys="RO access",
         complexity="O(N*K)+O(M*log(M)) for K sources, the smallest of N members, and M in the result")  # fmt: skip
def zinter(call: Call) -> Reply:
    """Return the members that several sorted sets have in common."""
    return _reply(_Combination(call, 1, _INTER))


@command("ZDIFF numkeys:integer key [key ...] [WITHSCORES]", READONLY, since="6.2.0", keys="RO access",
         complexity="O(N+M*log(M)) for N members in all and M in the result")  # fmt: skip
def zdiff(call: Call) -> Reply:
    """Return the members of the first sorted set that no other has."""
    return _reply(_Combination(call, 1, _DIFF))


@command("ZINTERCARD numkeys:integer key [key ...] [LIMIT limit:integer]", READONLY, since="7.0.0", keys="RO access",
         complexity="O(N*K) for K sources, the smallest of N members")  # fmt: skip
def zintercard(call: Call) -> Reply:
    """Count the members that several sorted sets have in common."""
    return _Combination(call, 1, _INTER, is_count=True).count()


@command("ZUNIONSTORE destination:key numkeys:integer key [key ...] [WEIGHTS weight:integer [weight:integer ...]] "
         "[AGGREGATE <SUM | MIN | MAX>]", WRITE | DENYOOM, since="2.0.0", keys="OW update | RO access",
         complexity="O(N)+O(M*log(M)) for N members in all and M in the result")  # fmt: skip
def zunionstore(call: Call) -> Reply:
    """Store the members of several sorted sets together."""
    return store(call, call.argv[1], _Combination(call, 2, _UNION).scores(), b"zunionstore")


@command("ZINTERSTORE destination:key numkeys:integer key [key ...] [WEIGHTS weight:integer [weight:integer ...]] "
         "[AGGREGATE <SUM | MIN | MAX>]", WRITE | DENYOOM, since="2.0.0", keys="OW update | RO access",
         complexity="O(N*K)+O(M*log(M)) for K sources, the smallest of N members, and M in the result")  # fmt: skip
def zinterstore(call: Call) -> Reply:
    """Store the members that several sorted sets have in common."""
    return store(call, call.argv[1], _Combination(call, 2, _INTER).scores(), b"zinterstore")


@command("ZDIFFSTORE destination:key numkeys:integer key [key ...]", WRITE | DENYOOM, since="6.2.0",
         keys="OW update | RO access", complexity="O(N+M*log(M)) for N members in all and M in the result")  # fmt: skip
def zdiffstore(call: Call) -> Reply:
    """Store the members of the first sorted set that no other has."""
    return store(call, call.argv[1], _Combination(call, 2, _DIFF).scores(), b"zdiffstore")


def store(call: Call, key: bytes, scores: dict[bytes, float], event: bytes) -> int:
    """Put a sorted set made anew where it is wanted; an empty one only deletes what was there."""
    db = call.db
    if not scores:
        if db.delete(key):
            db.notify(notify.GENERIC, b"del", key)
            db.dirty += 1
        return 0
    zset = SortedSet.from_scores(scores, call.state.settings)
    db.put(key, zset)
    changed(call, key, zset, event)
    return len(zset)


def _reply(combination: _Combination) -> Reply:
    entries = sorted((score, member) for member, score in combination.scores().items())
    if combination.with_scores:
        return Pairs([(member, score) for score, member in entries])
    return [member for _, member in entries]


class _Source:
    """One key that takes part, or what is there instead of it."""

    __slots__ = ("value", "weight")

    def __init__(self, value: SortedSet | Set | None) -> None:
        self.value = value
        self.weight = 1.0

    def __len__(self) -> int:
        return 0 if self.value is None else len(self.value)

    def scores(self) -> Mapping[bytes, float]:
        """Scores by member, without the weight, in the order Redis walks them."""
        value = self.value
        if value is None:
            return {}
        return value.scores() if isinstance(value, SortedSet) else dict.fromkeys(value, 1.0)

    def score(self, member: bytes) -> float | None:
        value = self.value
        if isinstance(value, SortedSet):
            return value.score(member)
        return 1.0 if value is not None and member in value else None


class _Combination:
    """The sources and options of one such command. Faults are found in Redis's order: count, keys, options."""

    __slots__ = ("aggregate", "call", "is_count", "kind", "limit", "sources", "with_scores")

    def __init__(self, call: Call, at: int, kind: int, is_count: bool = False) -> None:
        self.call = call
        self.kind = kind
        self.is_count = is_count
        self.aggregate = _SUM
        self.with_scores = False
        self.limit = 0
        count = call.integer(at)
        if count < 1:
            name = call.argv[0].lower().decode("latin-1")
            raise Failure(f"ERR at least 1 input key is needed for '{name}' command")
        if count > len(call.argv) - at - 1:
            raise Failure(SYNTAX_ERROR)
        self.sources = [_Source(_lookup(call, key)) for key in call.argv[at + 1 : at + 1 + count]]
        self._read_options(at + 1 + count, is_store=at == 2)
        if kind != _DIFF:
            self.sources.sort(key=len)

    def _read_options(self, at: int, is_store: bool) -> None:
        call = self.call
        words = len(call.argv)
        is_weighted = self.kind != _DIFF and not self.is_count
        while at < words:
            option = call.option(at)
            left = words - at
            if is_weighted and option == b"WEIGHTS" and left >= len(self.sources) + 1:
                for source in self.sources:
                    at += 1
                    source.weight = call.float(at, "ERR weight value is not a float")
            elif is_weighted and option == b"AGGREGATE" and left >= 2:
                at += 1
                self.aggregate = call.option(at)
                if self.aggregate not in (_SUM, _MIN, _MAX):
                    raise Failure(SYNTAX_ERROR)
            elif option == b"WITHSCORES" and not is_store and not self.is_count:
                self.with_scores = True
            elif option == b"LIMIT" and self.is_count and left >= 2:
                at += 1
                self.limit = at_least(call, at, 0, NEGATIVE_LIMIT)
            else:
                raise Failure(SYNTAX_ERROR)
            at += 1

    def scores(self) -> dict[bytes, float]:
        """The result, unordered."""
        if self.kind == _UNION:
            return self._union()
        return self._intersection() if self.kind == _INTER else self._difference()

    def count(self) -> int:
        """How many are common to all; no more than the limit, unless that is 0."""
        members = list(self.sources[0].scores())
        for other in self.sources[1:]:
            members = [member for member in members if other.score(member) is not None]
        return min(self.limit, len(members)) if self.limit else len(members)

    def _union(self) -> dict[bytes, float]:
        result: dict[bytes, float] = {}
        aggregate = self.aggregate
        for source in self.sources:
            weight = source.weight
            for member, score in source.scores().items():
                score *= weight
                if score != score:
                    score = 0.0
                old = result.get(member)
                result[member] = score if old is None else _aggregated(old, score, aggregate)
        return result

    def _intersection(self) -> dict[bytes, float]:
        first, *others = self.sources
        aggregate = self.aggregate
        result: dict[bytes, float] = {}
        for member, plain in first.scores().items():
            score = plain * first.weight
            if score != score:
                score = 0.0
            for other in others:
                found = other.score(member)
                if found is None:
                    break
                score = _aggregated(score, found * other.weight, aggregate)
            else:
                result[member] = score
        return result

    def _difference(self) -> dict[bytes, float]:
        first, *others = self.sources
        if any(other.value is first.value for other in others):
            return {}
        return {
            member: score
            for member, score in first.scores().items()
            if all(other.score(member) is None for other in others)
        }


def _lookup(call: Call, key: bytes) -> SortedSet | Set | None:
    value = call.db.find(key)
    if value is None or isinstance(value, SortedSet | Set):
        return value
    raise Failure(WRONG_TYPE)


def _aggregated(old: float, score: float, aggregate: bytes) -> float:
    if aggregate == _SUM:
        total = old + score
        # Infinity and its opposite make nothing: Redis calls that zero.
        return total if total == total else 0.0
    if aggregate == _MIN:
        return min(old, score) if score == score else old
    return max(old, score) if score == score else old
