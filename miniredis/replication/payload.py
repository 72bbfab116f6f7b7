"""The data set as a primary sends it for a full synchronization: where it ends. A pure machine.

    $<length>\\r\\n <so many bytes>                       the primary had a file
    $EOF:<40 bytes>\\r\\n <bytes> <the same 40 bytes>      the primary writes it while it sends it
    \\n                                                   before either: the primary lives, and is not done preparing

What comes behind it is the stream of commands.
"""

from __future__ import annotations

from typing import Final

from protocol.resp.values import ProtocolError

MARK_BYTES: Final = 40
_MARKED: Final = b"$EOF:"
_MAX_LENGTH_DIGITS: Final = 18


class Payload:
    """`feed` takes what comes and returns what belongs to the file; once `is_complete`, `rest` is what came behind."""

    def __init__(self, announcement: bytes) -> None:
        """A line without its end. ProtocolError: it announces nothing."""
        self.size = 0  # announced; 0 where a mark says where it ends
        self.received = 0
        self.mark = b""
        self.rest = b""
        self._held = b""  # may be the beginning of the mark
        if announcement.startswith(_MARKED) and len(announcement) >= len(_MARKED) + MARK_BYTES:
            self.mark = announcement[len(_MARKED) :][:MARK_BYTES]
            self.is_complete = False
            return
        digits = announcement[1:]
        if not announcement.startswith(b"$") or not digits.isdigit() or len(digits) > _MAX_LENGTH_DIGITS:
            raise ProtocolError(announcement)
        self.size = int(digits)
        self.is_complete = not self.size

    def feed(self, data: bytes) -> bytes:
        if self.mark:
            return self._until_mark(data)
        taken = data[: self.size - self.received]
        self.received += len(taken)
        if self.received == self.size:
            self.is_complete = True
            self.rest = data[len(taken) :]
        return taken

    def _until_mark(self, data: bytes) -> bytes:
        data = self._held + data
        at = data.find(self.mark)
        if at >= 0:
            self.is_complete = True
            self.rest = data[at + MARK_BYTES :]
            self._held = b""
        else:
            at = max(0, len(data) - MARK_BYTES + 1)
            self._held = data[at:]
        self.received += at
        return data[:at]
