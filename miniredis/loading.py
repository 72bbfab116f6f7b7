"""A data set read while others are served, or told that it is being read: when the reader gives way to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from miniredis.engine.state import BUSY_SCRIPT

if TYPE_CHECKING:
    from miniredis.engine.state import State

# A load gives way to others after so long, or after so many bytes as loading-process-events-interval-bytes says.
LOAD_SLICE_S: Final = 0.02


async def take_steps(steps: Iterator[None], state: State, *, is_over: Callable[[], bool] = lambda: False) -> None:
    """All of them, or until it is over. Raises what they raise."""
    monotonic = state.clock.monotonic
    until, passed = monotonic() + LOAD_SLICE_S, 0
    for _ in steps:
        loading = state.snapshots.loading
        position = loading.reader.position if loading is not None else 0
        if state.mode & BUSY_SCRIPT:  # each of its steps has a turn of the loop
            await asyncio.sleep(LOAD_SLICE_S)
        elif monotonic() >= until or position - passed >= state.settings.loading_process_events_interval_bytes:
            await asyncio.sleep(0)
            until, passed = monotonic() + LOAD_SLICE_S, position
        if is_over():
            return
