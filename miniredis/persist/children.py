"""The one forked child a server may have: what it does, how far it is, what its memory costs.

    kind    RDB     a snapshot of all databases
            AOF     a new base of the append-only file
            SYNC    a snapshot that goes to replicas

It reports through frames: (KEYS, done, bytes copied), (LOG, is a warning, line), (COPIED, bytes), (DATA, bytes).

Law: never two at a time. Each copies the pages that are written to meanwhile, and two would copy them twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from protocol.disk import frames
from protocol.ops.clock import Clock
from protocol.ops.logs import Logger
from protocol.ops.process import Child, Process

RDB: Final = "RDB"
AOF: Final = "AOF"
SYNC: Final = "SYNC"
# What the log calls them.
_NAMES: Final = {RDB: "RDB", AOF: "AOF rewrite", SYNC: "RDB"}

# A child tells how far it is so often.
REPORT_S: Final = 1.0

KEYS: Final = 0
LOG: Final = 1
COPIED: Final = 2
DATA: Final = 3


class Reporter:
    """The child's end: what it has to say to its parent."""

    def __init__(self, report: Callable[[bytes], None], clock: Clock, process: Process) -> None:
        self._report = report
        self._clock = clock
        self._process = process
        self._told_at = clock.monotonic() - REPORT_S

    def progress(self, keys: int) -> None:
        """So many keys are done."""
        now = self._clock.monotonic()
        if now - self._told_at >= REPORT_S:
            self._told_at = now
            self._report(frames.pack((KEYS, keys, self._process.private_dirty_bytes())))

    def log(self, is_bad: bool, line: str) -> None:
        self._report(frames.pack((LOG, is_bad, line)))

    def send(self, data: bytes) -> None:
        """Something of what is made, for whoever the parent passes it on to."""
        self._report(frames.pack((DATA, data)))

    def copied(self, kind: str) -> None:
        """The work is done: what it cost."""
        copied = self._process.private_dirty_bytes()
        self._report(frames.pack((COPIED, copied)))
        mb = copied >> 20
        self.log(False, f"Fork CoW for {_NAMES[kind]}: current {mb} MB, peak {mb} MB, average {mb} MB")


Work = Callable[[Reporter], int]


class Children:
    """`fork_told` hears how many seconds each fork took."""

    def __init__(
        self, *, loop: Any, clock: Clock, process: Process, log: Logger, fork_told: Callable[[float], None]
    ) -> None:  # fmt: skip
        self._loop = loop
        self._clock = clock
        self._process = process
        self._log = log
        self._fork_told = fork_told
        self._child: Child | None = None
        self._ended: Callable[[int, int], None] = lambda pid, code: None
        self._received: Callable[[bytes], None] = lambda data: None
        self._heard = b""
        self.kind = ""  # of the child there is; empty: none
        self.started_s = 0
        self.forks = 0
        self.fork_us = 0
        self.keys_done = self.keys_total = 0
        self.copied_bytes = self.copied_peak = 0
        self.copied_at = 0.0  # monotonic; 0 before a child said so
        self.last_copied_bytes = {RDB: 0, AOF: 0, SYNC: 0}

    @property
    def is_snapshot(self) -> bool:
        """It writes one of all databases, wherever that goes."""
        return self.kind in (RDB, SYNC)

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def start(
        self, kind: str, keys: int, work: Work, ended: Callable[[int, int], None],
        received: Callable[[bytes], None] = lambda data: None,
    ) -> None:  # fmt: skip
        """Fork a child that does `work` on `keys` keys. `ended` gets its process id and how it ended: the exit code,
        or the negative of a signal; `received` what it sends. Raises OSError."""
        assert not self.kind
        self._heard = b""

        def as_child(report: Callable[[bytes], None]) -> int:
            reporter = Reporter(report, self._clock, self._process)
            code = work(reporter)
            if code == 0:
                reporter.copied(kind)
            return code

        started = self._clock.monotonic()
        self._child = self._process.fork(self._loop, as_child, self._hear, self._child_ended)
        took_s = self._clock.monotonic() - started
        self.kind = kind
        self._ended = ended
        self._received = received
        self.forks += 1
        self.fork_us = int(took_s * 1e6)
        self._fork_told(took_s)
        self.started_s = self._clock.wall_ms() // 1000
        self.keys_done = self.copied_bytes = self.copied_peak = 0
        self.copied_at = 0.0
        self.keys_total = keys

    def _hear(self, data: bytes) -> None:
        """What the child says."""
        self._heard += data
        whole = 0
        for end, report in frames.scan(self._heard):
            whole = end
            assert isinstance(report, list)
            if report[0] == LOG:
                (self._log.warning if report[1] else self._log.notice)(report[2])
                continue
            if report[0] == DATA:
                self._received(report[1])
                continue
            self.copied_bytes = report[-1]
            self.copied_peak = max(self.copied_peak, self.copied_bytes)
            self.copied_at = self._clock.monotonic()
            if report[0] == KEYS:
                self.keys_done = report[1]
            else:
                self.last_copied_bytes[self.kind] = self.copied_peak
        self._heard = self._heard[whole:]

    def _child_ended(self, code: int) -> None:
        pid = self._leave()
        self._ended(pid, code)

    def _leave(self) -> int:
        child = self._child
        assert child is not None
        self._child = None
        self.kind = ""
        self.keys_done = self.keys_total = self.copied_bytes = 0
        self.copied_at = 0.0
        return child.pid

    def pause(self) -> None:
        """Hear nothing of the child for now, so that it waits."""
        if self._child is not None:
            self._child.pause()

    def resume(self) -> None:
        if self._child is not None:
            self._child.resume()

    def end(self) -> int:
        """The child's work is no longer wanted: tell it to end. Its process id; `ended` is not called."""
        assert self._child is not None
        self._child.end()
        return self._leave()

    def forget_statistics(self) -> None:
        """CONFIG RESETSTAT."""
        self.forks = self.fork_us = 0
