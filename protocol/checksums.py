"""Checksums, and which format demands which.

    crc32c     Kafka's record batches and producer snapshots (Castagnoli polynomial, RFC 3720)
    xxh3_64    our own frames (`disk.frames`)

Both take any contiguous buffer and return an unsigned integer; neither copies its argument.
"""

from crc32c import crc32c
from xxhash import xxh3_64_intdigest as xxh3_64

__all__ = ["crc32c", "xxh3_64"]
