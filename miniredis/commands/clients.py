"""CLIENT: who is connected, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from miniredis.commands.shared import ALL_NODES, timeout_ms, wrong_subcommand
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.client import (
    CLOSING,
    DIRTY_CAS,
    IN_MULTI,
    MONITOR,
    NO_EVICT,
    NO_TOUCH,
    PRIMARY,
    REPLICA,
    REPLY_OFF,
    REPLY_SKIP,
    REPLY_SKIP_NEXT,
    TRACKING,
    Client,
)
from miniredis.engine.registry import ADMIN, LOADING, NOSCRIPT, STALE, command, container
from miniredis.engine.state import State
from protocol.resp.numbers import parse_int
from protocol.resp.values import NOTHING, OK, Failure, Reply, Verbatim

_ANY_TIME: Final = NOSCRIPT | LOADING | STALE
_ADMIN: Final = _ANY_TIME | ADMIN

# What one argument of a command costs beside its bytes, as Redis counts it for argv-mem and the like: nothing. What a
# connection itself costs here: the objects of session, parser and transport, measured.
_CONNECTION_BYTES: Final = 3500

container("CLIENT", since="2.4.0", group="connection", summary="Commands about client connections.")


def checked_name(name: bytes) -> bytes:
    """A client name that cannot break the lines of CLIENT LIST."""
    if not _is_plain(name):
        raise Failure("ERR Client names cannot contain spaces, newlines or special characters.")
    return name


def _is_plain(text: bytes) -> bool:
    return all(33 <= byte <= 126 for byte in text.split(b"\0", 1)[0])


@command("CLIENT|ID", _ANY_TIME, since="5.0.0")
def client_id(call: Call) -> Reply:
    """Return the number of this connection; numbers only grow."""
    return call.session.id


@command("CLIENT|GETNAME", _ANY_TIME, since="2.6.9")
def client_getname(call: Call) -> Reply:
    """Return the name this connection was given."""
    return call.session.name or None


@command("CLIENT|SETNAME connection-name", _ANY_TIME, since="2.6.9", tips=ALL_NODES)
def client_setname(call: Call) -> Reply:
    """Give this connection a name; an empty one takes it away."""
    call.session.name = checked_name(call.argv[2])
    return OK


@command("CLIENT|SETINFO attr=<LIB-NAME libname | LIB-VER libver>", _ANY_TIME, since="7.2.0", tips=ALL_NODES)
def client_setinfo(call: Call) -> Reply:
    """Say which client library this connection is made by."""
    attribute, value = call.argv[2], call.argv[3]
    if attribute.lower() not in (b"lib-name", b"lib-ver"):
        raise Failure(b"ERR Unrecognized option '%b'" % attribute)
    if not _is_plain(value):
        raise Failure(b"ERR %b cannot contain spaces, newlines or special characters." % attribute)
    if attribute.lower() == b"lib-name":
        call.session.lib_name = value
    else:
        call.session.lib_ver = value
    return OK


# ── the list ───────────────────────────────────────────────────────────────────────────────────────────


@command("CLIENT|INFO", _ANY_TIME, since="6.2.0", tips=("nondeterministic_output",))
def client_info(call: Call) -> Reply:
    """Describe this connection."""
    return Verbatim(client_line(call.state, call.session, call.now))


@command(
    "CLIENT|LIST [TYPE client-type=<NORMAL | MASTER | REPLICA | PUBSUB> @5.0.0] [ID client-id:integer [client-id ...] "
    "@6.2.0]",
    _ADMIN, since="2.4.0", tips=("nondeterministic_output",), complexity="O(N) where N is the number of connections",
    history=(
        ("2.8.12", "Tells `id`."), ("5.0.0", "Takes `TYPE`."), ("6.0.0", "Tells `user`."),
        ("6.2.0", "Tells `argv-mem`, `tot-mem`, `laddr` and `redir`; takes `ID`."),
        ("7.0.0", "Tells `resp`, `multi-mem`, `rbs` and `rbp`."), ("7.0.3", "Tells `ssub`."),
    ),
)  # fmt: skip
def client_list(call: Call) -> Reply:
    """Describe connections: all of them, those of a type, or those with given numbers."""
    argv, state = call.argv, call.state
    if len(argv) == 4 and call.option(2) == b"TYPE":
        wanted = client_type(argv[3])
        chosen = [client for client in state.clients.values() if _type_of(client) == wanted]
    elif len(argv) > 3 and call.option(2) == b"ID":
        numbers = [call.integer(at, "ERR Invalid client ID") for at in range(3, len(argv))]
        chosen = [state.clients[number] for number in numbers if number in state.clients]
    elif len(argv) == 2:
        chosen = list(state.clients.values())
    else:
        raise Failure(SYNTAX_ERROR)
    return Verbatim(b"".join([client_line(state, client, call.now) for client in chosen]))


def client_type(word: bytes) -> bytes:
    """TYPE's word as CLIENT LIST writes it. Failure: there is no such type."""
    name = word.lower()
    if name not in (b"normal", b"slave", b"replica", b"pubsub", b"master"):
        raise Failure(b"ERR Unknown client type '%b'" % word)
    return b"slave" if name == b"replica" else name


