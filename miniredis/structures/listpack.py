"""Redis's listpack: elements one behind the other in one string of bytes, readable from both ends.

    ┌───────────┬──────────┬─────────┬─────┬──────┐     element:  ┌──────────┬──────┬─────────┐
    │ bytes u32 │ count u16│ element │  …  │ 0xFF │               │ encoding │ data │ backlen │
    └───────────┴──────────┴─────────┴─────┴──────┘               └──────────┴──────┴─────────┘

    0xxxxxxx            number 0 … 127                     1110xxxx b     string of up to 4095 bytes
    10xxxxxx            string of up to 63 bytes           0xF0 u32       string
    110xxxxx b          number of 13 bits                  0xF1 … 0xF4    number of 16, 24, 32, 64 bits

Numbers of more than a byte are little-endian, but the 13 bits and the lengths of strings stand with their high part
first. `backlen` is the length of encoding and data, seven bits a byte, the highest first; all but the first of its
bytes carry the mark 0x80. A count of 65535 means "walk it". All as real servers write it to their files.

Law 1: text that is a number written the only canonical way becomes a number, as in Redis; so equal lists give equal
       bytes.
Law 2: `decode` trusts what this server made itself; what came from outside goes through `checked`, which walks every
       element and raises ValueError.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final

from miniredis.structures.packed import MAX_INTEGER_DIGITS, backlen_size, integer_size

HEADER_BYTES: Final = 6
EMPTY_BYTES: Final = 7
COUNT_UNKNOWN: Final = 0xFFFF
END: Final = 0xFF

_header = Struct("<IH")
_SMALL_NUMBERS: Final = tuple(bytes((number, 1)) for number in range(128))
_SHORT_HEADS: Final = tuple(bytes((0x80 | length,)) for length in range(64))
_SHORT_TAILS: Final = tuple(bytes((length + 1,)) for length in range(64))
_TAILS: Final = tuple(bytes((stored,)) for stored in range(128))


def encode(items: Iterable[bytes | int]) -> bytes:
    """A listpack of these elements. An `int` is 64 bits, signed."""
    parts = [
        _SHORT_HEADS[len(item)] + item + _SHORT_TAILS[len(item)]
        if item.__class__ is bytes and len(item) < 64 and not item.isdigit() and item[:1] != b"-"
        else entry(item)
        for item in items
    ]
    body = b"".join(parts)
    return _header.pack(len(body) + EMPTY_BYTES, min(len(parts), COUNT_UNKNOWN)) + body + b"\xff"


def entry(item: bytes | int) -> bytes:
    """One element, with its encoding and backlen."""
    if isinstance(item, int):
        return _number(item)
    length = len(item)
    if length <= MAX_INTEGER_DIGITS and (item.isdigit() or item[:1] == b"-") and integer_size(item):
        return _number(int(item))
    if length < 64:
        return _SHORT_HEADS[length] + item + _SHORT_TAILS[length]
    if length < 4096:
        stored = length + 2
        # One or two groups of seven bits, written as one number: a call for each of them would take longer than all.
        tail = _TAILS[stored] if stored < 128 else (stored << 1 & 0x7F00 | stored & 0x7F | 0x80).to_bytes(2, "big")
        return (0xE000 | length).to_bytes(2, "big") + item + tail
    return b"\xf0" + length.to_bytes(4, "little") + item + _backlen(length + 5)


def _number(number: int) -> bytes:
    if 0 <= number <= 127:
        return _SMALL_NUMBERS[number]
    if -4096 <= number <= 4095:
        return bytes((0xC0 | (number >> 8 & 0x1F), number & 0xFF, 2))
    for mark, size in ((b"\xf1", 2), (b"\xf2", 3), (b"\xf3", 4)):
        if -(1 << 8 * size - 1) <= number < 1 << 8 * size - 1:
            return mark + number.to_bytes(size, "little", signed=True) + bytes((size + 1,))
    return b"\xf4" + number.to_bytes(8, "little", signed=True) + b"\x09"


def _backlen(stored: int) -> bytes:
    size = backlen_size(stored)
    groups = [stored >> 7 * shift & 0x7F for shift in range(size - 1, -1, -1)]
    return bytes([groups[0], *[group | 0x80 for group in groups[1:]]])


def decode(blob: bytes) -> list[bytes]:
    """The elements as text, of a listpack this server made."""
    return [item if isinstance(item, bytes) else b"%d" % item for item in elements(blob)]


def checked(blob: bytes) -> list[bytes | int]:
    """The elements of a listpack from outside, numbers as numbers; ValueError if anything about it is wrong."""
    if len(blob) < EMPTY_BYTES or blob[-1] != END:
        raise ValueError("a listpack without an end")
    total, count = _header.unpack_from(blob)
    if total != len(blob):
        raise ValueError("a listpack of another length")
    found = elements(blob)
    if count not in (COUNT_UNKNOWN, len(found)):
        raise ValueError("a listpack with another count")
    return found


def elements(blob: bytes) -> list[bytes | int]:
    """Every element; ValueError where the bytes do not hold together."""
    found: list[bytes | int] = []
    append = found.append
    at = HEADER_BYTES
    end = len(blob) - 1
    while at < end:
        mark = blob[at]
        if mark < 0x80:
            append(mark)
            tail = at + 1
            if blob[tail] != 1:
                raise ValueError("a listpack element of another length")
            at = tail + 1
            continue
        if mark < 0xC0:
            tail = at + 1 + (mark & 0x3F)
            append(blob[at + 1 : tail])
        elif mark < 0xE0:
            tail = at + 2
            number = (mark & 0x1F) << 8 | blob[at + 1]
            append(number - 0x2000 if number & 0x1000 else number)
        elif mark < 0xF0:
            tail = at + 2 + ((mark & 0x0F) << 8 | blob[at + 1])
            append(blob[at + 2 : tail])
        else:
            tail = _long(blob, at, found)
        # Whatever was read beyond the end fails here.
        if tail >= end:
            raise ValueError("a listpack element beyond the end")
        stored = tail - at
        if stored < 128:
            if blob[tail] != stored:
                raise ValueError("a listpack element of another length")
            at = tail + 1
        else:
            size = backlen_size(stored)
            at = tail + size
            if blob[tail:at] != _backlen(stored) or at > end:
                raise ValueError("a listpack element of another length")
    if at != end:
        raise ValueError("a listpack that ends elsewhere")
    return found


_WIDTHS: Final = {0xF1: 2, 0xF2: 3, 0xF3: 4, 0xF4: 8}


def _long(blob: bytes, at: int, found: list[bytes | int]) -> int:
    """An element with a five-byte head or a wide number: where its backlen starts."""
    mark = blob[at]
    if mark == 0xF0:
        length = int.from_bytes(blob[at + 1 : at + 5], "little")
        tail = at + 5 + length
        found.append(blob[at + 5 : tail])
        return tail
    width = _WIDTHS.get(mark)
    if width is None:
        raise ValueError("a listpack element of no known encoding")
    tail = at + 1 + width
    found.append(int.from_bytes(blob[at + 1 : tail], "little", signed=True))
    return tail


def unpack(blob: bytes, at: int) -> tuple[bytes, int]:
    """The element at `at` as text, and where the next one is; of a listpack this server made."""
    mark = blob[at]
    if mark < 0x80:
        return b"%d" % mark, at + 2
    if mark < 0xC0:
        tail = at + 1 + (mark & 0x3F)
        return blob[at + 1 : tail], tail + 1
    found: list[bytes | int] = []
    if mark < 0xE0:
        number = (mark & 0x1F) << 8 | blob[at + 1]
        return b"%d" % (number - 0x2000 if number & 0x1000 else number), at + 3
    if mark < 0xF0:
        tail = at + 2 + ((mark & 0x0F) << 8 | blob[at + 1])
        found.append(blob[at + 2 : tail])
    else:
        tail = _long(blob, at, found)
    item = found[0]
    return item if isinstance(item, bytes) else b"%d" % item, tail + backlen_size(tail - at)


def count(blob: bytes) -> int:
    """How many elements a listpack of this server has."""
    known = int.from_bytes(blob[4:6], "little")
    return known if known != COUNT_UNKNOWN else len(elements(blob))
