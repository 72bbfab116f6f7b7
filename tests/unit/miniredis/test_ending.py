"""How a server ends: whom it waits for, what cuts it short, and when it goes on instead."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers.redis import DEADLINE_S, Link, Server, our_server

SLOW_SCRIPT = b"for i = 1, 400000 do redis.call('incr', 'n') end"


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def send_signal(server: Server, number: signal.Signals) -> None:
    assert server.process is not None
    server.process.send_signal(number)


def ended(server: Server) -> int:
    assert server.process is not None
    return server.process.wait(DEADLINE_S)


def info(link: Link, section: str, field: str) -> str:
    found = re.search(rf"^{field}:(.*?)\r$", link.command("INFO", section).decode(), re.M)
    return found[1] if found else ""


class Lagging:
    """A replica that has all, and says so only when told to."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.link = Link(server.port)
        self.link.send(b"SYNC\r\n")
        self.asker = Link(server.port)
        until(lambda: "state=online" in info(self.asker, "replication", "slave0"), "no replica")

    def acknowledge(self) -> None:
        offset = info(self.asker, "replication", "master_repl_offset")
        self.link.send(b"REPLCONF ACK %b\r\n" % offset.encode())


@pytest.fixture
def server() -> Iterator[Server]:
    with our_server("--repl-diskless-sync-delay", "0", "--shutdown-timeout", "1000") as running:
        yield running


def test_a_replica_that_is_behind_is_waited_for(server: Server) -> None:
    """A restart in the order of the book would lose what the replica, soon to be the primary, has not got."""
    replica, client, writer = Lagging(server), Link(server.port), Link(server.port)
    assert client.command("SET", "k", "v") == b"+OK\r\n"
    client.send(b"SHUTDOWN\r\n")
    until(lambda: info(replica.asker, "server", "shutdown_in_milliseconds"), "it does not wait")
    assert 0 < int(info(replica.asker, "server", "shutdown_in_milliseconds")) <= 1_000_000
    assert info(replica.asker, "clients", "blocked_clients") == "1"
    writer.send(b"SET k w\r\n")  # nobody writes meanwhile: there would be no end of it
    until(lambda: info(replica.asker, "clients", "blocked_clients") == "2", "a write went on")
    assert replica.asker.command("GET", "k") == b"$1\r\nv\r\n"
    replica.acknowledge()
    assert client.to_the_end() == b""
    assert writer.to_the_end() == b""
    assert ended(server) == 0
    assert "1 of 1 replicas are in sync when shutting down." in server.log()
    assert "Lagging replica" not in server.log()


def test_shutdown_timeout(server: Server) -> None:
    """A replica that hangs would keep a server from its end for ever, or not be waited for at all."""
    replica, client = Lagging(server), Link(server.port)
    assert client.command("CONFIG", "SET", "shutdown-timeout", "1") == b"+OK\r\n"
    assert replica.asker.command("SET", "k", "v") == b"+OK\r\n"
    started = time.monotonic()
    client.send(b"SHUTDOWN\r\n")
    assert ended(server) == 0
    assert 1 <= time.monotonic() - started < DEADLINE_S / 2
    assert "Lagging replica 127.0.0.1:" in server.log()
    assert "0 of 1 replicas are in sync when shutting down." in server.log()


@pytest.mark.parametrize("words", ["SHUTDOWN NOW", "CONFIG SET shutdown-timeout 0\r\nSHUTDOWN"])
def test_replicas_that_are_not_waited_for(server: Server, words: str) -> None:
    """An operator in a hurry would wait."""
    replica, client = Lagging(server), Link(server.port)
    assert client.command("SET", "k", "v") == b"+OK\r\n"
    started = time.monotonic()
    client.send(words.encode() + b"\r\n")
    assert ended(server) == 0
    assert replica.link.to_the_end()
    assert time.monotonic() - started < DEADLINE_S / 2


def test_an_end_called_off(server: Server) -> None:
    """Clients would be left without an answer, or nobody could write any more."""
    replica, client, writer = Lagging(server), Link(server.port), Link(server.port)
    other = replica.asker
    assert client.command("SHUTDOWN", "ABORT") == b"-ERR No shutdown in progress.\r\n"
    assert client.command("SET", "k", "v") == b"+OK\r\n"
    client.send(b"SHUTDOWN\r\n")
    until(lambda: info(other, "server", "shutdown_in_milliseconds"), "it does not wait")
    writer.send(b"SET k w\r\n")
    until(lambda: info(other, "clients", "blocked_clients") == "2", "a write went on")
    assert other.command("SHUTDOWN", "ABORT") == b"+OK\r\n"
    assert client.reply() == b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n"
    assert writer.reply() == b"+OK\r\n"
    assert other.command("GET", "k") == b"$1\r\nw\r\n"
    assert "Shutdown manually aborted." in server.log()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("points", "words", "is_saved"), [
    ("900 1", "default", True), ("", "default", False), ("900 1", "nosave", False), ("", "save", True),
])  # fmt: skip
def test_what_a_signal_saves(number: signal.Signals, points: str, words: str, is_saved: bool) -> None:
    """shutdown-on-sigint, shutdown-on-sigterm: data would be gone that was to stay, or stay that was not to."""
    with our_server() as server:
        link = Link(server.port)
        assert link.command("CONFIG", "SET", f"shutdown-on-{number.name.lower()}", words, "save", points) == b"+OK\r\n"
        assert link.command("SET", "k", "v") == b"+OK\r\n"
        send_signal(server, number)
        assert ended(server) == 0
        assert (Path(server.directory) / "dump.rdb").exists() == is_saved
        assert f"Received {number.name} scheduling shutdown..." in server.log()


