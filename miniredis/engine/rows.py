"""Calls of one command that came in a row, of many clients: run in one loop, where the command declares how.

    @command("GET key", READONLY | FAST, row=_get_row)

Law: it is as if the command had been run for each, one after the other. So it is done only while nobody is told of
     what a single call does (`Db.is_quiet`), and the row ends before the first call that is not as plain as the command
     wants it: one that fails, say, or has a long answer. That goes the usual way, and all after it.

The calls of a row are timed together, whatever the command: they have equally many words, and few.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from miniredis.engine.client import Client
from miniredis.engine.observe import Command
from miniredis.engine.registry import WRITE
from miniredis.engine.told import Told
from protocol.resp.encoder import encode
from protocol.resp.values import OK, Reply

if TYPE_CHECKING:
    from miniredis.engine.settings import Settings
    from miniredis.engine.state import State
    from miniredis.keyspace.db import Db

# Replies are mostly short: their length lines are looked up.
BULK_LINES: Final = [b"$%d\r\n" % size for size in range(1024)]
INTEGER_LINES: Final = [b":%d\r\n" % number for number in range(1024)]
OK_LINE: Final = OK.encoded

# A longer string is no matter of a row.
SHORT_BYTES: Final = len(BULK_LINES) - 1
_SMALL: Final = len(INTEGER_LINES)


class Row:
    """What the `row` of a command gets: the words of calls, all equally many. It runs them from the first on and adds
    each one's reply; none is longer than SHORT_BYTES, or a Failure.

    Of a write each call counts as so many `changes`, and is told as it came, but for those whose places are in `idle`.
    `is_told`: somebody hears of them; who has something else to tell leaves the row alone."""

    __slots__ = ("calls", "changes", "db", "idle", "is_told", "replies", "settings")

    def __init__(self, calls: list[list[bytes]], db: Db, settings: Settings, is_told: bool) -> None:
        self.calls = calls
        self.db = db
        self.settings = settings
        self.is_told = is_told
        self.changes = 1
        self.replies: list[Reply] = []
        self.idle: list[int] = []


class Rows:
    def __init__(self, state: State, told: Told) -> None:
        self.state = state
        self.told = told

    def run(
        self, command: Command, clients: Sequence[Client], chunks: Sequence[bytes], commands: list[list[bytes]],
        start: int, refuses: int, told_db: Db | None, answers: list[bytes],
    ) -> int:  # fmt: skip
        """Run the calls of this command from `start` on, of clients in no mode that it refuses; how many were run,
        whose answers are among the `answers` now."""
        db = clients[start].db
        is_told = bool(command.flags & WRITE and self.state.journal.is_heard)
        run = command.run_row
        if run is None or not db.is_quiet or (is_told and db is not told_db):
            return 0
        name, words = commands[start][0], len(commands[start])
        stop = start
        for client, argv in zip(islice(clients, start, None), islice(commands, start, None), strict=True):
            if argv[0] != name or len(argv) != words or client.mode & refuses or client.db is not db:
                break
            stop += 1
        row = Row(commands[start:stop], db, self.state.settings, is_told)
        replies, idle = row.replies, row.idle
        try:
            run(row)
        finally:
            if command.flags & WRITE:
                self.state.dirty += row.changes * (len(replies) - len(idle))
                if is_told:
                    done = start + len(replies)
                    self.told.add_row(clients[start:done], chunks[start:done], row.calls, idle)
            if replies.count(OK) == len(replies):
                answers += [OK_LINE] * len(replies)
            else:
                answers += [
                    BULK_LINES[len(reply)] + reply + b"\r\n"
                    if type(reply) is bytes
                    else INTEGER_LINES[reply]
                    if type(reply) is int and 0 <= reply < _SMALL
                    else encode(reply, client.resp)
                    for client, reply in zip(islice(clients, start, None), replies, strict=False)
                ]
        return len(replies)
