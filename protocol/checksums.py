"""Checksums, and which format demands which.

    crc32c     Kafka's record batches and producer snapshots (Castagnoli polynomial, RFC 3720)
    crc64      Redis's RDB files and DUMP payloads (Jones polynomial, reflected, from 0 and without a final xor)
    xxh3_64    our own frames (`disk.frames`)

All take a buffer and return an unsigned integer; the first and the last do not copy it.

crc64 is the one that no well-kept library of compiled code offers. A byte at a time Python reaches 10 MB/s; so a long
buffer is cut into lanes of equal length that advance together, one byte of each lane per step: the state of all lanes
lies in eight planes (plane k: byte k of every lane's sum), a table lookup for all lanes is one `bytes.translate`, and
their xor is one of two big integers. At the end the lanes are joined, as a sum over `a + b` is the sum over `a` pushed
through as many zero bytes as `b` has, xor the sum over `b`. That reaches 75 MB/s.
"""

from itertools import product
from typing import Final

from crc32c import crc32c
from xxhash import xxh3_64_intdigest as xxh3_64

__all__ = ["crc32c", "crc64", "xxh3_64"]

_POLYNOMIAL: Final = 0x95AC9329AC4BC9B5  # 0xad93d23594c935a9, reflected
# Bytes of a lane; a buffer of this many lanes at least is worth cutting (measured).
_LANE_BYTES: Final = 256
_LEAST_LANES: Final = 12
# Bytes taken at once, so that the planes stay in the processor's cache.
_STRIDE_BYTES: Final = 1 << 20


def _byte_sums() -> list[int]:
    sums = list(range(256))
    for _ in range(8):
        sums = [(total >> 1) ^ (_POLYNOMIAL if total & 1 else 0) for total in sums]
    return sums


_SUMS: Final = _byte_sums()
# Byte k of each of those sums, for `translate`.
_PLANES: Final = tuple(bytes([total >> shift & 0xFF for total in _SUMS]) for shift in range(0, 64, 8))


def _bytewise(data: bytes, total: int) -> int:
    sums = _SUMS
    for byte in data:
        total = sums[(total ^ byte) & 0xFF] ^ (total >> 8)
    return total


def _pushed() -> list[list[int]]:
    """What a sum becomes by the zero bytes of one lane, as eight tables: one for each byte of the sum."""
    basis = [_bytewise(bytes(_LANE_BYTES), 1 << bit) for bit in range(64)]
    tables = [[0] * 256 for _ in range(8)]
    for table, bit in product(range(8), range(8)):
        for low in range(1 << bit):
            tables[table][1 << bit | low] = tables[table][low] ^ basis[8 * table + bit]
    return tables


_PUSHED: Final = _pushed()


def crc64(data: bytes, total: int = 0) -> int:
    """The sum over `data`, going on from the sum `total` over what came before it."""
    if len(data) < _LEAST_LANES * _LANE_BYTES:
        return _bytewise(data, total)
    for start in range(0, len(data), _STRIDE_BYTES):
        total = _stride(data[start : start + _STRIDE_BYTES], total)
    return total


def _stride(data: bytes, total: int) -> int:
    lanes = len(data) // _LANE_BYTES
    if lanes < _LEAST_LANES:
        return _bytewise(data, total)
    end = lanes * _LANE_BYTES
    number = int.from_bytes
    t0, t1, t2, t3, t4, t5, t6, t7 = _PLANES
    p0 = p1 = p2 = p3 = p4 = p5 = p6 = p7 = 0
    for step in range(_LANE_BYTES):
        look = (number(data[step:end:_LANE_BYTES], "little") ^ p0).to_bytes(lanes, "little").translate
        p0 = p1 ^ number(look(t0), "little")
        p1 = p2 ^ number(look(t1), "little")
        p2 = p3 ^ number(look(t2), "little")
        p3 = p4 ^ number(look(t3), "little")
        p4 = p5 ^ number(look(t4), "little")
        p5 = p6 ^ number(look(t5), "little")
        p6 = p7 ^ number(look(t6), "little")
        p7 = number(look(t7), "little")
    u0, u1, u2, u3, u4, u5, u6, u7 = _PUSHED
    for row in zip(*[plane.to_bytes(lanes, "little") for plane in (p0, p1, p2, p3, p4, p5, p6, p7)], strict=True):
        total = (
            u0[total & 0xFF] ^ u1[total >> 8 & 0xFF] ^ u2[total >> 16 & 0xFF] ^ u3[total >> 24 & 0xFF]
            ^ u4[total >> 32 & 0xFF] ^ u5[total >> 40 & 0xFF] ^ u6[total >> 48 & 0xFF] ^ u7[total >> 56]
            ^ number(bytes(row), "little")
        )  # fmt: skip
    return _bytewise(data[end:], total)
