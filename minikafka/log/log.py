"""One partition on disk: segments in the order of their offsets.

    log start ─────────┐                              recovery point: all below is synced
    00000000000000000000.log   00000000000000000817.log   00000000000000001655.log ← the active segment, appended to
                       └ DeleteRecords may move it        │                    └ log end: the next offset
                         into the middle of a segment     └ high watermark: readers stop here

Law 1: an offset is given once, in order, and never to something else. The batch is in the file when `append` returns.
Law 2: log start ≤ high watermark ≤ log end, and log start ≤ recovery point ≤ log end.
Law 3: an append writes to the page cache, which a killed process does not lose. Syncing goes on behind it, segment by
       segment as they are rolled; `sync` and `sync_soon` are for those who promise more.
"""

from bisect import bisect_right
from collections.abc import Callable, Generator
from enum import IntEnum
from typing import NamedTuple

from minikafka.log.config import LogConfig
from minikafka.log.directory import base_of, tidy
from minikafka.log.producers import NO_PRODUCER, sequence_after
from minikafka.log.reading import ReadableLog
from minikafka.log.recovery import recover, replay
from minikafka.log.segment import Segment
from minikafka.log.validate import LEAST_RECORD_BYTES, MAX_CODEC, Admitted, admit, admit_in_slices, admit_own
from protocol.checksums import crc32c
from protocol.disk.files import Buffer
from protocol.kafka.batch import (
    CONTROL,
    CRC_FROM,
    FRONT,
    HEADER,
    HEADER_SIZE,
    LENGTH_FROM,
    MAGIC,
    BatchHeader,
    stamped_front,
)
from protocol.kafka.errors import KafkaStorageError, OffsetOutOfRange, RecordListTooLarge
from protocol.kafka.records import read_end_marker
from protocol.ops.slices import Places

__all__ = ["Appended", "Log", "Origin"]

FRONT_BYTES = 16  # of a batch header: base offset, length, leader epoch; outside the checksum


class Origin(IntEnum):
    """Who appends. The first two are given offsets, the others bring theirs."""

    CLIENT = 0
    COORDINATOR = 1
    REPLICATION = 2
    RAFT = 3


class Appended(NamedTuple):
    """What became of an append; of a duplicate, where its batch stood already."""

    first_offset: int
    last_offset: int
    append_time_ms: int  # -1 when the records keep their own time
    is_duplicate: bool
    size_bytes: int


