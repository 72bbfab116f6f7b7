"""HyperLogLog: how many different elements were seen, to about 0.81 %, in at most 12 KiB. Redis's own bytes.

    ┌──────┬─────────────┬─────────┬──────────────────┬───────────┐   encoding 0: dense, 1: sparse
    │ HYLL │ encoding u8 │ 0  0  0 │ cardinality u64  │ registers │   cardinality (little-endian) as last counted;
    └──────┴─────────────┴─────────┴──────────────────┴───────────┘   its highest bit: registers have changed since

16384 registers of six bits: an element's hash says which one (14 bits), and how many zeros follow (1 to 51); a register
keeps the largest number. Dense, they lie packed, the lowest bits first. Sparse, they are runs:

    00llllll            ZERO   l + 1 registers (1–64) of 0
    01llllll llllllll   XZERO  l + 1 registers (1–16384) of 0
    1vvvvvll            VAL    l + 1 registers (1–4) of v + 1 (1–32)

Law 1: equal commands leave bytes equal to Redis's, so runs are split and merged as there, and only where it does.
Law 2: clients may SET any bytes: whatever is wrong with them is `Corrupted`, never another exception.

Cardinality: O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", arXiv 1702.01284.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import inf, sqrt
from struct import unpack
from typing import Final

REGISTERS: Final = 1 << 14
HEADER_BYTES: Final = 16
DENSE_BYTES: Final = HEADER_BYTES + REGISTERS * 6 // 8
MAGIC: Final = b"HYLL"
DENSE: Final = 0
SPARSE: Final = 1

_ENCODING_AT: Final = 4
_CARDINALITY_AT: Final = 8
_STALE_AT: Final = 15  # the byte whose highest bit says that the cardinality is out of date
_STALE: Final = 0x80
_ZEROS_MEANT: Final = 50  # hash bits that are looked at for zeros: a register is at most one more
_ALPHA: Final = 0.721347520444481703680
_MASK64: Final = 0xFFFFFFFFFFFFFFFF
_MULTIPLIER: Final = 0xC6A4A7935BD1E995
_SEED: Final = 0xADC83B19
# Elements from so many bytes on are hashed in pieces whose words are mixed together: every second of a piece is in the
# lower half of a lane of 128 bits.
_LONG_BYTES: Final = 128
_PIECE_BYTES: Final = 4096
_LANES: Final = int.from_bytes((b"\xff" * 8 + bytes(8)) * (_PIECE_BYTES // 16), "little")
_LANES_ABOVE_47: Final = int.from_bytes((_MASK64 >> 47).to_bytes(16, "little") * (_PIECE_BYTES // 16), "little")

_ZERO_MOST: Final = 64
_VAL_MOST: Final = 4
_VALUE_MOST: Final = 32

_XZERO_BASE: Final = 0x4000
_XZERO: Final = re.compile(rb"[\x40-\x7f].?", re.S)
_SPANS: Final = bytes(op % 64 + 1 if op < 0x80 else (op & 3) + 1 for op in range(256))


_BYTES: Final = tuple(bytes([op]) for op in range(256))


# Base64 is an array of six-bit numbers too, highest bits first: backwards it is ours, at the speed of C.
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_NUMBERS: Final = bytes(max(0, _ALPHABET.find(bytes([byte]))) for byte in range(256))
_TO_LETTERS: Final = _ALPHABET * 4

_HIGH_BITS: Final = int.from_bytes(b"\x80" * REGISTERS, "little")


class Corrupted(ValueError):
    """The bytes are no HyperLogLog."""


def new() -> bytearray:
    """An empty one: sparse, all registers in one run."""
    data = bytearray(MAGIC + bytes([SPARSE]) + bytes(11))
    data += _op_bytes(_run(0, REGISTERS))
    return data


def looks_valid(data: bytes | bytearray) -> bool:
    """Whether the header is one, and the length of a dense one right: more is only found when it is read."""
    if len(data) < HEADER_BYTES or data[:4] != MAGIC or data[_ENCODING_AT] > SPARSE:
        return False
    return data[_ENCODING_AT] == SPARSE or len(data) == DENSE_BYTES


def is_dense(data: bytes | bytearray) -> bool:
    """Whether the header says so; anything else is sparse."""
    return data[_ENCODING_AT] == DENSE


def mark_stale(data: bytearray) -> None:
    """Registers have changed: the cardinality has to be counted again."""
    data[_STALE_AT] |= _STALE


def kept_cardinality(data: bytes | bytearray) -> int | None:
    """What was counted last, None if that is out of date."""
    if data[_STALE_AT] & _STALE:
        return None
    return int.from_bytes(data[_CARDINALITY_AT:HEADER_BYTES], "little")


def keep_cardinality(data: bytearray, cardinality: int) -> None:
    """Note what was counted, as no longer stale."""
    data[_CARDINALITY_AT:HEADER_BYTES] = cardinality.to_bytes(8, "little")


# Hashing.


def murmur64(data: bytes, seed: int = _SEED) -> int:
    """MurmurHash64A."""
    size = len(data)
    found = seed ^ (size * _MULTIPLIER & _MASK64)
    whole = size & ~7
    if size < _LONG_BYTES:
        for at in range(0, whole, 8):
            word = int.from_bytes(data[at : at + 8], "little") * _MULTIPLIER & _MASK64
            word = (word ^ word >> 47) * _MULTIPLIER & _MASK64
            found = (found ^ word) * _MULTIPLIER & _MASK64
    else:
        for at in range(0, whole, _PIECE_BYTES):
            for word in _mixed(data[at : min(at + _PIECE_BYTES, whole)]):
                found = (found ^ word) * _MULTIPLIER & _MASK64
    if size & 7:
        found = (found ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK64
    found = (found ^ found >> 47) * _MULTIPLIER & _MASK64
    return found ^ found >> 47


def _mixed(piece: bytes) -> tuple[int, ...]:
    """What each word of a piece adds to the hash: many words are one number, whose lanes have room for products."""
    size = len(piece)
    number = int.from_bytes(piece, "little")
    both = _mixed_lanes(number & _LANES) | _mixed_lanes(number >> 64 & _LANES) << 64
    return unpack(f"<{size // 8}Q", both.to_bytes(size, "little"))


def _mixed_lanes(lanes: int) -> int:
    lanes = lanes * _MULTIPLIER & _LANES
    return (lanes ^ lanes >> 47 & _LANES_ABOVE_47) * _MULTIPLIER & _LANES


def place(element: bytes) -> tuple[int, int]:
    """The register of an element, and the number it asks for there."""
    found = murmur64(element)
    rest = found >> 14 | 1 << _ZEROS_MEANT
    return found & (REGISTERS - 1), (rest & -rest).bit_length()


# Adding.


def add(data: bytearray, elements: Sequence[bytes], sparse_max_bytes: int) -> int:
    """Count elements; how many registers changed. Corrupted: one could not be found."""
    places = map(place, elements)
    changed = 0
    if data[_ENCODING_AT] == SPARSE:
        changed = _add_sparse(data, places, sparse_max_bytes)
    for index, number in places:
        changed += _set_dense(data, index, number)
    return changed


def _add_sparse(data: bytearray, places: Iterator[tuple[int, int]], max_bytes: int) -> int:
    """Take from `places` until the end, or until it has become dense."""
    runs = Runs(data, max_bytes)
    changed = 0
    try:
        for index, number in places:
            is_changed = runs.set(index, number)
            if is_changed is None:
                runs.write(data)
                make_dense(data)
                return changed + _set_dense(data, index, number)
            changed += is_changed
    finally:
        if changed and data[_ENCODING_AT] == SPARSE:
            runs.write(data)
    return changed


def _set_dense(data: bytearray, index: int, number: int) -> bool:
    at = HEADER_BYTES + index * 6 // 8
    shift = index * 6 & 7
    pair = data[at] | (data[at + 1] << 8 if shift > 2 else 0)
    if pair >> shift & 63 >= number:
        return False
    pair = pair & ~(63 << shift) | number << shift
    data[at] = pair & 255
    if shift > 2:
        data[at + 1] = pair >> 8
    return True


class Runs:
    """The runs of a sparse HyperLogLog, side by side with the registers they end at.

    A run is its byte; an XZERO, which has two, is both as one number from 0x4000 on.
    """

    __slots__ = ("ends", "max_bytes", "ops", "size")

    def __init__(self, data: bytes | bytearray, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.ops: list[int] = []
        spans: list[int] = []
        at = HEADER_BYTES
        for match in _XZERO.finditer(data, HEADER_BYTES):
            self._take(data[at : match.start()], spans)
            op = int.from_bytes(match[0].ljust(2, b"\0"), "big")
            self.ops.append(op)
            spans.append(op - _XZERO_BASE + 1)
            at = match.end()
        self._take(data[at:], spans)
        self.ends = list(accumulate(spans))  # of each run: the first register behind it
        self.size = len(data)  # bytes, with the header

    def _take(self, plain: bytes | bytearray, spans: list[int]) -> None:
        """Runs of one byte each."""
        self.ops += plain
        spans += plain.translate(_SPANS)

    def write(self, data: bytearray) -> None:
        """Bring the runs back; the cardinality is out of date from now on."""
        data[HEADER_BYTES:] = b"".join([_op_bytes(op) if op >= _XZERO_BASE else _BYTES[op] for op in self.ops])
        mark_stale(data)

    def set(self, index: int, number: int) -> bool | None:
        """Raise a register to a number; False where it is not smaller, None where only a dense one can hold it."""
        if number > _VALUE_MOST:
            return None
        ops, ends = self.ops, self.ends
        at = bisect_right(ends, index)
        if at == len(ends):
            raise Corrupted
        op = ops[at]
        first = ends[at - 1] if at else 0
        span = ends[at] - first
        old = 0 if op & 0x80 == 0 or op >= _XZERO_BASE else (op >> 2 & 31) + 1
        if old >= number:
            return False
        if span == 1 and op < _XZERO_BASE:
            ops[at] = _run(number, 1)
        else:
            left, right = index - first, first + span - 1 - index
            new = [_run(old, left)] if left else []
            new.append(_run(number, 1))
            if right:
                new.append(_run(old, right))
            grown = sum(map(_op_size, new)) - _op_size(op)
            if grown > 0 and self.size + grown > self.max_bytes:
                return None
            self.size += grown
            ops[at : at + 1] = new
            ends[at:at] = [index, index + 1] if left and right else [index] if left else [index + 1] if right else []
        self._merge(max(0, at - 1))
        return True

    def _merge(self, at: int) -> None:
        """Join equal neighbours, looking at five runs from here on."""
        ops = self.ops
        for _ in range(5):
            if at + 1 >= len(ops):
                return
            op, other = ops[at], ops[at + 1]
            if (
                op & 0xFFFC == other & 0xFFFC
                and op & 0x80
                and op < _XZERO_BASE
                and (op & 3) + (other & 3) + 2 <= _VAL_MOST
            ):
                ops[at] = op + (other & 3) + 1
                del ops[at + 1], self.ends[at]
                self.size -= 1
            else:
                at += 1


def _op_size(op: int) -> int:
    return 2 if op >= _XZERO_BASE else 1


def _op_bytes(op: int) -> bytes:
    return op.to_bytes(_op_size(op), "big")


def _op_registers(op: int) -> bytes:
    if op >= _XZERO_BASE:
        return bytes(op - _XZERO_BASE + 1)
    return _BYTES[(op >> 2 & 31) + 1] * ((op & 3) + 1) if op & 0x80 else bytes(op + 1)


def _run(number: int, count: int) -> int:
    """So many registers of a number, at most as many as one run holds."""
    if number:
        return (number - 1) << 2 | count - 1 | 0x80
    return count - 1 if count <= _ZERO_MOST else _XZERO_BASE + count - 1


# All registers at once.


def registers(data: bytes | bytearray) -> bytes:
    """Every register as a byte. Corrupted: there are not as many as there should be."""
    if data[_ENCODING_AT] == DENSE:
        return b2a_base64(data[HEADER_BYTES:][::-1], newline=False).translate(_TO_NUMBERS)[::-1]
    runs = Runs(data, 0)
    if runs.ends and runs.ends[-1] > REGISTERS:
        # A run of values that goes beyond the end is overlooked, with all that follow.
        keep = bisect_right(runs.ends, REGISTERS)
        if runs.ops[keep] & 0x80 == 0 or runs.ops[keep] >= _XZERO_BASE:
            raise Corrupted
        del runs.ops[keep:], runs.ends[keep:]
    if not runs.ends or runs.ends[-1] != REGISTERS:
        raise Corrupted
    return b"".join(map(_op_registers, runs.ops))


def fill_dense(data: bytearray, values: bytes) -> None:
    """Make it dense, with these registers; cardinality and its mark stay."""
    data[_ENCODING_AT] = DENSE
    data[HEADER_BYTES:] = a2b_base64(values[::-1].translate(_TO_LETTERS))[::-1]


def make_dense(data: bytearray) -> None:
    """Corrupted: it stays as it is."""
    if data[_ENCODING_AT] == SPARSE:
        fill_dense(data, registers(data))


def largest(one: bytes, other: bytes) -> bytes:
    """Register by register, the larger one."""
    a, b = int.from_bytes(one, "little"), int.from_bytes(other, "little")
    # The high bit of each byte is left over where a's number is at least b's; from it, a mask of the byte's lower bits.
    kept = ((a | _HIGH_BITS) - b) & _HIGH_BITS
    mask = kept - (kept >> 7)
    return (b ^ ((a ^ b) & mask)).to_bytes(REGISTERS, "little")


def merge_into(data: bytearray, values: bytes, sparse_max_bytes: int) -> None:
    """Raise the registers to these numbers, which are at least its own."""
    if data[_ENCODING_AT] == SPARSE:
        runs = Runs(data, sparse_max_bytes)
        for index in [index for index, number in enumerate(values) if number]:
            if runs.set(index, values[index]) is None:
                data[_ENCODING_AT] = DENSE
                break
        else:
            runs.write(data)
    if data[_ENCODING_AT] == DENSE:
        fill_dense(data, values)
    mark_stale(data)


def runs_shown(data: bytes | bytearray) -> bytes:
    """The runs of a sparse one as PFDEBUG DECODE writes them."""
    words: list[bytes] = []
    for op in Runs(data, 0).ops:
        if op >= _XZERO_BASE:
            words.append(b"Z:%d" % (op - _XZERO_BASE + 1))
        elif op & 0x80:
            words.append(b"v:%d,%d" % ((op >> 2 & 31) + 1, (op & 3) + 1))
        else:
            words.append(b"z:%d" % (op + 1))
    return b" ".join(words)


# Counting.


def cardinality(data: bytes | bytearray) -> int:
    """About how many different elements were added. Corrupted: the registers do not add up."""
    return estimate(_histogram(data) if data[_ENCODING_AT] == SPARSE else histogram(registers(data)))


def histogram(values: bytes) -> list[int]:
    """How many registers have each number."""
    counts = [0] * 64
    left = REGISTERS
    for number in range(64):
        counts[number] = values.count(number)
        left -= counts[number]
        if not left:
            break
    return counts


def _histogram(data: bytes | bytearray) -> list[int]:
    """Of a sparse one, all of whose runs are counted: one register too many is not overlooked."""
    runs = Runs(data, 0)
    if not runs.ends or runs.ends[-1] != REGISTERS:
        raise Corrupted
    counts = [0] * 64
    for op, times in Counter(runs.ops).items():
        values = _op_registers(op)
        counts[values[0]] += len(values) * times
    return counts


def estimate(counts: list[int]) -> int:
    """The cardinality of a histogram: an unsigned 64-bit number. Registers no hash can give make it 2^63, as there."""
    size = float(REGISTERS)
    z = size * _tau((size - counts[_ZEROS_MEANT + 1]) / size)
    for number in range(_ZEROS_MEANT, 0, -1):
        z += counts[number]
        z *= 0.5
    z += size * _sigma(counts[0] / size)
    if not z:
        return 1 << 63
    found = _ALPHA * size * size / z
    if found >= 1 << 63:
        return 1 << 63
    whole = int(found)
    return whole + (found - whole >= 0.5)


def _sigma(x: float) -> float:
    if x == 1.0:
        return inf
    y = 1.0
    z, before = x, -1.0
    while before != z:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y = 1.0
    z, before = 1 - x, -1.0
    while before != z:
        x = sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) * (1 - x) * y
    return z / 3
