"""What a batch must satisfy before it gets an offset.

A batch is taken by its header: size, checksum, count and offset range, codec, timestamps, sequence. Kafka also walks
every record of every batch, decompressing; here records are walked only where that decides something:

    - a compacted topic refuses records without a key, one by one
    - a timestamp bound is exceeded by the header, or there is a lower bound (which the header cannot answer)
    - the topic stores another codec than the producer sent
    - the header contradicts itself (first timestamp above the greatest), or `log.message.deep.validation` is on

Law 1: record bytes are never copied. What changes is the header: offset and leader epoch lie outside the checksum, so
       the usual batch is written as a new 16-byte front and the producer's own bytes behind it.
Law 2: a batch is taken or refused as a whole; refused records are named one by one (KIP-467).
"""

from collections.abc import Generator, Iterator
from typing import NamedTuple

from minikafka.log.config import FOREVER, LogConfig
from protocol.checksums import crc32c
from protocol.disk.files import Buffer
from protocol.kafka.batch import (
    CODEC_MASK,
    CONTROL,
    CRC_FROM,
    HEADER,
    HEADER_SIZE,
    LENGTH_FROM,
    LOG_APPEND_TIME,
    MAGIC,
    BatchHeader,
)
from protocol.kafka.compression import BeyondLimit
from protocol.kafka.errors import (
    CorruptMessage,
    InvalidRecord,
    InvalidTimestamp,
    MessageTooLarge,
    UnknownServerError,
)
from protocol.kafka.primitives import ProtocolError
from protocol.kafka.records import Record, Skimmed, recompressed_batch, skim, unfold_to_look_at, walk
from protocol.ops.slices import Places, at_once

__all__ = [
    "Admitted",
    "InvalidRecords",
    "InvalidTimestamps",
    "MalformedRequest",
    "UnknownMagic",
    "UnreadableRecords",
    "admit",
    "admit_in_slices",
    "admit_own",
]

MAX_CODEC = 4
NO_TIMESTAMP = -1
ERRORS_SHOWN = 3  # as many as Kafka's message quotes
LEAST_RECORD_BYTES = 7  # of a record: size, attributes, two deltas, key and value that are null, no headers

# What one batch may cost where its records are walked. Clients that send larger ones split them when told so.
WALKED_RECORDS = 200_000
WALKED_AT_ONCE = 1024  # some milliseconds
WALKED_BYTES = 8 << 20  # decompressed, and where a topic takes larger batches than usual:
UNFOLDED_AT_ONCE_BYTES = 256 << 10  # decompressed by any number of clients at the same time
WALKED_PER_BYTE = 8  # so many times the largest

RecordErrors = list[tuple[int, str]]  # (index in the batch, what is wrong)


class MalformedRequest(InvalidRecord):
    """What should be one batch of format 2 is none, or several: no log was asked."""


class UnknownMagic(CorruptMessage):
    """A batch of a format that nobody has defined: no log was asked, and the client is told which."""


class UnreadableRecords(UnknownServerError):
    """What follows a batch's header cannot be decompressed, or is no records."""


class InvalidRecords(InvalidRecord):
    """Some records cannot be stored in this topic; which, and why."""

    def __init__(self, record_errors: RecordErrors) -> None:
        shown = ", ".join(f"RecordError(batchIndex={at}, message='{why}')" for at, why in record_errors[:ERRORS_SHOWN])
        super().__init__(
            f"One or more records have been rejected due to {len(record_errors)} record errors in total, "
            f"and only showing the first three errors at most: [{shown}]"
        )
        self.record_errors = record_errors


class InvalidTimestamps(InvalidTimestamp):
    """Some records' timestamps are out of the topic's bounds; which, and why."""

    def __init__(self, record_errors: RecordErrors) -> None:
        super().__init__("One or more records have been rejected due to invalid timestamp")
        self.record_errors = record_errors


class Admitted(NamedTuple):
    """A batch as it will lie in the log, but for its offset and leader epoch."""

    header: BatchHeader
    data: Buffer  # the whole batch; its first 16 bytes are replaced when it is written
    front: bytes  # header bytes 16.. that replace those of `data`; empty when they stay


def admit(batch: memoryview, config: LogConfig, now_ms: int, partition: str = "") -> Admitted:
    """Check one batch of a producer for a partition of that name. Raises the KafkaError it is refused with."""
    return at_once(admit_in_slices(batch, config, now_ms, partition))


