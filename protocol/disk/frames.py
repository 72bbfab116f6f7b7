"""Frames: how our own records rest on disk, where neither Kafka nor Redis has a format for them.

    ┌────────────┬──────────────┬─────────────────┐
    │ size  u32  │ xxh3_64 u64  │ msgpack payload │      little-endian; size counts the payload
    └────────────┴──────────────┴─────────────────┘

Law 1: a frame is whole or it is not there. A reader stops at the first one that is short or fails its hash, and the
       writer continues from that spot.
Law 2: nobody rewrites a frame. New truth is appended; old truth is dropped with its file.
"""

import struct
from collections.abc import Iterator

import msgpack

from protocol.checksums import xxh3_64

__all__ = ["MAX_PAYLOAD_BYTES", "pack", "scan"]

HEAD = struct.Struct("<IQ")
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024  # a torn size field must not look like a request for gigabytes


def pack(value: object) -> bytes:
    """One frame holding any value msgpack can say."""
    payload: bytes = msgpack.packb(value)
    assert len(payload) <= MAX_PAYLOAD_BYTES
    return HEAD.pack(len(payload), xxh3_64(payload)) + payload


def scan(data: bytes | memoryview) -> Iterator[tuple[int, object]]:
    """Each whole frame as (position behind it, value), up to the first torn one."""
    view, position = memoryview(data), 0
    while len(view) - position >= HEAD.size:
        size, digest = HEAD.unpack_from(view, position)
        start, end = position + HEAD.size, position + HEAD.size + size
        if size > MAX_PAYLOAD_BYTES or end > len(view) or xxh3_64(view[start:end]) != digest:
            return
        position = end
        yield position, msgpack.unpackb(view[start:end], strict_map_key=False)
