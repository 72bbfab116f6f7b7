"""An append-only file read back: what the manifest names, in its order.

    base        RDB, or commands; of Redis before 7 both in one file
    increments  commands

Law 1: of the last file that holds anything the end may be missing (aof-load-truncated): it is cut to its last whole
       unit. A transaction is one: without its EXEC nothing of it is run, and it is cut to before its MULTI.
Law 2: whatever else is not right ends in CannotLoad, and the files stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from miniredis.keyspace.db import Db
from miniredis.persist.aof_manifest import Manifest
from miniredis.persist.aof_read import CommandReader, Damaged, Short
from miniredis.persist.snapshots import CannotLoad, Loading, Snapshots
from protocol.disk.files import Disk, File
from protocol.ops.clock import Clock
from protocol.ops.logs import Logger

MAGIC: Final = b"REDIS"


class Unknown(Exception):
    """A command that is not one here."""


class Replay(Protocol):
    """Runs commands."""

    @property
    def is_amid_transaction(self) -> bool: ...
    def run(self, commands: list[tuple[list[bytes], int]], valid: int) -> int:
        """Where the last whole unit ended, `valid` before any. Raises Unknown. Then it may be waiting: for the end of a
        slow script, with what comes after it still to be run."""

    @property
    def is_waiting(self) -> bool: ...
    def go_on(self, valid: int) -> int:
        """As `run`, with what was left."""

    def abandon(self) -> None:
        """What was begun with MULTI is not to be."""


class Progress:
    """Over all files: for INFO."""

    def __init__(self, size_bytes: int) -> None:
        self.aux: dict[bytes, bytes] = {}
        self.position = 0
        self.size_bytes = size_bytes


class Loader:
    """Loads once. `directory` holds the files; `size` and `base_size` are bytes, told when it is done."""

    def __init__(
        self, directory: str, dbs: Sequence[Db], snapshots: Snapshots, replay: Replay, *, disk: Disk, clock: Clock,
        log: Logger, allows_truncated: bool, preamble_name: str,
    ) -> None:  # fmt: skip
        self._directory = directory
        self._dbs = dbs
        self._snapshots = snapshots
        self._replay = replay
        self._disk = disk
        self._clock = clock
        self._log = log
        self._allows_truncated = allows_truncated
        self._preamble_name = preamble_name
        self._progress = Progress(0)
        self.size = 0
        self.base_size = 0

    def load(self, manifest: Manifest) -> Iterator[None]:
        """A slice at a time. Raises CannotLoad."""
        parts = manifest.parts
        sizes = [self._size_of(part.name) for part in parts]
        self.size = sum(sizes)
        self.base_size = sizes[0] if manifest.base is not None else 0
        if not self.size:
            return
        self._progress.size_bytes = self.size
        self._snapshots.loading = Loading(self._progress, self._clock.wall_ms() // 1000)
        # A new file that nothing has come into yet leaves the one before the last: effects may still go there, where
        # putting the manifest in its place has half failed. Not so a base: it was whole before anything came after it.
        first = 1 if manifest.base is not None and manifest.increments else 0
        last = max([number for number, size in enumerate(sizes) if size and number >= first], default=first)
        try:
            for number, (part, size) in enumerate(zip(parts, sizes, strict=True)):
                started = self._clock.monotonic()
                yield from self._load_file(part.name, is_last=number >= last)
                kind = "base" if part is manifest.base else "incr"
                took_s = self._clock.monotonic() - started
                self._log.notice(f"DB loaded from {kind} file {part.name}: {took_s:.3f} seconds")
                self._progress.position += size
        finally:
            self._snapshots.loading = None

    def _size_of(self, name: str) -> int:
        try:
            return self._disk.size(f"{self._directory}/{name}")
        except OSError as error:
            raise CannotLoad(f"Unable to obtain the AOF file {name} length. stat: {error.strerror}") from None

    def _load_file(self, name: str, *, is_last: bool) -> Iterator[None]:
        try:
            file = self._disk.open(f"{self._directory}/{name}", create=False)
        except OSError as error:
            raise CannotLoad(
                f"Fatal error: can't open the append log file {name} for reading: {error.strerror}"
            ) from None
        try:
            start = 0
            if file.read(0, len(MAGIC)) == MAGIC:
                yield from self._load_rdb(file, name)
                start = self._snapshots.position
            yield from self._run(file, name, start, is_last=is_last)
        except OSError as error:
            raise CannotLoad(f"Unrecoverable error reading the append only file {name}: {error.strerror}") from None
        finally:
            file.close()

    def _load_rdb(self, file: File, name: str) -> Iterator[None]:
        is_old = name == self._preamble_name
        self._log.notice(
            "Reading RDB preamble from AOF file..." if is_old else "Reading RDB base file on AOF loading..."
        )
        try:
            yield from self._snapshots.read(file, self._dbs, now_ms=0, is_base=True)
        except CannotLoad as error:
            self._log.warning(str(error))
            kind = "RDB preamble of the AOF file" if is_old else "RDB base file"
            raise CannotLoad(f"Error reading the {kind} {name}, AOF loading aborted") from None
        if is_old:
            self._log.notice("Reading the remaining AOF tail...")

    def _run(self, file: File, name: str, start: int, *, is_last: bool) -> Iterator[None]:
        replay, progress = self._replay, self._progress
        before = progress.position
        valid = start  # where the last whole unit ended
        try:
            for commands in CommandReader(file, start):
                for some in self._slowed(commands):
                    valid = replay.run(some, valid)
                    while replay.is_waiting:
                        yield
                        valid = replay.go_on(valid)
                    progress.position = before + some[-1][1]
                    yield
            if not replay.is_amid_transaction:
                progress.position = before
                return
            replay.abandon()
            self._log.warning(f"Revert incomplete MULTI/EXEC transaction in AOF file {name}")
        except Unknown as error:
            raise CannotLoad(f"Unknown command '{error}' reading the append only file {name}") from None
        except Damaged as error:
            raise CannotLoad(
                f"Bad file format reading the append only file {name}: {error}. Make a backup of your AOF file, then "
                "use miniredis check-aof --fix <filename.manifest>"
            ) from None
        except Short:
            replay.abandon()
        progress.position = before
        self._cut(file, name, valid, is_last=is_last)

    def _slowed(self, commands: list[tuple[list[bytes], int]]) -> Iterator[list[tuple[list[bytes], int]]]:
        """All at once, or each after the time that key-load-delay wants."""
        if not self._snapshots.load_delay_us:
            yield commands
            return
        for command in commands:
            self._snapshots.hold_for_key()
            yield [command]

    def _cut(self, file: File, name: str, valid: int, *, is_last: bool) -> None:
        """The file ends in the middle of something that begins at `valid`."""
        if not self._allows_truncated:
            raise CannotLoad(
                f"Unexpected end of file reading the append only file {name}. You can: 1) Make a backup of your AOF "
                "file, then use miniredis check-aof --fix <filename.manifest>. 2) Alternatively you can set the "
                "'aof-load-truncated' configuration option to yes and restart the server."
            )
        self._log.warning(f"!!! Warning: short read while loading the AOF file {name}!!!")
        if not is_last:
            raise CannotLoad(f"Fatal error: the truncated file is not the last file: {name} is whole up to {valid}")
        self._log.warning(f"!!! Truncating the AOF {name} at offset {valid} !!!")
        self.size -= file.size - valid
        try:
            file.truncate(valid)
            file.sync()
        except OSError as error:
            raise CannotLoad(f"Error truncating the AOF file {name}: {error.strerror}") from None
        self._log.warning(f"AOF {name} loaded anyway because aof-load-truncated is enabled")
