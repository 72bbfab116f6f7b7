"""The only place that touches files.

A `Disk` is handed to whoever keeps something; `tests/sim/disk.py` has one that knows what was written from what was
synced. Laws:

1. An append is whole or it is not there: when the kernel takes only a part (disk full), the file is cut back.
2. A file replaced atomically is the old one or the new one after any crash: temporary name, fsync, rename, fsync of
   the directory.
3. Nothing here waits on the loop for the medium unless its name says so: `async_sync` and `async_read` go through the
   loop's executor.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import stat
import struct
from collections.abc import Sequence
from typing import TypeAlias, TypeVar

__all__ = ["AlreadyLocked", "Buffer", "Disk", "File", "Lock"]

Buffer: TypeAlias = bytes | bytearray | memoryview

Result = TypeVar("Result")

IOV_MAX = 1024  # buffers the kernel takes in one pwritev (Linux's UIO_MAXIOV)


class AlreadyLocked(Exception):
    """Another process, or another server in this one, holds the lock."""


class File:
    """One open file. `size` is its length in bytes; positions and lengths are bytes throughout."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        self._borrowed = 0  # executor calls under way; the descriptor outlives them
        self.closed = False

    def append(self, *buffers: Buffer) -> int:
        """Write at the end; return the position of the first byte. OSError leaves the file as it was."""
        start = self.size
        try:
            self.size = start + self._write_all(buffers, start)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, start)
            raise
        return start

    def _write_all(self, buffers: Sequence[Buffer], position: int) -> int:
        if len(buffers) == 1:
            wanted = len(buffers[0])
            written = os.pwrite(self._descriptor, buffers[0], position)
        else:
            wanted = sum(map(len, buffers))
            written = os.pwritev(self._descriptor, buffers[:IOV_MAX], position)
        if written < wanted:  # more than IOV_MAX buffers, a signal, or a disk that is nearly full
            rest = memoryview(b"".join(buffers))
            while written < wanted:
                count = os.pwrite(self._descriptor, rest[written:], position + written)
                if count == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
                written += count
        return wanted

    def write_at(self, position: int, data: Buffer) -> None:
        self._write_all((data,), position)
        self.size = max(self.size, position + len(data))

    def read(self, position: int, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end of the file. May wait for the medium."""
        data = os.pread(self._descriptor, size, position)
        if len(data) == size or not data:
            return data
        pieces, got = [data], len(data)
        while got < size and (more := os.pread(self._descriptor, size - got, position + got)):
            pieces.append(more)
            got += len(more)
        return b"".join(pieces) if len(pieces) > 1 else data

    def read_hot(self, position: int, size: int) -> memoryview | None:
        """As `read`, from the page cache only: None when that would have to wait for the medium."""
        size = min(size, self.size - position)
        if size <= 0:
            return memoryview(b"")
        target = bytearray(size)
        try:
            got = os.preadv(self._descriptor, [target], position, os.RWF_NOWAIT)
        except BlockingIOError:
            return None
        except OSError as error:  # a file system without NOWAIT (overlay, some network ones): as good as cold
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
                return None
            raise
        return memoryview(target) if got == size else None

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        self.size = size

    def sync(self) -> None:
        """fsync: what was written is on the medium when this returns."""
        os.fsync(self._descriptor)

    def sync_data(self) -> None:
        """As `sync`, without what is only told about the file (when it was written)."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if not self._borrowed:
                os.close(self._descriptor)

    def borrow(self) -> None:
        """An executor thread is about to use the descriptor: a close waits for `give_back`."""
        assert not self.closed
        self._borrowed += 1

    def give_back(self) -> None:
        self._borrowed -= 1
        if self.closed and not self._borrowed:
            os.close(self._descriptor)


class Lock:
    """An exclusive lock on a file, as Kafka's `.lock`; freed by `release` or with the process."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take()
        except OSError as error:
            os.close(self._descriptor)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise AlreadyLocked(path) from None
            raise

    def _take(self) -> None:
        # Java takes POSIX record locks. Linux's open-file-description locks conflict with those and, unlike them,
        # also between two servers in one process.
        if hasattr(fcntl, "F_OFD_SETLK"):
            whole_file = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, whole_file)
        else:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Disk:
    """The machine's file system. Paths are plain strings; OSError means what it means to `os`."""

    def open(self, path: str, *, create: bool = True, read_only: bool = False) -> File:
        flags = os.O_RDONLY if read_only else os.O_RDWR | (os.O_CREAT if create else 0)
        return File(path, os.open(path, flags | os.O_CLOEXEC, 0o644))

    def create(self, path: str) -> File:
        """A new and empty file. What was left by that name is not emptied but goes: where a loss of power cut a rename
        off it may be another name of the very file that is to be replaced."""
        with contextlib.suppress(FileNotFoundError):
            self.remove(path)
        return self.open(path)

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def is_dir(self, path: str) -> bool:
        return os.path.isdir(path)

    def is_writable(self, path: str) -> bool:
        return os.access(path, os.W_OK)

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def modified_ms(self, path: str) -> int:
        """Milliseconds since the epoch of the last write."""
        return os.stat(path).st_mtime_ns // 1_000_000

    def list(self, directory: str) -> list[str]:
        """Names in a directory, sorted: the order of a directory must never decide anything."""
        return sorted(os.listdir(directory))

    def absolute(self, path: str) -> str:
        return os.path.abspath(path)

    def current_dir(self) -> str:
        return os.getcwd()

    def change_dir(self, path: str) -> None:
        os.chdir(path)

    def make_dirs(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)

    def make_dirs_durably(self, path: str) -> None:
        """As `make_dirs`; what had to be made is in its parent on the medium when this returns."""
        parent = os.path.dirname(self.absolute(path))
        if not self.is_dir(path):
            self.make_dirs_durably(parent)
            self.make_dirs(path)
            self.sync_dir(parent)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def remove_socket(self, path: str) -> None:
        """Remove what an earlier run left at a unix socket's path; anything but a socket stays."""
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)

    def set_mode(self, path: str, mode: int) -> None:
        os.chmod(path, mode)

    def remove_tree(self, path: str) -> None:
        shutil.rmtree(path)

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)

    def sync_dir(self, directory: str) -> None:
        """fsync a directory: names made, renamed or removed in it survive a crash from here on."""
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def write_atomically(self, path: str, data: Buffer) -> None:
        """Replace `path` by `data`, or leave it as it was; on the medium when this returns."""
        temporary = path + ".tmp"
        file = self.create(temporary)
        try:
            file.append(data)
            file.sync()
        finally:
            file.close()
        self.rename(temporary, path)
        self.sync_dir(os.path.dirname(path) or ".")

    def lock(self, path: str) -> Lock:
        """Take the lock at `path` for this server, or raise AlreadyLocked."""
        return Lock(path)

    def async_sync(self, file: File, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        return self._lend(file, loop.run_in_executor(None, file.sync))

    def async_read(
        self, file: File, position: int, size: int, loop: asyncio.AbstractEventLoop
    ) -> asyncio.Future[bytes]:
        return self._lend(file, loop.run_in_executor(None, file.read, position, size))

    @staticmethod
    def _lend(file: File, future: asyncio.Future[Result]) -> asyncio.Future[Result]:
        file.borrow()
        future.add_done_callback(lambda _: file.give_back())
        return future
