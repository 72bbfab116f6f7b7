"""Bytes become replies, RESP2 and RESP3 alike: what a client, a replica link and the benchmarks read.

    +OK  -ERR x  :5  $3 abc  *2 …                                              RESP2 (a line end after every word)
    _  #t  ,1.5  (123  =6 txt:ab  !5 ERR x  %1 …  ~2 …  >2 …  |1 …             what RESP3 adds

Law 1: the replies are the same however the bytes were cut into chunks.
Law 2: nothing is allocated because of an announced length or count; nesting and the values of one reply have bounds.
Law 3: what comes back are the shapes of `values`, so that `encode` of it gives the same bytes again, but for numbers
       that can be spelled in several ways. A map whose keys Python cannot hash is read as `Pairs`.
"""

from __future__ import annotations

from typing import Any, Final

from protocol.resp.values import (
    NULL_ARRAY,
    Attributed,
    BigNumber,
    Failure,
    Members,
    Pairs,
    ProtocolError,
    Push,
    Reply,
    Status,
    Verbatim,
)

MAX_LINE_BYTES: Final = 64 * 1024  # as on the command side; error lines of Redis stay far below
MAX_BULK_BYTES: Final = 512 * 1024 * 1024
MAX_VALUES: Final = 16 * 1024  # of one reply: an error of three bytes becomes an object of 300. A link reads few.
MAX_DEPTH: Final = 128  # arrays in arrays: COMMAND DOCS, the deepest reply of Redis, needs a dozen
MAX_DIGITS: Final = 4000  # of a big number: Python itself refuses to read more than 4,300

_GATHER_BYTES: Final = 16 * 1024

# What a `>`, `~`, `*` … opens, and how many values each of its announced elements takes.
_AGGREGATES: Final = {ord("*"): 1, ord("~"): 1, ord(">"): 1, ord("%"): 2, ord("|"): 2}
_BULKS: Final = frozenset(b"$=!")


class _Frame:
    """An aggregate under way."""

    __slots__ = ("attributes", "items", "kind", "missing")

    def __init__(self, kind: int, missing: int) -> None:
        self.kind = kind
        self.missing = missing
        self.items: list[Any] = []
        self.attributes: dict[Any, Any] | None = None  # they belong to the next value


