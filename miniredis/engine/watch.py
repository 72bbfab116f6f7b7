"""WATCH: whose transaction fails when a key is touched.

A key that had already expired when it was watched counts as missing: its removal later on does not fail anybody.
"""

from __future__ import annotations

from miniredis.engine.client import DIRTY_CAS, Client
from miniredis.keyspace.db import Db, Keyspace


class Watches:
    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self.watchers: dict[tuple[int, bytes], dict[Client, bool]] = {}  # (db, key) -> client -> expired at WATCH
        self.trackers = 0  # clients with CLIENT TRACKING: they too heed touches

    def watch(self, client: Client, db: Db, key: bytes) -> None:
        watching = self.watchers.setdefault((db.index, key), {})
        if client in watching:
            return
        is_expired = self._is_due(db, key)
        client.watched.append((db, key, is_expired))
        watching[client] = is_expired
        self.keyspace.heeds_touches = True

    def unwatch(self, client: Client) -> None:
        for db, key, _ in client.watched:
            watching = self.watchers.get((db.index, key))
            if watching is not None:
                watching.pop(client, None)
                if not watching:
                    del self.watchers[(db.index, key)]
        client.watched.clear()
        self.keyspace.heeds_touches = bool(self.watchers) or self.trackers > 0

    def touched(self, db: Db, key: bytes) -> None:
        """Mark the transactions that watch this key as failed."""
        watching = self.watchers.get((db.index, key))
        if watching is None:
            return
        for client, was_expired in watching.items():
            if was_expired and key not in db.table:
                # The dead key is gone now: from here on the watch is about a key that is missing.
                watching[client] = False
            else:
                client.mode |= DIRTY_CAS

    def is_expired(self, client: Client) -> bool:
        """Whether a key that was alive at WATCH has ended since, even if nobody has removed it yet."""
        return any(not was_expired and self._is_due(db, key) for db, key, was_expired in client.watched)

    def _is_due(self, db: Db, key: bytes) -> bool:
        instant = db.expiry(key)
        return instant is not None and instant < self.keyspace.now
