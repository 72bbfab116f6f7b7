"""The packed forms of older Redis versions, which files and payloads may still hold: they are read, never written.

    ziplist   ┌───────────┬──────────┬───────────┬───────┬─────┬──────┐     entry: ┌────────────────┬──────────┬──────┐
              │ bytes u32 │ tail u32 │ count u16 │ entry │  …  │ 0xFF │            │ size of the    │ encoding │ data │
              └───────────┴──────────┴───────────┴───────┴─────┴──────┘            │ one before     │          │      │
                                                                                   └────────────────┴──────────┴──────┘
        The size before is a byte, or 0xFE and 4 bytes. Encodings: 00xxxxxx, 01xxxxxx b, 10000000 b×4 are lengths of
        strings, high part first; 0xC0, 0xD0, 0xE0, 0xF0, 0xFE precede a number of 16, 32, 64, 24, 8 bits;
        0xF1 … 0xFD are the numbers 0 … 12 themselves.

    zipmap    ┌──────────┬───────┬─────┬───────┬─────────┬─────┬─────────┬─────┬──────┐
              │ count u8 │ length│ key │ length│ free u8 │value│ (free)  │  …  │ 0xFF │      length: a byte, or
              └──────────┴───────┴─────┴───────┴─────────┴─────┴─────────┴─────┴──────┘      0xFE and 4 bytes

    intset    ┌───────────────────┬───────────┬────────┬─────┐
              │ width u32: 2 4 8  │ count u32 │ number │  …  │      in order, little-endian; still written today
              └───────────────────┴───────────┴────────┴─────┘

Law: every byte is checked before it is believed; what is wrong is a ValueError.
"""

from array import array
from itertools import pairwise
from struct import Struct, pack, unpack_from
from typing import Final

END: Final = 0xFF
BIG: Final = 0xFE
COUNT_UNKNOWN: Final = 0xFFFF
_HEADER_BYTES: Final = 10

_ziplist_header = Struct("<IIH")
_pair = Struct("<II")
_NUMBER_BYTES: Final = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}
_TYPECODES: Final = {2: "h", 4: "i", 8: "q"}


def ziplist(blob: bytes) -> list[bytes]:
    """The elements of a ziplist as text."""
    if len(blob) <= _HEADER_BYTES or blob[-1] != END:
        raise ValueError("a ziplist without an end")
    total, tail, count = _ziplist_header.unpack_from(blob)
    end = len(blob) - 1
    if total != len(blob) or tail > end:
        raise ValueError("a ziplist of another length")
    found: list[bytes] = []
    at = _HEADER_BYTES
    last = at
    before = 0
    while at < end:
        start = at
        if blob[at] < BIG:
            told, at = blob[at], at + 1
        elif blob[at] == BIG:
            told, at = int.from_bytes(blob[at + 1 : at + 5], "little"), at + 5
        else:
            break
        if told != before or at >= end:
            raise ValueError("a ziplist entry after one of another size")
        at = _ziplist_element(blob, at, end, found)
        last, before = start, at - start
    if at != end or (found and tail != last) or count not in (COUNT_UNKNOWN, len(found)):
        raise ValueError("a ziplist that does not hold together")
    return found


def _ziplist_element(blob: bytes, at: int, end: int, found: list[bytes]) -> int:
    """Read the element whose encoding is at `at`: where the next entry starts."""
    mark = blob[at]
    if mark < 0xC0:
        if mark < 0x40:
            size, at = mark, at + 1
        elif mark < 0x80:
            size, at = (mark & 0x3F) << 8 | blob[at + 1], at + 2
        else:
            size, at = int.from_bytes(blob[at + 1 : at + 5], "big"), at + 5
        stop = at + size
        found.append(blob[at:stop])
    elif 0xF1 <= mark <= 0xFD:
        found.append(b"%d" % (mark - 0xF1))
        stop = at + 1
    else:
        width = _NUMBER_BYTES.get(mark)
        if width is None:
            raise ValueError("a ziplist entry of no known encoding")
        stop = at + 1 + width
        found.append(b"%d" % int.from_bytes(blob[at + 1 : stop], "little", signed=True))
    if stop > end:
        raise ValueError("a ziplist entry beyond the end")
    return stop


def zipmap(blob: bytes) -> list[bytes]:
    """Keys and values of a zipmap in turn; there is at least one pair."""
    if len(blob) < 2 or blob[-1] != END:
        raise ValueError("a zipmap without an end")
    end = len(blob) - 1
    found: list[bytes] = []
    at = 1
    while at < end:
        size, at = _zipmap_length(blob, at)
        found.append(blob[at : at + size])
        at += size
        if at >= end:
            raise ValueError("a zipmap key without a value")
        size, at = _zipmap_length(blob, at)
        if at >= end:
            raise ValueError("a zipmap entry beyond the end")
        free = blob[at]
        found.append(blob[at + 1 : at + 1 + size])
        at += 1 + size + free
    if at != end or not found or (blob[0] < BIG and blob[0] * 2 != len(found)):
        raise ValueError("a zipmap that does not hold together")
    return found


def _zipmap_length(blob: bytes, at: int) -> tuple[int, int]:
    if blob[at] < BIG:
        return blob[at], at + 1
    if blob[at] == END:
        raise ValueError("a zipmap that ends elsewhere")
    return int.from_bytes(blob[at + 1 : at + 5], "little"), at + 5


def read_intset(blob: bytes) -> "array[int]":
    """The numbers of an intset, in order; there is at least one."""
    if len(blob) < _pair.size:
        raise ValueError("an intset without a header")
    width, count = _pair.unpack_from(blob)
    if width not in _TYPECODES or not count or len(blob) != _pair.size + width * count:
        raise ValueError("an intset of another length")
    numbers = array("q", unpack_from(f"<{count}{_TYPECODES[width]}", blob, _pair.size))
    if any(first >= second for first, second in pairwise(numbers)):
        raise ValueError("an intset out of order")
    return numbers


def write_intset(numbers: "array[int]") -> bytes:
    """An intset of these numbers, in order, as narrow as they allow."""
    low, high = numbers[0], numbers[-1]
    width = next(size for size in (2, 4, 8) if -(1 << 8 * size - 1) <= low and high < 1 << 8 * size - 1)
    return pack(f"<II{len(numbers)}{_TYPECODES[width]}", width, len(numbers), *numbers)
