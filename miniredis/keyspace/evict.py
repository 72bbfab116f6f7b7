"""Eviction: which key goes when memory is short.

    policy = whom × by what           allkeys: any key           lru     whose last access is longest ago
                                      volatile: one that has     lfu     whose access counter is lowest
                                      a deadline                 ttl     whose deadline is next (volatile only)
                                                                 random  any

A few keys of every database are drawn, and the best candidates seen so far are remembered in a pool from one eviction
to the next: sixteen, as in Redis. So a few samples come near to what a list of all keys in order would choose.

Law: an eviction ends by work done or by time gone (maxmemory-eviction-tenacity), whichever comes first.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from typing import Final, NamedTuple

from miniredis.keyspace import notify
from miniredis.keyspace.db import LRU_BITS_MASK, Db, Keyspace
from miniredis.structures.table import SHARDS, Table

LRU: Final = 0
LFU: Final = 1
TTL: Final = 2
RANDOM: Final = 3

# What an eviction came to.
ENOUGH: Final = 0  # memory is within its limit
UNFINISHED: Final = 1  # out of time: there is more to do, and to evict
HELPLESS: Final = 2  # memory is short, and nothing may be evicted

POOL_KEYS: Final = 16
# The time is looked at after so many keys.
KEYS_A_LOOK: Final = 16
# And so many are enough, however long that took: a multiple of the above.
KEYS_MOST: Final = 16_000
# In a table with few keys many shards are vacant: after so many of them the slow way finds a key.
VACANT_MOST: Final = 64

# maxmemory-eviction-tenacity: 50 µs a step, above 10 by 15 percent more each; 100 is without end.
STEP_US: Final = 50
LINEAR_TENACITY: Final = 10
GROWTH: Final = 1.15
ENDLESS_TENACITY: Final = 100

_GREATEST_COUNTER: Final = 255


class Policy(NamedTuple):
    """A maxmemory-policy: among which keys, and by which rank."""

    is_volatile: bool
    rank: int


POLICIES: Final[dict[str, Policy | None]] = {
    "noeviction": None,
    "allkeys-lru": Policy(False, LRU), "allkeys-lfu": Policy(False, LFU), "allkeys-random": Policy(False, RANDOM),
    "volatile-lru": Policy(True, LRU), "volatile-lfu": Policy(True, LFU), "volatile-random": Policy(True, RANDOM),
    "volatile-ttl": Policy(True, TTL),
}  # fmt: skip


def patience_s(tenacity: int) -> float:
    """So long may an eviction take that a client waits for."""
    if tenacity >= ENDLESS_TENACITY:
        return float("inf")
    if tenacity <= LINEAR_TENACITY:
        return STEP_US * tenacity / 1e6
    return STEP_US * LINEAR_TENACITY * GROWTH ** (tenacity - LINEAR_TENACITY) / 1e6


class Evictor:
    """Removes keys until the count of memory (counting.py) is within `keyspace.limit_bytes`."""

    def __init__(self, keyspace: Keyspace, monotonic: Callable[[], float]) -> None:
        self.keyspace = keyspace
        self.monotonic = monotonic
        self._pool: list[tuple[int, int, bytes]] = []  # (how good, db, key), the best last
        self._next_db = 0

    def evict(self, policy: Policy | None, samples: int, patience_s: float) -> int:
        """ENOUGH, UNFINISHED or HELPLESS. What was removed is among the facts of the keyspace."""
        keyspace = self.keyspace
        count = 0
        most = -1 if patience_s == float("inf") else KEYS_MOST
        started = self.monotonic()
        while keyspace.settle_count() > keyspace.limit_bytes:
            chosen = None if policy is None else self._choose(policy, samples)
            if chosen is None:
                return HELPLESS
            self._remove(*chosen)
            count += 1
            if count % KEYS_A_LOOK == 0 and (self.monotonic() - started > patience_s or count == most):
                return UNFINISHED
        return ENOUGH

    def _remove(self, db: Db, key: bytes) -> None:
        db.delete(key)
        self.keyspace.evicted_keys += 1
        self.keyspace.evictions.append((db.index, key))
        self.keyspace.pending = True
        db.notify(notify.EVICTED, b"evicted", key)

    def _choose(self, policy: Policy, samples: int) -> tuple[Db, bytes] | None:
        """The key to go; None: there is none."""
        return self._choose_any(policy) if policy.rank == RANDOM else self._choose_best(policy, samples)

    def _choose_any(self, policy: Policy) -> tuple[Db, bytes] | None:
        """From one database after the other."""
        dbs = self.keyspace.dbs
        for _ in dbs:
            self._next_db = (self._next_db + 1) % len(dbs)
            db = dbs[self._next_db]
            key = _candidates(db, policy).sample(self.keyspace.random)
            if key is not None:
                return db, key
        return None

    def _choose_best(self, policy: Policy, samples: int) -> tuple[Db, bytes] | None:
        """Candidates of before may be gone: then others are drawn, as long as there is any key."""
        dbs, pool = self.keyspace.dbs, self._pool
        while True:
            has_keys = False
            for db in dbs:
                if _candidates(db, policy).size:
                    has_keys = True
                    self._draw(db, policy, samples)
            if not has_keys:
                return None
            while pool:
                _, index, key = pool.pop()
                if key in _candidates(dbs[index], policy):
                    return dbs[index], key

    def _draw(self, db: Db, policy: Policy, samples: int) -> None:
        """Some keys of a database into the pool."""
        table, random, pool = _candidates(db, policy), self.keyspace.random.random, self._pool
        shards = table.shards
        for _ in range(min(samples, table.size)):
            for _ in range(VACANT_MOST):
                keys = shards[int(random() * SHARDS)].keys
                if keys:
                    key = keys[int(random() * len(keys))]
                    break
            else:
                drawn = table.sample(self.keyspace.random)
                assert drawn is not None
                key = drawn
            insort(pool, (self._merit(db, key, policy.rank), db.index, key))
            if len(pool) > POOL_KEYS:
                del pool[0]

    def _merit(self, db: Db, key: bytes, rank: int) -> int:
        """How good it would be to lose this key."""
        keyspace = self.keyspace
        if rank == TTL:
            return -(db.expiry(key) or 0)
        clock = db.table.clock(key)
        if rank == LFU:
            return _GREATEST_COUNTER - keyspace.decayed(clock)
        return (keyspace.clock - clock) & LRU_BITS_MASK


def _candidates(db: Db, policy: Policy) -> Table[int] | Table[object]:
    return db.deadlines if policy.is_volatile else db.table  # type: ignore[return-value]
