"""Append-only files both ways: what one server wrote the other loads, with the same digest; redis-check-aof takes ours;
what a killed server had acknowledged is there."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.oracle.redis.payloads import ENDING_FIELDS
from tests.oracle.redis.test_rdb_files import AROUND, ask, fill, loaded, peers
from tests.peers.redis import Link, Server, missing, our_server

ON = ("--appendonly", "yes", "--appendfsync", "no")
LATER = "SET later 1|MULTI|INCR later|RPUSH later:list a b|EXEC|SET gone 1 PX 1|EXPIRE later 100000"
SCRIPT = b"redis.call('set', 'a', 1) redis.call('incr', 'a') return 1"


def settled(link: Link) -> None:
    """Until no rewrite is under way."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        info = link.command("INFO", "persistence")
        if b"aof_rewrite_in_progress:0" in info and b"aof_rewrite_scheduled:0" in info:
            assert b"aof_last_bgrewrite_status:ok" in info
            return
        time.sleep(0.02)
    raise AssertionError("a rewrite that does not end")


def filled(server: Server, lines: str, *, rewrites: bool) -> bytes:
    """Every type in every encoding, half in the base and half behind it where it `rewrites`; the digest."""
    link = Link(server.port)
    fill(link, lines)
    if rewrites:
        assert link.command("BGREWRITEAOF").startswith(b"+Background")
        settled(link)
    ask(link, AROUND + LATER)
    link.command(b"EVAL", SCRIPT, b"0")
    while link.command("EXISTS", "gone") != b":0\r\n":
        pass
    return link.command("DEBUG", "DIGEST")


def taken_over(source: Server, target: Server) -> bytes:
    shutil.copytree(Path(source.directory) / "appendonlydir", Path(target.directory) / "appendonlydir")
    with target:
        return loaded(target.port).command("DEBUG", "DIGEST")


WAYS = [
    ("base as RDB", (), True), ("base as commands", ("--aof-use-rdb-preamble", "no"), True),
    ("never rewritten", ("--aof-timestamp-enabled", "yes"), False),
]  # fmt: skip


@pytest.mark.parametrize(("directives", "rewrites"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
def test_what_we_write_a_real_server_loads(directives: tuple[str, ...], rewrites: bool) -> None:
    """Data could not leave this server, or would arrive changed."""
    checker = shutil.which("redis-check-aof") or missing("no redis-check-aof: apt-get install redis-tools")
    for name, peer in peers():
        with our_server(*ON, *directives) as ours:
            digest = filled(ours, ENDING_FIELDS if name == "7.4.1" else "", rewrites=rewrites)
            manifest = Path(ours.directory) / "appendonlydir" / "appendonly.aof.manifest"
            if name != "7.4.1":  # Debian's checker does not know fields that end
                checked = subprocess.run([checker, str(manifest)], capture_output=True, text=True, timeout=60)
                assert checked.returncode == 0, checked.stdout
            assert taken_over(ours, peer(*ON)) == digest, name
            assert taken_over(ours, our_server(*ON)) == digest


@pytest.mark.parametrize(("directives", "rewrites"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
def test_what_a_real_server_wrote_we_load(directives: tuple[str, ...], rewrites: bool) -> None:
    """Data could not come here, or would arrive changed."""
    for name, peer in peers():
        with peer(*ON, *directives) as real:
            digest = filled(real, ENDING_FIELDS if name == "7.4.1" else "", rewrites=rewrites)
            assert taken_over(real, our_server(*ON)) == digest, name


def rpush_until(wire: socket.socket, deadline: float, acknowledged: list[int]) -> None:
    number = len(acknowledged)
    while time.monotonic() < deadline:
        wire.sendall(b"RPUSH log %d\r\n" % number)
        if not wire.recv(64).startswith(b":"):
            return
        acknowledged.append(number)
        number += 1


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_a_killed_server_keeps_what_it_acknowledged(policy: str) -> None:
    """Somebody was told that his write is safe, and it is gone with the process."""
    server = our_server("--appendonly", "yes", "--appendfsync", policy)
    server.keep = True
    acknowledged: list[int] = []
    try:
        for _ in range(3):
            server.start()
            link = Link(server.port)
            expected = len(acknowledged)
            assert link.command("LLEN", "log") in (b":%d\r\n" % expected, b":%d\r\n" % (expected + 1))
            while link.command("LLEN", "log") != b":%d\r\n" % expected:
                acknowledged.append(expected)
                expected += 1
            with socket.create_connection(("127.0.0.1", server.port)) as wire:
                rpush_until(wire, time.monotonic() + 0.3, acknowledged)
                link.command("BGREWRITEAOF")
                rpush_until(wire, time.monotonic() + 0.1, acknowledged)
            os.kill(server.pid, signal.SIGKILL)
            assert server.process is not None
            server.process.wait()
        assert len(acknowledged) > 100
    finally:
        server.keep = False
        server.stop()


def test_a_write_that_cannot_be_kept_is_not_acknowledged() -> None:
    """With appendfsync always a full disk would lose what clients were told is safe."""
    with our_server(*ON) as ours:
        link = Link(ours.port)
        assert link.command("SET", "a", "1") == b"+OK\r\n"
        limit_file_size(ours.pid, 100)
        link.command("SET", "b", "x" * 200)
        until(lambda: link.command("SET", "c", "1").startswith(b"-MISCONF Errors writing to the AOF file: "))
        assert b"aof_last_write_status:err" in link.command("INFO", "persistence")
        assert link.command("GET", "a") == b"$1\r\n1\r\n"
        limit_file_size(ours.pid, -1)
        until(lambda: link.command("SET", "c", "1") == b"+OK\r\n")
    with our_server("--appendonly", "yes", "--appendfsync", "always") as ours:
        link = Link(ours.port)
        assert link.command("SET", "a", "1") == b"+OK\r\n"
        limit_file_size(ours.pid, 100)
        with pytest.raises((OSError, AssertionError, EOFError)):
            assert link.command("SET", "b", "x" * 200) == b"+OK\r\n"
        assert ours.process is not None
        assert ours.process.wait(10) == 1


def limit_file_size(pid: int, size: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, -1))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def test_what_is_answered_while_a_server_ends_is_in_the_file() -> None:
    """A client of a second address was told OK, for what was in no file, while one of the first was slow to leave."""
    both = (
        "--bind",
        "127.0.0.2",
        "127.0.0.1",  # bound last: who is answered here finds both
        "--protected-mode",
        "no",
        "--client-output-buffer-limit",
        "normal 0 0 0",
    )
    server = our_server(*ON, *both)
    server.keep = True
    try:
        server.start()
        slow = socket.create_connection(("127.0.0.2", server.port))
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"SET large " + b"x" * 60000 + b"\r\n" + b"GET large\r\n" * 500)
        other = Link(server.port)
        assert other.command("PING") == b"+PONG\r\n"
        time.sleep(0.3)
        assert server.process is not None
        server.process.terminate()
        time.sleep(0.3)
        try:
            is_answered = other.command("SET", "late", "1") == b"+OK\r\n"
        except (OSError, EOFError):
            is_answered = False
        slow.close()
        server.stop()
        server.start()
        assert not is_answered or Link(server.port).command("GET", "late") == b"$1\r\n1\r\n"
    finally:
        server.keep = False
        server.stop()
