"""The effect stream: what an execution unit did, encoded once, for everybody who follows.

Laws:
1. Effects leave when their unit is complete, several of one unit between MULTI and EXEC. A unit is a command of a
   client with everything that came of it, a whole transaction, or one served waiter.
2. An effect says whom it is for (`TO_AOF`, `TO_REPLICAS`, both). Bytes are made once and shared by the sinks.
3. The stream restates SELECT when the database changes, and after a sink was attached.

        effects of a unit           the stream
        (0, SET a 1)                MULTI · SELECT 0 · SET a 1 · INCR a · EXEC
        (0, INCR a)
"""

from __future__ import annotations

from typing import Protocol

from protocol.resp.encoder import encode_command

TO_AOF = 1
TO_REPLICAS = 2

_MULTI = encode_command([b"MULTI"])
_EXEC = encode_command([b"EXEC"])


class Sink(Protocol):
    """Who follows the stream: the append-only file, the replication backlog, a test."""

    target: int  # TO_AOF or TO_REPLICAS

    def feed(self, data: bytes, effects: int = 1) -> None:
        """The next bytes of the stream: of one effect, or of so many."""

    def flush(self) -> None:
        """The turn ends: what was fed must be where it belongs before its commands are answered."""


class Journal:
    """The one stream of effects of a server, and who follows it."""

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.is_heard = False  # somebody follows: without sinks nothing is kept
        self.targets = TO_AOF | TO_REPLICAS  # whom effects are for at most: a script may narrow it (redis.set_repl)
        self._is_hushed = False
        self.db = -1  # what the stream last selected; -1: to be told
        self._unit: list[tuple[int, list[bytes], int]] = []

    def attach(self, sink: Sink) -> None:
        self.sinks.append(sink)
        self.sinks.sort(key=lambda each: each.target)  # our own file has everything before anybody else gets it
        self.is_heard = not self._is_hushed
        self.restate()

    def restate(self) -> None:
        """Tell the database before the next effect, whatever it was: somebody begins to read here."""
        self.db = -1

    def detach(self, sink: Sink) -> None:
        self.sinks.remove(sink)
        self.is_heard = bool(self.sinks) and not self._is_hushed

    def hush(self, on: bool) -> None:
        """While what happens is a repetition of what the stream had (a file is loaded), nobody is told of it."""
        self._is_hushed = on
        self.is_heard = bool(self.sinks) and not on

    def add(self, db: int, argv: list[bytes], target: int = TO_AOF | TO_REPLICAS) -> None:
        """One more effect of the unit that is running."""
        target &= self.targets
        if target:
            self._unit.append((db, argv, target))

    def tell(self, db: int, argv: list[bytes]) -> None:
        """A unit of one effect, for everybody: `add` and `commit` in one."""
        if self._unit or db != self.db or self.targets != TO_AOF | TO_REPLICAS:
            self.add(db, argv)
            self.commit()
            return
        data = encode_command(argv)
        for sink in self.sinks:
            sink.feed(data)

    @property
    def plain_db(self) -> int:
        """The database of which effects may come as `tell_all` takes them; -1: of none, now."""
        return self.db if self.is_heard and not self._unit and self.targets == TO_AOF | TO_REPLICAS else -1

    def tell_all(self, effects: list[bytes]) -> None:
        """Units of one effect each, in the database of before, for everybody: encoded already."""
        data = effects[0] if len(effects) == 1 else b"".join(effects)
        for sink in self.sinks:
            sink.feed(data, len(effects))

    def commit(self, *, as_transaction: bool = True) -> None:
        """The unit is complete: send its effects. Keys that happened to be met dead need no MULTI around them."""
        unit = self._unit
        if not unit:
            return
        self._unit = []
        if len(unit) == 1 or not as_transaction:
            for db, argv, target in unit:
                self._send(db, encode_command(argv), target)
            return
        targets = 0
        for _, _, target in unit:
            targets |= target
        # MULTI belongs to no database: a change of it is told inside, as Redis tells it.
        self._feed(_MULTI, targets)
        for db, argv, target in unit:
            self._send(db, encode_command(argv), target)
        self._feed(_EXEC, targets)

    def _send(self, db: int, data: bytes, target: int) -> None:
        if db != self.db:
            self.db = db
            # Every sink is told, whether the effect is for it or not: they share one notion of the current database.
            select = encode_command([b"SELECT", b"%d" % db])
            for sink in self.sinks:
                sink.feed(select)
        self._feed(data, target)

    def _feed(self, data: bytes, target: int) -> None:
        for sink in self.sinks:
            if sink.target & target:
                sink.feed(data)
