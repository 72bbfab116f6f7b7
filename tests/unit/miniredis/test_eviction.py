"""maxmemory: what goes when memory is short, what is refused, and what others hear of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from miniredis.engine.client import CLOSING
from miniredis.engine.journal import TO_REPLICAS
from miniredis.engine.settings import Settings
from miniredis.keyspace.evict import POLICIES, patience_s
from protocol.resp.parser import Parser
from protocol.resp.values import Failure, Status
from tests.unit.miniredis.world import Ear, World

VALUE = "x" * 1000
OOM = "OOM command not allowed when used memory > 'maxmemory'."


def text(reply: Any) -> str:
    if isinstance(reply, Failure | Status):
        return reply.text.decode()
    return str(reply)


def limited(policy: str, room_bytes: int, **others: Any) -> World:
    """A server that has room for so much more than it holds now."""
    world = World(replace(Settings(), maxmemory_policy=policy, maxmemory_eviction_tenacity=100, **others))
    allow(world, room_bytes)
    return world


def evaluated(world: World, script: str, *keys: str) -> Any:
    words = ["EVAL", script, str(len(keys)), *keys]
    return world.engine.execute(world.client, [[word.encode() for word in words]])[0]


def allow(world: World, room_bytes: int) -> None:
    most = world.engine.memory.used_bytes() + room_bytes
    world.state.apply_settings(replace(world.state.settings, maxmemory=most))


def filled(world: World, count: int, prefix: str = "key", *, ttl: bool = False) -> None:
    for number in range(count):
        world(f"SET {prefix}:{number} {VALUE}" + (" EX 1000" if ttl else ""))


def test_used_memory_stays_below_the_limit_and_old_keys_go() -> None:
    """A cache would grow until the machine ends it, or throw away what was just read."""
    world = limited("allkeys-lru", 200_000, maxmemory_samples=10)
    filled(world, 100)
    for number in range(100, 400):
        world.later(1000)
        for kept in range(5):
            world(f"GET key:{kept}")
        world(f"SET key:{number} {VALUE}")
        world("PING")  # before any command room is made
        assert world.engine.memory.used_bytes() <= world.state.settings.maxmemory
    assert world("EXISTS key:0 key:1 key:2 key:3 key:4") >= 4
    assert world.state.keyspace.evicted_keys >= 200
    assert 150 <= world("DBSIZE") <= 200


@pytest.mark.parametrize("policy", [name for name in POLICIES if name.startswith("allkeys")])
def test_any_key_may_go(policy: str) -> None:
    """A policy would refuse writes although there is much to evict."""
    world = limited(policy, 100_000)
    # Keys of one instant are equal to every policy: which of them go differs from run to run.
    assert {text(world(f"SET key:{number} {VALUE}")) for number in range(300)} == {"OK"}
    assert 50 <= world("DBSIZE") <= 100
    assert world.engine.memory.used_bytes() <= world.state.settings.maxmemory + 2000


@pytest.mark.parametrize("policy", [name for name in POLICIES if name.startswith("volatile")])
def test_keys_without_a_deadline_stay(policy: str) -> None:
    """What was to be kept for ever would go; or, with nothing else left, a write would be taken all the same."""
    world = limited(policy, 200_000)
    filled(world, 100)
    filled(world, 200, "short", ttl=True)
    assert world("EXISTS " + " ".join(f"key:{number}" for number in range(100))) == 100
    assert 20 < world("DBSIZE") - 100 < 100
    refused = [text(world(f"SET more:{number} {VALUE}")) for number in range(200)]
    assert OOM in refused
    assert world("EXISTS " + " ".join(f"key:{number}" for number in range(100))) == 100


def test_the_next_to_end_goes_first() -> None:
    """volatile-ttl would throw away what is to live longest."""
    world = limited("volatile-ttl", 100_000, maxmemory_samples=64)
    for number in range(80):
        world(f"SET key:{number} {VALUE} EX {1000 + number * 100}")
    allow(world, -40_000)
    world("PING")
    left = [number for number in range(80) if world(f"EXISTS key:{number}")]
    assert 20 < len(left) < 60
    assert sum(left) / len(left) > 50


def test_seldom_used_keys_go_first() -> None:
    """allkeys-lfu would go by the last access."""
    world = limited("allkeys-lfu", 100_000, maxmemory_samples=64, lfu_log_factor=0)
    filled(world, 60)
    for _ in range(20):
        for number in range(30):
            world(f"GET key:{number}")
    for number in range(30, 60):
        world(f"GET key:{number}")
    allow(world, -25_000)
    world("PING")
    left = [number for number in range(60) if world(f"EXISTS key:{number}")]
    assert len([number for number in left if number < 30]) >= 29
    assert len(left) < 45


def test_without_eviction_what_takes_memory_is_refused() -> None:
    """A full server would take writes, or refuse reads and deletions too."""
    world = limited("noeviction", -1)
    assert text(world(f"SET a {VALUE}")) == OOM
    assert text(world("LPUSH l a")) == OOM
    assert world("GET a") is None
    assert world("DEL a") == 0
    assert text(world("EVAL return(redis.call('SET','a','b')) 1 a")).startswith(OOM)
    assert world("EVAL return(redis.call('GET','a')) 1 a") is None
    allow(world, 100_000)
    assert text(world("SET a b")) == "OK"


def test_a_transaction_with_a_refused_command_is_discarded() -> None:
    """Half of it would be carried out."""
    world = limited("noeviction", -1)
    world("MULTI")
    assert text(world("SET a b")) == OOM
    assert text(world("EXEC")) == "EXECABORT Transaction discarded because of previous errors."
    allow(world, 10_000)
    world("MULTI")
    assert world("SET a b") == world("GET a")
    allow(world, -1)
    assert text(world("EXEC")) == f"EXECABORT Transaction discarded because of: {OOM}"
    assert world("EXISTS a") == 0


def test_scripts_say_whether_they_may_run() -> None:
    """A script with flags would be stopped half way, or run although memory is short."""
    world = limited("noeviction", -1)
    loud = "#!lua flags=allow-oom\nreturn redis.call('SET','k','v')"
    assert text(evaluated(world, loud, "k")) == "OK"
    silent = "#!lua\nreturn 1"
    assert text(evaluated(world, silent)) == OOM
    reads = "#!lua flags=no-writes\nreturn 1"
    assert evaluated(world, reads) == 1


def test_a_unit_is_never_stopped_half_way() -> None:
    """Memory that a transaction itself takes would abort the rest of it, or evict in its midst."""
    world = limited("noeviction", 50_000)
    world("MULTI")
    for number in range(100):
        world(f"SET key:{number} {VALUE}")
    assert [text(reply) for reply in world("EXEC")] == ["OK"] * 100
    assert text(world("SET a b")) == OOM


def test_others_hear_of_what_goes() -> None:
    """A replica would keep evicted keys for ever; a listener would miss them."""
    world = limited("allkeys-random", 100_000, notify_keyspace_events=(1 << 1) | (1 << 9))
    ear = Ear(TO_REPLICAS)
    world.state.journal.attach(ear)
    filled(world, 200)
    world("PING")
    told = Parser().take(ear.data)
    gone = [argv[1] for argv in told if argv[0] == b"DEL"]
    assert len(gone) == world.state.keyspace.evicted_keys > 50
    assert [message for channel, message in world.heard.messages if channel.endswith(b":evicted")] == gone
    assert not [argv for argv in told if argv[0] == b"MULTI"]
    world.state.apply_settings(replace(world.state.settings, lazyfree_lazy_eviction=True))
    ear.data = b""
    filled(world, 10, "more")
    assert {argv[0] for argv in Parser().take(ear.data)} == {b"SET", b"UNLINK"}


def test_growth_in_place_counts() -> None:
    """A list could grow without end under maxmemory."""
    world = limited("noeviction", 100_000)
    replies = [text(world(f"LPUSH list {VALUE}")) for _ in range(200)]
    assert 60 < replies.index(OOM) < 110
    assert set(replies[replies.index(OOM) :]) == {OOM}
    world("DEL list")
    assert text(world(f"APPEND text {VALUE}")) == "1000"


def test_a_replica_leaves_it_to_its_primary() -> None:
    """Replica and primary would evict different keys."""
    world = limited("allkeys-lru", -1)
    world.state.is_replica = True
    world.state.apply_settings(world.state.settings)
    assert text(world("SET a b")) == "OK"
    assert world("EXISTS a") == 1
    world.state.apply_settings(replace(world.state.settings, replica_ignore_maxmemory=False))
    assert text(world("SET a b")) == OOM


def test_tenacity_is_time() -> None:
    """maxmemory-eviction-tenacity would mean other times than in Redis."""
    assert patience_s(0) == 0.0
    assert patience_s(10) == 500e-6
    assert patience_s(11) == pytest.approx(575e-6)
    assert patience_s(100) == float("inf")


def test_a_large_eviction_is_done_in_slices() -> None:
    """One command would wait for the eviction of a whole database."""
    world = World(replace(Settings(), maxmemory_policy="allkeys-random", maxmemory_eviction_tenacity=0))
    filled(world, 1000)
    ticks = iter(range(1 << 30))
    world.engine.memory.evictor.monotonic = lambda: next(ticks) / 1e6
    allow(world, -900_000)
    world("PING")
    assert 900 < world("DBSIZE") < 1000
    assert world.engine.memory.is_unfinished
    for _ in range(100):
        world.engine.memory.tick()
    assert not world.engine.memory.is_unfinished
    assert 100 < world("DBSIZE") < 250
    assert world.engine.memory.short_ms()[1] == 0


def test_who_takes_most_is_disconnected() -> None:
    """maxmemory-clients would throw out who takes little, or who asked not to be."""
    world = World(replace(Settings(), maxmemory_clients=300_000))
    small, large, spared = (world.connect() for _ in range(3))
    small.out.append(b"x" * 10_000)
    large.out.append(b"x" * 250_000)
    spared.out.append(b"x" * 260_000)
    world("CLIENT NO-EVICT ON", spared)
    world.engine.memory.tick()
    assert [bool(client.mode & CLOSING) for client in (small, large, spared)] == [False, True, False]
    assert world.engine.memory.evicted_clients == 1
