"""One miniredis: builds the floors bottom-up, listens, keeps time, ends.

    settle()   the end of every loop turn in which somebody was answered: the order of what leaves
    tick()     hz times a second: active expiry, the pause's end, idle clients, idle collection of garbage
    a timer    for the earliest deadline of a blocked client

Law: everything from outside comes in as an argument – loop, disk, clock, chance, process – so that a simulation can run
this server unmodified.
"""

from __future__ import annotations

import asyncio
import errno
import gc
from random import Random
from typing import Any, Final

from miniredis.access.users import Access
from miniredis.commands import FAMILIES
from miniredis.config import Config
from miniredis.engine import registry
from miniredis.engine.execute import Engine
from miniredis.engine.rates import Sample
from miniredis.engine.settings import Settings
from miniredis.engine.state import BUSY_SCRIPT, DISK_ERROR, LOADING, State
from miniredis.engine.version import VERSION
from miniredis.keyspace.expire import ActiveExpiry
from miniredis.migration import Migrations
from miniredis.persist.snapshots import Snapshots
from miniredis.pubsub import PubSub
from miniredis.session import Crowd, Session
from protocol.disk.files import Disk
from protocol.net.connection import Connection, Turn
from protocol.net.listener import Listener, Refused
from protocol.ops.clock import Clock
from protocol.ops.logs import Level, Logger
from protocol.ops.process import Process

# After an expiry cycle that ran out of its budget, or when more is to be freed, the next tick comes this soon.
HURRIED_TICK_S: Final = 0.005
# A cycle's budget is never more than that of so many a second: 5 ms, so that a flood of dead keys is removed in slices.
LEAST_EXPIRY_HZ: Final = 50
# Garbage of the oldest generation is looked for after so long without a command, and not before there were so many.
IDLE_BEFORE_COLLECTION_S: Final = 2.0
COMMANDS_BEFORE_COLLECTION: Final = 100_000
# So many containers more than when the collector last looked are data. It would walk through them, and through all that
# lists hold (33 ms for a sorted set of a million members), to find no garbage: they are put out of its sight.
YOUNG_MOST: Final = 1000
# Freed memory is given back at such a time too, when something was written or so much has come and gone; and since it
# may take 60 ms per GB in use, only after so many times what it took last.
TRAFFIC_BEFORE_RELEASE_BYTES: Final = 16 * 1024 * 1024
RELEASE_PATIENCE: Final = 1000
# Descriptors that are not connections: the loop's own, the log, persistence.
SPARE_DESCRIPTORS: Final = 32
DRAIN_S: Final = 1.0
# Of one listener, with those that are told that there is no room: `maxclients` is looked at when there are sessions.
MAX_CONNECTIONS: Final = 1_000_000
# Timers that come due while a script keeps everybody waiting look again after this; a script told to end has so long.
BUSY_RETRY_S: Final = 0.05
SCRIPT_END_S: Final = 1.0

# A load gives way to others, who are told that it loads, after so long.
LOAD_SLICE_S: Final = 0.02

# The server counts its clients itself, whichever way they came.
ANY_NUMBER: Final = 1 << 31

_UNKNOWN_PROTOCOL: Final = {
    errno.ENOPROTOOPT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EPFNOSUPPORT, errno.EAFNOSUPPORT,
}  # fmt: skip

_LEVELS: Final = {
    "debug": Level.DEBUG, "verbose": Level.VERBOSE, "notice": Level.NOTICE, "warning": Level.WARNING,
}  # fmt: skip

_DENIED: Final = (
    b"-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the "
    b"default user. In this mode connections are only accepted from the loopback interface. Connect from this machine "
    b"and set a password ('CONFIG SET requirepass'), or start the server with '--protected-mode no' where nobody else "
    b"can reach it.\r\n"
)


class CannotListen(Exception):
    """No address could be bound; the text says which and why."""


