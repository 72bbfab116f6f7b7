"""What is done while nobody asks: connections that say nothing are closed, garbage is looked for, memory given back."""

from __future__ import annotations

import gc
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final

from miniredis.engine.client import PRIMARY, REPLICA

if TYPE_CHECKING:
    import asyncio

    from miniredis.engine.state import State
    from protocol.ops.logs import Logger
    from protocol.ops.process import Process

# Clients are looked through so often.
CLIENTS_PERIOD_S: Final = 1.0
# Garbage of the oldest generation is looked for after so long without a command, and not before there were so many.
IDLE_BEFORE_COLLECTION_S: Final = 2.0
COMMANDS_BEFORE_COLLECTION: Final = 100_000
# So many containers more than when the collector last looked are data. It would walk through them, and through all that
# lists hold (33 ms for a sorted set of a million members), to find no garbage: they are put out of its sight.
YOUNG_MOST: Final = 1000
# Few containers may be large. With more in them than this (it takes 4 ms) they are not walked through either.
REFERENCES_MOST: Final = 100_000
# Freed memory is given back at such a time too, when something was written or so much has come and gone; and since it
# may take 60 ms per GB in use, aside in a thread, and only after so many times what it took last.
TRAFFIC_BEFORE_RELEASE_BYTES: Final = 16 * 1024 * 1024
RELEASE_PATIENCE: Final = 1000


class Idleness:
    """Of one server. Times are the loop's, in seconds."""

    def __init__(self, state: State, process: Process, log: Logger, loop: asyncio.AbstractEventLoop) -> None:
        self._state = state
        self._process = process
        self._log = log
        self._loop = loop
        self._clients_at = self._busy_at = loop.time()
        self._calls_seen = self._calls_collected = 0
        self._traffic_released = self._dirty_released = 0
        self._release_from = 0.0

    def watch(self, now: float) -> None:
        """Called at every tick."""
        timeout = self._state.settings.timeout
        if timeout and now - self._clients_at >= CLIENTS_PERIOD_S:
            self._clients_at = now
            self._close_clients(now - timeout)
        if gc.get_count()[0] > YOUNG_MOST:
            gc.freeze()
        self.collect(now)

    def _close_clients(self, before: float) -> None:
        """Connections on which nothing came for `timeout` seconds. Who waits or listens is not idle, nor is a
        replica, or our primary."""
        for client in list(self._state.clients.values()):
            is_waiting = client.blocked is not None or client.subscriptions or client in self._state.observer.monitors
            is_waiting = is_waiting or bool(client.mode & (PRIMARY | REPLICA))
            if client.last_active_at < before and not is_waiting:
                self._log.verbose("Closing idle client")
                client.kill()

    def collect(self, now: float) -> None:
        """Look for cyclic garbage of all ages, which nothing here should leave, only while nobody waits for us."""
        calls = self._state.observer.calls
        if calls != self._calls_seen:
            self._calls_seen = calls
            self._busy_at = now
        elif now - self._busy_at > IDLE_BEFORE_COLLECTION_S:
            if calls - self._calls_collected > COMMANDS_BEFORE_COLLECTION:
                self._calls_collected = calls
                if _references() > REFERENCES_MOST:
                    gc.freeze()
                else:
                    gc.collect()
            if now >= self._release_from:
                self._release_memory(now)

    def _release_memory(self, now: float) -> None:
        state = self._state
        traffic = state.traffic.input_bytes + state.traffic.output_bytes
        if state.dirty == self._dirty_released and abs(traffic - self._traffic_released) < TRAFFIC_BEFORE_RELEASE_BYTES:
            return
        self._traffic_released = traffic
        self._dirty_released = state.dirty
        started = state.clock.monotonic()

        def is_done(_: object) -> None:
            self._release_from = now + RELEASE_PATIENCE * (state.clock.monotonic() - started)

        self._release_from = inf
        self._loop.run_in_executor(None, self._process.release_memory).add_done_callback(is_done)


def _references() -> int:
    """About how many a full collection would follow."""
    return sum([len(some) for some in gc.get_objects() if type(some) in (list, dict, set, tuple, deque)])