def admit_in_slices(
    batch: memoryview, config: LogConfig, now_ms: int, partition: str = "", places: Places | None = None
) -> Generator[None, None, Admitted]:
    """As `admit`, with a stop after every few thousand records where those are looked at. If that takes much memory, it
    begins when there is a place."""
    header = _single(batch)
    if header.length + LENGTH_FROM > config.max_batch_bytes:
        raise MessageTooLarge(
            f"The record batch size in the append is {header.length + LENGTH_FROM} bytes "
            f"which exceeds the maximum configured value of {config.max_batch_bytes}."
        )
    _check_checksum(batch, header)
    _check_client(header)
    codec = header.attributes & CODEC_MASK
    if (
        config.is_compacted
        or config.stamps_append_time
        or header.attributes & LOG_APPEND_TIME
        or header.max_timestamp - now_ms > config.timestamp_after_max_ms
        or config.timestamp_before_max_ms != FOREVER
        or header.base_timestamp > header.max_timestamp
        or (config.compression is not None and config.compression != codec)
        or config.walks_records
    ):
        if places is None or not (codec and _unfolds_to_much(batch)):
            return (yield from _admit_closely(batch, header, config, now_ms, partition))
        yield from places.take()
        try:
            return (yield from _admit_closely(batch, header, config, now_ms, partition))
        finally:
            places.give_back()
    return Admitted(header, batch, b"")


def admit_own(batch: memoryview) -> Admitted:
    """Check one batch that this broker made: whole and undamaged, the rest is its maker's business."""
    header = _single(batch)
    _check_checksum(batch, header)
    return Admitted(header, batch, b"")


def _single(batch: memoryview) -> BatchHeader:
    """The header of exactly one batch of format 2."""
    size = len(batch)
    if size < HEADER_SIZE:
        raise MalformedRequest("Produce requests must have exactly one record batch per partition")
    header = BatchHeader.peek(batch)
    if header.magic != MAGIC:
        if 0 <= header.magic < MAGIC:
            raise MalformedRequest("Produce requests are only allowed to contain record batches with magic version 2")
        raise UnknownMagic(f"Invalid magic found in record: {header.magic}")
    wanted = header.length + LENGTH_FROM
    if wanted != size:
        if wanted < HEADER_SIZE:
            raise CorruptMessage(f"Record batch size {wanted} is less than the minimum record overhead")
        raise MalformedRequest("Produce requests must have exactly one record batch per partition")
    return header


def _check_checksum(batch: memoryview, header: BatchHeader) -> None:
    if crc32c(batch[CRC_FROM:]) != header.crc:
        raise CorruptMessage(f"Record is corrupt (stored crc = {header.crc})")


def _check_client(header: BatchHeader) -> None:
    if header.base_offset != 0:
        raise InvalidRecord(f"The baseOffset of the record batch should be 0, but it is {header.base_offset}")
    if header.count <= 0 or header.last_offset_delta + 1 != header.count:
        raise InvalidRecord(
            f"Inconsistent batch offset range [0, {header.last_offset_delta}] and count of records {header.count}"
        )
    if not header.attributes & CODEC_MASK and header.count * LEAST_RECORD_BYTES > header.size - HEADER_SIZE:
        raise InvalidRecord(f"{header.count} records are declared where {header.size - HEADER_SIZE} bytes follow")
    if header.attributes & CONTROL:
        raise InvalidRecord("Clients are not allowed to write control records")
    if header.attributes & CODEC_MASK > MAX_CODEC:
        raise UnknownServerError(f"Unknown compression type id: {header.attributes & CODEC_MASK}")
    if header.producer_id >= 0 and header.base_sequence < 0:
        raise InvalidRecord(
            f"Invalid sequence number {header.base_sequence} in record batch with producerId {header.producer_id}"
        )


# ── the records themselves ──


def _unfolds_to_much(batch: memoryview) -> bool:
    """Whether it takes so much memory when it is decompressed that not all may do it at once."""
    try:
        unfold_to_look_at(batch, UNFOLDED_AT_ONCE_BYTES)
    except BeyondLimit:
        return True
    except ProtocolError:  # whoever looks closely says so
        return False
    return False


def _admit_closely(
    batch: memoryview, header: BatchHeader, config: LogConfig, now_ms: int, partition: str
) -> Generator[None, None, Admitted]:
    codec = header.attributes & CODEC_MASK
    changes_codec = config.compression is not None and config.compression != codec
    if not config.stamps_append_time or config.is_compacted or changes_codec or config.walks_records:
        if header.count > WALKED_RECORDS:
            raise MessageTooLarge(f"A batch of {header.count} records, more than the {WALKED_RECORDS} looked through")
        try:
            unfolded = unfold_to_look_at(batch, max(WALKED_BYTES, WALKED_PER_BYTE * config.max_batch_bytes))
            skimmed = yield from skim(unfolded, header)
            if skimmed is not None and _is_plain(skimmed, header, config, now_ms):
                greatest = max(skimmed.greatest_timestamp, NO_TIMESTAMP)
            else:
                greatest = yield from _check_records(walk(unfolded, header), header, config, now_ms, partition)
        except BeyondLimit as error:
            raise MessageTooLarge(str(error)) from None
        except ProtocolError:  # nothing a producer makes: Kafka does not know what to make of it either
            raise UnreadableRecords from None
    else:
        unfolded, greatest = b"", header.max_timestamp
        if header.attributes & LOG_APPEND_TIME:
            raise InvalidTimestamps([(0, "Producer should not set timestamp type to LogAppendTime.")])
    if changes_codec:
        return (yield from _recompressed(unfolded, header._replace(max_timestamp=greatest), config, now_ms))
    if config.stamps_append_time:
        return restamped(batch, header, now_ms, is_append_time=True)
    if greatest != header.max_timestamp or header.attributes & LOG_APPEND_TIME:
        return restamped(batch, header, greatest, is_append_time=False)
    return Admitted(header, batch, b"")


