"""Values between Lua and the server, as Redis converts them.

what a script returns          the reply                     what redis.call gives it (RESP2 / 3)
number                         integer, cut towards zero     integer → number
string                         bulk string                   bulk string → string
false, nil / true              null / 1 (RESP3: booleans)    null → false / nil
{ok=…} {err=…}                 status, error                 status, error → {ok=…} {err=…}
{double=…} {map=…} {set=…}     of RESP3                      flat in 2 / the same shapes in 3
{big_number=…}
{verbatim_string={string=…, format=…}}
table                          array, up to the first nil    array → table
"""

from __future__ import annotations

import math
from typing import Any, Final

from protocol.resp.numbers import format_double
from protocol.resp.values import (
    Alike,
    Attributed,
    BigNumber,
    Double,
    Failure,
    Map,
    Members,
    NullArray,
    Pairs,
    Push,
    Reply,
    Status,
    Verbatim,
)

# Redis stops where Lua's stack ends; we a little earlier, where Python's recursion is still shallow.
REPLY_MAX_DEPTH: Final = 128
_INT64_MIN: Final = -(1 << 63)
_PLAIN_INTEGER_MAX: Final = float((1 << 63) // 2)


class Other:
    """A Lua value that has no counterpart: a function, a thread, nil."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind


class TooDeep:
    """A table below the depth that was asked for."""


class Table:
    """A Lua table as it was: its pairs in Lua's order."""

    __slots__ = ("by_name", "pairs")

    def __init__(self) -> None:
        self.pairs: list[tuple[Any, Any]] = []
        self.by_name: dict[Any, Any] = {}  # string and number keys; a boolean key would be taken for a number

    def add(self, key: Any, value: Any) -> None:
        self.pairs.append((key, value))
        if type(key) is bytes or type(key) is int:
            self.by_name[key] = value

    def sequence(self) -> list[Any]:
        """What stands at 1, 2, 3 … up to the first that is missing."""
        by_name = self.by_name
        found = []
        at = 1
        while at in by_name:
            found.append(by_name[at])
            at += 1
        return found


def grown(flat: list[Any]) -> Any:
    """The value that prelude.walk wrote down flat. Without recursion: cjson goes deeper than Python does."""
    open_tables: list[Table] = []
    waiting_keys: list[Any] = []
    items = iter(flat)
    for tag in items:
        if tag == b"t":
            open_tables.append(Table())
            waiting_keys.append(_NO_KEY)
            continue
        if tag == b"v":
            value = next(items)
        elif tag == b"z":
            value = open_tables.pop()
            waiting_keys.pop()
        elif tag == b"d":
            value = TooDeep()
        else:
            value = Other(next(items).decode())
        if not open_tables:
            return value
        if waiting_keys[-1] is _NO_KEY:
            waiting_keys[-1] = value
        else:
            open_tables[-1].add(waiting_keys[-1], value)
            waiting_keys[-1] = _NO_KEY
    raise AssertionError("a walk ends with its value")


_NO_KEY: Final = object()


def integer(number: float) -> int:
    """A C cast of a double to a 64-bit integer, as x86 does it."""
    if not math.isfinite(number) or not -(2.0**63) <= number < 2.0**63:
        return _INT64_MIN
    return int(number)


def to_reply(value: Any, script_resp: int) -> Reply:
    """What a script returned, as a reply."""
    kind = type(value)
    if kind is bytes:
        return value
    if kind is bool:
        if script_resp == 3:
            return value
        return 1 if value else None
    if kind is int or kind is float:
        return integer(value)
    if kind is Table:
        return _table_to_reply(value, script_resp)
    if kind is TooDeep:
        return Failure("ERR reached lua stack limit")
    return None


def _table_to_reply(table: Table, script_resp: int) -> Reply:
    named = table.by_name
    if named:
        error = named.get(b"err")
        if type(error) is bytes:
            failure = Failure(error)
            failure.is_counted = named.get(b"ignore_error_stats_update") is True
            return failure
        status = named.get(b"ok")
        if type(status) is bytes:
            return Status(status)
        double = named.get(b"double")
        if type(double) is float or type(double) is int:
            return float(double)
        big = named.get(b"big_number")
        if type(big) is bytes:
            return BigNumber(big)
        verbatim = named.get(b"verbatim_string")
        if type(verbatim) is Table:
            format, text = verbatim.by_name.get(b"format"), verbatim.by_name.get(b"string")
            if type(format) is bytes and type(text) is bytes:
                return Verbatim(text, (format + b"   ")[:3])
        pairs = named.get(b"map")
        if type(pairs) is Table:
            return Map([(to_reply(key, script_resp), to_reply(item, script_resp)) for key, item in pairs.pairs])
        members = named.get(b"set")
        if type(members) is Table:
            return Members([to_reply(key, script_resp) for key, _ in members.pairs])
    return [to_reply(item, script_resp) for item in table.sequence()]


def to_word(value: Any) -> bytes | None:
    """One argument of redis.call; None where it is neither string nor number."""
    kind = type(value)
    if kind is bytes:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return b"%d" % value if abs(value) <= _PLAIN_INTEGER_MAX else format_double(float(value))
    if kind is float:
        return format_double(value)
    return None


class Builder:
    """Makes Lua tables of replies. `table` is lupa's `table_from`: a dict's keys, or a list's places from 1."""

    __slots__ = ("table",)

    def __init__(self, table: Any) -> None:
        self.table = table

    def value(self, reply: Reply, resp: int) -> Any:
        """A reply as redis.call returns it to a script that speaks `resp`."""
        kind = type(reply)
        if kind is bytes or kind is int:
            return reply
        if reply is None or kind is NullArray:
            return None if resp == 3 else False
        if kind is Status:
            return self.table({b"ok": reply.text})
        if kind is list or kind is Alike or kind is Push or kind is tuple:
            return self.array(reply, resp)
        if kind is bool:
            return reply if resp == 3 else int(reply)
        return self._rare(reply, kind, resp)

    def array(self, items: Any, resp: int) -> Any:
        values = [self.value(item, resp) for item in items]
        if None in values:  # a hole: lupa would put an object of Python's there
            return self.table({at: value for at, value in enumerate(values, 1) if value is not None})
        return self.table(values)

    def _rare(self, reply: Reply, kind: type, resp: int) -> Any:
        if isinstance(reply, Failure):
            return self.failure(reply)
        if kind is float:
            return self.table({b"double": reply}) if resp == 3 else format_double(reply)
        if kind is Double:
            return self.table({b"double": float(reply.text)}) if resp == 3 else reply.text
        if kind is Verbatim:
            if resp == 2:
                return reply.text
            return self.table({b"verbatim_string": self.table({b"string": reply.text, b"format": reply.format})})
        if kind is BigNumber:
            return self.table({b"big_number": reply.text}) if resp == 3 else reply.text
        if kind is Attributed:
            return self.value(reply.reply, resp)
        if kind is Pairs and resp == 3:
            return self.array(reply, resp)
        if kind is dict or kind is Map or kind is Pairs:
            return self._map(reply.items() if kind is dict else reply, resp)
        if kind is Members or kind is set or kind is frozenset:
            if resp == 2:
                return self.array(reply, resp)
            return self.table({b"set": self.table({self.value(member, resp): True for member in reply})})
        raise TypeError(f"{kind.__name__} is no reply a script can get")

    def _map(self, pairs: Any, resp: int) -> Any:
        if resp == 2:
            return self.array([word for pair in pairs for word in pair], resp)
        return self.table({b"map": self.table({self.value(key, 3): self.value(item, 3) for key, item in pairs})})

    def failure(self, failure: Failure) -> Any:
        """An error of redis.pcall; its numbers were counted when the command failed."""
        return self.table({b"err": lua_error(failure), b"ignore_error_stats_update": True})


def lua_error(failure: Failure) -> bytes:
    """An error's text in Lua: always with a code."""
    return failure.text if b" " in failure.text else b"ERR " + failure.text
