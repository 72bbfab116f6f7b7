"""Records inside a batch: reading them, and making batches – for coordinators, the metadata log, compaction and tests.

    record   varint size · attributes i8 = 0 · varlong timestamp delta · varint offset delta
             · varint key size (-1 null) · key · varint value size (-1 null) · value
             · varint header count · each: varint size · key, varint size (-1 null) · value

    control record   key: i16 version = 0, i16 type (0 abort, 1 commit, 2 leader change, 3 and 4 snapshot head and foot,
                     5 quorum version, 6 voters); value: a message of that type

Law 1: a batch is read to its last byte or refused as a whole, with `ProtocolError`.
Law 2: `each_record` holds one record at a time; only who asks for a list pays for one.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias, cast

from protocol.checksums import crc32c
from protocol.kafka import compression
from protocol.kafka.batch import (
    CODEC_MASK,
    CONTROL,
    CRC_FROM,
    DELETE_HORIZON,
    HEADER,
    HEADER_SIZE,
    LENGTH_FROM,
    LOG_APPEND_TIME,
    MAGIC,
    TRANSACTIONAL,
    BatchHeader,
)
from protocol.kafka.primitives import Buffer, ProtocolError, encode_varlong, read_varint, read_varlong

__all__ = [
    "ABORT",
    "COMMIT",
    "Headers",
    "NewRecord",
    "Record",
    "Skimmed",
    "build_batch",
    "build_control_batch",
    "build_end_marker",
    "control_type",
    "each_record",
    "read_end_marker",
    "read_records",
    "rebuild_batch",
    "recompressed_batch",
    "skim",
    "unfold",
    "walk",
]

ABORT, COMMIT = 0, 1

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
# (timestamp, key, value) and perhaps headers
NewRecord: TypeAlias = tuple[int, bytes | None, bytes | None] | tuple[int, bytes | None, bytes | None, Headers]

_CONTROL_KEY = struct.Struct(">hh")
_END_MARKER = struct.Struct(">hi")
# Beyond that timestamps are nobody's, and their differences need not fit: such records keep the base they came with.
_FAR_TIMESTAMP = 1 << 62
SKIMMED_AT_ONCE = 4096  # records, some milliseconds
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_SINGLE = [bytes((value,)) for value in range(128)]  # varints of one byte


class Record(NamedTuple):
    """One record as it lies in the log."""

    offset: int
    timestamp: int  # ms
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def each_record(batch: Buffer, limit_bytes: int = compression.MAX_UNCOMPRESSED_BYTES) -> Iterator[Record]:
    """The records of a whole batch, one after the other. Raises ProtocolError.

    How many there should be is not compared with the header: a batch may say one thing and hold another, and who has
    to care has the header at hand.
    """
    yield from walk(unfold(batch, limit_bytes), BatchHeader.peek(batch))


def read_records(batch: Buffer, limit_bytes: int = compression.MAX_UNCOMPRESSED_BYTES) -> list[Record]:
    """The records of a whole batch. Raises ProtocolError."""
    return list(each_record(batch, limit_bytes))


def unfold(batch: Buffer, limit_bytes: int = compression.MAX_UNCOMPRESSED_BYTES) -> bytes:
    """What follows the header of a whole batch, decompressed. Raises ProtocolError."""
    return bytes(unfold_to_look_at(batch, limit_bytes))


def unfold_to_look_at(batch: Buffer, limit_bytes: int) -> bytes:
    """As `unfold`, for a caller who keeps no part of it: what is decompressed is not copied into bytes, but read where
    it lies (a bytearray, in truth). Raises ProtocolError; BeyondLimit where it is more than `limit_bytes`."""
    header = BatchHeader.peek(batch)
    if header.magic != MAGIC or header.size != len(batch):
        raise ProtocolError(f"not a batch of format 2: magic {header.magic}, {len(batch)} of {header.size} bytes")
    data = memoryview(batch)[HEADER_SIZE:]
    if header.attributes & CODEC_MASK:
        unfolded = compression.decompress(header.attributes & CODEC_MASK, data, limit_bytes)
        return cast(bytes, unfolded) if isinstance(unfolded, bytearray) else bytes(unfolded)
    return bytes(data)


def walk(data: bytes, header: BatchHeader) -> Iterator[Record]:
    """The records in what `unfold` gave, one after the other. Raises ProtocolError."""
    try:
        yield from _walk(data, header)
    except IndexError:
        raise ProtocolError("a record runs past the end of its batch") from None


def _walk(data: bytes, header: BatchHeader) -> Iterator[Record]:
    """Decode records up to the end of `data`. Small numbers, nearly all there are, take one byte and no call."""
    at, end = 0, len(data)
    base_offset = header.base_offset
    base_timestamp = header.base_timestamp
    append_time = header.max_timestamp if header.attributes & LOG_APPEND_TIME else None
    while at < end:
        size, at = read_varint(data, at)
        stop = at + size
        if size < 0 or stop > end:
            raise ProtocolError(f"a record of {size} bytes where {end - at} are left")
        at += 1  # attributes, of which none is defined
        delta = data[at]
        if delta < 0x80:
            at += 1
            delta = (delta >> 1) ^ -(delta & 1)
        else:
            delta, at = read_varlong(data, at)
        offset, at = read_varint(data, at)
        key, at = _bytes(data, at, stop)
        value, at = _bytes(data, at, stop)
        headers: Headers = ()
        count = data[at]
        at += 1
        if count:
            headers, at = _headers(data, at - 1, stop)
        if at != stop:
            raise ProtocolError(f"a record ends {stop - at} bytes before its size says")
        timestamp = base_timestamp + delta if append_time is None else append_time
        yield Record(base_offset + offset, timestamp, key, value, headers)


class Skimmed(NamedTuple):
    """What a batch's records are together."""

    records: int
    least_timestamp: int
    greatest_timestamp: int
    has_null_key: bool


