"""After a stop: what of a log is whole, and what its producers had written.

A batch is whole when it lies inside the file, its checksum is right and its offsets go on from the batch before. The
first one that is not, and everything behind it, is dropped: a write is acknowledged only after the whole of it was
handed to the kernel, so what a killed process tore was never answered.
"""

import zlib

from minikafka.log.epochs import LeaderEpochs
from minikafka.log.index import MAX_RELATIVE
from minikafka.log.producers import NO_PRODUCER, Producers
from minikafka.log.segment import LegacyFormat, Segment
from protocol.checksums import crc32c
from protocol.kafka.batch import CONTROL, CRC_FROM, HEADER_SIZE, LENGTH_FROM, MAGIC, BatchHeader
from protocol.kafka.records import read_end_marker

__all__ = ["recover", "replay"]

WINDOW_BYTES = 4 << 20  # read at a time; a longer batch is read in one piece
LEGACY_HEAD = 16  # of formats 0 and 1: offset i64, size i32, CRC-32 u32; what follows is checked


def recover(segment: Segment, epochs: LeaderEpochs) -> bool:
    """Check every batch of a segment, make its indexes anew, drop what follows the last whole batch. True when
    something was dropped."""
    segment.forget_indexes()
    segment.aborted.reset()
    position, next_offset = 0, segment.base_offset
    while position < segment.size:
        window = _window(segment, position)
        taken, next_offset = _take_whole(segment, epochs, window, position, next_offset)
        if taken == 0:
            break
        position += taken
    was_torn = position < segment.size
    segment.cut(position)
    return was_torn


def _window(segment: Segment, position: int) -> memoryview:
    """Bytes from a position on: a good many, and all of the batch that begins there if the file has it."""
    left = segment.size - position
    data = segment.log.file().read(position, min(WINDOW_BYTES, left))
    if len(data) >= HEADER_SIZE:
        needed = LENGTH_FROM + BatchHeader.peek(data).length
        if len(data) < needed <= left:
            data = segment.log.file().read(position, needed)
    return memoryview(data)


def _take_whole(
    segment: Segment, epochs: LeaderEpochs, window: memoryview, position: int, next_offset: int
) -> tuple[int, int]:
    """Index the whole batches a window begins with; how many bytes they are, and the offset after them."""
    at = 0
    while (header := _whole_batch(window, at, next_offset, segment.base_offset + MAX_RELATIVE)) is not None:
        size = LENGTH_FROM + header.length
        last_offset = header.base_offset + header.last_offset_delta
        segment.note_batch(position + at, size, last_offset, header.max_timestamp)
        if header.leader_epoch > epochs.latest:
            epochs.assign(header.leader_epoch, header.base_offset)
        next_offset = last_offset + 1
        at += size
    return at, next_offset


def _whole_batch(window: memoryview, at: int, next_offset: int, last_allowed: int) -> BatchHeader | None:
    left = len(window) - at
    if left < HEADER_SIZE:
        return None
    header = BatchHeader.peek(window, at)
    if header.magic != MAGIC:
        _refuse_legacy(window[at:], header)
        return None
    size = LENGTH_FROM + header.length
    last_offset = header.base_offset + header.last_offset_delta
    if not HEADER_SIZE <= size <= left or not next_offset <= header.base_offset <= last_offset <= last_allowed:
        return None
    return header if crc32c(window[at + CRC_FROM : at + size]) == header.crc else None


def _refuse_legacy(data: memoryview, header: BatchHeader) -> None:
    """A sound message of format 0 or 1 is no damage: rather stop than cut it off."""
    size = LENGTH_FROM + header.length
    if header.magic not in (0, 1) or not LEGACY_HEAD <= size <= len(data):
        return
    checksum = int.from_bytes(data[LENGTH_FROM:LEGACY_HEAD], "big")
    if zlib.crc32(data[LEGACY_HEAD:size]) == checksum:
        raise LegacyFormat(f"message format {header.magic} at offset {header.base_offset}")


def replay(segments: list[Segment], producers: Producers) -> None:
    """Bring the producers' state from `producers.end_offset` to the end of the log, with a snapshot at each segment's
    base on the way, and complete the segments' lists of aborted transactions."""
    for place, segment in enumerate(segments):
        if place + 1 < len(segments) and segments[place + 1].base_offset <= producers.end_offset:
            continue
        if producers.end_offset < segment.base_offset:
            producers.end_offset = segment.base_offset
        if place and producers.end_offset == segment.base_offset:
            producers.snapshot(sync=False)
        _replay_segment(segment, producers)


def _replay_segment(segment: Segment, producers: Producers) -> None:
    begin = segment.find(producers.end_offset)
    for position, header in segment.headers(begin):
        marker = None
        if header.producer_id != NO_PRODUCER and header.attributes & CONTROL and header.count:
            is_abort, coordinator_epoch = read_end_marker(segment.batch_at(position, header))
            marker = (is_abort, coordinator_epoch)
        aborted = producers.record(header, header.base_offset, marker)
        if aborted is not None:
            segment.aborted.add(aborted)
