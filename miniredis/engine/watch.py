"""WATCH: whose transaction fails when a key is touched.

A key that had already expired when it was watched counts as missing: its removal later on does not fail anybody.
"""

from __future__ import annotations

from miniredis.engine.client import DIRTY_CAS, Client
from miniredis.keyspace.db import Db, Keyspace


class Watches:
    """Of one server: who watches which key."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self.watchers: dict[tuple[int, bytes], dict[Client, None]] = {}  # by number of the database, and key
        keyspace.watched = self.watchers
        self.trackers = 0  # clients with CLIENT TRACKING: they too heed touches

    def watch(self, client: Client, db: Db, key: bytes) -> None:
        """Let the transaction fail if the key is touched from now on."""
        watching = self.watchers.setdefault((db.index, key), {})
        if client in watching:
            return
        client.watched[db, key] = self._is_due(db, key)
        watching[client] = None
        self.keyspace.heeds_touches = True

    def unwatch(self, client: Client) -> None:
        """Forget all keys that this client watches."""
        for db, key in client.watched:
            watching = self.watchers.get((db.index, key))
            if watching is not None:
                watching.pop(client, None)
                if not watching:
                    del self.watchers[(db.index, key)]
        client.watched.clear()
        self.heed()

    def heed(self) -> None:
        """Touches are remembered as long as anybody asks."""
        self.keyspace.heeds_touches = bool(self.watchers) or self.trackers > 0

    def touched(self, db: Db, key: bytes) -> None:
        """Mark the transactions that watch this key as failed."""
        watching = self.watchers.get((db.index, key))
        if watching is None:
            return
        for client in watching:
            if client.watched[db, key] and key not in db.table:
                # The dead key is gone now: from here on the watch is about a key that is missing.
                client.watched[db, key] = False
            else:
                client.mode |= DIRTY_CAS

    def swapping(self, one: Db, other: Db) -> None:
        """SWAPDB is about to exchange what is in two databases: mark the transactions for which that is a change."""
        for (index, key), watching in self.watchers.items():
            if index == one.index:
                self._replacing(one, other, key, watching)
            elif index == other.index:
                self._replacing(other, one, key, watching)

    def _replacing(self, db: Db, source: Db, key: bytes, watching: dict[Client, None]) -> None:
        is_there, will_be = key in db.table, key in source.table
        will_be_due = will_be and self._is_due(source, key)
        for client in watching:
            if client.watched[db, key]:
                is_same = will_be_due or not will_be
                client.watched[db, key] = will_be
            else:
                is_same = not is_there and (will_be_due or not will_be)
                if is_same:
                    client.watched[db, key] = will_be
            if not is_same:
                client.mode |= DIRTY_CAS

    def is_expired(self, client: Client) -> bool:
        """Whether a key that was alive at WATCH has ended since, even if nobody has removed it yet."""
        return any(not was_due and self._is_due(db, key) for (db, key), was_due in client.watched.items())

    def _is_due(self, db: Db, key: bytes) -> bool:
        instant = db.expiry(key)
        return instant is not None and instant < self.keyspace.now
