"""What replicas are told of the oracle's scripts is what the real server tells its own, command by command."""

from __future__ import annotations

import re

import pytest

from tests.oracle.redis.runner import Player, Script, scripts
from tests.peers.follower import Follower
from tests.peers.redis import Link, Server, our_server, real_server, server_74

# 7.0 and 7.4 tell these alike.
OLD_AND_NEW = ("expire_family", "functions", "geo", "keys", "pubsub", "server", "sorting", "zset_blocking")
# Beside them: all that 7.4.1 tells the same way. Left out: `sets` (SPOP takes what it likes), `streams` (ours tells ids
# as they were read, 7.4.1 as they were written), `clients` (it ends the replica's connection), `hash_expiry`
# (HINCRBYFLOAT keeps a field's end, which 7.4.1 forgets to tell), `transactions` (a key of it ends at some moment).
NEW = (
    *OLD_AND_NEW, "bitmaps", "corners", "dump", "events", "hashes", "hyperloglog", "lists", "scripting",
    "stream_blocking", "stream_groups", "strings", "zset_algebra", "zset_ranges", "zsets",
)  # fmt: skip
FROM_DISK = ("--repl-diskless-sync", "no")
INSTANT = re.compile(rb"\d{13}(-\d+)?")

pytestmark = pytest.mark.peer


def chosen(names: tuple[str, ...]) -> list[Script]:
    found = [script for script in scripts() if script.name in names and not script.directives]
    assert len(found) == len(names)
    return found


def told(server: Server, played: list[Script]) -> list[tuple[str, list[list[bytes]]]]:
    """The stream by script: names of commands in capitals, instants alike. Keys whose time is over are removed when
    they are met, and not by chance."""
    streams = []
    with server:
        link, follower = Link(server.port), Follower(server.port)
        for script in played:
            link.command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
            Player(server, 2).play(script)
            stream = [[words[0].upper(), *[INSTANT.sub(b"#", word) for word in words[1:]]] for words in follower.told()]
            streams.append((script.name, stream))
        follower.close()
        link.close()
    return streams


def compare(theirs: Server, names: tuple[str, ...]) -> None:
    played = chosen(names)
    for (name, expected), (_, found) in zip(
        told(theirs, played), told(our_server(*FROM_DISK), played), strict=True
    ):  # fmt: skip
        assert len(expected) > 3, f"{name} tells nothing"
        assert found == expected, name


def test_stream_equals_the_real_servers() -> None:
    """A replica would be told something else, or in another order, than Redis tells it."""
    compare(real_server(*FROM_DISK), OLD_AND_NEW)


def test_stream_equals_that_of_7_4() -> None:
    """A replica would be told something else, or in another order, than the version we claim tells it."""
    server = server_74(*FROM_DISK)
    if server is None:
        pytest.skip("REDIS_SERVER_74 names no redis-server 7.4.1")
    compare(server, NEW)
