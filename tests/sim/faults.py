"""What goes wrong with the stores of a run. Each run has a choice of these, and each fault ends by itself.

    kill            kill -9: the page cache stays                      stop      SIGTERM
    power           what was not synced may be gone, or torn           everybody power, of all machines at once
    cut             a link, both ways or one; resets; a slow one       pause     a process stands still
    bad sync        fsync fails, or takes seconds                      full      nothing can be appended
    clock           the wall clock jumps                               promote   REPLICAOF NO ONE, and all follow
    failover        FAILOVER, with a timeout                           rewrite   BGREWRITEAOF; BGSAVE
    resync          a full synchronization, meanwhile writes           look      power or a cut, of a copy of the files

Law: who has ended is started again, and what is cut or full is healed, after seconds at most.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sim.store import Play, Store

GAP_S = (0.2, 3.5)  # between two faults
DOWN_S = (0.05, 3.0)
ILL_S = (0.2, 5.0)
JUMPS_S = (-3600.0, -30.0, -2.0, 1.5, 60.0, 7200.0)


class Faults:
    """`step` is called often; `count` is of those that happened."""

    def __init__(self, run: Play) -> None:
        self.run = run
        self.world = run.world
        self.chance = run.chance
        self.count = 0
        self.are_on = True
        menu: list[Callable[[], bool]] = [
            self.kill, self.kill, self.stop, self.power, self.everybody, self.cut, self.cut, self.reset, self.slow,
            self.pause, self.bad_sync, self.slow_sync, self.full, self.clock, self.promote, self.failover,
            self.rewrite, self.rewrite, self.save, self.resync,
        ]  # fmt: skip
        self.menu = [fault for fault in menu if self.chance.random() < 0.6] or menu
        self._next_at = 2.0
        self._looks_at = 1.0
        self._roles_at = 1.0
        self._ends: list[tuple[float, Callable[[], None]]] = []  # when what heals

    def step(self) -> None:
        now = self.world.time()
        for at, heal in [each for each in self._ends if each[0] <= now]:
            self._ends.remove((at, heal))
            heal()
        if now >= self._roles_at:
            self._roles_at = now + 0.5
            self.run.see_to_roles()
            for store in self.run.stores:  # who has ended by itself is started again
                if not store.is_up and store.is_powered and not any(heal == store.begin for _, heal in self._ends):
                    self._later(store.begin)
        if now >= self._looks_at:
            self._looks_at = now + self.chance.uniform(2, 10)
            self.look()
        if now >= self._next_at:
            self._next_at = now + self.chance.uniform(*GAP_S)
            fault = self.chance.choice(self.menu)
            self.world.note("fault", fault.__name__)
            self.count += fault()

    def _later(self, heal: Callable[[], None], between: tuple[float, float] = DOWN_S) -> None:
        self._ends.append((self.world.time() + self.chance.uniform(*between), heal))

    def heal_everything(self) -> None:
        ends, self._ends = self._ends, []
        for _, heal in ends:
            heal()
        for store in self.run.stores:
            if not store.is_up:
                store.is_powered = True
                store.begin()

    def _any(self) -> Store | None:
        up = [store for store in self.run.stores if store.is_up and store.is_loaded]
        return self.chance.choice(up) if up else None

    # Processes.

    def kill(self) -> bool:
        store = self._any()
        if store is None:
            return False
        store.kill()
        self._later(store.begin)
        return True

    def stop(self) -> bool:
        store = self._any()
        if store is None:
            return False
        store.loop.enter(store.end, ())
        return True

    def power(self) -> bool:
        store = self._any()
        if store is None:
            return False
        self._lose_power(store)
        return True

    def everybody(self) -> bool:
        for store in self.run.stores:
            if store.is_up:
                self._lose_power(store)
        return True

    def _lose_power(self, store: Store) -> None:
        store.lose_power()

        def back() -> None:
            store.is_powered = True
            store.begin()

        self._later(back)

    def pause(self) -> bool:
        store = self._any()
        if store is None:
            return False
        store.stalled()
        store.loop.stall(self.chance.uniform(0.1, 4))
        return True

    # Links.

    def _pair(self) -> tuple[Store, Store]:
        one, other = self.chance.sample(self.run.stores, 2)
        return one, other

    def cut(self) -> bool:
        one, other = self._pair()
        network = self.run.network
        both = self.chance.random() < 0.6
        for link in [network.link(one, other), network.link(other, one)] if both else [network.link(one, other)]:
            link.is_cut = True
            self._later(lambda link=link: network.heal(link), ILL_S)  # type: ignore[misc]
        return True

    def reset(self) -> bool:
        self.run.network.reset(*self._pair())
        return True

    def slow(self) -> bool:
        link = self.run.network.link(*self._pair())
        before, link.latency_s = link.latency_s, (0.01, self.chance.choice((0.1, 0.8)))
        self._later(lambda: setattr(link, "latency_s", min(before, link.latency_s)), ILL_S)
        return True

    # Disks.

    def _ill(self, operation: str, code: int) -> bool:
        store = self._any()
        if store is None:
            return False

        def fault(asked: str, path: str) -> None:
            if asked == operation and path.endswith(".aof"):
                if path.endswith(".incr.aof"):
                    store.failing_since = min(store.failing_since, store.network.world.time())
                raise OSError(code, "Input/output error" if code == errno.EIO else "No space left on device")

        store.disk.fault = fault
        store.is_ill = True

        def heal() -> None:
            if store.disk.fault is fault:
                store.disk.fault = lambda operation, path: None
                store.is_ill = False

        self._later(heal, ILL_S)
        return True

    def bad_sync(self) -> bool:
        return self._ill("sync", errno.EIO)

    def full(self) -> bool:
        return self._ill("append", errno.ENOSPC)

    def slow_sync(self) -> bool:
        store = self._any()
        if store is None:
            return False
        before, store.sync_s = store.sync_s, (0.5, 4.0)
        self._later(lambda: setattr(store, "sync_s", min(before, store.sync_s)), ILL_S)
        return True

    def clock(self) -> bool:
        self.chance.choice(self.run.stores).clock_offset_s += self.chance.choice(JUMPS_S)
        return True

    # Roles.

    def promote(self) -> bool:
        store = self._any()
        if store is None or store is self.run.primary:
            return False
        self.run.appoint(store)
        return True

    def failover(self) -> bool:
        target = self._any()
        primary = self.run.primary
        if target is None or target is primary or not (primary.is_up and primary.is_loaded):
            return False
        self.run.tell(primary, f"FAILOVER TO 127.0.0.1 {target.port} TIMEOUT {self.chance.choice((300, 2000))}")
        self.run.await_failover(target, 4.0)
        return True

    # Files.

    def rewrite(self) -> bool:
        store = self._any()
        if store is None:
            return False
        self.run.tell(store, "BGREWRITEAOF")
        return True

    def save(self) -> bool:
        store = self._any()
        if store is None:
            return False
        self.run.tell(store, "BGSAVE")
        return True

    def resync(self) -> bool:
        """A replica is sent away and comes back as one that is not known."""
        store = self._any()
        if store is None or store is self.run.primary:
            return False
        self.run.tell(store, "REPLICAOF NO ONE")
        return True

    def look(self) -> None:
        store = self._any()
        if store is not None:
            self.chance.choice((store.survives_power_loss, store.survives_power_loss, store.survives_cut))()