def _type_of(client: Client) -> bytes:
    if client.mode & PRIMARY:
        return b"master"
    if client.mode & REPLICA:
        return b"slave"
    return b"pubsub" if client.channels or client.patterns or client.shard_channels else b"normal"


_FLAGS: Final[tuple[tuple[Callable[[Client], bool], str], ...]] = (
    (lambda client: bool(client.mode & MONITOR), "O"),
    (lambda client: bool(client.mode & REPLICA), "S"),
    (lambda client: bool(client.mode & PRIMARY), "M"),
    (lambda client: bool(client.channels or client.patterns or client.shard_channels), "P"),
    (lambda client: bool(client.mode & IN_MULTI), "x"),
    (lambda client: client.blocked is not None, "b"),
    (lambda client: bool(client.mode & TRACKING), "t"),
    (lambda client: bool(client.mode & TRACKING and client.tracking.is_broken), "R"),
    (lambda client: bool(client.mode & TRACKING and client.tracking.is_broadcast), "B"),
    (lambda client: bool(client.mode & DIRTY_CAS), "d"),
    (lambda client: bool(client.mode & CLOSING), "c"),
    (lambda client: client.peer.startswith("/"), "U"),
    (lambda client: bool(client.mode & NO_EVICT), "e"),
    (lambda client: bool(client.mode & NO_TOUCH), "T"),
)


def client_line(state: State, client: Client, now_ms: int) -> bytes:
    """One line of CLIENT LIST, fields in Redis's order."""
    monotonic = state.clock.monotonic()
    queued_bytes = sum(sum(map(len, argv)) for _, argv in client.queue)
    argv = client.call.argv if client.call is not None else []
    current = state.engine.lookup(argv) if argv else None
    pending = client.pending_bytes
    fields: dict[str, object] = {
        "id": client.id,
        "addr": client.peer,
        "laddr": client.laddr,
        "fd": client.descriptor,
        "name": _text(client.name),
        "age": int(monotonic - client.created_at),
        "idle": int(monotonic - client.last_active_at),
        "flags": "".join([letter for applies, letter in _FLAGS if applies(client)]) or "N",
        "db": client.db.index,
        "sub": len(client.channels),
        "psub": len(client.patterns),
        "ssub": len(client.shard_channels),
        "multi": len(client.queue) if client.mode & IN_MULTI else -1,
        "watch": len(client.watched),
        "qbuf": client.buffered_bytes + (_framed_bytes(argv) if client.is_running else 0),
        "qbuf-free": 0,
        "argv-mem": sum(map(len, argv)) if client.is_running else 0,
        "multi-mem": queued_bytes,
        "rbs": 0,
        "rbp": 0,
        "obl": 0,
        "oll": 1 if pending else 0,
        "omem": pending,
        "tot-mem": _CONNECTION_BYTES + queued_bytes + pending + client.buffered_bytes,
        "events": "r",
        "cmd": _text(current.spec.name) if current is not None else "NULL",
        "user": "(superuser)" if client.user is None else _text(client.user.name),
        "redir": client.tracking.redirect if client.mode & TRACKING else -1,
        "resp": client.resp,
        "lib-name": _text(client.lib_name),
        "lib-ver": _text(client.lib_ver),
    }
    line = " ".join([f"{name}={value}" for name, value in fields.items()])
    return line.encode("utf-8", "surrogateescape") + b"\n"


