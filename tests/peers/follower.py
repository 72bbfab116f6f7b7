"""A replica as simple as can be: asks with SYNC, takes the snapshot, and shows the stream command by command."""

from __future__ import annotations

import socket

from protocol.resp.parser import Parser
from tests.peers.redis import DEADLINE_S, Link

MARK = b"__mark__"  # the channel of messages that tell where in the stream we are
MOST_BYTES = 1 << 30


class Follower:
    """Attached when made: all that the server tells from then on is heard. The server sends its snapshot from disk."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.socket.sendall(b"SYNC\r\n")
        self.parser = Parser(max_bulk=MOST_BYTES, max_buffer=MOST_BYTES)
        self.heard: list[list[bytes]] = []
        self.marks = 0
        self._take(self._after_snapshot())

    def _after_snapshot(self) -> bytes:
        data = b""
        while b"\r\n" not in data:
            data = (data + self._receive()).lstrip(b"\n")
        head, _, data = data.partition(b"\r\n")
        assert head.startswith(b"$"), head
        size = int(head[1:])
        while len(data) < size:
            data += self._receive()
        return data[size:]

    def _receive(self) -> bytes:
        data = self.socket.recv(1 << 20)
        if not data:
            raise EOFError("the server closed the connection")
        return data

    def _take(self, data: bytes) -> None:
        if data:
            self.heard += self.parser.take(data)

    def told(self) -> list[list[bytes]]:
        """What came since the last call, without what only keeps the connection alive."""
        self.marks += 1
        mark = b"%d" % self.marks
        link = Link(self.port)
        link.command(b"PUBLISH", MARK, mark)
        link.close()
        while True:
            for at, words in enumerate(self.heard):
                if words[0].upper() == b"PUBLISH" and words[1:] == [MARK, mark]:
                    told, self.heard = self.heard[:at], self.heard[at + 1 :]
                    return [each for each in told if each[0].upper() not in (b"PING", b"REPLCONF")]
            self._take(self._receive())

    def close(self) -> None:
        self.socket.close()
