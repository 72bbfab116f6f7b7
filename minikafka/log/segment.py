"""One `.log` file with its indexes: a run of record batches from a base offset on.

    00000000000000000042.log         batches (protocol/kafka/batch.py), back to back
    00000000000000000042.index       offset → position        00000000000000000042.timeindex   instant → offset
    00000000000000000042.txnindex    aborted transactions     00000000000000000042.snapshot    producers as of its base

Law 1: batches are only ever appended, and in the order of their offsets. A position that once began a batch does so
       until the segment is truncated below it.
Law 2: whoever reads gets whole batches: from the one that holds the offset asked for, up to the last that fits.
Law 3: the log is the truth, the indexes are made from it. An entry is believed once the batch it speaks of says the
       same: the last ones when the indexes are taken up, another when it is followed. One that lies costs a new index.
"""

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import NamedTuple

from minikafka.log.aborted import AbortedIndex
from minikafka.log.config import LogConfig
from minikafka.log.handles import Handles
from minikafka.log.index import MAX_RELATIVE, CorruptIndex, OffsetIndex, TimeIndex
from protocol.disk.files import Buffer
from protocol.kafka.batch import HEADER_SIZE, LENGTH_FROM, MAGIC, BatchHeader
from protocol.kafka.primitives import ProtocolError
from protocol.kafka.records import each_record

__all__ = ["CorruptLog", "FoundTimestamp", "LegacyFormat", "Segment"]

DELETED = ".deleted"
PROBE = Struct(">qi11xi")  # of a batch header: base offset, length, last offset delta
PROBE_BATCH = Struct(">qi4xb6xi")  # the same, and its magic
PROBE_LENGTH = Struct(">8xi")  # its length alone, 12 bytes
WINDOW_BYTES = 8192  # read at a time when looking for a batch: an index interval and what belongs to the next one
STRIDE_BYTES = 1 << 20  # read at a time when walking a whole segment


class LegacyFormat(Exception):
    """The log holds messages from before Kafka 0.11; those are not read, and never cut off."""


class CorruptLog(Exception):
    """Bytes that are no batch where one should begin, below the point from which recovery would have cut them off."""


class FoundTimestamp(NamedTuple):
    """The first record at or after a time (ms); ListOffsets answers with it."""

    timestamp: int
    offset: int
    leader_epoch: int


