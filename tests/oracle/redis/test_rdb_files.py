"""RDB files both ways: what one server saved the other loads, with the same digest; and Redis's checker takes ours."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.oracle.redis.payloads import ENDING_FIELDS, VALUES
from tests.peers.redis import Link, Server, missing, our_server, real_server, server_74

AROUND = """
SELECT 5|SET other db|SET lasting v PXAT 9000000000000|SELECT 0
"""
# Redis 7.0 has other words for some scores when it sums them up.
SUMMED_OTHERWISE = ("3e10 d 0.1 17", "30 d 0.5 17")
FUNCTION = b"#!lua name=lib\nredis.register_function('f', function() return 7 end)"


def ask(link: Link, lines: str) -> None:
    for line in lines.strip().replace("\n", "|").split("|"):
        if line:
            assert not link.command(*line.split()).startswith(b"-"), line


def fill(link: Link, lines: str) -> None:
    """Every type in every encoding, and a function; without `lines` for who has what Redis 7.0 knows."""
    values = VALUES if lines else VALUES.replace(*SUMMED_OTHERWISE)
    ask(link, values + lines)
    assert not link.command(b"FUNCTION", b"LOAD", FUNCTION).startswith(b"-")


def loaded(port: int) -> Link:
    """A link to a server that has come up with what `fill` made, its function too."""
    link = Link(port)
    deadline = time.monotonic() + 10
    while link.command("GET", "int8").startswith(b"-LOADING") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert link.command("FCALL", "f", "0") == b":7\r\n"
    return link


def filled(server: Server, lines: str) -> bytes:
    """Fill it, let it save; the digest."""
    link = Link(server.port)
    fill(link, lines)
    ask(link, AROUND)
    assert link.command("SAVE") == b"+OK\r\n"
    return link.command("DEBUG", "DIGEST")


def taken_over(source: Server, target: Server) -> bytes:
    """Start `target` on the file that `source` wrote; its digest, and that the functions came along."""
    shutil.copy(Path(source.directory) / "dump.rdb", Path(target.directory) / "dump.rdb")
    with target:
        link = loaded(target.port)
        assert re.search(rb"rdb_last_load_keys_loaded:[1-9]", link.command("INFO", "persistence"))
        return link.command("DEBUG", "DIGEST")


def peers() -> Iterator[tuple[str, Callable[..., Server]]]:
    yield "Debian's", real_server
    if server_74() is not None:
        yield "7.4.1", lambda *directives: server_74(*directives) or missing("no 7.4.1")


@pytest.mark.parametrize("compression", ["yes", "no"])
def test_what_we_save_a_real_server_loads(compression: str) -> None:
    """Data could not leave this server, or would arrive changed."""
    for name, peer in peers():
        lines = ENDING_FIELDS if name == "7.4.1" else ""
        with our_server("--rdbcompression", compression) as ours:
            digest = filled(ours, lines)
            assert taken_over(ours, peer()) == digest, name
            assert taken_over(ours, our_server()) == digest


@pytest.mark.parametrize(
    "directives",
    [
        ("--rdbcompression", "no"), ("--rdbchecksum", "no"), ("--maxmemory-policy", "allkeys-lfu"),
        ("--maxmemory-policy", "allkeys-lru"),
    ],
)  # fmt: skip
def test_what_a_real_server_saved_we_load(directives: tuple[str, ...]) -> None:
    """Data could not come here, or would arrive changed."""
    for name, peer in peers():
        with peer(*directives) as real:
            digest = filled(real, ENDING_FIELDS if name == "7.4.1" else "")
            assert taken_over(real, our_server()) == digest, name


def test_our_file_passes_the_checker() -> None:
    """What looks like a damaged file to redis-check-rdb is none that an operator trusts."""
    checker = shutil.which("redis-check-rdb") or missing("no redis-check-rdb: apt-get install redis-tools")
    with our_server() as ours:
        filled(ours, "")
        path = Path(ours.directory) / "dump.rdb"
        assert path.read_bytes()[:9] == b"REDIS0010"
        checked = subprocess.run([checker, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout
    assert "Checksum OK" in checked.stdout


def test_when_a_consumer_was_active_is_beside_the_stream() -> None:
    """One consumer that waited in vain would make the whole file one that Redis 7.0 refuses, or would seem to have read
    something after a restart."""
    with our_server() as ours:
        link = Link(ours.port)
        ask(link, "XGROUP CREATE s g 0 MKSTREAM|XADD s 5-0 f v|XREADGROUP GROUP g one STREAMS s >|SET a b|SELECT 3")
        ask(link, "XGROUP CREATE s g $ MKSTREAM|XREADGROUP GROUP g polls STREAMS s >|XGROUP CREATECONSUMER s g idle")
        told = link.command("XINFO", "STREAM", "s", "FULL")
        assert told.count(b"$11\r\nactive-time\r\n:-1\r\n") == 2
        assert link.command("DEBUG", "RELOAD") == b"+OK\r\n"
        assert link.command("XINFO", "STREAM", "s", "FULL") == told
        assert (Path(ours.directory) / "dump.rdb").read_bytes()[:9] == b"REDIS0010"
        digest = link.command("DEBUG", "DIGEST")
        for _, peer in peers():
            real = peer()
            shutil.copy(Path(ours.directory) / "dump.rdb", real.directory)
            with real:
                assert Link(real.port).command("DEBUG", "DIGEST") == digest


def test_access_clocks_are_in_the_file() -> None:
    """After a restart eviction would take what is used most."""
    for policy, asked in (("allkeys-lfu", "FREQ"), ("allkeys-lru", "IDLETIME")):
        with our_server("--maxmemory-policy", policy) as ours, Link(ours.port).socket:
            link = Link(ours.port)
            link.command("SET", "k", "v")
            payload = link.command("DUMP", "k").split(b"\r\n", 1)[1][:-2]
            words = (b"FREQ", b"77") if asked == "FREQ" else (b"IDLETIME", b"5000")
            assert link.command(b"RESTORE", b"k", b"0", payload, b"REPLACE", *words) == b"+OK\r\n"
            assert link.command("DEBUG", "RELOAD") == b"+OK\r\n"
            value = int(link.command("OBJECT", asked, "k")[1:-2])
            assert value in ((77, 76) if asked == "FREQ" else range(4990, 5060)), (policy, value)
