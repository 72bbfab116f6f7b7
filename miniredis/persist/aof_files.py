"""The files of an append-only file in their directory: the manifest on the disk, and what it names.

    appenddirname/   appendonly.aof.manifest          put in the place of the one before with a rename
                     appendonly.aof.1.base.rdb        named by it
                     appendonly.aof.1.incr.aof
                     temp-appendonly.aof.manifest     not yet in its place

Law: the manifest names only what is on the medium, and what no manifest names any more is removed after that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from miniredis.persist.aof_file import FileSettings
from miniredis.persist.aof_manifest import SUFFIX, TEMPORARY, BadManifest, Manifest
from miniredis.persist.snapshots import CannotLoad, SaveSettings
from protocol.disk.files import Disk
from protocol.ops.logs import Logger


class AofSettings(SaveSettings, FileSettings, Protocol):
    """The directives of the append-only file."""

    @property
    def appendfilename(self) -> str: ...
    @property
    def appenddirname(self) -> str: ...
    @property
    def aof_load_truncated(self) -> bool: ...
    @property
    def aof_use_rdb_preamble(self) -> bool: ...
    @property
    def aof_rewrite_incremental_fsync(self) -> bool: ...
    @property
    def aof_disable_auto_gc(self) -> bool: ...
    @property
    def auto_aof_rewrite_percentage(self) -> int: ...
    @property
    def auto_aof_rewrite_min_size(self) -> int: ...


class AofFiles:
    """`manifest` is the one in use: what the disk has, or had before a change that did not succeed."""

    def __init__(self, settings: Callable[[], AofSettings], disk: Disk, log: Logger) -> None:
        self._settings = settings
        self._disk = disk
        self._log = log
        self.manifest = Manifest("")

    @property
    def directory(self) -> str:
        settings = self._settings()
        return f"{settings.dir}/{settings.appenddirname}"

    def path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def read(self) -> None:
        """What is there of an append-only file, in use or not. Raises CannotLoad."""
        name = self._settings().appendfilename
        self.manifest = Manifest(name)
        path = self.path(name + SUFFIX)
        if not self._disk.exists(path):
            return
        try:
            self.manifest = Manifest.read(name, self._disk.read(path))
        except BadManifest as error:
            raise CannotLoad("\n".join(error.told)) from None
        except OSError as error:
            raise CannotLoad(
                f"Fatal error: can't open the AOF manifest file {path} for reading: {error.strerror}"
            ) from None

    def upgrade(self) -> None:
        """The one file that Redis had before 7 becomes the base. A crash in between does no harm: it is done again."""
        settings, manifest, disk = self._settings(), self.manifest, self._disk
        name = settings.appendfilename
        old = f"{settings.dir}/{name}"
        is_half_done = (
            manifest.base is not None
            and not manifest.increments
            and manifest.base.name == name
            and not disk.exists(self.path(name))
        )
        if not disk.exists(old) or disk.is_dir(old) or not (is_half_done or not manifest.parts):
            return
        manifest.adopt()
        try:
            disk.make_dirs_durably(self.directory)
            self.put(manifest)
            disk.rename(old, self.path(name))
            disk.sync_dir(self.directory)
        except OSError as error:
            raise CannotLoad(
                f"Error trying to move the old AOF file {name} into dir {settings.appenddirname}: {error.strerror}"
            ) from None
        self._log.notice(
            f"Successfully migrated an old-style AOF file ({name}) into the AOF directory ({settings.appenddirname})."
        )

    def put(self, manifest: Manifest) -> None:
        """Put the manifest in the place of the one before. Raises OSError."""
        name = manifest.name + SUFFIX
        temporary = self.path(TEMPORARY + name)
        file = self._disk.create(temporary)
        try:
            file.append(manifest.text())
            file.sync()
        finally:
            file.close()
        self._disk.rename(temporary, self.path(name))
        self._disk.sync_dir(self.directory)

    def put_back(self) -> None:
        """The next manifest may be in its place though its directory could not be synced: effects go into no file of
        its, so the one before comes back. Where that fails too, a start does with either."""
        try:
            self.put(self.manifest)
        except OSError as error:
            self._log.warning(f"Error writing the AOF manifest file: {error.strerror}")

    def remove_history(self) -> None:
        """What no data is in any more goes, then its names from the manifest. If that fails it is done another time."""
        manifest = self.manifest
        if self._settings().aof_disable_auto_gc or not manifest.history:
            return
        for part in manifest.history:
            self._log.notice(f"Removing the history file {part.name} in the background")
            self.remove(self.path(part.name))
        manifest.history = []
        try:
            self.put(manifest)
        except OSError as error:
            self._log.warning(f"Error writing the AOF manifest file: {error.strerror}")

    def make_way(self, name: str) -> None:
        """What lies under a name that no manifest has given away yet is the rest of a beginning that a crash cut off;
        or all there is, where the manifest was lost: it goes on under another name. Raises OSError."""
        path, disk = self.path(name), self._disk
        if not disk.exists(path) or not disk.size(path):
            return
        number = 1
        while disk.exists(f"{path}.unnamed-{number}"):
            number += 1
        disk.rename(path, f"{path}.unnamed-{number}")
        self._log.warning(
            f"The AOF manifest does not name {name}, which has data: it was not loaded, and is kept as "
            f"{name}.unnamed-{number}"
        )

    def remove(self, path: str) -> None:
        """As far as it can be: nothing hangs on it."""
        try:
            self._disk.remove(path)
        except OSError as error:
            self._log.debug(f"{path}: {error.strerror}")
