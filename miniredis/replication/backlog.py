"""The last bytes of the effect stream, by offset: what a replica that was away for a while still gets.

          first                                             end
            ├────────────┬──────────┬──────────────┬────────┤
            │   chunk    │  chunk   │    chunk     │  tail  │      chunks: 16 KB and more, shared by all who read
            └────────────┴──────────┴──────────────┴────────┘
       offset of the first byte kept                 small pieces, not yet joined

Law: bytes are kept once, however many replicas still have to get them; nothing that was handed out is changed.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

CHUNK_BYTES: Final = 16 * 1024
# Redis keeps no less, whatever repl-backlog-size says.
LEAST_BYTES: Final = 16 * 1024
# Chunks given up that are still in the lists.
SPENT_MOST: Final = 64


class Backlog:
    """`size_bytes`: kept at least, once there are so many. Offsets count the bytes of the stream before a place."""

    __slots__ = ("_chunks", "_head", "_starts", "_tail", "_tail_bytes", "end", "first", "size_bytes")

    def __init__(self, size_bytes: int, offset: int) -> None:
        self.size_bytes = max(size_bytes, LEAST_BYTES)
        self.first = offset
        self.end = offset
        self._starts: list[int] = []
        self._chunks: list[bytes] = []
        self._head = 0  # of the lists: chunks before it are given up
        self._tail: list[bytes] = []
        self._tail_bytes = 0

    def __len__(self) -> int:
        return self.end - self.first

    def resize(self, size_bytes: int) -> None:
        self.size_bytes = max(size_bytes, LEAST_BYTES)

    def append(self, data: bytes) -> None:
        self.end += len(data)
        self._tail.append(data)
        self._tail_bytes += len(data)
        if self._tail_bytes >= CHUNK_BYTES:
            self._seal()

    def _seal(self) -> None:
        tail = self._tail
        self._starts.append(self.end - self._tail_bytes)
        self._chunks.append(tail[0] if len(tail) == 1 else b"".join(tail))
        self._tail = []
        self._tail_bytes = 0

    def trim(self, wanted_from: int) -> None:
        """Give up what is beyond `size_bytes`, but nothing from `wanted_from` on: somebody is still to get it."""
        head, chunks = self._head, self._chunks
        keep_from = min(wanted_from, self.end - self.size_bytes)
        while head < len(chunks) and self.first + len(chunks[head]) <= keep_from:
            self.first += len(chunks[head])
            chunks[head] = b""
            head += 1
        self._head = head
        if head > SPENT_MOST and head * 2 > len(chunks):
            del chunks[:head], self._starts[:head]
            self._head = 0

    def read(self, offset: int, size_bytes: int) -> bytes | memoryview:
        """Some bytes from there on: up to so many, at least one unless it is the end. It is `first` or behind it."""
        if offset >= self.end:
            return b""
        if offset >= self.end - self._tail_bytes:
            piece = self._of_tail(offset)
            if piece and len(piece) <= size_bytes:
                return piece
            self._seal()
        at = bisect_right(self._starts, offset, self._head) - 1
        chunk, skipped = self._chunks[at], offset - self._starts[at]
        if not skipped and len(chunk) <= size_bytes:
            return chunk
        return memoryview(chunk)[skipped : skipped + size_bytes]

    def _of_tail(self, offset: int) -> bytes:
        """What was appended from there on, joined; nothing where that is in the middle of a piece. Mostly it is what
        came in one turn of the loop, and the next to ask is another replica."""
        tail = self._tail
        at, place = len(tail), self.end
        while place > offset:
            at -= 1
            place -= len(tail[at])
        if place < offset:
            return b""
        if at < len(tail) - 1:
            tail[at:] = [b"".join(tail[at:])]
        return tail[at]
