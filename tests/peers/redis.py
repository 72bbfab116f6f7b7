"""Redis servers beside the tests: Debian's redis-server, a locally built 7.4.1, an 8.0.2, and ours.

`REDIS_SERVER` names another binary than the redis-server of the path, `REDIS_SERVER_74` a built 7.4.1 (there is no
package of it, so nothing asks for it when the variable is unset), `REDIS_SERVER_80` an 8.0.2 (Debian 13's),
`REDIS_SERVERS` any more, Valkey's too, as a path variable names directories. Where a peer is missing its tests are
skipped with the reason; with CI=true they fail instead.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0  # for anything a server is waited for


def missing(reason: str) -> NoReturn:
    """Skip the running test, or fail it where everything has to be present."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def real_binary() -> str:
    """The path of a real redis-server."""
    found = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
    if not found:
        missing("no redis-server: apt-get install redis-server, or name one in REDIS_SERVER")
    return str(found)


def binary_74() -> str | None:
    """The path of a redis-server 7.4.1 a developer has built, if any."""
    return os.environ.get("REDIS_SERVER_74")


def binary_80() -> str | None:
    """The path of a redis-server 8.0.2, if there is one."""
    return os.environ.get("REDIS_SERVER_80")


def binaries() -> list[str]:
    """Every real server there is, the one of the path first."""
    more = os.environ.get("REDIS_SERVERS", "").split(os.pathsep)
    return [real_binary(), *filter(None, (binary_74(), binary_80(), *more))]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A running server on a free loopback port; a context manager that stops it.

    `command` is what comes before the directives: a binary, or a Python interpreter with `-m miniredis`.
    """

    def __init__(self, command: Sequence[str], directives: Sequence[str] = (), *, keep: bool = False) -> None:
        self.command = list(command)
        self.directives = list(directives)
        self.directory = tempfile.mkdtemp(prefix="redis-peer-")
        self.keep = keep  # the directory, for a later start
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        for _attempt in range(5):
            self.port = free_port()
            self._spawn()
            if self._wait_ready():
                return self
        raise RuntimeError(f"{self.command[0]} found no free port:\n{self.log()}")

    def _spawn(self) -> None:
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.directory, "--save", ""]
        arguments += ["--enable-debug-command", "yes", "--enable-protected-configs", "yes", *self.directives]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*self.command, *arguments], stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=self.directory
            )

    def _wait_ready(self) -> bool:
        """True once it answers; False when somebody else took the port meanwhile."""
        assert self.process is not None
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                if b"in use" in self.log().encode():
                    return False
                raise RuntimeError(f"{self.command[0]} stopped at once:\n{self.log()}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as probe:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(64):
                        return True
            except OSError:
                pass
            time.sleep(0.01)
        raise RuntimeError(f"{self.command[0]} did not become ready:\n{self.log()}")

    @property
    def log_path(self) -> str:
        return os.path.join(self.directory, "server.log")

    def log(self) -> str:
        return Path(self.log_path).read_text(errors="replace")[-4000:]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not mind it. Never raises for a server that is gone already."""
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Server:
        return self if self.process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def real_server(*directives: str) -> Server:
    return Server([real_binary()], directives)


def server_74(*directives: str) -> Server | None:
    binary = binary_74()
    return Server([binary], directives) if binary else None


def server_80(*directives: str) -> Server | None:
    binary = binary_80()
    return Server([binary], directives) if binary else None


def our_server(*directives: str) -> Server:
    return Server([sys.executable, "-m", "miniredis"], directives)


class Link:
    """One connection, as raw as it gets: commands out, the bytes of whole replies in."""

    def __init__(self, port: int, timeout_s: float = DEADLINE_S, *, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout_s = timeout_s
        self.buffer = b""
        self.position = 0

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def command(self, *argv: bytes | str) -> bytes:
        """Send one command and return its one reply."""
        words = [word.encode() if isinstance(word, str) else word for word in argv]
        self.send(request(words))
        return self.reply()

    def reply(self) -> bytes:
        """The next whole reply; raises TimeoutError, or EOFError when the server has closed."""
        while True:
            end = reply_end(self.buffer, self.position)
            if end >= 0:
                found = self.buffer[self.position : end]
                self.position = end
                return found
            self._receive()

    def to_the_end(self) -> bytes:
        """Everything until the server closes the connection."""
        try:
            while True:
                self._receive()
        except (EOFError, ConnectionResetError):
            rest = self.buffer[self.position :]
            self.position = len(self.buffer)
            return rest

    def _receive(self) -> None:
        self.socket.settimeout(self.timeout_s)
        data = self.socket.recv(1 << 20)
        if not data:
            raise EOFError("the server closed the connection")
        self.buffer = self.buffer[self.position :] + data
        self.position = 0

    def close(self) -> None:
        self.socket.close()


def request(argv: Sequence[bytes]) -> bytes:
    return b"*%d\r\n" % len(argv) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in argv)


_LENGTHS = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}


def reply_end(data: bytes, position: int) -> int:
    """Where the reply that starts at `position` ends; -1 when it is not whole."""
    wanted = 1
    while wanted:
        end = data.find(b"\r\n", position)
        if end < 0:
            return -1
        kind = data[position : position + 1]
        wanted -= 1
        if kind in _LENGTHS:
            wanted += max(int(data[position + 1 : end]), 0) * _LENGTHS[kind] + (kind == b"|")
        elif kind in (b"$", b"=", b"!"):
            size = int(data[position + 1 : end])
            if size >= 0:
                end += size + 2
                if end + 2 > len(data):
                    return -1
        position = end + 2
    return position
