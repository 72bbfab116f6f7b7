"""Append-only files with scripts in them that take long: who starts is not deaf meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.resp.encoder import encode_command
from tests.peers.redis import DEADLINE_S, Link, Server, our_server, real_server

pytestmark = pytest.mark.peer

ON = ("--appendonly", "yes", "--appendfsync", "no", "--busy-reply-threshold", "50")
ENDLESS = b"redis.call('set', 'half', 1) while true do redis.call('get', 'half') end"
LONG = b"for n = 1, 3000000 do if n % 300000 == 0 then redis.call('rpush', 'l', n) end end redis.call('incr', 'n')"
MAKERS: list[Callable[..., Server]] = [our_server, real_server]


def with_file(server: Server, *commands: list[bytes]) -> Path:
    """It is to start on these commands; where they are."""
    directory = Path(server.directory) / "appendonlydir"
    directory.mkdir()
    path = directory / "appendonly.aof.1.incr.aof"
    path.write_bytes(b"".join([encode_command(argv) for argv in commands]))
    (directory / "appendonly.aof.manifest").write_bytes(b"file appendonly.aof.1.incr.aof seq 1 type i\n")
    return path


def until_logged(server: Server, text: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while text not in server.log():
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.01)


@pytest.mark.parametrize("make", MAKERS)
def test_a_load_that_a_script_holds_answers_and_ends_at_a_signal(make: Callable[..., Server]) -> None:
    """A server could be neither asked nor stopped, but with SIGKILL, because of one script in its file."""
    server = make(*ON)
    path = with_file(server, [b"SET", b"a", b"1"], [b"EVAL", ENDLESS, b"0"], [b"SET", b"b", b"1"])
    before = path.read_bytes()
    server.keep = True
    with server:
        until_logged(server, "Slow script detected")
        assert Link(server.port).command("GET", "a").startswith(b"-LOADING")
        os.kill(server.pid, signal.SIGTERM)
        assert server.process is not None
        assert server.process.wait(DEADLINE_S) == 0
    assert path.read_bytes() == before
    server.keep = False
    server.stop()


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("is_in_transaction", [False, True])
def test_what_comes_after_a_slow_script_is_run_after_it(make: Callable[..., Server], is_in_transaction: bool) -> None:
    """Later commands of the file would find what the script had not done yet, or be left out."""
    script = [[b"EVAL", LONG, b"0"]]
    if is_in_transaction:
        script = [[b"MULTI"], [b"INCR", b"n"], *script, [b"INCR", b"n"], [b"EXEC"]]
    server = make(*ON)
    with_file(server, [b"SET", b"n", b"1"], *script, [b"APPEND", b"n", b"0"], [b"RPUSH", b"l", b"end"])
    with server:
        until_logged(server, "DB loaded from append only file")
        link = Link(server.port)
        assert link.command("LLEN", "l") == b":11\r\n"
        assert link.command("LINDEX", "l", "-1") == b"$3\r\nend\r\n"
        assert link.command("GET", "n") == (b"$2\r\n40\r\n" if is_in_transaction else b"$2\r\n20\r\n")
