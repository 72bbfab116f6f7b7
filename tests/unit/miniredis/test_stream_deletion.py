"""XDELEX and XACKDEL, which no 7.4 can be asked about: what Redis 8.2's own pages and tests say of them."""

from __future__ import annotations

import pytest

from miniredis.engine.journal import TO_AOF
from protocol.resp.values import Failure
from tests.unit.miniredis.world import Ear, World


@pytest.fixture
def world() -> World:
    """Two entries, both given to both of two groups."""
    world = World()
    world("XADD s 1-0 f v")
    world("XADD s 2-0 f v")
    for group in ("g1", "g2"):
        world(f"XGROUP CREATE s {group} 0")
        world(f"XREADGROUP GROUP {group} c STREAMS s >")
    return world


def pending(world: World, group: str) -> int:
    return world(f"XPENDING s {group}")[0]


def test_acknowledging_deletes(world: World) -> None:
    """Entries would stay in the stream, or in the list of the group that has acknowledged them."""
    assert world("XACKDEL s g1 IDS 2 1-0 9-0") == [1, -1]
    assert (world("XLEN s"), pending(world, "g1"), pending(world, "g2")) == (1, 1, 2)
    assert world("XACKDEL s g2 KEEPREF IDS 1 1-0") == [1], "it was given this entry, though the entry is gone"
    assert world("XACKDEL s g1 IDS 1 1-0") == [-1]


def test_references_go_as_well(world: World) -> None:
    """A group would wait for ever for the acknowledgement of what is gone."""
    assert world("XACKDEL s g1 DELREF IDS 1 1-0") == [1]
    assert (pending(world, "g1"), pending(world, "g2")) == (1, 1)
    assert world("XDELEX s IDS 1 2-0 DELREF") == [1]
    assert (world("XLEN s"), pending(world, "g1"), pending(world, "g2")) == (0, 0, 0)


def test_references_to_nothing_go_too(world: World) -> None:
    """What XDEL has left in the lists of groups could not be cleared away."""
    world("XDEL s 1-0")
    assert world("XDELEX s DELREF IDS 1 1-0") == [-1]
    assert (pending(world, "g1"), pending(world, "g2")) == (1, 1)


def test_only_what_nobody_wants(world: World) -> None:
    """An entry would be deleted that a group has not acknowledged, or has yet to be given."""
    assert world("XACKDEL s g1 ACKED IDS 2 1-0 2-0") == [2, 2]
    assert (world("XLEN s"), pending(world, "g1"), pending(world, "g2")) == (2, 0, 2)
    assert world("XDELEX s ACKED IDS 2 1-0 7-0") == [2, -1]
    assert world("XACKDEL s g2 ACKED IDS 1 1-0") == [1]
    world("XACK s g2 2-0")
    world("XGROUP CREATE s g3 0")
    assert world("XDELEX s ACKED IDS 1 2-0") == [2], "a new group is to be given it"
    world("XGROUP SETID s g3 $")
    assert world("XDELEX s ACKED IDS 1 2-0") == [1]
    assert world("XLEN s") == 0


def test_keeping_references_is_the_rule(world: World) -> None:
    """XDELEX without a policy would do more than XDEL does."""
    assert world("XDELEX s IDS 2 1-0 1-0") == [1, -1]
    assert world("XDELEX s KEEPREF IDS 1 2-0") == [1]
    assert (world("XLEN s"), pending(world, "g1"), pending(world, "g2")) == (0, 2, 2)


def test_others_are_told_and_told_only_of_changes(world: World) -> None:
    """A replica would keep what is deleted here, or WATCH fail for nothing."""
    ear = Ear(TO_AOF)
    world.state.journal.attach(ear)
    world("XDELEX s IDS 1 9-0")
    world("XDELEX s ACKED IDS 1 1-0")
    world("XACKDEL s g1 IDS 1 9-0")
    assert ear.data == b""
    world("XACKDEL s g1 ACKED IDS 1 1-0")
    assert b"XACKDEL" in ear.data
    world("XDELEX s IDS 1 1-0")
    assert b"XDELEX" in ear.data


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("IDS x 1-0", "ERR Number of IDs must be a positive integer"),
        ("IDS 0 1-0", "ERR Number of IDs must be a positive integer"),
        ("IDS -5 1-0", "ERR Number of IDs must be a positive integer"),
        ("IDS 9223372036854775807 1-0", "ERR The `numids` parameter must match the number of arguments"),
        ("IDS 3 1-0 2-0", "ERR The `numids` parameter must match the number of arguments"),
        ("IDS 1 1-0 2-0", "ERR syntax error"),
        ("KEEPREF DELREF IDS 1 1-0", "ERR syntax error"),
        ("ACKED KEEPREF IDS", "ERR syntax error"),
        ("IDS 1 x", "ERR Invalid stream ID specified as stream command argument"),
        ("KEEPREF 1 1-0", "ERR syntax error"),
    ],
)
def test_refusals(world: World, words: str, error: str) -> None:
    """A mistake in the words would delete something, or be told otherwise than by Redis."""
    assert world(f"XDELEX s {words}") == Failure(error)
    assert world(f"XACKDEL s g1 {words}") == Failure(error)
    assert world("XLEN s") == 2


def test_nothing_there(world: World) -> None:
    """A key or group that is not there would be an error, or made."""
    assert world("XDELEX none IDS 2 1-0 2-0") == [-1, -1]
    assert world("XACKDEL none g IDS 1 1-0") == [-1]
    assert world("XACKDEL s none IDS 2 1-0 2-0") == [-1, -1]
    assert world("EXISTS none") == 0
    world("SET str x")
    assert world("XDELEX str IDS 1 1-0").code == b"WRONGTYPE"
    assert world("XACKDEL str g IDS 1 1-0").code == b"WRONGTYPE"
    assert world("XDELEX s IDS 1").text.startswith(b"ERR wrong number of arguments")
    assert world("XACKDEL s g1 IDS 1").text.startswith(b"ERR wrong number of arguments")
