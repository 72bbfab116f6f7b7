"""Runs: neighbouring elements of a list, and the bytes they would take in a listpack.

    live      elements as they are: 40 bytes each beside their own
    folded    one string of bytes, msgpack's as it is packed and unpacked in C; deflated on top where that is wanted

Law 1: `size` is what Redis would count (structures/packed.py), whether live or folded: it decides where lists are cut.
Law 2: reading (`peek`) leaves folded what is; who changes elements asks for `items`, and they are live from then on.
"""

from typing import Final
from zlib import compress, decompress

from msgpack import packb, unpackb

from miniredis.structures.packed import HEADER_BYTES, entry_size

# The size classes that a negative list-max-listpack-size names, -1 to -5.
SIZE_CLASSES: Final = (4096, 8192, 16384, 32768, 65536)
# A limit by count still never lets a run outgrow this many bytes.
SAFE_BYTES: Final = 8192
# The largest count a chain remembers as its own limit.
MAX_FILL: Final = 32767
UNLIMITED: Final = 1 << 62
# Shorter runs are never folded, and none for less than this (both Redis' own figures); the level costs least time.
LEAST_FOLDED_BYTES: Final = 48
LEAST_SAVED_BYTES: Final = 8
FOLD_LEVEL: Final = 1


def limits(fill: int) -> tuple[int, int]:
    """The most bytes and the most elements that list-max-listpack-size `fill` lets a run grow to."""
    if fill < 0:
        return SIZE_CLASSES[min(-fill, len(SIZE_CLASSES)) - 1], UNLIMITED
    return SAFE_BYTES, max(fill, 1)


def shrunk_limits(fill: int) -> tuple[int, int]:
    """Half of the limits: how small a chain has to get before it is worth being one run again."""
    if fill < 0:
        return limits(fill)[0] // 2, UNLIMITED
    return UNLIMITED, max(fill, 1) // 2


class Run:
    """Neighbouring elements and the bytes they would take packed. A plain run holds one oversized element.

    Its elements are `live`, or folded: packed into one string of bytes until somebody needs them."""

    __slots__ = ("_count", "_folded", "_is_compressed", "is_plain", "live", "size")

    def __init__(self, items: list[bytes], size: int, is_plain: bool = False) -> None:
        self.live = items  # empty while folded
        self.size = size
        self.is_plain = is_plain
        self._folded = b""
        self._is_compressed = False
        self._count = 0  # elements, while folded

    def __len__(self) -> int:
        return self._count if self._folded else len(self.live)

    @property
    def items(self) -> list[bytes]:
        """The elements, to be changed: they are unfolded."""
        if self._folded:
            self.unfold()
        return self.live

    def peek(self) -> list[bytes]:
        """The elements, to be read: what is folded stays so."""
        if not self._folded:
            return self.live
        found: list[bytes] = unpackb(decompress(self._folded) if self._is_compressed else self._folded)
        return found

    def fold(self, is_compressed: bool) -> None:
        """Pack, and compress if that is wanted and saves anything worth it. A plain run has nothing to pack."""
        if self._folded or (self.is_plain and not is_compressed):
            return
        packed = packb(self.live)
        self._is_compressed = False
        if is_compressed and self.size >= LEAST_FOLDED_BYTES:
            smaller = compress(packed, FOLD_LEVEL)
            if len(smaller) + LEAST_SAVED_BYTES <= len(packed):
                packed = smaller
                self._is_compressed = True
        self._count = len(self.live)
        self._folded = packed
        self.live = []

    def unfold(self) -> None:
        if self._folded:
            self.live = self.peek()
            self._folded = b""

    def copy(self) -> "Run":
        twin = Run(self.live.copy(), self.size, self.is_plain)
        twin._folded, twin._is_compressed, twin._count = self._folded, self._is_compressed, self._count
        return twin


def packed_run(value: bytes) -> Run:
    """A new run of one value that others may join."""
    return Run([value], HEADER_BYTES + entry_size(value))


def plain_run(value: bytes) -> Run:
    """A value too long to share a run."""
    return Run([value], len(value), is_plain=True)


def remove_equal(items: list[bytes], value: bytes, most: int, from_tail: bool) -> int:
    """Delete up to `most` elements equal to `value` from one end of a run; how many went."""
    equal = items.count(value)
    if equal <= most:
        if equal:
            items[:] = [item for item in items if item != value]
        return equal
    if from_tail:
        items.reverse()
    at = 0
    for _ in range(most):
        at = items.index(value, at)
        del items[at]
    if from_tail:
        items.reverse()
    return most
