"""Stores with replicas in a world: three machines, an operator, clients, faults, and what must hold of it all.

    play(seed)    one run, to its end: at least so much virtual time, acknowledged writes and faults; then everything is
                  healed, replicas must come level, and each store must find again what it had

Law: a seed decides everything. The order of keys is a matter of PYTHONHASHSEED too: `seeds.py` sees to it.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from random import Random
from typing import Any, NamedTuple

from miniredis.config import CommandLine, Config
from miniredis.engine.state import LOADING
from miniredis.persist.digest import dataset_digest
from miniredis.persist.snapshots import CannotLoad
from miniredis.server import Server
from protocol.ops.logs import Logger
from tests.sim.clients import DATABASES, Client, Looker, Sleeper, Writer
from tests.sim.disk import SimDisk
from tests.sim.faults import Faults
from tests.sim.hosts import HostClock, HostProcess, HostTransport, Machine, Network
from tests.sim.invariants import TICK_S, Data, Observer, data_of, difference, is_on
from tests.sim.world import EPOCH_MS, SimLoop

NAMES = ("a", "b", "c")
FIRST_PORT = 7000
WRITERS = 5
RHYTHM_S = 0.2
LEAST_WRITES, LEAST_FAULTS, LEAST_S = 500, 5, 30.0
MOST_S = 90.0  # of a run that does not come to its number of writes: then the faults are too many
LEVEL_S = 60.0  # after the last fault everything must be well again
REPLACED = "Loading DB in memory"  # a line of the log: from here on a store has another's data
SAVED = ("Background saving terminated with success",)
REWRITTEN = ("Background AOF rewrite finished successfully",)


class Outcome(NamedTuple):
    seed: int
    violations: list[str]
    acknowledged: int
    faults: int
    seconds: float
    compared: int
    loads: int
    fingerprint: int
    told: list[str]  # the last of the trace


class Watched(Server):
    """Tells the observer of the end of each turn, and of what it has loaded."""

    store: Store

    def settle(self) -> None:
        super().settle()
        if not self.store.loop.is_over:
            self.store.observer.settled(self.store)

    async def _load(self) -> None:
        await super()._load()
        self.store.observer.loaded(self.store)


class Store(Machine):
    """A machine with a server on it, which is started again when it has ended."""

    def __init__(self, network: Network, name: str, port: int, plan: Plan, observer: Observer) -> None:
        super().__init__(network, name, port, Random(network.world.seed * 1000 + port))
        self.plan = plan
        self.observer = observer
        self.policy = plan.policy
        self.appends = plan.appends
        self.server: Watched
        self.primary: Store | None = None  # whom it is to follow
        self.promised: dict[bytes, float] = {}
        self.sworn: set[bytes] = set()
        self.required_until = 0.0
        self.place: tuple[bytes, int] = b"", 0
        self.is_loaded = self.has_loaded = False
        self.failing_since = float("inf")  # of its append-only file
        self.synced_from = 0.0  # when the last fsync of it began that has ended well
        self.hung_at = -10.0
        self.last_sync = -10.0, -10.0  # when the last fsync that has ended began, and ended
        self.stalled_from = 0.0  # when the last pause of the process began
        self.is_ill = False  # its disk refuses something
        self.forked_data: Data = frozenset()
        self.loads = 0
        self.starts = 0
        self._syncs: dict[Any, float] = {}

    @property
    def wall_ms(self) -> int:
        return EPOCH_MS + int((self.network.world.time() + self.clock_offset_s) * 1_000)

    @property
    def keeps(self) -> bool:
        """Whether what it acknowledges now has to be in its files."""
        return self.appends and is_on(self.server)

    @property
    def writes_at_once(self) -> bool:
        """Whether nothing hinders it to write its effects down in the turn in which they came to be: no fsync, and no
        trouble with the disk, now or a moment ago."""
        is_syncing = self._syncs or self.network.world.now - self.last_sync[1] < TICK_S
        return not (is_syncing or self.is_ill or self.failing_since < float("inf"))

    def begin(self) -> None:
        """Start a server on what the disk has."""
        loop = self.new_process()
        self.is_loaded = False
        self.starts += 1
        self.place = b"", 0
        more = ["--replicaof", f"127.0.0.1 {self.primary.port}"] if self.primary is not None else []
        server = self.server = build(self, self.disk, loop, [*self.plan.directives(self), *more])
        task = loop.create_task(self._serve(server))

        def done(task: asyncio.Task[None]) -> None:
            error = task.exception()
            if isinstance(error, CannotLoad | OSError) and self.is_ill:
                self.kill()  # and it is started again
            elif isinstance(error, CannotLoad):
                self.observer.fail("J4", f"{self.name} refuses its own files: {error}")
            elif error is not None:
                raise error

        task.add_done_callback(done)

    async def _serve(self, server: Server) -> None:
        await server.start()
        self.is_loaded = True
        await server.stopping.wait()
        await server.stop()
        self._syncs.clear()
        self.kill()
        self.required_until = min(self.network.world.time(), self.failing_since)

    def end(self) -> None:
        """SIGTERM: all is written down."""
        self.server.ending.terminated()

    def log(self, line: str) -> None:
        if self.loop.is_over:
            return
        self.network.world.note(self.name, line)
        if REPLACED in line:
            self.promised.clear()
            self.sworn.clear()
            self.observer.lost_at = self.network.world.time()
        elif any(text in line for text in SAVED) and self.chance.random() < 0.25:
            self.reloads(self.forked_data, "--appendonly", "no")
        elif any(text in line for text in REWRITTEN) and self.chance.random() < 0.25:
            self.loop.call_soon(self.reloads_as_it_is)

    # What the machine tells.

    def forked(self) -> None:
        self.forked_data = data_of(self.server.state.dbs)

    def sync_begins(self, future: Any, work: Any) -> None:
        if getattr(getattr(work, "__self__", None), "path", "").endswith((".incr.aof", ".incr")):
            self._syncs[future] = self.network.world.time()

    def sync_ended(self, future: Any) -> None:
        began = self._syncs.pop(future, None)
        if began is None:
            return
        self.last_sync = began, self.network.world.time()
        if self.network.world.time() - began > 0.9:
            self.hung_at = self.network.world.time()
        if not future.cancelled() and future.exception() is None:
            self.synced_from = max(self.synced_from, began)
            self.failing_since = float("inf")

    @property
    def oldest_sync_at(self) -> float:
        """When the oldest fsync began that has not ended; now, where there is none."""
        return min(self._syncs.values(), default=self.network.world.time())

    def stalled(self) -> None:
        """The process begins to stand still."""
        self.hung_at = self.network.world.time()
        if self.loop.busy_until < self.hung_at:
            self.stalled_from = self.hung_at

    def ended(self, *, is_silent: bool) -> None:
        self.network.world.note("end", f"{self.name} {'power' if is_silent else 'process'}")
        if self._syncs and self.network.world.time() - self.oldest_sync_at > 0.9:
            self.hung_at = self.network.world.time()
        self.observer.ended(self, is_silent=is_silent)
        self._syncs.clear()

    # J3, J4: what would be there if it ended now.

    def reloads_as_it_is(self) -> None:
        file = self.server.appending.file
        if self.keeps and not file.waiting_bytes and not file.error:
            self.reloads(data_of(self.server.state.dbs))

    def reloads(self, expected: Data, *more: str) -> None:
        """The files as they are in the page cache have this data, and no other."""
        server = self.loaded_copy(self.disk.copy(Random(1)), *more)
        if server is not None:
            after_ms = self.wall_ms
            found = data_of(server.state.dbs, after_ms=after_ms)
            wanted = frozenset([item for item in expected if item[3] is None or item[3] >= after_ms])
            if found != wanted:
                self.observer.fail("J3", f"{self.name} {' '.join(more)}: {difference(found, wanted)}")

    def survives_power_loss(self) -> None:
        """What the disk might have if the power went now."""
        if not self.keeps:
            return
        disk = self.disk.copy(Random(self.chance.random()))
        disk.crash()
        server = self.loaded_copy(disk)
        if server is not None:
            self.observer.whole(server.state.dbs, f"{self.name} after a loss of power")
            self.observer.kept(self, server.state.dbs, self.observer.horizon(self, is_silent=True))

    def survives_cut(self) -> None:
        """The last file is cut somewhere: what is left of it is whole."""
        if not self.keeps:
            return
        disk = self.disk.copy(Random(1))
        names = [name for name in disk.list("/appendonlydir") if name.endswith(".incr.aof")]
        last = max(names, key=lambda name: int(name.split(".")[-3]))
        file = disk.open(f"/appendonlydir/{last}")
        file.truncate(self.chance.randint(max(0, file.size - 1500), file.size))
        server = self.loaded_copy(disk)
        if server is not None:
            self.observer.whole(server.state.dbs, f"{self.name} cut to {file.size}")

    def loaded_copy(self, disk: SimDisk, *more: str) -> Server | None:
        """A server that has read a copy of the files, and does nothing else."""
        self.loads += 1
        server = build(self, disk, self.loop, [*self.plan.directives(self), *more], is_copy=True)
        try:
            run_through(server._load())
        except CannotLoad as error:
            self.observer.fail("J4", f"{self.name} would refuse its own files: {error}")
            return None
        finally:
            gc.enable()
        return server


def run_through(work: Coroutine[Any, Any, None]) -> None:
    """Run what only gives way to others: there are none."""
    try:
        while True:
            assert work.send(None) is None
    except StopIteration:
        return


def build(store: Store, disk: SimDisk, loop: Any, words: list[str], *, is_copy: bool = False) -> Server:
    config = Config(read_file=disk.read, list_directory=disk.list, is_directory=disk.is_dir, directory="/")
    config.load(CommandLine(words), stdin=bytes)
    seed = store.network.world.seed * 100 + store.starts
    server = (Server if is_copy else Watched)(
        loop, config, disk=disk, clock=HostClock(store), random=Random(seed), secrets=Random(seed * 7 + store.port),
        process=HostProcess(store, loop),
        log=Logger(lambda level, text: text, write=(lambda line: None) if is_copy else store.log),
    )  # fmt: skip
    if isinstance(server, Watched):
        server.store = store
    return server


class Plan:
    """What is the same for all stores of a run."""

    def __init__(self, chance: Random) -> None:
        self.policy = chance.choice(("always", "everysec"))
        self.alone_s = chance.choice((0.0, 0.0, 15.0))  # nobody follows the primary until then
        self.gathering_s = chance.choice((0.0, 0.05, 0.1))  # what clients send arrives together, so often
        self.appends = chance.random() < 0.8
        self.more: list[str] = []
        for name, values in {
            "aof-use-rdb-preamble": ("yes", "yes", "no"),
            "aof-timestamp-enabled": ("no", "yes"),
            "auto-aof-rewrite-min-size": ("4kb", "20kb", "64mb"),
            "repl-diskless-sync": ("yes", "no"),
            "repl-diskless-load": ("disabled", "swapdb", "on-empty-db"),
            "repl-backlog-size": ("16kb", "64kb", "1mb"),
            "repl-timeout": ("3", "6"),
            "repl-ping-replica-period": ("1", "10"),
            "min-replicas-to-write": ("0", "0", "1"),
            "active-expire-effort": ("1", "10"),
            "replica-serve-stale-data": ("yes", "no"),
            "save": ("", "3 10", "1 1"),
        }.items():
            self.more += [f"--{name}", chance.choice(values)]
        if not self.appends:
            self.more[-1] = "1 1"

    def directives(self, store: Store) -> list[str]:
        return [
            "--bind", "127.0.0.1", "--port", str(store.port), "--databases", str(DATABASES), "--rdbcompression", "no",
            "--repl-diskless-sync-delay", "0", "--appendonly", "yes" if self.appends else "no",
            "--appendfsync", self.policy, *self.more,
        ]  # fmt: skip


class Play:
    """One run."""

    def __init__(self, world: SimLoop) -> None:
        self.world = world
        self.chance = Random(world.seed)
        plan = Plan(self.chance)
        self.network = Network(world)
        self.observer = Observer(world.time, WRITERS)
        self.stores = [Store(self.network, name, FIRST_PORT + at, plan, self.observer) for at, name in enumerate(NAMES)]
        self.observer.stores = self.stores
        self.observer.rhythm_s = RHYTHM_S if plan.gathering_s else 0.0
        self.crowd = Machine(self.network, "clients", FIRST_PORT + 90, Random(world.seed))
        self.operator = Machine(self.network, "operator", FIRST_PORT + 91, Random(world.seed))
        for machine in (self.crowd, self.operator):
            machine.new_process()
        self.network.leaving = self.leaving
        for store in self.stores:
            self.network.link(self.crowd, store).gathering_s = plan.gathering_s
        self.primary = self.stores[0]
        self.awaited: tuple[Store, ...] = ()  # who hands its part to whom
        self.awaited_until = 0.0
        self.clients: list[Client] = []
        self.alone_s = plan.alone_s
        self.faults = Faults(self)
        world.set_exception_handler(self.heard)

    def heard(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        place = error.__traceback__ if error is not None else None
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f" in {place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else ""
        self.observer.fail("fault", f"{context.get('message')}: {error!r}{where}")

    def leaving(self, transport: HostTransport, data: bytes) -> None:
        wire = transport.other.protocol
        client = getattr(wire, "client", None)
        if client is not None and isinstance(transport.machine, Store):
            client.leaving(transport.machine, wire, data)

    # The operator.

    def tell(self, store: Store, *words: str) -> None:
        """Send one command; who is not there does not hear it."""
        if store.is_up and store.is_loaded:
            self.operator.loop.create_task(self._tell(store, " ".join(words).encode() + b"\r\n"))

    async def _tell(self, store: Store, line: bytes) -> None:
        try:
            transport, _ = await self.operator.loop.create_connection(asyncio.Protocol, "127.0.0.1", store.port)
        except OSError:
            return
        transport.write(line)
        await asyncio.sleep(1)
        transport.close()

    def see_to_roles(self) -> None:
        """Everybody is told again whom to follow, where that is not so."""
        self._look_at_failover()
        for store in self.stores:
            if not (store.is_up and store.is_loaded) or store in self.awaited:
                continue
            if store.server.replicas.replication.failover.is_under_way:
                self.tell(store, "FAILOVER ABORT")
                continue
            following = store.server.following
            if store.primary is None and following.host:
                self.tell(store, "REPLICAOF NO ONE")
            elif store.primary is not None and (not following.host or following.port != store.primary.port):
                self.tell(store, f"REPLICAOF 127.0.0.1 {store.primary.port}")

    def _look_at_failover(self) -> None:
        """Whether the one that was asked for has come to an end."""
        if not self.awaited:
            return
        before, after = self.awaited
        if before.is_up and after.is_up and before.server.state.is_replica and not after.server.state.is_replica:
            self.primary, before.primary, after.primary = after, after, None
            self.awaited = ()
        elif self.world.time() > self.awaited_until or not self.faults.are_on:
            self.awaited = ()

    def await_failover(self, target: Store, seconds: float) -> None:
        self.awaited = self.primary, target
        self.awaited_until = self.world.time() + seconds

    def appoint(self, store: Store) -> None:
        """This one is to be the primary."""
        self.awaited = ()
        self.primary = store
        for other in self.stores:
            other.primary = None if other is store else store
        self.see_to_roles()

    def aim_at_primary(self, chance: Random) -> Store | None:
        return self.primary

    def aim_anywhere(self, chance: Random) -> Store | None:
        return chance.choice(self.stores)

    # The run.

    async def main(self) -> None:
        for store in self.stores:
            store.primary = self.primary if store is not self.primary and not self.alone_s else None
            store.begin()
        if self.alone_s:
            self.operator.loop.call_later(self.alone_s, lambda: self.appoint(self.primary))
        elif self.chance.random() < 0.3:
            self.stores[2].primary = self.stores[1]
        await self.until(lambda: all(store.is_loaded for store in self.stores), 5, "a start")
        loop = self.crowd.loop
        self.clients = [Writer(loop, n, self.observer, self.aim_at_primary) for n in range(WRITERS)]
        self.clients += [Looker(loop, WRITERS + n, self.observer, self.aim_anywhere) for n in range(2)]
        self.clients.append(Sleeper(loop, WRITERS + 2, self.observer, self.aim_at_primary))
        await self.until(self.is_enough, MOST_S, "enough writes and faults", self.faults.step)
        self.faults.heal_everything()
        for client in self.clients:
            client.is_quiet = True
        self.faults.are_on = False
        await self.until(self.is_level, LEVEL_S, "replicas level with their primary", self.see_to_roles)
        if not self.observer.violations:
            await self.compare_at_the_end()

    def is_enough(self) -> bool:
        return self.world.time() >= LEAST_S and self.acknowledged >= LEAST_WRITES and self.faults.count >= LEAST_FAULTS

    @property
    def acknowledged(self) -> int:
        return sum([client.answered for client in self.clients if isinstance(client, Writer)])

    async def until(self, condition: Any, seconds: float, what: str, meanwhile: Any = None) -> None:
        end = self.world.time() + seconds
        while not condition() and not self.observer.violations:
            if meanwhile is not None:
                meanwhile()
            if self.world.time() > end:
                self.observer.fail("liveness", f"never came: {what}: {self.state()}")
            await asyncio.sleep(0.1)

    def state(self) -> str:
        return " ".join(
            [
                f"{store.name}:{store.server.following.link_state.decode()}:{store.server.state.history.offset}"
                f"{'' if store.is_up else ':down'}" for store in self.stores
            ]
        ) + f" {self.acknowledged} writes"  # fmt: skip

    def is_level(self) -> bool:
        if not all(store.is_up and store.is_loaded for store in self.stores):
            return False
        servers = [store.server for store in self.stores]
        if any(
            server.state.mode & LOADING
            or server.state.is_replica != (server is not self.primary.server)
            or (server.state.is_replica and server.following.link_state != b"connected")
            for server in servers
        ):
            return False
        return len({(server.state.history.id, server.state.history.offset) for server in servers}) == 1

    async def compare_at_the_end(self) -> None:
        digests = {store.name: dataset_digest(store.server.state.dbs) for store in self.stores}
        if len(set(digests.values())) > 1:
            primary = data_of(self.primary.server.state.dbs)
            told = [difference(primary, data_of(store.server.state.dbs)) for store in self.stores]
            self.observer.fail("J2", f"level, and not equal: {told}")
        for store in self.stores:
            self.observer.compare(store)
            self.chance.choice((store.survives_cut, store.survives_power_loss, store.reloads_as_it_is))()
        for store in self.stores:
            store.kill()
        for store in self.stores:
            store.primary = None
            store.begin()
        await self.until(lambda: all(store.is_loaded for store in self.stores), 5, "a start at the end")


def play(seed: int) -> Outcome:
    world = SimLoop(seed)
    asyncio.set_event_loop(world)
    run = Play(world)
    try:
        world.run_until_complete(run.main())
    finally:
        asyncio.set_event_loop(None)
        world.close()
        gc.enable()
    return Outcome(
        seed, run.observer.violations, run.acknowledged, run.faults.count, world.time(), run.observer.compared,
        sum([store.loads + store.starts for store in run.stores]), world.fingerprint(),
        [f"{at:9.4f} {kind:5} {what}" for at, kind, what in world.trace if kind not in ("data", "open", "lost")][-80:],
    )  # fmt: skip
