"""A server run with every change of its files written down, between what it sent to its clients.

    record   size u32 · operation u32 · pid u32 · id u32 · position i64 · at f64 · first u32 · second u32 · bytes

`oplog.c` says what each operation's are. It is compiled here, once, and loaded into the server with LD_PRELOAD.
"""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

from tests.peers.redis import DEADLINE_S, ROOT, missing

SOURCE: Final = Path(__file__).with_name("oplog.c")
RECORD: Final = struct.Struct("<IIIIqdII")
HEAD_BYTES: Final = 4096
LOG_BYTES: Final = 256 << 20  # a file with a hole: only what is recorded takes room
# Time of an fsync does not hang on the machine: the data is in memory where it can be, and an fsync takes this longer,
# sometimes. Power goes in the middle of one too.
MEMORY: Final = "/dev/shm"
SYNC_US: Final = 3000
# Files of the data directory that are the harness's own.
SOCKET: Final = "server.sock"


class Op(IntEnum):
    """What a record is of."""

    OPEN = 1
    WRITE = 2
    TRUNCATE = 3
    SYNC_BEGIN = 4
    SYNC_END = 5
    RENAME = 6
    UNLINK = 7
    MKDIR = 8
    SEND = 9


class Record(NamedTuple):
    """`at`: seconds of the monotonic clock. `id`: which opening of a file. `first`, `second`: bytes, or paths."""

    op: Op
    id: int
    position: int
    at: float
    first: bytes
    second: bytes


def library() -> str:
    """The compiled op-log: skips, or fails, where there is no compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        missing("no C compiler for the log of what servers write: apt-get install gcc libc6-dev")
    where = Path(tempfile.gettempdir()) / f"oplog-{os.getuid()}-{SOURCE.stat().st_mtime_ns}.so"
    if not where.exists():
        made = f"{where}.{os.getpid()}"
        done = subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", "-o", made, str(SOURCE), "-ldl", "-lpthread"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            missing(f"{compiler} does not compile {SOURCE.name}: {done.stderr[-400:]}")
        os.replace(made, where)
    return str(where)


def scratch_directory() -> str:
    return tempfile.mkdtemp(prefix="crash-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)


def read_log(path: str) -> list[Record]:
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
        # Behind the lock, whose size is the C library's affair: the end is the last of the head's words that are set.
        end = struct.unpack_from("<Q", head, _END_AT)[0]
        data = file.read(end - HEAD_BYTES)
    found = []
    at = 0
    while at < len(data):
        size, op, _pid, id, position, when, first, second = RECORD.unpack_from(data, at)
        start = at + RECORD.size
        middle = start + first
        found.append(Record(Op(op), id, position, when, data[start:middle], data[middle : middle + second]))
        at += size
    return found


# pthread_mutex_t is 40 bytes on 64-bit Linux; then ready and next_id, u32 each, and size.
_END_AT: Final = 40 + 4 + 4 + 8


class Recording:
    """A server that listens on a socket in its data directory; a context manager that kills it.

    `command`: what comes before the directives."""

    def __init__(self, command: Sequence[str], directives: Sequence[str]) -> None:
        self.home = scratch_directory()
        self.directory = f"{self.home}/data"
        self.socket = f"{self.home}/{SOCKET}"
        self._log = f"{self.home}/oplog"
        os.mkdir(self.directory)
        with open(self._log, "wb") as file:
            file.truncate(LOG_BYTES)
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": library(), "OPLOG_ROOT": self.directory,
            "OPLOG_FILE": self._log, "OPLOG_SYNC_US": str(SYNC_US),
        }  # fmt: skip
        words = ["--port", "0", "--unixsocket", self.socket, "--dir", self.directory, "--save", "", *directives]
        with open(f"{self.home}/log", "wb") as log:
            self.process = subprocess.Popen(
                [*command, *words], stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=self.home
            )

    def log(self) -> str:
        return Path(self.home, "log").read_text(errors="replace")[-4000:]

    def end(self) -> list[Record]:
        """SIGTERM; what it did from its first moment to its last."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(DEADLINE_S)
        return read_log(self._log)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def ours() -> list[str]:
    return [sys.executable, "-m", "miniredis"]
