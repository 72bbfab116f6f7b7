"""Who may come in: how many connections the broker has at a time, and what becomes of those beyond.

    max.connections            reached: who comes next waits, unheard, until another leaves
    max.connections.per.ip     reached: who comes next from there is closed
    the listener of brokers    where there are others beside it: lets everybody in, and one that nobody used for the
                               longest time goes instead, from another listener

Law 1: who waits has a connection and no answer, as in Kafka, whose accepting thread waits and leaves the rest to the
       system's backlog. As many wait as that is long; who comes later is closed.
Law 2: who leaves makes room for the one who has waited longest.
"""

from __future__ import annotations

from collections.abc import Callable

from protocol.net.connection import Connection
from protocol.ops.logs import KafkaLogger

__all__ = ["Admission"]


class Guest:
    """A connection that is in."""

    __slots__ = ("address", "is_protected")

    def __init__(self, address: str, *, is_protected: bool) -> None:
        self.address = address
        self.is_protected = is_protected


class Admission:
    """The connections of all listeners that share one limit."""

    def __init__(self, most: int, most_per_address: int, most_waiting: int, log: KafkaLogger) -> None:
        self.most = most
        self.most_per_address = most_per_address
        self.most_waiting = most_waiting
        self.guests: dict[Connection, Guest] = {}
        self.waiting: dict[Connection, Callable[[], None]] = {}
        self._by_address: dict[str, int] = {}
        self._log = log

    def enter(self, connection: Connection, begin: Callable[[], None], *, is_protected: bool) -> bool:
        """Somebody is there, and perhaps in at once. Else `begin` is called when that is so, or never."""
        if is_protected or len(self.guests) < self.most:
            is_in = self._admit(connection, is_protected=is_protected)
            if len(self.guests) > self.most:
                self._send_away_one()
            return is_in
        if len(self.waiting) < self.most_waiting:
            self.waiting[connection] = begin
        else:
            connection.close()
        return False

    def leave(self, connection: Connection) -> None:
        """A connection is gone, whatever had become of it."""
        self.waiting.pop(connection, None)
        guest = self.guests.pop(connection, None)
        if guest is None:
            return
        left = self._by_address[guest.address] - 1
        if left:
            self._by_address[guest.address] = left
        else:
            del self._by_address[guest.address]
        while self.waiting and len(self.guests) < self.most:
            first = next(iter(self.waiting))
            begin = self.waiting.pop(first)
            if not first.is_closing and self._admit(first, is_protected=False):
                begin()

    def _admit(self, connection: Connection, *, is_protected: bool) -> bool:
        address = connection.peer_address[0]
        count = self._by_address.get(address, 0)
        if count >= self.most_per_address:
            self._log.info(
                "Rejected connection from %s, address already has the configured maximum of %d connections.",
                address,
                self.most_per_address,
            )
            connection.close()
            return False
        self._by_address[address] = count + 1
        self.guests[connection] = Guest(address, is_protected=is_protected)
        return True

    def _send_away_one(self) -> None:
        idle = [one for one, guest in self.guests.items() if not guest.is_protected and not one.is_closing]
        if idle:
            min(idle, key=lambda one: one.last_active).close()
