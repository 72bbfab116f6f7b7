"""Hashes that nobody changes any more are packed, those in use are not."""

from miniredis.keyspace.resting import MOST_OPEN
from miniredis.structures.hash import Hash
from tests.unit.miniredis.world import World


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
