"""A real Sentinel watches over three of ours: the primary is killed, a replica takes its part, the other one follows
it, and their configuration files say so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.oracle.redis.traffic import info, until
from tests.peers.redis import Link, Server, free_port, real_binary


@contextmanager
def sentinel(folder: Path, watched: int) -> Iterator[Link]:
    """One that asks nobody else before it acts."""
    port = free_port()
    path = folder / "sentinel.conf"
    path.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nlogfile sentinel.log\nsentinel monitor m 127.0.0.1 {watched} 1\n"
        "sentinel down-after-milliseconds m 700\nsentinel failover-timeout m 3000\n"
    )
    process = subprocess.Popen([real_binary(), str(path), "--sentinel"], stdout=subprocess.DEVNULL)
    links: list[Link] = []

    def answers() -> bool:
        try:
            links.append(Link(port))
        except OSError:
            return False
        return True

    try:
        until("an answer", answers)
        yield links[0]
    finally:
        process.terminate()
        process.wait()


def ours(folder: Path, name: str, *directives: str) -> Server:
    path = folder / f"{name}.conf"
    path.write_text("# kept as it is\n")
    return Server([sys.executable, "-m", "miniredis", str(path)], ("--repl-diskless-sync-delay", "0", *directives))


def told(server: Server, field: str) -> str:
    """A field of INFO, over a new connection: Sentinel closes those of before with a change of roles."""
    try:
        link = Link(server.port)
        try:
            return info(link, field)
        finally:
            link.close()
    except (OSError, EOFError):
        return ""


def is_up(server: Server) -> bool:
    return told(server, "master_link_status") == "up"


def test_a_failover(tmp_path: Path) -> None:
    """Whoever runs Sentinel could not put miniredis in the place of Redis."""
    with ExitStack() as stack:
        first = stack.enter_context(ours(tmp_path, "first"))
        follow = ("--replicaof", f"127.0.0.1 {first.port}")
        names = ("second", "third")
        servers = [stack.enter_context(ours(tmp_path, name, *follow)) for name in names]
        until("the replicas", lambda: all(map(is_up, servers)))
        watcher = stack.enter_context(sentinel(tmp_path, first.port))
        until("the replicas", lambda: watcher.command("SENTINEL", "REPLICAS", "m").count(b"$4\r\nname\r\n") == 2)
        client = Link(first.port)
        client.command("SET", "kept", "1")
        assert client.command("WAIT", "2", "5000") == b":2\r\n"
        os.kill(first.pid, signal.SIGKILL)
        until("a new primary", lambda: any(told(server, "role") == "master" for server in servers))
        at = [told(server, "role") for server in servers].index("master")
        new, left = servers[at], servers[1 - at]
        until("the other one", lambda: told(left, "master_port") == str(new.port) and is_up(left))
        for server in servers:
            assert Link(server.port).command("GET", "kept") == b"$1\r\n1\r\n"
        assert told(new, "sync_full") == "0"
        text = (tmp_path / f"{names[1 - at]}.conf").read_text()
        assert text.startswith("# kept as it is\n")
        assert f"replicaof 127.0.0.1 {new.port}\n" in text
        assert "replicaof" not in (tmp_path / f"{names[at]}.conf").read_text()
