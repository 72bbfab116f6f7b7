"""When a replica looks after its link, and when it tries again what came to nothing.

Law: at once, a few times between two ticks: who takes us and drops us again is no reason to keep busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

TICK_S: Final = 1.0
HURRIES_A_TICK: Final = 3


class Attempts:
    """`tick` is called once a second, from `begin` to `end`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: Callable[[], None]) -> None:
        self._loop = loop
        self._tick = tick
        self._timer: asyncio.TimerHandle | None = None
        self._hurries = 0  # since the last tick

    def begin(self) -> None:
        self.end()
        self._timer = self._loop.call_later(TICK_S, self._due)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def may_hurry(self) -> bool:
        """Whether the next attempt may be made at once; False: it is for the next tick."""
        if self._hurries >= HURRIES_A_TICK:
            return False
        self._hurries += 1
        return True

    def _due(self) -> None:
        self.begin()
        self._hurries = 0
        self._tick()
