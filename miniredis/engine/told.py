"""What commands of the plain case have done, on its way to the journal: requests that are effects just as they came.

Law: they are in the journal before an answer to any of them leaves, and before any effect of a later command.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from miniredis.engine.client import Client
from miniredis.engine.observe import Command
from miniredis.engine.registry import TOUCHES_ARBITRARY_KEYS
from protocol.resp.encoder import encode_command

if TYPE_CHECKING:
    from miniredis.engine.execute import Engine
    from miniredis.keyspace.db import Db

# How bytes begin that are an effect as they came: not what somebody typed.
STAR: Final = ord("*")


class Told:
    """Requests that are effects just as they came, gathered for the journal, and whose they are."""

    __slots__ = ("clients", "engine", "requests")

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.requests: list[bytes] = []
        self.clients: list[Client] = []

    def db_of(self, command: Command) -> Db | None:
        """In which database effects of this command may be gathered now, if in any."""
        engine = self.engine
        number = engine.journal.plain_db
        if number < 0 or engine.depth or command.flags & TOUCHES_ARBITRARY_KEYS:
            return None
        return engine.state.dbs[number]

    def add(self, client: Client, argv: list[bytes]) -> None:
        """One more, whose bytes nobody has."""
        self.requests.append(encode_command(argv))
        self.clients.append(client)

    def add_row(
        self, clients: Iterable[Client], chunks: Iterable[bytes], commands: list[list[bytes]], idle: Collection[int]
    ) -> None:
        """Those of a row, with the bytes as they came, but for those that changed nothing."""
        for place, (client, chunk, argv) in enumerate(zip(clients, chunks, commands, strict=False)):
            if place not in idle:
                self.requests.append(chunk if chunk[0] == STAR else encode_command(argv))
                self.clients.append(client)

    def tell(self) -> None:
        """Before anything else is told or answered: the journal gets them."""
        if self.requests:
            self.engine.journal.tell_all(self.requests)
            offset = self.engine.state.history.offset
            for client in self.clients:
                client.written_at = offset
            self.requests.clear()
            self.clients.clear()
