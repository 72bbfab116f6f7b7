"""Clients that wait for a key, served in the order they came.

Law 1: nobody is served in the middle of a command or a transaction: a key that gains something to take is remembered
       as ready, and the engine runs the waiters' commands again afterwards, as long as there are ready keys.
Law 2: a waiter is woken only by a key of the type it waits for, so that one that cannot be served keeps its place.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from miniredis.keyspace.db import Db, Keyspace


class Waiter:
    """One blocked client: what it waits for and the words to run again. `deadline` in ms since the epoch, 0 = never.
    `otherwise` makes what it is answered then, where that is no null array."""

    __slots__ = ("argv", "client", "db", "deadline", "is_done", "keys", "kind", "on_deletion", "otherwise")

    def __init__(
        self, client: Any, db: Db, keys: dict[bytes, None], kind: type | None, deadline: int, argv: list[bytes],
        on_deletion: bool = False,
    ) -> None:  # fmt: skip
        self.client = client
        self.db = db
        self.keys = keys
        self.kind = kind
        self.deadline = deadline
        self.argv = argv
        self.on_deletion = on_deletion
        self.otherwise: Callable[[], Any] | None = None
        self.is_done = False


class Blocked:
    """All waiters of one server."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self.waiters: dict[Waiter, None] = {}
        self._deadlines: list[tuple[int, int, Waiter]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self.waiters)

    def add(self, waiter: Waiter) -> None:
        """Queue a waiter behind those already at its keys."""
        if waiter not in self.waiters and waiter.deadline:
            self._order += 1
            heappush(self._deadlines, (waiter.deadline, self._order, waiter))
        self.waiters[waiter] = None
        for key in waiter.keys:
            waiter.db.waiting.setdefault(key, {})[waiter] = None

    def remove(self, waiter: Waiter) -> None:
        """It was served, timed out, was unblocked or went away."""
        if self.waiters.pop(waiter, self) is self:
            return
        waiter.is_done = True
        self.leave_keys(waiter)
        if len(self._deadlines) > 64 + 2 * len(self.waiters):
            self._deadlines = [entry for entry in self._deadlines if not entry[2].is_done]
            heapify(self._deadlines)

    def leave_keys(self, waiter: Waiter) -> None:
        waiting = waiter.db.waiting
        for key in waiter.keys:
            queue = waiting.get(key)
            if queue is not None:
                queue.pop(waiter, None)
                if not queue:
                    del waiting[key]

    def at(self, db: Db, key: bytes) -> list[Waiter]:
        """Who waits at this key now, in order of arrival."""
        return list(db.waiting.get(key, ()))

    def next_deadline(self) -> int | None:
        """The earliest instant (ms) at which somebody's patience ends."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][2].is_done:
            heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def expired(self, now: int) -> list[Waiter]:
        """Waiters whose deadline has passed, earliest first; they are still to be removed.

        The millisecond of the deadline must be over: the instant it was counted from had begun when they came.
        """
        found = []
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] < now:
            waiter = heappop(deadlines)[2]
            if not waiter.is_done:
                found.append(waiter)
        return found
