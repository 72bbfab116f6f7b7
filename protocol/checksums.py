"""Checksums, and which format demands which.

    crc32c     Kafka's record batches and producer snapshots (Castagnoli polynomial, RFC 3720)
    crc64      Redis's RDB files and DUMP payloads (Jones polynomial, reflected, from 0 and without a final xor)
    xxh3_64    our own frames (`disk.frames`)

All take a buffer and return an unsigned integer, and none copies it. What crc64 needs is imported with the first sum:
most servers start without one.
"""

from functools import cache
from typing import Protocol

from crc32c import crc32c
from xxhash import xxh3_64_intdigest as xxh3_64

__all__ = ["crc32c", "crc64", "xxh3_64"]


class _Sum(Protocol):
    def __call__(self, data: bytes, total: int, /) -> int: ...


@cache
def _jones() -> _Sum:
    from anycrc import Model

    calculate: _Sum = Model("CRC64-REDIS").calc
    return calculate


def crc64(data: bytes, total: int = 0) -> int:
    """The sum over `data`, going on from the sum `total` over what came before it."""
    return _jones()(data, total)
