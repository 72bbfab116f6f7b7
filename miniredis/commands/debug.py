"""DEBUG: what tests and developers ask of the server. Only where enable-debug-command allows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from miniredis.engine.call import Call
from miniredis.engine.registry import ADMIN, LOADING, NOSCRIPT, PROTECTED, STALE, command
from protocol.resp.numbers import parse_float
from protocol.resp.values import (
    OK,
    Attributed,
    BigNumber,
    Failure,
    Many,
    Members,
    Push,
    Reply,
    Status,
    Verbatim,
)

# Keys that DEBUG POPULATE makes in one call, at most: more would hold the server for minutes.
MAX_POPULATE: Final = 50_000_000

_HELP: Final = (
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ERROR <string>",
    "    Answer with an error of this text.",
    "LOG <message>",
    "    Write a line to the server's log.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Make keys <prefix>:0, <prefix>:1, … that do not exist yet (prefix: key).",
    "PROTOCOL <type>",
    "    Answer with a value of a type: string, integer, double, null, array, set, map, attrib, push, verbatim, true,",
    "    false, bignum.",
    "SET-ACTIVE-EXPIRE (0|1)",
    "    Stop or start removing expired keys that nobody asks for.",
    "SLEEP <seconds>",
    "    Hold the whole server for a time.",
    "HELP",
    "    Print this help.",
)


@command(
    "DEBUG",
    ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED,
    arity=-2,
    complexity="Depends on subcommand.",
    is_internal=True,
)
def debug(call: Call) -> Reply:
    """Do what only tests and developers need."""
    word = call.option(1)
    low, high, run = _SUBCOMMANDS.get(word, (0, 0, _protocol))
    if not low <= len(call.argv) <= high:
        raise Failure(b"ERR unknown subcommand or wrong number of arguments for '%b'. Try DEBUG HELP." % call.argv[1])
    return run(call)


def _help(call: Call) -> Reply:
    return [Status(line) for line in _HELP]


def _sleep(call: Call) -> Reply:
    try:
        seconds = parse_float(call.argv[2])
    except ValueError:
        seconds = 0.0
    call.state.clock.hold(max(seconds, 0.0))
    return OK


def _set_active_expire(call: Call) -> Reply:
    call.state.expires_actively = call.argv[2] != b"0"
    return OK


def _error(call: Call) -> Reply:
    return Failure(call.argv[2])


def _log(call: Call) -> Reply:
    call.state.log("DEBUG LOG: " + call.argv[2].decode("utf-8", "replace"))
    return OK


def _populate(call: Call) -> Reply:
    argv = call.argv
    count = _number(call, 2, MAX_POPULATE)
    prefix = argv[3] if len(argv) > 3 else b"key"
    size = _number(call, 4, call.settings.proto_max_bulk_len) if len(argv) > 4 else 0
    for number in range(count):
        key = b"%b:%d" % (prefix, number)
        if call.db.peek(key) is None:
            value = b"value:%d" % number
            call.db.put(key, value[:size].ljust(size, b"\0") if size else value)
    return OK


def _number(call: Call, at: int, high: int) -> int:
    error = "ERR value is out of range, must be positive"
    number = call.integer(at, error)
    if not 0 <= number <= high:
        raise Failure(error)
    return number


def _protocol(call: Call) -> Reply:
    name = call.argv[2].lower()
    make = _TYPES.get(name)
    if make is None:
        raise Failure(
            "ERR Wrong protocol type name. Please use one of the following: "
            "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"
        )
    return make(call)


def _attributed(call: Call) -> Reply:
    return Attributed({b"key-popularity": [b"key:123", 90]}, b"Some real reply following the attribute")


def _push(call: Call) -> Reply:
    if call.resp < 3:
        raise Failure("ERR RESP2 is not supported by this command")
    return Many([b"Some real reply following the push reply", Push([b"server-cpu-usage", 42])])


_TYPES: Final[dict[bytes, Callable[[Call], Reply]]] = {
    b"string": lambda call: b"Hello World",
    b"integer": lambda call: 12345,
    b"double": lambda call: 3.141,
    b"null": lambda call: None,
    b"array": lambda call: [0, 1, 2],
    b"set": lambda call: Members([0, 1, 2]),
    b"map": lambda call: {0: False, 1: True, 2: False},
    b"attrib": _attributed,
    b"push": _push,
    b"verbatim": lambda call: Verbatim(b"This is a verbatim\nstring"),
    b"true": lambda call: True,
    b"false": lambda call: False,
    b"bignum": lambda call: BigNumber(1234567999999999999999999999999999999),
}

# word → least and greatest number of words, and what runs it
_SUBCOMMANDS: Final[dict[bytes, tuple[int, int, Callable[[Call], Reply]]]] = {
    b"HELP": (2, 2, _help),
    b"SLEEP": (3, 3, _sleep),
    b"SET-ACTIVE-EXPIRE": (3, 3, _set_active_expire),
    b"ERROR": (3, 3, _error),
    b"LOG": (3, 3, _log),
    b"POPULATE": (3, 5, _populate),
    b"PROTOCOL": (3, 3, _protocol),
}
