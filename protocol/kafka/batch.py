"""Record batches (format 2, KIP-98) by their header: looked at, walked, stamped and verified without touching a record.

    byte  0  base_offset i64 ─────────────┐            27  base_timestamp i64
          8  length i32: of what follows  │ not under  35  max_timestamp i64
         12  leader_epoch i32 ────────────┘ the CRC    43  producer_id i64
         16  magic i8 = 2                              51  producer_epoch i16
         17  crc u32: CRC-32C of 21..end               53  base_sequence i32
         21  attributes i16                            57  count i32
         23  last_offset_delta i32                     61  records, compressed as one block

    attributes   bits 0-2 codec · 3 timestamps are of the append · 4 transactional · 5 control · 6 base_timestamp is the
                 instant from which the batch may be deleted

Law: what the broker decides about a batch – its offsets and its leader epoch – lies before the CRC. Stamping therefore
     replaces 16 bytes and never reads the rest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from protocol.checksums import crc32c
from protocol.kafka.primitives import Buffer, ProtocolError

__all__ = [
    "CODEC_MASK",
    "CONTROL",
    "CRC_FROM",
    "DELETE_HORIZON",
    "FRONT",
    "HEADER",
    "HEADER_SIZE",
    "LENGTH_FROM",
    "LOG_APPEND_TIME",
    "MAGIC",
    "TRANSACTIONAL",
    "BatchHeader",
    "iterate",
    "stamped_front",
    "verify_crc",
]

HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE = HEADER.size
MAGIC = 2
LENGTH_FROM = 12  # the length field counts what lies behind it
CRC_FROM = 21  # the checksum covers everything from the attributes on

CODEC_MASK = 0x07
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20
DELETE_HORIZON = 0x40

FRONT = struct.Struct(">qii")
_CRC = struct.Struct(">I")
_read_header = HEADER.unpack_from


class BatchHeader(NamedTuple):
    """The 61 bytes before the records. Nothing is checked: what came from a client may say anything."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    count: int  # type: ignore[assignment]  # shadows tuple.count, which nobody asks of a header

    @classmethod
    def peek(cls, data: Buffer, at: int = 0) -> BatchHeader:
        """The header that begins at `at`. Raises ProtocolError when there are not enough bytes."""
        try:
            return cls._make(_read_header(data, at))
        except struct.error:
            raise ProtocolError("a record batch shorter than its header") from None

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return self.length + LENGTH_FROM

    @property
    def last_offset(self) -> int:
        """Offset of the last record, or of the last there was before compaction."""
        return self.base_offset + self.last_offset_delta

    @property
    def codec(self) -> int:
        """Compression of the records, by its id."""
        return self.attributes & CODEC_MASK


def iterate(data: Buffer) -> Iterator[tuple[BatchHeader, memoryview]]:
    """Each whole batch with its header. One cut short at the end is left out: a fetch may end within a batch.

    Raises ProtocolError at what cannot be a batch of format 2.
    """
    view = memoryview(data)
    at, end = 0, len(view)
    while end - at >= HEADER_SIZE:
        header = BatchHeader.peek(view, at)
        size = header.length + LENGTH_FROM
        if size < HEADER_SIZE or header.magic != MAGIC:
            raise ProtocolError(f"no record batch of format 2: length {header.length}, magic {header.magic}")
        if size > end - at:
            return
        yield header, view[at : at + size]
        at += size


def stamped_front(header: BatchHeader, base_offset: int, leader_epoch: int) -> bytes:
    """The 16 bytes that replace a batch's first 16 when it takes its place in the log, for memory that is not ours."""
    return FRONT.pack(base_offset, header.length, leader_epoch)


def verify_crc(batch: Buffer) -> bool:
    """Whether the batch, whole and alone in `batch`, is what its maker checksummed."""
    view = memoryview(batch)
    return len(view) >= HEADER_SIZE and crc32c(view[CRC_FROM:]) == _CRC.unpack_from(view, 17)[0]
