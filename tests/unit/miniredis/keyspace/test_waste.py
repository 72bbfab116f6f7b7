"""Broken if a large value that is deleted stalls the server, is never freed, or is taken apart while a key has it."""

from __future__ import annotations

import pytest

from miniredis.keyspace.waste import LEAST, Dissolving
from miniredis.structures.chunks import List
from miniredis.structures.hash import Hash
from miniredis.structures.sets import HASHTABLE, Set
from miniredis.structures.spread import WHOLE_MOST
from miniredis.structures.zset import SortedSet
from tests.unit.miniredis.world import World

MANY = 3 * LEAST


def large(world: World, key: bytes) -> SortedSet:
    zset = SortedSet.from_scores({b"m%d" % number: float(number) for number in range(MANY)})
    world.client.db.put(key, zset)
    return zset


def filled(kind: str, count: int) -> Dissolving:
    """A value of `count` elements."""
    names = [b"m%d" % number for number in range(count)]
    if kind == "set":
        made = Set(HASHTABLE)
        made.update(names, World().state.settings)
        return made
    if kind == "list":
        return List.of(names, 1)
    fields = Hash()
    for name in names:
        fields.set(name, name, 128, 64)
        if kind == "ending":
            fields.heed_deadlines().set(name, 1 << 50)
    return fields


@pytest.mark.parametrize("count", [MANY, WHOLE_MOST + 10])
@pytest.mark.parametrize("kind", ["set", "hash", "ending", "list"])
def test_each_kind_is_freed_in_pieces(kind: str, count: int) -> None:
    """Five million members of any type would stall the server for a second."""
    world = World()
    value = filled(kind, count)
    world.client.db.put(b"k", value)
    assert world("DEL k") == 1
    waste = world.state.keyspace.waste
    assert waste.values == [value]
    ticks = 1
    while waste.free():
        ticks += 1
    assert 1 < ticks <= count // 1000 + 5
    assert len(value) == 0


def test_a_flush_touches_what_is_watched_and_nothing_else() -> None:
    """One client that watches one key would make FLUSHALL of five million keys stall everybody for seconds."""
    world = World()
    fill(world)
    world("WATCH key:5 missing")
    keyspace = world.state.keyspace
    keyspace.touched.clear()
    world.client.db.clear()
    assert keyspace.touched == [(world.client.db, b"key:5")]


def test_freeing_stops_by_the_clock() -> None:
    """The last members of millions take whole arenas of memory with them: a tick's count of them would take 20 ms."""
    world = World()
    value = filled("set", 3 * LEAST)
    world.client.db.put(b"k", value)
    world("DEL k")
    instants = iter(range(1000))
    assert world.state.keyspace.waste.free(lambda: next(instants) / 1000)  # every look at it takes 1 ms
    assert 2 * LEAST < len(value) < 3 * LEAST


@pytest.mark.parametrize("line", ["SET k v", "MSET k v", "RENAME small k", "COPY small k REPLACE", "SUNIONSTORE k s"])
def test_what_another_value_replaces_is_freed_in_pieces(line: str) -> None:
    """Overwriting a large value would stall the server as deleting it did."""
    world = World()
    zset = large(world, b"k")
    world("SET small v")
    world("SADD s a")
    world(line)
    assert world.state.keyspace.waste.values == [zset]


@pytest.mark.parametrize("line", ["FLUSHALL ASYNC", "FLUSHDB ASYNC"])
def test_a_flushed_database_is_freed_in_pieces(line: str) -> None:
    """A million keys would be let go of at once, and so would a large value under one of them."""
    world = World()
    zset = large(world, b"k")
    for number in range(MANY):
        world.client.db.put(b"key:%d" % number, b"x")
        world.client.db.expire_at(b"key:%d" % number, world.state.keyspace.now + 10_000)
    world(line)
    assert world("DBSIZE") == 0
    waste = world.state.keyspace.waste
    assert [table.size for table in waste.tables] == [MANY + 1, MANY]
    ticks = 1
    while waste.free():
        ticks += 1
    assert ticks > 3
    assert not waste.values
    assert not waste.tables
    assert len(zset) == 0


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


def test_who_flushes_waits_until_all_is_freed() -> None:
    """FLUSHALL would be answered while its memory is still taken, or keep everybody waiting until it is not."""
    world = World()
    fill(world)
    client = world.connect()
    assert world.send("FLUSHALL", client=client) == b""
    assert world.send("DBSIZE") == b":0\r\n"
    waste = world.state.keyspace.waste
    while waste.free():
        pass
    world.engine.waiting.release_flushing()
    assert client.out == [b"+OK\r\n"]
    assert client.blocked is None
    assert world.send("SET k v", "FLUSHALL", "MULTI", "FLUSHALL", "EXEC", client=client).endswith(b"+OK\r\n")


@pytest.mark.parametrize(
    ("line", "freed"), [("FLUSHALL ASYNC", MANY + 1), ("UNLINK k", 1), ("DEL k", 0), ("UNLINK small", 0)]
)
def test_what_was_left_to_be_freed_is_counted(line: str, freed: int) -> None:
    """INFO would not tell what UNLINK and FLUSHALL ASYNC have left to be freed, and when that is done."""
    world = World()
    fill(world)
    large(world, b"k")
    world("ZADD small 1 a")
    world("DEL small" if freed > 1 else "PING")
    world(line)
    assert world.state.keyspace.waste.pending == freed
    while world.state.keyspace.waste.free():
        pass
    assert (world.state.keyspace.waste.pending, world.state.keyspace.waste.freed) == (0, freed)


def fill(world: World) -> None:
    for number in range(MANY):
        world.client.db.put(b"key:%d" % number, b"x")


def test_small_flushes_leave_nothing_for_the_ticks() -> None:
    """A test suite that flushes after every key would grow the server faster than its ticks free."""
    world = World()
    large(world, b"k")
    for _ in range(100):
        world("SET a 1 EX 100")
        world("FLUSHALL ASYNC")
    waste = world.state.keyspace.waste
    assert not waste.tables
    assert len(waste.values) == 1
