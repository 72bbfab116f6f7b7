"""Servers that are killed and come back at the same address with the same directory, and the clients beside them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.client import values_of
from tests.chaos.history import Outcome, Read, Transaction, load
from tests.peers.redis import DEADLINE_S, ROOT, Link, reply_end

OURS = (sys.executable, "-m", "miniredis")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
POLL_S = 0.004


def until(what: str, condition: Callable[[], bool], seconds: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(POLL_S)


class Control(Link):
    """Past every network, by the server's own door."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.timeout_s = DEADLINE_S
        self.buffer = b""
        self.position = 0


class Node:
    """One server. `inside` is what its process is started by: a network namespace's door, or nothing."""

    def __init__(
        self, command: Sequence[str], directory: Path, host: str, port: int, directives: Sequence[str],
        inside: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.host = host
        self.port = port
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.words = [
            *inside, *command, "--bind", host, "--port", str(port), "--dir", str(directory), "--save", "",
            "--protected-mode", "no", "--unixsocket", str(self.control_path), *directives,
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def control_path(self) -> Path:
        return self.directory / "control"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> float:
        """Seconds from there until it answers: a server that loads does not."""
        began = time.monotonic()
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.words, stdout=log, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd=self.directory
            )
        until(f"an answer of {self.address}", self.answers)
        return time.monotonic() - began

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"it ended at once:\n{self.log()}"
        try:
            return self.ask("PING") == b"+PONG\r\n"
        except OSError:
            return False

    def ask(self, *words: bytes | str) -> bytes:
        """The reply, over a connection of its own. Raises OSError."""
        link = Control(self.control_path)
        try:
            return link.command(*words)
        except EOFError as error:
            raise ConnectionResetError from error
        finally:
            link.close()

    def info(self, field: str) -> str:
        found = re.search(rb"^%b:([^\r]*)\r$" % field.encode(), self.ask("INFO", "everything"), re.MULTILINE)
        return found[1].decode() if found else ""

    def lists(self) -> dict[str, tuple[int, ...]]:
        """Everything there is."""
        link = Control(self.control_path)
        found = {}
        for key in strings(link.command("KEYS", "*")):
            found[key.decode()] = values_of(strings(link.command("LRANGE", key, "0", "-1")))
        link.close()
        return found

    @property
    def log_path(self) -> Path:
        return self.directory / "server.log"

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")[-4000:]

    def kill(self) -> float:
        """kill -9; the instant of it."""
        at = time.monotonic()
        self._end(signal.SIGKILL)
        return at

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(number)
            process.wait(DEADLINE_S)


def strings(reply: bytes) -> list[bytes]:
    """The elements of an array of bulk strings."""
    found, position = [], reply.index(b"\r\n") + 2
    while position < len(reply):
        start, end = reply.index(b"\r\n", position) + 2, reply_end(reply, position)
        found.append(reply[start : end - 2])
        position = end
    return found


class Clients:
    """One process of clients (`tests/chaos/client.py`); `inside` as with a server."""

    def __init__(self, path: Path, nodes: Iterable[Node], *options: str, inside: Sequence[str] = ()) -> None:
        self.path = path
        addresses = [node.address for node in nodes]
        words = [*inside, sys.executable, "-m", "tests.chaos.client", str(path), "--nodes", *addresses, *options]
        self.process = subprocess.Popen(words, env=ENVIRONMENT, cwd=ROOT)

    def history(self) -> Iterator[Transaction]:
        """They end, and have seen this."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DEADLINE_S) == 0
        return load(self.path)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextmanager
def ending(*started: Node | Clients) -> Iterator[None]:
    """Whatever happens, nothing goes on running."""
    try:
        yield
    finally:
        for each in started:
            each.kill()


def last_read(node: Node, history: Sequence[Transaction]) -> Transaction:
    """All lists that anybody has appended to, read at the end: what a history is judged against."""
    began = time.monotonic()
    lists = node.lists()
    keys = {operation.key for each in history for operation in each.operations} | set(lists)
    reads = tuple(Read(key, lists.get(key, ())) for key in sorted(keys))
    return Transaction(-1, Outcome.OK, began, time.monotonic(), reads)
