"""Real servers follow ours: full and partial synchronization, and the same data on both sides afterwards."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which

import pytest

from protocol.resp.parser import Parser
from tests.oracle.redis.generated import Draw, Episode
from tests.peers.redis import DEADLINE_S, Link, Server, binary_74, missing, our_server, real_binary

COMMANDS = 1500
# They would end the links, or the test.
LEFT_OUT = (b"CLIENT", b"FUNCTION", b"DEBUG")
AT_ONCE = ("--repl-diskless-sync-delay", "0")

pytestmark = pytest.mark.peer


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def field(link: Link, name: str) -> str:
    text = link.command("INFO", "everything").decode()
    return next(line.partition(":")[2] for line in text.split("\r\n") if line.startswith(name + ":"))


def integer(reply: bytes) -> int:
    assert reply.startswith(b":"), reply
    return int(reply[1:])


@contextmanager
def replicas_of(primary: Server) -> Iterator[list[Link]]:
    """Debian's redis-server, and a built 7.4.1 where there is one."""
    with ExitStack() as stack:
        links = []
        for binary in filter(None, (real_binary(), binary_74())):
            server = stack.enter_context(Server([binary], ("--replicaof", f"127.0.0.1 {primary.port}")))
            link = Link(server.port)
            stack.callback(link.close)
            links.append(link)
        yield links


def write(link: Link, draw: Draw, count: int) -> None:
    for argv in Episode(draw, count).commands:
        if argv[0].upper() not in LEFT_OUT:
            link.command(*argv)


def write_the_last(primary: Link, replicas: list[Link]) -> None:
    primary.command("SET", "the", "last")
    assert integer(primary.command("WAIT", str(len(replicas)), "10000")) == len(replicas)


def assert_alike(primary: Link, replicas: list[Link]) -> None:
    write_the_last(primary, replicas)
    for replica in replicas:
        for db in range(16):
            primary.command("SELECT", str(db))
            replica.command("SELECT", str(db))
            assert contents(replica) == contents(primary)
        primary.command("SELECT", "0")


def contents(link: Link) -> dict[bytes, object]:
    """By key what tells its value: DEBUG DIGEST would, but for scores, which 7.0 sums up in other digits."""
    found: dict[bytes, object] = {}
    for key in words(link.command("KEYS", "*")):
        if link.command("TYPE", key) == b"+zset\r\n":
            pairs = words(link.command("ZRANGE", key, "0", "-1", "WITHSCORES"))
            found[key] = pairs[::2], [float(score) for score in pairs[1::2]], link.command("PEXPIRETIME", key)
        else:
            found[key] = link.command("DEBUG", "DIGEST-VALUE", key), link.command("PEXPIRETIME", key)
    return found


def words(reply: bytes) -> list[bytes]:
    """The bulk strings of a flat array."""
    taken = Parser().take(reply)
    return taken[0] if taken else []


@pytest.mark.parametrize("is_diskless", ["yes", "no"])
def test_real_replicas_follow(is_diskless: str) -> None:
    """A real replica would not synchronize with ours, would need everything again after a broken link, or would have
    other data."""
    with our_server("--repl-diskless-sync", is_diskless, *AT_ONCE) as server:
        primary, draw = Link(server.port), Draw(11, is_old=True)
        write(primary, draw, COMMANDS)
        with replicas_of(server) as replicas:
            wait_until(lambda: all(field(each, "master_link_status") == "up" for each in replicas), "no link")
            write(primary, draw, COMMANDS)
            assert_alike(primary, replicas)
            count = len(replicas)
            assert integer(primary.command("CLIENT", "KILL", "TYPE", "replica")) == count
            write(primary, draw, COMMANDS)
            wait_until(lambda: field(primary, "sync_partial_ok") == str(count), "no partial synchronization")
            assert_alike(primary, replicas)
            assert field(primary, "sync_full") == str(count)
            assert primary.command("ROLE").count(b"127.0.0.1") == count
        primary.close()


def test_large_data_is_sent_while_it_is_made() -> None:
    """A snapshot larger than what a connection takes at once would be cut, or mixed with the stream that follows it."""
    with our_server(*AT_ONCE) as server:
        primary = Link(server.port)
        primary.command("DEBUG", "POPULATE", "20000", "key", "500")
        primary.command("SET", "large", b"x" * 3_000_000)
        with replicas_of(server) as replicas:
            wait_until(lambda: field(primary, "connected_slaves") == str(len(replicas)), "nobody came")
            for number in range(200):
                primary.command("SET", f"meanwhile:{number}", b"y" * 5000)
            wait_until(lambda: all(field(each, "master_link_status") == "up" for each in replicas), "no link")
            write_the_last(primary, replicas)
            digest = primary.command("DEBUG", "DIGEST")
            assert [each.command("DEBUG", "DIGEST") for each in replicas] == [digest] * len(replicas)
        primary.close()


def test_redis_cli_takes_snapshots_and_the_stream(tmp_path: Path) -> None:
    """`redis-cli --rdb`, the usual way to take a backup from afar, and `--replica` would fail."""
    tools = [which(name) for name in ("redis-cli", "redis-check-rdb")]
    if not all(tools):
        missing("no redis-cli and redis-check-rdb: apt-get install redis-tools")
    cli, check = map(str, tools)
    with our_server(*AT_ONCE) as server:
        primary = Link(server.port)
        primary.command("DEBUG", "POPULATE", "1000", "key", "100")
        for option in ("--rdb", "--functions-rdb"):
            path = tmp_path / f"{option}.rdb"
            subprocess.run([cli, "-p", str(server.port), option, str(path)], check=True, timeout=DEADLINE_S)
            assert b"RDB looks OK" in subprocess.run([check, path], capture_output=True, timeout=DEADLINE_S).stdout
        with subprocess.Popen([cli, "-p", str(server.port), "--replica"], stdout=subprocess.PIPE) as following:
            wait_until(lambda: "state=online" in primary.command("INFO", "replication").decode(), "never online")
            primary.command("SET", "hello", "world")
            assert following.stdout is not None
            for line in following.stdout:
                if b'"hello","world"' in line:
                    break
            else:
                pytest.fail("the stream ended")
            following.terminate()
        primary.close()


def test_one_that_cannot_read_what_there_is() -> None:
    """A replica of 7.0 would ask for fields that expire again and again, and nobody would be told why it does not come
    up."""
    with our_server(*AT_ONCE) as server, Server([real_binary()]) as old:
        primary, replica = Link(server.port), Link(old.port)
        primary.command("HSET", "with:an:end", "field", "value")
        primary.command("HEXPIRE", "with:an:end", "1000", "FIELDS", "1", "field")
        replica.command("REPLICAOF", "127.0.0.1", str(server.port))
        wait_until(lambda: "is refused" in server.log(), "tried for ever")
        assert "with:an:end" in server.log().partition("is refused")[2]
        assert int(field(primary, "total_forks")) <= 3
        primary.command("HPERSIST", "with:an:end", "FIELDS", "1", "field")
        wait_until(lambda: field(replica, "master_link_status") == "up", "refused without a reason")
        primary.close()
        replica.close()
