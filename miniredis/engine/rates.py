"""How much happens per second: samples taken at every tick, averaged when somebody asks."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

SAMPLES: Final = 16  # at ten ticks a second the last 1.6 seconds, as with Redis


class Traffic:
    """Bytes and turns, counted since the start or CONFIG RESETSTAT."""

    __slots__ = (
        "input_bytes", "output_buffer_disconnections", "output_bytes", "query_buffer_disconnections", "reads", "turns",
        "writes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        self.input_bytes = 0
        self.output_bytes = 0
        self.reads = 0
        self.writes = 0
        self.turns = 0  # of the event loop in which somebody was answered
        self.query_buffer_disconnections = 0
        self.output_buffer_disconnections = 0


class Sample(NamedTuple):
    """Figures that only grow, and when they were read."""

    at_s: float  # monotonic
    calls: int
    input_bytes: int
    output_bytes: int
    turns: int


class Rates:
    """How fast they grow, over the last SAMPLES readings."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=SAMPLES)

    def take(self, sample: Sample) -> None:
        self.samples.append(sample)

    def per_second(self, field: str) -> float:
        """Average growth of a field over the samples kept; 0 before there are two."""
        if len(self.samples) < 2:
            return 0.0
        first, final = self.samples[0], self.samples[-1]
        elapsed = final.at_s - first.at_s
        grown: int = getattr(final, field) - getattr(first, field)
        return max(grown, 0) / elapsed if elapsed > 0 else 0.0
