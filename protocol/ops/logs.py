"""Log lines as Redis writes them: levels, the look, where they go."""

import sys
from collections.abc import Callable
from enum import IntEnum

from protocol.ops.clock import Clock

__all__ = ["Level", "Logger", "redis_line"]


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

    def debug(self, message: str) -> None:
        self.log(Level.DEBUG, message)

    def verbose(self, message: str) -> None:
        self.log(Level.VERBOSE, message)

    def notice(self, message: str) -> None:
        self.log(Level.NOTICE, message)

    def warning(self, message: str) -> None:
        self.log(Level.WARNING, message)
