"""Reading a log: whole batches from an offset on, offsets by time, and up to where readers see.

Law: a read costs one `pread`, whatever it returns: where the last reads ended is remembered, and the end of the last
     whole batch is found through the index.
"""

import asyncio
from bisect import bisect_right
from functools import partial
from typing import NamedTuple

from minikafka.log.aborted import AbortedTransaction
from minikafka.log.segment import FoundTimestamp, Segment
from minikafka.log.syncing import SyncedLog
from protocol.disk.files import Buffer
from protocol.kafka.batch import LENGTH_FROM
from protocol.kafka.errors import KafkaStorageError, OffsetOutOfRange

__all__ = ["Read", "ReadableLog"]

PLACES_KEPT = 128  # remembered ends of reads per log; each consumer that keeps up needs one
NOTHING = b""


class Read(NamedTuple):
    """What a read found."""

    records: Buffer  # whole batches, the first of which holds the offset asked for
    next_offset: int  # where the reader goes on


class ReadableLog(SyncedLog):
    """Segments as readers see them; what is appended and removed is `log.Log`'s."""

    # ── read ──

    def read(
        self, offset: int, max_bytes: int, *, up_to: int, at_least_one: bool = True
    ) -> "Read | asyncio.Future[Read]":
        """Whole batches from the one that holds `offset`, below `up_to` (a batch boundary: high watermark, last stable
        offset or log end). `at_least_one` gives the first batch even if it is longer than `max_bytes`.

        A Future when the bytes have to come from the medium. OffsetOutOfRange below the log start or above its end.
        """
        if offset < self.log_start_offset or offset > self.log_end_offset:
            raise OffsetOutOfRange(
                f"Received request for offset {offset}, but we only have log segments in the range "
                f"{self.log_start_offset} to {self.log_end_offset}."
            )
        if offset >= up_to or (max_bytes <= 0 and not at_least_one):
            return Read(NOTHING, offset)
        segment, position = self._locate(offset)
        limit = self._limit(segment, up_to)
        left = limit - position
        if left <= 0:
            return Read(NOTHING, offset)
        size = left
        if left > max_bytes:
            size = self._whole_size(segment, position, max_bytes, at_least_one)
            if size == 0:
                return Read(NOTHING, offset)
        following = self._following(segment, position + size, limit, up_to)
        data = segment.log.file().read_hot(position, size)
        if data is None:
            return self._read_cold(segment, position, size, following)
        return Read(data, following)

    def _read_cold(self, segment: Segment, position: int, size: int, following: int) -> "asyncio.Future[Read]":
        answer: asyncio.Future[Read] = self._loop.create_future()
        reading = self._disk.async_read(segment.log.file(), position, size, self._loop)
        reading.add_done_callback(partial(_hand_over, answer, following))
        return answer

    def _whole_size(self, segment: Segment, position: int, max_bytes: int, at_least_one: bool) -> int:
        """How many bytes of whole batches fit into `max_bytes` from a position on; the first batch's if none fits."""
        end = segment.whole_end(position, position + max_bytes)
        if end > position:
            return end - position
        return segment.header_at(position).length + LENGTH_FROM if at_least_one else 0

    def _limit(self, segment: Segment, up_to: int) -> int:
        """The position in a segment below which everything is below `up_to`."""
        if up_to >= self.log_end_offset or (segment is not self.active and self._base_after(segment) <= up_to):
            return segment.size
        owner, position = self._locate(up_to)
        return position if owner is segment else segment.size

    def _base_after(self, segment: Segment) -> int:
        return self._bases[bisect_right(self._bases, segment.base_offset)]

    def _following(self, segment: Segment, end: int, limit: int, up_to: int) -> int:
        """The offset a reader that got everything below position `end` goes on at; its place is remembered."""
        if end < limit:
            offset = segment.header_at(end).base_offset
        elif end < segment.size:
            offset = up_to
        else:
            offset = self.log_end_offset if segment is self.active else self._base_after(segment)
        self._remember(offset, segment, end)
        return offset

    def _remember(self, offset: int, segment: Segment, position: int) -> None:
        places = self._places
        if offset in places:
            del places[offset]
        elif len(places) >= PLACES_KEPT:
            del places[next(iter(places))]
        places[offset] = (segment, position)

    def _locate(self, offset: int) -> tuple[Segment, int]:
        """The segment and position of the batch that holds `offset`, or of the first one after it."""
        known = self._places.get(offset)
        if known is not None and (known[1] < known[0].size or known[0] is self.active):
            return known
        place = max(bisect_right(self._bases, offset) - 1, 0)
        while True:
            segment = self.segments[place]
            position = segment.find(offset)
            place += 1
            if position < segment.size or place == len(self.segments):
                self._remember(offset, segment, position)
                return segment, position

    def available_bytes(self, offset: int, up_to: int) -> int:
        """How many bytes a read from `offset` could give below `up_to`, at least: cheap, for parked fetches."""
        if offset >= up_to or not self.log_start_offset <= offset <= self.log_end_offset:
            return 0
        segment, position = self._locate(offset)
        return max(self._limit(segment, up_to) - position, 0)

    def aborted_between(self, start: int, end: int) -> list[AbortedTransaction]:
        """The aborted transactions a reader of committed data must skip in [start, end)."""
        found: list[AbortedTransaction] = []
        for segment in self.segments[max(bisect_right(self._bases, start) - 1, 0) :]:
            if segment.aborted.collect(start, end, found):
                break
        return found

    # ── by time ──

    def offset_for_time(self, timestamp: int) -> FoundTimestamp | None:
        """The first record at or after an instant (ms)."""
        for segment in self.segments:
            if segment.largest_timestamp(-1) >= timestamp:
                found = segment.find_timestamp(timestamp, self.log_start_offset)
                if found is not None:  # else those records lie below the log start
                    return found
        return None

    def offset_of_max_timestamp(self) -> FoundTimestamp | None:
        """The first record with the greatest timestamp of all."""
        latest = max(self.segments, key=lambda segment: segment.largest_timestamp(-1))
        return latest.find_max_timestamp()

    # ── watermarks ──

    def advance_high_watermark(self, offset: int) -> bool:
        """Move the high watermark up; False when it is there already."""
        if offset <= self.high_watermark:
            return False
        assert offset <= self.log_end_offset, "nothing beyond the end can be committed"
        self.high_watermark = offset
        if self.producers.unreplicated:
            self.producers.advance_high_watermark(offset)
        return True

    @property
    def last_stable_offset(self) -> int:
        """Below it every transaction is decided."""
        unstable = self.producers.first_unstable
        if unstable is None:
            return self.high_watermark
        return min(max(unstable, self.log_start_offset), self.high_watermark)

    def epoch_end(self, epoch: int) -> tuple[int, int]:
        """(greatest epoch known at or below `epoch`, its end offset); (-1, -1) when unknown."""
        return self.epochs.end_offset(epoch, self.log_end_offset)


def _hand_over(answer: "asyncio.Future[Read]", following: int, reading: "asyncio.Future[bytes]") -> None:
    if answer.done():
        return
    error = reading.exception()
    if error is not None:
        answer.set_exception(KafkaStorageError(str(error)))
    else:
        answer.set_result(Read(reading.result(), following))
