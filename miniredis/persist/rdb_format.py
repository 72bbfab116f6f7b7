"""RDB's alphabet: lengths, strings, doubles, times, and the footer of DUMP payloads.

    length    00xxxxxx                6 bits              string   length, bytes
              01xxxxxx b              14 bits, high first          11000000 i8  ┐
              10000000 b×4            32 bits, high first          11000001 i16 │ the text of a number,
              10000001 b×8            64 bits, high first          11000010 i32 ┘ little-endian
                                                                   11000011 length length bytes: LZF
    double    8 bytes, little-endian; of the oldest sorted sets: its length in a byte, its text

    DUMP      ┌─────────┬───────┬─────────────┬───────────┐
              │ type u8 │ value │ version u16 │ crc64 u64 │      both little-endian; the sum is over all before it
              └─────────┴───────┴─────────────┴───────────┘

Law: a `Reader` never reads beyond its bytes and believes no length before it has seen that so much is there; whatever
is wrong with what it reads is a ValueError.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import Final

from miniredis.structures import lzf
from protocol.checksums import crc64

# The newest version this server reads (Redis 7.4 writes it), and the one it writes where the value allows:
# Redis 7.0 reads nothing newer.
NEWEST_VERSION: Final = 12
COMMON_VERSION: Final = 10

# What a value is written as.
STRING: Final = 0
LIST: Final = 1
SET: Final = 2
ZSET: Final = 3
HASH: Final = 4
ZSET_2: Final = 5
HASH_ZIPMAP: Final = 9
LIST_ZIPLIST: Final = 10
SET_INTSET: Final = 11
ZSET_ZIPLIST: Final = 12
HASH_ZIPLIST: Final = 13
LIST_QUICKLIST: Final = 14
STREAM_LISTPACKS: Final = 15
HASH_LISTPACK: Final = 16
ZSET_LISTPACK: Final = 17
LIST_QUICKLIST_2: Final = 18
STREAM_LISTPACKS_2: Final = 19
SET_LISTPACK: Final = 20
STREAM_LISTPACKS_3: Final = 21
HASH_METADATA_PRE_GA: Final = 22
HASH_LISTPACK_EX_PRE_GA: Final = 23
HASH_METADATA: Final = 24
HASH_LISTPACK_EX: Final = 25

# The first version that knows a type, where it is not the common one.
_VERSIONS: Final = {
    SET_LISTPACK: 11, STREAM_LISTPACKS_3: 11, HASH_METADATA_PRE_GA: 12, HASH_LISTPACK_EX_PRE_GA: 12,
    HASH_METADATA: 12, HASH_LISTPACK_EX: 12,
}  # fmt: skip

# Written as they lie in memory: what sanitize-dump-payload asks Redis to look through.
PACKED_TYPES: Final = frozenset((
    SET_INTSET, HASH_LISTPACK, ZSET_LISTPACK, LIST_QUICKLIST_2, SET_LISTPACK, HASH_LISTPACK_EX_PRE_GA,
    HASH_LISTPACK_EX, STREAM_LISTPACKS, STREAM_LISTPACKS_2, STREAM_LISTPACKS_3,
))  # fmt: skip

# What else stands in a file.
MODULE: Final = 6
MODULE_2: Final = 7
SLOT_INFO: Final = 0xF4
FUNCTION_2: Final = 0xF5
FUNCTION_PRE_GA: Final = 0xF6
MODULE_AUX: Final = 0xF7
IDLE: Final = 0xF8
COUNTER: Final = 0xF9
AUX: Final = 0xFA
RESIZE: Final = 0xFB
EXPIRY_MS: Final = 0xFC
EXPIRY_S: Final = 0xFD
SELECT: Final = 0xFE
EOF: Final = 0xFF
FUNCTION_MARK: Final = bytes((FUNCTION_2,))
IDLE_MARK: Final = bytes((IDLE,))
COUNTER_MARK: Final = bytes((COUNTER,))
AUX_MARK: Final = bytes((AUX,))
RESIZE_MARK: Final = bytes((RESIZE,))
EXPIRY_MARK: Final = bytes((EXPIRY_MS,))
SELECT_MARK: Final = bytes((SELECT,))
EOF_MARK: Final = bytes((EOF,))

# Nodes of a list.
PLAIN: Final = 1
PACKED: Final = 2

FOOTER_BYTES: Final = 10
MAX_STRING_BYTES: Final = 512 * 1024 * 1024
# Longer text is never looked at as a number: -2147483648 has 11 characters.
MAX_NUMBER_DIGITS: Final = 11
# Redis does not try to compress what is shorter.
LEAST_COMPRESSED_BYTES: Final = 21

_INT8: Final = 0xC0
_INT16: Final = 0xC1
_INT32: Final = 0xC2
_LZF: Final = 0xC3

_u16 = Struct("<H")
_u64 = Struct("<Q")
_i64 = Struct("<q")
_f64 = Struct("<d")
# What sscanf's %lg takes from the front of a text.
_DECIMAL: Final = re.compile(rb"\s*([-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[iI][nN][fF]|[nN][aA][nN]))")


def version_of(kind: int) -> int:
    """The lowest RDB version to claim for a value of this type."""
    return _VERSIONS.get(kind, COMMON_VERSION)


# ── writing ────────────────────────────────────────────────────────────────────────────────────────────


def length(number: int) -> bytes:
    """A count or a length, up to 64 bits."""
    if number < 1 << 6:
        return bytes((number,))
    if number < 1 << 14:
        return bytes((0x40 | number >> 8, number & 0xFF))
    if number < 1 << 32:
        return b"\x80" + number.to_bytes(4, "big")
    return b"\x81" + number.to_bytes(8, "big")


def integer(number: int) -> bytes:
    """A string that is the text of a number."""
    if -(1 << 7) <= number < 1 << 7:
        return bytes((_INT8, number & 0xFF))
    if -(1 << 15) <= number < 1 << 15:
        return b"\xc1" + number.to_bytes(2, "little", signed=True)
    if -(1 << 31) <= number < 1 << 31:
        return b"\xc2" + number.to_bytes(4, "little", signed=True)
    text = b"%d" % number
    return length(len(text)) + text


def string(text: bytes, is_compressed: bool) -> bytes:
    """A string: as a number where it is one, as LZF where asked for and worth it, as it is otherwise."""
    size = len(text)
    if size <= MAX_NUMBER_DIGITS and (text.isdigit() or text[:1] == b"-") and _is_number(text):
        return integer(int(text))
    if is_compressed and size >= LEAST_COMPRESSED_BYTES:
        packed = lzf.compress(text)
        if packed is not None:
            return b"".join((b"\xc3", length(len(packed)), length(size), packed))
    return length(size) + text


def _is_number(text: bytes) -> bool:
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or (digits[:1] == b"0" and len(text) > 1):
        return False
    return -(1 << 31) <= int(text) < 1 << 31


def double(number: float) -> bytes:
    """Eight bytes, little-endian."""
    return _f64.pack(number)


def milliseconds(instant: int) -> bytes:
    """A time since 1970, signed."""
    return _i64.pack(instant)


def sealed(body: bytes, version: int) -> bytes:
    """A payload with its footer, as DUMP and FUNCTION DUMP give it."""
    body += _u16.pack(version)
    return body + _u64.pack(crc64(body))


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────


def unsealed(payload: bytes, *, is_sum_checked: bool = True) -> bytes | None:
    """A payload without its footer; None where the version or the sum is wrong."""
    if len(payload) < FOOTER_BYTES:
        return None
    (version,) = _u16.unpack_from(payload, len(payload) - FOOTER_BYTES)
    if version > NEWEST_VERSION:
        return None
    (total,) = _u64.unpack_from(payload, len(payload) - 8)
    if is_sum_checked and total != crc64(payload[:-8]):
        return None
    return payload[:-FOOTER_BYTES]


class Reader:
    """Reads on from a place in some bytes."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at
        self.end = len(data)

    @property
    def left(self) -> int:
        return self.end - self.at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start = self.at
        stop = start + size
        if stop > self.end:
            raise ValueError("the data breaks off")
        self.at = stop
        return self.data[start:stop]

    def byte(self) -> int:
        at = self.at
        if at >= self.end:
            raise ValueError("the data breaks off")
        self.at = at + 1
        return self.data[at]

    def length(self) -> int:
        """A count or a length."""
        mark = self.byte()
        if mark < 0x40:
            return mark
        if mark < 0x80:
            return (mark & 0x3F) << 8 | self.byte()
        if mark == 0x80:
            return int.from_bytes(self.take(4), "big")
        if mark == 0x81:
            return int.from_bytes(self.take(8), "big")
        raise ValueError("a length of no known form")

    def count(self, least_bytes: int) -> int:
        """How many things follow, each of at least so many bytes: they must have room."""
        number = self.length()
        if number * least_bytes > self.left:
            raise ValueError("a count that the data cannot hold")
        return number

    def string(self) -> bytes:
        at = self.at
        mark = self.data[at] if at < self.end else 0
        if mark < _INT8:
            return self.take(self.length())
        self.at = at + 1
        if mark == _INT8:
            return b"%d" % int.from_bytes(self.take(1), "little", signed=True)
        if mark == _INT16:
            return b"%d" % int.from_bytes(self.take(2), "little", signed=True)
        if mark == _INT32:
            return b"%d" % int.from_bytes(self.take(4), "little", signed=True)
        if mark != _LZF:
            raise ValueError("a string of no known form")
        packed_size = self.length()
        size = self.length()
        if size > MAX_STRING_BYTES:
            raise ValueError("a string beyond all limits")
        return lzf.decompress(self.take(packed_size), size)

    def double(self) -> float:
        number: float = _f64.unpack(self.take(8))[0]
        return number

    def milliseconds(self) -> int:
        number: int = _i64.unpack(self.take(8))[0]
        return number

    def text_double(self) -> float:
        """A double as the oldest sorted sets have it."""
        size = self.byte()
        if size >= 253:
            return (float("nan"), float("inf"), float("-inf"))[size - 253]
        return decimal(self.take(size))


def decimal(text: bytes) -> float:
    """The number that `text` begins with, as C reads it; ValueError where there is none."""
    match = _DECIMAL.match(text.split(b"\0", 1)[0])
    if match is None:
        raise ValueError("a number that is none")
    return float(match[1])
