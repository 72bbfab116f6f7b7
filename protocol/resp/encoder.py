"""Values become RESP2 or RESP3.

    type       RESP2                      RESP3
    bytes      $3\\r\\nabc\\r\\n              $3\\r\\nabc\\r\\n
    int        :5\\r\\n                     :5\\r\\n
    None       $-1\\r\\n                    _\\r\\n
    NullArray  *-1\\r\\n                    _\\r\\n
    list       *2\\r\\n…                    *2\\r\\n…       Alike and tuple as well
    dict       *4\\r\\n… (flat)             %2\\r\\n…
    set        *2\\r\\n…                    ~2\\r\\n…
    Pairs      *4\\r\\n… (flat)             *2\\r\\n*2\\r\\n…*2\\r\\n…
    float      $3\\r\\n1.5\\r\\n              ,1.5\\r\\n
    Double     $3\\r\\n1.5\\r\\n              ,1.5\\r\\n
    bool       :1\\r\\n                     #t\\r\\n
    Push       *3\\r\\n…                    >3\\r\\n…
    Verbatim   $2\\r\\nhi\\r\\n               =6\\r\\ntxt:hi\\r\\n
    BigNumber  $2\\r\\n12\\r\\n               (12\\r\\n

The answer of a hot command is one bytes, int, None or Status: those leave `encode` by the first lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from protocol.resp.numbers import format_double
from protocol.resp.values import (
    Alike,
    Attributed,
    BigNumber,
    Blocked,
    Double,
    Failure,
    Many,
    Map,
    Members,
    NullArray,
    Pairs,
    Push,
    Reply,
    Spoken,
    Status,
    Verbatim,
)

NULL: Final = (b"", b"", b"$-1\r\n", b"_\r\n")  # by protocol version
NULL_ARRAY: Final = (b"", b"", b"*-1\r\n", b"_\r\n")

# Replies are mostly small numbers and short strings: their lines are looked up, not formatted.
_SMALL: Final = 1024
_INTEGERS: Final = [b":%d\r\n" % number for number in range(_SMALL)]
_BULKS: Final = [b"$%d\r\n" % size for size in range(_SMALL)]
_BULKS_BEHIND: Final = [b"\r\n$%d\r\n" % size for size in range(_SMALL)]  # with the end of what is before


def encode(value: Reply, proto: int) -> bytes:
    """The bytes of one reply in protocol version 2 or 3."""
    kind = type(value)
    if kind is bytes:
        size = len(value)
        if size < _SMALL:
            return _BULKS[size] + value + b"\r\n"  # type: ignore[no-any-return]
        return b"$%d\r\n%b\r\n" % (size, value)
    if kind is Status:
        return value.encoded  # type: ignore[no-any-return]
    if kind is int:
        return _INTEGERS[value] if 0 <= value < _SMALL else b":%d\r\n" % value
    if kind is float:
        text = format_double(value)
        return b",%b\r\n" % text if proto == 3 else _BULKS[len(text)] + text + b"\r\n"
    if value is None:
        return NULL[proto]
    if kind is Alike:
        return _alike(value)
    if kind is list and not value:
        return b"*0\r\n"
    if kind is list and type(value[0]) is bytes:
        if type(value[-1]) is bytes:
            try:
                return _strings(value)
            except TypeError:
                pass  # there is something else among them
        elif len(value) == 2 and type(value[1]) is float and len(value[0]) < _SMALL:  # a member with its score
            member, score = value
            text = format_double(score)
            line = b"," if proto == 3 else _BULKS[len(text)]
            return b"*2\r\n%b%b\r\n%b%b\r\n" % (_BULKS[len(member)], member, line, text)
    parts: list[bytes] = []
    _append(parts, value, proto)
    return b"".join(parts)


def _strings(values: list[bytes]) -> bytes:
    """An array of strings, which long arrays mostly are: in one go where all are equally long. TypeError if not all
    are strings: whatever else is in a reply has no length, or cannot be joined to them."""
    sizes = set(map(len, values))
    if len(sizes) == 1:
        return _alike(values)
    if max(sizes) < _SMALL:
        lines = _BULKS_BEHIND
        return b"*%d%b\r\n" % (len(values), b"".join([lines[len(value)] + value for value in values]))
    return b"*%d\r\n%b" % (len(values), b"".join([b"$%d\r\n%b\r\n" % (len(value), value) for value in values]))


def _alike(values: list[bytes]) -> bytes:
    line = b"$%d\r\n" % len(values[0])
    return b"*%d\r\n%b%b\r\n" % (len(values), line, (b"\r\n" + line).join(values))


def encode_command(argv: Sequence[bytes]) -> bytes:
    """A command as clients send it, and as the journal keeps it: an array of bulk strings in either version."""
    if len(argv) == 3:  # most effects: one format for all of it takes half the time
        verb, key, value = argv
        return b"*3\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
            len(verb), verb, len(key), key, len(value), value,
        )  # fmt: skip
    return b"*%d\r\n%b" % (len(argv), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in argv]))


def _append(parts: list[bytes], value: Reply, proto: int) -> None:
    kind = type(value)
    if kind is bytes:
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    elif kind is int:
        parts.append(b":%d\r\n" % value)
    elif value is None:
        parts.append(NULL[proto])
    elif kind is list:
        parts.append(b"*%d\r\n" % len(value))
        _append_all(parts, value, proto)
    else:
        writer = _WRITERS.get(kind) or _inherited(value)
        writer(parts, value, proto)


def _append_all(parts: list[bytes], values: Iterable[Reply], proto: int) -> None:
    # Strings are what arrays hold: no call for each of them.
    parts += [
        (_BULKS[len(value)] + value + b"\r\n" if len(value) < _SMALL else b"$%d\r\n%b\r\n" % (len(value), value))
        if type(value) is bytes
        else encode(value, proto)
        for value in values
    ]


def _status(parts: list[bytes], value: Status, proto: int) -> None:
    parts.append(value.encoded)


def _failure(parts: list[bytes], value: Failure, proto: int) -> None:
    parts.append(value.encoded)


def _boolean(parts: list[bytes], value: bool, proto: int) -> None:
    if proto == 3:
        parts.append(b"#t\r\n" if value else b"#f\r\n")
    else:
        parts.append(b":1\r\n" if value else b":0\r\n")


def _double(parts: list[bytes], value: float, proto: int) -> None:
    text = format_double(value)
    parts.append(b",%b\r\n" % text if proto == 3 else b"$%d\r\n%b\r\n" % (len(text), text))


def _own_double(parts: list[bytes], value: Double, proto: int) -> None:
    text = value.text
    parts.append(b",%b\r\n" % text if proto == 3 else b"$%d\r\n%b\r\n" % (len(text), text))


def _array_alike(parts: list[bytes], value: Alike, proto: int) -> None:
    parts.append(_alike(value))


def _array(parts: list[bytes], value: Sequence[Any], proto: int) -> None:
    parts.append(b"*%d\r\n" % len(value))
    _append_all(parts, value, proto)


def _map(parts: list[bytes], value: dict[Any, Any], proto: int) -> None:
    parts.append(b"%%%d\r\n" % len(value) if proto == 3 else b"*%d\r\n" % (2 * len(value)))
    for key, item in value.items():
        _append(parts, key, proto)
        _append(parts, item, proto)


def _map_of_pairs(parts: list[bytes], value: Map, proto: int) -> None:
    parts.append(b"%%%d\r\n" % len(value) if proto == 3 else b"*%d\r\n" % (2 * len(value)))
    for key, item in value:
        _append(parts, key, proto)
        _append(parts, item, proto)


def _set(parts: list[bytes], value: Sequence[Any], proto: int) -> None:
    parts.append(b"~%d\r\n" % len(value) if proto == 3 else b"*%d\r\n" % len(value))
    _append_all(parts, value, proto)


def _push(parts: list[bytes], value: Push, proto: int) -> None:
    parts.append(b">%d\r\n" % len(value) if proto == 3 else b"*%d\r\n" % len(value))
    _append_all(parts, value, proto)


def _pairs(parts: list[bytes], value: Pairs, proto: int) -> None:
    parts.append(b"*%d\r\n" % len(value) if proto == 3 else b"*%d\r\n" % (2 * len(value)))
    for first, second in value:
        if proto == 3:
            parts.append(b"*2\r\n")
        _append(parts, first, proto)
        _append(parts, second, proto)


def _verbatim(parts: list[bytes], value: Verbatim, proto: int) -> None:
    if proto == 3:
        parts.append(b"=%d\r\n%b:%b\r\n" % (len(value.text) + 4, value.format, value.text))
    else:
        parts.append(b"$%d\r\n%b\r\n" % (len(value.text), value.text))


def _null_array(parts: list[bytes], value: NullArray, proto: int) -> None:
    parts.append(NULL_ARRAY[proto])


def _big_number(parts: list[bytes], value: BigNumber, proto: int) -> None:
    text = value.text
    parts.append(b"(%b\r\n" % text if proto == 3 else b"$%d\r\n%b\r\n" % (len(text), text))


def _attributed(parts: list[bytes], value: Attributed, proto: int) -> None:
    if proto == 3:
        parts.append(b"|%d\r\n" % len(value.attributes))
        for key, item in value.attributes.items():
            _append(parts, key, proto)
            _append(parts, item, proto)
    _append(parts, value.reply, proto)


def _many(parts: list[bytes], value: Many, proto: int) -> None:
    _append_all(parts, value.replies, proto)


def _spoken(parts: list[bytes], value: Spoken, proto: int) -> None:
    parts.append(encode(value.reply, value.proto))


def _blocked(parts: list[bytes], value: Blocked, proto: int) -> None:
    raise AssertionError("a blocked call has no reply yet: whoever runs it has to see that")


Writer = Callable[[list[bytes], Any, int], None]

_WRITERS: Final[dict[type, Writer]] = {
    Status: _status,
    Failure: _failure,
    bool: _boolean,
    float: _double,
    Double: _own_double,
    tuple: _array,
    Alike: _array_alike,
    dict: _map,
    Map: _map_of_pairs,
    set: _set,
    frozenset: _set,
    Members: _set,
    Push: _push,
    Pairs: _pairs,
    Verbatim: _verbatim,
    NullArray: _null_array,
    BigNumber: _big_number,
    Attributed: _attributed,
    Many: _many,
    Spoken: _spoken,
    Blocked: _blocked,
}


def _inherited(value: Reply) -> Writer:
    """The writer of a subclass (a Failure with a name of its own)."""
    for kind in type(value).__mro__:
        if kind in _WRITERS:
            return _WRITERS[kind]
    raise TypeError(f"{type(value).__name__} is no reply")
