"""Hashes that nobody changes any more are packed, those in use are not."""

from miniredis.keyspace.resting import MOST_OPEN
from miniredis.structures.hash import Hash
from miniredis.structures.sets import Set
from tests.unit.miniredis.world import World


def test_small_sets_rest_too() -> None:
    """A set at rest answers otherwise than an open one, or loses what is changed in it."""
    world = World()
    for number in range(MOST_OPEN + 10):
        world(f"SADD s{number} one two 3")
    found = world.state.dbs[0].table.get(b"s0")
    assert isinstance(found, Set)
    assert found._packed
    assert world("SMEMBERS s0") == [b"one", b"two", b"3"]
    assert (world("SCARD s0"), world("SISMEMBER s0 two"), world("SISMEMBER s0 four")) == (3, 1, 0)
    assert world("SRANDMEMBER s0 -3") is not None
    assert world("SSCAN s0 0") == [b"0", [b"one", b"two", b"3"]]
    assert world("SREM s0 nobody") == 0
    assert found._packed
    assert world("COPY s0 other") == 1
    assert world("SADD s0 four one") == 1
    assert not found._packed
    assert world("SMEMBERS s0") == [b"one", b"two", b"3", b"four"]
    assert world("SMEMBERS other") == [b"one", b"two", b"3"]
    assert world("SPOP other 3") is not None
    assert world("EXISTS other") == 0
    assert world("SADD s1 " + " ".join(map(str, range(200)))) == 199
    assert world("OBJECT ENCODING s1") == b"hashtable"
    assert world("SCARD s1") == 202


def test_hashes_rest_when_others_were_changed_since() -> None:
    """Every small hash would keep its dict, at four times Redis's memory."""
    world = World()
    for number in range(MOST_OPEN + 100):
        world(f"HSET h{number} field value")
        world("HSET busy field value")
    table = world.state.dbs[0].table
    found = [table.get(b"h%d" % number) for number in range(MOST_OPEN + 100)]
    packed = [value for value in found if isinstance(value, Hash) and value._packed]
    assert 50 <= len(packed) <= 150
    assert len(world.state.keyspace.resting) == MOST_OPEN
    assert world("HGET h0 field") == b"value"
    assert world("HINCRBY h0 n 1") == 1
    assert world("HGETALL h0") == {b"field": b"value", b"n": b"1"}
