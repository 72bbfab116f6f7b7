"""Open files, bounded: ten thousand partitions hold thirty thousand files, a process twenty thousand descriptors.

A `Handle` names a file and opens it when it is needed; `Handles` closes the one that rested longest when more than
`limit` are open (second chance: a use only sets a flag, so it costs an attribute). Everything that must survive a close
(sizes, counts) is kept by the handle's owner, never in the open file.
"""

from protocol.disk.files import Disk, File

__all__ = ["Handle", "Handles"]


class Handle:
    """One file by its path, open or not."""

    __slots__ = ("_file", "_table", "is_used", "path")

    def __init__(self, table: "Handles", path: str) -> None:
        self.path = path
        self.is_used = False
        self._table = table
        self._file: File | None = None

    def file(self) -> File:
        """The open file, for the moment: ask again after anything else was opened."""
        file = self._file
        if file is None:
            file = self._file = self._table.admit(self)
        self.is_used = True
        return file

    @property
    def exists(self) -> bool:
        return self._file is not None or self._table.disk.exists(self.path)

    def close(self) -> None:
        """Close it for now; the next use opens it again."""
        if self._file is not None:
            self._table.forget(self)
            self._file.close()
            self._file = None

    def rename(self, path: str) -> None:
        """Give the file another name; an open one stays open."""
        self._table.disk.rename(self.path, path)
        self.path = path

    def remove(self) -> None:
        self.close()
        if self._table.disk.exists(self.path):
            self._table.disk.remove(self.path)


class Handles:
    """At most `limit` files open at a time."""

    __slots__ = ("_open", "disk", "limit")

    def __init__(self, disk: Disk, limit: int) -> None:
        assert limit > 2, "a segment's three files are in use at the same time"
        self.disk = disk
        self.limit = limit
        self._open: dict[Handle, None] = {}  # in the order of opening, or of the second chance

    def __len__(self) -> int:
        return len(self._open)

    def handle(self, path: str) -> Handle:
        return Handle(self, path)

    def admit(self, handle: Handle) -> File:
        while len(self._open) >= self.limit:
            self._close_one()
        file = self.disk.open(handle.path)
        self._open[handle] = None
        return file

    def forget(self, handle: Handle) -> None:
        del self._open[handle]

    def _close_one(self) -> None:
        for _ in range(len(self._open)):
            handle = next(iter(self._open))
            if not handle.is_used:
                break
            handle.is_used = False
            del self._open[handle]
            self._open[handle] = None
        next(iter(self._open)).close()
