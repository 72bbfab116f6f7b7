"""Strings as arrays of bits and of integers of any width.

    bit     0   1   2   3   4   5   6   7   8   9  …        a field of `width` bits at `offset`, the most significant
          ┌───────────────────────────────┬────────         bit first, across bytes:
    byte  │ 0: 128  64  32  16  8  4  2  1│ 1: 128 …        i5 at 6 = bits 6 7 8 9 10
          └───────────────────────────────┴────────

Law: nothing walks bit by bit. Long strings go piece by piece through `int.from_bytes`, whose bits C counts and joins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Text = bytes | bytearray

# A piece that stays in the processor's cache.
PIECE_BYTES: Final = 1 << 15
_ZEROS: Final = bytes(PIECE_BYTES)
_ONES: Final = b"\xff" * PIECE_BYTES
_INVERTED: Final = bytes(255 - byte for byte in range(256))


def bit_at(text: Text, offset: int) -> int:
    """0 or 1; 0 beyond the end."""
    byte = offset >> 3
    return text[byte] >> (7 - (offset & 7)) & 1 if byte < len(text) else 0


def count(text: Text, first: int, last: int) -> int:
    """How many of the bits `first` to `last` are set; both are in the text."""
    start, end = first >> 3, (last >> 3) + 1
    total = 0
    with memoryview(text) as view:
        for at in range(start, end, PIECE_BYTES):
            total += int.from_bytes(view[at : min(at + PIECE_BYTES, end)], "little").bit_count()
    outside = (text[start] >> (8 - (first & 7))).bit_count() if first & 7 else 0
    return total - outside - (text[end - 1] & ((1 << (7 - (last & 7))) - 1)).bit_count()


def position(text: Text, bit: int, first: int, last: int) -> int:
    """The first of the bits `first` to `last`, both in the text, that is `bit`; -1 without one."""
    start, end = first >> 3, (last >> 3) + 1
    flip = 0 if bit else 0xFF
    head = (text[start] ^ flip) & (0xFF >> (first & 7))
    if not head:
        start = _differing(text, _ZEROS if bit else _ONES, start + 1, end)
        if start == end:
            return -1
        head = text[start] ^ flip
    found = start * 8 + 8 - head.bit_length()
    return found if found <= last else -1


def _differing(text: Text, plain: bytes, start: int, end: int) -> int:
    """The first byte from `start` on that is not as in `plain`; `end` without one."""
    mark = plain[:1]
    for at in range(start, end, PIECE_BYTES):
        piece = text[at : min(at + PIECE_BYTES, end)]
        if piece != plain[: len(piece)]:
            return at + len(piece) - len(piece.lstrip(mark))
    return end


def inverted(text: Text) -> Text:
    """NOT of every byte."""
    return text.translate(_INVERTED)


def joined(operation: bytes, texts: Sequence[Text]) -> bytearray:
    """AND, OR or XOR of strings; the shorter ones are filled up with zero bits."""
    size = max(map(len, texts))
    result = bytearray()
    for at in range(0, size, PIECE_BYTES):
        end = min(at + PIECE_BYTES, size)
        number = int.from_bytes(texts[0][at:end], "little")
        for text in texts[1:]:
            other = int.from_bytes(text[at:end], "little")
            if operation == b"AND":
                number &= other
            elif operation == b"OR":
                number |= other
            else:
                number ^= other
        result += number.to_bytes(end - at, "little")
    return result


def field_at(text: Text, offset: int, width: int, is_signed: bool) -> int:
    """The integer of `width` bits that begins at bit `offset`; what is beyond the end counts as zero."""
    start, size = offset >> 3, ((offset & 7) + width + 7) >> 3
    piece = text[start : start + size]
    number = int.from_bytes(piece, "big") << 8 * (size - len(piece))
    number = number >> (size * 8 - (offset & 7) - width) & ((1 << width) - 1)
    return number - (1 << width) if is_signed and number >> (width - 1) else number


def set_field(text: bytearray, offset: int, width: int, value: int) -> None:
    """Write the low `width` bits of a number at bit `offset`; the text is long enough."""
    start, size = offset >> 3, ((offset & 7) + width + 7) >> 3
    shift = size * 8 - (offset & 7) - width
    mask = (1 << width) - 1
    number = int.from_bytes(text[start : start + size], "big")
    number = number & ~(mask << shift) | (value & mask) << shift
    text[start : start + size] = number.to_bytes(size, "big")


def fitted(value: int, width: int, is_signed: bool, overflow: bytes) -> int | None:
    """A value as a field of this type holds it: itself, or what WRAP, SAT or FAIL (None) makes of it."""
    least = -(1 << (width - 1)) if is_signed else 0
    most = (1 << (width - is_signed)) - 1
    if least <= value <= most:
        return value
    if overflow == b"FAIL":
        return None
    if overflow == b"SAT":
        return most if value > most else least
    value &= (1 << width) - 1
    return value - (1 << width) if is_signed and value >> (width - 1) else value
