"""A disk in memory that knows what was written from what was synced, and directory entries from data.

`crash` leaves what a machine that lost its power could leave: everything synced, and of the rest any prefix of each
file's later writes (the last one torn anywhere) and any of the later changes of each directory. All of a file's and
none of it are as likely as something in between: what one missing fsync spoils shows where this file lost everything
and that one nothing.
"""

import errno
import os
import random
from collections.abc import Callable

from protocol.disk.files import AlreadyLocked, Buffer, Disk, File, Lock


class Node:
    """A file's bytes: now, and as of the last fsync, with the operations in between."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.synced = bytearray()
        self.later: list[tuple[int, bytes | None]] = []  # (position, bytes written), or (size, None) for a truncation

    def write(self, position: int, data: bytes) -> None:
        apply(self.data, position, data)
        self.later.append((position, data))

    def truncate(self, size: int) -> None:
        apply(self.data, size, None)
        self.later.append((size, None))

    def sync(self, changes: int | None = None) -> None:
        """Of what came later only the first so many: those that were there when the fsync began."""
        for position, data in self.later[:changes]:
            apply(self.synced, position, data)
        del self.later[:changes]

    def copy(self) -> "Node":
        twin = Node()
        twin.data, twin.synced, twin.later = self.data.copy(), self.synced.copy(), self.later.copy()
        return twin

    def crash(self, chance: random.Random) -> None:
        kept = bytearray(self.synced)
        most = len(self.later)
        for position, data in self.later[: chance.choice((0, most, chance.randint(0, most)))]:
            torn = data is not None and chance.random() < 0.2
            apply(kept, position, data[: chance.randint(0, len(data))] if torn and data is not None else data)
            if torn:
                break
        self.data, self.synced, self.later = kept, kept.copy(), []


def apply(target: bytearray, position: int, data: bytes | None) -> None:
    if data is None:
        del target[position:]
        target.extend(bytes(position - len(target)))
    else:
        target.extend(bytes(max(0, position - len(target))))
        target[position : position + len(data)] = data


class SimFile(File):
    """An open file of a SimDisk."""

    def __init__(self, path: str, node: Node, may: Callable[[str], None]) -> None:
        self.path, self._node, self._may = path, node, may
        self.size = len(node.data)
        self.closed = False
        self._borrowed = 0

    def append(self, *buffers: Buffer) -> int:
        self._may("append")
        start = self.size
        self._node.write(start, b"".join(buffers))
        self.size = len(self._node.data)
        return start

    def write_at(self, position: int, data: Buffer) -> None:
        self._may("write")
        self._node.write(position, bytes(data))
        self.size = len(self._node.data)

    def read(self, position: int, size: int) -> bytes:
        self._may("read")
        return bytes(self._node.data[position : position + size])

    def read_hot(self, position: int, size: int) -> memoryview | None:
        return memoryview(self.read(position, size))

    def truncate(self, size: int) -> None:
        self._may("truncate")
        self._node.truncate(size)
        self.size = size

    def sync(self) -> None:
        self._may("sync")
        self._node.sync()

    def sync_data(self) -> None:
        self.sync()

    def close(self) -> None:
        self.closed = True

    def give_back(self) -> None:
        self._borrowed -= 1


class SimLock(Lock):
    """A lock in the disk's own set."""

    def __init__(self, held: set[str], path: str) -> None:
        if path in held:
            raise AlreadyLocked(path)
        held.add(path)
        self._held, self._path = held, path

    def release(self) -> None:
        self._held.discard(self._path)


