"""What a disk may hold after the power is lost, at any moment of what a recorded server did to it.

files          what an fsync covered that has ended, and of later writes a prefix, the last one torn anywhere
directories    what an fsync of the directory covered, and of later changes

                 journal    a prefix, and an fsync of any file or directory covers all of them: ext4, xfs
                 posix      any of them: all that is promised. A rename within a directory is one change
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

from tests.crash.recorded import Op, Record
from tests.crash.workload import ACKNOWLEDGED, WRITERS
from tests.sim.disk import Node

INCREMENT: Final = ".incr.aof"
# When the power goes: at a step of a start or a rewrite, while the file that effects go to is new, or whenever.
STEP, SWITCH, WRITE = KINDS = ("step", "switch", "write")
SWITCH_RECORDS: Final = 60


class Written(Node):
    """A file whose changes are counted, so that an fsync covers those that were there when it began."""

    def __init__(self) -> None:
        super().__init__()
        self._durable = 0

    @property
    def changes(self) -> int:
        return self._durable + len(self.later)

    def cover(self, changes: int) -> None:
        more = max(0, changes - self._durable)
        self.sync(more)
        self._durable += more


class Directory:
    """Marks one among names."""


DIRECTORY: Final = Directory()
Target = Written | Directory | None  # None: the name is gone
Names = dict[str, dict[str, Written | Directory]]


class Change:
    """One operation on directories: what becomes of which names."""

    def __init__(self, number: int, names: list[tuple[str, str, Target]]) -> None:
        self.number = number
        self.names = names


class Image(NamedTuple):
    """What is found after it: directories, parents first, and files."""

    directories: list[str]
    files: dict[str, bytes]


class Tree:
    """Directories and files as of the records played so far, now and as of what is on the medium.

    A disk may lie: `ignored` fsyncs, those of a "file" or of a "directory", keep nothing."""

    def __init__(self, *, is_journal: bool = False, ignored: Sequence[str] = ()) -> None:
        self.now: Names = {"/": {}}
        self.kept: Names = {"/": {}}
        self.later: list[Change] = []
        self.paths: dict[int, str] = {}
        self._open: dict[int, Written | str] = {}  # by opening: a file, or a directory's path
        # By where its beginning is recorded: how many changes an fsync covers, of its file and of directories.
        self._syncing: dict[int, tuple[int, int]] = {}
        self._is_journal = is_journal
        self._changes = 0
        self._ignored = ignored

    def play(self, record: Record) -> None:
        if record.op is Op.OPEN:
            self._opened(record)
        elif record.op is Op.RENAME:
            self._renamed(record.first.decode(), record.second.decode())
        elif record.op is Op.UNLINK:
            self._change([(*posixpath.split(record.first.decode()), None)])
        elif record.op is Op.MKDIR:
            self.now[record.first.decode()] = {}
            self._change([(*posixpath.split(record.first.decode()), DIRECTORY)])
        elif record.op is not Op.SEND:
            opened = self._open[record.id]
            if isinstance(opened, Written):
                self._of_file(opened, record)
            else:
                self._of_directory(opened, record)

    def _opened(self, record: Record) -> None:
        path = self.paths[record.id] = record.first.decode()
        if path in self.now:
            self._open[record.id] = path
            return
        directory, name = posixpath.split(path)
        node = self.now[directory].get(name)
        if not isinstance(node, Written):
            node = Written()
            self._change([(directory, name, node)])
        self._open[record.id] = node
        if record.position and node.data:
            node.truncate(0)

    def _renamed(self, source: str, target: str) -> None:
        directory, name = posixpath.split(source)
        self._change([(directory, name, None), (*posixpath.split(target), self.now[directory][name])])

    def _change(self, names: list[tuple[str, str, Target]]) -> None:
        self._changes += 1
        self.later.append(Change(self._changes, names))
        _apply(self.now, names)

    def _of_file(self, node: Written, record: Record) -> None:
        if record.op is Op.WRITE:
            node.write(record.position, record.first)
        elif record.op is Op.TRUNCATE:
            node.truncate(record.position)
        elif record.op is Op.SYNC_BEGIN:
            self._syncing[record.position] = node.changes, self._changes
        elif "file" not in self._ignored:
            of_file, of_directories = self._syncing.pop(record.position)
            node.cover(of_file)
            if self._is_journal:
                self._cover(of_directories, None)

    def _of_directory(self, path: str, record: Record) -> None:
        if record.op is Op.SYNC_BEGIN:
            self._syncing[record.position] = 0, self._changes
        elif "directory" not in self._ignored:
            self._cover(self._syncing.pop(record.position)[1], None if self._is_journal else path)

    def _cover(self, changes: int, directory: str | None) -> None:
        """So many of the changes, of one directory or of all, are on the medium."""
        for change in self.later:
            if change.number <= changes:
                covered = [each for each in change.names if directory in (None, each[0])]
                _apply(self.kept, covered)
                change.names = [each for each in change.names if each not in covered]
        self.later = [change for change in self.later if change.names]

    def crash(self, chance: Random) -> Image:
        """One of the many that there may be."""
        names: Names = {path: dict(entries) for path, entries in self.kept.items()}
        if self._is_journal:
            most = len(self.later)
            survivors = self.later[: chance.choice((0, most, chance.randint(0, most)))]
        else:
            share = chance.choice((0.1, 0.5, 0.9))
            survivors = [change for change in self.later if chance.random() < share]
        for change in survivors:
            _apply(names, change.names)
        found = Image([], {})
        for path, node in _reachable(names):
            if isinstance(node, Written):
                twin = node.copy()
                twin.crash(chance)
                found.files[path] = bytes(twin.data)
            else:
                found.directories.append(path)
        return found

    def everything(self) -> Image:
        """As if every change had reached the medium."""
        reached = list(_reachable(self.now))
        return Image(
            [path for path, node in reached if isinstance(node, Directory)],
            {path: bytes(node.data) for path, node in reached if isinstance(node, Written)},
        )


def _apply(names: Names, changes: list[tuple[str, str, Target]]) -> None:
    for directory, name, target in changes:
        entries = names.setdefault(directory, {})
        if target is None:
            entries.pop(name, None)
        else:
            entries[name] = target


def _reachable(names: Names) -> Iterator[tuple[str, Written | Directory]]:
    waiting = ["/"]
    while waiting:
        here = waiting.pop()
        for name, node in sorted(names.get(here, {}).items()):
            path = posixpath.join(here, name)
            yield path, node
            if isinstance(node, Directory):
                waiting.append(path)


class Promise:
    """What clients had been told until `at`, the moment of the last record."""

    def __init__(self) -> None:
        self.at = 0.0
        self.times: list[list[float]] = [[] for _ in range(WRITERS)]  # of each write, when it was first told of

    def hear(self, record: Record) -> bool:
        """True: there was something of it in what was sent."""
        told = ACKNOWLEDGED.findall(record.first)
        for number, k in told:
            times = self.times[int(number)]
            times += [record.at] * (int(k) + 1 - len(times))
        return bool(told)


def moments(records: list[Record], count: int, chance: Random) -> list[int]:
    """After which records the power goes: as many of each kind, whatever share of the run it was."""
    tree = Tree()
    kinds: dict[str, list[int]] = {kind: [] for kind in KINDS}
    since_step = 0
    for number, record in enumerate(records):
        tree.play(record)
        since_step += 1
        if record.op is Op.SEND:
            if not ACKNOWLEDGED.search(record.first):
                continue
        elif not tree.paths.get(record.id, "").endswith(INCREMENT) or record.op not in (
            Op.WRITE, Op.SYNC_BEGIN, Op.SYNC_END,
        ):  # fmt: skip
            since_step = 0
        kinds[WRITE if since_step > SWITCH_RECORDS else SWITCH if since_step else STEP].append(number)
    found = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        found.append(chance.choice(kinds[kind] or kinds[STEP]))
    return sorted(found)


def images(
    records: list[Record], count: int, seed: int, *, is_journal: bool, ignored: Sequence[str] = ()
) -> Iterator[tuple[Image, Promise]]:
    """So many of one run. The promise is of the moment, and goes on afterwards."""
    chance = Random(seed)
    when = moments(records, count, chance)
    many = [0] * len(records)
    for number in when:
        many[number] += 1
    tree, promise = Tree(is_journal=is_journal, ignored=ignored), Promise()
    for record, times in zip(records, many, strict=True):
        tree.play(record)
        promise.at = record.at
        if record.op is Op.SEND:
            promise.hear(record)
        for _ in range(times):
            yield tree.crash(chance), promise


def kills(records: list[Record], count: int, seed: int) -> Iterator[tuple[Image, Promise]]:
    """So many of one run whose process was killed while the machine went on: what it had written is there. Each time
    something that tells of a write has just left."""
    told = [at for at, each in enumerate(records) if each.op is Op.SEND and ACKNOWLEDGED.search(each.first)]
    chosen = set(Random(seed).sample(told, min(count, len(told))))
    tree, promise = Tree(), Promise()
    for number, record in enumerate(records):
        tree.play(record)
        promise.at = record.at
        if record.op is Op.SEND:
            promise.hear(record)
        if number in chosen:
            yield tree.everything(), promise
