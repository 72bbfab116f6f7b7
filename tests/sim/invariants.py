"""What must hold of stores, their files and their replicas, at every moment of a simulation.

    J1  the same place in the same history: the same data, in the middle of the stream too
    J2  after a synchronization replicas are equal to their primary
    J3  what is loaded from a file is what was written to it: RDB, AOF, rewritten meanwhile or not
    J4  what was acknowledged is there after a crash: `always` all of it, `everysec` but for the last second or two
    J5  a transaction is there whole or not at all: in memory, on replicas, in a file cut anywhere
    J6  no key is seen after its time
    J7  WAIT and WAITAOF count only those who have it
    J8  with `always` no answer leaves before what it tells is on the medium; with `everysec` none before it is written,
        but for while an fsync takes long

Law: nothing of this asks the server whether it did well. What is on the medium is read from the simulated disk, what a
client was told from the bytes it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import lt
from typing import TYPE_CHECKING, Any

from miniredis.engine.state import LOADING
from miniredis.persist.aof import ON
from miniredis.persist.aof_manifest import BadManifest, Manifest
from miniredis.structures.chunks import List
from miniredis.structures.hash import Hash
from miniredis.structures.sets import Set
from miniredis.structures.stream import Stream
from miniredis.structures.stream_node import MAX_ID
from miniredis.structures.zset import SortedSet
from tests.sim.clients import home

if TYPE_CHECKING:
    from tests.sim.store import Store

Data = frozenset[tuple[Any, ...]]

# One place of the stream in so many is compared; who compares agrees on which.
PLACES_A_MARK = 6
# After a write an fsync begins within a second and a tick; while one hangs, a second later.
EVERYSEC_S, EVERYSEC_HUNG_S = 1.2, 2.3
TICK_S = 0.15
LAST_BYTES = 10_000  # of a file: what was written a moment ago


def content(value: Any) -> Any:
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, List):
        return ("list", *value)
    if isinstance(value, Hash):
        deadlines = value.deadlines
        ends = frozenset([(field, deadlines.get(field)) for field, _ in value.items()]) if deadlines else None
        return "hash", frozenset(value.items()), ends
    if isinstance(value, Set):
        return "set", frozenset(value)
    if isinstance(value, SortedSet):
        return "zset", tuple(value)
    if isinstance(value, Stream):
        return "stream", tuple([(id, *pairs) for id, pairs in value.range(0, MAX_ID)])
    return bytes(value)


def data_of(dbs: Iterable[Any], *, after_ms: int = 0) -> Data:
    """Everything in them, whose time is not over by then."""
    found = []
    for db in dbs:
        if db.table.size:
            for shard in db.table.shards:
                for key, value in zip(shard.keys, shard.values, strict=True) if shard.keys else ():
                    expiry = db.expiry(key)
                    if expiry is None or expiry >= after_ms:
                        found.append((db.index, key, content(value), expiry))
    return frozenset(found)


def difference(one: Data, other: Data) -> str:
    shown = [str(item)[:300] for item in sorted(one ^ other, key=repr)]
    return f"{len(shown)} keys differ: " + " | ".join(shown[:4])


@lru_cache(maxsize=64)
def parts_of(manifest: bytes) -> tuple[str, ...]:
    """Names of the files, the last first."""
    try:
        return tuple([part.name for part in reversed(Manifest.read("appendonly.aof", manifest).parts)])
    except BadManifest:
        return ()


def medium(store: Store) -> list[bytes]:
    """What a loss of power would leave, now, of the files that a load would read; the last comes first."""
    kept = store.disk._kept
    names = kept.get("/appendonlydir", {}) if "appendonlydir" in kept["/"] else {}
    manifest = names.get("appendonly.aof.manifest")
    parts = parts_of(bytes(manifest.synced)) if manifest is not None else ()
    return [node.synced for part in parts if (node := names.get(part)) is not None]


def page_cache(store: Store) -> list[bytes]:
    """What a kill would leave of them, now."""
    names = store.disk._dirs.get("/appendonlydir", {})
    manifest = names.get("appendonly.aof.manifest")
    parts = parts_of(bytes(manifest.data)) if manifest is not None else ()
    return [node.data for part in parts if (node := names.get(part)) is not None]


def is_in(files: list[bytes], marker: bytes) -> bool:
    return any(marker in data[-LAST_BYTES:] or marker in data for data in files)


def is_durable(store: Store, marker: bytes) -> bool:
    return is_in(medium(store), marker)


class Observer:
    """Sees everything, says what does not hold."""

    def __init__(self, now: Callable[[], float], clients: int) -> None:
        self.now = now
        self.clients = clients
        self.stores: list[Store] = []
        self.violations: list[str] = []
        self.marks: dict[tuple[bytes, int], tuple[Data, str]] = {}
        self.compared = 0
        self.rhythm_s = 0.0  # in which the writers ask
        self.lost_at = 0.0  # when a store last lost what it had in memory
        self.ends: dict[bytes, int] = {}  # value of a volatile key: when its time is over

    def fail(self, invariant: str, what: str) -> None:
        self.violations.append(f"{invariant} at {self.now():.3f}: {what}")

    # J1.

    def settled(self, store: Store) -> None:
        """A turn of this store has ended."""
        state = store.server.state
        history = state.history
        place = history.id, history.offset
        if place == store.place or history.backlog is None or state.mode & LOADING:
            return
        store.place = place
        if (place[1] * 2_654_435_761 >> 9) % PLACES_A_MARK == 0:
            self.compare(store)

    def compare(self, store: Store) -> None:
        history = store.server.state.history
        data = data_of(store.server.state.dbs)
        before = self.marks.setdefault((history.id, history.offset), (data, store.name))
        self.compared += before[1] != store.name
        if before[0] != data:
            self.fail("J1", f"{store.name} and {before[1]} at {history.offset}: {difference(data, before[0])}")
        self.whole(store.server.state.dbs, store.name)

    # J5.

    def whole(self, dbs: list[Any], where: str) -> None:
        """Each client's list is as long as its count, in order."""
        for number in range(self.clients):
            db = dbs[home(number)]
            solo = list(db.table.get(b"solo:%d" % number) or ())
            if not all(map(lt, solo, solo[1:])):
                self.fail("J5", f"{where}: long writes of client {number} are out of order, or twice")
            values = db.table.get(b"list:%d" % number)
            count = db.table.get(b"count:%d" % number)
            found = list(values) if values is not None else []
            if len(found) != int(count or 0):
                self.fail("J5", f"{where}: half a transaction of client {number}: {len(found)} and {count!r}")
            if not all(map(lt, found, found[1:])):
                self.fail("J5", f"{where}: writes of client {number} are out of order, or twice")

    # J4.

    def ended(self, store: Store, *, is_silent: bool) -> None:
        """This store's process is gone: how much of what it promised may be lost."""
        self.lost_at = self.now()
        if store.has_loaded:  # or it ended before it had read what the one before had left
            store.required_until = self.horizon(store, is_silent=is_silent)
        store.has_loaded = False

    def horizon(self, store: Store, *, is_silent: bool) -> float:
        now = self.now()
        if store.policy == "always":
            return now
        # A process that stands still, or did until a moment ago, has begun no fsync and written nothing down meanwhile.
        seen = store.stalled_from if store.loop.busy_until + EVERYSEC_S > now else now
        until = min(seen, store.oldest_sync_at, store.failing_since)
        if seen - store.last_sync[1] < TICK_S:  # what waited for the end of an fsync is written with the next tick
            until = min(until, store.last_sync[0])
        if is_silent:
            until -= EVERYSEC_HUNG_S if now - store.hung_at < 5 else EVERYSEC_S
            until = max(until, min(store.synced_from, seen, store.failing_since - EVERYSEC_S))
        return until

    def loaded(self, store: Store) -> None:
        """It has started again and read its files."""
        store.has_loaded = True
        dbs = store.server.state.dbs
        self.whole(dbs, f"{store.name} loaded")
        if not store.appends:
            store.promised.clear()
            return
        self.kept(store, dbs, store.required_until)
        there = entries(dbs, self.clients)
        store.promised = {marker: at for marker, at in store.promised.items() if marker in there}
        store.sworn &= there

    def kept(self, store: Store, dbs: list[Any], until: float) -> None:
        there = entries(dbs, self.clients)
        missing = [
            marker for marker, at in store.promised.items()
            if marker not in there and (at < until or at <= until == self.now() or store.policy == "always")
        ]  # fmt: skip
        missing += [marker for marker in store.sworn if marker not in there]
        if missing:
            self.fail("J4", f"{store.name}: {len(missing)} acknowledged writes are gone, the first {missing[0]!r} of "
                            f"{store.promised.get(missing[0], 0):.3f}, required until {until:.3f}")  # fmt: skip

    # J6, J7, J8: what is about to leave.

    def promises(self, store: Store, marker: bytes) -> None:
        """The answer to this write leaves."""
        if store.keeps:
            store.promised[marker] = self.now()
            self.told(store, marker)

    def told(self, store: Store, marker: bytes) -> None:
        """An answer that shows this write leaves."""
        if not store.keeps:
            return
        if store.policy == "always":
            if not is_durable(store, marker):
                self.fail("J8", f"{store.name} tells of {marker[:30]!r}, which is not on the medium")
        elif store.writes_at_once and not is_in(page_cache(store), marker):
            self.fail("J8", f"{store.name} tells of {marker[:30]!r}, which is not written")

    def read_volatile(self, store: Store, value: bytes) -> None:
        end = self.ends.get(value)
        if end is not None and store.wall_ms > end:
            self.fail("J6", f"{store.name} shows {value!r} {store.wall_ms - end} ms after its time")

    def waited(self, store: Store, marker: bytes, replicas: int, asked_at: float) -> None:
        """WAIT answers."""
        others = [each for each in self.stores if each is not store and each.is_up]
        have = sum([marker in entries(each.server.state.dbs, self.clients) for each in others])
        if have < replicas and self.lost_at < asked_at - 0.1:
            self.fail("J7", f"{store.name}: WAIT tells {replicas} of {marker!r}, {have} have it")

    def waited_for_files(self, store: Store, marker: bytes, local: int, replicas: int, asked_at: float) -> None:
        """WAITAOF answers."""
        if local:
            store.sworn.add(marker)
            if not is_durable(store, marker):
                self.fail("J7", f"{store.name}: WAITAOF tells that {marker!r} is on the medium, which it is not")
        others = [each for each in self.stores if each is not store]
        have = sum([is_durable(each, marker) for each in others])
        if have < replicas and self.lost_at < asked_at - 0.1:
            self.fail("J7", f"{store.name}: WAITAOF tells {replicas} of {marker!r}, on the media of {have} it is")


def entries(dbs: list[Any], clients: int) -> set[bytes]:
    """Every write there is, of every client."""
    found: set[bytes] = set()
    for number in range(clients):
        table = dbs[home(number)].table
        for values in (table.get(b"list:%d" % number), table.get(b"solo:%d" % number)):
            if values is not None:
                found.update(values)
    return found


def is_on(server: Any) -> bool:
    return bool(server.appending.state == ON)
