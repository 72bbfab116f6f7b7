"""Compression of record batches, by the ids in their attributes. The library is imported when the first one comes.

    0 none · 1 gzip · 2 snappy · 3 lz4 (frame format) · 4 zstd

Snappy has two looks: the raw block, and the chunks of the Java library ("xerial"), which is what Kafka itself writes:

    ┌──────────────────────┬─────────────┬────────────┬──────────┬───────────┬─────
    │ 82 'SNAPPY' 00       │ version i32 │ compat i32 │ size i32 │ raw block │ …
    └──────────────────────┴─────────────┴────────────┴──────────┴───────────┴─────

Law: what unfolds beyond the limit given is refused before it is in memory; a few bytes can claim gigabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from protocol.kafka.primitives import Buffer, ProtocolError

__all__ = [
    "CODECS",
    "GZIP",
    "LZ4",
    "MAX_UNCOMPRESSED_BYTES",
    "NONE",
    "SNAPPY",
    "ZSTD",
    "BeyondLimit",
    "compress",
    "compressed",
    "decompress",
]

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"none": NONE, "uncompressed": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}

# Producers bound a batch before they compress it, by a megabyte or a few; nothing honest comes near this.
MAX_UNCOMPRESSED_BYTES = 64 * 1024 * 1024

XERIAL = b"\x82SNAPPY\x00"
XERIAL_HEAD = XERIAL + struct.pack(">ii", 1, 1)
XERIAL_BLOCK_BYTES = 32 * 1024  # as Kafka cuts them

PIECE_BYTES = 64 * 1024  # compressed without a stop: gzip takes two milliseconds

ZSTD_LEVEL = 3  # Kafka's default; the library's own is slower

FIRST_GUESS = 4  # times the compressed size; doubled and doubled again while it is too small
LEAST_GUESS_BYTES = 64 * 1024

_SIZE = struct.Struct(">i")


class BeyondLimit(ProtocolError):
    """It would be more than the limit."""


def _library() -> Any:
    import cramjam

    return cramjam


def compress(codec: int, data: Buffer, level: int | None = None) -> bytes:
    """`data` under a codec, at a level that codec knows (None for its default, as Kafka's -1 for gzip is)."""
    return b"".join(compressed(codec, data, level))


def compressed(codec: int, data: Buffer, level: int | None = None) -> Iterator[bytes]:
    """As `compress`, with what is ready after each piece of the data. Much of it comes at the end, or all."""
    if codec == NONE:
        yield bytes(data)
        return
    library = _library()
    if codec == SNAPPY:
        yield from _compress_snappy(library.snappy, memoryview(data))
    elif codec == ZSTD and len(data) <= PIECE_BYTES:  # a frame that tells how much it unfolds to
        yield bytes(library.zstd.compress(data, ZSTD_LEVEL if level is None else level))
    else:
        compressor = _compressor(library, codec, level)
        for start in range(0, len(data), PIECE_BYTES):
            if start:
                yield b""
            compressor.compress(bytes(data[start : start + PIECE_BYTES]))  # it takes nothing else
        yield bytes(compressor.finish())


def _compressor(library: Any, codec: int, level: int | None) -> Any:
    if codec == LZ4:
        # Java reads only frames whose blocks stand by themselves.
        return library.lz4.Compressor(level=level, content_checksum=False, block_linked=False)
    if codec == ZSTD:
        return library.zstd.Compressor(ZSTD_LEVEL if level is None else level)
    return library.gzip.Compressor() if level is None or level < 0 else library.gzip.Compressor(level)


def decompress(codec: int, data: Buffer, limit_bytes: int = MAX_UNCOMPRESSED_BYTES) -> Buffer:
    """What `compress` was given. Raises ProtocolError when it is damaged or more than `limit_bytes`."""
    if codec == NONE:
        return data
    if codec > ZSTD:
        raise ProtocolError(f"no compression has the id {codec}")
    if codec == SNAPPY:
        return _decompress_snappy(memoryview(data), limit_bytes)
    return _unfold(codec, data, limit_bytes)


def _unfold(codec: int, data: Buffer, limit_bytes: int) -> Buffer:
    """Decompress into memory of a guessed size, and of a larger one as long as it proves too small."""
    if codec == ZSTD and not len(data):
        return b""  # no frame at all is nothing, where the other two must have one
    library = _library()
    decompress_into = {GZIP: library.gzip, LZ4: library.lz4, ZSTD: library.zstd}[codec].decompress_into
    guess = min(limit_bytes, max(LEAST_GUESS_BYTES, FIRST_GUESS * len(data)))
    while True:
        target = bytearray(guess)
        try:
            size = decompress_into(data, target)
        except library.DecompressionError as problem:
            if "write whole buffer" not in str(problem):
                raise ProtocolError(f"records cannot be decompressed: {problem}") from None
            if guess == limit_bytes:
                raise BeyondLimit(f"records decompress to more than {limit_bytes} bytes") from None
            guess = min(limit_bytes, 4 * guess)
            continue
        del target[size:]  # in place: a view that is copied afterwards would be there twice
        return target


def _compress_snappy(library: Any, data: memoryview) -> Iterator[bytes]:
    front = XERIAL_HEAD
    for start in range(0, len(data), XERIAL_BLOCK_BYTES):
        block = bytes(library.compress_raw(data[start : start + XERIAL_BLOCK_BYTES]))
        yield front + _SIZE.pack(len(block)) + block
        front = b""
    if front:
        yield front


def _decompress_snappy(data: memoryview, limit_bytes: int) -> Buffer:
    if data[: len(XERIAL)] != XERIAL:
        return _raw_snappy(data, limit_bytes)
    at, end = len(XERIAL_HEAD), len(data)
    blocks: list[Buffer] = []
    left = limit_bytes
    while at < end:
        if end - at < 4:
            raise ProtocolError("a snappy block without its size")
        size = _SIZE.unpack_from(data, at)[0]
        at += 4
        if not 0 < size <= end - at:
            raise ProtocolError(f"a snappy block of {size} bytes where {end - at} are left")
        block = _raw_snappy(data[at : at + size], left)
        left -= len(block)
        blocks.append(block)
        at += size
    return b"".join(blocks)


def _raw_snappy(data: memoryview, limit_bytes: int) -> Buffer:
    library = _library()
    try:
        size = library.snappy.decompress_raw_len(data)
        if size > limit_bytes:
            raise BeyondLimit(f"records decompress to more than {limit_bytes} bytes")
        target = bytearray(size)
        library.snappy.decompress_raw_into(data, target)
    except library.DecompressionError as problem:
        raise ProtocolError(f"records cannot be decompressed: {problem}") from None
    return target
