"""The keyspace: ways that are shorter than others leave the same behind."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from miniredis.engine.settings import Settings
from protocol.resp.values import OK
from tests.unit.miniredis.world import World

KEYS = ["a", "b", "c", "d"]
VALUES = ["1", "-5", "-", "007", "text", "9223372036854775808", "12345678901234567890123", "x" * 30]
BEFORE = ["EXPIRE {} 100", "RPUSH {} e", "DEL {}", "WATCH {}", "SET {} 3 PX 50", "GET {}"]


def seen(world: World) -> list[object]:
    found: list[object] = [world.state.dirty, world("MULTI"), world("PING"), world("EXEC")]
    for key in KEYS:
        found += [world(f"{verb} {key}") for verb in ("PTTL", "OBJECT ENCODING", "GET")]
    return found


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lfu"])
def test_several_keys_are_put_as_each_alone(policy: str) -> None:
    """MSET would leave a deadline, wake nobody who watches, or keep a number as a text."""
    random = Random(3)
    together, alone = [World(replace(Settings(), maxmemory_policy=policy)) for _ in range(2)]
    for _ in range(300):
        for _ in range(random.randrange(3)):
            line = random.choice(BEFORE).format(random.choice(KEYS))
            assert str(together(line)) == str(alone(line))
        pairs = [(random.choice(KEYS), random.choice(VALUES)) for _ in range(random.randrange(1, 5))]
        assert together("MSET " + " ".join(f"{key} {value}" for key, value in pairs)) is OK
        for key, value in pairs:
            assert alone(f"SET {key} {value}") is OK
        assert seen(together) == seen(alone)
        assert together.state.dbs[0].table.size == alone.state.dbs[0].table.size