def skim(data: bytes, header: BatchHeader) -> Generator[None, None, Skimmed | None]:
    """What `walk` would find, without making records: five times as fast, and with a stop now and then. None where
    there is none, or where `walk` would raise (which says what is wrong)."""
    at, end, count, has_null_key = 0, len(data), 0, False
    least, greatest = 1 << 64, -1 << 64
    try:
        while at < end:
            if count:
                yield
            at, found, low, high, has_null = _skim(data, at, end)
            count += found
            has_null_key = has_null_key or has_null
            least, greatest = min(least, low), max(greatest, high)
    except (IndexError, ProtocolError):
        return None
    if not count:
        return None
    if header.attributes & LOG_APPEND_TIME:
        return Skimmed(count, header.max_timestamp, header.max_timestamp, has_null_key)
    return Skimmed(count, header.base_timestamp + least, header.base_timestamp + greatest, has_null_key)


def _skim(data: bytes, at: int, end: int) -> tuple[int, int, int, int, bool]:
    """Some records from `at` on: where the next begins, how many they are, the least and the greatest difference of
    their timestamps to the batch's, and whether one has no key."""
    has_null_key, left = False, SKIMMED_AT_ONCE
    least, greatest = 1 << 64, -1 << 64
    while at < end and left:
        left -= 1
        size = data[at]
        if size < 0x80:
            at += 1
            size = (size >> 1) ^ -(size & 1)
        else:
            size, at = read_varint(data, at)
        stop = at + size
        if size < 0 or stop > end:
            raise ProtocolError("a record that is none")
        at += 1  # attributes
        delta = data[at]
        if delta < 0x80:
            at += 1
            delta = (delta >> 1) ^ -(delta & 1)
        else:
            delta, at = read_varlong(data, at)
        if data[at] < 0x80:  # offset
            at += 1
        else:
            at = read_varint(data, at)[1]
        size = data[at]
        if size < 0x80:
            at += 1
            size = (size >> 1) ^ -(size & 1)
        else:
            size, at = read_varint(data, at)
        if size < 0:
            has_null_key = True
        else:
            at += size
        size = data[at]
        if size < 0x80:
            at += 1
            size = (size >> 1) ^ -(size & 1)
        else:
            size, at = read_varint(data, at)
        if size > 0:
            at += size
        if at >= stop:
            raise ProtocolError("a record that is none")
        if data[at]:
            at = _headers(data, at, stop)[1]
        else:
            at += 1
        if at != stop:
            raise ProtocolError("a record that is none")
        if delta > greatest:
            greatest = delta
        if delta < least:
            least = delta
    return at, SKIMMED_AT_ONCE - left, least, greatest, has_null_key


