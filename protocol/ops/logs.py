"""Log lines as Redis and as Kafka write them: levels, the look, where they go.

A server has one log, handed down from where it is built: several servers in one process have one each.
"""

import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum

from protocol.ops.clock import Clock

__all__ = ["KafkaLogger", "Level", "Logger", "redis_line"]


class Level(IntEnum):
    """Redis's four levels."""

    DEBUG = 0
    VERBOSE = 1
    NOTICE = 2
    WARNING = 3


REDIS_MARKS = (".", "-", "*", "#")


def redis_line(clock: Clock, pid: int, role: Callable[[], str]) -> Callable[[Level, str], str]:
    """`12345:M 23 Nov 2026 10:16:21.123 * Ready to accept connections`; the role is M, S, C or X."""

    def line(level: Level, message: str) -> str:
        now = clock.wall_ms()
        moment = clock.local_text("%d %b %Y %H:%M:%S", now)
        return f"{pid}:{role()} {moment}.{now % 1000:03d} {REDIS_MARKS[level]} {message}"

    return line


def to_stdout(line: str) -> None:
    """One line, at once."""
    with suppress(OSError):  # a full disk, a reader that left: no reason to fail what is being told of
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class Logger:
    """Renders what is at or above its level and hands it to `write`, one line a call."""

    def __init__(
        self,
        render: Callable[[Level, str], str],
        *,
        level: Level = Level.NOTICE,
        write: Callable[[str], None] = to_stdout,
    ) -> None:
        self.level = level
        self._render = render
        self._write = write

    def log(self, level: Level, message: str) -> None:
        if level >= self.level:
            self._write(self._render(level, message))

    def plain(self, text: str) -> None:
        """As it is, whatever the level."""
        self._write(text)

    def debug(self, message: str) -> None:
        self.log(Level.DEBUG, message)

    def verbose(self, message: str) -> None:
        self.log(Level.VERBOSE, message)

    def notice(self, message: str) -> None:
        self.log(Level.NOTICE, message)

    def warning(self, message: str) -> None:
        self.log(Level.WARNING, message)


class KafkaLogger:
    """`[2026-11-23 10:16:21,123] WARN what happened (minikafka.raft)`, one line a call; a fault brings its traceback.

    Values are put into the text by `%`, as in a format string of C. Each floor logs under its own name.
    """

    __slots__ = ("_clock", "_name", "_write")

    def __init__(self, clock: Clock, name: str, write: Callable[[str], None] = to_stdout) -> None:
        self._clock = clock
        self._name = name
        self._write = write

    def named(self, name: str) -> "KafkaLogger":
        """The same log under another name."""
        return KafkaLogger(self._clock, name, self._write)

    def info(self, text: str, *values: object) -> None:
        self._log("INFO", text % values if values else text)

    def warning(self, text: str, *values: object) -> None:
        self._log("WARN", text % values if values else text)

    def error(self, text: str, *values: object) -> None:
        self._log("ERROR", text % values if values else text)

    def fault(self, text: str, *values: object) -> None:
        """An error of our own, told from within its `except`: with the traceback."""
        self._log("ERROR", text % values, "\n" + traceback.format_exc().rstrip())

    def _log(self, level: str, text: str, more: str = "") -> None:
        now = self._clock.wall_ms()
        moment = self._clock.local_text("%Y-%m-%d %H:%M:%S", now)
        self._write(f"[{moment},{now % 1000:03d}] {level} {text} ({self._name}){more}")
