"""Deadlines by key, thousands of them behind one timer of the event loop.

Most of them are sessions, and a session is put off with every heartbeat long before it ends. So setting
a known key later costs one dictionary write: its entry in the heap stays where it is, and when that comes
to the top and the key's deadline has moved on, it is put back at the deadline. Only a key that is new,
or comes earlier than its entry, costs a push.

    deadlines   key → when it really fires          (what counts)
    armed       key → when its valid heap entry is  (older entries of the key are stale and skipped)
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Timers(Generic[Key]):
    """`fire(key)` is called once for every key that is not put off or cancelled before its deadline."""

    __slots__ = ("_armed", "_count", "_deadlines", "_fire", "_handle", "_handle_at", "_heap", "_loop")

    def __init__(self, loop: AbstractEventLoop, fire: Callable[[Key], None]) -> None:
        self._loop = loop
        self._fire = fire
        self._deadlines: dict[Key, float] = {}
        self._armed: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []  # the count keeps keys of one instant in the order they were set
        self._count = 0
        self._handle: TimerHandle | None = None
        self._handle_at = 0.0

    def __len__(self) -> int:
        return len(self._deadlines)

    def set(self, key: Key, delay_ms: int) -> None:
        deadline = self._loop.time() + delay_ms / 1000
        self._deadlines[key] = deadline
        armed = self._armed.get(key)
        if armed is None or deadline < armed:
            self._push(key, deadline)
            self._arm()

    def cancel(self, key: Key) -> None:
        self._deadlines.pop(key, None)

    def clear(self) -> None:
        """Forget every key; nothing fires any more."""
        self._deadlines.clear()
        self._armed.clear()
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _push(self, key: Key, at: float) -> None:
        self._armed[key] = at
        self._count += 1
        heappush(self._heap, (at, self._count, key))

    def _arm(self) -> None:
        if not self._heap:
            return
        at = self._heap[0][0]
        if self._handle is not None:
            if self._handle_at <= at:
                return
            self._handle.cancel()
        self._handle = self._loop.call_at(at, self._run)
        self._handle_at = at

    def _run(self) -> None:
        self._handle = None
        now = self._loop.time()
        try:
            while self._heap and self._heap[0][0] <= now:
                at, _, key = heappop(self._heap)
                if self._armed.get(key) != at:
                    continue
                del self._armed[key]
                deadline = self._deadlines.get(key)
                if deadline is None:
                    continue
                if deadline > now:
                    self._push(key, deadline)
                else:
                    del self._deadlines[key]
                    self._fire(key)
        finally:  # one key's failure must not stop the clock of all others
            self._arm()