def test_a_signal_that_is_to_force_the_end() -> None:
    """With "force" and "now" a server would still wait for replicas, or for a disk that is full."""
    with our_server("--repl-diskless-sync-delay", "0", "--dbfilename", "taken") as server:
        replica, link = Lagging(server), Link(server.port)
        (Path(server.directory) / "taken").unlink()  # what the replica was sent
        (Path(server.directory) / "taken").mkdir()
        assert link.command("SET", "k", "v") == b"+OK\r\n"
        words = ("save", "900 1", "shutdown-timeout", "0")
        assert link.command("CONFIG", "SET", *words) == b"+OK\r\n"
        send_signal(server, signal.SIGTERM)
        until(lambda: "Error trying to save the DB, can't exit." in server.log(), "no refusal")
        words = ("shutdown-on-sigterm", "force now", "shutdown-timeout", "1000")
        assert link.command("CONFIG", "SET", *words) == b"+OK\r\n"
        send_signal(server, signal.SIGTERM)
        assert ended(server) == 0
        assert replica.link.to_the_end()
        assert "Error trying to save the DB. Exit anyway." in server.log()


def test_a_second_interrupt_ends_at_once() -> None:
    """Who presses Ctrl-C twice would sit out a save of minutes; or its half file would stay."""
    with our_server("--rdb-key-save-delay", "100000", "--save", "900 1") as server:
        link = Link(server.port)
        for number in range(3):
            assert link.command("SET", f"k{number}", "v") == b"+OK\r\n"
        assert link.command("CONFIG", "SET", "rdb-key-save-delay", "100000000") == b"+OK\r\n"
        send_signal(server, signal.SIGINT)
        half = Path(server.directory) / f"temp-{server.pid}.rdb"
        until(half.exists, "no save")
        send_signal(server, signal.SIGINT)
        assert ended(server) == 1
        assert not half.exists()
        assert "You insist... exiting now." in server.log()


def test_a_signal_waits_for_a_slow_script() -> None:
    """Half of what a script writes would be saved: of a transfer, the debit without the credit."""
    server = our_server("--busy-reply-threshold", "20", "--save", "900 1")
    server.keep = True
    with server:
        link, other = Link(server.port), Link(server.port)
        link.command("CONFIG", "SET", "save", "900 1")
        link.send(b"*3\r\n$4\r\nEVAL\r\n$%d\r\n%b\r\n$1\r\n0\r\n" % (len(SLOW_SCRIPT), SLOW_SCRIPT))
        until(lambda: other.command("PING").startswith(b"-BUSY"), "the script is not slow")
        send_signal(server, signal.SIGTERM)
        assert ended(server) == 0
    server.keep = False
    with server.start():
        assert Link(server.port).command("GET", "n") == b"$6\r\n400000\r\n"


def test_a_signal_waits_while_time_stands_still(server: Server) -> None:
    """DEBUG PAUSE-CRON: what is due because of time, the end by a signal too, could not be tried before it comes."""
    link = Link(server.port)
    assert link.command("DEBUG", "PAUSE-CRON", "1") == b"+OK\r\n"
    send_signal(server, signal.SIGTERM)
    until(lambda: "Received SIGTERM scheduling shutdown..." in server.log(), "no signal")
    assert link.command("SHUTDOWN", "ABORT") == b"+OK\r\n"
    assert link.command("DEBUG", "PAUSE-CRON", "0") == b"+OK\r\n"
    assert link.command("PING") == b"+PONG\r\n"
    assert link.command("DEBUG", "PAUSE-CRON", "1") == b"+OK\r\n"
    send_signal(server, signal.SIGTERM)
    until(lambda: server.log().count("Received SIGTERM") == 2, "no signal")
    assert link.command("DEBUG", "PAUSE-CRON", "0") == b"+OK\r\n"
    assert ended(server) == 0


def test_what_comes_after_the_end_is_agreed_is_not_answered(server: Server) -> None:
    """A write that is in no file any more would be acknowledged."""
    link = Link(server.port)
    link.send(b"SHUTDOWN NOSAVE\r\nSET k v\r\nGET k\r\n")
    assert link.to_the_end() == b""
    assert ended(server) == 0
