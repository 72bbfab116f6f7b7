"""Vectors as a vector set keeps them: of length one, in floats, in bytes or in bits, and how far apart two of them are.

    f32    the components as floats of 32 bits               bytes: 4 * dimension, little-endian
    int8   round(component * 127 / range), range = the       bytes: dimension
           largest of the components without their signs
    bin    a bit a component, set where it is above zero     bytes: 8 * words of 64 bits, lowest bit first

A distance is 1 - cosine: 0 the same direction, 1 at right angles, 2 opposite. Of bits it is 2 * (how many differ) /
dimension. `math.dist` is the one loop over two vectors that runs in C, so the product of two vectors is had from how
far apart their ends are:  a·b = (|a|² + |b|² - |a - b|²) / 2.  The bytes of an int8 vector are kept with 128 added
(so that they are never negative, and small integers exist already); what is added falls out of a difference.

Law: a `Vector` never changes; copies of a set share them.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Sequence
from math import dist, isfinite
from operator import add, sub
from typing import Final

# As much as a client may send of one vector: 1 << 16 components.
MAX_DIMENSION: Final = 1 << 16

# The numbers that RDB files know the formats by.
F32: Final = 0
INT8: Final = 1
BIN: Final = 2
NAMES: Final = {F32: "f32", INT8: "int8", BIN: "bin"}

_LEVELS: Final = 127  # of an int8 component, on either side of zero
_MIDDLE: Final = 128  # what stands for zero
_WORD_BITS: Final = 64
_SIGNED: Final = bytes([value ^ 0x80 for value in range(256)])  # between a byte with 128 added and a signed one


def single(number: float) -> float:
    """The nearest float of 32 bits; infinite where there is none."""
    return array("f", [number])[0]


class Vector:
    """One stored vector: `coded` its components, or `bits`; `norm` is how long it was."""

    __slots__ = ("bits", "coded", "half", "norm", "range", "scale")

    def __init__(self, coded: bytes | array[float], bits: int, norm: float, range: float, half: float) -> None:
        self.coded = coded
        self.bits = bits
        self.norm = norm
        self.range = range  # of an int8 vector: its largest component
        self.half = half  # of the square of its length, in units of what is coded
        self.scale = range / _LEVELS if isinstance(coded, bytes) else 1.0


Measure = Callable[[Sequence[Vector]], list[float]]


class Space:
    """All that vectors of one dimension and format have in common."""

    __slots__ = ("_origin", "dimension", "format")

    def __init__(self, dimension: int, format: int) -> None:
        self.dimension = dimension
        self.format = format
        self._origin = bytes([_MIDDLE]) * dimension if format == INT8 else (0.0,) * dimension

    @property
    def vector_bytes(self) -> int:
        """The length of `raw`."""
        if self.format == BIN:
            return (self.dimension + _WORD_BITS - 1) // _WORD_BITS * (_WORD_BITS // 8)
        return self.dimension * (4 if self.format == F32 else 1)

    def encode(self, components: array[float]) -> Vector:
        """A client's vector (floats of 32 bits) as it is stored. Nothing but zeros stays that, with a norm of 1."""
        norm = dist(components, (0.0,) * len(components))
        norm = single(norm) if isfinite(single(norm)) else norm
        if norm == 0:
            norm = 1.0
        unit = array("f", [component / norm for component in components])
        if self.format == BIN:
            bits = "".join(["1" if component > 0 else "0" for component in reversed(unit)])
            return Vector(b"", int(bits, 2), norm, 0.0, 0.0)
        if self.format == F32:
            return self._vector(unit, norm, 0.0)
        range = max(max(unit), -min(unit))
        return self._vector(_quantized(unit, range), norm, range)

    def _vector(self, coded: bytes | array[float], norm: float, range: float) -> Vector:
        half = dist(coded, self._origin) ** 2 / 2
        return Vector(coded, 0, norm, range, round(half * 2) / 2 if self.format == INT8 else half)

    def decode(self, vector: Vector) -> list[float]:
        """About what the client sent: the floats of 32 bits that are left of it."""
        if self.format == BIN:
            return [1.0 if vector.bits >> place & 1 else -1.0 for place in range(self.dimension)]
        coded = vector.coded
        if isinstance(coded, bytes):
            scaled = array("f", [(value - _MIDDLE) * vector.range for value in coded])
            coded = array("f", [value / _LEVELS for value in scaled])
        return array("f", [value * vector.norm for value in coded]).tolist()

    def raw(self, vector: Vector) -> bytes:
        """The bytes that lie in memory for a vector, as VEMB RAW and RDB files show them."""
        if self.format == BIN:
            return vector.bits.to_bytes(self.vector_bytes, "little")
        coded = vector.coded
        if isinstance(coded, bytes):
            return coded.translate(_SIGNED)
        return struct.pack(f"<{self.dimension}f", *coded)

    def from_raw(self, data: bytes, norm: float, range: float) -> Vector:
        """The vector of which `raw` wrote this. ValueError: it cannot have."""
        if self.format != INT8:
            range = 0.0
        if len(data) != self.vector_bytes or not isfinite(norm) or not isfinite(range) or range < 0:
            raise ValueError("vector")
        if self.format == BIN:
            bits = int.from_bytes(data, "little")
            if bits >> self.dimension:
                raise ValueError("vector")
            return Vector(b"", bits, norm, 0.0, 0.0)
        if self.format == INT8:
            return self._vector(data.translate(_SIGNED), norm, range)
        components = array("f", struct.unpack(f"<{self.dimension}f", data))
        if not all(map(isfinite, components)):
            raise ValueError("vector")
        return self._vector(components, norm, 0.0)

    def distance(self, one: Vector, other: Vector) -> float:
        """What is shown of how far apart two are: rounded where a server that computes in floats of 32 bits does."""
        if self.format == BIN:
            return single((one.bits ^ other.bits).bit_count() * 2 / self.dimension)
        product = one.half + other.half - dist(one.coded, other.coded) ** 2 / 2
        if self.format == F32:
            return single(1.0 - single(product))
        scale = single(single(one.range / _LEVELS) * single(other.range / _LEVELS))
        return min(max(single(1.0 - single(single(round(product)) * scale)), 0.0), 2.0)

    def measure(self, query: Vector) -> Measure:
        """What tells the distances from this vector to others, many at a time."""
        if self.format == BIN:
            return _bits_measure(query.bits, 2.0 / self.dimension)
        return _product_measure(tuple(map(float, query.coded)), query.half, query.scale)


