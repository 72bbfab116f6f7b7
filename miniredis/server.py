"""One miniredis: builds the floors bottom-up, loads, ends. What it does meanwhile is in the rooms beside it:

    listeners.py         who comes in, and where
    loading.py           when a load gives way to others
    ending.py            what has to be done before the end
    timekeeping.py       what is done because it is time
    idleness.py          what is done because nobody asks
    reconfiguration.py   what CONFIG SET changes out here
    migration.py         the connections of MIGRATE
    appending.py         the append-only file
    replicas.py          who follows this server
    following.py         whom this server follows
    incoming.py          how the data of whom it follows comes in

Law: everything from outside comes in as an argument – loop, disk, clock, chance, process – so that a simulation can run
this server unmodified.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from random import Random
from typing import Final

import miniredis.commands  # noqa: F401  for what it declares
from miniredis.access.users import Access
from miniredis.appending import Appending
from miniredis.config import Config
from miniredis.ending import Ending
from miniredis.engine import registry
from miniredis.engine.execute import Engine
from miniredis.engine.state import BUSY_SCRIPT, DISK_ERROR, LOADING, State
from miniredis.engine.version import VERSION
from miniredis.following import Following
from miniredis.idleness import Idleness
from miniredis.listeners import Listeners
from miniredis.loading import take_steps
from miniredis.migration import Migrations
from miniredis.persist.snapshots import Snapshots
from miniredis.pubsub import PubSub
from miniredis.reconfiguration import Reconfiguration
from miniredis.replicas import Replicas
from miniredis.session import Crowd
from miniredis.timekeeping import Timekeeper
from protocol.disk.files import Disk
from protocol.net.connection import Turn
from protocol.ops.clock import Clock
from protocol.ops.logs import Logger
from protocol.ops.process import Process

DRAIN_S: Final = 1.0
LOGO: Final = """
      +------+
     /  mini/|     miniredis, as Redis {version} (64 bit)
    +------+ |     Running in standalone mode
    | redis| +     Port: {port}
    |      |/      PID: {pid}
    +------+