def _framed_bytes(argv: list[bytes]) -> int:
    """What the command took on the wire, when it came as an array."""
    return len(b"*%d\r\n" % len(argv)) + sum([len(b"$%d\r\n\r\n" % len(word)) + len(word) for word in argv])


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


# ── ending and holding them ────────────────────────────────────────────────────────────────────────────


@command(
    "CLIENT|KILL filter=<old-format/ip:port @-2.8.12 | new-format=<[ID client-id:integer @2.8.12] | "
    "[TYPE client-type=<NORMAL | MASTER @3.2.0 | SLAVE | REPLICA @5.0.0 | PUBSUB> @2.8.12] | [USER username] | "
    "[ADDR addr/ip:port] | [LADDR laddr/ip:port @6.2.0] "
    "| [SKIPME skipme=<YES | NO>] | [MAXAGE maxage:integer @7.4.0]> [new-format ...]>",
    _ADMIN, since="2.4.0", arity=-3, complexity="O(N) where N is the number of connections",
    history=(
        ("2.8.12", "Takes filters."), ("2.8.12", "Takes `ID`."), ("3.2.0", "Knows the type `master`."),
        ("5.0.0", "Knows the type `replica`; `slave` means the same."), ("6.2.0", "Takes `LADDR`."),
        ("7.4.0", "Takes `MAXAGE`."),
    ),
)  # fmt: skip
def client_kill(call: Call) -> Reply:
    """Close connections: the one with an address, or all that fit every filter."""
    argv, session = call.argv, call.session
    if len(argv) == 3:
        filters: list[Callable[[Client], bool]] = [_has_address(argv[2])]
        spares_me = False
    else:
        filters, spares_me = _kill_filters(call)
    chosen = [
        client
        for client in call.state.clients.values()
        if all(fits(client) for fits in filters) and not (spares_me and client is session)
    ]
    for client in chosen:
        if client is session:
            client.close_after_reply()
        else:
            client.kill()
    if len(argv) == 3:
        if not chosen:
            raise Failure("ERR No such client")
        return OK
    return len(chosen)


def _has_address(address: bytes) -> Callable[[Client], bool]:
    return lambda client: client.peer.encode() == address


def _kill_filters(call: Call) -> tuple[list[Callable[[Client], bool]], bool]:
    argv = call.argv
    filters: list[Callable[[Client], bool]] = []
    spares_me = True
    for at in range(2, len(argv), 2):
        option = call.option(at)
        if at + 1 == len(argv):
            raise Failure(SYNTAX_ERROR)
        if option == b"SKIPME":
            word = call.option(at + 1)
            if word not in (b"YES", b"NO"):
                raise Failure(SYNTAX_ERROR)
            spares_me = word == b"YES"
        else:
            filters.append(_kill_filter(call, option, at + 1))
    return filters, spares_me


