"""`struct`: values to bytes and back by a format string, as Redis' Lua has it.

< > = ends   ! alignment   b B h H l L i I (with a size) T integers   f d floats   s up to a zero   c bytes   x padding
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

from miniredis.scripting.errors import ScriptError

_INTEGER_MAX_BYTES: Final = 32
_SIZE_MAX: Final = (1 << 31) - 1
# No hook looks in while a format is followed: a fraction of a second.
_FORMAT_MAX_BYTES: Final = 256 * 1024
_RESULT_MAX_BYTES: Final = 128 * 1024 * 1024
# Values one unpack may return: what a script's stack holds.
_VALUES_MAX: Final = 7_000
_SIZES: Final = {"b": 1, "B": 1, "h": 2, "H": 2, "l": 8, "L": 8, "T": 8, "f": 4, "d": 8, "x": 1}


def _items(format: bytes, name: str) -> Iterator[tuple[str, int, int, bool]]:
    """(letter, size, alignment, is_big_endian) for each item of a format."""
    if len(format) > _FORMAT_MAX_BYTES:
        raise ScriptError("format too long")
    at, alignment, big = 0, 1, False
    while at < len(format):
        letter = chr(format[at])
        at += 1
        number = at
        while number < len(format) and 48 <= format[number] <= 57 and letter in "iIc!":
            number += 1
        count = int(format[at:number]) if number > at and number - at < 11 else (0 if number == at else _SIZE_MAX + 1)
        has_count, at = number > at, number
        if count > _SIZE_MAX:
            raise ScriptError("integral size overflow")
        if letter in "<>":
            big = letter == ">"
        elif letter == "!":
            alignment = count if has_count else 8
            if alignment == 0 or alignment & (alignment - 1):
                raise ScriptError(f"alignment {alignment} is not a power of 2")
        elif letter in "iI":
            size = count if has_count else 4
            if size > _INTEGER_MAX_BYTES:
                raise ScriptError(f"integral size {size} is larger than limit of {_INTEGER_MAX_BYTES}")
            yield letter, size, alignment, big
        elif letter == "c":
            yield letter, count if has_count else 1, alignment, big
        elif letter == "s":
            yield letter, 0, alignment, big
        elif letter in _SIZES:
            yield letter, _SIZES[letter], alignment, big
        elif letter != " ":
            raise ScriptError(f"bad argument #1 to '{name}' (invalid format option '{letter}')")


def _padding(at: int, letter: str, size: int, alignment: int) -> int:
    size = min(size, alignment)
    return 0 if letter in "cs" or size <= 1 else -at & (size - 1)


def _text(value: Any, name: str, at: int) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) is int:
        return b"%d" % value
    if type(value) is float:
        return f"{value:.14g}".encode()
    raise ScriptError(f"bad argument #{at} to '{name}' (string expected, got {_kind(value)})")


def _kind(value: Any) -> str:
    return "no value" if value is None else "boolean" if type(value) is bool else "table"


def _number(value: Any, at: int) -> float | int:
    if type(value) is bytes:
        try:
            return float(value)
        except ValueError:
            pass
    if type(value) is int or type(value) is float:
        return value
    raise ScriptError(f"bad argument #{at} to 'pack' (number expected, got {_kind(value)})")


def pack(format: Any = None, *values: Any) -> bytes:
    """struct.pack: the values in the bytes that `format` says, padded where it says `!`."""
    out = bytearray()
    left = list(enumerate(values, 2))[::-1]
    for letter, size, alignment, big in _items(_text(format, "pack", 1), "pack"):
        out += bytes(_padding(len(out), letter, size, alignment))
        if letter == "x":
            out.append(0)
            continue
        at, value = left.pop() if left else (len(values) + 2, None)
        if letter in "cs":
            text = _text(value, "pack", at)
            size = size or len(text)
            if len(text) < size:
                raise ScriptError(f"bad argument #{at} to 'pack' (string too short)")
            out += text[:size]
            if letter == "s":
                out.append(0)
        elif letter in "fd":
            number = float(_number(value, at))
            try:
                out += struct.pack((">" if big else "<") + letter, number)
            except OverflowError:
                out += struct.pack((">" if big else "<") + letter, float("inf") if number > 0 else float("-inf"))
        else:
            number = _number(value, at)
            whole = int(number) if number == number and abs(number) < 2.0**64 else 0
            bits = whole & 0xFFFFFFFFFFFFFFFF
            out += (bits & ((1 << 8 * size) - 1)).to_bytes(size, "big" if big else "little")
        if len(out) > _RESULT_MAX_BYTES:
            raise ScriptError("not enough memory")
    return bytes(out)


def unpack(format: Any = None, data: Any = None, position: Any = 1, *_: Any) -> tuple[Any, ...]:
    """struct.unpack: the values from `position` (from 1) on, and the position behind them."""
    source = _text(data, "unpack", 2)
    at = int(_number(position, 3)) - 1
    if at < 0:
        raise ScriptError("bad argument #3 to 'unpack' (offset must be 1 or greater)")
    values: list[Any] = []
    for letter, size, alignment, big in _items(_text(format, "unpack", 1), "unpack"):
        at += _padding(at, letter, size, alignment)
        if at > len(source) or size > len(source) - at:
            raise ScriptError("bad argument #2 to 'unpack' (data string too short)")
        if len(values) >= _VALUES_MAX:
            raise ScriptError("too many results")
        if letter == "x":
            at += 1
            continue
        if letter == "s":
            end = source.find(b"\0", at)
            if end < 0:
                raise ScriptError("unfinished string in data")
            values.append(source[at:end])
            at = end + 1
            continue
        if letter == "c" and size == 0:
            if not values or type(values[-1]) is bytes:
                raise ScriptError("format 'c0' needs a previous size")
            size = int(values.pop())
            if not 0 <= size <= len(source) - at:
                raise ScriptError("bad argument #2 to 'unpack' (data string too short)")
        piece = source[at : at + size]
        at += size
        if letter == "c":
            values.append(piece)
        elif letter in "fd":
            values.append(struct.unpack((">" if big else "<") + letter, piece)[0])
        else:
            number = int.from_bytes(piece, "big" if big else "little", signed=letter.islower())
            values.append(float(number) if abs(number) > 1 << 53 else number)
    return (*values, at + 1)


def size(format: Any = None, *_: Any) -> int:
    """struct.size: how many bytes the format takes. ScriptError: that depends on the values."""
    total = 0
    for letter, count, alignment, _big in _items(_text(format, "size", 1), "size"):
        total += _padding(total, letter, count, alignment)
        if letter == "s" or (letter == "c" and count == 0):
            option = "s" if letter == "s" else "c0"
            raise ScriptError(f"bad argument #1 to 'size' (option '{option}' has no fixed size)")
        total += count
        if total > _SIZE_MAX:
            raise ScriptError("bad argument #1 to 'size' (format too big)")
    return total


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {"pack": pack, "unpack": unpack, "size": size}
