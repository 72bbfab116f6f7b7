"""An RDB file as it comes, a piece at a time: whether what came can be one, without reading what is in it.

    52 45 44 49 53 "0011"  …  FF crc64         a sum behind what it is over makes the sum over all of it zero

Law: this only ever refuses what the reader would refuse too; what passes here may still be damaged.
"""

from __future__ import annotations

from typing import Final

from miniredis.persist import rdb_format as rdb
from miniredis.persist.rdb_read import MAGIC_BYTES, SUM_BYTES, SUMMED_VERSION
from protocol.checksums import crc64

_REDIS: Final = b"REDIS"
_UNSUMMED: Final = bytes(SUM_BYTES)


class Sum:
    """`feed` all of it, then ask for the `fault`."""

    def __init__(self) -> None:
        self._head = self._tail = b""
        self._total = self._size_bytes = 0

    def feed(self, data: bytes) -> None:
        if len(self._head) < MAGIC_BYTES:
            self._head += data[: MAGIC_BYTES - len(self._head)]
        self._tail = (self._tail + data[-SUM_BYTES:])[-SUM_BYTES:]
        self._total = crc64(data, self._total)
        self._size_bytes += len(data)

    def fault(self, *, checks_sum: bool) -> str:
        """Why it is no RDB file, and where; empty: it may be one."""
        head = self._head
        if len(head) < MAGIC_BYTES or not head.startswith(_REDIS) or not head[len(_REDIS) :].isdigit():
            return "offset 0 -> wrong signature"
        version = int(head[len(_REDIS) :])
        if not 1 <= version <= rdb.NEWEST_VERSION:
            return f"offset {len(_REDIS)} -> can't handle RDB format version {version}"
        if checks_sum and version >= SUMMED_VERSION and self._tail != _UNSUMMED and self._total:
            return f"offset {self._size_bytes - SUM_BYTES} -> RDB CRC error"
        return ""
