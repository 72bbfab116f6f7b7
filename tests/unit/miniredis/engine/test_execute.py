"""The path of a command, without sockets."""

from __future__ import annotations

import ast
import gc
import time
from dataclasses import replace

import pytest

from miniredis.engine.client import REPLY_OFF, REPLY_SKIP, Client
from miniredis.engine.observe import quoted, redacted
from miniredis.engine.settings import Settings
from miniredis.engine.state import LOADING, MONITORED, OUT_OF_MEMORY
from miniredis.keyspace.notify import format_classes, parse_classes
from protocol.resp.values import BLOCKED, NULL_ARRAY, OK, Failure
from tests.unit.miniredis.world import World


def test_ten_thousand_requests_leave_no_cycle() -> None:
    """Garbage would pile up until a full collection stops the server for many milliseconds."""
    world = World()
    lines = [
        "SET a 1", "GET a", "INCR a", "LPUSH l x", "GET l", "NOSUCH", "GET", "MULTI", "SET b 1", "EXEC", "DEL l",
        "SET e v PX 1", "HSET h f v", "ZADD z 1 m", "SADD s m", "SCAN 0", "WATCH a", "UNWATCH", "SET a x GET",
    ]  # fmt: skip
    world.send(*lines)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10_000 // len(lines) + 1):
            world.send(*lines)
            world.later(2)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_refused_command_leaves_no_cycle() -> None:
    """What it had in its hands, 512 MB maybe, would stay in memory until a full collection."""
    world = World()
    world.send("LPUSH l x")
    gc.collect()
    gc.disable()
    try:
        for line in ("GET l", "INCRBY a b", "SET a 1 EX 0", "MULTI", "NOSUCH", "EXEC"):
            world.engine.plain.run(world.client, [line.encode().split()])
            world.engine.execute(world.client, [line.encode().split()])
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_blocked_client_runs_nothing_more() -> None:
    """Commands behind a blocking one would be answered before it."""
    world = World()
    waiting = world.connect()
    taken = world.engine.plain.run(waiting, [[b"GET", b"a"], [b"BLPOP", b"l", b"0"], [b"GET", b"b"]])
    assert taken == 2
    assert waiting.out == [b"$-1\r\n"]
    assert waiting.blocked is not None


def test_waiters_are_served_in_order_of_arrival() -> None:
    """The one who came last could be served first, and elements be lost or given twice."""
    world = World()
    clients = [world.connect() for _ in range(3)]
    for client in clients:
        assert world("BLPOP l other 0", client=client) is BLOCKED
    assert world("RPUSH l a b c d") == 4
    assert [client.out[0].split(b"\r\n")[4] for client in clients] == [b"a", b"b", b"c"]
    assert world("LRANGE l 0 -1") == [b"d"]
    assert len(world.state.blocked) == 0
    assert world.state.dbs[0].waiting == {}


def test_nobody_is_served_inside_a_transaction() -> None:
    """LPUSH and DEL in one MULTI would hand out an element that never was there for others."""
    world = World()
    waiting = world.connect()
    world("BLPOP l 0", client=waiting)
    for line in ("MULTI", "LPUSH l a", "DEL l", "EXEC"):
        world(line)
    assert waiting.out == []
    world("SET l string")
    assert waiting.out == []
    world("DEL l")
    world("LPUSH l b")
    assert waiting.out


def test_a_served_waiter_can_serve_the_next() -> None:
    """A chain of BLMOVEs would stop after its first link."""
    world = World()
    first, second = world.connect(), world.connect()
    world("BLMOVE a b LEFT RIGHT 0", client=first)
    world("BLPOP b 0", client=second)
    world("RPUSH a x")
    assert first.out == [b"$1\r\nx\r\n"]
    assert second.out == [b"*2\r\n$1\r\nb\r\n$1\r\nx\r\n"]
    assert world("EXISTS a b") == 0


def test_timeouts_answer_null_and_forget_the_waiter() -> None:
    """A client would wait for ever, or be served after it was told that nothing came."""
    world = World()
    waiting = world.connect()
    world("BLPOP l 0.5", client=waiting)
    assert world.state.blocked.next_deadline() == world.clock.ms + 500
    world.later(499)
    world.engine.waiting.release_expired(world.clock.ms)
    assert waiting.out == []
    world.later(2)  # its last millisecond is over
    world.engine.waiting.release_expired(world.clock.ms)
    assert waiting.out == [b"*-1\r\n"]
    world("RPUSH l a")
    assert world("LLEN l") == 1


def test_who_leaves_is_forgotten() -> None:
    """A closed connection would keep its watches and its place in a queue, and an element could go to it."""
    world = World()
    waiting, watching = world.connect(), world.connect()
    world("BLPOP l 0", client=waiting)
    world("WATCH k", client=watching)
    world.engine.dismiss(waiting)
    world.engine.dismiss(watching)
    world("RPUSH l a")
    assert world("LLEN l") == 1
    assert not world.state.watches.watchers
    assert not world.state.keyspace.heeds_touches


