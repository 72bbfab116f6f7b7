"""Checksums, and which format demands which.

    crc32c     Kafka's record batches and producer snapshots (Castagnoli polynomial, RFC 3720)
    crc64      Redis's RDB files and DUMP payloads (Jones polynomial, reflected, from 0 and without a final xor)
    xxh3_64    our own frames (`disk.frames`)

All take a buffer and return an unsigned integer, and none copies it. What crc64 needs is imported with the first sum:
no start has to wait for it.
"""

from crc32c import crc32c
from xxhash import xxh3_64_intdigest as xxh3_64

__all__ = ["crc32c", "crc64", "xxh3_64"]


def crc64(data: bytes, total: int = 0) -> int:
    """The sum over `data`, going on from the sum `total` over what came before it."""
    from anycrc import Model

    found: int = Model("CRC64-REDIS").calc(data, total)
    return found
