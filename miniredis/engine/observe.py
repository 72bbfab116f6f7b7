"""What the server knows about its own work: counters per command, errors by code, the slow log, MONITOR.

A `Command` is a `Spec` as one server runs it: the few facts the hot path needs, and the counters nobody else has.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final, NamedTuple

from miniredis.engine.client import Client
from miniredis.engine.registry import FAST, READONLY, WRITE, CommandTable, Handler, Spec
from protocol.resp.values import Failure

# Redis' own bounds of a slow log entry: words kept, bytes kept of each.
SLOWLOG_MAX_WORDS: Final = 32
SLOWLOG_MAX_WORD_BYTES: Final = 128
# More kinds of errors than this are somebody's typos: counting by code ends (and memory with it).
MAX_ERROR_KINDS: Final = 128
# Histogram slot n counts calls of less than 2**n microseconds; the last one takes the rest.
HISTOGRAM_SLOTS: Final = 64

_REDACTED: Final = b"(redacted)"


class Command:
    """Counters are since start or CONFIG RESETSTAT. `refuses`: see engine/guards.py."""

    __slots__ = (
        "calls", "failed", "flags", "high", "histogram", "is_brief", "is_of_data", "low", "microseconds", "refuses",
        "rejected", "run", "run_row", "spec", "subcommands",
    )  # fmt: skip

    def __init__(self, spec: Spec, refuses: int) -> None:
        self.spec = spec
        self.run: Handler = spec.run or _container_has_no_handler
        self.low = spec.low
        self.high = spec.high
        self.flags = spec.flags
        # Its calls take about equally long, whatever is stored: in a row they are timed together.
        self.is_of_data = bool(spec.flags & (READONLY | WRITE)) or spec.name == b"ping"  # it asks nothing of its client
        self.is_brief = self.is_of_data and bool(spec.flags & FAST or spec.complexity == "O(1)")
        self.run_row = spec.run_row
        self.refuses = refuses
        self.subcommands: dict[bytes, Command] = {}
        self.reset()

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        self.calls = 0
        self.microseconds = 0
        self.rejected = 0
        self.failed = 0
        self.histogram = [0] * HISTOGRAM_SLOTS


def _container_has_no_handler(call: object) -> object:
    raise AssertionError("a container is refused before it is run")


class SlowEntry(NamedTuple):
    """What SLOWLOG GET tells of one call, shortened to what the log keeps."""

    id: int
    at_s: int
    duration_us: int
    argv: list[bytes]
    peer: bytes
    client_name: bytes


class Observer:
    """Of one server: calls and errors by kind, the slow log, who listens by MONITOR."""

    def __init__(self, table: CommandTable) -> None:
        self.table = table
        self.commands: list[Command] = []  # every command and subcommand, once
        self.errors: dict[bytes, int] = {}  # code -> replies, until there are too many kinds
        self.error_replies = 0
        self.errors_are_counted = True
        self.slow: deque[SlowEntry] = deque()
        self.next_slow_id = 0
        self.monitors: dict[Client, None] = {}

    @property
    def calls(self) -> int:
        """total_commands_processed."""
        return sum([command.calls for command in self.commands])

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        for command in self.commands:
            command.reset()
        self.errors.clear()
        self.error_replies = 0
        self.errors_are_counted = True

    def count_error(self, failure: Failure) -> None:
        """An error reply, by the code it begins with; too many kinds (made up by scripts) end the counting by kind."""
        self.error_replies += 1
        if not self.errors_are_counted:
            return
        code = failure.code
        if code not in self.errors and len(self.errors) >= MAX_ERROR_KINDS:
            self.errors_are_counted = False
            self.errors = {b"ERRORSTATS_DISABLED": 1}
            return
        self.errors[code] = self.errors.get(code, 0) + 1

    # The slow log.

    def log_slow(self, client: Client, argv: list[bytes], duration_us: int, now_ms: int, max_entries: int) -> None:
        """Enter a call; the oldest entries beyond `max_entries` go."""
        entry = SlowEntry(
            self.next_slow_id, now_ms // 1000, duration_us, _shortened(argv), client.peer.encode(), client.name
        )
        self.next_slow_id += 1
        self.slow.appendleft(entry)
        while len(self.slow) > max_entries:
            self.slow.pop()

    # MONITOR.

    def feed_monitors(self, client: Client, db: int, argv: list[bytes], now_us: int) -> None:
        """Show a call to whoever watches, as it came but without passwords."""
        words = b" ".join([quoted(word) for word in redacted(argv)])
        peer = client.peer.encode("utf-8", "surrogateescape")
        line = b"+%d.%06d [%d %b] %b\r\n" % (now_us // 1_000_000, now_us % 1_000_000, db, peer, words)
        for monitor in list(self.monitors):
            monitor.send(line)


def _shortened(argv: list[bytes]) -> list[bytes]:
    kept = argv if len(argv) <= SLOWLOG_MAX_WORDS else argv[: SLOWLOG_MAX_WORDS - 1]
    words = [
        word if len(word) <= SLOWLOG_MAX_WORD_BYTES
        else b"%b... (%d more bytes)" % (word[:SLOWLOG_MAX_WORD_BYTES], len(word) - SLOWLOG_MAX_WORD_BYTES)
        for word in redacted(kept)
    ]  # fmt: skip
    if len(argv) > SLOWLOG_MAX_WORDS:
        words.append(b"... (%d more arguments)" % (len(argv) - SLOWLOG_MAX_WORDS + 1))
    return words


def redacted(argv: list[bytes]) -> list[bytes]:
    """The words as anybody may see them: passwords replaced."""
    name = argv[0].upper()
    if name == b"AUTH":
        return [argv[0]] + [_REDACTED] * (len(argv) - 1)
    if name == b"HELLO":
        for at, word in enumerate(argv):
            if word.upper() == b"AUTH" and at >= 2:
                return argv[: at + 1] + [_REDACTED] * len(argv[at + 1 : at + 3]) + argv[at + 3 :]
    if name == b"MIGRATE":
        return _without_login(argv)
    if name == b"ACL" and len(argv) > 2 and argv[1].upper() in (b"SETUSER", b"DELUSER", b"GETUSER"):
        return argv[:2] + [_REDACTED] * (len(argv) - 2)
    if name == b"CONFIG" and len(argv) > 3 and argv[1].upper() == b"SET":
        words = list(argv)
        for at in range(2, len(words) - 1, 2):
            if words[at].lower() in (b"requirepass", b"masterauth", b"masteruser", b"tls-key-file-pass"):
                words[at + 1] = _REDACTED
        return words
    return argv


def _without_login(argv: list[bytes]) -> list[bytes]:
    """A MIGRATE; after KEYS nothing is an option any more."""
    words = list(argv)
    at = 6
    while at < len(words) and words[at].upper() != b"KEYS":
        hidden = {b"AUTH": 1, b"AUTH2": 2}.get(words[at].upper(), 0)
        words[at + 1 : at + 1 + hidden] = [_REDACTED] * len(words[at + 1 : at + 1 + hidden])
        at += 1 + hidden
    return words


_UNPRINTABLE: Final = re.compile(rb"[^ !#-\[\]-~]")
_ESCAPES: Final = {
    **{bytes((byte,)): b"\\x%02x" % byte for byte in range(256)},
    b"\\": b"\\\\", b'"': b'\\"', b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t", b"\a": b"\\a", b"\b": b"\\b",
}  # fmt: skip


def quoted(word: bytes) -> bytes:
    """A word as MONITOR and log lines show it: in quotes, what is not printable escaped."""
    return b'"%b"' % _UNPRINTABLE.sub(_escape, word)


def _escape(match: re.Match[bytes]) -> bytes:
    return _ESCAPES[match[0]]
