"""What others are told: replicas and the append-only file hear the effects of a real Redis."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from miniredis.engine.journal import TO_AOF, TO_REPLICAS
from protocol.resp.parser import Parser
from tests.unit.miniredis.world import Ear, World

GOLDEN = Path(__file__).parents[3] / "golden" / "redis-replication-stream.txt"
LINES = [line.rstrip("\n") for line in GOLDEN.read_text().splitlines() if line and not line.startswith("#")]


def told(ear: Ear) -> list[str]:
    """The effects heard since the last time, as text."""
    commands, ear.data = Parser().take(ear.data), b""
    return [b" ".join(argv).decode() for argv in commands]


def test_stream_is_that_of_a_real_primary() -> None:
    """A replica or an AOF would end with other data than Redis'."""
    world, ear = World(), Ear(TO_REPLICAS)
    world.state.journal.attach(ear)
    world("SET first 1")
    assert told(ear) == ["SELECT 0", "SET first 1"]
    for line in LINES:
        given, _, expected = line.partition(" >")
        world.later(3)
        world(given)
        wanted = re.sub(r"@\+(\d+)", lambda m: str(world.clock.ms + int(m[1])), expected.strip())
        assert " ; ".join(told(ear)) == wanted, given


def test_transaction_is_told_as_one_when_it_did_several_things() -> None:
    """A replica could show half a transaction, or Redis' bare form of a single effect were missing."""
    world, ear = World(), Ear(TO_REPLICAS)
    world.state.journal.attach(ear)
    for line in ("MULTI", "SET a 1", "GET a", "INCR a", "EXEC"):
        world(line)
    assert told(ear) == ["MULTI", "SELECT 0", "SET a 1", "INCR a", "EXEC"]
    for line in ("MULTI", "SET a 1", "GET a", "EXEC"):
        world(line)
    assert told(ear) == ["SET a 1"]
    for line in ("MULTI", "GET a", "EXEC"):
        world(line)
    assert told(ear) == []


def test_database_is_restated_for_a_new_sink() -> None:
    """A sink that joins late would put the next effect into the wrong database."""
    world, first, second = World(), Ear(TO_REPLICAS), Ear(TO_AOF)
    world.state.journal.attach(first)
    world("SET a 1")
    world.state.journal.attach(second)
    world("SET b 1")
    assert told(second) == ["SELECT 0", "SET b 1"]
    assert told(first) == ["SELECT 0", "SET a 1", "SELECT 0", "SET b 1"]


def test_key_that_ended_is_told_before_what_made_it_seen() -> None:
    """A replica, which never expires by itself, would keep the old value."""
    world, ear = World(), Ear(TO_REPLICAS)
    world("SET a 1 PX 10")
    world.state.journal.attach(ear)
    world.later(11)
    assert world("GET a") is None
    assert told(ear) == ["SELECT 0", "DEL a"]
    world("SET b 1 PX 10")
    told(ear)
    world.later(11)
    assert world("APPEND b x") == 1
    assert told(ear) == ["MULTI", "DEL b", "APPEND b x", "EXEC"]


def test_a_served_waiter_is_a_unit_of_its_own() -> None:
    """The pop of a blocked client would be missing from the stream, or come before the push."""
    world, ear = World(), Ear(TO_REPLICAS)
    waiting = world.connect()
    world.state.journal.attach(ear)
    world("BLPOP l 0", client=waiting)
    world("RPUSH l a b")
    assert told(ear) == ["SELECT 0", "RPUSH l a b", "LPOP l"]
    assert waiting.out == [b"*2\r\n$1\r\nl\r\n$1\r\na\r\n"]


@pytest.mark.parametrize("target", [TO_AOF, TO_REPLICAS])
def test_effects_reach_only_whom_they_are_for(target: int) -> None:
    """PUBLISH would enter the append-only file."""
    world, ear = World(), Ear(target)
    journal = world.state.journal
    journal.attach(ear)
    journal.add(0, [b"PUBLISH", b"c", b"m"], TO_REPLICAS)
    journal.commit()
    assert ("PUBLISH c m" in told(ear)) == (target == TO_REPLICAS)
