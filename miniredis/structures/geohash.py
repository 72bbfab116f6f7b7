"""Places on the globe as 52-bit numbers, in which what is near is mostly near.

Longitude and latitude are each cut in half 26 times; the halves taken, a bit each, lie interleaved, longitude first:

    bit   51 50 49 48 …  1  0        so the first 2 × step bits name a box of the globe, and all places in it are
          lo la lo la … lo la        the numbers from those bits with zeros behind them to those with ones

Law: distances and boxes are computed as Redis computes them, operation by operation: replies show four digits of one
and a place at the rim of a search is in or out by the last bit of it.
"""

from __future__ import annotations

from math import asin, cos, fabs, inf, isinf, isnan, nan, pi, sin, sqrt
from typing import Final, NamedTuple

LONGITUDE_MAX: Final = 180.0
LATITUDE_MAX: Final = 85.05112878  # where the Mercator projection ends
STEPS: Final = 26
EARTH_RADIUS_METERS: Final = 6372797.560856
_MERCATOR_MAX_METERS: Final = 20037726.37
_RADIANS: Final = pi / 180.0

_SPREAD: Final = (
    (16, 0x0000FFFF0000FFFF), (8, 0x00FF00FF00FF00FF), (4, 0x0F0F0F0F0F0F0F0F), (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)  # fmt: skip
_GATHER: Final = (
    (1, 0x3333333333333333), (2, 0x0F0F0F0F0F0F0F0F), (4, 0x00FF00FF00FF00FF), (8, 0x0000FFFF0000FFFF),
    (16, 0x00000000FFFFFFFF),
)  # fmt: skip
_LATITUDES: Final = 0x5555555555555555
_LONGITUDES: Final = 0xAAAAAAAAAAAAAAAA
_ALPHABET: Final = b"0123456789bcdefghjkmnpqrstuvwxyz"


class Box(NamedTuple):
    """A box of the globe: its first 2 × step bits."""

    bits: int
    step: int


class Area(NamedTuple):
    """Degrees."""

    west: float
    south: float
    east: float
    north: float


class Shape(NamedTuple):
    """What is searched: a circle around a place, or with a width and a height a box. Meters and degrees."""

    longitude: float
    latitude: float
    radius: float
    width: float = -1.0
    height: float = -1.0

    @property
    def is_box(self) -> bool:
        return self.width >= 0


def _spread(number: int) -> int:
    for shift, mask in _SPREAD:
        number = (number | number << shift) & mask
    return number


def _gathered(bits: int) -> int:
    bits &= _LATITUDES
    for shift, mask in _GATHER:
        bits = (bits | bits >> shift) & mask
    return bits


def encode(longitude: float, latitude: float, step: int = STEPS, latitude_max: float = LATITUDE_MAX) -> int:
    """The box of this many steps that a place is in."""
    south = -latitude_max
    down = (latitude - south) / (latitude_max - south) * (1 << step)
    across = (longitude + LONGITUDE_MAX) / (LONGITUDE_MAX + LONGITUDE_MAX) * (1 << step)
    return _spread(int(down)) | _spread(int(across)) << 1


def area(box: Box) -> Area:
    """What a box covers."""
    down, across = _gathered(box.bits), _gathered(box.bits >> 1)
    count = 1 << box.step
    high, wide = LATITUDE_MAX + LATITUDE_MAX, LONGITUDE_MAX + LONGITUDE_MAX
    return Area(
        -LONGITUDE_MAX + across / count * wide,
        -LATITUDE_MAX + down / count * high,
        -LONGITUDE_MAX + (across + 1 & 0xFFFFFFFF) / count * wide,
        -LATITUDE_MAX + (down + 1 & 0xFFFFFFFF) / count * high,
    )


def decode(score: float) -> tuple[float, float]:
    """Longitude and latitude of a score: the middle of its box, whatever number it is."""
    west, south, east, north = area(Box(_bits(score), STEPS))
    longitude, latitude = (west + east) / 2, (south + north) / 2
    return (
        min(max(longitude, -LONGITUDE_MAX), LONGITUDE_MAX),
        min(max(latitude, -LATITUDE_MAX), LATITUDE_MAX),
    )


def _bits(score: float) -> int:
    """A score as an unsigned 64-bit number, as the processor makes it of scores that are none."""
    if -9.3e18 < score < 1.85e19:
        number = int(score)
        if -(1 << 63) <= number < 1 << 64:
            return number & 0xFFFFFFFFFFFFFFFF
    return 0 if score > 0 else 1 << 63


def text(longitude: float, latitude: float) -> bytes:
    """The eleven letters others write for a place; the last one is always 0, for which the bits do not suffice."""
    bits = encode(longitude, latitude, STEPS, 90.0)
    return bytes([_ALPHABET[bits >> (47 - 5 * at) & 31] for at in range(10)]) + b"0"


# Distances.


def _distance_of_latitudes(one: float, other: float) -> float:
    return EARTH_RADIUS_METERS * fabs(other * _RADIANS - one * _RADIANS)


def distance(longitude: float, latitude: float, other_longitude: float, other_latitude: float) -> float:
    """Meters between two places on a globe (haversine)."""
    v = sin((other_longitude * _RADIANS - longitude * _RADIANS) / 2)
    if v == 0.0:
        return _distance_of_latitudes(latitude, other_latitude)
    one, other = latitude * _RADIANS, other_latitude * _RADIANS
    u = sin((other - one) / 2)
    root = sqrt(u * u + cos(one) * cos(other) * v * v)
    return 2.0 * EARTH_RADIUS_METERS * asin(root) if root <= 1.0 else nan


def within(shape: Shape, longitude: float, latitude: float) -> float | None:
    """Meters from the middle of what is searched; None outside of it."""
    if not shape.is_box:
        found = distance(shape.longitude, shape.latitude, longitude, latitude)
        return None if found > shape.radius else found
    if _distance_of_latitudes(latitude, shape.latitude) > shape.height / 2:
        return None
    if distance(longitude, latitude, shape.longitude, latitude) > shape.width / 2:
        return None
    return distance(shape.longitude, shape.latitude, longitude, latitude)


# Boxes to look into.


def boxes(shape: Shape) -> list[Box]:
    """The boxes that cover a shape, nine at most, in the order in which they are searched."""
    bounds = _bounds(shape)
    # Multiplied, not raised: a product too large is infinite, a power an OverflowError.
    width, height = shape.width / 2, shape.height / 2
    reach = sqrt(width * width + height * height) if shape.is_box else shape.radius
    step = _steps(reach, shape.latitude)
    found = _around(shape, step)
    if step > 1 and _is_too_narrow(found, bounds):
        step -= 1
        found = _around(shape, step)
    middle = area(found[0])
    omitted = ""
    if step >= 2:
        omitted += "s" if middle.south < bounds.south else ""
        omitted += "n" if middle.north > bounds.north else ""
        omitted += "w" if middle.west < bounds.west else ""
        omitted += "e" if middle.east > bounds.east else ""
    return [box for name, box in zip(_NAMES, found, strict=True) if not set(name) & set(omitted)]


_NAMES: Final = ("", "n", "s", "e", "w", "ne", "nw", "se", "sw")


def _around(shape: Shape, step: int) -> list[Box]:
    """The box of the shape's middle, and its neighbours in the order of `_NAMES`."""
    bits = encode(shape.longitude, shape.latitude, step)
    return [
        Box(_moved(bits, step, ("e" in name) - ("w" in name), ("n" in name) - ("s" in name)), step) for name in _NAMES
    ]


def _moved(bits: int, step: int, east: int, north: int) -> int:
    """A neighbour; beyond the end of the globe it begins again."""
    across, down = bits & _LONGITUDES, bits & _LATITUDES
    across_all, down_all = _LONGITUDES >> (64 - step * 2), _LATITUDES >> (64 - step * 2)
    if east:
        across = across + down_all + 1 if east > 0 else (across | down_all) - (down_all + 1)
        across &= across_all
    if north:
        down = down + across_all + 1 if north > 0 else (down | across_all) - (across_all + 1)
        down &= down_all
    return across | down


def _steps(meters: float, latitude: float) -> int:
    """How small boxes may be, for nine of them to cover so much."""
    if meters == 0:
        return STEPS
    step = 1
    while meters < _MERCATOR_MAX_METERS:
        meters *= 2
        step += 1
    step -= 2
    if abs(latitude) > 66:
        step -= 2 if abs(latitude) > 80 else 1
    return min(max(step, 1), STEPS)


def _bounds(shape: Shape) -> Area:
    height = shape.height / 2 if shape.is_box else shape.radius
    width = shape.width / 2 if shape.is_box else shape.radius
    longitude, latitude = shape.longitude, shape.latitude
    up = height / EARTH_RADIUS_METERS / _RADIANS
    edge = latitude - up if latitude < 0 else latitude + up
    aside = _divided(width / EARTH_RADIUS_METERS, edge) / _RADIANS
    return Area(longitude - aside, latitude - up, longitude + aside, latitude + up)


def _divided(number: float, latitude: float) -> float:
    """By the cosine of a latitude, which for an endless search is none."""
    if isinf(latitude) or isnan(latitude):
        return nan
    share = cos(latitude * _RADIANS)
    return number / share if share else inf


def _is_too_narrow(found: list[Box], bounds: Area) -> bool:
    _, north, south, east, west, *_ = map(area, found)
    return (
        north.north < bounds.north or south.south > bounds.south or east.east < bounds.east or west.west > bounds.west
    )
