"""Which history of writes a server has: its name, how many bytes of it there are, and the last of them.

    id         second_id           the stream:  ──────────────┬───────────────────►
    "b2…"      "a1…"                             history a1…  │  history b2…
                                                      second_offset    offset

A server that was a replica and becomes a primary begins a new history, and still answers for the old one up to the
place where it left it: replicas of the old primary go on here without a full synchronization.

Law: two servers with the same id and the same offset hold the same data.
"""

from __future__ import annotations

from random import Random
from typing import Final

from miniredis.replication.backlog import Backlog

NO_ID: Final = b"0" * 40


class History:
    """Offsets count bytes of the effect stream. `random` makes ids nobody can guess."""

    __slots__ = ("_random", "backlog", "id", "offset", "second_id", "second_offset")

    def __init__(self, random: Random) -> None:
        self._random = random
        self.id = self._new_id()
        self.second_id = NO_ID
        self.second_offset = -1  # requests for bytes of the second id are answered up to this one; -1: none
        self.offset = 0
        self.backlog: Backlog | None = None  # None: nobody has ever followed

    def _new_id(self) -> bytes:
        return b"%040x" % self._random.getrandbits(160)

    def append(self, data: bytes, effects: int = 1) -> None:
        """The next bytes of the stream, of so many effects. Without a backlog they are only noted: one byte stands for
        each, as in Redis, since the offset then says no more than that something was written."""
        backlog = self.backlog
        if backlog is None:
            self.offset += effects
        else:
            self.offset += len(data)
            backlog.append(data)

    def keep(self, size_bytes: int) -> None:
        """Begin to keep the last bytes, from here on."""
        self.backlog = Backlog(size_bytes, self.offset)

    def begin(self) -> None:
        """What was before is of no use to anybody: a new name, and no second."""
        self.id = self._new_id()
        self.second_id = NO_ID
        self.second_offset = -1

    def shift(self) -> None:
        """From here on the history is our own: a replica becomes a primary."""
        self.continue_as(self._new_id())

    def continue_as(self, id: bytes) -> None:
        """The same history goes on under another name: our primary was promoted."""
        self.second_id = self.id
        self.second_offset = self.offset + 1
        self.id = id

    def adopt(self, id: bytes, offset: int) -> None:
        """A full synchronization: the primary's history up to there is ours. What was kept of another is dropped."""
        self.id = id
        self.offset = offset
        self.second_id = NO_ID
        self.second_offset = -1
        if self.backlog is not None:
            self.keep(self.backlog.size_bytes)

    def is_known(self, id: bytes, wanted: int) -> bool:
        """Whether byte number `wanted` (the first is 1) of that history is the same as, or the next of, ours."""
        id = id.lower()
        return id == self.id or (id == self.second_id and wanted <= self.second_offset)
