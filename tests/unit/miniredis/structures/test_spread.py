"""Broken if a large set or hash loses names when it is dealt out, or a scan or a draw misses or prefers some."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from miniredis.structures.hash import Hash
from miniredis.structures.sets import HASHTABLE, Set
from miniredis.structures.spread import PARTS, WHOLE_MOST, Spread
from tests.unit.miniredis.structures.test_sets import LIMITS


@pytest.mark.parametrize("seed", range(4))
def test_against_a_dict(seed: int) -> None:
    """A name is lost, doubled, or keeps an old value."""
    chance = Random(seed)
    ours: Spread[int] = Spread()
    plain: dict[bytes, int] = {}
    for step in range(12_000):
        name = b"n%d" % chance.randrange(900 if step < 8000 else 40)
        if chance.random() < 0.6:
            ours[name] = plain[name] = step
        else:
            assert ours.pop(name, None) == plain.pop(name, None)
        if plain and step % 7 == 0:
            del plain[ours.pop_random(chance)]
        if plain and step % 100 == 0:
            assert ours.random(chance) in plain  # from here on rosters have to keep up
    assert len(ours) == len(plain)
    assert dict(ours.items()) == dict(ours.copy().items()) == plain
    assert set(ours) == set(plain)
    assert sorted(ours.values()) == sorted(plain.values())
    assert all(name in ours and ours.get(name) == value for name, value in plain.items())


def test_every_name_is_drawn_as_often() -> None:
    """SRANDMEMBER and SPOP would prefer the members of small parts, or of those where many were deleted."""
    chance = Random(5)
    ours: Spread[None] = Spread((b"n%d" % number, None) for number in range(4000))
    ours.random(chance)
    for number in range(4000):
        if number % 10:
            del ours[b"n%d" % number]
    drawn = Counter(ours.random(chance) for _ in range(80_000))
    assert len(drawn) == 400
    assert 130 < min(drawn.values()) <= max(drawn.values()) < 280


@pytest.mark.parametrize("count", [300, WHOLE_MOST + 300])
def test_every_member_is_popped_as_often(count: int) -> None:
    """SPOP would prefer some members, or leave behind a set that draws or scans what is gone."""
    chance = Random(6)
    kept: Counter[bytes] = Counter()
    members = [b"m%d" % number for number in range(count)]
    for _ in range(60 if count < WHOLE_MOST else 1):
        ours = Set(HASHTABLE)
        ours.update(members, LIMITS)
        ours.random(chance)
        for number in range(0, count, 5):
            ours.remove(members[number])
        popped = {ours.pop(chance) for _ in range(count // 2)}
        assert len(popped) == count // 2
        assert len(ours) == count - count // 5 - count // 2
        assert popped.isdisjoint(ours.members())
        assert popped.isdisjoint(members[::5])
        assert {ours.random(chance) for _ in range(100)} <= set(ours)
        assert ours._payload_bytes == sum(map(len, ours))
        ours.add(members[0], LIMITS)
        found, cursor = [], 0
        while True:
            cursor, page = ours.scan(cursor, 50)
            found += page
            if not cursor:
                break
        assert sorted(found) == sorted(ours)
        kept.update(ours)
    if count < WHOLE_MOST:
        assert min([kept[name] for number, name in enumerate(members) if number % 5]) > 8
    last = Set(HASHTABLE)
    last.add(b"m", LIMITS)
    assert last.pop(chance) == b"m"
    assert not len(last)


@pytest.mark.parametrize("seed", range(10))
def test_a_scan_never_misses_what_stays(seed: int) -> None:
    """A client walking a large set with SSCAN would miss members while others come and go."""
    chance = Random(seed)
    stays = {b"stays:%d" % number for number in range(chance.choice([0, 1, 300, 3000]))}
    passing = [b"passing:%d" % number for number in range(chance.choice([10, 3000]))]
    ours: Spread[None] = Spread((name, None) for name in [*stays, *passing[::2]])
    seen: set[bytes] = set()
    cursor = rounds = 0
    while True:
        cursor, names = ours.scan(cursor, chance.choice([1, 3, 10, 100]))
        seen.update(names)
        rounds += 1
        if not cursor:
            break
        for name in chance.sample(passing, min(len(passing), 50)):
            if name in ours:
                del ours[name]
            else:
                ours[name] = None
    assert stays <= seen
    assert rounds <= 2 * (len(stays) + len(passing)) + PARTS


@pytest.mark.parametrize("kind", ["set", "hash"])
def test_a_scan_goes_on_while_it_is_dealt_out(kind: str) -> None:
    """A cursor from before would mean nothing afterwards, and the scan would end early."""
    ours = Set(HASHTABLE) if kind == "set" else Hash()

    def add(name: bytes) -> None:
        if isinstance(ours, Set):
            ours.add(name, LIMITS)
        else:
            ours.set(name, name, 128, 64)

    stays = [b"stays:%d" % number for number in range(WHOLE_MOST - 1)]
    for name in stays:
        add(name)
    cursor, page = ours.scan(0, 1000)
    seen = set(page)
    for number in range(10):
        add(b"late:%d" % number)
    while cursor:
        cursor, page = ours.scan(cursor, 1000)
        seen.update(page)
    assert seen >= set(stays)
    assert len(ours) == WHOLE_MOST + 9


def test_a_large_set_behaves_as_a_python_set() -> None:
    """Members would be lost where the one dict becomes many."""
    chance = Random(9)
    ours, theirs = Set(HASHTABLE), set[bytes]()
    for number in range(WHOLE_MOST + 2000):
        name = b"m%d" % chance.randrange(40_000) if number % 2 else b"m%d" % number
        assert ours.add(name, LIMITS) == (name not in theirs)
        theirs.add(name)
    for number in range(WHOLE_MOST * 2):
        ours.add(b"n%d" % number, LIMITS)
        theirs.add(b"n%d" % number)
    for _ in range(2000):
        name = ours.random(chance)
        assert ours.remove(name)
        theirs.remove(name)
        assert not ours.remove(name)
    assert len(ours) == len(theirs)
    assert set(ours.members()) == set(ours.copy()) == theirs
    assert ours._payload_bytes == sum(map(len, theirs))


def test_a_large_hash_behaves_as_a_dict() -> None:
    """Fields would be lost, or keep old values, where the one dict becomes many."""
    ours, plain = Hash(), dict[bytes, bytes]()
    for number in range(WHOLE_MOST + 3000):
        name = b"f%d" % (number % (WHOLE_MOST + 1000))
        assert ours.set(name, b"%d" % number, 128, 64) == (name not in plain)
        plain[name] = b"%d" % number
    for number in range(0, 5000, 3):
        assert ours.delete(b"f%d" % number)
        assert not ours.delete(b"f%d" % number)
        del plain[b"f%d" % number]
    assert ours.as_dict() == dict(ours.copy().items()) == plain
    assert len(ours) == len(plain)
    assert set(ours.sample(50, Random(1))) <= set(plain)
    assert ours._bytes == sum(len(name) + len(value) for name, value in plain.items())
