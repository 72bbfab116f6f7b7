"""Active expiry: removing keys whose time has come although nobody asks for them.

A cycle takes samples of the keys that have a deadline, a database after the other, and stays in one while more than a
tolerated share of what it looked at was dead. It walks rather than draws: the cursor goes through the whole table, so
that every dead key is met.

Law: a cycle ends by work done or by time gone, whichever comes first; virtual time does not move inside a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from miniredis.keyspace import field_expiry
from miniredis.keyspace.db import EXPIRES, Keyspace

# Redis' figures at effort 1; each further step of active-expire-effort adds a quarter (and takes from the tolerance).
SAMPLE_KEYS: Final = 20
TOLERATED_DEAD_PERCENT: Final = 10
CYCLE_PERCENT: Final = 25  # of the time between two ticks
CYCLE_MAX_KEYS: Final = 100_000


class ActiveExpiry:
    def __init__(self, keyspace: Keyspace, monotonic: Callable[[], float]) -> None:
        self.keyspace = keyspace
        self.monotonic = monotonic
        self.cursors = [0] * len(keyspace.dbs)
        self.next_db = 0
        self.stale_percent = 0.0  # running average of what is dead among the keys looked at
        self.time_cap_reached = 0

    def cycle(self, *, effort: int, hz: int) -> bool:
        """One round over the databases; whether the budget ended it before the work did. `keyspace.now` is set."""
        keyspace = self.keyspace
        if keyspace.expiry_rule != EXPIRES:
            return False
        has_more_fields = field_expiry.cycle(keyspace)
        effort -= 1
        sample = SAMPLE_KEYS + SAMPLE_KEYS // 4 * effort
        tolerated = TOLERATED_DEAD_PERCENT - effort
        deadline = self.monotonic() + (CYCLE_PERCENT + 2 * effort) / 100 / hz
        looked = dead = 0
        for _ in range(len(keyspace.dbs)):
            index = self.next_db
            self.next_db = (index + 1) % len(keyspace.dbs)
            while keyspace.dbs[index].deadlines.size:
                seen, expired = self._sample(index, sample)
                looked += seen
                dead += expired
                if expired * 100 <= seen * tolerated:
                    break
                if looked >= CYCLE_MAX_KEYS or self.monotonic() >= deadline:
                    self.time_cap_reached += 1
                    self._learn(dead, looked)
                    return True
        self._learn(dead, looked)
        return has_more_fields

    def _sample(self, index: int, count: int) -> tuple[int, int]:
        """The next keys of one database: how many were looked at, how many were dead."""
        db = self.keyspace.dbs[index]
        self.cursors[index], keys = db.deadlines.scan(self.cursors[index], count)
        return len(keys), sum([db.expire_if_due(key) for key in keys])

    def _learn(self, dead: int, looked: int) -> None:
        share = dead * 100 / looked if looked else 0.0
        self.stale_percent = share * 0.05 + self.stale_percent * 0.95
