"""MIGRATE between a real server and ours, both ways: what has arrived is what was there, and there no longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.peers.redis import Link, Server, our_server, real_server

pytestmark = pytest.mark.peer

FILL = (
    "SET s v", "SET i 12", "RPUSH l 1 2 three", "SADD t a b c", "SADD n 1 2 3", "ZADD z 1 a 2.5 b", "HSET h f v g w",
    "XADD x 1-1 f v", "XGROUP CREATE x readers 0", "PFADD p 1 2 3", "SET ends v EX 1000",
)  # fmt: skip
KEYS = ["s", "i", "l", "t", "n", "z", "h", "x", "p", "ends"]
TIMEOUT_MS = "5000"


@pytest.fixture(params=["ours to real", "real to ours", "ours to ours"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Link, Link, int]]:
    """Links to where the keys are and to where they go, and the port of that."""
    makers: dict[str, Callable[..., Server]] = {"ours": our_server, "real": real_server}
    source, _, target = request.param.split()
    debug = ("--enable-debug-command", "yes")
    with makers[source](*debug) as here, makers[target](*debug) as there:
        yield Link(here.port), Link(there.port), there.port


def say(link: Link, line: str) -> bytes:
    return link.command(*line.split())


def test_everything_arrives(pair: tuple[Link, Link, int]) -> None:
    """A type would not survive the way, a time to live be lost, or a key be in both places."""
    here, there, port = pair
    for line in FILL:
        assert not say(here, line).startswith(b"-")
    digest = here.command("DEBUG", "DIGEST-VALUE", *KEYS)
    assert here.command("MIGRATE", "127.0.0.1", str(port), "", "3", TIMEOUT_MS, "KEYS", *KEYS, "gone") == b"+OK\r\n"
    assert say(here, "DBSIZE") == b":0\r\n"
    say(there, "SELECT 3")
    assert there.command("DEBUG", "DIGEST-VALUE", *KEYS) == digest
    assert 900 < int(say(there, "TTL ends")[1:]) <= 1000


def test_what_is_refused_stays(pair: tuple[Link, Link, int]) -> None:
    """A key that the target has not taken would be lost."""
    here, there, port = pair
    migrate = f"MIGRATE 127.0.0.1 {port} k 0 {TIMEOUT_MS}"
    say(here, "SET k here")
    say(there, "SET k there")
    refused = b"-ERR Target instance replied with error: "
    assert say(here, migrate) == refused + b"BUSYKEY Target key name already exists.\r\n"
    assert say(here, f"MIGRATE 127.0.0.1 {port} k 99 {TIMEOUT_MS}") == refused + b"ERR DB index is out of range\r\n"
    assert say(here, "GET k") == b"$4\r\nhere\r\n"
    assert say(here, migrate + " COPY REPLACE") == b"+OK\r\n"
    assert say(here, "GET k") == say(there, "GET k") == b"$4\r\nhere\r\n"
    say(there, "CONFIG SET requirepass secret")
    say(there, "CLIENT KILL TYPE normal SKIPME yes")  # the kept connection has logged in, in a way
    assert say(here, migrate + " REPLACE") == refused + b"NOAUTH Authentication required.\r\n"
    assert say(here, migrate + " REPLACE AUTH wrong").startswith(refused + b"WRONGPASS ")
    assert say(here, migrate + " REPLACE AUTH2 default secret") == b"+OK\r\n"
    assert say(here, "EXISTS k") == b":0\r\n"


def test_nobody_else_waits_and_no_change_is_lost() -> None:
    """A change made while a key is on its way would be removed with the key."""
    with our_server() as ours, real_server() as real:
        here, other, there = Link(ours.port), Link(ours.port), Link(real.port)
        say(here, "SET k old")
        assert say(there, "CLIENT PAUSE 500 ALL") == b"+OK\r\n"
        here.send(f"MIGRATE 127.0.0.1 {real.port} k 0 {TIMEOUT_MS}\r\n".encode())
        while b"cmdstat_migrate" in say(other, "INFO commandstats") or b"cmd=migrate" not in say(other, "CLIENT LIST"):
            time.sleep(0.01)
        assert say(other, "SET k new") == b"+OK\r\n"
        assert here.reply() == b"+OK\r\n"
        assert say(other, "EXISTS k") == b":0\r\n"
        assert say(there, "GET k") == b"$3\r\nnew\r\n"


def test_a_target_that_is_silent() -> None:
    """Its client would wait for ever."""
    with our_server() as ours, real_server() as real:
        here, there = Link(ours.port), Link(real.port)
        say(here, "SET k v")
        assert say(there, "CLIENT PAUSE 1000 ALL") == b"+OK\r\n"
        answer = say(here, f"MIGRATE 127.0.0.1 {real.port} k 0 200")
        assert answer == b"-IOERR error or timeout reading to target instance\r\n"
        assert say(here, "GET k") == b"$1\r\nv\r\n"
