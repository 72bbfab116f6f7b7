"""What the server shows outside of RESP: metrics and health over HTTP, and the table of its commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniredis.engine.registry import declared
from protocol.ops import console
from protocol.ops.metrics import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from miniredis.server import Server
    from protocol.net.listener import Listener


def command_table() -> str:
    """All commands by group, as a Markdown table."""
    import miniredis.commands  # noqa: F401  for what it declares

    groups: dict[str, list[str]] = {}
    for spec in declared().everything():
        if spec.run is not None:
            groups.setdefault(spec.group, []).append(spec.name.decode().upper().replace("|", " "))
    lines = ["| Group | Commands |", "|---|---|"]
    lines += [f"| {group} | {' · '.join(sorted(names))} |" for group, names in sorted(groups.items())]
    return "\n".join(lines)


async def open_console(server: Server, port: int) -> Listener:
    """Serve /metrics and /health on loopback. OSError: the port is taken; ModuleNotFoundError: an extra is missing."""
    registry = metrics(server)
    return await console.open_console(
        server.loop, "127.0.0.1", port,
        {"/metrics": registry.text, "/health": lambda: ("text/plain", b"ok\n")},
    )  # fmt: skip


def metrics(server: Server) -> Registry:
    """Gauges read when scraped: the numbers INFO has, under Prometheus names."""
    state = server.state
    keyspace, observer = state.keyspace, state.observer
    registry = Registry()
    gauge = registry.gauge

    def keys() -> Iterator[tuple[tuple[str, ...], float]]:
        for db in state.dbs:
            if len(db):
                yield (str(db.index),), len(db)

    def calls() -> Iterator[tuple[tuple[str, ...], float]]:
        for command in observer.commands:
            if command.calls:
                yield (command.spec.name.decode(),), command.calls

    gauge("redis_connected_clients", "Clients connected now", lambda: len(state.clients))
    gauge("redis_blocked_clients", "Clients waiting for a key", lambda: len(state.blocked))
    gauge("redis_connections_received", "Connections accepted since start", lambda: state.connections_received)
    gauge("redis_commands_processed", "Commands run since start or CONFIG RESETSTAT", lambda: observer.calls)
    gauge("redis_command_calls", "The same by command", calls, labels=("cmd",))
    gauge("redis_error_replies", "Error replies sent", lambda: observer.error_replies)
    gauge("redis_keyspace_hits", "Lookups that found their key", lambda: keyspace.hits)
    gauge("redis_keyspace_misses", "Lookups that did not", lambda: keyspace.misses)
    gauge("redis_expired_keys", "Keys removed because their time had come", lambda: keyspace.expired_keys)
    gauge("redis_db_keys", "Keys by database", keys, labels=("db",))
    gauge("process_resident_memory_bytes", "Memory in RAM", server.process.resident_bytes)
    return registry
