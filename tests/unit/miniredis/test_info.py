"""INFO has the sections and fields of 7.4.1, under its names and in its order."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.peers.redis import ROOT, Link, Server, our_server

# Names by section, as a 7.4.1 without replicas, modules or persistence tells them.
REAL: dict[str, list[str]] = json.loads((ROOT / "tests" / "golden" / "redis-7.4.1-info.json").read_text())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with our_server() as running:
        yield running


def told(link: Link, section: str) -> dict[str, dict[str, str]]:
    """Every section, by the name in its heading."""
    found: dict[str, dict[str, str]] = {}
    for line in link.command("INFO", section).decode().split("\r\n")[1:]:
        if line.startswith("# "):
            fields = found[line[2:]] = {}
        elif line:
            name, _, value = line.partition(":")
            fields[name] = value
    return found


def test_every_field_is_there(server: Server) -> None:
    """A monitoring tool that parses INFO would miss a field, or find a section where none is."""
    link = Link(server.port)
    sections = told(link, "everything")
    named = {name: list(fields) for name, fields in sections.items() if name in REAL}
    for name, fields in REAL.items():
        # As many listeners as there are addresses; the rest does not depend on the machine.
        assert [field for field in named[name] if field[:-1] != "listener"] == [
            field for field in fields if field[:-1] != "listener"
        ], name
    shown = [name for name in sections if name in REAL]
    assert shown == list(REAL)
    assert list(told(link, "all")) == list(sections)
    assert list(told(link, "module_list")) == ["Modules"]


def test_replicas_are_no_clients() -> None:
    """Who counts clients, for a limit or to see whether a server is idle, would count replicas."""
    with our_server("--repl-diskless-sync-delay", "0") as server:
        link, replica = Link(server.port), Link(server.port)
        assert replica.command("PING") == b"+PONG\r\n"
        assert told(link, "clients")["Clients"]["connected_clients"] == "2"
        replica.send(b"SYNC\r\n")
        assert replica.socket.recv(1)
        assert told(link, "clients")["Clients"]["connected_clients"] == "1"
        assert told(link, "replication")["Replication"]["connected_slaves"] == "1"


def test_flushall_leaves_nothing_to_save(server: Server) -> None:
    """A save would be due of what FLUSHALL has saved itself; or none where it has not."""
    link = Link(server.port)
    for points, are_left in (("3600 10", False), ("", True)):
        assert link.command("CONFIG", "SET", "save", points) == b"+OK\r\n"
        assert link.command("MSET", "a", "1", "b", "2") == b"+OK\r\n"
        assert link.command("FLUSHALL") == b"+OK\r\n"
        left = told(link, "persistence")["Persistence"]["rdb_changes_since_last_save"]
        assert (left != "0") == are_left
    assert link.command("CONFIG", "SET", "save", "") == b"+OK\r\n"


def test_memory_is_told_without_contradiction(server: Server) -> None:
    """A tool would warn of fragmentation, or of a peak that was lower than what is used."""
    link = Link(server.port)
    memory = told(link, "memory")["Memory"]
    used, resident, peak = (int(memory[name]) for name in ("used_memory", "used_memory_rss", "used_memory_peak"))
    assert 0 < used <= resident
    assert used <= peak
    assert used == int(memory["used_memory_overhead"]) + int(memory["used_memory_dataset"])
    assert 0.9 < float(memory["mem_fragmentation_ratio"]) < 1.5
    link.command("SET", "large", "x" * 30_000_000)
    assert int(told(link, "memory")["Memory"]["used_memory"]) > used + 25_000_000


def test_long_expiry_is_told(server: Server) -> None:
    """Who looks for what holds the server up would not find that it removes keys."""
    link = Link(server.port)
    link.command("CONFIG", "SET", "latency-monitor-threshold", "1")
    link.command("EVAL", "for i = 1, 20000 do redis.call('SET', i, '', 'PX', 20) end", "0")
    until = time.monotonic() + 10
    while b"expire-cycle" not in link.command("LATENCY", "LATEST"):
        assert time.monotonic() < until
        time.sleep(0.02)
    link.command("CONFIG", "SET", "latency-monitor-threshold", "0")


def test_what_waited_is_in_the_slow_log(server: Server) -> None:
    """Who has everything logged would not see blocking commands, nor their calls in LATENCY HISTOGRAM."""
    link = Link(server.port)
    link.command("CONFIG", "RESETSTAT")
    link.command("CONFIG", "SET", "slowlog-log-slower-than", "0")
    link.command("BLPOP", "nothing", "0.01")
    link.command("CONFIG", "SET", "slowlog-log-slower-than", "10000")
    assert b"$5\r\nBLPOP\r\n$7\r\nnothing\r\n" in link.command("SLOWLOG", "GET", "-1")
    assert told(link, "latencystats")["Latencystats"].keys() >= {"latency_percentiles_usec_blpop"}


def test_scripts_that_were_dropped_are_counted_anew(server: Server) -> None:
    """Who resets the figures would see scripts dropped that were dropped before."""
    link = Link(server.port)
    for number in range(502):
        link.command("EVAL", f"return {number}", "0")
    assert told(link, "stats")["Stats"]["evicted_scripts"] != "0"
    link.command("CONFIG", "RESETSTAT")
    assert told(link, "stats")["Stats"]["evicted_scripts"] == "0"
    link.command("SCRIPT", "FLUSH")


def test_times_have_the_bounds_of_redis(server: Server) -> None:
    """A tool that adds up LATENCY HISTOGRAM by bounds would find none that it knows."""
    link = Link(server.port)
    link.command("CONFIG", "RESETSTAT")
    for at in range(300):
        link.command("SET", "k", "x" * at * 1000)
    link.command("DEBUG", "SLEEP", "0.01")
    told_by = link.command("LATENCY", "HISTOGRAM", "set", "debug").split(b"histogram_usec")
    bounds = {int(word[1:]) for part in told_by[1:] for word in part.split(b"\r\n")[2::2] if word[:1] == b":"}
    real = "1 2 4 8 16 33 66 132 264 528 1056 2113 4227 8454 16908 33816 67633 135266 270532"
    assert max(bounds) > 8000
    assert bounds <= {int(bound) for bound in real.split()}


def test_object_counts_what_it_finds(server: Server) -> None:
    """keyspace_hits and keyspace_misses would be lower than Redis's."""
    link = Link(server.port)
    link.command("SET", "found", "1")
    link.command("CONFIG", "RESETSTAT")
    for about in ("ENCODING", "REFCOUNT", "IDLETIME", "FREQ"):
        link.command("OBJECT", about, "found")
        link.command("OBJECT", about, "missing")
    stats = told(link, "stats")["Stats"]
    assert (stats["keyspace_hits"], stats["keyspace_misses"]) == ("4", "4")


def test_an_unknown_subcommand_is_no_call_of_the_container(server: Server) -> None:
    """INFO commandstats would have a line for CLIENT when a client asks for what a newer server has."""
    link = Link(server.port)
    link.command("CONFIG", "RESETSTAT")
    link.command("CLIENT", "MAINT_NOTIFICATIONS", "ON")
    assert "cmdstat_client" not in told(link, "commandstats")["Commandstats"]
    link.command("CLIENT")
    assert "rejected_calls=1" in told(link, "commandstats")["Commandstats"]["cmdstat_client"]
