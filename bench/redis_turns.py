"""miniredis, keeping account of the turns of its event loop: `python -m bench.redis_turns FILE [option …]`.

A double in FILE: how long, in ms of the main thread's own time, the longest turn has been since somebody wrote a 0
there. What the thread had to wait for, as for a processor that others kept busy, is not counted. The loop is asyncio's
own, whichever is installed: its selector sees where a turn begins and ends.
"""

from __future__ import annotations

import asyncio
import mmap
import selectors
import sys
import time
from pathlib import Path

from miniredis import __main__ as miniredis
from protocol.net import loop

FILE_BYTES = 8


class Account:
    """The longest turn, in memory that is shared through a file."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._shared = memoryview(mmap.mmap(file.fileno(), FILE_BYTES)).cast("d")

    @staticmethod
    def open(path: Path) -> Account:
        path.write_bytes(bytes(FILE_BYTES))
        return Account(path)

    def add(self, turn_ms: float) -> None:
        if turn_ms > self._shared[0]:
            self._shared[0] = turn_ms

    def take(self) -> float:
        """The longest since last asked, ms."""
        longest: float = self._shared[0]
        self._shared[0] = 0.0
        return longest


class TurnSelector(selectors.DefaultSelector):
    """A turn lasts from one `select` to the next."""

    def __init__(self, account: Account) -> None:
        super().__init__()
        self._account = account
        self._began = time.thread_time()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._account.add((time.thread_time() - self._began) * 1e3)
        ready = super().select(timeout)
        self._began = time.thread_time()
        return ready


def main(path: Path, options: list[str]) -> int:
    account = Account(path)
    loop.new_loop = lambda: asyncio.SelectorEventLoop(TurnSelector(account))
    return miniredis.run(options)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
