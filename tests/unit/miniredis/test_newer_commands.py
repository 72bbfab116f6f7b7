"""Commands and options of Redis 8 that no 7.4 could be asked about: as their pages describe them."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.resp.values import OK, Failure
from tests.unit.miniredis.world import Ear, World


@pytest.fixture
def world() -> World:
    return World()


def told(world: World, line: str) -> tuple[Any, bytes]:
    """The reply, and what the append-only file is told."""
    ear = Ear(1)
    world.state.journal.attach(ear)
    reply = world(line)
    world.state.journal.detach(ear)
    return reply, ear.data


def test_digest_is_xxh3(world: World) -> None:
    """Clients that compute the digest themselves (DIGEST, IFDEQ) would never match."""
    world.engine.execute(world.client, [[b"SET", b"k", b"Hello world"]])
    assert world("DIGEST k") == b"b6acb9d84a38ff74"
    assert world("DIGEST none") is None
    world("RPUSH l a")
    assert isinstance(world("DIGEST l"), Failure)


def test_delex_deletes_only_what_it_was_told_to(world: World) -> None:
    """A lock would be taken from somebody else: DELEX with IFEQ, IFNE, IFDEQ, IFDNE."""
    world("SET k mine")
    digest = world("DIGEST k").decode()
    assert world("DELEX k IFEQ other") == 0
    assert world("DELEX k IFNE mine") == 0
    assert world(f"DELEX k IFDNE {digest.upper()}") == 0
    assert world(f"DELEX k IFDEQ {'0' * 16}") == 0
    assert world(f"DELEX k IFDEQ {digest}") == 1
    assert world("DELEX k IFEQ mine") == 0
    world("SET k 12")
    assert world("DELEX k IFEQ 12") == 1
    world("RPUSH l a")
    assert isinstance(world("DELEX l IFEQ a"), Failure)
    assert world("DELEX l") == 1
    assert isinstance(world("DELEX k IFDEQ short"), Failure)
    assert isinstance(world("DELEX k NOPE x"), Failure)


def test_set_compares_before_it_stores(world: World) -> None:
    """Two writers that compare and set would overwrite each other."""
    assert world("SET k a IFEQ b") is None
    assert world("EXISTS k") == 0
    assert world("SET k a IFNE b") == OK
    assert world("SET k b IFEQ x") is None
    assert world("SET k b IFEQ x GET") == b"a"
    assert world("SET k b IFEQ a GET") == b"a"
    digest = world("DIGEST k").decode()
    assert world(f"SET k c IFDNE {digest}") is None
    assert world(f"SET k c IFDEQ {digest} EX 100") == OK
    assert world("TTL k") == 100
    assert told(world, "SET k d IFEQ c KEEPTTL")[1].endswith(b"$7\r\nKEEPTTL\r\n")
    assert world("TTL k") == 100
    assert isinstance(world("SET k d IFEQ c NX"), Failure)
    assert isinstance(world("SET k d NX IFEQ c"), Failure)


def test_msetex_sets_all_or_none(world: World) -> None:
    """MSETEX would store a part of what belongs together, or forget the time to live."""
    assert world("MSETEX 2 a 1 b 2 EX 100") == 1
    assert world("TTL a") == world("TTL b") == 100
    assert world("MSETEX 2 b 3 c 3 NX") == 0
    assert world("MSETEX 2 b 3 c 3 XX") == 0
    assert world("MSETEX 1 b 3 XX KEEPTTL") == 1
    assert world("TTL b") == 100
    assert b"PXAT" in told(world, "MSETEX 1 c 3 PX 5000")[1]
    assert world("MGET a b c") == [b"1", b"3", b"3"]
    for wrong in ("MSETEX 0 a 1", "MSETEX 2 a 1 b", "MSETEX 1 a 1 b", "MSETEX x a 1", "MSETEX 1 a 1 EX 0"):
        assert isinstance(world(wrong), Failure)


def test_hgetdel_reads_and_deletes(world: World) -> None:
    """HGETDEL would leave a field, or the key after its last one."""
    world("HSET h a 1 b 2")
    assert world("HGETDEL h FIELDS 2 a x") == [b"1", None]
    reply, effect = told(world, "HGETDEL h FIELDS 1 b")
    assert reply == [b"2"]
    assert b"HDEL" in effect
    assert world("EXISTS h") == 0
    assert world("HGETDEL h FIELDS 1 b") == [None]
    assert isinstance(world("HGETDEL h FIELDS 2 b"), Failure)


def test_hgetex_sets_and_clears_ends(world: World) -> None:
    """HGETEX would return fields and forget their time to live."""
    world("HSET h a 1 b 2")
    assert world("HGETEX h FIELDS 1 a") == [b"1"]
    reply, effect = told(world, "HGETEX h EX 100 FIELDS 2 a x")
    assert reply == [b"1", None]
    assert b"HPEXPIREAT" in effect
    assert world("HTTL h FIELDS 2 a b") == [100, -1]
    reply, effect = told(world, "HGETEX h PERSIST FIELDS 1 a")
    assert reply == [b"1"]
    assert b"HPERSIST" in effect
    assert world("HTTL h FIELDS 1 a") == [-1]
    assert world("HGETEX h PXAT 1 FIELDS 2 a b") == [b"1", b"2"]
    assert world("EXISTS h") == 0
    assert isinstance(world("HGETEX h EX -1 FIELDS 1 a"), Failure)
    assert isinstance(world("HGETEX h EX 1 PERSIST FIELDS 1 a"), Failure)


def test_hsetex_sets_fields_with_conditions_and_ends(world: World) -> None:
    """HSETEX would set some fields where it should set none, or lose their ends."""
    assert world("HSETEX h FXX FIELDS 1 a 1") == 0
    assert world("HSETEX h FNX EX 100 FIELDS 2 a 1 b 2") == 1
    assert world("HSETEX h FNX FIELDS 2 b 9 c 9") == 0
    assert world("HSETEX h FXX KEEPTTL FIELDS 1 a 5") == 1
    assert world("HTTL h FIELDS 2 a b") == [100, 100]
    assert world("HSETEX h FIELDS 1 a 6") == 1
    assert world("HTTL h FIELDS 2 a b") == [-1, 100]
    assert b"PXAT" in told(world, "HSETEX h PX 5000 FIELDS 1 c 3")[1]
    reply, effect = told(world, "HSETEX h PXAT 1 FIELDS 1 gone 1")
    assert reply == 1
    assert b"HDEL" in effect
    assert b"HSETEX" not in effect  # a replica would keep what has ended
    assert world("HEXISTS h gone") == 0
    assert isinstance(world("HSETEX h FIELDS 2 a 1"), Failure)


def test_fields_that_are_over_are_hidden_and_removed(world: World) -> None:
    """A session or a lock kept in a field would outlive its time, here or at a replica."""
    world("HSET h a 1 b 2 c 3")
    world("HPEXPIRE h 10 FIELDS 2 a b")
    world.later(20)
    assert world("HLEN h") == 3
    assert world("HGETALL h") == {b"c": b"3"}
    reply, effect = told(world, "HGET h a")
    assert reply is None
    assert effect.count(b"HDEL") == 1
    assert world("HLEN h") == 2
    assert world("HINCRBY h b 5") == 5
    assert world("HTTL h FIELDS 1 b") == [-1]
    world("HPEXPIRE h 10 FIELDS 2 b c")
    world.later(20)
    assert world("HRANDFIELD h") is None
    assert world("EXISTS h") == 0


def test_fields_end_although_nobody_asks(world: World) -> None:
    """Memory would never come back from fields that nobody reads again."""
    from miniredis.keyspace import field_expiry

    for number in range(50):
        world(f"HSET h{number} a 1 b 2")
        world(f"HPEXPIRE h{number} {10 + number} FIELDS 1 a")
    world("HPEXPIRE h0 10 FIELDS 1 b")
    world("RENAME h1 other")
    world("COPY h2 twin")
    world.later(1000)
    world.state.keyspace.tell_time(world.clock.ms)
    assert field_expiry.cycle(world.state.keyspace) is False
    assert world("EXISTS h0") == 0
    assert world("HLEN other") == world("HLEN twin") == world("HLEN h40") == 1
    assert world.state.keyspace.expired_fields == 52
