"""Calls that come in a row are run in one loop: whatever can be seen of them is as if each had come alone."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from miniredis.engine.rows import Rows
from miniredis.structures.spread import WHOLE_MOST
from miniredis.structures.zset import SortedSet
from tests.unit.miniredis.engine.test_plain import Room, Tape
from tests.unit.miniredis.world import World

CLIENTS = 8
TEXT = "x" * 40
KINDS = (
    "SET {k} {v}", "GET {k}", "INCR {n}", "ZADD z {s} {m}", "GET {n}", "SET {n} 7", "INCR {k}", "ZADD {k} 1 a",
    "SET {k} {v} XX", "ZADD z NX {s} {m}", "get {k}", "ZADD large {s} {m}",
    "ZPOPMIN large", "ZPOPMIN z", "ZPOPMIN large 2",
    "MSET {k} {v} {n} {v2}", "MSET {k} {v} {n} 7", "MSET {k} {v} {k} 12", "MSET {k} {v} {n}", "MSET {n} {v}",
    "XADD entries * {k} {v}", "XADD entries * {k} {v} {n} 1", "XADD {k} * a 1", "XADD entries * a",
    "XADD entries 5-1 a 1",
)  # fmt: skip
VALUES = ("1", "-5", "007", TEXT, TEXT + "y", "z" * 1023, "z" * 1024, "z" * 20_000, "9" * 30, "9223372036854775807")
SCORES = ("0", "1", "7", "1.5", "-1", "inf", "9" * 310, "NX", "x")


def _nothing(world: World) -> None:
    pass


def _events(world: World) -> None:
    world.state.keyspace.events_mask = -1  # of all classes, by both channels


def _watched(world: World) -> None:
    world("WATCH k1 z n1", world.connect())


def _tracked(world: World) -> None:
    world("CLIENT TRACKING ON BCAST", world.connect())


def _waited_for(world: World) -> None:
    world.engine.execute(world.connect(), [b"BLPOP k1 k9 0".split(), b"BZPOPMIN z k2 0".split()])


def _expiring(world: World) -> None:
    for key in ("k1", "n1", "z"):
        world(f"SET {key} 1 PX 3")


def _counting_accesses(world: World) -> None:
    world.state.keyspace.set_policy(is_lfu=True, log_factor=10, decay_time=1)


def _limited(world: World) -> None:
    world.state.keyspace.limit_bytes = world.state.keyspace.settle_count() + 2000
    world.state.keyspace.settle_count()


def _stored(world: World) -> None:
    world("RPUSH k2 a")
    world("HSET n2 f v")
    world("ZADD k3 1 a")
    world("APPEND k0 " + TEXT)
    world("APPEND k0 " + TEXT)


PLACES: tuple[Callable[[World], None], ...] = (
    _nothing, _events, _watched, _tracked, _waited_for, _expiring, _counting_accesses, _limited, _stored,
)  # fmt: skip


def said(random: Random) -> list[tuple[int, str]]:
    """What clients send in one turn: mostly the same command, each something of its own."""
    lines = []
    who = list(range(CLIENTS))
    random.shuffle(who)
    kind = random.choice(KINDS)
    for client in who[: random.randrange(3, CLIENTS + 1)]:
        if random.random() < 0.1:
            kind = random.choice(KINDS)
        lines.append((client, kind.format(
            k=f"k{random.randrange(4)}", n=f"n{random.randrange(3)}", v=random.choice(VALUES),
            v2=random.choice(VALUES),
            s=random.choice(SCORES if random.random() < 0.2 else SCORES[:3]), m=f"m{random.randrange(9)}",
        )))  # fmt: skip
    return lines


def _seen(room: Room) -> list[object]:
    """All that may be asked for afterwards."""
    world = room.world
    state, keyspace = world.state, world.state.keyspace
    return [
        state.dirty, keyspace.hits, keyspace.misses, keyspace.expired_keys, keyspace.settle_count(),
        keyspace.evicted_keys, keyspace.pending, keyspace.touched, keyspace.events, keyspace.ready,
        world.heard.messages, state.observer.errors, [client.mode for client in room.clients],
        {name: (each.calls, each.failed, each.rejected) for name, each in world.engine.commands.items() if each.calls},
        *[(db.table.scan(0, 1000), db.deadlines.scan(0, 1000), db.dirty) for db in state.dbs[:2]],
        [(key, db.table.clock(key), _shown(db.table.get(key))) for db in state.dbs[:2] for key in db.table],
    ]  # fmt: skip


def _shown(value: object) -> object:
    if isinstance(value, SortedSet):
        return list(value)
    return value if isinstance(value, bytes | int) else type(value)


@pytest.mark.parametrize("is_heard", [False, True])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("seed", range(3))
def test_a_row_is_as_if_each_had_come_alone(
    seed: int, place: Callable[[World], None], is_heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer, an effect, an event or a count would be missing, twice there, or in another order."""
    random = Random(f"{seed}{place.__name__}")
    together, alone = Room(CLIENTS), Room(CLIENTS)
    ran: list[int] = []
    whole = Rows.run

    def run(self: Rows, *given: object) -> int:
        done = whole(self, *given)  # type: ignore[arg-type]
        ran.append(done)
        return done

    monkeypatch.setattr(Rows, "run", run)
    tapes = [Tape(room.world) for room in (together, alone) if is_heard]
    for room in (together, alone):
        room.world.engine.execute(room.world.client, [[b"ZADD", b"large", *large()]])
        place(room.world)
        room.send((1, "SELECT 1"))
        room.world.engine.execute(room.clients[2], [b"HELLO 3".split()])
    for _ in range(60):
        lines = said(random)
        answers = together.send(*lines)
        assert answers == [answer for line in lines for answer in alone.send(line)]
        assert _seen(together) == _seen(alone)
        if is_heard:
            assert tapes[0].data == tapes[1].data
            ends = [room.world.state.history.offset for room in (together, alone)]
            assert ends[0] == ends[1]
        for room in (together, alone):
            room.world.later(1)
    if place in (_nothing, _stored):
        assert sum(ran) > 20
        assert 0 < max(ran) <= CLIENTS
    elif place not in (_expiring, _waited_for):
        assert not any(ran)