def _bytes(data: bytes, at: int, stop: int) -> tuple[bytes | None, int]:
    size = data[at]
    if size < 0x80:
        at += 1
        size = (size >> 1) ^ -(size & 1)
    else:
        size, at = read_varint(data, at)
    if size < 0:
        return None, at
    end = at + size
    if end > stop:
        raise ProtocolError("a key or value runs past the end of its record")
    return data[at:end], end


def _headers(data: bytes, at: int, stop: int) -> tuple[Headers, int]:
    count, at = read_varint(data, at)
    if not 0 <= count <= stop - at:
        raise ProtocolError(f"a record with {count} headers")
    headers = []
    for _ in range(count):
        key, at = _bytes(data, at, stop)
        if key is None:
            raise ProtocolError("a header without a key")
        value, at = _bytes(data, at, stop)
        headers.append((key.decode("utf-8", "replace"), value))
    return headers, at


def _varint(value: int) -> bytes:
    zigzag = (value << 1) ^ (value >> 63)
    return _SINGLE[zigzag] if zigzag < 128 else encode_varlong(value)


def _blob(data: bytes | None) -> bytes:
    return b"\x01" if data is None else _varint(len(data)) + data


def _encode(timestamp_delta: int, offset_delta: int, key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    """One record."""
    parts = [b"\0", _varint(timestamp_delta), _varint(offset_delta), _blob(key), _blob(value), _varint(len(headers))]
    for name, content in headers:
        parts += _blob(name.encode()), _blob(content)
    body = b"".join(parts)
    return _varint(len(body)) + body


def build_batch(
    records: Iterable[NewRecord],
    *,
    base_offset: int = 0,
    leader_epoch: int = -1,
    attributes: int = 0,
    codec: int = compression.NONE,
    level: int | None = None,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
) -> bytes:
    """A batch of new records with offsets one after the other. There must be at least one."""
    given = list(records)
    assert given, "a batch holds at least one record"
    base_timestamp = given[0][0]
    body = b"".join(
        _encode(record[0] - base_timestamp, at, record[1], record[2], record[3] if len(record) == 4 else ())
        for at, record in enumerate(given)
    )
    header = BatchHeader(
        base_offset=base_offset,
        length=0,
        leader_epoch=leader_epoch,
        magic=MAGIC,
        crc=0,
        attributes=attributes | codec,
        last_offset_delta=len(given) - 1,
        base_timestamp=base_timestamp,
        max_timestamp=max(record[0] for record in given),
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        count=len(given),
    )
    return _seal(header, compression.compress(codec, body, level) if codec else body)


def rebuild_batch(
    records: Sequence[Record],
    header: BatchHeader,
    codec: int,
    *,
    level: int | None = None,
    append_time_ms: int | None = None,
) -> bytes:
    """The batch of `header` with only these of its records, under `codec`.

    Offsets, producer and sequence stay, even those of records that are gone: what was seen of a producer must not
    change. `append_time_ms` makes it the time of every record.
    """
    base_timestamp, max_timestamp = header.base_timestamp, header.max_timestamp
    if records:
        times = [one.timestamp for one in records]
        least, max_timestamp = min(times), max(times)
        if not header.attributes & DELETE_HORIZON and -_FAR_TIMESTAMP <= least <= max_timestamp <= _FAR_TIMESTAMP:
            base_timestamp = times[0]
        max_timestamp = min(max(max_timestamp, _INT64_MIN), _INT64_MAX)
    body = b"".join(
        _encode(one.timestamp - base_timestamp, one.offset - header.base_offset, one.key, one.value, one.headers)
        for one in records
    )
    attributes = header.attributes & ~CODEC_MASK | codec
    if append_time_ms is not None:
        attributes |= LOG_APPEND_TIME
        max_timestamp = append_time_ms
    changed = header._replace(
        attributes=attributes, base_timestamp=base_timestamp, max_timestamp=max_timestamp, count=len(records)
    )
    return _seal(changed, compression.compress(codec, body, level) if codec else body)


def recompressed_batch(
    data: bytes,
    header: BatchHeader,
    codec: int,
    *,
    level: int | None = None,
    append_time_ms: int | None = None,
) -> Generator[None, None, bytes]:
    """The batch of `header` with all of its records, as `unfold` gave them, under another codec, with stops on the
    way. `append_time_ms` makes it the time of every record."""
    header = header._replace(attributes=header.attributes & ~CODEC_MASK | codec)
    if append_time_ms is not None:
        header = header._replace(attributes=header.attributes | LOG_APPEND_TIME, max_timestamp=append_time_ms)
    body: list[bytes] = []
    for piece in compression.compressed(codec, data, level):
        if body:
            yield
        body.append(piece)
    return _seal(header, b"".join(body))


def _seal(header: BatchHeader, body: bytes) -> bytes:
    """Header and records as one batch, its length and checksum right."""
    header = header._replace(length=HEADER_SIZE - LENGTH_FROM + len(body), crc=0)
    checksum = crc32c(body, crc32c(HEADER.pack(*header)[CRC_FROM:]))
    return HEADER.pack(*header._replace(crc=checksum)) + body


def build_control_batch(
    records: Iterable[tuple[int, bytes]],
    *,
    timestamp_ms: int,
    base_offset: int = 0,
    leader_epoch: int = -1,
    attributes: int = 0,
    producer_id: int = -1,
    producer_epoch: int = -1,
) -> bytes:
    """A batch of control records, each a (type, value)."""
    return build_batch(
        [(timestamp_ms, _CONTROL_KEY.pack(0, kind), value) for kind, value in records],
        base_offset=base_offset,
        leader_epoch=leader_epoch,
        attributes=attributes | CONTROL,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
    )


def control_type(record: Record) -> int:
    """What kind of control record it is. Raises ProtocolError."""
    if record.key is None or len(record.key) < _CONTROL_KEY.size:
        raise ProtocolError("a control record without a type")
    kind: int = _CONTROL_KEY.unpack_from(record.key)[1]
    return kind


def build_end_marker(
    is_commit: bool, *, timestamp_ms: int, producer_id: int, producer_epoch: int, coordinator_epoch: int
) -> bytes:
    """The batch that ends a producer's transaction in a partition."""
    return build_control_batch(
        [(COMMIT if is_commit else ABORT, _END_MARKER.pack(0, coordinator_epoch))],
        timestamp_ms=timestamp_ms,
        attributes=TRANSACTIONAL,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
    )


def read_end_marker(batch: Buffer) -> tuple[bool, int]:
    """(is an abort, epoch of the coordinator) of a batch that ends a transaction. Raises ProtocolError."""
    for record in each_record(batch):
        kind = control_type(record)
        if kind not in (ABORT, COMMIT) or record.value is None or len(record.value) < _END_MARKER.size:
            break
        epoch: int = _END_MARKER.unpack_from(record.value)[1]
        return kind == ABORT, epoch
    raise ProtocolError("a control batch that ends no transaction")