class Reader:
    """The replies of one server. `take` raises ProtocolError; the reader is of no use after that."""

    __slots__ = ("_bulk", "_gathered", "_kind", "_missing", "_rest", "_stack", "_values", "max_bulk", "max_values")

    def __init__(self, *, max_bulk: int = MAX_BULK_BYTES, max_values: int = MAX_VALUES) -> None:
        self.max_bulk = max_bulk
        self.max_values = max_values  # announced inside one reply; who trusts his server may read more
        self._values = 0  # announced so far inside the reply under way
        self._rest = b""
        self._stack: list[_Frame] = []
        self._kind = 0  # of the bulk under way
        self._bulk = -1  # its size; -1 while none is under way
        self._gathered: list[bytes] = []
        self._missing = 0

    def take(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes, in order."""
        replies: list[Reply] = []
        if self._missing:
            if len(data) < self._missing:
                self._missing -= len(data)
                self._gathered.append(data)
                return replies
            self._gathered.append(data)
            data = b"".join(self._gathered)
            self._gathered = []
            self._missing = 0
        elif self._rest:
            data = self._rest + data
        self._rest = b""
        position = 0
        size = len(data)
        while position < size:
            read = self._line if self._bulk < 0 else self._whole_bulk
            after = read(data, position, replies)
            if after < 0:
                break
            position = after
        if position < size:
            self._keep(data[position:])
        return replies

    def _keep(self, rest: bytes) -> None:
        missing = self._bulk + 2 - len(rest)
        if self._bulk > _GATHER_BYTES and missing > 0:
            self._gathered = [rest]
            self._missing = missing
        else:
            self._rest = rest

    def _whole_bulk(self, data: bytes, position: int, replies: list[Reply]) -> int:
        final = position + self._bulk
        if final + 2 > len(data):
            return -1
        if data[final : final + 2] != b"\r\n":
            raise ProtocolError("no line end after a bulk")
        text = data[position:final]
        self._bulk = -1
        if self._kind == ord("$"):
            self._add(text, replies)
        elif self._kind == ord("!"):
            self._add(Failure(text), replies)
        else:
            if len(text) < 4 or text[3] != ord(":"):
                raise ProtocolError("verbatim string without a format")
            self._add(Verbatim(text[4:], text[:3]), replies)
        return final + 2

    def _line(self, data: bytes, position: int, replies: list[Reply]) -> int:
        end = data.find(b"\r\n", position, position + MAX_LINE_BYTES + 2)
        if end < 0:
            if len(data) - position > MAX_LINE_BYTES + 1:
                raise ProtocolError("too long line")
            return -1
        kind = data[position]
        text = data[position + 1 : end]
        if kind in _BULKS:
            size = _integer(text)
            if size == -1 and kind == ord("$"):
                self._add(None, replies)
            elif 0 <= size <= self.max_bulk:
                self._kind = kind
                self._bulk = size
            else:
                raise ProtocolError("invalid bulk length")
        elif kind in _AGGREGATES:
            self._open(kind, _integer(text), replies)
        else:
            self._add(_scalar(kind, text), replies)
        return end + 2

    def _open(self, kind: int, count: int, replies: list[Reply]) -> None:
        if count == -1 and kind == ord("*"):
            self._add(NULL_ARRAY, replies)
            return
        if count < 0:
            raise ProtocolError("invalid multibulk length")
        if len(self._stack) >= MAX_DEPTH:
            raise ProtocolError("too deeply nested")
        missing = count * _AGGREGATES[kind]
        self._values = missing + (self._values if self._stack else 0)
        if self._values > self.max_values:
            raise ProtocolError("too many values")
        self._stack.append(_Frame(kind, missing))
        if count == 0:
            self._close(replies)

    def _add(self, value: Reply, replies: list[Reply]) -> None:
        """A value is complete: it goes into the aggregate under way, which it may complete."""
        stack = self._stack
        if not stack:
            replies.append(value)
            return
        top = stack[-1]
        if top.attributes is not None:
            # The frame of `|` stays open for the one value its attributes describe.
            stack.pop()
            self._add(Attributed(top.attributes, value), replies)
            return
        top.items.append(value)
        top.missing -= 1
        if not top.missing:
            self._close(replies)

    def _close(self, replies: list[Reply]) -> None:
        top = self._stack[-1]
        items = top.items
        if top.kind == ord("|"):
            attributes = _mapping(items)
            if not isinstance(attributes, dict):
                raise ProtocolError("attributes with keys that are no scalars")
            top.attributes = attributes
            return
        self._stack.pop()
        value: Reply = items
        if top.kind == ord("%"):
            value = _mapping(items)
        elif top.kind == ord("~"):
            value = Members(items)
        elif top.kind == ord(">"):
            value = Push(items)
        self._add(value, replies)


def _mapping(items: list[Any]) -> dict[Any, Any] | Pairs:
    pairs = list(zip(items[::2], items[1::2], strict=True))
    try:
        mapping = dict(pairs)
    except TypeError:
        return Pairs(pairs)
    return mapping if len(mapping) == len(pairs) else Pairs(pairs)


def _integer(text: bytes) -> int:
    digits = text[1:] if text[:1] in (b"-", b"+") else text
    if not digits.isdigit() or len(digits) > 19:
        raise ProtocolError("invalid integer")
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ProtocolError("invalid integer")
    return value


def _scalar(kind: int, text: bytes) -> Reply:
    if kind == ord("+"):
        return Status(text)
    if kind == ord("-"):
        return Failure(text)
    if kind == ord(":"):
        return _integer(text)
    if kind == ord("_") and not text:
        return None
    if kind == ord("#") and text in (b"t", b"f"):
        return text == b"t"
    if kind == ord(","):
        return _double(text)
    if kind == ord("("):
        return BigNumber(_big_number(text))
    raise ProtocolError(b"unknown reply type '%c'" % kind)


def _double(text: bytes) -> float:
    if text.strip(b"0123456789+-.eE") and text not in (b"inf", b"-inf", b"nan", b"-nan"):
        raise ProtocolError("invalid double")
    try:
        return float(text)
    except ValueError:
        raise ProtocolError("invalid double") from None


def _big_number(text: bytes) -> int:
    digits = text[1:] if text[:1] in (b"-", b"+") else text
    if not digits.isdigit() or len(digits) > MAX_DIGITS:
        raise ProtocolError("invalid big number")
    return int(text)
