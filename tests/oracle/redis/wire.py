"""A RESP client that hides nothing: types stay apart (status, error, bulk, null and null array, map, set, push …)."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One reply as it came: the type byte and its value. Lists hold replies; maps are lists of 2n replies."""

    kind: str
    value: Any

    @property
    def is_error(self) -> bool:
        return self.kind == "-"

    def __str__(self) -> str:
        if isinstance(self.value, list):
            return f"{self.kind}[{', '.join(map(str, self.value))}]"
        shown = self.value.decode("latin-1") if isinstance(self.value, bytes) else str(self.value)
        return f"{self.kind}{shown!r}" if self.kind == "$" else f"{self.kind}{shown}"


class Wire:
    """One connection; commands go out in one piece, replies are read one by one."""

    def __init__(self, host: str, port: int, timeout_s: float = 60.0) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.at = 0

    def close(self) -> None:
        self.socket.close()

    def send(self, commands: list[list[bytes]]) -> None:
        out = bytearray()
        for argv in commands:
            out += b"*%d\r\n" % len(argv)
            for word in argv:
                out += b"$%d\r\n%b\r\n" % (len(word), word)
        self.socket.sendall(out)

    def ask(self, *words: bytes) -> Reply:
        self.send([list(words)])
        return self.read()

    def pipeline(self, commands: list[list[bytes]]) -> list[Reply]:
        self.send(commands)
        return [self.read() for _ in commands]

    def read(self) -> Reply:
        line = self._line()
        kind, rest = chr(line[0]), line[1:]
        if kind in "+-,#(":
            return Reply(kind, rest)
        if kind == ":":
            return Reply(kind, int(rest))
        if kind == "_":
            return Reply(kind, None)
        if kind in "$=":
            size = int(rest)
            return Reply("$null", None) if size < 0 else Reply(kind, self._exactly(size))
        if kind in "*~>%":
            size = int(rest)
            if size < 0:
                return Reply("*null", None)
            return Reply(kind, [self.read() for _ in range(size * 2 if kind == "%" else size)])
        raise AssertionError(f"not RESP: {line!r}")

    def _line(self) -> bytes:
        while (end := self.data.find(b"\r\n", self.at)) < 0:
            self._more()
        line = self.data[self.at : end]
        self.at = end + 2
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self.data) - self.at < size + 2:
            self._more()
        piece = self.data[self.at : self.at + size]
        self.at += size + 2
        return piece

    def _more(self) -> None:
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.data = self.data[self.at :] + data
        self.at = 0