class Log(ReadableLog):
    """One log. Not shared between threads; whoever calls runs on the loop."""

    # ── opening ──

    def open(self, *, recovery_point: int = 0, log_start: int = 0, was_clean: bool = False) -> None:
        """Take up the directory, or make it. Without a clean stop before, the segments from the recovery point on are
        checked and cut at the first damage."""
        self._disk.make_dirs(self.directory)
        names = tidy(self._disk, self.directory)
        self.epochs.load()
        self._find_segments(names)
        if was_clean and self.segments and self.active.end()[1] != self.active.size:
            # Somebody changed the file since: the clean stop says nothing about it.
            was_clean, recovery_point = False, self.active.base_offset
        from_offset = -1 if was_clean else self._recover(recovery_point)
        if self.segments and self.active.end()[0] < log_start:
            # Somebody took segments away: what is left lies before everything that is promised.
            self._drop_all()
        if not self.segments:
            self._add_segment(log_start)
        self.active.activate()
        self.log_end_offset = self.active.end()[0]
        self.log_start_offset = max(log_start, self._bases[0])
        self.high_watermark = self.log_start_offset
        self.recovery_point = self.log_end_offset if was_clean else min(recovery_point, self.log_end_offset)
        self.size = sum(segment.size for segment in self.segments)
        self.epochs.truncate_from_end(self.log_end_offset)
        self.epochs.truncate_from_start(self.log_start_offset)
        self._load_producers(names, from_offset)

    def _find_segments(self, names: list[str]) -> None:
        for name in names:
            base = base_of(name)
            if base >= 0 and name == f"{base:020d}.log":
                segment = self._new_segment(base)
                segment.open(self._disk.size(segment.log.path))
                self.segments.append(segment)
        self._bases = [segment.base_offset for segment in self.segments]

    def _new_segment(self, base_offset: int) -> Segment:
        segment = Segment(self._handles, self.directory, base_offset, self.config, self._clock.wall_ms())
        if self.config.segment_jitter_ms:
            segment.jitter_ms = self._random.randrange(min(self.config.segment_jitter_ms, self.config.segment_ms) + 1)
        return segment

    def _recover(self, recovery_point: int) -> int:
        """Check what may not have been synced; return from where on, -1 when there was nothing."""
        place = max(bisect_right(self._bases, recovery_point) - 1, 0)
        first = self._bases[place] if self._bases else -1
        self.epochs.truncate_from_end(first)  # the batches know better than a file that may be older
        while place < len(self.segments):
            was_cut = recover(self.segments[place], self.epochs)
            place += 1
            if was_cut:
                break
            if place < len(self.segments):
                self.segments[place - 1].deactivate()
        self._drop(self.segments[place:])
        return first

    def _load_producers(self, names: list[str], recovered_from: int) -> None:
        producers = self.producers
        producers.find_snapshots(names)
        up_to = self.log_end_offset if recovered_from < 0 else min(recovered_from, self.log_end_offset)
        producers.load(self.log_start_offset, up_to, self._clock.wall_ms())
        if producers.end_offset < self.log_end_offset:
            replay(self.segments, producers)
        producers.end_offset = self.log_end_offset
        producers.keep_snapshots(self._bases)

    def _add_segment(self, base_offset: int) -> None:
        segment = self._new_segment(base_offset)
        segment.create()
        self.segments.append(segment)
        self._bases.append(base_offset)

    # ── append ──

    def admit(self, batch: memoryview, now_ms: int, places: Places) -> Generator[None, None, Admitted]:
        """Check a client's batch before it is appended, in slices. Raises the KafkaError it is refused with."""
        if self.failure is not None:
            raise KafkaStorageError(self.failure)
        return admit_in_slices(batch, self.config, now_ms, self.name, places)

    def append(
        self,
        batches: Buffer,
        *,
        leader_epoch: int,
        now_ms: int,
        origin: Origin = Origin.CLIENT,
        admitted: Admitted | None = None,
    ) -> Appended:
        """Put batches at the end of the log. CLIENT and COORDINATOR bring one batch, which gets its offsets and epoch
        here; REPLICATION and RAFT bring any number that carry theirs and go on at the log's end. `admitted` is a
        client's batch that has been checked.

        Raises the KafkaError the batch is refused with; KafkaStorageError when it could not be written.
        """
        if self.failure is not None:
            raise KafkaStorageError(self.failure)
        try:
            appended = self._append(batches, leader_epoch, now_ms, origin, admitted)
        except OSError as error:  # files were cut back: the log is as it was
            self._was_refused = True
            self._health.refused(self.name, error)
            raise KafkaStorageError(f"{self.directory}: {error.strerror or error}") from error
        if self._was_refused:
            self._was_refused = False
            self._health.took()
        return appended

    def _append(
        self, batches: Buffer, leader_epoch: int, now_ms: int, origin: Origin, admitted: Admitted | None
    ) -> Appended:
        view = batches if type(batches) is memoryview else memoryview(batches)
        if origin >= Origin.REPLICATION:
            return self._append_given(view)
        if origin == Origin.CLIENT:
            first_offset = self.append_usual(view, leader_epoch, now_ms)
            if first_offset >= 0:
                return Appended(first_offset, self.log_end_offset - 1, -1, False, len(view))
            if admitted is None:
                admitted = admit(view, self.config, now_ms, self.name)
            if admitted.header.producer_id > NO_PRODUCER:
                seen = self.producers.duplicate_of(admitted.header)
                if seen is not None:
                    return Appended(seen[1] - seen[2], seen[1], seen[3], True, 0)
                self.producers.check(admitted.header, with_sequence=True)
            return self._append_admitted(admitted, leader_epoch, now_ms, None)
        return self._append_own(admit_own(view), leader_epoch, now_ms)

    def append_usual(self, batch: memoryview, leader_epoch: int, now_ms: int) -> int:
        """A client's batch by the shortest way, if there is nothing unusual about it: its first offset. Else -1, and
        nothing was done: `append` says what is wrong, or does what is rare. Whatever `admit` and `Producers.check`
        would refuse or look closer at is unusual; a test holds this method to that."""
        size, config = len(batch), self.config
        if size < HEADER_SIZE or self.looks_into_batches or self.failure is not None or self._was_refused:
            return -1
        (
            base_offset, length, _, magic, checksum, attributes, delta, base_timestamp, max_timestamp,
            producer_id, producer_epoch, sequence, count,
        ) = HEADER.unpack_from(batch)  # fmt: skip
        if (
            length + LENGTH_FROM != size
            or size > config.max_batch_bytes
            or size > config.segment_bytes
            or magic != MAGIC
            or base_offset != 0
            or not 0 <= attributes <= MAX_CODEC
            or count <= 0
            or delta + 1 != count
            or (not attributes and count * LEAST_RECORD_BYTES > size - HEADER_SIZE)
            or base_timestamp > max_timestamp
            or max_timestamp - now_ms > config.timestamp_after_max_ms
            or leader_epoch != self.epochs.latest
        ):
            return -1
        producer = None
        if producer_id != NO_PRODUCER:
            producer = self.producers.by_id.get(producer_id)
            if producer is None or not producer.is_next(producer_epoch, sequence):
                return -1
        if crc32c(batch[CRC_FROM:]) != checksum:
            return -1
        first_offset = self.log_end_offset
        last_offset = first_offset + delta
        segment = self.segments[-1]
        if segment.should_roll(config, size, max_timestamp, last_offset, now_ms):
            return -1
        try:
            segment.append(
                (FRONT.pack(first_offset, length, leader_epoch), batch[FRONT_BYTES:]), size, last_offset, max_timestamp
            )
        except OSError:  # the file was cut back; the second attempt says what happened
            return -1
        self.log_end_offset = self.producers.end_offset = last_offset + 1
        self.size += size
        if producer is not None:
            producer.add_batch((sequence_after(sequence, delta), last_offset, delta, max_timestamp))
        if last_offset + 1 - self.recovery_point >= config.flush_messages:
            self.sync()
        return first_offset

    def _append_own(self, admitted: Admitted, leader_epoch: int, now_ms: int) -> Appended:
        header, marker = admitted.header, None
        if header.producer_id != NO_PRODUCER:
            if header.attributes & CONTROL:
                marker = read_end_marker(admitted.data)
                self.producers.check_marker(header, marker)
            else:
                self.producers.check(header, with_sequence=False)
        return self._append_admitted(admitted, leader_epoch, now_ms, marker)

    def _append_admitted(
        self, admitted: Admitted, leader_epoch: int, now_ms: int, marker: tuple[bool, int] | None
    ) -> Appended:
        header, data, front = admitted
        first_offset = self.log_end_offset
        last_offset = first_offset + header.last_offset_delta
        size = header.length + LENGTH_FROM
        segment = self._segment_for(size, header.max_timestamp, first_offset, last_offset, now_ms)
        if leader_epoch != self.epochs.latest:
            self.epochs.assign(leader_epoch, first_offset)
        start = stamped_front(header, first_offset, leader_epoch)
        view = memoryview(data)
        parts = (start + front, view[HEADER_SIZE:]) if front else (start, view[FRONT_BYTES:])
        self._write(segment, parts, size, header, last_offset, first_offset, marker)
        append_time = header.max_timestamp if self.config.stamps_append_time else -1
        return Appended(first_offset, last_offset, append_time, False, size)

    def _append_given(self, view: memoryview) -> Appended:
        """Batches of a leader's log, or of our own raft leader, as they are."""
        first_offset, at = -1, 0
        while at < len(view):
            header = BatchHeader.peek(view, at)
            size = header.length + LENGTH_FROM
            batch = view[at : at + size]
            admit_own(batch)
            if header.base_offset < self.log_end_offset:
                raise OffsetOutOfRange(f"batch at {header.base_offset}, but the log ends at {self.log_end_offset}")
            last_offset = header.base_offset + header.last_offset_delta
            marker = None
            if header.producer_id != NO_PRODUCER and header.attributes & CONTROL and header.count:
                marker = read_end_marker(batch)
            segment = self._segment_for(size, header.max_timestamp, header.base_offset, last_offset, 0)
            self.epochs.assign(header.leader_epoch, header.base_offset)
            self._write(segment, (batch,), size, header, last_offset, header.base_offset, marker)
            first_offset = header.base_offset if first_offset < 0 else first_offset
            at += size
        return Appended(first_offset, self.log_end_offset - 1, -1, False, len(view))

    def _write(
        self,
        segment: Segment,
        parts: tuple[Buffer, ...],
        size: int,
        header: BatchHeader,
        last_offset: int,
        first_offset: int,
        marker: tuple[bool, int] | None,
    ) -> None:
        segment.append(parts, size, last_offset, header.max_timestamp)
        self.log_end_offset = last_offset + 1
        self.size += size
        producers = self.producers
        if header.producer_id <= NO_PRODUCER:
            producers.end_offset = last_offset + 1
        else:
            aborted = producers.record(header, first_offset, marker)
            if aborted is not None:
                segment.aborted.add(aborted)
        if last_offset + 1 - self.recovery_point >= self.config.flush_messages:
            self.sync()

    # ── rolling ──

    def _segment_for(self, size: int, max_timestamp: int, first_offset: int, last_offset: int, now_ms: int) -> Segment:
        """The active segment, rolled before if it must not take this append."""
        config = self.config
        if size > config.segment_bytes:
            raise RecordListTooLarge(
                f"Message batch size is {size} bytes in append, which exceeds the maximum configured segment size of "
                f"{config.segment_bytes}."
            )
        segment = self.segments[-1]
        if segment.should_roll(config, size, max_timestamp, last_offset, now_ms or self._clock.wall_ms()):
            self.roll(first_offset)
            return self.segments[-1]
        return segment

    def roll(self, base_offset: int | None = None) -> None:
        """Begin a new active segment; the old one is synced in the background."""
        base = self.log_end_offset if base_offset is None else base_offset
        old = self.active
        if old.base_offset == base:
            # Nothing was written to it since: it only needs fresh indexes or a fresh clock.
            old.create()
            old.created_ms = self._clock.wall_ms()
            return
        old.deactivate()
        self._add_segment(base)
        self.producers.end_offset = base
        self.producers.snapshot(sync=False)
        self.sync_soon()

    def reconfigure(self, config: LogConfig) -> None:
        """Obey other numbers from now on; what is fixed at a segment's making follows with the next segment."""
        self.config = config
        self.looks_into_batches = config.looks_into_batches
        self.producers.expiration_ms = config.producer_expiration_ms
        for segment in self.segments:
            segment.index_interval_bytes = config.index_interval_bytes

    # ── the other end ──

    def delete_before(self, offset: int) -> None:
        """DeleteRecords: the log starts at `offset` from now on. OffsetOutOfRange above the high watermark."""
        if offset > self.high_watermark:
            raise OffsetOutOfRange(
                f"Cannot increment the log start offset to {offset} since it is larger than the high watermark "
                f"{self.high_watermark}"
            )
        if offset > self.log_start_offset:
            self.log_start_offset = offset
            self.recovery_point = max(self.recovery_point, offset)
            self.epochs.truncate_from_start(offset)
            self.producers.advance_high_watermark(offset)

    def enforce_retention(self, now_ms: int) -> int:
        """Drop old segments: below the log start, too old, too many bytes. How many were dropped."""
        self.producers.expire(now_ms)
        return self._drop_while(self._is_below_start) + (
            self._drop_by_size() + self._drop_by_time(now_ms) if self.config.is_retained else 0
        )

    def _is_below_start(self, segment: Segment) -> bool:
        return segment is not self.active and self._base_after(segment) <= self.log_start_offset

    def _drop_by_size(self) -> int:
        if self.config.retention_bytes < 0:
            return 0
        return self._drop_while(lambda segment: self.size - segment.size >= self.config.retention_bytes)

    def _drop_by_time(self, now_ms: int) -> int:
        if self.config.retention_ms < 0:
            return 0
        limit = now_ms - self.config.retention_ms
        return self._drop_while(lambda segment: self._largest_timestamp(segment) < limit)

    def _largest_timestamp(self, segment: Segment) -> int:
        known = segment.largest_timestamp(-1)
        return known if known >= 0 else self._disk.modified_ms(segment.log.path)

    def _drop_while(self, is_due: Callable[[Segment], bool]) -> int:
        """Drop segments from the oldest on, as long as they are due and wholly below the high watermark."""
        count = 0
        while True:
            segment = self.segments[0]
            end = self.log_end_offset if segment is self.active else self._bases[1]
            if end > self.high_watermark or not segment.size or not is_due(segment):
                return count
            if segment is self.active:
                self.roll()
            self.log_start_offset = max(self.log_start_offset, self._bases[1])
            self.recovery_point = max(self.recovery_point, self._bases[1])
            self._drop([segment])
            self.epochs.truncate_from_start(self.log_start_offset)
            self.producers.remove_snapshots_below(self._bases[0])
            count += 1

    def _drop(self, segments: list[Segment]) -> None:
        """Take segments out of the log; their files follow after the configured delay."""
        for segment in list(segments):
            self.segments.remove(segment)
            self._bases.remove(segment.base_offset)
            self.size -= segment.size
            segment.mark_deleted()
            self._removals = [timer for timer in self._removals if timer.when() > self._loop.time()]
            self._removals.append(self._loop.call_later(self.config.delete_delay_ms / 1000, segment.remove))
        self._places.clear()

    def _drop_all(self) -> None:
        self._drop(self.segments)
        self.epochs.clear()

    # ── truncation ──

    def truncate_to(self, offset: int) -> None:
        """Drop everything at or above `offset`: what a new leader never had."""
        if offset >= self.log_end_offset:
            return
        if offset < self._bases[0]:
            self.restart_at(offset)
            return
        place = bisect_right(self._bases, offset) - 1
        self._drop(self.segments[place + 1 :])
        dropped = self.active.truncate_to(offset)
        self.active.activate()
        self.size -= dropped
        self._places.clear()
        self.log_end_offset = min(offset, self.active.end()[0])
        self._ends_at(self.log_end_offset)
        self.producers.load(self.log_start_offset, self.log_end_offset, self._clock.wall_ms())
        replay(self.segments, self.producers)
        self.producers.end_offset = self.log_end_offset

    def restart_at(self, offset: int) -> None:
        """Drop everything; the log begins, empty, at `offset` (a snapshot stands for what was before)."""
        self._drop_all()
        self._add_segment(offset)
        self.log_start_offset = self.log_end_offset = offset
        self._ends_at(offset)
        for snapshot in list(self.producers.snapshots):
            self.producers.remove_snapshot(snapshot)
        self.producers.clear(offset)

    def _ends_at(self, offset: int) -> None:
        self.high_watermark = max(min(self.high_watermark, offset), self.log_start_offset)
        self.recovery_point = min(self.recovery_point, offset)
        self.epochs.truncate_from_end(offset)

    # ── end ──

    def close(self, *, clean: bool) -> None:
        """Close the files. A clean close syncs and leaves indexes and producers' state as a start wants them."""
        for timer in self._removals:
            timer.cancel()
        if clean and self.failure is None:
            self.producers.snapshot(sync=True)
            was_synced = self.recovery_point == self.log_end_offset
            self.active.deactivate()
            self.epochs.write(self.log_end_offset)
            if not was_synced:
                self.sync()
        for segment in self.segments:
            segment.close()
