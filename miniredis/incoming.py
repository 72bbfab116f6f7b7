"""A primary's data set on its way here: to a file, and from there into the databases.

    payload  ──► temp-<seconds>.<pid>.rdb ──► fsync ──► dbfilename ──► old data goes ──► read, a slice at a time
    swapdb                            └──► read beside the old data ──► exchanged ──► file goes

Laws:
1. The old data and its file stay until the new file is whole, and its sum right. What was read only half is served to
   nobody, and does not stay.
2. A load gives way to others, who are told that it loads.
"""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Final

from miniredis.engine.state import BUSY_SCRIPT, LOADING, LOADING_BESIDE
from miniredis.keyspace.db import Db
from miniredis.loading import take_steps
from miniredis.persist.rdb_sum import Sum
from miniredis.persist.snapshots import CannotLoad
from protocol.resp.values import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniredis.config import Config
    from miniredis.engine.execute import Engine
    from miniredis.persist.snapshots import Snapshots
    from miniredis.replication.history import History
    from miniredis.replication.payload import Payload
    from protocol.disk.files import Disk, File
    from protocol.ops.logs import Logger
    from protocol.ops.process import Process

# Bytes of a payload that are written before the medium is asked to have them.
SYNC_EVERY_BYTES: Final = 8 * 1024 * 1024
# Whether a slow script has ended is looked at so often.
SCRIPT_RETRY_S: Final = 0.02


