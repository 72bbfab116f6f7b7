"""What clients may do on a replica, and what becomes of keys whose time has come there.

                     whose key          a primary here     a replica
    time is over     any                it goes            it is hidden, until our primary says that it goes
                     our own clients'                      we remove it ourselves: nobody else will

Law: without replica-read-only clients write here what our primary does not know of; it never hears of it.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from miniredis.engine.state import LOADING, PAUSED_ALL, PAUSED_WRITES, READ_ONLY_REPLICA, STALE_REPLICA
from miniredis.keyspace.db import EXPIRES, HIDES

if TYPE_CHECKING:
    from miniredis.config import Config
    from miniredis.engine.execute import Engine

# Keys of our own clients that are looked at in a tick of the server: 1 ms.
OWN_A_TICK: Final = 1000


class ReplicaRules:
    """Keeps `State.mode` and the expiry rule of the keyspace as they are to be."""

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine = engine
        self._state = engine.state
        self._config = config

    def judge(self, *, is_connected: bool) -> None:
        """What clients are refused, and what is with keys whose time has come. `is_connected`: to our primary."""
        state, config = self._state, self._config
        state.mode &= ~(READ_ONLY_REPLICA | STALE_REPLICA)
        keyspace = state.keyspace
        if not state.is_replica:
            keyspace.own_deadlines = None
            if not state.mode & (PAUSED_ALL | PAUSED_WRITES):
                keyspace.expiry_rule = EXPIRES
            return
        keyspace.expiry_rule = HIDES
        if config["replica-read-only"]:
            state.mode |= READ_ONLY_REPLICA
        elif keyspace.own_deadlines is None:
            keyspace.own_deadlines = {}
        if not is_connected and not config["replica-serve-stale-data"]:
            state.mode |= STALE_REPLICA

    def expire_own(self) -> None:
        """At every tick: remove what clients have written here and whose time is over. Nobody else will."""
        keyspace = self._state.keyspace
        if not keyspace.own_deadlines or self._state.mode & (LOADING | PAUSED_ALL | PAUSED_WRITES):
            return
        now = self._engine.begin_unit()
        keyspace.expiry_rule = EXPIRES
        for place in list(islice(keyspace.own_deadlines, OWN_A_TICK)):
            db, key = self._state.dbs[place[0]], place[1]
            instant = db.expiry(key)
            del keyspace.own_deadlines[place]
            if instant is not None and instant >= now:
                keyspace.own_deadlines[place] = None  # behind the others, who had no turn yet
            elif instant is not None:
                db.expire_if_due(key)
        keyspace.expiry_rule = HIDES
        self._engine.end_unit()