"""
# A script told to end has so long.
SCRIPT_END_S: Final = 1.0


class Server:
    """`config` is loaded. `start` opens the listeners, `stopping` is set when the end is agreed."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: Config, *, disk: Disk, clock: Clock, random: Random,
        secrets: Random, process: Process, log: Logger,
    ) -> None:  # fmt: skip
        self.loop = loop
        self.config = config
        self.process = process
        self.log = log
        settings = config.settings()
        self.state = state = State(
            settings, clock, random, registry.declared(), databases=config["databases"], secrets=secrets
        )
        self.engine = Engine(state)
        self.turn = Turn(loop, self.settle, self._may_hurry)
        self.turn.set_work(Crowd(self.engine, self.turn, loop).work)
        self.snapshots = Snapshots(
            state, self.engine.scripts.functions, loop=loop, disk=disk, clock=clock, process=process, log=log,
            version=VERSION, judge=self._judge_disk, fork_told=self._tell_fork,
        )  # fmt: skip
        self.appending = Appending(
            self.engine, self.snapshots, self.turn, config, self._judge_disk, loop=loop, disk=disk, clock=clock,
            process=process, log=log,
        )  # fmt: skip
        self.migrations = Migrations(loop, self.turn, state)
        self.timekeeper = Timekeeper(loop, self.engine)
        self.idleness = Idleness(state, process, log, loop)
        self.replicas = Replicas(
            self.engine, self.snapshots, self.appending, self.turn, config, loop=loop, disk=disk, log=log
        )
        self.following = Following(
            loop, self.turn, self.engine, config, self.replicas.replication, self.snapshots, disk=disk,
            process=process, log=log,
        )  # fmt: skip
        self.following.replacing = self.appending.pause
        self.following.replaced = self.appending.go_on
        self.ending = Ending(loop, self.engine, self.snapshots, self.appending, self.replicas, process=process, log=log)
        self.stopping = self.ending.stopping
        self.replicas.primary.acknowledged_told = self._look_at_replicas
        self.timekeeper.chores = (
            self.appending.tick, self.snapshots.tick, self.migrations.close_old, self.replicas.chore,
            self.following.rules.expire_own, self.ending.look,
        )  # fmt: skip
        self.timekeeper.watches = (self.idleness.watch,)
        self.listeners = Listeners(
            loop, self.turn, self.engine, config, self.timekeeper.arm_deadline, disk=disk, process=process, log=log
        )
        Reconfiguration(config, state, self.listeners, self._judge_disk, disk=disk, log=log)
        self._tell_state(random)
        state.apply_settings(settings)

    def _tell_state(self, random: Random) -> None:
        """What commands may reach of the floors above them."""
        state, config = self.state, self.config
        state.process = self.process
        state.companion = self.process.companion(self.loop)
        state.script_random = Random(random.getrandbits(64))
        state.log_script = self._log_script
        state.config = config
        state.pubsub = PubSub()
        state.access = Access(config["requirepass"])
        state.pause_changed = self.timekeeper.arm_pause
        state.ending = self.ending
        state.expiry_told = self.timekeeper.expiry_figures
        state.statistics_reset = self._reset_statistics
        state.log = self.log.notice
        state.warn = self.log.warning
        state.log_detail = self.log.verbose
        state.snapshots = self.snapshots
        state.appending = self.appending
        state.carry = self.migrations.carry
        state.links_kept = self.migrations.kept

    # Beginning and end.

    async def start(self) -> None:
        """Listen, load, keep time. Raises CannotListen, CannotLoad."""
        self.state.mode |= LOADING  # a client, or a signal, that comes before has no data to look at
        await self.listeners.open()
        self.following.begin()
        if self.config["always-show-logo"]:
            self.log.plain(LOGO.format(version=VERSION, port=self.state.port, pid=self.process.pid()))
        else:
            self.log.notice(f"Running mode=standalone, port={self.state.port}.")
        self.log.notice("Server initialized")
        await self._load()
        self.following.start()
        state = self.state
        state.interpreter_bytes = max(0, self.process.resident_bytes() - self.engine.memory.used_bytes())
        self.timekeeper.start()

    async def _load(self) -> None:
        """Read the files of before, if there are any. Meanwhile clients are told so. Raises CannotLoad."""
        state = self.state
        is_appending = self.appending.is_wanted
        gc.disable()
        try:
            if is_appending:
                await self._load_from(self.appending.load(), "append only file")
            else:
                self.appending.files.read()
                await self._load_from(self.snapshots.load(now_ms=self.engine.begin_unit()), "disk")
                self.following.loaded(self.snapshots.aux)
        finally:
            gc.enable()
        if self.stopping.is_set():
            return
        if is_appending:
            self.appending.open_at_start()
        state.mode &= ~LOADING

    async def _load_from(self, steps: Iterator[None], source: str) -> None:
        monotonic = self.state.clock.monotonic
        started = monotonic()
        try:
            await take_steps(steps, self.state, is_over=self.stopping.is_set)
        except FileNotFoundError:
            return
        if self.stopping.is_set():
            return
        self.log.notice(f"DB loaded from {source}: {monotonic() - started:.3f} seconds")

    def announce(self) -> None:
        """The lines by which a start is known to have succeeded."""
        for kind, _, _ in self.state.listening:
            self.log.notice(f"Ready to accept connections {kind}")

    async def stop(self, grace_s: float = DRAIN_S) -> None:
        """Answer what was asked, close every connection, end."""
        self.timekeeper.stop()
        await self._end_script()
        self.following.stop()
        self.migrations.stop()
        self.snapshots.end_child()
        self.turn.settle()
        await self.listeners.drain(grace_s)  # one address after the other: clients of the next are still served
        self.appending.stop()

    async def _end_script(self) -> None:
        """A script that still runs is told to end. One inside a long C function hears it later: it ends with us."""
        self.engine.scripts.stop()
        until = self.loop.time() + SCRIPT_END_S
        while self.state.mode & BUSY_SCRIPT and self.loop.time() < until:
            await asyncio.sleep(0.01)

    # The end of a turn.

    def settle(self) -> None:
        """What must leave before the answers of this turn: the effects, for whoever keeps or follows them."""
        self.state.traffic.turns += 1
        if self.engine.memory.is_limited:
            self.engine.memory.settle()
        self.engine.tracking.broadcast()
        for sink in self.state.journal.sinks:
            sink.flush()
        self.replicas.primary.flush_forwarded()

    def _may_hurry(self) -> bool:
        """Whether answers may leave before the turn's end: where nobody follows the effects, and where they are only to
        be written down, which is done here. One fsync, and one write to each replica, is for the whole turn."""
        sinks = self.state.journal.sinks
        if not sinks:
            return True
        file = self.appending.file
        if self.replicas.primary.followers or not file.may_flush_often:
            return False
        file.flush()
        return True

    # What other rooms tell.

    def _look_at_replicas(self) -> None:
        """One of them has acknowledged something."""
        self.replicas.replication.failover.look()
        self.ending.look()

    def _judge_disk(self) -> None:
        """Whether writes are refused, since what is written could not be saved."""
        state = self.state
        is_unsaved = self.snapshots.is_refusing_writes
        state.append_error = "" if is_unsaved else self.appending.file.error
        if is_unsaved or state.append_error:
            state.mode |= DISK_ERROR
        else:
            state.mode &= ~DISK_ERROR

    def _tell_fork(self, took_s: float) -> None:
        self.state.latency.watch(b"fork", int(took_s * 1e6), self.state.clock.wall_ms())

    def _log_script(self, level: int, line: str) -> None:
        (self.log.debug, self.log.verbose, self.log.notice, self.log.warning)[level](line)

    def _reset_statistics(self) -> None:
        self.replicas.primary.statistics.reset()
        self.timekeeper.forget_statistics()
        self.snapshots.forget_statistics()
        self.appending.forget_statistics()
