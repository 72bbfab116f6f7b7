"""The data set in a file: when it is written, by whom, how it came out, and how it is read again.

    SAVE       here and now                          temp-<pid>.rdb → fsync → dbfilename → fsync of the directory
    BGSAVE     the same in a forked child            (children.py)
    `save`     BGSAVE after so many changes in so much time; again after RETRY_S where it failed

Law 1: the file of before stays until the new one is whole and on the medium.
Law 2: a child that ended well has saved the changes there were when it began, and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from miniredis.keyspace.db import Db
from miniredis.persist.children import RDB, Children, Reporter
from miniredis.persist.rdb_fill import Filler
from miniredis.persist.rdb_load import Limits
from miniredis.persist.rdb_read import Damaged, RdbReader, Strings
from miniredis.persist.rdb_write import KEYS_A_REPORT, Rules, Writer
from protocol.disk.files import Disk, File
from protocol.ops.clock import Clock
from protocol.ops.logs import Logger
from protocol.ops.process import CHILD_ENDED, Process
from protocol.resp.values import Failure

# A save that failed is tried again after so long.
RETRY_S: Final = 5
# Keys read between two chances for others.
KEYS_A_SLICE: Final = 256
# Who wants a load to give way this often is given the choice after every key.
FINE_INTERVAL_BYTES: Final = 64 * 1024


class CannotLoad(Exception):
    """The file is there and is not read: the server may not start without it. The text says why."""


class SaveSettings(Limits, Protocol):
    """The directives of the file."""

    @property
    def dir(self) -> str: ...
    @property
    def dbfilename(self) -> str: ...
    @property
    def save(self) -> Sequence[tuple[int, int]]: ...
    @property
    def rdbcompression(self) -> bool: ...
    @property
    def rdbchecksum(self) -> bool: ...
    @property
    def rdb_save_incremental_fsync(self) -> bool: ...
    @property
    def rdb_key_save_delay(self) -> int: ...
    @property
    def key_load_delay(self) -> int: ...
    @property
    def loading_process_events_interval_bytes(self) -> int: ...
    @property
    def stop_writes_on_bgsave_error(self) -> bool: ...
    @property
    def maxmemory_policy(self) -> str: ...


class Store(Protocol):
    """What is saved."""

    dirty: int  # changes since the last save
    is_replica: bool
    checks_sums: bool
    dbs: list[Db]

    @property
    def settings(self) -> SaveSettings: ...


class Library(Protocol):
    @property
    def code(self) -> bytes: ...


class Libraries(Protocol):
    @property
    def by_name(self) -> Mapping[bytes, Library]: ...
    def load(self, code: bytes, *, replace: bool = False) -> object: ...
    def flush(self) -> None: ...


class Source(Protocol):
    """What is being loaded. `aux`: what an RDB file tells of itself."""

    aux: dict[bytes, bytes]

    @property
    def position(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...


class Loading:
    """How far a load has come: for INFO."""

    def __init__(self, reader: Source, started_s: int) -> None:
        self.reader = reader
        self.started_s = started_s


class Snapshots:
    """`version` is told in the file; `judge` is called when it changes whether the last save succeeded."""

    def __init__(
        self, store: Store, libraries: Libraries, *, loop: Any, disk: Disk, clock: Clock, process: Process,
        log: Logger, version: str, judge: Callable[[], None], fork_told: Callable[[float], None],
    ) -> None:  # fmt: skip
        self._store = store
        self._libraries = libraries
        self._disk = disk
        self._clock = clock
        self._process = process
        self._log = log
        self._version = version
        self._judge = judge
        self.children = Children(loop=loop, clock=clock, process=process, log=log, fork_told=fork_told)
        self.is_scheduled = False
        self.is_last_good = True
        self.last_save_s = self._now_s()  # at its start a server has nothing unsaved
        self.last_try_s = 0
        self.last_duration_s = -1
        self.saves = 0
        self.keys_loaded = self.keys_expired = 0
        self.loading: Loading | None = None
        self.position = 0  # where in its file the last one read ended
        self.aux: dict[bytes, bytes] = {}  # of what was read last
        self.libraries: list[bytes] = []
        self._dirty_before = 0
        # Set by the wiring: who wants to know that a child has written the file, or failed to; what the file says of
        # the stream of effects.
        self.saved_told: Callable[[bool], None] = lambda is_good: None
        self.replication_told: Callable[[], list[tuple[bytes, bytes]]] = list
        # And while a server loads at its start: (database, key) that had expired meanwhile and was left out.
        self.expired_told: Callable[[int, bytes], None] = lambda db, key: None

    def _now_s(self) -> int:
        return self._clock.wall_ms() // 1000

    # ── writing ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def path(self) -> str:
        settings = self._store.settings
        return f"{settings.dir}/{settings.dbfilename}"

    @property
    def is_refusing_writes(self) -> bool:
        """stop-writes-on-bgsave-error."""
        settings = self._store.settings
        return settings.stop_writes_on_bgsave_error and bool(settings.save) and not self.is_last_good

    def save(self) -> bool:
        """Write the file now; the log says why not."""
        self.saves += 1
        return self.save_quietly()

    def save_quietly(self) -> bool:
        """As `save`, but for the count of saves: what the server does as part of something else."""
        if not self._write(lambda is_bad, line: (self._log.warning if is_bad else self._log.notice)(line), None):
            return False
        self._store.dirty = 0
        self.last_save_s = self._now_s()
        self._conclude(is_good=True)
        return True

    def _conclude(self, *, is_good: bool) -> None:
        self.is_last_good = is_good
        self._judge()

    def _write(self, log: Callable[[bool, str], None], report: Callable[[int], None] | None) -> bool:
        """`report` is there in a child, and gets the number of keys from time to time."""
        name = self._temporary(self._process.pid())
        try:
            file = self._disk.create(name)
        except OSError as error:
            log(True, f"Failed opening the temp RDB file {name} (in server root dir {self._store.settings.dir}) for "
                      f"saving: {error.strerror}")  # fmt: skip
            return False
        try:
            try:
                self.write_all(file, report)
                file.sync()
            finally:
                file.close()
        except (OSError, Failure) as error:
            log(True, f"Write error while saving DB to the disk(rdbSaveRio): {error}")
            self._remove(name)
            return False
        return self._put_in_place(name, log)

    def write_all(
        self, file: File, report: Callable[[int], None] | None, *, is_synced_often: bool | None = None,
        is_base: bool = False, skips_data: bool = False, skips_functions: bool = False,
    ) -> None:  # fmt: skip
        """Every key, in a new `file` but for the last sync; `is_base`: of an AOF. Raises OSError, Failure."""
        delay_us = self._store.settings.rdb_key_save_delay
        rules = self._rules()
        if is_synced_often is not None:
            rules = rules._replace(is_synced_often=is_synced_often)
        pause = Pause(self._clock, delay_us, report)
        writer = Writer(file, rules, pause, keys_a_report(delay_us))
        libraries = () if skips_functions else self._libraries.by_name.values()
        writer.write(
            () if skips_data else self._store.dbs, self._aux(is_base=is_base), [each.code for each in libraries]
        )

    def _put_in_place(self, name: str, log: Callable[[bool, str], None]) -> bool:
        settings = self._store.settings
        try:
            self._disk.rename(name, self.path)
        except OSError as error:
            log(True, f"Error moving temp DB file {name} on the final destination {settings.dbfilename} (in server "
                      f"root dir {settings.dir}): {error.strerror}")  # fmt: skip
            self._remove(name)
            return False
        try:
            self._disk.sync_dir(settings.dir)
        except OSError as error:
            log(True, f"Failed to fsync directory while saving DB: {error.strerror}")
            return False
        log(False, "DB saved on disk")
        return True

    def _temporary(self, pid: int) -> str:
        return f"{self._store.settings.dir}/temp-{pid}.rdb"

    def remove_temporary(self) -> None:
        """A save of this process is broken off."""
        self._remove(self._temporary(self._process.pid()))

    def _remove(self, name: str) -> None:
        try:
            self._disk.remove(name)
        except OSError as error:
            self._log.debug(f"{name}: {error.strerror}")

    def _rules(self) -> Rules:
        settings = self._store.settings
        policy = settings.maxmemory_policy
        return Rules(
            settings.rdbcompression, settings.rdbchecksum, settings.rdb_save_incremental_fsync,
            policy.endswith("lru"), policy.endswith("lfu"),
        )  # fmt: skip

    def _aux(self, *, is_base: bool) -> list[tuple[bytes, bytes]]:
        return [
            (b"redis-ver", self._version.encode()),
            (b"redis-bits", b"64"),
            (b"ctime", b"%d" % self._now_s()),
            (b"used-mem", b"%d" % self._process.resident_bytes()),
            *self.replication_told(),
            (b"aof-base", b"%d" % is_base),
        ]

    # ── in the background ──────────────────────────────────────────────────────────────────────────────

    @property
    def is_under_way(self) -> bool:
        return self.children.kind == RDB

    def save_in_background(self) -> bool:
        """Begin a save in a child; no other may be at work. False: no child could be made."""
        children = self.children
        self.saves += 1
        self._dirty_before = self._store.dirty
        self.last_try_s = self._now_s()
        try:
            children.start(RDB, sum([db.table.size for db in self._store.dbs]), self._as_child, self._child_ended)
        except OSError as error:
            self._log.warning(f"Can't save in background: fork: {error.strerror}")
            self._conclude(is_good=False)
            return False
        self._log.notice(f"Background saving started by pid {children.pid}")
        return True

    def _as_child(self, reporter: Reporter) -> int:
        """What the child does; its exit code."""
        return 0 if self._write(reporter.log, reporter.progress) else 1

    def _child_ended(self, pid: int, code: int) -> None:
        self.last_duration_s = self._now_s() - self.children.started_s
        if code == 0:
            self._log.notice("Background saving terminated with success")
            self._store.dirty -= self._dirty_before
            self.last_save_s = self._now_s()
            self._conclude(is_good=True)
        elif code > 0:
            self._log.warning("Background saving error")
            self._conclude(is_good=False)
        else:
            self._log.warning(f"Background saving terminated by signal {-code}")
            self._remove(self._temporary(pid))
            if code != CHILD_ENDED:  # that is how one is asked to end: nothing is wrong with the disk
                self._conclude(is_good=False)
        self.saved_told(code == 0)

    def end_child(self) -> None:
        """A save that is under way is no longer wanted."""
        if self.is_under_way:
            self._remove(self._temporary(self.children.end()))
            self.last_duration_s = self._now_s() - self.children.started_s
            self.saved_told(False)

    def forget_statistics(self) -> None:
        """CONFIG RESETSTAT."""
        self.saves = 0
        self.children.forget_statistics()

    def flushed(self) -> bool:
        """Everything was removed (FLUSHALL): the file follows, where there are save points, and nothing older may
        come in its place. Whether it has followed."""
        self.end_child()
        return bool(self._store.settings.save) and self.save_quietly()

    def tick(self) -> None:
        """Save where it is time to."""
        if self.children.kind or self.loading is not None:
            return
        now = self._now_s()
        may_try = self.is_last_good or now - self.last_try_s > RETRY_S
        dirty = self._store.dirty
        for seconds, changes in self._store.settings.save:
            if dirty >= changes and now - self.last_save_s > seconds and may_try:
                self._log.notice(f"{changes} changes in {seconds} seconds. Saving...")
                self.save_in_background()
                return
        if self.is_scheduled and may_try and self.save_in_background():
            self.is_scheduled = False

    # ── reading ────────────────────────────────────────────────────────────────────────────────────────

    def load(self, *, replaces: bool = False, now_ms: int) -> Iterator[None]:
        """Read the file into the databases, a slice at a time. Raises CannotLoad, and FileNotFoundError.

        `replaces`: what the file has goes in the place of what is there; otherwise a key that is there is an error.
        As in Redis a key whose time is over is not read, unless a primary is to say so."""
        try:
            file = self._disk.open(self.path, create=False, read_only=True)
        except PermissionError as error:
            raise CannotLoad(f"Fatal error: can't open the RDB file {self._store.settings.dbfilename} for reading: "
                             f"{error.strerror}") from None  # fmt: skip
        yield from self.read(file, self._store.dbs, replaces=replaces, now_ms=now_ms)

    def read(
        self, file: File, dbs: Sequence[Db], *, replaces: bool = False, leaves_libraries: bool = False, now_ms: int,
        is_base: bool = False,
    ) -> Iterator[None]:  # fmt: skip
        """As `load`, from this file, which is closed then, into these databases. What the file says of itself is in
        `aux`, and the code of its functions in `libraries`: with `leaves_libraries` only there. `is_base`: commands
        come after it. The file stays open, `position` is where they begin; a key whose time is over is read, it is for
        them to remove it."""
        settings = self._store.settings
        reader = RdbReader(
            file, settings, checks_sum=settings.rdbchecksum and self._store.checks_sums, tell=self._log.notice
        )
        self.aux, self.libraries = reader.aux, reader.libraries
        if not is_base:
            self.loading = Loading(reader, self._now_s())
        self.keys_loaded = self.keys_expired = 0
        drops_before_ms = 0 if is_base or self._store.is_replica else now_ms
        try:
            yield from self._take(reader, dbs, replaces, leaves_libraries, drops_before_ms)
        except (Damaged, Failure, OSError) as error:
            raise CannotLoad(str(error)) from None
        finally:
            if not is_base:
                self.loading = None
                file.close()
        self.position = reader.position
        self._tell_loaded(reader)

    def _take(
        self, reader: RdbReader, dbs: Sequence[Db], replaces: bool, leaves_libraries: bool, drops_before_ms: int
    ) -> Iterator[None]:  # fmt: skip
        libraries = 0
        filler = Filler(
            reader, dbs, replaces=replaces, drops_before_ms=drops_before_ms,
            expired=lambda db, key: self.expired_told(db, key),
        )  # fmt: skip
        left = self._keys_a_slice()
        reader.gathers = left == KEYS_A_SLICE
        for entry in reader.entries():
            if len(reader.libraries) > libraries and not leaves_libraries:
                libraries = self._learn(reader, libraries, replaces)
            filler.add(entry)
            self.keys_loaded, self.keys_expired = filler.keys, filler.expired_keys
            left -= 1
            if not left or type(entry) is Strings:
                self.hold_for_key()
                yield
                left = self._keys_a_slice()
                reader.gathers = left == KEYS_A_SLICE
        yield from filler.finish()
        if not leaves_libraries:
            self._learn(reader, libraries, replaces)

    def _keys_a_slice(self) -> int:
        interval_bytes = self._store.settings.loading_process_events_interval_bytes
        if self.load_delay_us > 0 or interval_bytes < FINE_INTERVAL_BYTES:
            return 1
        return min(-self.load_delay_us or KEYS_A_SLICE, KEYS_A_SLICE)

    @property
    def load_delay_us(self) -> int:
        """key-load-delay: a negative one is a microsecond after so many keys."""
        return self._store.settings.key_load_delay

    def hold_for_key(self) -> None:
        if delay_us := self.load_delay_us:
            self._clock.hold(max(delay_us, 1) / 1e6)

    def _learn(self, reader: RdbReader, known: int, replaces: bool) -> int:
        for code in reader.libraries[known:]:
            self._libraries.load(code, replace=replaces)
        return len(reader.libraries)

    def _tell_loaded(self, reader: RdbReader) -> None:
        aux = reader.aux
        if b"redis-ver" in aux:
            self._log.notice(f"Loading RDB produced by version {aux[b'redis-ver'].decode('utf-8', 'replace')}")
        skipped = f", empty keys skipped: {reader.empty_keys}" if reader.empty_keys else ""
        self._log.notice(
            f"Done loading RDB, keys loaded: {self.keys_loaded}, keys expired: {self.keys_expired}{skipped}."
        )

    def reload(self, *, saves: bool, flushes: bool, replaces: bool, now_ms: int) -> bool:
        """DEBUG RELOAD. False where the file could not be written. Raises CannotLoad, with what was there gone."""
        if saves and not self.save_quietly():
            return False
        if flushes:
            for db in self._store.dbs:
                db.clear()
            self._libraries.flush()
        try:
            for _ in self.load(replaces=replaces, now_ms=now_ms):
                pass
        except FileNotFoundError as error:
            raise CannotLoad(f"{self.path}: {error.strerror}") from None
        return True


class Pause:
    """Called after keys: says how many, and waits where rdb-key-save-delay wants that to be slow (µs; a negative one is
    a microsecond after so many keys)."""

    def __init__(self, clock: Clock, delay_us: int, report: Callable[[int], None] | None) -> None:
        self._clock = clock
        self._delay_us = delay_us
        self._report = report

    def __call__(self, keys: int) -> None:
        if self._delay_us:
            self._clock.hold(max(self._delay_us, 1) / 1e6)
        if self._report is not None:
            self._report(keys)


def keys_a_report(delay_us: int) -> int:
    if delay_us > 0:
        return 1
    return min(-delay_us, KEYS_A_REPORT) if delay_us else KEYS_A_REPORT
