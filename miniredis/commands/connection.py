"""A connection about itself: PING, HELLO, AUTH, SELECT, RESET, QUIT."""

from __future__ import annotations

from typing import Final

from miniredis.commands.clients import checked_name
from miniredis.commands.shared import ALL_SHARDS, NO_SUCH_DB, wrong_arity
from miniredis.engine.call import NOT_AN_INTEGER, SYNTAX_ERROR, Call
from miniredis.engine.client import (
    MONITOR,
    NO_EVICT,
    NO_TOUCH,
    REPLY_OFF,
    REPLY_SKIP,
    SUBSCRIBED,
    UNAUTHENTICATED,
)
from miniredis.engine.registry import (
    ALLOW_BUSY,
    FAST,
    HEALTH,
    IN_SUBSCRIBER,
    LOADING,
    NO_AUTH,
    NOSCRIPT,
    STALE,
    UNQUEUED,
    command,
)
from miniredis.engine.state import MONITORED
from miniredis.engine.version import VERSION
from protocol.resp.numbers import parse_int
from protocol.resp.values import OK, PONG, Failure, Reply, Status

_STRANGERS: Final = NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY
_RESET: Final = Status("RESET")


@command("PING [message]", FAST | IN_SUBSCRIBER | HEALTH, tips=ALL_SHARDS)
def ping(call: Call) -> Reply:
    """Tell that the server is there, or give a message back."""
    argv = call.argv
    if len(argv) > 2:
        raise wrong_arity(call)
    if call.session.mode & SUBSCRIBED:
        return [b"pong", argv[1] if len(argv) == 2 else b""]
    return argv[1] if len(argv) == 2 else PONG


@command("ECHO message", LOADING | STALE | FAST)
def echo(call: Call) -> Reply:
    """Give the message back."""
    return call.argv[1]


@command("SELECT index:integer", LOADING | STALE | FAST)
def select(call: Call) -> Reply:
    """Make another database the one this connection works on."""
    index = _int32(call.argv[1], NOT_AN_INTEGER)
    if not 0 <= index < len(call.state.dbs):
        raise Failure(NO_SUCH_DB)
    call.select(call.state.dbs[index])
    return OK


def _int32(text: bytes, error: str) -> int:
    try:
        number = parse_int(text)
    except ValueError:
        raise Failure(error) from None
    if not -(2**31) <= number < 2**31:
        raise Failure(f"ERR value is out of range, value must between {-(2**31)} and {2**31 - 1}")
    return number


@command("AUTH [username @6.0.0] password", _STRANGERS, history=(("6.0.0", "May name a user."),))
def auth(call: Call) -> Reply:
    """Log in: as the default user, or as the one named."""
    argv = call.argv
    if len(argv) > 3:
        raise Failure(SYNTAX_ERROR)
    access = call.state.access
    if len(argv) == 2 and access.default.needs_no_password:
        raise Failure(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your "
            "configuration is correct?"
        )
    name = argv[1] if len(argv) == 3 else b"default"
    call.session.become(access.authenticate(name, argv[-1]))
    return OK


@command(
    "HELLO arguments=[protover:integer [AUTH auth=<username password>] [SETNAME clientname]]", _STRANGERS,
    since="6.0.0",
    history=(("6.2.0", "May be called without a version, and then only tells about the connection."),),
)  # fmt: skip
def hello(call: Call) -> Reply:
    """Choose the protocol version, and log in or take a name on the way; answers who the server is."""
    session = call.session
    version = call.integer(1, "ERR Protocol version is not an integer or out of range") if len(call.argv) > 1 else 0
    if len(call.argv) > 1 and not 2 <= version <= 3:
        raise Failure("NOPROTO unsupported protocol version")
    login, name = _hello_options(call)
    if login is not None:
        session.become(call.state.access.authenticate(*login))
    if session.mode & UNAUTHENTICATED:
        raise Failure(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
            "<user> <pass> option can be used to authenticate the client and select the RESP protocol version at the "
            "same time"
        )
    if name is not None:
        session.name = name
    if version:
        session.resp = call.resp = version
        session.mark_listening()
    return {
        b"server": b"redis",
        b"version": VERSION.encode(),
        b"proto": session.resp,
        b"id": session.id,
        b"mode": b"standalone",
        b"role": b"replica" if call.state.is_replica else b"master",
        b"modules": [],
    }


def _hello_options(call: Call) -> tuple[tuple[bytes, bytes] | None, bytes | None]:
    argv = call.argv
    login: tuple[bytes, bytes] | None = None
    name: bytes | None = None
    at = 2
    while at < len(argv):
        option = call.option(at)
        if option == b"AUTH" and at + 2 < len(argv):
            login = (argv[at + 1], argv[at + 2])
            at += 3
        elif option == b"SETNAME" and at + 1 < len(argv):
            name = checked_name(argv[at + 1])
            at += 2
        else:
            raise Failure(b"ERR Syntax error in HELLO option '%b'" % argv[at])
    return login, name


@command("QUIT", _STRANGERS | UNQUEUED | IN_SUBSCRIBER, arity=-1, deprecated=("7.2.0", "just closing the connection"))
def quit_(call: Call) -> Reply:
    """Close the connection once everything before was answered."""
    call.session.close_after_reply()
    return OK


@command("RESET", _STRANGERS | UNQUEUED | IN_SUBSCRIBER, since="6.2.0")
def reset(call: Call) -> Reply:
    """Make the connection what it was when it was opened."""
    session, state = call.session, call.state
    if session.mode & MONITOR:
        state.observer.monitors.pop(session, None)
        if not state.observer.monitors:
            state.mode &= ~MONITORED
    call.select(state.dbs[0])
    session.resp = call.resp = 2
    session.become(state.access.default, is_stranger=not state.access.is_open)
    state.engine.transactions.discard(session)
    state.engine.tracking.stop(session)
    state.pubsub.forget(session)
    session.mark_listening()
    session.name = b""
    session.mode &= ~(MONITOR | REPLY_OFF | REPLY_SKIP | NO_TOUCH | NO_EVICT)
    return _RESET
