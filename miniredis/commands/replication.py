"""What a replica says to its primary, and who follows whom. REPLICAOF, the replica's side, is in `replicaof`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.client import REPLICA
from miniredis.engine.registry import (
    ADMIN,
    ALLOW_BUSY,
    FAST,
    LOADING,
    NO_ASYNC_LOADING,
    NO_MULTI,
    NOSCRIPT,
    STALE,
    command,
)
from miniredis.replication.failover import Failover, Target
from miniredis.replication.follower import Follower, Phase
from protocol.resp.inline import Unbalanced, split_arguments
from protocol.resp.numbers import parse_int
from protocol.resp.values import NOTHING, OK, Failure, Reply

_SYNC: Final = ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI

# No host name of a replica is longer.
HOST_MAX_BYTES: Final = 255
VERSION_MAX_BYTES: Final = 32


@command("ROLE", NOSCRIPT | LOADING | STALE | FAST, since="2.8.12", acl=("admin", "dangerous"))
def role(call: Call) -> Reply:
    """Tell the part this server has in replication."""
    replication = call.state.replication
    if replication.upstream is not None:
        upstream = replication.upstream
        return [b"slave", upstream.host, upstream.port, upstream.link_state, upstream.offset]
    followers: list[Reply] = [
        [each.address.encode(), b"%d" % each.port, b"%d" % each.ack_offset]
        for each in replication.primary.followers.values()
        if each.phase == Phase.ONLINE
    ]
    return [b"master", replication.history.offset, followers]


@command(
    "FAILOVER target=[TO host port:integer force=[FORCE]] [ABORT] [TIMEOUT milliseconds:integer]",
    ADMIN | NOSCRIPT | STALE, since="6.2.0",
)  # fmt: skip
def failover(call: Call) -> Reply:
    """Hand the part of the primary over to a replica that has everything."""
    replication = call.state.replication
    handing_over: Failover = replication.failover
    if len(call.argv) == 2 and call.option(1) == b"ABORT":
        if not handing_over.is_under_way:
            raise Failure("ERR No failover in progress.")
        handing_over.abort("Failover manually aborted")
        return OK
    target, timeout_ms, is_forced = _failover_words(call)
    if handing_over.is_under_way:
        raise Failure("ERR FAILOVER already in progress.")
    if replication.upstream is not None:
        raise Failure("ERR FAILOVER is not valid when server is a replica.")
    if not replication.primary.followers:
        raise Failure("ERR FAILOVER requires connected replicas.")
    if is_forced and (not timeout_ms or target is None):
        raise Failure("ERR FAILOVER with force option requires both a timeout and target HOST and IP.")
    if target is not None:
        follower = handing_over.find(target)
        if follower is None:
            raise Failure("ERR FAILOVER target HOST and PORT is not a replica.")
        if follower.phase != Phase.ONLINE:
            raise Failure("ERR FAILOVER target replica is not online.")
    handing_over.begin(target, timeout_ms, is_forced=is_forced)
    return OK


def _failover_words(call: Call) -> tuple[Target | None, int, bool]:
    """Target, timeout in ms (0: none), whether it is forced."""
    target: Target | None = None
    timeout_ms, is_forced, at = 0, False, 1
    while at < len(call.argv):
        word, left = call.option(at), len(call.argv) - at - 1
        if word == b"TIMEOUT" and left >= 1 and not timeout_ms:
            timeout_ms = call.integer(at + 1)
            if timeout_ms <= 0:
                raise Failure("ERR FAILOVER timeout must be greater than 0")
            at += 2
        elif word == b"TO" and left >= 2 and target is None:
            target = Target(call.argv[at + 1].decode("utf-8", "surrogateescape"), call.integer(at + 2))
            at += 3
        elif word == b"FORCE" and not is_forced:
            is_forced = True
            at += 1
        else:
            raise Failure(SYNTAX_ERROR)
    return target, timeout_ms, is_forced


# ── synchronizing ──────────────────────────────────────────────────────────────────────────────────────


@command("SYNC", _SYNC, complexity="")
def sync(call: Call) -> Reply:
    """Send everything, and then what changes: how replicas of old asked for it."""
    if call.session.mode & REPLICA:
        return NOTHING
    follower = _admitted(call)
    follower.is_old = True
    _become_replica(call)
    call.state.replication.primary.begin_full(follower)
    return NOTHING


@command("PSYNC replicationid offset:integer", _SYNC, since="2.8.0", arity=-3, complexity="")
def psync(call: Call) -> Reply:
    """Send what changes from an offset on; everything before, where that is not known here."""
    argv = call.argv
    if call.session.mode & REPLICA:
        return NOTHING
    if len(argv) > 3 and call.option(3) == b"FAILOVER":
        _take_over(call)
    follower = _admitted(call)
    try:
        wanted = call.integer(2)
    except Failure:
        call.state.warn(f"Replica {follower.name} asks for synchronization but with a wrong offset")
        raise
    primary = call.state.replication.primary
    _become_replica(call)
    if not primary.try_partial(follower, argv[1], wanted):
        primary.begin_full(follower)
    return NOTHING


def _take_over(call: Call) -> None:
    """Our primary hands its part over to us."""
    replication = call.state.replication
    call.state.log(f"Failover request received for replid {call.argv[1].decode('utf-8', 'replace')}.")
    if replication.upstream is None:
        raise Failure("ERR PSYNC FAILOVER can't be sent to a master.")
    if call.argv[1].lower() != replication.history.id:
        raise Failure("ERR PSYNC FAILOVER replid must match my replid.")
    replication.become_primary()
    call.state.log(f"MASTER MODE enabled (failover request from '{call.session.peer}')")


def _admitted(call: Call) -> Follower:
    """Who asks, unless nobody may ask now."""
    session, replication = call.session, call.state.replication
    if replication.failover.is_under_way:
        raise Failure("NOMASTERLINK Can't SYNC while failing over")
    if replication.upstream is not None and replication.upstream.link_state != b"connected":
        raise Failure("NOMASTERLINK Can't SYNC while not connected with my master")
    if session.out or session.pending_bytes:
        raise Failure("ERR SYNC and PSYNC are invalid with pending output")
    follower = _follower(session)
    if (follower.skips_data or follower.skips_functions) and not follower.knows_eof:
        raise Failure("ERR Filtered replica requires EOF capability")
    call.state.log(f"Replica {follower.name} asks for synchronization")
    return follower


def _become_replica(call: Call) -> None:
    call.session.mode |= REPLICA


def _follower(session: Any) -> Follower:
    """What this connection has said of itself as a replica."""
    if session.follower is None:
        session.follower = Follower(session)
    follower: Follower = session.follower
    return follower


# ── introductions and acknowledgements ─────────────────────────────────────────────────────────────────


@command("REPLCONF", ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY, since="3.0.0", arity=-1, is_internal=True)
def replconf(call: Call) -> Reply:
    """Take what a replica says of itself, and how far it is; answer a primary that asks how far this one is."""
    argv = call.argv
    if len(argv) % 2 == 0:
        raise Failure(SYNTAX_ERROR)
    for at in range(1, len(argv), 2):
        name = argv[at].lower()
        if name == b"ack":
            _acknowledge(call, at)
            return NOTHING
        if name == b"getack":
            upstream = call.state.replication.upstream
            if upstream is not None:
                upstream.acknowledge()
            return NOTHING
        take = _INTRODUCTIONS.get(name)
        if take is None:
            raise Failure(b"ERR Unrecognized REPLCONF option: %b" % argv[at])
        take(_follower(call.session), call, at + 1)
    return OK


def _acknowledge(call: Call, at: int) -> None:
    argv, follower = call.argv, call.session.follower
    if not call.session.mode & REPLICA or follower is None:
        return
    try:
        offset = parse_int(argv[at + 1])
        is_more = len(argv) > at + 3 and argv[at + 2].lower() == b"fack"
        aof_offset = parse_int(argv[at + 3]) if is_more else None
    except ValueError:
        return
    call.state.replication.primary.acknowledged(follower, offset, aof_offset)


def _take_port(follower: Follower, call: Call, at: int) -> None:
    follower.port = call.integer(at)


def _take_host(follower: Follower, call: Call, at: int) -> None:
    host = call.argv[at]
    if len(host) > HOST_MAX_BYTES:
        raise Failure(f"ERR REPLCONF ip-address provided by replica instance is too long: {len(host)} bytes")
    follower.host = host


def _take_capability(follower: Follower, call: Call, at: int) -> None:
    """One that we do not know is no harm."""
    name = call.argv[at].lower()
    follower.knows_eof |= name == b"eof"
    follower.knows_psync2 |= name == b"psync2"


def _take_version(follower: Follower, call: Call, at: int) -> None:
    follower.version = call.argv[at][:VERSION_MAX_BYTES]


def _take_rdb_only(follower: Follower, call: Call, at: int) -> None:
    number = call.integer(at)
    if not 0 <= number <= 1:
        raise Failure("ERR value is out of range, value must between 0 and 1")
    follower.is_rdb_only = bool(number)


def _take_filter(follower: Follower, call: Call, at: int) -> None:
    """What of the data is wanted alone; nothing named, nothing wanted."""
    try:
        words = split_arguments(call.argv[at])
    except Unbalanced:
        raise Failure("ERR Missing rdb-filter-only values") from None
    follower.skips_data = follower.skips_functions = True
    for word in words:
        if word.lower() != b"functions":
            raise Failure(b"ERR Unsupported rdb-filter-only option: %b" % word)
        follower.skips_functions = False


_INTRODUCTIONS: Final[dict[bytes, Callable[[Follower, Call, int], None]]] = {
    b"listening-port": _take_port, b"ip-address": _take_host, b"capa": _take_capability, b"version": _take_version,
    b"rdb-only": _take_rdb_only, b"rdb-filter-only": _take_filter,
}  # fmt: skip
