"""The file that effects are appended to: what waits to be written, what is written, what is on the medium.

    feed ──► waiting ──flush──► written (the page cache) ──fsync──► synced (the medium)

    always     every flush ends with an fsync: nothing that was asked for in this turn is answered before it
    everysec   fsync in the background, once a second. While one is under way writes wait too, for two seconds at most:
               a write into a file that is being synced would wait for the medium
    no         when the system likes

Law 1: with `always` nothing is acknowledged that is not on the medium. Where writing or fsync fails the server ends:
       what it did cannot be undone, and others may have been told.
Law 2: otherwise a failed write is tried again, and meanwhile writes of clients are refused (MISCONF).
Law 3: the medium has every file from its beginning to some point: none is begun before the one before it is synced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from miniredis.persist.aof_write import annotation
from protocol.disk.files import Disk, File
from protocol.ops.clock import Clock
from protocol.ops.logs import Logger
from protocol.ops.process import Process

SYNC_INTERVAL_S: Final = 1.0
MAX_POSTPONED_S: Final = 2.0
UNKNOWN: Final = -1
# A disk that refuses to be written to is in the log so often.
ERROR_LOG_S: Final = 30.0


class FileSettings(Protocol):
    """The directives of the file."""

    @property
    def appendfsync(self) -> str: ...
    @property
    def no_appendfsync_on_rewrite(self) -> bool: ...
    @property
    def aof_timestamp_enabled(self) -> bool: ...


class AofFile:
    """`target` is whom the effects are for, `settings` tells the directives of the moment, `has_child` whether a forked
    child is at work. `watch` gets events for the latency monitor (name, microseconds), `judge` is called when it
    changes whether the file can be written, `want` asks for a flush at the end of the turn."""

    def __init__(
        self, target: int, settings: Callable[[], FileSettings], *, loop: Any, disk: Disk, clock: Clock,
        process: Process, log: Logger, has_child: Callable[[], bool], watch: Callable[[bytes, int], None],
        judge: Callable[[], None], want: Callable[[], None],
    ) -> None:  # fmt: skip
        self.target = target
        self._settings = settings
        self._loop = loop
        self._disk = disk
        self._clock = clock
        self._process = process
        self._log = log
        self._has_child = has_child
        self._watch = watch
        self._judge = judge
        self._want = want
        self._file: File | None = None
        self._parts: list[bytes] = []
        self.waiting_bytes = 0
        self.size = 0  # bytes written
        self._synced = 0  # bytes of it that an fsync was begun for; UNKNOWN: one of them failed
        self._syncing: asyncio.Future[None] | None = None
        self._synced_at = 0.0
        self._postponed_at = 0.0  # since when writes wait for an fsync; 0: they do not
        self._write_error = ""
        self._sync_error = ""
        self._logged_at = float("-inf")
        self._is_stamped = False  # aof-timestamp-enabled, as of the last flush
        self._stamped_s = 0
        self.delayed_syncs = 0
        self.flush_pause_us = 0  # DEBUG AOF-FLUSH-SLEEP
        # For whoever counts the stream of effects: where it is, up to where it is on the medium, and that this moved.
        self.offset: Callable[[], int] = int
        self.synced_offset = self._left_offset = 0
        self.is_loadable = True  # or there is no base yet: what is synced is still of no use to anybody
        self.synced_told: Callable[[], None] = lambda: None

    @property
    def error(self) -> str:
        """Why writes are refused; empty: they are not."""
        return self._write_error or self._sync_error

    @property
    def may_flush_often(self) -> bool:
        """Whether a flush does no more than write."""
        return self._file is not None and self._settings().appendfsync != "always"

    @property
    def is_syncing(self) -> bool:
        return self._syncing is not None

    # As a sink.

    def feed(self, data: bytes, effects: int = 1) -> None:
        parts = self._parts
        if not parts:
            self._want()
        if self._is_stamped:
            now_s = self._clock.wall_ms() // 1000
            if now_s > self._stamped_s:
                self._stamped_s = now_s
                data = annotation(now_s) + data
        parts.append(data)
        self.waiting_bytes += len(data)

    def flush(self, *, is_forced: bool = False) -> None:
        """The turn ends: write what waits, and sync as appendfsync says. `is_forced`: whatever is under way."""
        settings = self._settings()
        policy = settings.appendfsync
        self._is_stamped = settings.aof_timestamp_enabled
        if self._parts:
            if policy == "everysec" and self._syncing is not None and not is_forced and self._is_postponed():
                return
            if not self._write(policy):
                return
        elif self._synced == self.size:
            if policy != "no" and self._syncing is None:
                self._tell_synced(self.offset())
            return
        self._sync(policy)

    def _is_postponed(self) -> bool:
        now = self._clock.monotonic()
        if not self._postponed_at:
            self._postponed_at = now
        if now - self._postponed_at < MAX_POSTPONED_S:
            return True
        self.delayed_syncs += 1
        self._log.notice(
            "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer without waiting for "
            "fsync to complete, this may slow down Redis."
        )
        return False

    def _write(self, policy: str) -> bool:
        file = self._file
        assert file is not None
        if self.flush_pause_us:
            self._clock.hold(self.flush_pause_us / 1e6)
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        started = self._clock.monotonic()
        try:
            file.append(data)
        except OSError as error:
            self._fail_writing(error.strerror or str(error), policy)
            self._parts = [data]
            return False
        took_us = int((self._clock.monotonic() - started) * 1e6)
        if self._syncing is not None:
            self._watch(b"aof-write-pending-fsync", took_us)
        elif self._has_child():
            self._watch(b"aof-write-active-child", took_us)
        else:
            self._watch(b"aof-write-alone", took_us)
        self._watch(b"aof-write", took_us)
        parts.clear()
        self.waiting_bytes = 0
        self._postponed_at = 0.0
        self.size += len(data)
        if self._write_error:
            self._log.notice("AOF write error looks solved, Redis can write again.")
            self._write_error = ""
            self._judge()
        return True

    def _fail_writing(self, why: str, policy: str) -> None:
        now = self._clock.monotonic()
        if now - self._logged_at > ERROR_LOG_S:
            self._logged_at = now
            self._log.warning(f"Error writing to the AOF file: {why}")
        if policy == "always":
            self._die("Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...")
        self._write_error = why
        self._judge()

    def _die(self, line: str) -> None:
        self._log.warning(line)
        self._process.end_at_once(1)

    # To the medium.

    def _sync(self, policy: str) -> None:
        if self._settings().no_appendfsync_on_rewrite and self._has_child():
            return
        now = self._clock.monotonic()
        if policy == "always":
            self._sync_now()
            self._watch(b"aof-fsync-always", int((self._clock.monotonic() - now) * 1e6))
        elif policy == "everysec" and now - self._synced_at >= SYNC_INTERVAL_S:
            if self._syncing is None:
                self._sync_in_background()
            self._synced_at = now

    def _sync_now(self) -> None:
        """With `always`: on the medium, or this is the end."""
        file = self._file
        assert file is not None
        try:
            file.sync_data()
        except OSError as error:
            self._die(
                f"Can't persist AOF for fsync error when the AOF fsync policy is 'always': {error.strerror}. Exiting..."
            )
        self._synced = self.size
        self._synced_at = self._clock.monotonic()
        self._tell_synced(self.offset())

    def _sync_in_background(self) -> None:
        file = self._file
        assert file is not None
        self._synced = self.size
        offset = self.offset()
        syncing = self._syncing = self._disk.async_sync(file, self._loop)

        def done(future: asyncio.Future[None]) -> None:
            if self._syncing is syncing:  # else the file was given up: of what comes now it says nothing
                self._syncing = None
                self._judge_sync(None if future.cancelled() else future.exception(), offset)

        syncing.add_done_callback(done)

    def _judge_sync(self, error: BaseException | None, offset: int) -> None:
        why = (getattr(error, "strerror", None) or str(error)) if error is not None else ""
        if why != self._sync_error:
            if why:
                self._log.warning(f"Fail to fsync the AOF file: {why}")
            self._sync_error = why
            self._judge()
        if why:
            self._synced = UNKNOWN  # nobody knows how much: the next fsync is for all of it
        else:
            self._tell_synced(offset)

    def _tell_synced(self, offset: int) -> None:
        if offset != self.synced_offset:
            self.synced_offset = offset
            if self.is_loadable:
                self.synced_told()

    # Which file.

    def begin(self, file: File) -> None:
        """What comes next goes to the end of this one. The one of before was left."""
        self._file = file
        self.size = self._synced = file.size
        self._synced_at = self._clock.monotonic()
        self._is_stamped = self._settings().aof_timestamp_enabled
        self._stamped_s = 0

    def leave(self) -> bool:
        """Nothing more comes into this file: what waits is written, all of it synced. False: the log says why not."""
        file = self._file
        if file is None:
            return True
        if self._parts:
            self.flush(is_forced=True)
        try:
            file.sync_data()
        except OSError as error:
            self._log.warning(f"Fail to fsync the AOF file: {error.strerror}")
            self._synced = UNKNOWN
            return False
        self._synced = self.size
        if self._parts:
            return False
        self._left_offset = self.offset()
        return True

    def base_stands(self) -> None:
        """What comes after a base is worth something from now on: what `leave` has synced too."""
        self.is_loadable = True
        self.synced_offset = max(self.synced_offset, self._left_offset)
        self.synced_told()

    def close(self) -> None:
        """After `leave`: another one comes."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def end(self) -> None:
        """There is no file any more; what waits is forgotten, and so is what went wrong."""
        self.close()
        self._parts.clear()
        self.waiting_bytes = self.size = self._synced = self.synced_offset = self._left_offset = 0
        self._postponed_at = 0.0
        self._syncing = None
        if self.error:
            self._log.warning("AOF reopen, just ignore the last error.")
        self._write_error = self._sync_error = ""
        self._judge()

    def retry(self) -> None:
        """From time to time: what could not be written or synced when its turn ended."""
        if self._file is not None:
            self.flush()
