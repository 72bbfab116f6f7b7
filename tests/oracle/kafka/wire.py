"""One connection to a broker that speaks in messages, and a way to compare what two brokers said."""

from __future__ import annotations

import socket
from collections import deque
from types import TracebackType
from typing import Any

from protocol.kafka.framing import Framer, frame_request, read_reply
from protocol.kafka.schema import Message, Request, Struct

TIMEOUT_S = 60.0


class Wire:
    """A blocking client: `ask` sends a request and waits for its reply; `send` and `receive` do it apart."""

    def __init__(self, port: int, client_id: str = "oracle") -> None:
        self.client_id = client_id
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.framer = Framer()
        self.asked: list[tuple[type[Request], int]] = []
        self.frames: deque[memoryview] = deque()  # replies that came and were not received yet
        self.sent = 0

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def ask(self, request: Request, version: int) -> Any:
        self.send(request, version)
        return self.receive()

    def send(self, request: Request, version: int) -> None:
        self.sent += 1
        self.socket.sendall(b"".join(frame_request(request, version, self.sent, self.client_id)))
        self.asked.append((type(request), version))

    def receive(self) -> Any:
        """The reply to the oldest request that has none yet. Raises ConnectionError when the broker hangs up."""
        kind, version = self.asked.pop(0)
        while not self.frames:
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionError(f"{kind.__name__} v{version} was answered by a closed connection")
            self.framer.feed(data)
            self.frames.extend(self.framer.frames())
        _, reply = read_reply(self.frames.popleft(), kind, version)
        return reply


def plain(value: Any, version: int) -> Any:
    """A message as dictionaries and lists of what that version carries."""
    if isinstance(value, Message | Struct):
        return {row.name: plain(getattr(value, row.name), version) for row in value.fields if row.is_in(version)}
    if isinstance(value, list):
        return [plain(each, version) for each in value]
    return bytes(value) if isinstance(value, memoryview) else value