def _is_plain(seen: Skimmed, header: BatchHeader, config: LogConfig, now_ms: int) -> bool:
    """Whether `_check_records` would find nothing wrong with them."""
    return (
        seen.records == header.count
        and not (seen.has_null_key and config.is_compacted)
        and not header.attributes & LOG_APPEND_TIME
        and now_ms - seen.least_timestamp <= config.timestamp_before_max_ms
        and seen.greatest_timestamp - now_ms <= config.timestamp_after_max_ms
    )


def _check_records(
    records: Iterator[Record], header: BatchHeader, config: LogConfig, now_ms: int, partition: str
) -> Generator[None, None, int]:
    """The greatest timestamp of a batch's records, which must be as many as it says. Times before the first count as
    none, as in Kafka."""
    errors: RecordErrors = []
    no_key = f"Compacted topic cannot accept message without key in topic partition {partition}"
    is_timestamp = False
    greatest, found = NO_TIMESTAMP, 0
    for at, record in enumerate(records):
        found = at + 1
        if found > header.count:
            break
        if record.timestamp > greatest:
            greatest = record.timestamp
        if config.is_compacted and record.key is None:
            errors.append((at, no_key))
        elif why := _timestamp_error(record, header, config, now_ms):
            errors.append((at, why))
            is_timestamp = True
        if found % WALKED_AT_ONCE == 0:
            yield
    if found != header.count:
        raise InvalidRecord(f"Incorrect declared batch size: {header.count} records declared, others found")
    if errors:
        raise InvalidTimestamps(errors) if is_timestamp else InvalidRecords(errors)
    return greatest


def _timestamp_error(record: Record, header: BatchHeader, config: LogConfig, now_ms: int) -> str:
    if not config.stamps_append_time and record.timestamp != NO_TIMESTAMP:
        age = now_ms - record.timestamp
        if age > config.timestamp_before_max_ms or -age > config.timestamp_after_max_ms:
            earliest, latest = now_ms - config.timestamp_before_max_ms, now_ms + config.timestamp_after_max_ms
            return (
                f"Timestamp {record.timestamp} of message with offset {record.offset} is out of range. "
                f"The timestamp should be within [{earliest}, {latest}]"
            )
    elif header.attributes & LOG_APPEND_TIME:
        return "Invalid timestamp type in message. Producer should not set timestamp type to LogAppendTime."
    return ""


def restamped(batch: memoryview, header: BatchHeader, max_timestamp: int, *, is_append_time: bool) -> Admitted:
    """The batch with another greatest timestamp and timestamp type, which are under the checksum."""
    attributes = header.attributes & ~LOG_APPEND_TIME
    if is_append_time:
        attributes |= LOG_APPEND_TIME
    changed = header._replace(attributes=attributes, max_timestamp=max_timestamp)
    checksum = crc32c(batch[HEADER_SIZE:], crc32c(HEADER.pack(*changed)[CRC_FROM:]))
    changed = changed._replace(crc=checksum)
    return Admitted(changed, batch, HEADER.pack(*changed)[16:])


def _recompressed(
    unfolded: bytes, header: BatchHeader, config: LogConfig, now_ms: int
) -> Generator[None, None, Admitted]:
    """The same records under the topic's own codec."""
    assert config.compression is not None
    rebuilding = recompressed_batch(
        unfolded,
        header._replace(attributes=header.attributes & ~LOG_APPEND_TIME),
        config.compression,
        level=config.compression_level,
        append_time_ms=now_ms if config.stamps_append_time else None,
    )
    data = memoryview((yield from rebuilding))
    rebuilt = BatchHeader.peek(data)
    if len(data) > config.max_batch_bytes:
        raise MessageTooLarge(
            f"Message batch size is {len(data)} bytes in append which exceeds the maximum configured size of "
            f"{config.max_batch_bytes}."
        )
    return Admitted(rebuilt, data, b"")
