"""What an RDB file holds, put into databases.

Law: a key that is there twice is an error, unless what the file has goes in the place of what is there. In a database
that was empty nobody looks for each key whether it is there (that takes longer than to add it): what was filled is
looked through once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from miniredis.keyspace.db import Db
from miniredis.keyspace.field_expiry import schedule
from miniredis.persist.rdb_read import Damaged, Entry, RdbReader, Strings
from miniredis.structures.hash import Hash

# For fewer keys no room is made: their tables grow as fast.
RESERVED_LEAST: Final = 8192


class Filler:
    """Fills `dbs` from one file. Keys whose time was over before `drops_before_ms` are told to `expired` (database,
    key) instead. `keys` and `expired_keys` are counted."""

    def __init__(
        self, reader: RdbReader, dbs: Sequence[Db], *, replaces: bool, drops_before_ms: int,
        expired: Callable[[int, bytes], None],
    ) -> None:  # fmt: skip
        self._reader = reader
        self._dbs = dbs
        self._replaces = replaces
        self._drops_before_ms = drops_before_ms
        self._expired = expired
        self._fresh: set[Db] = set() if replaces else {db for db in dbs if not db.table.size}
        self._filled: set[Db] = set()  # of these, those that got something
        self.keys = 0
        self.expired_keys = 0

    def add(self, entry: Entry | Strings) -> None:
        """Raises Damaged."""
        if entry.db >= len(self._dbs):
            raise Damaged(
                f"FATAL: Data file was created with a Redis server configured to handle more than {len(self._dbs)} "
                "databases. Exiting"
            )
        db = self._dbs[entry.db]
        if self._reader.room is not None:
            self._make_room(db, *self._reader.room)
            self._reader.room = None
        if isinstance(entry, Entry):
            self._add_one(db, entry)
        else:
            self._add_strings(db, entry)

    def _make_room(self, db: Db, keys: int, ends: int) -> None:
        for table, count in ((db.table, keys), (db.deadlines, ends)):
            if count >= RESERVED_LEAST and not table.size:
                table.reserve(count)

    def _add_strings(self, db: Db, strings: Strings) -> None:
        keys, values, ends = strings.keys, strings.values, strings.ends
        if db not in self._fresh or (ends and min(ends.values()) < self._drops_before_ms):
            for key, value in zip(keys, values, strict=True):
                self._add_one(db, Entry(db.index, key, value, ends.get(key), None, None))
            return
        self._filled.add(db)
        db.add_strings(keys, values)
        for key, instant in ends.items():
            db.expire_at(key, instant)
        self.keys += len(keys)

    def _add_one(self, db: Db, entry: Entry) -> None:
        key, value, instant = entry.key, entry.value, entry.expiry
        if instant is not None and instant < self._drops_before_ms:
            self.expired_keys += 1
            self._expired(entry.db, key)
            return
        if db in self._fresh:
            self._filled.add(db)
        elif key in db.table:
            if not self._replaces:
                raise _repeated(db, key)
            db.delete(key)
        db.table.add(key, value, _clock(db, entry))
        db.count_new(key, value)
        if isinstance(value, Hash) and value.deadlines:
            schedule(db, key, value)
        if instant is not None:
            db.expire_at(key, instant)
        self.keys += 1

    def finish(self) -> Iterator[None]:
        """Look through what was filled, a slice at a time. Raises Damaged."""
        for db in self._filled:
            for key in db.table.repeated():
                if key is not None:
                    raise _repeated(db, key)
                yield


def _repeated(db: Db, key: bytes) -> Damaged:
    return Damaged(f"RDB has duplicated key '{key.decode('utf-8', 'replace')}' in DB {db.index}")


def _clock(db: Db, entry: Entry) -> int:
    """A key's access clock: as the file has it, where this server keeps one of that kind."""
    keyspace = db.keyspace
    if keyspace.is_lfu and entry.counter is not None:
        return keyspace.clock & ~0xFF | entry.counter
    if not keyspace.is_lfu and entry.idle is not None:
        return keyspace.clock - min(entry.idle, keyspace.clock)
    return keyspace.clock
