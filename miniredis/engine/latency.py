"""What took long, by kind of event: the spikes above latency-monitor-threshold, the worst of each second.

    event      command, fast-command, expire-cycle …
    samples    (second, milliseconds), the latest 160 that had any

Law: a sample costs nothing while nothing is slow; and each event keeps a bounded number of them.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

MAX_SAMPLES: Final = 160


class Sample(NamedTuple):
    """The longest spike of one second."""

    at_s: int
    duration_ms: int


class Series:
    """The spikes of one kind of event."""

    __slots__ = ("samples", "worst_ms")

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self.worst_ms = 0

    def add(self, at_s: int, duration_ms: int) -> None:
        """A spike: the longer of two in the same second is kept, and of the seconds the last MAX_SAMPLES."""
        self.worst_ms = max(self.worst_ms, duration_ms)
        last = self.samples[-1] if self.samples else None
        if last is None or last.at_s != at_s:
            self.samples.append(Sample(at_s, duration_ms))
        elif duration_ms > last.duration_ms:
            self.samples[-1] = Sample(at_s, duration_ms)


class Latency:
    """All spikes of a server."""

    __slots__ = ("events", "threshold_ms")

    def __init__(self) -> None:
        self.events: dict[bytes, Series] = {}
        self.threshold_ms = 0  # 0: nobody watches

    def watch(self, event: bytes, duration_us: int, now_ms: int) -> None:
        """Something took this long: remember it if that is long."""
        if self.threshold_ms and duration_us >= self.threshold_ms * 1000:
            self.events.setdefault(event, Series()).add(now_ms // 1000, duration_us // 1000)

    def forget(self, names: list[bytes]) -> int:
        """Drop these events, or all without any name; how many there were."""
        gone = [event for event in self.events if not names or event in names]
        for event in gone:
            del self.events[event]
        return len(gone)
