"""What of a log is on the medium, and how the rest gets there.

Law 1: the recovery point says what a crash of the machine leaves; it grows only after everything below it was synced,
       the checkpoint of the leader epochs first.
Law 2: after a sync that failed nobody knows what the medium holds (the kernel drops what it could not write, and the
       next sync succeeds): the log takes no more, and its directory's health says what follows from that.
"""

import asyncio
from bisect import bisect_right
from functools import partial
from random import Random

from minikafka.log.config import LogConfig
from minikafka.log.epochs import LeaderEpochs
from minikafka.log.handles import Handle, Handles
from minikafka.log.health import NO_ROOM, Health
from minikafka.log.producers import Producers
from minikafka.log.segment import Segment
from protocol.kafka.errors import KafkaStorageError
from protocol.ops.clock import Clock

__all__ = ["SyncedLog"]


class SyncedLog:
    """Segments, what is known of them, and their syncing. Reading is `reading.ReadableLog`'s, appending `log.Log`'s."""

    def __init__(
        self,
        handles: Handles,
        directory: str,
        config: LogConfig,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        random: Random,
        health: Health,
    ) -> None:
        self.directory = directory
        self.config = config
        self.looks_into_batches = config.looks_into_batches
        self.log_start_offset = 0
        self.log_end_offset = 0
        self.high_watermark = 0
        self.recovery_point = 0
        self.failure: str | None = None  # why the log is offline
        self.size = 0  # of all segments, bytes
        self._handles = handles
        self._disk = handles.disk
        self._loop = loop
        self._clock = clock
        self._random = random
        self._health = health
        self._was_refused = False  # the last append failed for want of room
        self._synced_ms = clock.wall_ms()
        self.epochs = LeaderEpochs(self._disk, f"{directory}/leader-epoch-checkpoint")
        self.producers = Producers(self._disk, directory, config.producer_expiration_ms)
        self.segments: list[Segment] = []
        self._bases: list[int] = []  # of `segments`, for bisect
        self._places: dict[int, tuple[Segment, int]] = {}  # offset → where its batch begins
        self._removals: list[asyncio.TimerHandle] = []
        self._syncing: asyncio.Future[int] | None = None  # the sync under way
        self._next_sync: asyncio.Future[int] | None = None  # the one that follows it

    @property
    def name(self) -> str:
        """`<topic>-<partition>`."""
        return self.directory.rpartition("/")[2]

    @property
    def local_log_start(self) -> int:
        """The first offset that lies here, and not in a remote tier."""
        return self.log_start_offset

    @property
    def active(self) -> Segment:
        return self.segments[-1]

    def sync(self) -> None:
        """Everything appended is on the medium when this returns (and the recovery point says so)."""
        self._write_epochs()
        try:
            for segment in self._unsynced():
                for handle in self._files_of(segment):
                    handle.file().sync()
            self._disk.sync_dir(self.directory)
        except OSError as error:
            self._fail(error)
            raise KafkaStorageError(self.failure) from error
        self.recovery_point = self.log_end_offset

    def sync_soon(self) -> asyncio.Future[int]:
        """The same through the executor; the Future gives the recovery point reached, or KafkaStorageError. Calls
        during one sync share the next."""
        if self._syncing is None:
            future = self._syncing = self._loop.create_future()
            self._begin_sync()
            return future
        if self._next_sync is None:
            self._next_sync = self._loop.create_future()
        return self._next_sync

    def _begin_sync(self) -> None:
        target = self.log_end_offset
        self._synced_ms = self._clock.wall_ms()
        files: list[Handle] = []
        for segment in self._unsynced():
            files += self._files_of(segment)
        try:
            self._write_epochs()
        except KafkaStorageError as error:
            self._refuse_sync(error)
            return
        futures = [self._disk.async_sync(handle.file(), self._loop) for handle in files]
        if len(files) > 1:  # a segment was begun: its name has to last as well
            futures.append(asyncio.ensure_future(self._loop.run_in_executor(None, self._disk.sync_dir, self.directory)))
        waiting = asyncio.gather(*futures)
        waiting.add_done_callback(partial(self._end_sync, target))

    def _end_sync(self, target: int, waiting: "asyncio.Future[list[None]]") -> None:
        if waiting.cancelled():
            self.failure = f"{self.directory}: a sync was cancelled"
        else:
            error = waiting.exception()
            if error is not None:
                self._fail(error)
        if self.failure is not None:
            self._refuse_sync(KafkaStorageError(self.failure))
            return
        done, self._syncing, self._next_sync = self._syncing, self._next_sync, None
        assert done is not None
        self.recovery_point = max(self.recovery_point, min(target, self.log_end_offset))
        if not done.done():
            done.set_result(self.recovery_point)
        if self._syncing is not None:
            self._begin_sync()

    def _refuse_sync(self, error: KafkaStorageError) -> None:
        """Whoever waits for a sync is told that there was none."""
        waiting, self._syncing, self._next_sync = (self._syncing, self._next_sync), None, None
        for future in waiting:
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # whoever waits gets it; nobody needs to

    def _write_epochs(self) -> None:
        """The epochs' checkpoint comes before the recovery point that relies on it."""
        try:
            self.epochs.write(self.log_end_offset)
        except OSError as error:
            if error.errno in NO_ROOM:
                self._was_refused = True
                self._health.refused(self.name, error)
            else:
                self._fail(error)
            raise KafkaStorageError(f"{self.directory}: {error.strerror or error}") from error

    def _unsynced(self) -> list[Segment]:
        place = max(bisect_right(self._bases, self.recovery_point) - 1, 0)
        return self.segments[place:] if self.recovery_point < self.log_end_offset else []

    def _files_of(self, segment: Segment) -> list[Handle]:
        """What a sync has to reach. The active segment's indexes are made anew after a crash and can wait."""
        if segment is self.active:
            return [segment.log]
        files = [segment.log, segment.offset_index.handle, segment.time_index.handle]
        return [*files, segment.aborted.handle] if segment.aborted.handle.exists else files

    def _fail(self, error: BaseException) -> None:
        """The medium lost what it had taken: what is true of this log is no longer known. It takes no more."""
        self.failure = f"{self.directory}: {error}"
        self._health.lost(self.name, error)

    def flush_when_due(self, now_ms: int) -> None:
        """flush.ms: whoever has a timer calls this now and then."""
        if now_ms - self._synced_ms >= self.config.flush_ms and self.recovery_point < self.log_end_offset:
            self._synced_ms = now_ms
            self.sync_soon()