def _product_measure(components: tuple[float, ...], half: float, scale: float) -> Measure:
    def distances(vectors: Sequence[Vector]) -> list[float]:
        return [
            1.0 - (half + vector.half - (apart := dist(components, vector.coded)) * apart * 0.5)
            * scale * vector.scale
            for vector in vectors
        ]  # fmt: skip

    return distances


def _bits_measure(bits: int, factor: float) -> Measure:
    def distances(vectors: Sequence[Vector]) -> list[float]:
        return [(bits ^ vector.bits).bit_count() * factor for vector in vectors]

    return distances


def _quantized(unit: array[float], range: float) -> bytes:
    """Components as bytes with 128 added, halves rounded away from zero."""
    if range == 0:
        return bytes([_MIDDLE]) * len(unit)
    factor = single(_LEVELS / range)
    scaled = array("f", [component * factor for component in unit])
    return bytes([int(value + _MIDDLE + 0.5) if value >= 0 else _MIDDLE - int(0.5 - value) for value in scaled])


# ── projection ─────────────────────────────────────────────────────────────────────────────────────────


def projected(components: array[float], dimension: int) -> array[float]:
    """The vector in fewer dimensions: component i is  Σ_j ±components[j] / √n,  minus where i & j has odd many bits.

    These are the first rows of a Hadamard matrix, so they are had by the fast Walsh transform: each round adds and
    subtracts neighbours, and the sums come before the differences.
    """
    count = len(components)
    size = 1 << (count - 1).bit_length()
    values = [*components, *[0.0] * (size - count)]
    for _ in range(size.bit_length() - 1):
        even, odd = values[::2], values[1::2]
        values = [*map(add, even, odd), *map(sub, even, odd)]
    scale = single(1 / count**0.5)
    return array("f", [value * scale for value in values[:dimension]])


def projection_matrix(count: int, dimension: int) -> bytes:
    """The matrix of `projected`, a row an output component, as floats of 32 bits: what RDB files carry along."""
    rows = []
    for row in range(dimension):
        plus, minus = struct.pack("<f", 1 / count**0.5), struct.pack("<f", -(1 / count**0.5))
        for bit in range((count - 1).bit_length()):
            if row >> bit & 1:
                plus, minus = plus + minus, minus + plus
            else:
                plus, minus = plus + plus, minus + minus
        rows.append(plus[: 4 * count])
    return b"".join(rows)
