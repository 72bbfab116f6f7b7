"""Fields of hashes whose time has come: hidden from whoever asks, and removed, when asked for or by and by.

A hash that has such fields is known to its database by the earliest of their instants (`Db.volatile`, `Db.field_heap`).

Law: as with keys, a replica and a paused server hide a field and leave it; what a primary or an AOF sends finds it.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from heapq import heappop, heappush
from typing import Final

from miniredis.keyspace import notify
from miniredis.keyspace.db import EXPIRES, IGNORES, Db, Keyspace
from miniredis.structures.hash import Hash

FIELDS_A_CYCLE: Final = 1000  # 3 ms
NOTHING: Final[frozenset[bytes]] = frozenset()


def schedule(db: Db, key: bytes, fields: Hash) -> None:
    """A hash is new under this key, or some field of it ends sooner: see to it in time."""
    first = fields.deadlines.first() if fields.deadlines is not None else None
    if first is None:
        return
    known = db.volatile.get(key)
    if known is None or first < known:
        db.volatile[key] = first
        heappush(db.field_heap, (first, key))
        if len(db.field_heap) > 1024 + 4 * len(db.volatile):
            db.field_heap = sorted((instant, name) for name, instant in db.volatile.items())


def hides(db: Db, key: bytes, fields: Hash, field: bytes) -> bool:
    """Whether this field's instant has passed; it is then removed, where this server may, and an empty hash with it."""
    keyspace = db.keyspace
    instant = fields.deadlines.get(field) if fields.deadlines is not None else None
    if instant is None or instant >= keyspace.now or keyspace.expiry_rule == IGNORES:
        return False
    if keyspace.expiry_rule == EXPIRES:
        remove(db, key, fields, [field])
    return True


def hidden(db: Db, fields: Hash) -> AbstractSet[bytes]:
    """The fields whose instant has passed. They are only not shown: nothing is removed."""
    if fields.deadlines is None or db.keyspace.expiry_rule == IGNORES:
        return NOTHING
    return fields.deadlines.passed(db.keyspace.now)


def remove_asked(db: Db, key: bytes, fields: Hash, names: list[bytes]) -> None:
    """Remove those of the fields whose instant has passed, where this server may."""
    if fields.deadlines is None or db.keyspace.expiry_rule != EXPIRES:
        return
    deadlines, now = fields.deadlines, db.keyspace.now
    over = [name for name in dict.fromkeys(names) if (deadlines.get(name) or now) < now]
    if over:
        remove(db, key, fields, over)


def remove_due(db: Db, key: bytes, fields: Hash, most: int) -> int:
    """Remove up to so many fields whose instant has passed, where this server may; how many."""
    if fields.deadlines is None or db.keyspace.expiry_rule != EXPIRES:
        return 0
    due = fields.deadlines.due(db.keyspace.now, most)
    if due:
        remove(db, key, fields, due)
    return len(due)


def remove(db: Db, key: bytes, fields: Hash, names: list[bytes]) -> None:
    """The time of these fields has come: remove, tell, and remember an HDEL each for AOF and replicas."""
    keyspace = db.keyspace
    db.opened(key)  # a read may have met them
    for name in names:
        fields.delete(name)
        keyspace.field_deletions.append((db.index, key, name))
    keyspace.expired_fields += len(names)
    keyspace.pending = True
    db.notify(notify.HASH, b"hexpired", key)
    if not len(fields):
        db.delete(key)
        db.notify(notify.GENERIC, b"del", key)
    db.touch(key)


def cycle(keyspace: Keyspace) -> bool:
    """One round over the databases; whether there is more to do at once."""
    left = FIELDS_A_CYCLE
    for db in keyspace.dbs:
        heap = db.field_heap
        while heap and heap[0][0] < keyspace.now:
            if left <= 0:
                return True
            left -= 1
            instant, key = heappop(heap)
            if db.volatile.get(key) != instant:
                continue
            del db.volatile[key]
            value = db.opened(key)
            if type(value) is Hash:
                left -= remove_due(db, key, value, left + 1)
                if len(value):
                    schedule(db, key, value)
    return False
