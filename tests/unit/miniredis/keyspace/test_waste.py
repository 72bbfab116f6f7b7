"""Broken if a large value that is deleted stalls the server, is never freed, or is taken apart while a key has it."""

from __future__ import annotations

import pytest

from miniredis.keyspace.waste import LEAST
from miniredis.structures.zset import SortedSet
from tests.unit.miniredis.world import World

MANY = 3 * LEAST


def large(world: World, key: bytes) -> SortedSet:
    zset = SortedSet.from_scores({b"m%d" % number: float(number) for number in range(MANY)})
    world.client.db.put(key, zset)
    return zset


@pytest.mark.parametrize("verb", [b"DEL", b"UNLINK"])
def test_a_large_value_is_freed_in_pieces(verb: bytes) -> None:
    """All at once it would keep everybody waiting; forgotten it would never be freed."""
    world = World()
    zset = large(world, b"k")
    assert world(verb + b" k") == 1
    waste = world.state.keyspace.waste
    assert waste.values == [zset]
    ticks = 1
    while waste.free():
        ticks += 1
    assert ticks > 1
    assert not waste.values
    assert len(zset) == 0


def test_an_expired_value_is_freed_in_pieces() -> None:
    """Expiry is a deletion too."""
    world = World()
    zset = large(world, b"k")
    world("PEXPIRE k 10")
    world.later(20)
    assert world("EXISTS k") == 0
    assert world.state.keyspace.waste.values == [zset]


@pytest.mark.parametrize("line", ["RENAME k l", "MOVE k 1", "COPY k l"])
def test_what_lives_on_under_another_key_is_not_waste(line: str) -> None:
    """A renamed sorted set would lose its members behind its owner's back."""
    world = World()
    large(world, b"k")
    world(line)
    assert not world.state.keyspace.waste.values


def test_small_values_are_freed_at_once() -> None:
    """Thousands of small values would wait for a tick each."""
    world = World()
    world("ZADD k 1 a")
    world("DEL k")
    assert not world.state.keyspace.waste.values
