"""What a server does because it is time, not because somebody asked.

    tick       hz times a second: active expiry, freeing of what was unlinked, other rooms' chores, figures for INFO;
               nothing at all while DEBUG PAUSE-CRON says so
    deadline   one timer, for the earliest of all clients that are blocked
    pause      one timer, for the end of the first pause that has one

Law: none of it comes between the commands of a script; a timer that is due while one runs looks again soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from miniredis.engine.rates import Sample
from miniredis.engine.state import BUSY_SCRIPT, NEVER
from miniredis.keyspace.expire import ActiveExpiry

if TYPE_CHECKING:
    from miniredis.engine.execute import Engine

# After an expiry cycle that ran out of its budget, or when more is to be freed, the next tick comes this soon.
HURRIED_TICK_S: Final = 0.005
# A cycle's budget is never more than that of so many a second: 5 ms, so that a flood of dead keys is removed in slices.
LEAST_EXPIRY_HZ: Final = 50
# Timers that come due while a script keeps everybody waiting look again after this.
BUSY_RETRY_S: Final = 0.05
# dynamic-hz: more clients than so many a tick, and there are twice as many ticks; at most so many a second.
CLIENTS_A_TICK: Final = 200
MAX_HZ: Final = 500


class Timekeeper:
    """All timers of one server.

    `chores` are called at every tick that finds no script running, `watches` at every tick: with the loop's time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, engine: Engine) -> None:
        self.chores: Sequence[Callable[[], None]] = ()
        self.watches: Sequence[Callable[[float], None]] = ()
        self._loop = loop
        self._engine = engine
        self._state = engine.state
        self._expiry = ActiveExpiry(engine.state.keyspace, engine.state.clock.monotonic)
        self._expiry_us = 0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._deadline_ms = 0

    def start(self) -> None:
        self._call_later("tick", 1 / self._paced(), self._tick)

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _call_later(self, name: str, delay_s: float, action: Callable[[], None]) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        self._timers[name] = self._loop.call_later(max(0.0, delay_s), action)

    # The tick.

    def _paced(self) -> int:
        """Ticks a second: hz, and with dynamic-hz more where there are many clients."""
        state = self._state
        hz, clients = state.settings.hz, len(state.clients)
        if state.settings.dynamic_hz:
            while clients // hz > CLIENTS_A_TICK and hz < MAX_HZ:
                hz = min(2 * hz, MAX_HZ)
        state.hz = hz
        return hz

    def _tick(self) -> None:
        hz = self._paced()
        if self._state.is_cron_paused:
            self._call_later("tick", 1 / hz, self._tick)
            return
        is_unfinished = False
        if not self._state.mode & BUSY_SCRIPT:
            is_unfinished = self._clear()
            self._engine.memory.tick()
            self._engine.tracking.broadcast()
            is_unfinished |= self._engine.memory.is_unfinished
            for chore in self.chores:
                chore()
        self._sample()
        now = self._loop.time()
        for watch in self.watches:
            watch(now)
        self._call_later("tick", HURRIED_TICK_S if is_unfinished else 1 / hz, self._tick)

    def _clear(self) -> bool:
        """Remove what expired, free what was unlinked, as one unit. Whether some is left."""
        state, engine = self._state, self._engine
        engine.begin_unit()
        is_unfinished = state.expires_actively and self._expire()
        if state.keyspace.waste.free(state.clock.monotonic):
            is_unfinished = True
        elif engine.waiting.flushing:
            engine.waiting.release_flushing()
        engine.end_unit()
        return is_unfinished

    def _expire(self) -> bool:
        state = self._state
        settings, monotonic = state.settings, state.clock.monotonic
        started = monotonic()
        is_unfinished = self._expiry.cycle(effort=settings.active_expire_effort, hz=max(state.hz, LEAST_EXPIRY_HZ))
        elapsed_us = int((monotonic() - started) * 1e6)
        self._expiry_us += elapsed_us
        state.latency.watch(b"expire-cycle", elapsed_us, state.keyspace.now)
        return is_unfinished

    def _sample(self) -> None:
        """For what INFO tells by the second."""
        state = self._state
        traffic = state.traffic
        state.rates.take(
            Sample(
                state.clock.monotonic(), state.observer.calls, traffic.input_bytes, traffic.output_bytes, traffic.turns
            )
        )

    def expiry_figures(self) -> tuple[float, int, int]:
        """Of active expiry: percent of expired keys thought to be left, cycles out of time, µs spent."""
        return self._expiry.stale_percent, self._expiry.time_cap_reached, self._expiry_us

    def forget_statistics(self) -> None:
        self._expiry.stale_percent = 0.0
        self._expiry.time_cap_reached = 0
        self._expiry_us = 0

    # The deadline of whoever is blocked.

    def arm_deadline(self) -> None:
        """Keep the timer at the earliest deadline of whoever is blocked."""
        if self._engine.waiting.flushing and self._timers["tick"].when() > self._loop.time() + HURRIED_TICK_S:
            self._call_later("tick", HURRIED_TICK_S, self._tick)
        deadline = self._state.blocked.next_deadline()
        if deadline is not None and ("deadline" not in self._timers or deadline < self._deadline_ms):
            self._deadline_ms = deadline
            self._call_later("deadline", (deadline + 1 - self._state.clock.wall_ms()) / 1000, self._reach_deadline)

    def _reach_deadline(self) -> None:
        if self._state.mode & BUSY_SCRIPT:
            self._call_later("deadline", BUSY_RETRY_S, self._reach_deadline)
            return
        del self._timers["deadline"]
        self._engine.waiting.release_expired(self._engine.begin_unit())
        self._engine.end_unit()
        self.arm_deadline()

    # The end of CLIENT PAUSE and its kin.

    def arm_pause(self) -> None:
        until = self._state.paused_until
        if until and until < NEVER:
            self._call_later("pause", (until - self._state.clock.wall_ms()) / 1000, self._end_pause)

    def _end_pause(self) -> None:
        if self._state.mode & BUSY_SCRIPT:
            self._call_later("pause", BUSY_RETRY_S, self._end_pause)
        elif self._engine.begin_unit() < self._state.paused_until:
            self.arm_pause()
        else:
            self._engine.waiting.end_pauses(self._state.keyspace.now)
            self._engine.end_unit()
