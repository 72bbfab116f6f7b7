"""The append-only file of a server: on or off, which files, when it is written anew.

    OFF      nobody keeps the effects
    WAITS    just turned on: the first base is being written, effects go to a temporary increment meanwhile
    ON       effects go to the last increment

    rewrite   a child writes all data as the next base; from its beginning effects go to the next increment:

              before      base 1 · incr 1
              meanwhile   base 1 · incr 1 · incr 2          (what is there can be loaded at any moment)
              after       base 2 · incr 2                   base 1 and incr 1 are history, and removed

Law 1: the manifest names only what is on the medium: a file's directory is synced before the manifest that names it is
       put in the place of the one before, and what no manifest names any more is removed after that.
Law 2: a rewrite that fails changes nothing that is loaded.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final, Protocol

from miniredis.persist.aof_file import AofFile
from miniredis.persist.aof_files import AofFiles, AofSettings
from miniredis.persist.aof_load import Loader, Replay
from miniredis.persist.aof_manifest import TEMPORARY
from miniredis.persist.aof_write import CommandWriter
from miniredis.persist.children import AOF, Reporter
from miniredis.persist.snapshots import Libraries, Pause, Snapshots, Store, keys_a_report
from protocol.disk.files import Disk, File
from protocol.ops.clock import Clock
from protocol.ops.logs import Logger
from protocol.ops.process import CHILD_ENDED, Process
from protocol.resp.values import Failure

OFF: Final = 0
WAITS: Final = 1
ON: Final = 2

# After so many failures in a row rewriting waits: a minute, then twice as long each time, up to an hour.
FAILURES_ALLOWED: Final = 3
FIRST_DELAY_MINUTES: Final = 1
MAX_DELAY_MINUTES: Final = 60


class AofStore(Store, Protocol):
    @property
    def settings(self) -> AofSettings: ...


class Stream(Protocol):
    """Where the effects come from."""

    def attach(self, sink: AofFile) -> None: ...
    def detach(self, sink: AofFile) -> None: ...
    def restate(self) -> None: ...


class AppendOnly:
    """`state` is one of the three above. `replay` runs what is loaded."""

    def __init__(
        self, store: AofStore, libraries: Libraries, snapshots: Snapshots, file: AofFile, stream: Stream,
        replay: Replay, *, disk: Disk, clock: Clock, process: Process, log: Logger,
    ) -> None:  # fmt: skip
        self._store = store
        self._libraries = libraries
        self._snapshots = snapshots
        self._children = snapshots.children
        self.file = file
        self.files = AofFiles(lambda: store.settings, disk, log)
        self._stream = stream
        self._replay = replay
        self._disk = disk
        self._clock = clock
        self._process = process
        self._log = log
        self.state = OFF
        self._is_followed = False  # the file gets the effects
        self.is_scheduled = False
        self.is_last_good = True
        self.rewrites = 0
        self.failures = 0  # in a row
        self.last_duration_s = -1
        self.base_size = 0  # of all files when they were last written anew
        self._written_size = 0  # of all files but the last
        self._delay_minutes = 0
        self._next_rewrite_s = 0

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self._written_size + self.file.size

    @property
    def is_rewriting(self) -> bool:
        return self._children.kind == AOF

    # ── at start ───────────────────────────────────────────────────────────────────────────────────────

    def load(self) -> Iterator[None]:
        """Read what the files have, a slice at a time. Raises CannotLoad, and FileNotFoundError: there are none."""
        self.files.read()
        self.files.upgrade()
        manifest = self.files.manifest
        if not manifest.parts:
            raise FileNotFoundError
        settings = self._store.settings
        loader = Loader(
            self.files.directory, self._store.dbs, self._snapshots, self._replay, disk=self._disk, clock=self._clock,
            log=self._log, allows_truncated=settings.aof_load_truncated, preamble_name=settings.appendfilename,
        )  # fmt: skip
        yield from loader.load(manifest)
        self.base_size = loader.base_size
        self._written_size = loader.size - self.file.size

    def open_at_start(self) -> None:
        """After loading: from here on effects are kept. Raises OSError."""
        manifest, disk = self.files.manifest, self._disk
        disk.make_dirs_durably(self.files.directory)
        if not manifest.parts:
            name = manifest.next_base(is_rdb=self._store.settings.aof_use_rdb_preamble)
            self._log.notice(f"Creating AOF base file {name} on server start")
            self.files.make_way(name)
            file = disk.create(self.files.path(name))
            try:
                self._write_all(file, None)
                file.sync()
                self.base_size = self._written_size = file.size
            finally:
                file.close()
        is_new = not manifest.increments
        name = manifest.next_increment() if is_new else manifest.increments[-1].name
        path = self.files.path(name)
        if is_new:
            self.files.make_way(name)
        file = disk.create(path) if is_new else disk.open(path)
        if not is_new:  # a process that was killed may have left what is in the page cache only, and it was loaded
            file.sync_data()
        disk.sync_dir(self.files.directory)
        if is_new:
            self.files.put(manifest)
        self._log.notice(f"{'Creating' if is_new else 'Opening'} AOF incr file {name} on server start")
        if not is_new:
            self._written_size -= file.size
        self.state = ON
        self._follow(file)
        self.files.remove_history()

    def _follow(self, file: File) -> None:
        self.file.begin(file)
        if self._is_followed:
            self._stream.restate()
        else:
            self._is_followed = True
            self._stream.attach(self.file)

    def _unfollow(self) -> None:
        if self._is_followed:
            self._is_followed = False
            self._stream.detach(self.file)

    def remove_history(self) -> None:
        """CONFIG SET aof-disable-auto-gc no."""
        if self.state != OFF:
            self.files.remove_history()

    # ── writing anew ───────────────────────────────────────────────────────────────────────────────────

    def _write_all(self, file: File, reporter: Reporter | None) -> None:
        """Everything there is, in a new `file` but for the last sync. Raises OSError, Failure."""
        settings = self._store.settings
        often = settings.aof_rewrite_incremental_fsync
        report = reporter.progress if reporter is not None else None
        if settings.aof_use_rdb_preamble:
            self._snapshots.write_all(file, report, is_synced_often=often, is_base=True)
            return
        delay_us = settings.rdb_key_save_delay if reporter is not None else 0
        pause = Pause(self._clock, delay_us, report)
        writer = CommandWriter(file, pause, keys_a_report(delay_us), is_synced_often=often)
        stamped_s = self._clock.wall_ms() // 1000 if settings.aof_timestamp_enabled else None
        writer.write(self._store.dbs, [each.code for each in self._libraries.by_name.values()], stamped_s)

    def _temporary(self, pid: int) -> str:
        return f"{self._store.settings.dir}/temp-rewriteaof-bg-{pid}.aof"

    def rewrite_in_background(self) -> bool:
        """Begin to write the data anew; no child may be at work. False: it could not be begun, the log says why."""
        children = self._children
        try:
            self._disk.make_dirs_durably(self.files.directory)
            if self.state != OFF:
                self._begin_increment()
        except OSError as error:
            self._log.warning(f"Can't open the append-only file: {error.strerror}")
            self.is_last_good = False
            return False
        self.rewrites += 1
        keys = sum([db.table.size for db in self._store.dbs])
        try:
            children.start(AOF, keys, self._as_child, self._child_ended)
        except OSError as error:
            self._log.warning(f"Can't rewrite append only file in background: fork: {error.strerror}")
            self.is_last_good = False
            self._forget_temporary()
            return False
        self._log.notice(f"Background append only file rewriting started by pid {children.pid}")
        self.is_scheduled = False
        return True

    def schedule(self) -> None:
        """BGREWRITEAOF while it cannot be: as soon as it can, however often it failed before."""
        self.is_scheduled = True
        self.failures = 0

    def _begin_increment(self) -> None:
        """Effects go to a file of their own from here on. Raises OSError, with all as before."""
        if not self.file.leave():
            # What still waits is in the new base, and may not be in what comes after that too. And what is written must
            # not be lost with the power where what comes after it is not.
            raise OSError(errno.EIO, "the one before is not all on the medium")
        if self.state == WAITS:
            manifest, name = None, self._temporary_increment
        else:
            manifest = self.files.manifest.copy()
            name = manifest.next_increment()
        file = self._disk.create(self.files.path(name))
        try:
            if manifest is not None:
                self._disk.sync_dir(self.files.directory)
                self.files.put(manifest)
        except OSError:
            file.close()
            if manifest is not None:
                self.files.put_back()
            raise
        self._log.notice(f"Creating AOF incr file {name} on background rewrite")
        if manifest is not None:
            self.files.manifest = manifest
            self._written_size += self.file.size
        self.file.close()
        self.file.is_loadable = self.state != WAITS
        self._follow(file)

    @property
    def _temporary_increment(self) -> str:
        return f"{TEMPORARY}{self._store.settings.appendfilename}.incr"

    def _as_child(self, reporter: Reporter) -> int:
        path = self._temporary(self._process.pid())
        try:
            file = self._disk.create(path)
            try:
                self._write_all(file, reporter)
                file.sync()
            finally:
                file.close()
        except (OSError, Failure) as error:
            reporter.log(True, f"Write error writing append only file on disk: {error}")
            return 1
        reporter.log(False, f"Successfully created the temporary AOF base file {path.rpartition('/')[2]}")
        return 0

    def _child_ended(self, pid: int, code: int) -> None:
        if code == 0:
            self._log.notice("Background AOF rewrite terminated with success")
            try:
                self._put_in_place(self._temporary(pid))
            except OSError as error:
                self._log.warning(f"Error putting the rewritten AOF in its place: {error.strerror}")
                self._fail()
        elif code > 0:
            self._log.warning("Background AOF rewrite terminated with error")
            self._fail()
        else:
            self._log.warning(f"Background AOF rewrite terminated by signal {-code}")
            if code != CHILD_ENDED:
                self._fail()
        self.files.remove(self._temporary(pid))
        self.last_duration_s = self._clock.wall_ms() // 1000 - self._children.started_s
        if self.state == WAITS:  # it did not come to be: try again
            self._forget_temporary()
            self.is_scheduled = True

    def _fail(self) -> None:
        self.is_last_good = False
        self.failures += 1

    def _put_in_place(self, path: str) -> None:
        """The child's file becomes the base. Raises OSError: nothing that is loaded has changed."""
        disk = self._disk
        manifest = self.files.manifest.copy()
        base = manifest.next_base(is_rdb=self._store.settings.aof_use_rdb_preamble)
        disk.rename(path, self.files.path(base))
        self._log.notice(f"Successfully renamed the temporary AOF base file {path} into {base}")
        if self.state == WAITS:
            name = manifest.next_increment()
            disk.rename(self.files.path(self._temporary_increment), self.files.path(name))
            self._log.notice(
                f"Successfully renamed the temporary AOF incr file {self._temporary_increment} into {name}"
            )
            self.file.leave()
        manifest.retire_increments(keep_last=self.state != OFF)
        disk.sync_dir(self.files.directory)
        # The base stays where this fails: it may be the one that is there after a crash. Where it is not, the next one
        # comes in its place.
        self.files.put(manifest)
        self.files.manifest = manifest
        if self.state != OFF:
            self._written_size = disk.size(self.files.path(base))
            self.base_size = self.size
        self.files.remove_history()
        self.is_last_good = True
        self.failures = 0
        self._log.notice("Background AOF rewrite finished successfully")
        if self.state == WAITS:
            self.state = ON
            self.file.base_stands()

    def _forget_temporary(self) -> None:
        """What was gathered for an append-only file that did not come to be."""
        if self.state == WAITS:
            self._unfollow()
            self.file.end()
            self._log.notice(f"Removing the temp incr aof file {self._temporary_increment} in the background")
            self.files.remove(self.files.path(self._temporary_increment))

    def is_limited(self) -> bool:
        """Whether rewriting has failed so often that it waits."""
        if self.failures < FAILURES_ALLOWED:
            self._delay_minutes = self._next_rewrite_s = 0
            return False
        now_s = self._clock.wall_ms() // 1000
        if self._next_rewrite_s:
            if now_s < self._next_rewrite_s:
                return True
            self._next_rewrite_s = 0
            return False
        self._delay_minutes = min(2 * self._delay_minutes or FIRST_DELAY_MINUTES, MAX_DELAY_MINUTES)
        self._next_rewrite_s = now_s + 60 * self._delay_minutes
        self._log.warning(
            "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in "
            f"{self._delay_minutes} minutes"
        )
        return True

    def end_child(self) -> None:
        """A rewrite that is under way is no longer wanted."""
        if self.is_rewriting:
            self._log.notice(f"Killing running AOF rewrite child: {self._children.pid}")
            self.files.remove(self._temporary(self._children.end()))

    # ── on and off ─────────────────────────────────────────────────────────────────────────────────────

    def turn_on(self, *, is_amid_transaction: bool) -> bool:
        """CONFIG SET appendonly yes. False: it cannot be."""
        self.state = WAITS
        if self._children.kind and not self.is_rewriting:
            self.is_scheduled = True
            self._log.notice(
                "AOF was enabled but there is already another background operation. An AOF background was scheduled "
                "to start when possible."
            )
        elif is_amid_transaction:
            self.is_scheduled = True
            self._log.notice(
                "AOF was enabled during a transaction. An AOF background was scheduled to start when possible."
            )
        else:
            if self.is_rewriting:
                self._log.notice(
                    "AOF was enabled but there is already an AOF rewriting in background. Stopping background AOF and "
                    "starting a rewrite now."
                )
                self.end_child()
            if not self.rewrite_in_background():
                self._forget_temporary()
                self.state = OFF
                self._log.warning(
                    "Redis needs to enable the AOF but can't trigger a background AOF rewrite operation. Check the "
                    "above logs for more info about the error."
                )
                return False
        return True

    def turn_off(self) -> None:
        """CONFIG SET appendonly no: what was kept until now is on the medium."""
        self._unfollow()
        self.file.leave()
        self.file.end()
        self.end_child()
        if self.state == WAITS:
            self.files.remove(self.files.path(self._temporary_increment))
        self.state = OFF
        self.is_scheduled = False

    def stop(self) -> None:
        """The server has ended: all it did is on the medium."""
        self.end_child()
        self._unfollow()
        self.file.leave()
        self.file.close()

    def forget_statistics(self) -> None:
        """CONFIG RESETSTAT."""
        self.rewrites = self.failures = self.file.delayed_syncs = 0

    def flush(self) -> None:
        if self._is_followed:
            self.file.flush(is_forced=True)

    def tick(self) -> None:
        """What is due from time to time: a rewrite that was asked for, or one that has become worth its while."""
        if self._is_followed:
            self.file.retry()
        if self._children.kind:
            return
        if self.is_scheduled and not self.is_limited():
            self.rewrite_in_background()
            return
        settings = self._store.settings
        percentage = settings.auto_aof_rewrite_percentage
        if self.state != ON or not percentage or self.size <= settings.auto_aof_rewrite_min_size:
            return
        growth = self.size * 100 // (self.base_size or 1) - 100
        if growth >= percentage and not self.is_limited():
            self._log.notice(f"Starting automatic rewriting of AOF on {growth}% growth")
            self.rewrite_in_background()

    def agree_to_end(self, *, is_forced: bool) -> bool:
        """The server is to end. False: not before the first base is written."""
        if self.is_rewriting:
            if self.state == WAITS:
                if not is_forced:
                    self._log.warning("Writing initial AOF, can't exit.")
                    return False
                self._log.warning("Writing initial AOF. Exit anyway.")
            self._log.warning("There is a child rewriting the AOF. Killing it!")
            self.end_child()
        if self.state != OFF:
            self._log.notice("Calling fsync() on the AOF file.")
            self.file.leave()
        return True