def _kill_filter(call: Call, option: bytes, at: int) -> Callable[[Client], bool]:
    word = call.argv[at]
    if option == b"ID":
        number = _positive(word, "client-id should be greater than 0", "client-id should be greater than 0")
        return lambda client: client.id == number
    if option == b"MAXAGE":
        age = _positive(word, "maxage should be greater than 0", "maxage is not an integer or out of range")
        monotonic = call.state.clock.monotonic()
        return lambda client: int(monotonic - client.created_at) >= age
    if option == b"TYPE":
        wanted = client_type(word)
        return lambda client: _type_of(client) == wanted
    if option == b"ADDR":
        return _has_address(word)
    if option == b"LADDR":
        return lambda client: client.laddr.encode() == word
    if option == b"USER":
        user = call.state.access.users.get(word)
        if user is None:
            raise Failure(b"ERR No such user '%b'" % word)
        return lambda client: client.user is user
    raise Failure(SYNTAX_ERROR)


def _positive(word: bytes, too_small: str, no_number: str) -> int:
    try:
        number = parse_int(word)
    except ValueError:
        raise Failure("ERR " + no_number) from None
    if number <= 0:
        raise Failure("ERR " + too_small)
    return number


@command("CLIENT|REPLY action=<ON | OFF | SKIP>", _ANY_TIME, since="3.2.0")
def client_reply(call: Call) -> Reply:
    """Switch the answers to this connection off and on, or leave out the next one."""
    session = call.session
    option = call.option(2)
    if option == b"ON":
        session.mode &= ~(REPLY_OFF | REPLY_SKIP)
        return OK
    if option == b"OFF":
        session.mode |= REPLY_OFF
        return NOTHING
    if option == b"SKIP":
        if not session.mode & REPLY_OFF:
            session.mode |= REPLY_SKIP_NEXT
        return NOTHING
    raise Failure(SYNTAX_ERROR)


@command("CLIENT|PAUSE timeout:integer mode=[WRITE | ALL] @6.2.0", _ADMIN, since="3.0.0",
         history=(("6.2.0", "Can hold those that write and let the others go on."),))  # fmt: skip
def client_pause(call: Call) -> Reply:
    """Let clients wait for a time: all of them, or those that write."""
    writes_only = False
    if len(call.argv) == 4:
        mode = call.option(3)
        if mode not in (b"WRITE", b"ALL"):
            raise Failure("ERR CLIENT PAUSE mode must be WRITE or ALL")
        writes_only = mode == b"WRITE"
    elif len(call.argv) > 4:
        raise wrong_subcommand(call)
    call.state.engine.waiting.pause(call.now + timeout_ms(call, 2), writes_only=writes_only)
    return OK


@command("CLIENT|UNPAUSE", _ADMIN, since="6.2.0", complexity="O(N) where N is the number of paused clients")
def client_unpause(call: Call) -> Reply:
    """End a pause."""
    call.state.engine.waiting.unpause()
    return OK


@command("CLIENT|UNBLOCK client-id:integer unblock-type=[TIMEOUT | ERROR]", _ADMIN, since="5.0.0")
def client_unblock(call: Call) -> Reply:
    """End the waiting of another client, as if timed out or with an error."""
    with_error = False
    if len(call.argv) == 4:
        reason = call.option(3)
        if reason not in (b"TIMEOUT", b"ERROR"):
            raise Failure("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
        with_error = reason == b"ERROR"
    elif len(call.argv) > 4:
        raise wrong_subcommand(call)
    target = call.state.clients.get(call.integer(2))
    return int(target is not None and call.state.engine.waiting.unblock(target, with_error=with_error))


@command("CLIENT|NO-EVICT enabled=<ON | OFF>", _ADMIN, since="7.0.0")
def client_no_evict(call: Call) -> Reply:
    """Except this connection from being closed to save memory."""
    return _switch(call, NO_EVICT)


@command("CLIENT|NO-TOUCH enabled=<ON | OFF>", _ANY_TIME, since="7.2.0")
def client_no_touch(call: Call) -> Reply:
    """Let this connection read keys without making them recently used."""
    return _switch(call, NO_TOUCH)


def _switch(call: Call, bit: int) -> Reply:
    option = call.option(2)
    if option == b"ON":
        call.session.mode |= bit
    elif option == b"OFF":
        call.session.mode &= ~bit
    else:
        raise Failure(SYNTAX_ERROR)
    return OK