def test_a_refusal_inside_multi_aborts() -> None:
    """EXEC would run a transaction of which a part was refused."""
    world = World()
    world("MULTI")
    assert isinstance(world("GET"), Failure)
    assert world("EXEC").code == b"EXECABORT"


def test_guards_in_the_order_of_redis() -> None:
    """A client would be told the second reason before the first."""
    world = World()
    world.state.mode |= LOADING | OUT_OF_MEMORY
    assert world("SET a 1").code == b"OOM"
    assert world("GET a").code == b"LOADING"
    assert world("SET a").text.startswith(b"ERR wrong number")
    assert world("MULTI") is OK
    assert world("SET a 1").code == b"OOM"
    world.state.mode &= ~OUT_OF_MEMORY
    assert world("EXEC").code == b"EXECABORT"


def test_reply_off_and_skip() -> None:
    """A client that asked for silence would get replies it cannot match."""
    world = World()
    world.client.mode |= REPLY_SKIP
    assert world.send("SET a 1", "GET a") == b"$1\r\n1\r\n"
    world.client.mode |= REPLY_OFF
    assert world.send("SET a 1", "GET a", "NOSUCH") == b""


def test_statistics() -> None:
    """INFO would count wrongly."""
    world = World()
    world("CONFIG x")
    for line in ("SET a 1", "GET a", "GET b", "LPUSH a 1", "GET"):
        world(line)
    commands = {command.spec.name: command for command in world.state.observer.commands}
    assert (commands[b"get"].calls, commands[b"get"].rejected) == (2, 1)
    assert (commands[b"lpush"].calls, commands[b"lpush"].failed) == (1, 1)
    assert (world.state.keyspace.hits, world.state.keyspace.misses) == (1, 1)
    assert world.state.observer.errors[b"WRONGTYPE"] == 1
    assert world.state.dirty == 1


def test_slow_log_keeps_what_it_is_told_to() -> None:
    """SLOWLOG GET would show too much or too little."""
    world = World(replace(Settings(), slowlog_log_slower_than=0, slowlog_max_len=2))
    world.send("GET a", "GET " + "x" * 200, "MSET " + "k v " * 40)
    slow = world.state.observer.slow
    assert [entry.id for entry in slow] == [2, 1]
    assert slow[0].argv[-1] == b"... (50 more arguments)"
    assert slow[1].argv[1].endswith(b"... (72 more bytes)")
    world.send("GEOADD places 1 2 here")
    assert slow[0].argv[0] == b"GEOADD"


def test_monitor_hears_commands() -> None:
    """MONITOR would miss commands, or show passwords."""
    world = World()
    watcher = world.connect()
    world.state.observer.monitors[watcher] = None
    world.state.mode |= MONITORED
    world.send("SET a 1", "MULTI", "GET a", "EXEC")
    shown = [line.split(b"] ", 1)[1] for line in b"".join(watcher.out).split(b"\r\n")[:-1]]
    assert shown == [b'"SET" "a" "1"', b'"MULTI"', b'"GET" "a"', b'"EXEC"']


def test_passwords_of_other_servers_are_not_shown() -> None:
    """MONITOR and the slow log would show what MIGRATE logs in with; what is a key after KEYS is shown."""
    words = b"MIGRATE h 1 k 0 9 copy auth secret AUTH2 me secret KEYS auth secret".split()
    assert b" ".join(redacted(words)) == (
        b"MIGRATE h 1 k 0 9 copy auth (redacted) AUTH2 (redacted) (redacted) KEYS auth secret"
    )


def test_monitor_hears_who_waits_once() -> None:
    """MONITOR would show a blocking command never, or again when it is served."""
    world = World()
    watcher, other = world.connect(), world.connect()
    world.state.observer.monitors[watcher] = None
    world.state.mode |= MONITORED
    assert world("BLPOP l 0") is BLOCKED
    world("RPUSH l x", other)
    shown = [line.split(b"] ", 1)[1] for line in b"".join(watcher.out).split(b"\r\n")[:-1]]
    assert shown == [b'"BLPOP" "l" "0"', b'"RPUSH" "l" "x"']


def test_who_waited_in_vain_is_counted() -> None:
    """INFO commandstats would know nothing of commands that timed out or were unblocked."""
    world = World()
    other = world.connect()
    blpop = world.engine.commands[b"blpop"]
    assert world("BLPOP l 1") is BLOCKED
    world.later(2000)
    world.engine.waiting.release_expired(world.engine.begin_unit())
    assert (blpop.calls, blpop.failed) == (1, 0)
    assert world("BLPOP l 0") is BLOCKED
    assert world(f"CLIENT UNBLOCK {world.client.id} ERROR", other) == 1
    assert (blpop.calls, blpop.failed) == (2, 1)
    assert world.state.observer.errors[b"UNBLOCKED"] == 1


def test_a_pause_is_no_waiting_for_keys() -> None:
    """CLIENT UNBLOCK would answer null to a command that has not even been run."""
    world = World()
    other = world.connect()
    world("CLIENT PAUSE 1000 WRITE", other)
    world.engine.plain.run(world.client, [b"SET a 1".split()])
    assert world(f"CLIENT UNBLOCK {world.client.id}", other) == 0
    assert world.client.blocked is not None