class Server:
    """`config` is loaded. `start` opens the listeners, `stopping` is set by SHUTDOWN."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: Config, *, disk: Disk, clock: Clock, random: Random,
        secrets: Random, process: Process, log: Logger,
    ) -> None:  # fmt: skip
        self.loop = loop
        self.config = config
        self.disk = disk
        self.process = process
        self.log = log
        settings = config.settings()
        assert FAMILIES  # imported for what they declare
        self.state = state = State(
            settings, clock, random, registry.declared(), databases=config["databases"], secrets=secrets
        )
        self.engine = Engine(state)
        state.process = process
        state.companion = process.companion(loop)
        state.script_random = Random(random.getrandbits(64))
        state.log_script = self._log_script
        state.config = config
        state.pubsub = PubSub()
        state.access = Access(config["requirepass"])
        state.pause_changed = self._arm_pause
        state.request_shutdown = self._request_shutdown
        state.expiry_told = self._tell_expiry
        state.statistics_reset = self._reset_statistics
        state.log = log.notice
        state.snapshots = self.snapshots = Snapshots(
            state, self.engine.scripts.functions, loop=loop, disk=disk, clock=clock, process=process, log=log,
            version=VERSION, judge=self._judge_disk, fork_told=self._tell_fork,
        )  # fmt: skip
        state.apply_settings(settings)
        self.is_shutdown_agreed = False
        self.stopping = asyncio.Event()
        self.expiry = ActiveExpiry(state.keyspace, clock.monotonic)
        self.turn = Turn(loop, self.settle, lambda: not state.journal.is_heard)
        self.turn.set_work(Crowd(self.engine, self.turn, loop).work)
        self.migrations = Migrations(loop, self.turn, state)
        state.carry = self.migrations.carry
        state.links_kept = self.migrations.kept
        self.listeners: list[Listener] = []  # TCP
        self.left_listeners: list[Listener] = []  # no longer listening, but some of their connections live
        self.unix_listener: Listener | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._deadline_ms = 0
        self._expiry_us = 0
        self._idle_checked_at = self._busy_at = loop.time()
        self._calls_seen = self._calls_collected = 0
        self._traffic_released = self._dirty_released = 0
        self._release_from = 0.0  # loop time
        self._connect_config()

    # Beginning and end.

    async def start(self) -> None:
        """Listen, load, keep time. Raises CannotListen, CannotLoad."""
        config = self.config
        allowed = self.process.raise_open_files(config["maxclients"] + SPARE_DESCRIPTORS) - SPARE_DESCRIPTORS
        self.max_clients = min(config["maxclients"], allowed)
        if self.max_clients < config["maxclients"]:
            self.log.warning(
                f"You requested maxclients of {config['maxclients']} requiring at least "
                f"{config['maxclients'] + SPARE_DESCRIPTORS} max file descriptors. Current maximum open files is "
                f"{allowed + SPARE_DESCRIPTORS}. maxclients has been reduced to {self.max_clients}."
            )
        await self._listen(config["bind"], config["port"])
        config.values["port"] = self.state.port  # the one found where any free one would do
        if config["unixsocket"]:
            await self._listen_unix(config["unixsocket"], config["unixsocketperm"])
        self._tell_listening()
        await self._load()
        self.state.startup_bytes = self.process.resident_bytes()
        self._call_later("tick", 1 / self.state.settings.hz, self.tick)

    async def _load(self) -> None:
        """Read the file of before, if there is one. Meanwhile clients are told so. Raises CannotLoad."""
        state, monotonic = self.state, self.state.clock.monotonic
        started = until = monotonic()
        state.mode |= LOADING
        gc.disable()
        try:
            for _ in self.snapshots.load(now_ms=self.engine.begin_unit()):
                if monotonic() >= until:
                    await asyncio.sleep(0)
                    until = monotonic() + LOAD_SLICE_S
                if self.stopping.is_set():
                    return
        except FileNotFoundError:
            pass
        else:
            self.log.notice(f"DB loaded from disk: {monotonic() - started:.3f} seconds")
        finally:
            gc.enable()
        state.mode &= ~LOADING

    async def stop(self, grace_s: float = DRAIN_S) -> None:
        """Answer what was asked, close every connection, end."""
        for timer in self._timers.values():
            timer.cancel()
        await self._end_script()
        self.migrations.stop()
        self.snapshots.end_child()
        self.turn.settle()
        for listener in self.listeners + self.left_listeners:
            await listener.drain(grace_s)
        if self.unix_listener is not None:
            await self.unix_listener.drain(grace_s)
            self.disk.remove_socket(self.config["unixsocket"])

    async def _end_script(self) -> None:
        """A script that still runs is told to end. One inside a long C function hears it later: it ends with us."""
        self.engine.scripts.stop()
        until = self.loop.time() + SCRIPT_END_S
        while self.state.mode & BUSY_SCRIPT and self.loop.time() < until:
            await asyncio.sleep(0.01)

    async def _listen(self, addresses: tuple[str, ...], port: int) -> None:
        """Bind every address. Port 0 takes a free one for all. Raises CannotListen."""
        for address in addresses:
            host = _host(address)
            listener = self._new_listener()
            try:
                await listener.open(host, port, backlog=self.config["tcp-backlog"])
            except OSError as error:
                if not _may_be_missing(address, error):
                    self._close_listeners()
                    where = f"{host}:{port}"
                    raise CannotListen(f"Could not create server TCP listening socket {where}: {_why(error)}") from None
            else:
                port = listener.port
                self.listeners.append(listener)
        if addresses and not self.listeners:
            raise CannotListen("Configured to not listen anywhere, exiting.")
        self.state.port = port

    def _rebind(self) -> bool:
        """Leave the addresses of before for those of now, port 0 for none; connections stay. Whether all are bound."""
        self._close_listeners()
        port = self.state.port = self.config["port"]
        for address in self.config["bind"] if port else ():
            host = _host(address)
            try:
                listener = self._new_listener().open_at_once(host, port, backlog=self.config["tcp-backlog"])
            except OSError as error:
                self.log.warning(f"Warning: Could not create server TCP listening socket {host}:{port}: {_why(error)}")
                if not _may_be_missing(address, error):
                    self._close_listeners()
                    return False
            else:
                self.listeners.append(listener)
        self._tell_listening()
        return True

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            listener.close()
        self.left_listeners = [each for each in self.left_listeners + self.listeners if each.connections]
        self.listeners = []

    def _tell_listening(self) -> None:
        config = self.config
        self.state.listening = [("tcp", config["bind"], self.state.port)] if self.state.port else []
        if self.unix_listener is not None:
            self.state.listening.append(("unix", (config["unixsocket"],), 0))

    async def _listen_unix(self, path: str, mode: int) -> None:
        listener = self._new_listener()
        self.disk.remove_socket(path)
        try:
            await listener.open_unix(path, backlog=self.config["tcp-backlog"])
        except OSError as error:
            raise CannotListen(f"Failed opening Unix socket: bind: {_why(error)}") from None
        if mode:
            self.disk.set_mode(path, mode)
        self.unix_listener = listener

    def _new_listener(self) -> Listener:
        return Listener(
            self.loop, self.turn, self._open_session, max_connections=MAX_CONNECTIONS, is_gathering=True,
        )  # fmt: skip

    def _open_session(self, connection: Connection) -> Any:
        state = self.state
        if self._is_denied(connection):
            state.connections_rejected += 1
            return Refused(connection, _DENIED)
        if len(state.clients) >= self.max_clients:
            state.connections_rejected += 1
            return Refused(connection, b"-ERR max number of clients reached\r\n")
        session = Session(
            state.next_client_id, state.dbs[0], self.engine, connection, self.log.warning, self._arm_deadline
        )
        state.next_client_id += 1
        state.connections_received += 1
        if self.config["tcp-keepalive"] and connection.peer_address[1]:
            connection.keep_alive(self.config["tcp-keepalive"])
        session.become(state.access.default, is_stranger=not state.access.is_open)
        self.engine.admit(session)
        return session

    def _is_denied(self, connection: Connection) -> bool:
        """Protected mode: without a password only this machine may come in."""
        if not self.config["protected-mode"] or not self.state.access.is_open:
            return False
        host = connection.peer_address[0].removeprefix("::ffff:")
        return not host.startswith(("127.", "/")) and host not in ("::1", "")

    def agree_to_end(self, saves: bool | None = None, is_forced: bool = False) -> bool:
        """Do what must be done before the end: `saves` says whether the data is saved, None: where there are save
        points. False: that failed, and the server goes on."""
        self.log.notice("User requested shutdown...")
        self.snapshots.end_child()
        if saves is None:
            saves = bool(self.state.settings.save)
        if saves and not self.state.mode & LOADING:
            self.log.notice("Saving the final RDB snapshot before exiting.")
            if not self.snapshots.save_quietly():
                if not is_forced:
                    self.log.warning("Error trying to save the DB, can't exit.")
                    return False
                self.log.warning("Error trying to save the DB. Exit anyway.")
        self.is_shutdown_agreed = True
        return True

    def _request_shutdown(self, saves: bool | None, is_forced: bool) -> bool:
        if not self.agree_to_end(saves, is_forced):
            return False
        self.stopping.set()
        return True

    def _judge_disk(self) -> None:
        """Whether writes are refused, since what is written could not be saved."""
        if self.snapshots.is_refusing_writes:
            self.state.mode |= DISK_ERROR
        else:
            self.state.mode &= ~DISK_ERROR

    def _tell_fork(self, took_s: float) -> None:
        self.state.latency.watch(b"fork", int(took_s * 1e6), self.state.clock.wall_ms())

    def _log_script(self, level: int, line: str) -> None:
        (self.log.debug, self.log.verbose, self.log.notice, self.log.warning)[level](line)

    # CONFIG SET.

    def _connect_config(self) -> None:
        config = self.config
        config.changed = self._settings_changed
        config.apply.update({
            "requirepass": self._set_password,
            "maxclients": self._set_max_clients,
            "loglevel": self._set_log_level,
            "dir": self._change_dir,
            "port": self._set_port,
            "bind": self._set_bind,
        })  # fmt: skip

    def _settings_changed(self, settings: Settings) -> None:
        self.state.apply_settings(settings)
        self._judge_disk()
        for client in self.state.clients.values():
            if isinstance(client, Session):
                client.parser.max_bulk = settings.proto_max_bulk_len
                client.parser.max_buffer = settings.client_query_buffer_limit

    def _set_password(self, password: str) -> None:
        self.state.access.set_password(password)
        for client in self.state.clients.values():
            client.require_login(not self.state.access.is_open)

    def _set_max_clients(self, count: int) -> str | None:
        allowed = self.process.raise_open_files(count + SPARE_DESCRIPTORS) - SPARE_DESCRIPTORS
        if allowed < count:
            return f"The operating system is not able to handle the specified number of clients, try with {allowed}"
        self.max_clients = count
        return None

    def _set_port(self, port: int) -> str | None:
        return None if self._rebind() else "Unable to listen on this port. Check server logs."

    def _set_bind(self, addresses: tuple[str, ...]) -> str | None:
        return None if self._rebind() else "Failed to bind to specified addresses."

    def _change_dir(self, path: str) -> str | None:
        try:
            self.disk.change_dir(path)
        except OSError as error:
            return error.strerror
        return None

    def _set_log_level(self, name: str) -> None:
        self.log.level = _LEVELS[name]

    # The end of a turn.

    def settle(self) -> None:
        """What must leave before the answers of this turn: the effects, for whoever keeps or follows them."""
        self.state.traffic.turns += 1
        for sink in self.state.journal.sinks:
            sink.flush()

    # Time.

    def _call_later(self, name: str, delay_s: float, action: Any) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        self._timers[name] = self.loop.call_later(max(0.0, delay_s), action)

    def _arm_deadline(self) -> None:
        """Keep the timer at the earliest deadline of whoever is blocked."""
        if self.engine.flushing and self._timers["tick"].when() > self.loop.time() + HURRIED_TICK_S:
            self._call_later("tick", HURRIED_TICK_S, self.tick)
        deadline = self.state.blocked.next_deadline()
        if deadline is not None and ("deadline" not in self._timers or deadline < self._deadline_ms):
            self._deadline_ms = deadline
            self._call_later("deadline", (deadline + 1 - self.state.clock.wall_ms()) / 1000, self._reach_deadline)

    def _reach_deadline(self) -> None:
        if self.state.mode & BUSY_SCRIPT:  # nobody is answered in the middle of a script's unit
            self._call_later("deadline", BUSY_RETRY_S, self._reach_deadline)
            return
        del self._timers["deadline"]
        self.engine.release_expired(self.engine.begin_unit())
        self.engine.end_unit()
        self._arm_deadline()

    def _arm_pause(self) -> None:
        until = self.state.paused_until
        if until:
            self._call_later("pause", (until - self.state.clock.wall_ms()) / 1000, self._end_pause)

    def _end_pause(self) -> None:
        if self.state.mode & BUSY_SCRIPT:
            self._call_later("pause", BUSY_RETRY_S, self._end_pause)
        elif self.engine.begin_unit() < self.state.paused_until:
            self._arm_pause()
        else:
            self.engine.unpause()
            self.engine.end_unit()

    def tick(self) -> None:
        """What is due every 1/hz seconds."""
        settings = self.state.settings
        is_unfinished = False
        if not self.state.mode & BUSY_SCRIPT:
            self.engine.begin_unit()
            is_unfinished = self.state.expires_actively and self._expire(settings)
            if self.state.keyspace.waste.free():
                is_unfinished = True
            elif self.engine.flushing:
                self.engine.release_flushing()
            self.engine.end_unit()
            self.snapshots.tick()
        self._sample()
        self.migrations.close_old()
        now = self.loop.time()
        if settings.timeout and now - self._idle_checked_at >= 1:
            self._idle_checked_at = now
            self._close_idle_clients(now - settings.timeout)
        if gc.get_count()[0] > YOUNG_MOST:
            gc.freeze()
        self._collect_when_idle(now)
        self._call_later("tick", HURRIED_TICK_S if is_unfinished else 1 / settings.hz, self.tick)

    def _expire(self, settings: Settings) -> bool:
        monotonic = self.state.clock.monotonic
        started = monotonic()
        is_unfinished = self.expiry.cycle(effort=settings.active_expire_effort, hz=max(settings.hz, LEAST_EXPIRY_HZ))
        elapsed_us = int((monotonic() - started) * 1e6)
        self._expiry_us += elapsed_us
        self.state.latency.watch(b"expire-cycle", elapsed_us, self.state.keyspace.now)
        return is_unfinished

    def _sample(self) -> None:
        """For what INFO tells by the second."""
        traffic = self.state.traffic
        self.state.rates.take(
            Sample(
                self.state.clock.monotonic(), self.state.observer.calls, traffic.input_bytes, traffic.output_bytes,
                traffic.turns,
            )
        )  # fmt: skip

    def _tell_expiry(self) -> tuple[float, int, int]:
        return self.expiry.stale_percent, self.expiry.time_cap_reached, self._expiry_us

    def _reset_statistics(self) -> None:
        self.expiry.stale_percent = 0.0
        self.expiry.time_cap_reached = 0
        self._expiry_us = 0
        self.snapshots.forget_statistics()

    def _close_idle_clients(self, before: float) -> None:
        """Connections on which nothing came for `timeout` seconds; who waits or listens is not idle."""
        for client in list(self.state.clients.values()):
            is_waiting = client.blocked is not None or client.subscriptions or client in self.state.observer.monitors
            if client.last_active_at < before and not is_waiting:
                self.log.verbose("Closing idle client")
                client.kill()

    def _collect_when_idle(self, now: float) -> None:
        """Look for cyclic garbage of all ages, which nothing here should leave, only while nobody waits for us."""
        calls = self.state.observer.calls
        if calls != self._calls_seen:
            self._calls_seen = calls
            self._busy_at = now
        elif now - self._busy_at > IDLE_BEFORE_COLLECTION_S:
            if calls - self._calls_collected > COMMANDS_BEFORE_COLLECTION:
                self._calls_collected = calls
                gc.collect()
            if now >= self._release_from:
                self._release_memory(now)

    def _release_memory(self, now: float) -> None:
        state = self.state
        traffic = state.traffic.input_bytes + state.traffic.output_bytes
        if state.dirty == self._dirty_released and abs(traffic - self._traffic_released) < TRAFFIC_BEFORE_RELEASE_BYTES:
            return
        self._traffic_released = traffic
        self._dirty_released = state.dirty
        started = state.clock.monotonic()
        self.process.release_memory()
        self._release_from = now + RELEASE_PATIENCE * (state.clock.monotonic() - started)

    def announce(self) -> None:
        """The lines by which a start is known to have succeeded."""
        self.log.notice(f"Running mode=standalone, port={self.state.port}.")
        self.log.notice(f"Server initialized, version {VERSION}")
        self.log.notice("Ready to accept connections tcp")
        if self.unix_listener is not None:
            self.log.notice("Ready to accept connections unix")


def _host(address: str) -> str:
    """The name to bind of a word of `bind`, where a dash in front says that the address may be missing."""
    host = address.removeprefix("-")
    return {"*": "0.0.0.0", "::*": "::"}.get(host, host)


def _may_be_missing(address: str, error: OSError) -> bool:
    """No such address on this machine where that was allowed; a kind of address this machine does not know at all."""
    is_optional = address.startswith("-") and error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return is_optional or error.errno in _UNKNOWN_PROTOCOL


def _is_in_use(error: OSError) -> bool:
    return "in use" in str(error).lower()


def _why(error: OSError) -> str:
    """The system's words; asyncio puts its own around them."""
    if _is_in_use(error):
        return "Address already in use"
    return (error.strerror or str(error)).partition(" (while")[0].rpartition("] ")[2]
