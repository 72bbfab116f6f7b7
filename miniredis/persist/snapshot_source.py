"""Snapshots for replicas: in the file that everybody else uses too, or as bytes that are passed on while they are made.

Law: what goes to replicas directly never touches the file; who wants only a part of the data gets it that way alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Any, Final

from miniredis.keyspace.db import Db
from miniredis.persist.children import SYNC, Reporter
from miniredis.persist.snapshots import Snapshots
from miniredis.structures.hash import Hash
from protocol.disk.files import Disk, File
from protocol.ops.logs import Logger
from protocol.resp.values import Failure

# Keys that are named where somebody cannot read them, and how many of a database are looked at to find them.
SHOWN_KEYS: Final = 5
LOOKED_AT: Final = 1000
# What a child says at once.
PIECE_BYTES: Final = 60 * 1024


class _Pipe:
    """Takes what a file takes; it goes to the parent."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def append(self, data: bytes) -> int:
        for start in range(0, len(data), PIECE_BYTES):
            self._reporter.send(data[start : start + PIECE_BYTES])
        return 0

    def sync(self) -> None:
        """Nothing of it rests anywhere."""


def _has_deadlines(value: object) -> bool:
    return isinstance(value, Hash) and value.deadlines is not None and value.deadlines.first() is not None


class SnapshotSource:
    """`dbs` are what is in the snapshots; while `is_amid_unit` something is changing them, and none may be made."""

    def __init__(
        self, snapshots: Snapshots, disk: Disk, log: Logger, dbs: Sequence[Db], is_amid_unit: Callable[[], bool]
    ) -> None:
        self._snapshots = snapshots
        self._disk = disk
        self._log = log
        self._dbs = dbs
        self._is_amid_unit = is_amid_unit

    @property
    def is_busy(self) -> bool:
        return bool(self._snapshots.children.kind) or self._is_amid_unit()

    @property
    def is_saving(self) -> bool:
        return self._snapshots.is_under_way

    def newer_keys(self) -> list[bytes]:
        volatile = chain.from_iterable([[(db, key) for key in islice(db.volatile, LOOKED_AT)] for db in self._dbs])
        return list(islice((key for db, key in volatile if _has_deadlines(db.peek(key))), SHOWN_KEYS))

    def save(self) -> bool:
        return self._snapshots.save_in_background()

    def stream(
        self, *, skips_data: bool, skips_functions: bool, send: Callable[[bytes], None], ended: Callable[[bool], None]
    ) -> bool:  # fmt: skip
        children, snapshots = self._snapshots.children, self._snapshots

        def work(reporter: Reporter) -> int:
            pipe: Any = _Pipe(reporter)
            try:
                snapshots.write_all(
                    pipe, reporter.progress, is_synced_often=False, skips_data=skips_data,
                    skips_functions=skips_functions,
                )  # fmt: skip
            except (OSError, Failure) as error:
                reporter.log(True, f"Write error while sending DB to replicas: {error}")
                return 1
            return 0

        def child_ended(pid: int, code: int) -> None:
            if code:
                self._log.warning("Background transfer error" if code > 0 else
                                  f"Background transfer terminated by signal {-code}")  # fmt: skip
            else:
                self._log.notice("Background RDB transfer terminated with success")
            ended(code == 0)

        try:
            children.start(SYNC, sum([db.table.size for db in self._dbs]), work, child_ended, send)
        except OSError as error:
            self._log.warning(f"Can't save in background: fork: {error.strerror}")
            return False
        self._log.notice(f"Background RDB transfer started by pid {children.pid}")
        return True

    def pause(self) -> None:
        self._snapshots.children.pause()

    def resume(self) -> None:
        self._snapshots.children.resume()

    def end(self) -> None:
        self._snapshots.children.end()

    def end_save(self) -> None:
        self._snapshots.end_child()

    def open(self) -> File:
        return self._disk.open(self._snapshots.path, create=False, read_only=True)
