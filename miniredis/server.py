"""One miniredis: builds the floors bottom-up, listens, keeps time, ends.

    settle()   the end of every loop turn in which somebody was answered: what must precede the answers
    tick()     hz times a second: active expiry, the pause's end, statistics by the second, idle collection of garbage
    a timer    for the earliest deadline of a blocked client

Law: everything from outside comes in as an argument – loop, disk, clock, chance, process – so that a simulation can run
this server unmodified.
"""

from __future__ import annotations

import asyncio
import gc
from random import Random

from miniredis.commands import FAMILIES
from miniredis.engine import registry
from miniredis.engine.client import Client
from miniredis.engine.execute import Engine
from miniredis.engine.settings import Settings
from miniredis.engine.state import Clock, State
from miniredis.keyspace.expire import ActiveExpiry
from miniredis.session import Session
from protocol.net.connection import Connection, Turn
from protocol.net.listener import Listener
from protocol.ops.logs import Logger
from protocol.ops.process import Process

# After an expiry cycle that ran out of its budget the next one comes this soon.
HURRIED_TICK_S = 0.01
# Garbage of the oldest generation is looked for after so long without a command, and not before there were so many.
IDLE_BEFORE_COLLECTION_S = 2.0
COMMANDS_BEFORE_COLLECTION = 100_000


class Server:
    def __init__(
        self, loop: asyncio.AbstractEventLoop, settings: Settings, *, clock: Clock, random: Random, secrets: Random,
        process: Process, log: Logger, databases: int = 16,
    ) -> None:  # fmt: skip
        assert FAMILIES
        self.loop = loop
        self.log = log
        self.state = State(settings, clock, random, registry.declared(), databases=databases, secrets=secrets)
        self.state.process = process
        self.engine = Engine(self.state)
        self.state.apply_settings(settings)
        self.expiry = ActiveExpiry(self.state.keyspace, clock.monotonic)
        self.turn = Turn(loop, self.settle)
        self.listeners: list[Listener] = []
        self._tick: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._deadline_ms = 0
        self._busy_at = loop.time()
        self._calls_seen = 0
        self._calls_collected = 0

    async def listen(self, host: str, port: int) -> int:
        """Open one more TCP port; the number it got."""
        listener = Listener(
            self.loop, self.turn, self._open_session, max_connections=self.state.settings.maxclients,
            refusal=b"-ERR max number of clients reached\r\n",
        )  # fmt: skip
        await listener.open(host, port)
        self.listeners.append(listener)
        self.state.port = listener.port
        return listener.port

    def start(self) -> None:
        """Begin to keep time. Everything made until now lives for ever: the garbage collector need not look at it."""
        gc.freeze()
        gc.set_threshold(50_000, 20, 1_000_000)
        self._tick = self.loop.call_later(1 / self.state.settings.hz, self.tick)

    async def stop(self, grace_s: float = 1.0) -> None:
        for timer in (self._tick, self._deadline):
            if timer is not None:
                timer.cancel()
        for listener in self.listeners:
            await listener.drain(grace_s)

    def _open_session(self, connection: Connection) -> Session:
        state = self.state
        session = Session(
            state.next_client_id, state.dbs[0], self.engine, connection, self.log.warning, self.arm_deadline
        )
        state.next_client_id += 1
        state.connections_received += 1
        if state.settings.timeout:
            connection.set_idle_timeout(state.settings.timeout)
        self.engine.admit(session)
        return session

    # The end of a turn.

    def settle(self) -> None:
        """What must happen before the answers of this turn leave."""

    # Time.

    def arm_deadline(self) -> None:
        """Keep the timer at the earliest deadline of whoever is blocked."""
        deadline = self.state.blocked.next_deadline()
        if deadline is None or (self._deadline is not None and self._deadline_ms <= deadline):
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline_ms = deadline
        delay_s = max(0, deadline - self.state.clock.wall_ms()) / 1000
        self._deadline = self.loop.call_later(delay_s, self._reach_deadline)

    def _reach_deadline(self) -> None:
        self._deadline = None
        self.engine.release_expired(self.engine.begin_unit())
        self.engine.end_unit()
        self.arm_deadline()

    def tick(self) -> None:
        """What is due every 1/hz seconds."""
        state, engine = self.state, self.engine
        if engine.begin_unit() >= state.paused_until > 0:
            engine.unpause()
        is_unfinished = self.expiry.cycle(effort=state.settings.active_expire_effort, hz=state.settings.hz)
        engine.end_unit()
        self._collect_when_idle()
        delay_s = HURRIED_TICK_S if is_unfinished else 1 / state.settings.hz
        self._tick = self.loop.call_later(delay_s, self.tick)

    def _collect_when_idle(self) -> None:
        """Look for cyclic garbage of all ages, which nothing here should leave, only when nobody waits for us."""
        calls = self.state.observer.calls
        now = self.loop.time()
        if calls != self._calls_seen:
            self._calls_seen = calls
            self._busy_at = now
        elif (
            now - self._busy_at > IDLE_BEFORE_COLLECTION_S
            and calls - self._calls_collected > COMMANDS_BEFORE_COLLECTION
        ):
            self._calls_collected = calls
            gc.collect()

    @property
    def clients(self) -> list[Client]:
        return list(self.state.clients.values())
