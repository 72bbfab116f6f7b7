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
from typing import Any

from protocol.kafka.primitives import Buffer, ProtocolError

__all__ = ["CODECS", "GZIP", "LZ4", "MAX_UNCOMPRESSED_BYTES", "NONE", "SNAPPY", "ZSTD", "compress", "decompress"]

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"none": NONE, "uncompressed": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}

# Producers bound a batch before they compress it, by a megabyte or a few; nothing honest comes near this.
MAX_UNCOMPRESSED_BYTES = 64 * 1024 * 1024

XERIAL = b"\x82SNAPPY\x00"
XERIAL_HEAD = XERIAL + struct.pack(">ii", 1, 1)
XERIAL_BLOCK_BYTES = 32 * 1024  # as Kafka cuts them

FIRST_GUESS = 4  # times the compressed size; doubled and doubled again while it is too small
LEAST_GUESS_BYTES = 64 * 1024

_SIZE = struct.Struct(">i")


def _library(codec: int) -> Any:
    import cramjam

    return {GZIP: cramjam.gzip, SNAPPY: cramjam.snappy, LZ4: cramjam.lz4, ZSTD: cramjam.zstd}[codec]


def compress(codec: int, data: Buffer, level: int | None = None) -> bytes:
    """`data` under a codec, at a level that codec knows (None for its default)."""
    if codec == NONE:
        return bytes(data)
    library = _library(codec)
    if codec == SNAPPY:
        return _compress_snappy(library, memoryview(data))
    if codec == LZ4:
        # Java reads only frames whose blocks stand by themselves.
        compressor = library.Compressor(level=level, content_checksum=False, block_linked=False)
        compressor.compress(data)
        return bytes(compressor.finish())
    return bytes(library.compress(data) if level is None else library.compress(data, level))


def decompress(codec: int, data: Buffer, limit_bytes: int = MAX_UNCOMPRESSED_BYTES) -> Buffer:
    """What `compress` was given. Raises ProtocolError when it is damaged or more than `limit_bytes`."""
    if codec == NONE:
        return data
    if codec > ZSTD:
        raise ProtocolError(f"no compression has the id {codec}")
    if codec == SNAPPY:
        return _decompress_snappy(_library(codec), memoryview(data), limit_bytes)
    return _unfold(_library(codec), data, limit_bytes)


def _unfold(library: Any, data: Buffer, limit_bytes: int) -> Buffer:
    """Decompress into memory of a guessed size, and of a larger one as long as it proves too small."""
    guess = min(limit_bytes, max(LEAST_GUESS_BYTES, FIRST_GUESS * len(data)))
    while True:
        target = bytearray(guess)
        try:
            size = library.decompress_into(data, target)
        except Exception as problem:  # the library raises errors of several unrelated classes
            if "write whole buffer" not in str(problem):
                raise ProtocolError(f"records cannot be decompressed: {problem}") from None
            if guess == limit_bytes:
                raise ProtocolError(f"records decompress to more than {limit_bytes} bytes") from None
            guess = min(limit_bytes, 4 * guess)
            continue
        return memoryview(target)[:size]


def _compress_snappy(library: Any, data: memoryview) -> bytes:
    parts = [XERIAL_HEAD]
    for start in range(0, len(data), XERIAL_BLOCK_BYTES):
        block = bytes(library.compress_raw(data[start : start + XERIAL_BLOCK_BYTES]))
        parts += _SIZE.pack(len(block)), block
    return b"".join(parts)


def _decompress_snappy(library: Any, data: memoryview, limit_bytes: int) -> Buffer:
    if data[: len(XERIAL)] != XERIAL:
        return _raw_snappy(library, data, limit_bytes)
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
        block = _raw_snappy(library, data[at : at + size], left)
        left -= len(block)
        blocks.append(block)
        at += size
    return b"".join(blocks)


def _raw_snappy(library: Any, data: memoryview, limit_bytes: int) -> Buffer:
    try:
        size = library.decompress_raw_len(data)
        if size > limit_bytes:
            raise ProtocolError(f"records decompress to more than {limit_bytes} bytes")
        target = bytearray(size)
        library.decompress_raw_into(data, target)
    except ProtocolError:
        raise
    except Exception as problem:  # the library raises errors of several unrelated classes
        raise ProtocolError(f"records cannot be decompressed: {problem}") from None
    return target