def test_monitor_shows_any_byte() -> None:
    """A line of MONITOR could be broken, or forged, by what a client sends."""
    every = bytes(range(256))
    shown = quoted(every)
    assert shown[0:1] == shown[-1:] == b'"'
    assert shown[1:-1].decode("ascii").isprintable()
    assert shown.startswith(b'"\\x00\\x01\\x02\\x03\\x04\\x05\\x06\\a\\b\\t\\n\\x0b\\x0c\\r\\x0e')
    assert b' !\\"#$' in shown
    assert b"[\\\\]^" in shown
    assert b"}~\\x7f\\x80" in shown
    assert ast.literal_eval("b" + shown.decode("ascii")) == every


def test_a_key_is_watched_once() -> None:
    """A client could hold everybody up by watching: each key would be looked for among all those before it."""
    world = World()
    keys = b" ".join(b"k%d" % number for number in range(40_000))
    started = time.process_time()
    assert world(b"WATCH " + keys) == world(b"WATCH " + keys) == OK
    assert time.process_time() - started < 5  # the quadratic way takes a minute
    assert len(world.client.watched) == 40_000
    world("UNWATCH")
    assert not world.state.watches.watchers


@pytest.mark.parametrize("here", ["missing", "stale", "alive"])
@pytest.mark.parametrize("there", ["missing", "stale", "alive"])
def test_swapped_databases_and_watch(here: str, there: str) -> None:
    """A transaction would fail, or go on, where Redis does the other thing: dead keys count as missing."""
    world = World()
    world.state.expires_actively = False
    for index, what in enumerate((here, there)):
        world(f"SELECT {index}")
        if what != "missing":
            world("SET k v PX 1" if what == "stale" else "SET k v")
    world("SELECT 0")
    world.later(10)
    assert world("WATCH k") is OK
    assert world("SWAPDB 0 1") is OK
    assert world("MULTI") is OK
    world("PING")
    assert isinstance(world("EXEC"), list) == ("alive" not in (here, there))


def test_a_key_that_dies_after_watch_and_is_swapped_away() -> None:
    """The transaction would not notice that its key has ended."""
    world = World()
    world("SET k v PX 5")
    world("WATCH k")
    world.later(10)
    world("SWAPDB 0 1")
    world("MULTI")
    assert world("EXEC") is NULL_ARRAY


def test_events_in_order() -> None:
    """Keyspace notifications would come in another order than Redis', or for other classes."""
    world = World(replace(Settings(), notify_keyspace_events=parse_classes("KEA")))
    world("SET k v EX 10")
    assert world.heard.messages == [
        (b"__keyspace@0__:k", b"set"), (b"__keyevent@0__:set", b"k"),
        (b"__keyspace@0__:k", b"expire"), (b"__keyevent@0__:expire", b"k"),
    ]  # fmt: skip
    assert format_classes(parse_classes("KEA")) == "AKE"


def test_pause_holds_writes_and_lets_them_go_in_order() -> None:
    """CLIENT PAUSE WRITE would let a write through, or lose it."""
    world = World()
    other = world.connect()
    world.engine.waiting.pause(world.clock.ms + 100, writes_only=True)
    assert world.send("GET a") == b"$-1\r\n"
    assert world.engine.plain.run(other, [[b"SET", b"a", b"1"]]) == 1
    assert other.out == []
    assert other.blocked is not None
    world.engine.waiting.unpause()
    assert other.blocked is None


def test_calls_in_a_row_are_all_counted() -> None:
    """INFO commandstats would tell fewer calls than a pipeline made, or give them to the wrong command."""
    world = World()
    lines = ["SET a 1"] * 100 + ["GET a", "SET a", "GET a", "get a", "SET a 1", "INCR a", "NOSUCH", "INCR a"]
    assert world.send(*lines).count(b"\r\n") == 100 + 2 + 1 + 2 + 2 + 1 + 1 + 1 + 1
    counted = {name: world.engine.commands[name] for name in (b"set", b"get", b"incr")}
    assert {name: command.calls for name, command in counted.items()} == {b"set": 101, b"get": 3, b"incr": 2}
    assert all(sum(command.histogram) == command.calls for command in counted.values())
    assert counted[b"set"].rejected == 1


def test_a_slow_log_of_everything_names_every_call() -> None:
    """With a threshold of 0 each call belongs into the slow log, however many came together."""
    world = World(replace(Settings(), slowlog_log_slower_than=0))
    world.send("SET a 1", "SET a 2", "SET a 3")
    assert [entry.argv[2] for entry in world.state.observer.slow] == [b"3", b"2", b"1"]


def test_nothing_is_run_for_a_client_that_was_closed_for_its_output() -> None:
    """A pipeline of reads would go on filling memory for a client that is being thrown out."""
    world = World()
    world.send("SET a " + "x" * 100_000)
    client = Overflowing(99, world.state.dbs[0])
    world.engine.admit(client)
    assert world.engine.plain.run(client, [[b"GET", b"a"]] * 20) == 4


class Overflowing(Client):
    """Its output is found to be too much as soon as it is handed over."""

    def flush(self) -> None:
        self.close_after_reply()
