"""REPLICAOF: of whom this server is a replica."""

from __future__ import annotations

from typing import Any, Final

from miniredis.commands.clients import client_line
from miniredis.engine.call import Call
from miniredis.engine.client import REPLICA
from miniredis.engine.registry import ADMIN, NO_ASYNC_LOADING, NOSCRIPT, STALE, command
from protocol.resp.values import OK, Failure, Reply, Status

MAX_PORT: Final = 65535

_FLAGS: Final = ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING
_WHOM: Final = "args=<host-port=<host port:integer> | no-one=<no=NO= one=ONE>>"
_ALREADY: Final = Status("OK Already connected to specified master")


@command(f"REPLICAOF {_WHOM}", _FLAGS, since="5.0.0", complexity="O(1)")
def replicaof(call: Call) -> Reply:
    """Make this server a replica of another one, or a primary again."""
    replication = call.state.replication
    if replication.failover.is_under_way:
        raise Failure("ERR REPLICAOF not allowed while failing over.")
    _, host, port = call.argv
    if host.lower() == b"no" and port.lower() == b"one":
        if replication.upstream is not None:
            replication.become_primary()
            call.state.log(f"MASTER MODE enabled (user request from '{_who(call)}')")
        return OK
    return _follow(call, replication, host)


def _follow(call: Call, replication: Any, host: bytes) -> Reply:
    if call.session.mode & REPLICA:
        raise Failure("ERR Command is not valid when client is a replica.")
    port = call.integer(2, "ERR Invalid master port")
    if not 0 <= port <= MAX_PORT:
        raise Failure("ERR Invalid master port")
    upstream = replication.upstream
    if upstream is not None and upstream.host.lower() == host.lower() and upstream.port == port:
        call.state.log(
            "REPLICAOF would result into synchronization with the master we are already connected with. No operation "
            "performed."
        )
        return _ALREADY
    replication.become_replica(host, port, False)
    call.state.log(f"REPLICAOF {host.decode('utf-8', 'replace')}:{port} enabled (user request from '{_who(call)}')")
    return OK


def _who(call: Call) -> str:
    return client_line(call.state, call.session, call.now).decode("utf-8", "replace").rstrip("\n")


@command(f"SLAVEOF {_WHOM}", _FLAGS, since="1.0.0", complexity="O(1)",
         deprecated=("5.0.0", "`REPLICAOF`"))  # fmt: skip
def slaveof(call: Call) -> Reply:
    """Do what `REPLICAOF` does, under its older name."""
    return replicaof(call)
