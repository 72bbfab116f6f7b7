"""The count of memory: what the keys and values take, however they came, changed and went."""

from __future__ import annotations

from random import Random

import pytest

from miniredis.engine.state import State
from miniredis.keyspace.counting import KEY_BYTES, counted_bytes
from tests.unit.miniredis.world import World

_COMMANDS = (
    "SET {k} {v}", "SET {k} {n}", "SETEX {k} 1 {v}", "APPEND {k} {v}", "SETRANGE {k} {n} {v}", "SETBIT {k} {n} 1",
    "INCR {k}", "INCRBYFLOAT {k} 1.5", "GETDEL {k}", "MSET {k} {v} {j} {n}", "DEL {k}", "UNLINK {k} {j}",
    "RPUSH {k} {v} {n} {v}", "LPOP {k} 2", "LSET {k} 0 {v}", "LTRIM {k} 0 3", "LMOVE {k} {j} LEFT RIGHT",
    "HSET {k} {n} {v} f {v}", "HDEL {k} {n} f", "HPEXPIRE {k} 20 FIELDS 1 f", "HGETALL {k}", "HGET {k} f",
    "HINCRBY {k} {n} 3", "HRANDFIELD {k} 2", "SADD {k} {n} {v}", "SADD {k} {n}", "SREM {k} {n} {v}", "SPOP {k}",
    "SRANDMEMBER {k} 3", "SUNIONSTORE {k} {k} {j}", "ZADD {k} {n} {v} {n} b", "ZREM {k} {v}", "ZPOPMIN {k}",
    "ZRANGE {k} 0 -1", "ZRANDMEMBER {k} 2", "ZUNIONSTORE {k} 2 {k} {j}", "XADD {k} * f {v}", "XTRIM {k} MAXLEN 2",
    "PFADD {k} {v}", "PFMERGE {k} {j}", "GEOADD {k} 1 2 {v}", "RENAME {k} {j}", "COPY {k} {j} REPLACE", "MOVE {k} 1",
    "SWAPDB 0 1", "SELECT 1", "SELECT 0", "SORT {k} ALPHA STORE {j}", "EXPIRE {k} 100", "DUMP {k}", "FLUSHDB",
    "XGROUP CREATE {k} g 0", "XREADGROUP GROUP g c STREAMS {k} >",
    "XREADGROUP GROUP g {n} COUNT 1 STREAMS {k} >", "XACK {k} g {n}-0 1-0", "XCLAIM {k} g {n} 0 1-1 {n}-0 FORCE",
    "XAUTOCLAIM {k} g {n} 0 0 COUNT 2", "XADD {k} {n}-0 f {v}", "XGROUP CREATECONSUMER {k} g {n}",
    "XGROUP DELCONSUMER {k} g {n}", "XGROUP DESTROY {k} g",
    "XDEL {k} 1-1", "VADD {k} VALUES 2 1 2 {n}",
    "DEBUG RELOAD",
)  # fmt: skip


def _recount(state: State) -> int:
    keyspace = state.keyspace
    keyspace.settle_count()
    return sum(len(key) + KEY_BYTES + counted_bytes(value) for db in state.dbs for key, value in db.table.items())


@pytest.mark.parametrize("seed", range(4))
def test_what_was_added_is_taken_off(seed: int) -> None:
    """`used_memory` would drift: a server under maxmemory would evict for ever, or never."""
    random, world = Random(seed), World()
    for _ in range(3000):
        line = random.choice(_COMMANDS[:-1] if random.random() < 0.99 else _COMMANDS)
        if line == "FLUSHDB" and random.random() < 0.9:
            continue
        values = {"k": f"k{random.randrange(12)}", "j": f"k{random.randrange(12)}", "n": str(random.randrange(300)),
                  "v": "x" * random.randrange(1, 90)}  # fmt: skip
        world(line.format(**values))
        world.later(1)
        if random.random() < 0.02:
            wanted = _recount(world.state)
            assert world.state.keyspace.settle_count() == wanted, line
    assert world.state.keyspace.settle_count() == _recount(world.state)
    world("FLUSHALL")
    assert world.state.keyspace.settle_count() == 0


def test_figure_follows_a_value_that_grows_under_its_key() -> None:
    """An APPEND or a thousand LPUSHes would take no memory as far as maxmemory knows."""
    world = World()
    settled = world.state.keyspace.settle_count
    world("SET text x")
    before = settled()
    world("SETRANGE text 100000 x")
    assert 100_000 <= settled() - before <= 100_200
    before = settled()
    for number in range(1000):
        world(f"LPUSH list {number:0100d}")
    assert 100_000 <= settled() - before <= 160_000
    world("DEL text list")
    assert settled() == 0


def test_a_change_is_counted_however_many_values_are_open() -> None:
    """Of every few hundred changes one was not counted: the figure drifts below what there is."""
    world = World()
    for number in range(300):
        world(f"RPUSH list{number} a b c")
    world.state.keyspace.settle_count()
    for _ in range(3):
        for number in range(300):
            world(f"RPUSH list{number} {'x' * 30}")
            world(f"LMOVE list{number} list{(number + 7) % 300} LEFT RIGHT")
    counted = world.state.keyspace.settle_count()
    assert counted == _recount(world.state)