def large() -> list[bytes]:
    """Scores and members, so many that they are dealt out soon."""
    return [word for number in range(600) for word in (b"%d" % (number % 50), b"%d" % number)]


def test_a_fault_in_a_row_leaves_what_was_done_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients would be answered for each other, or their commands run twice, after a fault of the server's own."""
    room = Room(4)
    tape = Tape(room.world)
    room.send((0, "SET k " + TEXT), (1, "SET l " + TEXT), (2, "SET m " + TEXT))
    before = tape.data
    db = room.world.state.dbs[0]
    put = type(db).put

    def fail(self: object, key: bytes, value: bytes) -> None:
        if key == b"new":
            raise MemoryError
        put(db, key, value)

    monkeypatch.setattr(type(db), "put", fail)
    with pytest.raises(MemoryError):
        room.send((0, "SET k " + TEXT), (1, "SET l 1"), (2, "SET new 1"), (3, "SET m 1"))
    assert [answer for _, answer in room.log] == [b"+OK\r\n"] * 2
    assert room.world.engine.plain.position == 2
    assert tape.data.removeprefix(before).count(b"SET") == 2
    assert room.world("GET m") == TEXT.encode()


def test_a_sorted_set_dealt_out_over_many_dicts_is_added_to_in_rows() -> None:
    """Members of a large one would be lost between its dicts and its order."""
    room = Room(4)
    db = room.world.state.dbs[0]
    words = [word for number in range(WHOLE_MOST) for word in (b"0", b"%06d" % number)]
    room.world.engine.execute(room.world.client, [[b"ZADD", b"z", *words]])
    room.send(*[(0, f"ZADD z 0 {number:06}") for number in range(WHOLE_MOST - 2, WHOLE_MOST + 600)])
    assert room.world("ZCARD z") == WHOLE_MOST + 600
    assert len(list(db.find(b"z"))) == WHOLE_MOST + 600  # type: ignore[arg-type]
