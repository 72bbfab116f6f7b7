"""The connections to the other members: one to each address, dialled when something is to be said.

Laws
1. Every request that is taken ends in `on_answer` or `on_lost`, once, and never before `send` has returned.
2. Nothing is tried again here: the machine knows what is still worth saying.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from minikafka.raft.messages import Answer, Request, Send
from minikafka.raft.wire import VERSIONS, answer_of, message_of
from protocol.kafka.framing import MAX_REQUEST_BYTES, Framer, frame_request, read_reply
from protocol.kafka.primitives import ProtocolError
from protocol.kafka.schema import Request as Message
from protocol.net.connection import Connection, Turn
from protocol.net.dialer import dial
from protocol.ops.logs import KafkaLogger

Address = tuple[str, int]


class Asked(NamedTuple):
    """A request under way."""

    number: int
    request: Request
    schema: type[Message]


class Peers:
    """Everybody this member talks to. `address_of` tells where a number is now."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        turn: Turn,
        client_id: str,
        timeout_s: float,
        address_of: Callable[[int], Address | None],
        on_answer: Callable[[int, Request, Answer], None],
        on_lost: Callable[[int, Request], None],
        log: KafkaLogger,
    ) -> None:
        self.loop = loop
        self.turn = turn
        self.client_id = client_id
        self.timeout_s = timeout_s
        self.address_of = address_of
        self.on_answer = on_answer
        self.on_lost = on_lost
        self.log = log
        self.by_address: dict[Address, Peer] = {}

    def send(self, one: Send) -> None:
        """Ask a member."""
        address = self.address_of(one.to)
        if address is None:
            self.loop.call_soon(self.on_lost, one.to, one.request)
            return
        peer = self.by_address.get(address)
        if peer is None:
            peer = self.by_address[address] = Peer(self, address)
        peer.ask(one)

    def close(self) -> None:
        for peer in list(self.by_address.values()):
            peer.close()
        self.by_address.clear()


class Peer:
    """One address: a connection, or the attempt to have one."""

    def __init__(self, peers: Peers, address: Address) -> None:
        self.peers = peers
        self.address = address
        self.connection: Connection | None = None
        self.dialling: asyncio.Task[None] | None = None
        self.framer = Framer(MAX_REQUEST_BYTES)
        self.unsent: list[Send] = []
        self.open: dict[int, Asked] = {}
        self.correlation_id = 0

    def ask(self, one: Send) -> None:
        if self.connection is not None:
            self._write(self.connection, one)
            return
        self.unsent.append(one)
        if self.dialling is None:
            self.dialling = self.peers.loop.create_task(self._dial())

    async def _dial(self) -> None:
        peers = self.peers
        try:
            self.framer = Framer(MAX_REQUEST_BYTES)
            connection = await dial(
                peers.loop, peers.turn, lambda _: self, self._gone, *self.address, timeout_s=peers.timeout_s
            )
        except (OSError, ValueError):
            self.dialling = None
            self._give_up()
            return
        if connection.local_address == connection.peer_address:
            # Nobody listens there: the kernel took that very port for our own end, and connected it to itself.
            connection.abort()
            self.dialling = None
            self._give_up()
            return
        self.dialling, self.connection = None, connection
        unsent, self.unsent = self.unsent, []
        for one in unsent:
            self._write(connection, one)

    def _write(self, connection: Connection, one: Send) -> None:
        message = message_of(one.request)
        self.correlation_id = (self.correlation_id + 1) & 0x7FFFFFFF
        self.open[self.correlation_id] = Asked(one.to, one.request, type(message))
        version = VERSIONS[type(message)]
        connection.write_parts(frame_request(message, version, self.correlation_id, self.peers.client_id))

    def _gone(self, connection: Connection) -> None:
        if connection is not self.connection:
            return
        self.connection = None
        self._give_up()

    def _give_up(self) -> None:
        lost = [(one.to, one.request) for one in self.unsent]
        lost += [(one.number, one.request) for one in self.open.values()]
        self.unsent, self.open = [], {}
        for number, request in lost:
            self.peers.on_lost(number, request)

    def close(self) -> None:
        if self.dialling is not None:
            self.dialling.cancel()
        if self.connection is not None:
            self.connection.close()

    # ---- from the connection

    def received(self, data: bytes) -> None:
        """Answers, or parts of one."""
        self.framer.feed(data)
        try:
            frames = self.framer.frames()
        except ProtocolError as problem:
            self.peers.log.warning("%s:%d sends what cannot be an answer: %s", *self.address, problem)
            if self.connection is not None:
                self.connection.abort()  # what was asked over it ends in `_gone`
            return
        for frame in frames:
            correlation_id = int.from_bytes(frame[:4], "big")
            asked = self.open.pop(correlation_id, None)
            if asked is None:
                continue
            try:
                _, reply = read_reply(frame, asked.schema, VERSIONS[asked.schema])
                answer = answer_of(reply, asked.request)
            except ProtocolError as problem:
                self.peers.log.warning("%s:%d answers what cannot be read: %s", *self.address, problem)
                self.peers.on_lost(asked.number, asked.request)
                continue
            self.peers.on_answer(asked.number, asked.request, answer)

    def lost(self) -> None:
        """The dialer tells it by `_gone`."""

    def resumed(self) -> None:
        """What is said here is short."""
