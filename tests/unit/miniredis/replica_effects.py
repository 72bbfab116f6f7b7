"""What CONFIG SET of each directive about replicas changes, for test_config.py: seen by a replica, or by a client."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.peers.redis import DEADLINE_S, Link


def until(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def asking(client: Any, *, knows_mark: bool = True) -> Link:
    """A replica that has asked for everything; with the mark it takes what is sent while it is made."""
    link = Link(client.server.port)
    if knows_mark:
        assert link.command("REPLCONF", "capa", "eof") == b"+OK\r\n"
    link.send(b"SYNC\r\n")
    return link


def first_line(link: Link) -> bytes:
    data = b""
    while b"\r\n" not in data:
        data = (data + link.socket.recv(1)).lstrip(b"\n")
    return data


def gone(client: Any, *links: Link) -> None:
    for link in links:
        link.close()
    assert until(lambda: client.info("replication", "connected_slaves") == "0")


def _backlog_size(client: Any) -> None:
    client.set("repl-backlog-size", "65536")
    link = asking(client, knows_mark=False)
    assert first_line(link).startswith(b"$")
    for _ in range(400):
        client("SET", "k", "x" * 1000)
    assert 65536 <= int(client.info("replication", "repl_backlog_histlen")) < 4 * 65536
    gone(client, link)


def _backlog_ttl(client: Any) -> None:
    link = asking(client, knows_mark=False)
    assert first_line(link).startswith(b"$")
    gone(client, link)
    before = client.info("replication", "master_replid")
    assert client.info("replication", "repl_backlog_active") == "1"
    client.set("repl-backlog-ttl", "1")
    assert until(lambda: client.info("replication", "repl_backlog_active") == "0")
    assert client.info("replication", "master_replid") != before


def _diskless(client: Any) -> None:
    for value, begins in (("no", b"$"), ("yes", b"$EOF:")):
        client.set("repl-diskless-sync-delay", "0")
        client.set("repl-diskless-sync", value)
        link = asking(client)
        line = first_line(link)
        assert line.startswith(begins)
        assert line[1:-2].isdigit() == (value == "no")
        gone(client, link)


def _delay(client: Any) -> None:
    client.set("repl-diskless-sync-delay", "1000")
    link = asking(client)
    assert until(lambda: "state=wait_bgsave" in client("INFO", "replication"))
    client.set("repl-diskless-sync-delay", "0")
    assert first_line(link).startswith(b"$EOF:")
    gone(client, link)


def _most_replicas(client: Any) -> None:
    client.set("repl-diskless-sync-delay", "1000")
    client.set("repl-diskless-sync-max-replicas", "2")
    links = [asking(client), asking(client)]
    for link in links:
        assert first_line(link).startswith(b"$EOF:")
    gone(client, *links)


def _ping_period(client: Any) -> None:
    client.set("repl-ping-replica-period", "1")
    link = asking(client, knows_mark=False)
    first_line(link)
    data = b""
    while b"$4\r\nping\r\n" not in data:
        data += link.socket.recv(4096)
    gone(client, link)


def _replicas_to_write(client: Any) -> None:
    client.set("min-replicas-to-write", "1")
    assert client("SET", "k", "v") == "NOREPLICAS Not enough good replicas to write."
    assert client("GET", "k") == "$-1\r\n"
    client.set("min-replicas-to-write", "0")
    assert client("SET", "k", "v") == "OK"


def _most_lag(client: Any) -> None:
    client.set("min-replicas-to-write", "1")
    client.set("min-replicas-max-lag", "0")
    assert client("SET", "k", "v") == "OK"
    client.set("min-replicas-max-lag", "10")
    assert client("SET", "k", "v").startswith("NOREPLICAS")
    client.set("min-replicas-to-write", "0")


REPLICA_EFFECTS: dict[str, Callable[[Any], None]] = {
    "min-replicas-max-lag": _most_lag,
    "min-replicas-to-write": _replicas_to_write,
    "repl-backlog-size": _backlog_size,
    "repl-backlog-ttl": _backlog_ttl,
    "repl-diskless-sync": _diskless,
    "repl-diskless-sync-delay": _delay,
    "repl-diskless-sync-max-replicas": _most_replicas,
    "repl-ping-replica-period": _ping_period,
}
