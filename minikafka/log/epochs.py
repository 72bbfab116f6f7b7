"""Which leader wrote from which offset on: `leader-epoch-checkpoint`.

    0
    <entries>
    <epoch> <first offset of that epoch>

Law 1: both columns grow. A new entry drops whatever contradicts it.
Law 2: an epoch is known in memory before its first batch is written, and in the file before the recovery point passes
       that batch: recovery finds the rest in the batches themselves, which carry their epoch.

An epoch's end is the start of the next one. Followers and consumers compare (epoch, end) with their own to find where
two logs part ways (KIP-101, KIP-320).
"""

from minikafka.log.checkpoints import read_lines, write_lines
from protocol.disk.files import Disk

__all__ = ["NO_EPOCH", "NO_OFFSET", "LeaderEpochs"]

NO_EPOCH = -1
NO_OFFSET = -1


class LeaderEpochs:
    """The epochs of one log, oldest first."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path
        self.entries: list[tuple[int, int]] = []  # (epoch, start offset)
        self.latest = NO_EPOCH
        self._in_file: list[tuple[int, int]] = []

    def load(self) -> None:
        lines = read_lines(self._disk, self._path, 2) or []
        try:
            found = [(int(epoch), int(start)) for epoch, start in lines]
        except ValueError:
            found = []
        for epoch, start in found:
            self.assign(epoch, start)
        self._in_file = found

    def assign(self, epoch: int, start_offset: int) -> None:
        """The leader of `epoch` writes from `start_offset` on. Known already, or earlier than known: no change."""
        if epoch < 0 or (self.entries and epoch == self.latest and start_offset >= self.entries[-1][1]):
            return
        while self.entries and (self.entries[-1][0] >= epoch or self.entries[-1][1] >= start_offset):
            self.entries.pop()
        self.entries.append((epoch, start_offset))
        self._changed()

    def _changed(self) -> None:
        self.latest = self.entries[-1][0] if self.entries else NO_EPOCH

    def write(self, log_end_offset: int) -> None:
        """Bring the file up to date. An epoch that has written nothing is left out: a start would drop it anyway, and
        every partition gets a new one at every start."""
        lasting = [entry for entry in self.entries if entry[1] < log_end_offset]
        if lasting != self._in_file:
            write_lines(self._disk, self._path, [f"{epoch} {start}" for epoch, start in lasting])
            self._in_file = lasting

    def end_offset(self, epoch: int, log_end_offset: int) -> tuple[int, int]:
        """(the greatest known epoch at or below `epoch`, where it ends); (-1, -1) when nothing can be said."""
        if epoch == NO_EPOCH or epoch > self.latest:
            return NO_EPOCH, NO_OFFSET
        if epoch == self.latest:
            return epoch, log_end_offset
        floor = NO_EPOCH
        for known, start in self.entries:
            if known > epoch:
                # Older than anything we kept: its end is where our oldest begins.
                return (epoch if floor == NO_EPOCH else floor), start
            floor = known
        raise AssertionError("the latest epoch is greater, so the loop has found it")

    def epoch_at(self, offset: int) -> int:
        """The epoch in which `offset` was, or would be, written; -1 when it is older than every entry."""
        found = NO_EPOCH
        for epoch, start in self.entries:
            if start > offset:
                break
            found = epoch
        return found

    def start_of(self, epoch: int) -> int:
        """Where an epoch begins; -1 when it is not known."""
        for known, start in self.entries:
            if known == epoch:
                return start
        return NO_OFFSET

    def truncate_from_end(self, end_offset: int) -> None:
        """The log now ends at `end_offset`: epochs that start there or later wrote nothing."""
        if self.entries and self.entries[-1][1] >= end_offset:
            while self.entries and self.entries[-1][1] >= end_offset:
                self.entries.pop()
            self._changed()

    def truncate_from_start(self, start_offset: int) -> None:
        """The log now starts at `start_offset`: of older epochs only the one that reaches into it stays."""
        before = [entry for entry in self.entries if entry[1] <= start_offset]
        if before and before != [(before[-1][0], start_offset)]:
            self.entries[: len(before)] = [(before[-1][0], start_offset)]
            self._changed()

    def clear(self) -> None:
        if self.entries:
            self.entries.clear()
            self._changed()
