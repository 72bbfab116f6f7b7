"""Broken if a sorted set loses its order, its ranks or its members while it grows, shrinks and is cut."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from math import copysign, inf
from random import Random

import pytest

from miniredis.structures.zset import LexBound, SortedSet


@dataclass(frozen=True)
class Limits:
    zset_max_listpack_entries: int = 128
    zset_max_listpack_value: int = 64


LIMITS = Limits()


class Naive:
    """The same answers from a dict sorted whenever somebody looks."""

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}

    def order(self) -> list[tuple[float, bytes]]:
        return sorted((score, member) for member, score in self.scores.items())


def check(zset: SortedSet, naive: Naive, rng: Random) -> None:
    order = naive.order()
    size = len(order)
    assert list(zset) == order
    assert len(zset) == size
    inner = zset._order
    assert inner.size == sum(map(len, inner.chunks)) == size
    assert list(map(len, inner.columns)) == list(map(len, inner.chunks))
    assert all(inner.chunks)
    assert list(inner.tops) == [column[-1] for column in inner.columns]
    assert inner.lasts == [chunk[-1] for chunk in inner.chunks]
    for _ in range(10):
        start, stop = sorted((rng.randrange(size + 1), rng.randrange(size + 1)))
        assert zset.slice(start, stop) == order[start:stop]
        bound = rng.choice(order)[0] if order and rng.random() < 0.7 else rng.uniform(-50, 50)
        assert zset.count_below(bound, False) == sum(score < bound for score, _ in order)
        assert zset.count_below(bound, True) == sum(score <= bound for score, _ in order)
    for rank in rng.sample(range(size), min(size, 10)):
        assert zset.rank(order[rank][1]) == rank
    if inner.tree is not None:
        kept = inner.tree
        assert kept == inner.grow_tree()


@pytest.mark.parametrize(("seed", "universe", "loaded"), [(1, 60, 0), (2, 3000, 0), (3, 12_000, 10_000)])
def test_against_a_sorted_dict(seed: int, universe: int, loaded: int) -> None:
    """A wrong chunk, a stale tree or a lost member shows in some sequence of changes."""
    rng = Random(seed)
    naive = Naive()
    naive.scores = {b"m%d" % number: float(rng.randrange(-40, 40)) for number in range(loaded)}
    zset = SortedSet.from_scores(dict(naive.scores))
    turns = 4000 + loaded
    for turn in range(turns):
        roll = rng.random()
        member = b"m%d" % rng.randrange(universe)
        if roll < (0.70 if turn < turns // 2 else 0.2):
            score = rng.choice([float(rng.randrange(-40, 40)), rng.uniform(-40, 40), inf, -inf, 0.0, -0.0])
            zset.put(member, score, LIMITS)
            naive.scores[member] = score
        elif roll < 0.97:
            assert zset.remove(member) == (naive.scores.pop(member, None) is not None)
        elif roll < 0.975:
            order = naive.order()
            start = rng.randrange(len(order) + 1)
            stop = min(len(order), start + rng.randrange(3 + len(order) // 8))
            assert zset.remove_slice(start, stop) == order[start:stop]
            for _, gone in order[start:stop]:
                del naive.scores[gone]
        else:
            count = rng.randrange(5)
            order = naive.order()
            taken = zset.pop(count, True)
            assert taken == order[::-1][:count]
            for _, gone in taken:
                del naive.scores[gone]
        if turn % 397 == 0:
            check(zset, naive, rng)
    check(zset, naive, rng)
    check(zset.copy(), naive, rng)
    check(SortedSet.from_scores(dict(naive.scores)), naive, rng)
    assert zset._payload_bytes == sum(map(len, naive.scores))
    zset.remove_slice(0, len(zset))
    assert not list(zset)
    assert zset.size_bytes < 200_000


@pytest.mark.parametrize("is_small", [True, False])
def test_lexicographic_ranges(is_small: bool) -> None:
    """Members of one score are cut in the wrong place."""
    rng = Random(7)
    members = sorted({bytes(rng.choice(b"ab\x00\xff") for _ in range(rng.randrange(4))) for _ in range(60)})
    zset = SortedSet(is_small)
    for member in members:
        zset.put(member, 0.0, LIMITS)
    zset.is_small = is_small
    bounds = [LexBound(b"", True, -1), LexBound(b"", True, 1)]
    bounds += [LexBound(member, is_open) for member in [*members, b"aab\x01", b"\xfe"] for is_open in (True, False)]
    for low in bounds:
        for high in rng.sample(bounds, 20):
            expected = [member for member in members if low.is_below(member) and high.is_above(member)]
            for from_greatest in (False, True):
                start, stop = zset.lex_ranks(low, high, from_greatest)
                assert [member for _, member in zset.slice(start, stop)] == expected


def test_the_form_changes_where_redis_changes_it() -> None:
    """OBJECT ENCODING of a sorted set differs from Redis."""
    zset = SortedSet.fitting(1, 1, LIMITS)
    for number in range(128):
        zset.put(b"%d" % number, number, LIMITS)
    assert zset.encoding == b"listpack"
    zset.put(b"128", 0, LIMITS)
    assert zset.encoding == b"skiplist"
    zset.remove_slice(0, 128)
    assert zset.encoding == b"skiplist"
    long = SortedSet.fitting(1, 64, LIMITS)
    long.put(b"x" * 64, 1, LIMITS)
    assert long.encoding == b"listpack"
    long.put(b"x" * 65, 1, LIMITS)
    assert long.encoding == b"skiplist"
    assert SortedSet.fitting(129, 1, LIMITS).encoding == b"skiplist"
    assert SortedSet.from_scores({b"a": 1.0}, LIMITS).encoding == b"listpack"
    assert SortedSet.from_scores({b"a" * 65: 1.0}, LIMITS).encoding == b"skiplist"


def test_negative_zero_survives_only_outside_a_listpack() -> None:
    """A score of -0 prints as Redis would not print it."""
    small, large = SortedSet(True), SortedSet(False)
    for zset in (small, large):
        zset.put(b"a", -0.0, LIMITS)
    assert [copysign(1, zset.scores()[b"a"]) for zset in (small, large)] == [1.0, -1.0]


def test_a_scan_meets_every_member_that_stays() -> None:
    """ZSCAN misses a member that was there all the time, though others come, go and change their scores."""
    rng = Random(11)
    for _ in range(30):
        zset = SortedSet(is_small=False)
        for number in range(rng.randrange(1, 400)):
            zset.put(b"%d" % number, rng.random(), LIMITS)
        staying = {member for _, member in zset if rng.random() < 0.5}
        seen: set[bytes] = set()
        cursor = 0
        while True:
            cursor, page = zset.scan(cursor, rng.randrange(1, 20))
            seen.update(member for _, member in page)
            if not cursor:
                break
            for _ in range(rng.randrange(6)):
                member = b"%d" % rng.randrange(500)
                if member in staying or rng.random() < 0.4:
                    zset.put(member, rng.random(), LIMITS)
                else:
                    zset.remove(member)
        assert staying <= seen


def test_random_members_are_equally_likely() -> None:
    """ZRANDMEMBER favours some members."""
    zset = SortedSet(is_small=False)
    for number in range(50):
        zset.put(b"%d" % number, number % 7, LIMITS)
    rng = Random(5)
    counts: dict[bytes, int] = {}
    for _ in range(20_000):
        member = zset.random(rng)[1]
        counts[member] = counts.get(member, 0) + 1
    assert len(counts) == 50
    assert min(counts.values()) > 300
    assert max(counts.values()) < 500


def test_scores_are_walked_from_the_greatest() -> None:
    """ZUNION and ZDIFF meet members in another order than Redis."""
    entries: list[tuple[float, bytes]] = []
    zset = SortedSet(is_small=False)
    for number in range(3000):
        zset.put(b"%d" % number, number * 7 % 11, LIMITS)
        insort(entries, (number * 7 % 11, b"%d" % number))
    assert list(zset.scores().items()) == [(member, score) for score, member in reversed(entries)]


def test_a_small_set_at_rest_answers_as_an_open_one() -> None:
    """Members would be lost, or change their order, when nobody looks."""
    rng = Random(4)
    naive = Naive()
    zset = SortedSet()
    for _ in range(3000):
        member = b"m%d" % rng.randrange(40)
        if rng.random() < 0.5:
            score = rng.choice([float(rng.randrange(-5, 5)), rng.uniform(-40, 40), inf])
            zset.put(member, score, LIMITS)
            naive.scores[member] = score
        else:
            assert zset.remove(member) == (naive.scores.pop(member, None) is not None)
        if rng.random() < 0.5:
            zset.rest()
        order = naive.order()
        assert list(zset) == list(zset.copy()) == order
        assert len(zset) == len(order)
        for score, found in order[:3]:
            assert zset.score(found) == score
            assert zset.rank(found) == order.index((score, found))
        if order and rng.random() < 0.05:
            zset.rest()
            assert zset.pop(2, False) == order[:2]
            for _, found in order[:2]:
                del naive.scores[found]


def test_a_large_set_does_not_rest() -> None:
    """To look into a packed set takes the longer the larger it is."""
    zset = SortedSet.from_scores({b"%d" % number: 0.0 for number in range(129)}, LIMITS)
    zset.rest()
    assert zset.may_rest
    assert zset.put_large(b"x", 1.0)
    small = SortedSet.from_scores({b"a": 1.0}, LIMITS)
    small.rest()
    small.leave_listpack()
    assert small.encoding == b"skiplist"
    assert small.put_large(b"b", 0.0)
    assert list(small) == [(0.0, b"b"), (1.0, b"a")]
