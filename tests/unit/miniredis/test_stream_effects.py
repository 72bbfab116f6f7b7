"""What is told of streams rebuilds them: the effects of many commands, replayed, give the same bytes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from miniredis.engine.call import Origin
from miniredis.engine.journal import TO_AOF
from miniredis.engine.settings import Settings
from miniredis.structures.stream import Stream
from protocol.resp.parser import Parser
from tests.unit.miniredis.world import Ear, World

COMMANDS = [
    "XADD s * f v", "XADD s * f v", "XADD s * g 12 f x", "XADD s MAXLEN ~ 5 * f v", "XADD s MAXLEN ~ 3 LIMIT 4 * f v",
    "XADD s MAXLEN 12 * f v", "XADD s MINID ~ {id} * f v", "XTRIM s MAXLEN ~ 6", "XTRIM s MAXLEN 9",
    "XTRIM s MINID ~ {id} LIMIT 3", "XDEL s {id}", "XSETID s 99999999999999-0 MAXDELETEDID {id}",
    "XGROUP CREATE s g1 0", "XGROUP CREATE s g2 $ MKSTREAM", "XGROUP SETID s g1 {id} ENTRIESREAD 5",
    "XGROUP DESTROY s g2", "XGROUP CREATECONSUMER s g2 {name}", "XGROUP DELCONSUMER s g1 {name}",
    "XREADGROUP GROUP g1 {name} COUNT 3 STREAMS s >", "XREADGROUP GROUP g1 {name} STREAMS s >",
    "XREADGROUP GROUP g2 {name} COUNT 2 NOACK STREAMS s >", "XREADGROUP GROUP g2 {name} COUNT 2 STREAMS s >",
    "XACK s g1 {id} {id}", "XACKDEL s g1 IDS 1 {id}", "XDELEX s DELREF IDS 1 {id}",
    "XCLAIM s g1 {name} 0 {id} {id}", "XCLAIM s g2 {name} 0 {id} FORCE IDLE 500 RETRYCOUNT 4",
    "XCLAIM s g1 {name} 0 {id} FORCE JUSTID LASTID {id}", "XAUTOCLAIM s g1 {name} 0 - COUNT 2",
    "XAUTOCLAIM s g2 {name} 0 0 JUSTID", "DEL s", "COPY s s2", "RENAME s2 s REPLACE",
]  # fmt: skip


def drawn(world: World, chance: Random) -> str:
    """One of the commands, with an id that is or was there."""
    entries: Any = world("XRANGE s - +")
    ids = [entry[0].decode() for entry in entries] if isinstance(entries, list) else []
    line = chance.choice(COMMANDS) if chance.random() < 0.98 else "DEL s"
    while "{id}" in line:
        line = line.replace("{id}", chance.choice([*ids, "1-1"]), 1)
    return line.replace("{name}", chance.choice(["alice", "bob", "carol"]))


def contents(world: World) -> Any:
    stream = world.state.dbs[0].table.get(b"s")
    if not isinstance(stream, Stream):
        return stream
    groups = {
        name: (
            group.last_id, group.entries_read,
            [(id, each.consumer.name, each.delivery_time, each.delivery_count) for id, each in group.pending.items()],
            [(each.name, list(each.ids)) for each in group.sorted_consumers() if len(each.ids)],
        )
        for name, group in sorted(stream.groups.items())
    }  # fmt: skip
    entries = stream.range(0, (1 << 128) - 1)
    return entries, stream.first_id, stream.last_id, stream.max_deleted_id, stream.entries_added, groups


@pytest.mark.parametrize("seed", range(12))
def test_effects_rebuild_a_stream(seed: int) -> None:
    """After a restart, or on a replica, a stream or its groups would be others than here."""
    chance = Random(seed)
    settings = Settings(stream_node_max_entries=3)
    here, there = World(settings), World(settings)
    ear = Ear(TO_AOF)
    here.state.journal.attach(ear)
    loader = there.connect()
    assert loader.call is not None
    loader.call.origin = Origin.AOF
    for _ in range(300):
        here.clock.ms += chance.randrange(3)
        there.clock.ms = here.clock.ms + 1000
        line = drawn(here, chance)
        here(line)
        told = Parser().take(ear.data) if ear.data else []
        ear.data = b""
        there.engine.execute(loader, told)
        assert contents(here) == contents(there), (line, told)