class Incoming:
    """`forget` is called when the data of before goes: with it goes what was known of its history."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, engine: Engine, config: Config, history: History, snapshots: Snapshots,
        forget: Callable[[], None], *, disk: Disk, process: Process, log: Logger,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._engine = engine
        self._state = engine.state
        self._config = config
        self._history = history
        self._snapshots = snapshots
        self._forget = forget
        self._disk = disk
        self._process = process
        self._log = log
        self._file: File | None = None
        self._name = ""  # of the file, where it is still ours to remove
        self._unsynced_bytes = 0
        self._sum = Sum()
        self._is_beside = False  # it does not go through dbfilename
        self._is_swapped = False  # it is read beside the data of before
        self._is_earlier = False  # the data of before is of the same history
        self._loading = 0  # what of State.mode stands for our loading it

    def begin(self, payload: Payload, id: bytes) -> bool:
        """A data set of this history comes; False: there is no place for it."""
        mode = self._config["repl-diskless-load"]
        is_empty = not any(len(db) for db in self._state.dbs)
        self._is_swapped = mode == "swapdb"
        self._is_beside = self._is_swapped or (mode == "on-empty-db" and is_empty)
        self._is_earlier = id == self._history.id
        way = "to parser" if self._is_beside else "to disk"
        what = "streamed RDB from master with EOF" if payload.mark else f"{payload.size} bytes from master"
        self._log.notice(f"MASTER <-> REPLICA sync: receiving {what} {way}")
        self._name = f"{self._config['dir']}/temp-{self._state.clock.wall_ms() // 1000}.{self._process.pid()}.rdb"
        try:
            self._file = self._disk.create(self._name)
        except OSError as error:
            self._log.warning(f"Opening the temp file needed for MASTER <-> REPLICA synchronization: {error.strerror}")
            return False
        self._unsynced_bytes = 0
        self._sum = Sum()
        if self._is_beside:
            self._begin_loading()
        return True

    def take(self, data: bytes) -> bool:
        """Its next bytes; False: they cannot be written."""
        file = self._file
        assert file is not None
        try:
            if data:
                file.append(data)
        except OSError as error:
            self._log.warning(
                "Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA "
                f"synchronization: {error.strerror}"
            )
            return False
        self._sum.feed(data)
        self._unsynced_bytes += len(data)
        if self._unsynced_bytes >= SYNC_EVERY_BYTES and not self._is_beside:
            self._unsynced_bytes = 0
            self._disk.async_sync(file, self._loop).add_done_callback(_look_at)  # the last sync tells of what failed
        return True

    def abandon(self) -> None:
        """It is of no use any more."""
        self._end_loading()
        file, self._file = self._file, None
        if file is not None and not file.closed:
            file.close()
        if self._name:
            name, self._name = self._name, ""
            try:
                self._disk.remove(name)
            except OSError as error:
                self._log.debug(f"{name}: {error.strerror}")

    @property
    def is_sound(self) -> bool:
        """Whether what came can be a data set; the log says why not."""
        fault = self._sum.fault(checks_sum=self._config["rdbchecksum"] and self._state.checks_sums)
        if fault:
            self._log.warning(f"The data set that came from MASTER is damaged and refused: {fault}")
        return not fault

    async def replace(self) -> int | None:
        """It is whole: put it in the place of the data there is. The database its stream begins in; None where it could
        not be read: then there is the data of before, or none."""
        try:
            if not self._is_beside:
                await self._put_in_place()
            await self._outlast_script()
            return await self._load()
        except OSError as error:
            self._log.warning(f"Failed trying to write the DB in MASTER <-> REPLICA synchronization: {error.strerror}")
            return None

    async def _outlast_script(self) -> None:
        """A slow script sees one data set from its beginning to its end."""
        while self._state.mode & BUSY_SCRIPT:
            await asyncio.sleep(SCRIPT_RETRY_S)

    async def _put_in_place(self) -> None:
        """The file becomes the one this server would load at its next start."""
        file = self._file
        assert file is not None
        await self._disk.async_sync(file, self._loop)
        self._snapshots.end_child()
        self._disk.rename(self._name, self._snapshots.path)
        self._name = ""
        self._disk.sync_dir(self._config["dir"])
        file.close()
        self._file = self._disk.open(self._snapshots.path, create=False, read_only=True)

    async def _load(self) -> int | None:
        state, file = self._state, self._file
        assert file is not None
        dbs = [Db(db.index, state.keyspace) for db in state.dbs] if self._is_swapped else state.dbs
        if not self._is_swapped:
            self._forget()
            self._log.notice("MASTER <-> REPLICA sync: Flushing old data")
            self._clear(state.dbs)
            self._engine.scripts.functions.flush()
        self._log.notice("MASTER <-> REPLICA sync: Loading DB in memory")
        self._begin_loading()
        state.keyspace.own_deadlines = None
        is_whole = False
        try:
            await self._read(file, dbs)
            if self._is_swapped:
                await self._outlast_script()
                self._forget()
                self._log.notice("MASTER <-> REPLICA sync: Swapping active DB with loaded DB")
                self._swap(dbs)
            is_whole = True
        except CannotLoad as error:
            source = "socket" if self._is_beside else "disk"
            self._log.warning(str(error))
            self._log.warning(f"Failed trying to load the MASTER synchronization DB from {source}, check server logs.")
            return None
        finally:
            if not is_whole:
                self._clear(dbs)
            self._end_loading()
            self._dispose()
        if self._is_beside:
            state.dirty += 1
        db = self._snapshots.aux.get(b"repl-stream-db", b"")
        return int(db) % len(dbs) if db.isdigit() else 0

    def _begin_loading(self) -> None:
        """Clients hear that a data set is loaded: one that goes beside the disk from the moment it comes. An earlier
        state of the same history may be read until it is there."""
        self._end_loading()
        self._loading = LOADING_BESIDE if self._is_swapped and self._is_earlier else LOADING
        self._state.mode |= self._loading

    def _end_loading(self) -> None:
        self._state.mode &= ~self._loading
        self._loading = 0

    async def _read(self, file: File, dbs: list[Db]) -> None:
        gc.disable()
        try:
            now = self._engine.begin_unit()
            steps = self._snapshots.read(file, dbs, leaves_libraries=self._is_swapped, now_ms=now)
            await take_steps(steps, self._state)
        finally:
            gc.enable()

    def _dispose(self) -> None:
        """The file has been read."""
        config = self._config
        if not self._is_beside and config["rdb-del-sync-files"] and not (config["save"] or config["appendonly"]):
            self._log.notice("Removing the RDB file obtained from the master. This replica has persistence disabled")
            self._name = self._snapshots.path
        self.abandon()

    def _clear(self, dbs: list[Db]) -> None:
        self._engine.begin_unit()
        for db in dbs:
            db.clear(is_told=self._config["replica-lazy-flush"])
            db.dirty = 0
        self._engine.end_unit()

    def _swap(self, loaded: list[Db]) -> None:
        """The loaded databases become ours. Raises CannotLoad where the functions cannot be had, with nothing left."""
        state, functions = self._state, self._engine.scripts.functions
        self._engine.begin_unit()
        for db, new in zip(state.dbs, loaded, strict=True):
            state.watches.swapping(db, new)
            db.swap(new)
        self._engine.end_unit()
        self._clear(loaded)
        functions.flush()
        try:
            for code in self._snapshots.libraries:
                functions.load(code)
        except Failure as failure:
            self._clear(state.dbs)
            raise CannotLoad(str(failure)) from None


def _look_at(sync: asyncio.Future[None]) -> None:
    if not sync.cancelled():
        sync.exception()
