"""Our server as a replica, beside real ones: the same data, the same offsets, links taken up again where they broke."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.oracle.redis.traffic import Traffic, follow, info, same_data, same_place, until
from tests.peers.redis import Link, Server, our_server, real_server, server_74

AT_ONCE = ("--repl-diskless-sync-delay", "0", "--repl-backlog-size", "32mb")
WRITES = 600


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as kept:
        yield kept


def start(stack: ExitStack, kind: str, *directives: str) -> Server:
    if kind == "7.4.1":
        server = server_74(*AT_ONCE, *directives)
        if server is None:
            pytest.skip("no redis-server 7.4.1: name one in REDIS_SERVER_74")
    else:
        server = (our_server if kind == "ours" else real_server)(*AT_ONCE, *directives)
    return stack.enter_context(server)


def cut(primary: Link) -> None:
    """Break the links of the replicas that are online."""
    until("a replica", lambda: "state=online" in info(primary, "slave0"))
    assert primary.command("CLIENT", "KILL", "TYPE", "replica") != b":0\r\n"


@pytest.mark.parametrize("kind", ["real", "7.4.1", "ours"])
def test_a_link_cut_five_times(stack: ExitStack, kind: str) -> None:
    """A replica would lose a write, or make one twice, or fetch everything again for want of a byte."""
    source = start(stack, kind)
    primary, replica = Link(source.port), Link(start(stack, "ours").port)
    traffic = Traffic(source.port, seed=1)
    traffic.send(WRITES)
    replica.command("SET", "of", "before")
    follow(replica, source.port)
    for _ in range(5):
        traffic.send(WRITES)
        cut(primary)
        traffic.send(WRITES // 3)
    same_data(primary, replica)
    assert info(primary, "sync_full") == "1"
    assert info(primary, "sync_partial_ok") == "5"
    assert replica.command("GET", "of") == b"$-1\r\n"


@pytest.mark.parametrize("way", [("--repl-diskless-sync", "no"), ()])
@pytest.mark.parametrize("load", ["disabled", "on-empty-db", "swapdb"])
def test_every_way_of_a_full_synchronization(stack: ExitStack, way: tuple[str, ...], load: str) -> None:
    """A file of known length, or one that a mark ends, read by way of the disk or beside it, would not be taken."""
    source = start(stack, "real", *way)
    primary, replica = Link(source.port), Link(start(stack, "ours", "--repl-diskless-load", load).port)
    traffic = Traffic(source.port, seed=2)
    traffic.send(WRITES)
    primary.command("FUNCTION", "LOAD", "#!lua name=kept\nredis.register_function('f', function() return 7 end)")
    follow(replica, source.port)
    traffic.send(WRITES)
    same_data(primary, replica)
    assert b"kept" in replica.command("FUNCTION", "LIST")


def test_a_chain(stack: ExitStack) -> None:
    """A replica of our replica would see other bytes, or count them otherwise, than the primary."""
    first, second, third = (start(stack, kind) for kind in ("real", "ours", "real"))
    links = [Link(server.port) for server in (first, second, third)]
    traffic = Traffic(first.port, seed=3)
    traffic.send(WRITES)
    follow(links[1], first.port)
    follow(links[2], second.port)
    traffic.send(WRITES)
    cut(links[1])
    traffic.send(WRITES)
    cut(links[0])
    traffic.send(WRITES)
    same_data(links[0], links[1], links[2])
    assert info(links[1], "sync_partial_ok") == info(links[0], "sync_partial_ok") == "1"
    assert info(links[2], "master_replid") == info(links[0], "master_replid")


@pytest.mark.parametrize("kinds", [("real", "ours", "real"), ("ours", "real", "ours")])
def test_the_part_of_the_primary_changes_hands(stack: ExitStack, kinds: tuple[str, ...]) -> None:
    """After a failover the old primary, and the other replicas, would have to fetch everything again."""
    old, new, other = (start(stack, kind) for kind in kinds)
    links = [Link(server.port) for server in (old, new, other)]
    traffic = Traffic(old.port, seed=4)
    traffic.send(WRITES)
    for link in links[1:]:
        follow(link, old.port)
    traffic.send(WRITES)
    # What the old primary still does after that nobody else knows of: no key may end, and it may say no PING.
    links[0].command("CONFIG", "SET", "repl-ping-replica-period", "3600")
    same_data(links[0], links[1], links[2])
    assert links[1].command("REPLICAOF", "NO", "ONE") == b"+OK\r\n"
    follow(links[2], new.port)
    follow(links[0], new.port)
    Traffic(new.port, seed=5).send(WRITES)
    same_data(links[1], links[0], links[2])
    assert info(links[1], "sync_partial_ok") == "2"
    assert info(links[1], "sync_full") == "0"


def test_a_replica_that_was_away(stack: ExitStack) -> None:
    """A replica that was restarted would fetch everything again, although its file says where it was."""
    source = start(stack, "real")
    ours = our_server(*AT_ONCE)
    ours.keep = True
    traffic = Traffic(source.port, seed=6)
    primary = Link(source.port)
    with ours:
        replica = Link(ours.port)
        follow(replica, source.port)
        traffic.send(WRITES)
        same_place(primary, replica)
        replica.send(b"SHUTDOWN SAVE\r\n")
        replica.to_the_end()
    traffic.send(WRITES)
    ours.directives += ["--replicaof", f"127.0.0.1 {source.port}"]
    ours.keep = False
    with ours:
        replica = Link(ours.port)
        until("the link", lambda: info(replica, "master_link_status") == "up")
        same_data(primary, replica)
    assert info(primary, "sync_full") == "1"
    assert info(primary, "sync_partial_ok") == "1"


def test_what_a_replica_refuses(stack: ExitStack) -> None:
    """Clients could write to a replica, or read what is no longer true, where they are not to."""
    source, ours, real = (start(stack, kind) for kind in ("real", "ours", "real"))
    connected = (
        "SET a b", "EVAL return(redis.call('set','a','b')) 0", "DEL a", "PUBLISH a b", "GET a", "FLUSHALL",
        f"REPLICAOF 127.0.0.1 {source.port}", "REPLICAOF x y", "REPLICAOF x 70000", "REPLICAOF x",
        "CONFIG SET replica-read-only no", "SET a b", "GET a", "CONFIG SET replica-serve-stale-data no",
    )  # fmt: skip
    cut_off = ("GET a", "SET a b", "PING", "REPLICAOF NO ONE", "SET c d", "CONFIG GET replicaof")
    answers = []
    for server in (ours, real):
        link = Link(server.port)
        follow(link, source.port)
        told = [link.command(*line.split()) for line in connected]
        link.command("REPLICAOF", "127.0.0.1", "1")
        answers.append(told + [link.command(*line.split()) for line in cut_off])
    assert answers[0] == answers[1]
