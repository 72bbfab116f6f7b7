"""Hashes lose fields, convert when Redis would not, or a scan or a random choice misses or prefers some fields."""

import random
from collections import Counter

import pytest

from miniredis.structures.hash import Hash
from miniredis.structures.roster import Roster

ENTRIES, VALUE = 128, 64


def names(count: int) -> list[bytes]:
    return [b"field:%d" % number for number in range(count)]


def filled(count: int) -> Hash:
    built = Hash()
    for name in names(count):
        built.set(name, name[6:], ENTRIES, VALUE)
    return built


@pytest.mark.parametrize("seed", range(4))
def test_against_a_dict(seed: int) -> None:
    """A field is lost, keeps an old value, changes its place, or the count of bytes drifts."""
    chance = random.Random(seed)
    ours, plain = Hash(), dict[bytes, bytes]()
    for _ in range(4000):
        field, value = b"f%d" % chance.randrange(300), b"v" * chance.randrange(70)
        if chance.random() < 0.6:
            assert ours.set(field, value, ENTRIES, VALUE) == (field not in plain)
            plain[field] = value
        else:
            assert ours.delete(field) == (plain.pop(field, None) is not None)
        if chance.random() < 0.01:
            ours.scan(0, 10)  # from here on a roster has to keep up
    assert ours.items() == list(plain.items())
    assert ours._bytes == sum(len(field) + len(value) for field, value in plain.items())
    copied = ours.copy()
    ours.set(b"more", b"", ENTRIES, VALUE)
    assert copied.items() == list(plain.items())
    scanned, cursor = list[bytes](), 0
    while True:
        cursor, part = copied.scan(cursor, 7)
        scanned += part
        if not cursor:
            break
    assert sorted(scanned) == sorted(plain)


@pytest.mark.parametrize("seed", range(4))
def test_at_rest_it_is_the_same_hash(seed: int) -> None:
    """A packed hash answers otherwise than an open one, or loses what is changed in it."""
    chance = random.Random(seed)
    ours, plain = Hash(), dict[bytes, bytes]()
    for _ in range(2000):
        field, value = b"f%d" % chance.randrange(30), b"v" * chance.randrange(64)
        if chance.random() < 0.6:
            assert ours.set(field, value, ENTRIES, VALUE) == (field not in plain)
            plain[field] = value
        else:
            assert ours.delete(field) == (plain.pop(field, None) is not None)
        if chance.random() < 0.5:
            ours.rest()
        assert (len(ours), ours.get(field), field in ours) == (len(plain), plain.get(field), field in plain)
    ours.rest()
    open_bytes, copied = len(plain) * 170, ours.copy()
    assert ours.size_bytes < open_bytes
    assert ours.items() == copied.items() == list(plain.items())
    assert ours.scan(0, 1) == (0, list(plain))
    assert set(ours.sample(5, chance)) < set(plain)
    copied.delete(next(iter(plain)))
    assert ours.fields() == list(plain)


@pytest.mark.parametrize(
    ("pairs", "encoding"),
    [
        ([b"f", b"v" * 64], b"listpack"),
        ([b"f", b"v" * 65], b"hashtable"),
        ([b"f" * 65, b"v"], b"hashtable"),
        ([b"f", b"v"] * 128, b"listpack"),
        ([b"f", b"v"] * 129, b"hashtable"),  # asked before it is known that they are one field
    ],
)
def test_when_a_hash_converts(pairs: list[bytes], encoding: bytes) -> None:
    """OBJECT ENCODING of a hash differs from Redis'."""
    built = Hash()
    built.prepare(pairs, ENTRIES, VALUE)
    for at in range(0, len(pairs), 2):
        built.set(pairs[at], pairs[at + 1], ENTRIES, VALUE)
    assert built.encoding == encoding
    built.delete(pairs[0])
    assert built.encoding == encoding


def test_one_field_too_many() -> None:
    """The 129th field, or a changed limit, does not convert a hash."""
    built = filled(128)
    assert built.encoding == b"listpack"
    assert built.scan(17, 1) == (0, names(128))
    built.set(b"one more", b"", ENTRIES, VALUE)
    assert built.encoding == b"hashtable"
    other = filled(10)
    other.set(b"field:1", b"", 9, VALUE)
    assert other.encoding == b"hashtable"


@pytest.mark.parametrize("seed", range(30))
def test_a_scan_misses_nothing_that_stays(seed: int) -> None:
    """HSCAN does not return a field that was there from beginning to end, while others came and went."""
    chance = random.Random(seed)
    built = filled(400)
    staying = set(chance.sample(names(400), 60))
    seen, cursor = set[bytes](), 0
    while True:
        cursor, part = built.scan(cursor, chance.choice([1, 10, 50]))
        seen.update(part)
        if not cursor:
            break
        for _ in range(chance.randrange(60)):
            field = chance.choice(names(800))
            if field not in staying and not built.delete(field):
                built.set(field, b"", ENTRIES, VALUE)
    assert staying <= seen


def test_a_scan_ends_and_takes_any_cursor() -> None:
    """A cursor that no scan gave out breaks the server, or a scan of an unchanged hash repeats or never ends."""
    built = filled(1000)
    pages, cursor = list[bytes](), 0
    for _ in range(100):
        cursor, part = built.scan(cursor, 10)
        pages += part
    assert cursor == 0
    assert len(pages) == len(set(pages)) == 1000
    assert built.scan((1 << 64) - 1, 5)[1]


@pytest.mark.parametrize("size", [20, 2000])
def test_random_fields(size: int) -> None:
    """HRANDFIELD prefers some fields, repeats where it must not, or returns a deleted one."""
    built, chance = filled(size), random.Random(7)
    built.random(chance)
    for name in names(size)[::2]:
        built.delete(name)
    left = set(built.fields())
    assert len(set(built.sample(5, chance))) == 5
    assert set(built.sample(size, chance)) == left
    assert set(built.sample(size // 2 - 1, chance)) < left
    drawn = built.draw(size * 50, chance)
    assert set(drawn) == left
    assert max(Counter(drawn).values()) < 200  # 100 on average


def test_a_roster_sweeps_its_dead() -> None:
    """Names that come and go make a roster grow without bound."""
    roster = Roster(names(10))
    for round_number in range(1000):
        roster.add(b"guest %d" % round_number)
        roster.remove(b"guest %d" % round_number)
        roster.remove(b"field:3")
        roster.add(b"field:3")
    assert len(roster) == 10
    assert len(roster._names) <= 22
    assert sorted(roster.scan(0, 100)[1]) == names(10)