class Segment:
    """One segment. Positions are bytes in its `.log`; the last segment of a log is the active one."""

    def __init__(self, handles: Handles, directory: str, base_offset: int, config: LogConfig, now_ms: int) -> None:
        stem = f"{directory}/{base_offset:020d}"
        self.base_offset = base_offset
        self.log = handles.handle(stem + ".log")
        self.offset_index = OffsetIndex(handles.handle(stem + ".index"), base_offset, config.index_bytes)
        self.time_index = TimeIndex(handles.handle(stem + ".timeindex"), base_offset, config.index_bytes)
        self.aborted = AbortedIndex(handles.handle(stem + ".txnindex"))
        self.index_interval_bytes = config.index_interval_bytes
        self.size = 0
        self.max_timestamp = -1
        self.offset_of_max_timestamp = base_offset
        self.created_ms = now_ms
        self.jitter_ms = 0  # by how much it is rolled before its time
        self.is_loaded = True
        self.is_active = False
        self._first_timestamp = -1  # of the first batch, once known: rolling by time counts from it
        self._unindexed_bytes = 0  # appended since the last index entry

    # ── life ──

    def create(self) -> None:
        """Make the files of an empty active segment."""
        self.log.file().truncate(0)
        self.size = 0
        self.is_active = True
        self.forget_indexes()

    def open(self, size: int) -> None:
        """Take up an existing file of `size` bytes. Its indexes are read when they are first needed."""
        self.size = size
        self.is_loaded = False

    def load(self) -> None:
        """Take up the indexes, made anew if they are not what they should be."""
        self.is_loaded = True
        try:
            if not self.offset_index.handle.exists or not self.time_index.handle.exists:
                raise CorruptIndex(f"{self.log.path} lacks an index")
            self.offset_index.load()
            self.time_index.load()
            if self.size and not self.time_index.count:
                raise CorruptIndex(f"{self.time_index.handle.path} lacks its last entry")
            if (self.offset_index.count or self.time_index.count) and self.offset_index.last_position() >= self.size:
                raise CorruptIndex(f"{self.offset_index.handle.path} points behind the end of the log")
            self._check_end()
            self.offset_index.trim()  # of a tail that was preallocated and never cut
            self.time_index.trim()
        except CorruptIndex:
            self.rebuild_indexes()
        self.max_timestamp = self.time_index.last_timestamp
        self.offset_of_max_timestamp = self.time_index.last_offset

    def _check_end(self) -> None:
        """CorruptIndex unless the last entries agree with the log, and nothing behind them is later. Two windows of the
        log are read, however long it is."""
        index, times = self.offset_index, self.time_index
        begin = index.last_position()
        if begin:
            self._check_indexed(self.log.file().read(begin, HEADER_SIZE), begin, index.last_offset)
        try:
            for _, header in self.headers(begin, WINDOW_BYTES):
                if header.max_timestamp > times.last_timestamp:
                    raise CorruptIndex(f"{times.handle.path} lacks its last entry")
            if times.count:
                self._check_time(times.last_timestamp, times.last_offset)
        except CorruptLog:
            raise CorruptIndex(f"{index.handle.path}: no batch at {begin}") from None
        except LegacyFormat:
            return  # its reader is told so

    def _check_time(self, timestamp: int, offset: int) -> None:
        """CorruptIndex unless `offset` lies in a batch of just that greatest timestamp, and none before it in its
        neighbourhood reaches it: times that a flipped bit made would have a search begin too late."""
        indexed, begin = self.offset_index.lookup(offset - 1)
        if begin:
            self._check_indexed(self.log.file().read(begin, HEADER_SIZE), begin, indexed)
        for _, header in self.headers(begin, WINDOW_BYTES):
            if header.base_offset + header.last_offset_delta < offset:
                if header.max_timestamp < timestamp:
                    continue
            elif header.base_offset <= offset and header.max_timestamp == timestamp:
                return
            break
        raise CorruptIndex(f"{self.time_index.handle.path}: {timestamp} is not the time of offset {offset}")

    def rebuild_indexes(self) -> None:
        """Make both indexes from the log, as they are when a segment is closed; room for more if it is active."""
        was_active = self.is_active
        self.forget_indexes()
        try:
            for position, header in self.headers():
                last_offset = header.base_offset + header.last_offset_delta
                self.note_batch(position, LENGTH_FROM + header.length, last_offset, header.max_timestamp)
        except CorruptLog:
            pass  # whoever reads so far is told; the indexes lead to what is before it
        self.deactivate()
        if was_active:
            self.activate()

    def forget_indexes(self) -> None:
        self.is_loaded = True
        self.offset_index.reset()
        self.time_index.reset()
        self.max_timestamp, self.offset_of_max_timestamp = -1, self.base_offset
        self._unindexed_bytes = 0

    def activate(self) -> None:
        """Room for more entries: appends follow."""
        if not self.is_loaded:
            self.load()
        self.is_active = True
        self.offset_index.prepare()
        self.time_index.prepare()

    def deactivate(self) -> None:
        """Its last entries are written and the preallocated tails cut: no append follows."""
        if not self.is_loaded:
            return  # nobody has touched it: it is as it was closed
        self.is_active = False
        self.time_index.append(self.max_timestamp, self.offset_of_max_timestamp)
        self.offset_index.trim()
        self.time_index.trim()

    def close(self) -> None:
        for handle in (self.log, self.offset_index.handle, self.time_index.handle, self.aborted.handle):
            handle.close()

    def mark_deleted(self) -> None:
        """Take the segment out of sight; `remove` follows when readers have had their time."""
        for handle in (self.log, self.offset_index.handle, self.time_index.handle, self.aborted.handle):
            if handle.exists:
                handle.rename(handle.path + DELETED)

    def remove(self) -> None:
        for handle in (self.log, self.offset_index.handle, self.time_index.handle, self.aborted.handle):
            handle.remove()

    # ── append ──

    def should_roll(self, config: LogConfig, size: int, max_timestamp: int, last_offset: int, now_ms: int) -> bool:
        """Must this append go to a new segment? By size, age, full indexes or an offset an index cannot hold."""
        if self.size > config.segment_bytes - size:
            return True
        if last_offset - self.base_offset > MAX_RELATIVE or self.offset_index.is_full or self.time_index.is_full:
            return True
        if not self.size:
            return False
        first = self._first_timestamp
        waited_ms = max_timestamp - first if first >= 0 else self.waited_ms(max_timestamp, now_ms)
        return waited_ms > config.segment_ms - self.jitter_ms

    def waited_ms(self, max_timestamp: int, now_ms: int) -> int:
        """The segment's age by its records' time, or by the clock when the first record has none."""
        if self._first_timestamp < 0 and self.size:
            self._first_timestamp = self.header_at(0).max_timestamp
        if self._first_timestamp >= 0:
            return max_timestamp - self._first_timestamp
        return now_ms - self.created_ms

    def append(self, parts: Sequence[Buffer], size: int, last_offset: int, max_timestamp: int) -> int:
        """Write one batch, given in parts of together `size` bytes; return its position."""
        position = self.size
        self.log.file().append(*parts)
        self.size = position + size
        if position == 0:
            self._first_timestamp = max_timestamp
        self.note_batch(position, size, last_offset, max_timestamp)
        return position

    def note_batch(self, position: int, size: int, last_offset: int, max_timestamp: int) -> None:
        """Keep the indexes up with a batch that is in the log."""
        if max_timestamp > self.max_timestamp:
            self.max_timestamp, self.offset_of_max_timestamp = max_timestamp, last_offset
        if self._unindexed_bytes > self.index_interval_bytes and not self.offset_index.is_full:
            self.offset_index.append(last_offset, position)
            self.time_index.append(self.max_timestamp, self.offset_of_max_timestamp)
            self._unindexed_bytes = 0
        self._unindexed_bytes += size

    # ── find and read ──

    def header_at(self, position: int) -> BatchHeader:
        return BatchHeader.peek(self.log.file().read(position, HEADER_SIZE))

    def find(self, offset: int) -> int:
        """The position of the batch that holds `offset`, or of the next one; the segment's size if there is none."""
        if not self.is_loaded:
            self.load()
        indexed, position = self.offset_index.lookup(offset)
        try:
            return self._walk_to(offset, position, indexed)
        except CorruptIndex:
            self.rebuild_indexes()
            return self._walk_to(offset, 0, 0)

    def _walk_to(self, offset: int, position: int, indexed: int) -> int:
        """`find` from the start on, or from the position where an index has a batch up to the offset `indexed`."""
        file, size, first = self.log.file(), self.size, position
        probe, probe_bytes = PROBE.unpack_from, PROBE.size
        while position < size:
            window = file.read(position, min(WINDOW_BYTES, size - position))
            if position == first and position:
                self._check_indexed(window, position, indexed)
            at = 0
            while at + probe_bytes <= len(window):
                base, length, delta = probe(window, at)
                if base + delta >= offset:
                    return position + at
                at += LENGTH_FROM + length
            if at <= 0:
                raise CorruptLog(f"{self.log.path}: no batch at {position}")
            position += at
        return size

    def _check_indexed(self, window: bytes, position: int, indexed: int) -> None:
        """CorruptIndex unless what lies at a position looks like a batch that goes up to `indexed` at most."""
        if len(window) >= HEADER_SIZE:
            base, length, magic, delta = PROBE_BATCH.unpack_from(window)
            size = LENGTH_FROM + length
            is_batch = magic == MAGIC and HEADER_SIZE <= size <= self.size - position
            if is_batch and self.base_offset <= base <= base + delta <= indexed:
                return
        raise CorruptIndex(f"{self.offset_index.handle.path}: no batch up to offset {indexed} at {position}")

    def whole_end(self, position: int, limit: int) -> int:
        """The end of the last whole batch between a batch's start and a limit."""
        if not self.is_loaded:
            self.load()
        indexed, before = self.offset_index.batch_before(limit)
        file, length_of = self.log.file(), PROBE_LENGTH.unpack_from
        if before > position:
            try:
                self._check_indexed(file.read(before, HEADER_SIZE), before, indexed)
                position = before
            except CorruptIndex:
                self.rebuild_indexes()
        while position + LENGTH_FROM <= limit:
            window = file.read(position, min(WINDOW_BYTES, limit - position))
            at = 0
            while at + LENGTH_FROM <= len(window):
                following = at + LENGTH_FROM + length_of(window, at)[0]
                if following <= at:
                    raise CorruptLog(f"{self.log.path}: no batch at {position + at}")
                if position + following > limit:
                    return position + at
                at = following
            position += at
        return position

    def headers(self, position: int = 0, stride: int = STRIDE_BYTES) -> Iterator[tuple[int, BatchHeader]]:
        """Every batch's position and header, from a batch on; so many bytes are read at a time."""
        file = self.log.file()
        while position < self.size:
            window = file.read(position, stride)
            at = 0
            while at + HEADER_SIZE <= len(window) and position + at < self.size:
                header = BatchHeader.peek(window, at)
                size = LENGTH_FROM + header.length
                if header.magic in (0, 1):
                    raise LegacyFormat(f"{self.log.path}: message format {header.magic} at {position + at}")
                if header.magic != MAGIC or size < HEADER_SIZE:
                    raise CorruptLog(f"{self.log.path}: no batch at {position + at}")
                yield position + at, header
                at += size
            if at == 0:
                return
            position += at
            file = self.log.file()  # whoever consumed the headers may have had it closed

    def batch_at(self, position: int, header: BatchHeader) -> bytes:
        return self.log.file().read(position, LENGTH_FROM + header.length)

    def end(self) -> tuple[int, int]:
        """The offset after the last batch (the base offset of an empty segment), and where that batch ends in the
        file: anything but the file's size says that the end is torn."""
        if not self.is_loaded:
            self.load()
        offset, end = self.base_offset, 0
        try:
            for position, header in self.headers(self.offset_index.last_position()):
                offset = header.base_offset + header.last_offset_delta + 1
                end = position + LENGTH_FROM + header.length
        except CorruptLog:
            return offset, -1
        return offset, end

    # ── by time ──

    def largest_timestamp(self, modified_ms: int) -> int:
        """The greatest record timestamp, or when the file was last written if no record has one."""
        if not self.is_loaded:
            self.load()
        return self.max_timestamp if self.max_timestamp >= 0 else modified_ms

    def find_timestamp(self, timestamp: int, start_offset: int) -> FoundTimestamp | None:
        """The first record at or after an instant, not before `start_offset`."""
        if not self.is_loaded:
            self.load()
        indexed = max(self._indexed_before(timestamp), start_offset)
        for position, header in self.headers(self.find(indexed)):
            if header.max_timestamp < timestamp or header.base_offset + header.last_offset_delta < start_offset:
                continue
            if found := self._find_in_batch(position, header, timestamp, start_offset):
                return found
        return None

    def _indexed_before(self, timestamp: int) -> int:
        """An offset before which no record is at or after an instant."""
        found, offset = self.time_index.lookup(timestamp)
        try:
            if offset > self.base_offset:
                self._check_time(found, offset)
        except (CorruptIndex, CorruptLog):
            self.rebuild_indexes()
            offset = self.time_index.lookup(timestamp)[1]
        return offset

    def _find_in_batch(
        self, position: int, header: BatchHeader, timestamp: int, start_offset: int
    ) -> FoundTimestamp | None:
        try:
            for record in each_record(self.batch_at(position, header)):
                if record.timestamp >= timestamp and record.offset >= start_offset:
                    return FoundTimestamp(record.timestamp, record.offset, header.leader_epoch)
        except ProtocolError:
            # A producer's batch was taken by its header, and that is all there is to go by.
            return FoundTimestamp(header.max_timestamp, max(header.base_offset, start_offset), header.leader_epoch)
        return None

    def find_max_timestamp(self) -> FoundTimestamp | None:
        """The first record that has the segment's greatest timestamp. Where the batch that claims it has none (its
        producer lied, and its records were not walked), the first with the greatest it has."""
        if not self.is_loaded:
            self.load()
        if self.max_timestamp < 0:
            return None
        for position, header in self.headers(self.find(self.offset_of_max_timestamp)):
            if header.max_timestamp == self.max_timestamp:
                found = self._find_in_batch(position, header, self.max_timestamp, header.base_offset)
                return found or self._latest_in_batch(position, header)
        return None

    def _latest_in_batch(self, position: int, header: BatchHeader) -> FoundTimestamp | None:
        latest = max(each_record(self.batch_at(position, header)), key=lambda record: record.timestamp, default=None)
        return None if latest is None else FoundTimestamp(latest.timestamp, latest.offset, header.leader_epoch)

    # ── truncate ──

    def truncate_to(self, offset: int) -> int:
        """Drop every batch that holds offsets at or above `offset`; return how many bytes."""
        position = self.find(offset)
        self.offset_index.truncate_to(offset)
        self.time_index.truncate_to(offset)
        self.aborted.truncate_to(offset)
        return self.cut(position)

    def cut(self, position: int) -> int:
        """Drop the bytes from a position on; indexes must be right already. Return how many."""
        dropped = self.size - position
        if dropped:
            self.log.file().truncate(position)
            self.size = position
        self._unindexed_bytes = 0
        if position == 0:
            self._first_timestamp = -1
        self._recall_max_timestamp()
        return dropped

    def _recall_max_timestamp(self) -> None:
        self.max_timestamp = self.time_index.last_timestamp
        self.offset_of_max_timestamp = self.time_index.last_offset
        for _, header in self.headers(self.find(self.offset_of_max_timestamp)):
            if header.max_timestamp > self.max_timestamp:
                self.max_timestamp = header.max_timestamp
                self.offset_of_max_timestamp = header.base_offset + header.last_offset_delta
