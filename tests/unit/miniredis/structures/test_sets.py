"""Broken if a set forgets members, changes its form at the wrong moment or answers in the wrong order."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest

from miniredis.structures.sets import Set, integer_of


@dataclass(frozen=True)
class Limits:
    set_max_intset_entries: int = 512
    set_max_listpack_entries: int = 128
    set_max_listpack_value: int = 64


LIMITS = Limits()


@pytest.mark.parametrize(
    ("limits", "members"),
    [
        (LIMITS, [b"%d" % number for number in range(-300, 300)]),
        (LIMITS, [b"%d" % number for number in range(100)] + [b"x%d" % number for number in range(100)]),
        (Limits(4, 8, 5), [b"1", b"2", b"3", b"-4", b"05", b"+6", b"a", b"bb", b"ccc", b"123456", b"zzzzzz", b""]),
        (Limits(0, 0, 0), [b"1", b"a"]),
    ],
)
def test_against_a_python_set(limits: Limits, members: list[bytes]) -> None:
    """A member is lost, doubled or found where it is not, in some form of the set."""
    rng = Random(3)
    for _ in range(20):
        ours, theirs = Set(), set[bytes]()
        for turn in range(600):
            member = rng.choice(members)
            if rng.random() < (0.8 if turn < 300 else 0.3):
                assert ours.add(member, limits) == (member not in theirs)
                theirs.add(member)
            else:
                assert ours.remove(member) == (member in theirs)
                theirs.discard(member)
            assert len(ours) == len(theirs)
            if turn % 50 == 0:
                assert sorted(ours) == sorted(theirs) == sorted(ours.members()) == sorted(ours.copy())
                assert all((member in ours) == (member in theirs) for member in members)
                if theirs:
                    assert ours.random(rng) in theirs
                    count = rng.randrange(1, len(theirs) + 2)
                    sample = ours.sample(count, rng)
                    assert len(set(sample)) == len(sample) == min(count, len(theirs))
                    assert theirs.issuperset(sample)


def test_the_form_changes_where_redis_changes_it() -> None:
    """OBJECT ENCODING of a set differs from Redis."""
    ints = Set()
    assert ints.update([b"%d" % number for number in range(512)], LIMITS) == 512
    assert ints.encoding == b"intset"
    ints.add(b"512", LIMITS)
    assert ints.encoding == b"hashtable"

    mixed = Set()
    mixed.update([b"3", b"1", b"2"], LIMITS)
    mixed.add(b"a", LIMITS)
    assert (mixed.encoding, mixed.members()) == (b"listpack", [b"1", b"2", b"3", b"a"])
    mixed.add(b"x" * 65, LIMITS)
    assert mixed.encoding == b"hashtable"

    many = Set()
    many.update([b"%d" % number for number in range(128)], LIMITS)
    many.add(b"a", LIMITS)
    assert many.encoding == b"hashtable"

    wide = Set()
    wide.add(b"123456", Limits(512, 128, 5))
    wide.add(b"a", Limits(512, 128, 5))
    assert wide.encoding == b"hashtable"

    assert Set.fitting(b"1", 512, LIMITS).encoding == b"intset"
    assert Set.fitting(b"1", 513, LIMITS).encoding == b"hashtable"
    assert Set.fitting(b"a", 128, LIMITS).encoding == b"listpack"
    assert Set.fitting(b"a", 129, LIMITS).encoding == b"hashtable"

    grown = Set.fitting(b"a", 1, LIMITS)
    grown.expect(129, LIMITS)
    assert grown.encoding == b"hashtable"


def test_only_exact_texts_are_integers() -> None:
    """`01` or `-0` turns into another member."""
    assert [integer_of(text) for text in (b"0", b"-1", b"9223372036854775807", b"-9223372036854775808")] == [
        0,
        -1,
        2**63 - 1,
        -(2**63),
    ]
    for text in (
        b"",
        b"-",
        b"-0",
        b"00",
        b"01",
        b"-01",
        b"+1",
        b" 1",
        b"1 ",
        b"9223372036854775808",
        b"1.0",
        b"1" * 40,
    ):
        assert integer_of(text) is None


def test_a_scan_meets_every_member_that_stays() -> None:
    """SSCAN misses a member that was there all the time."""
    rng = Random(2)
    for _ in range(30):
        ours = Set(2)
        ours.update([b"%d" % number for number in range(300)], LIMITS)
        staying = {member for member in ours if rng.random() < 0.5}
        seen: set[bytes] = set()
        cursor = 0
        while True:
            cursor, page = ours.scan(cursor, 7)
            seen.update(page)
            if not cursor:
                break
            for _ in range(rng.randrange(10)):
                member = b"%d" % rng.randrange(400)
                if rng.random() < 0.4:
                    ours.add(member, LIMITS)
                elif member not in staying:
                    ours.remove(member)
        assert staying <= seen
