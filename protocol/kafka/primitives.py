"""The few encodings all Kafka messages are made of, beyond what `struct` reads by itself.

    uvarint    unsigned, 7 bits a byte, least significant first, high bit = more follows (at most 5 bytes)
    varint     the same of a zig-zag number: 0 -1 1 -2 2 … become 0 1 2 3 4 …
    varlong    the same of a 64-bit number (at most 10 bytes)
    compact    a length as uvarint of n + 1, so that 0 can mean null
    tags       uvarint count, then (uvarint tag, uvarint size, bytes) in ascending order of tag

Law: whatever is read from outside is checked against the end of the buffer before it is believed, and everything that
     does not fit raises `ProtocolError` (or `IndexError`, which the callers of this package turn into one).
"""

from __future__ import annotations

from typing import TypeAlias

__all__ = [
    "Buffer",
    "ProtocolError",
    "encode_uvarint",
    "encode_varlong",
    "read_uvarint",
    "read_varint",
    "read_varlong",
    "skip_tags",
]

Buffer: TypeAlias = bytes | bytearray | memoryview


class ProtocolError(Exception):
    """The peer sent what no Kafka client sends. The connection it came from is to be closed."""


def read_uvarint(data: Buffer, position: int) -> tuple[int, int]:
    """The number at `position` and the position behind it."""
    value = data[position]
    position += 1
    if value < 0x80:
        return value, position
    value &= 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 28:
            raise ProtocolError("a varint runs past its fifth byte")
    if value > 0xFFFFFFFF:  # the fifth byte has room for more bits than a 32-bit number
        value &= 0xFFFFFFFF
    return value, position


def read_varint(data: Buffer, position: int) -> tuple[int, int]:
    """The zig-zag number at `position` and the position behind it."""
    value, position = read_uvarint(data, position)
    return (value >> 1) ^ -(value & 1), position


def read_varlong(data: Buffer, position: int) -> tuple[int, int]:
    """The zig-zag 64-bit number at `position` and the position behind it."""
    value = 0
    shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise ProtocolError("a varlong runs past its tenth byte")
    value &= 0xFFFFFFFFFFFFFFFF
    return (value >> 1) ^ -(value & 1), position


def encode_uvarint(value: int) -> bytes:
    """`value` as an unsigned varint; it must not be negative."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_varlong(value: int) -> bytes:
    """`value` zig-zagged; good for 32-bit numbers too, whose varint has the same bytes."""
    return encode_uvarint((value << 1) ^ (value >> 63))


def skip_tags(data: Buffer, position: int, count: int, end: int) -> int:
    """Step over `count` tagged fields nobody here knows; the position behind them.

    Kafka keeps unknown tags with the message and would write them again. Nothing here re-encodes what it has
    decoded, so they are stepped over.
    """
    for _ in range(count):
        _, position = read_uvarint(data, position)
        size, position = read_uvarint(data, position)
        position += size
        if position > end:
            raise ProtocolError("a tagged field runs past the end of the message")
    return position
