"""Kafka's text checkpoints: one number per partition, replaced atomically.

    0                       version
    2                       entries
    topic partition offset  one line each
    topic partition offset

A data directory has four: `recovery-point-offset-checkpoint` (below it everything was synced),
`replication-offset-checkpoint` (high watermarks), `log-start-offset-checkpoint` (what DeleteRecords cut off) and
`cleaner-offset-checkpoint`. `leader-epoch-checkpoint` in a partition's own directory has the same frame around
`epoch start-offset` lines.

Law: a checkpoint that cannot be read counts as empty. Each is a shortcut or a floor, never the only copy of a fact: the
     caller falls back to scanning the log.
"""

from collections.abc import Iterable, Mapping

from protocol.disk.files import Disk

__all__ = ["OffsetCheckpoint", "read_lines", "write_lines"]

VERSION = "0"


def read_lines(disk: Disk, path: str, words: int) -> list[list[str]] | None:
    """The entries, split into `words` words each; None when the file is absent or not whole."""
    if not disk.exists(path):
        return None
    try:
        lines = disk.read(path).decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return None
    if len(lines) < 2 or lines[0].strip() != VERSION or not lines[1].strip().isdecimal():
        return None
    entries = [line.split(" ") for line in lines[2:] if line.strip()]
    if len(entries) != int(lines[1]) or any(len(entry) != words for entry in entries):
        return None
    return entries


def write_lines(disk: Disk, path: str, entries: Iterable[str]) -> None:
    """Replace a checkpoint: its version, the count of entries, one entry a line. OSError: the old one stays."""
    lines = list(entries)
    disk.write_atomically(path, "\n".join([VERSION, str(len(lines)), *lines, ""]).encode("utf-8"))


class OffsetCheckpoint:
    """(topic, partition) → offset, in one file of a data directory."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path
        self._last: dict[tuple[str, int], int] | None = None  # what the file says, when we know

    def read(self) -> dict[tuple[str, int], int]:
        entries = read_lines(self._disk, self._path, 3)
        try:
            self._last = {(topic, int(partition)): int(offset) for topic, partition, offset in entries or ()}
        except ValueError:
            self._last = {}
        return dict(self._last)

    def write(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Replace the file, unless it says the same already (an idle broker writes nothing)."""
        if self._last != offsets:
            write_lines(self._disk, self._path, [f"{topic} {index} {at}" for (topic, index), at in offsets.items()])
            self._last = dict(offsets)