class SimDisk(Disk):
    """Files by path. `fault` may raise an OSError for (operation, path) to play a bad or full disk."""

    def __init__(self, chance: random.Random, fault: Callable[[str, str], None] = lambda operation, path: None) -> None:
        self._chance = chance
        self.fault = fault
        self._dirs: dict[str, dict[str, Node | None]] = {"/": {}}  # None marks a directory
        self._kept: dict[str, dict[str, Node | None]] = {"/": {}}  # as of each directory's last fsync
        self._locks: set[str] = set()

    def copy(self, chance: random.Random) -> "SimDisk":
        """Another one with the same on it: as it is, and as it was synced."""
        twin = SimDisk(chance)
        nodes: dict[int, Node] = {}

        def copied(names: dict[str, Node | None]) -> dict[str, Node | None]:
            return {
                name: node if node is None else nodes.setdefault(id(node), node.copy()) for name, node in names.items()
            }

        twin._dirs = {path: copied(names) for path, names in self._dirs.items()}
        twin._kept = {path: copied(names) for path, names in self._kept.items()}
        return twin

    def let_go(self) -> None:
        """The process is gone: its locks are free, everything it wrote stays in the page cache."""
        self._locks.clear()

    def crash(self) -> None:
        """Lose the power: nothing is open or locked, and what was not synced may be gone."""
        self.let_go()
        for directory, entries in self._dirs.items():
            kept = self._kept.setdefault(directory, {})
            changes = [
                (n, entries.get(n)) for n in sorted(entries.keys() | kept.keys()) if entries.get(n) is not kept.get(n)
            ]
            self._chance.shuffle(changes)
            for name, node in changes[: self._chance.randint(0, len(changes))]:
                if name in entries:
                    kept[name] = node
                else:
                    del kept[name]
        self._forget_second_names()
        reachable: dict[str, dict[str, Node | None]] = {}
        waiting = ["/"]
        while waiting:
            here = waiting.pop()
            reachable[here] = dict(self._kept.get(here, {}))
            waiting += [os.path.join(here, name) for name, node in reachable[here].items() if node is None]
        self._dirs, self._kept = reachable, {path: dict(names) for path, names in reachable.items()}
        for names in reachable.values():
            for node in names.values():
                if node is not None:
                    node.crash(self._chance)

    def _forget_second_names(self) -> None:
        """A file that was renamed has one name: a file system with a journal takes both changes in one step."""
        now = {id(node): (place, name) for place, names in self._dirs.items() for name, node in names.items() if node}
        for place, names in self._kept.items():
            for name, node in list(names.items()):
                there = now.get(id(node), (place, name)) if node is not None else (place, name)
                if there != (place, name) and self._kept.get(there[0], {}).get(there[1]) is node:
                    del names[name]

    def _split(self, path: str) -> tuple[dict[str, Node | None], str]:
        directory, name = os.path.split(self.absolute(path))
        if directory not in self._dirs:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._dirs[directory], name

    def _node(self, path: str) -> Node:
        names, name = self._split(path)
        node = names.get(name)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return node

    def open(self, path: str, *, create: bool = True, read_only: bool = False) -> File:
        self.fault("open", path)
        names, name = self._split(path)
        if name not in names and create and not read_only:
            names[name] = Node()
        return SimFile(path, self._node(path), lambda operation: self.fault(operation, path))

    def exists(self, path: str) -> bool:
        path = self.absolute(path)
        directory, name = os.path.split(path)
        return path in self._dirs or name in self._dirs.get(directory, {})

    def is_dir(self, path: str) -> bool:
        return self.absolute(path) in self._dirs

    def is_writable(self, path: str) -> bool:
        return self.exists(path)

    def size(self, path: str) -> int:
        return len(self._node(path).data)

    def modified_ms(self, path: str) -> int:
        self._node(path)
        return 0

    def list(self, directory: str) -> list[str]:
        try:
            return sorted(self._dirs[self.absolute(directory)])
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory) from None

    def absolute(self, path: str) -> str:
        return os.path.normpath("/" + path.lstrip("/"))

    def current_dir(self) -> str:
        return "/"

    def change_dir(self, path: str) -> None:
        if not self.is_dir(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def make_dirs(self, path: str) -> None:
        path = self.absolute(path)
        if path not in self._dirs:
            parent, name = os.path.split(path)
            self.make_dirs(parent)
            self._dirs[parent][name] = None
            self._dirs[path] = {}

    def remove(self, path: str) -> None:
        self._node(path)
        names, name = self._split(path)
        del names[name]

    def set_mode(self, path: str, mode: int) -> None:
        assert self.exists(path)  # who may read it plays no part here

    def remove_tree(self, path: str) -> None:
        path = self.absolute(path)
        names, name = self._split(path)
        del names[name]
        for directory in [d for d in self._dirs if d == path or d.startswith(path + "/")]:
            del self._dirs[directory]

    def rename(self, source: str, target: str) -> None:
        self.fault("rename", source)
        source, target = self.absolute(source), self.absolute(target)
        names, name = self._split(source)
        into, new = self._split(target)
        into[new] = names.pop(name)
        for directory in [d for d in self._dirs if d == source or d.startswith(source + "/")]:
            self._dirs[target + directory[len(source) :]] = self._dirs.pop(directory)

    def sync_dir(self, directory: str) -> None:
        self.fault("sync_dir", directory)
        directory = self.absolute(directory)
        self._kept[directory] = dict(self._dirs[directory])

    def read(self, path: str) -> bytes:
        self.fault("read", path)
        return bytes(self._node(path).data)

    def lock(self, path: str) -> Lock:
        return SimLock(self._locks, self.absolute(path))
