"""What a command may reach of the server it runs in, typed.

Law: a `State` belongs to one server; nothing of it is global. What lies on higher floors (configuration, the socket
side of clients) is known here by the few methods commands need of it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from miniredis.engine.client import Client
from miniredis.engine.journal import Journal
from miniredis.engine.latency import Latency
from miniredis.engine.observe import Observer
from miniredis.engine.rates import Rates, Traffic
from miniredis.engine.registry import CommandTable
from miniredis.engine.settings import Settings
from miniredis.engine.watch import Watches
from miniredis.keyspace.blocked import Blocked
from miniredis.keyspace.db import Db, Keyspace
from miniredis.replication.history import History

if TYPE_CHECKING:
    from miniredis.engine.execute import Engine

# Bits of State.mode: what the whole server refuses at the moment, or does besides running commands.
LOADING = 1 << 32
READ_ONLY_REPLICA = 1 << 33
OUT_OF_MEMORY = 1 << 34
DISK_ERROR = 1 << 35
STALE_REPLICA = 1 << 36
TOO_FEW_REPLICAS = 1 << 37
BUSY_SCRIPT = 1 << 38
PAUSED_ALL = 1 << 39
PAUSED_WRITES = 1 << 40
MONITORED = 1 << 41  # somebody watches commands with MONITOR
LOADING_BESIDE = 1 << 42  # a data set is loaded beside the one that is served, to take its place

NEVER = 1 << 62


class Clock(Protocol):
    """protocol/ops/clock.py, or a simulation's. `hold` keeps everybody waiting (DEBUG SLEEP)."""

    def wall_ms(self) -> int: ...
    def wall_us(self) -> int: ...
    def monotonic(self) -> float: ...
    def hold(self, seconds: float) -> None: ...


class State:
    """One server's data and bookkeeping."""

    def __init__(
        self, settings: Settings, clock: Clock, random: Random, table: CommandTable, *, databases: int = 16,
        secrets: Random | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.clock = clock
        self.random = random
        self.secrets = secrets or random  # for ids and nonces: a SystemRandom outside of simulation
        self.table = table
        self.mode = 0
        self.slow_us = NEVER  # the slow log's threshold, or the latency monitor's if that is less
        self.latency = Latency()
        self.keyspace = Keyspace(databases, random)
        self.dbs: list[Db] = self.keyspace.dbs
        self.blocked = Blocked(self.keyspace)
        self.watches = Watches(self.keyspace)
        self.journal = Journal()
        self.observer = Observer(table)
        self.clients: dict[int, Client] = {}  # by id, in order of arrival
        self.next_client_id = 1
        self.dirty = 0  # changes since the last save
        self.connections_received = 0
        self.connections_rejected = 0
        self.paused_until = 0  # ms, when the first pause ends; with PAUSED_ALL or PAUSED_WRITES in mode
        self.started_at_ms = clock.wall_ms()
        self.run_id = f"{self.secrets.getrandbits(160):040x}".encode()
        self.history = History(self.secrets)  # of the effect stream
        self.traffic = Traffic()
        self.rates = Rates()
        self.hz = settings.hz  # ticks a second, at the moment
        self.expires_actively = True  # DEBUG SET-ACTIVE-EXPIRE
        self.is_cron_paused = False  # DEBUG PAUSE-CRON
        self.unexpected_errors = 0  # of commands that a primary or an append-only file had
        self.checks_sums = True  # DEBUG SET-SKIP-CHECKSUM-VALIDATION
        self.list_plain_from = 0  # DEBUG QUICKLIST-PACKED-THRESHOLD
        self.sanitized_payloads = 0  # payloads of RESTORE that sanitize-dump-payload asked to check
        self.interpreter_bytes = 0  # resident memory once the server was ready, without what is counted
        self.port = 0
        self.listening: list[tuple[str, tuple[str, ...], int]] = []  # (kind, addresses, port) of each listener
        # Set by the wiring.
        self.pubsub: Any = None
        self.snapshots: Any = None  # persist.snapshots.Snapshots
        self.appending: Any = None  # persist.aof.AppendOnly
        self.append_error = ""  # why effects cannot be written down
        self.replication: Any = None  # replication.hub.Replication
        self.access: Any = None
        self.config: Any = None
        self.ending: Any = None  # ending.Ending: how the server comes to its end
        self.companion: Any = None  # protocol.ops.process.Companion: the thread scripts run on; None: they run on ours
        self.script_random = random  # math.random of scripts, which may seed it
        self.log_script: Callable[[int, str], None] = lambda level, line: None  # redis.log
        self.process: Any = None  # protocol.ops.process: pid, memory, processor time
        self.engine: Engine
        self.is_replica = False
        self.pause_changed: Callable[[], None] = lambda: None  # paused_until moved: the wiring keeps a timer for it
        self.log: Callable[[str], None] = lambda line: None
        self.warn: Callable[[str], None] = lambda line: None
        self.log_detail: Callable[[str], None] = lambda line: None  # for loglevel verbose
        self.carry: Callable[[Any], None] = lambda migration: None  # a migration (MIGRATE) to its target and back
        self.links_kept: Callable[[], int] = lambda: 0  # connections to such targets
        # Statistics of active expiry: percent of dead keys among those looked at, rounds ended by their budget,
        # microseconds spent.
        self.expiry_told: Callable[[], tuple[float, int, int]] = lambda: (0.0, 0, 0)
        self.memory_changed: Callable[[], None] = lambda: None  # maxmemory, or what else counts against it
        self.statistics_reset: Callable[[], None] = lambda: None  # the wiring has some of its own

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT."""
        self.observer.reset()
        self.traffic.reset()
        self.rates.samples.clear()
        self.connections_received = self.connections_rejected = 0
        self.keyspace.hits = self.keyspace.misses = self.keyspace.expired_keys = self.keyspace.expired_fields = 0
        self.keyspace.evicted_keys = 0
        self.engine.memory.forget_statistics()
        self.engine.scripts.evicted = 0
        self.access.refused_logins = self.unexpected_errors = 0
        self.keyspace.waste.freed = 0
        self.statistics_reset()

    def apply_settings(self, settings: Settings) -> None:
        """Swap the settings and tell the parts that keep a value of them."""
        self.settings = settings
        self.slow_us = settings.slowlog_log_slower_than if settings.slowlog_log_slower_than >= 0 else NEVER
        self.latency.threshold_ms = settings.latency_monitor_threshold
        if settings.latency_monitor_threshold:
            self.slow_us = min(self.slow_us, settings.latency_monitor_threshold * 1000)
        self.keyspace.events_mask = _heard_classes(settings.notify_keyspace_events)
        self.keyspace.set_policy(
            is_lfu="lfu" in settings.maxmemory_policy, log_factor=settings.lfu_log_factor,
            decay_time=settings.lfu_decay_time,
        )  # fmt: skip
        self.memory_changed()


def _heard_classes(mask: int) -> int:
    """Event classes worth remembering: none unless keyspace or keyevent messages are asked for."""
    return mask if mask & 3 else 0
