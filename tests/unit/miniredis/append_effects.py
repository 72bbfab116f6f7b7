"""What CONFIG SET of each directive of the append-only file changes, for test_config.py: seen from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def settled(client: Any) -> None:
    deadline = time.monotonic() + 20
    while client.info("persistence", "aof_rewrite_in_progress") != "0" or (
        client.info("persistence", "aof_rewrite_scheduled") != "0"
    ):
        assert time.monotonic() < deadline, "a rewrite that does not end"
        time.sleep(0.01)


def on(client: Any) -> Path:
    """Turn it on; where it is."""
    if client("CONFIG", "GET", "appendonly").endswith("no\r\n"):
        client.set("appendonly", "yes")
    settled(client)
    return Path(client.server.directory) / "appendonlydir"


def off(client: Any) -> None:
    client.set("appendonly", "no")


def increment(directory: Path) -> bytes:
    """What is in the file that is being written."""
    return max(directory.glob("*.incr.aof"), key=lambda path: path.stat().st_mtime_ns).read_bytes()


def rewritten(client: Any) -> None:
    assert client("BGREWRITEAOF").startswith("Background")
    settled(client)


def _appendonly(client: Any) -> None:
    directory = on(client)
    assert client.info("persistence", "aof_enabled") == "1"
    client("SET", "k", "kept")
    assert b"kept" in increment(directory)
    off(client)
    assert client.info("persistence", "aof_enabled") == "0"
    client("SET", "k", "not written")
    assert b"not written" not in increment(directory)


def _sync(client: Any) -> None:
    on(client)
    client.set("latency-monitor-threshold", "1")
    client.set("appendfsync", "always")
    # A slow disk shows itself; a fast one is asked often enough.
    deadline = time.monotonic() + 10
    while "aof-fsync-always" not in client("LATENCY", "LATEST"):
        client("SET", "k", "v")
        assert time.monotonic() < deadline, "no fsync before the answer"
    client.set("appendfsync", "no")
    client("LATENCY", "RESET")
    for _ in range(50):
        client("SET", "k", "v")
    assert "aof-fsync-always" not in client("LATENCY", "LATEST")
    client.set("latency-monitor-threshold", "0")
    off(client)


def _timestamps(client: Any) -> None:
    directory = on(client)
    client.set("aof-timestamp-enabled", "yes")
    client("SET", "k", "v")
    assert b"#TS:" in increment(directory)
    off(client)


def _preamble(client: Any) -> None:
    directory = on(client)
    for value, end in (("no", "aof"), ("yes", "rdb")):
        client.set("aof-use-rdb-preamble", value)
        rewritten(client)
        assert list(directory.glob(f"*.base.{end}"))
    off(client)


def _no_removal(client: Any) -> None:
    directory = on(client)
    client.set("aof-disable-auto-gc", "yes")
    rewritten(client)
    assert len(list(directory.glob("*.base.*"))) == 2
    client.set("aof-disable-auto-gc", "no")
    assert len(list(directory.glob("*.base.*"))) == 1
    off(client)


def _growth(name: str, value: str) -> Callable[[Any], None]:
    """A file grows until it is worth rewriting."""

    def check(client: Any) -> None:
        client.set("auto-aof-rewrite-min-size", "100" if name == "auto-aof-rewrite-percentage" else "1gb")
        client.set("auto-aof-rewrite-percentage", "100000000" if name == "auto-aof-rewrite-percentage" else "1")
        on(client)
        client("SET", "k", "x" * 5000)
        before = client.info("persistence", "aof_rewrites")
        client.set(name, value)
        deadline = time.monotonic() + 10
        while client.info("persistence", "aof_rewrites") == before:
            assert time.monotonic() < deadline, "it grows and grows"
            time.sleep(0.02)
        settled(client)
        off(client)

    return check


def _truncated(client: Any) -> None:
    directory = on(client)
    client("SET", "a", "1")
    client("SET", "b", "2")
    path = max(directory.glob("*.incr.aof"), key=lambda path: path.stat().st_mtime_ns)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    client.set("aof-load-truncated", "no")
    assert client("DEBUG", "LOADAOF").startswith("ERR")
    assert path.read_bytes() == whole[:-3]
    client.set("aof-load-truncated", "yes")
    assert client("DEBUG", "LOADAOF") == "OK"
    assert (client("EXISTS", "a"), client("EXISTS", "b")) == ("1", "0")
    off(client)


def _no_sync_meanwhile(client: Any) -> None:
    on(client)
    client.set("latency-monitor-threshold", "1")
    client.set("appendfsync", "always")
    client.set("no-appendfsync-on-rewrite", "yes")
    client.set("rdb-key-save-delay", "300000")
    client("MSET", "a", "1", "b", "2", "c", "3")
    client("LATENCY", "RESET")
    assert client("BGREWRITEAOF").startswith("Background")
    for _ in range(50):
        client("SET", "k", "v")
    assert client.info("persistence", "aof_rewrite_in_progress") == "1"
    assert "aof-fsync-always" not in client("LATENCY", "LATEST")
    client.set("rdb-key-save-delay", "0")
    off(client)
    client.set("appendfsync", "everysec")
    client.set("latency-monitor-threshold", "0")


APPEND_EFFECTS: dict[str, Callable[[Any], None]] = {
    "aof-disable-auto-gc": _no_removal,
    "aof-load-truncated": _truncated,
    "aof-timestamp-enabled": _timestamps,
    "aof-use-rdb-preamble": _preamble,
    "appendfsync": _sync,
    "appendonly": _appendonly,
    "auto-aof-rewrite-min-size": _growth("auto-aof-rewrite-min-size", "100"),
    "auto-aof-rewrite-percentage": _growth("auto-aof-rewrite-percentage", "1"),
    "no-appendfsync-on-rewrite": _no_sync_meanwhile,
}
