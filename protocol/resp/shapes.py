"""Long commands that come again and again in one shape, read without searching for their lines.

    *5\\r\\n$4\\r\\n  MSET  \\r\\n$2\\r\\n  k1  \\r\\n$1\\r\\n  v  …  \\r\\n        `between` and words in turn

Clients that fill a store send words of the same lengths every time: a chunk as long as the last one mostly has its
lines in the same places. It is then cut there by one call and what lies between the words compared with what has to
lie there, for half the price of looking for line ends.

Law: what does not equal the remembered lines byte for byte is not taken; the words themselves may hold anything.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

# So many shapes are known at a time; with one more all are forgotten, and what comes often is soon known again.
SHAPES_MOST: Final = 16


class Shape:
    """Where the words of one command begin and end; `cut` gives the words, `cut_between` what lies between."""

    __slots__ = ("between", "cut", "cut_between")

    def __init__(self, words: list[bytes]) -> None:
        sizes = list(map(len, words))
        between = [b"\r\n$%d\r\n" % size for size in sizes]
        between[0] = b"*%d%b" % (len(words), between[0])
        self.between = (*between, b"\r\n")
        parts = list(zip(map(len, between), sizes, strict=True))
        self.cut = Struct("".join([f"{lines}x{size}s" for lines, size in parts]) + "2x").unpack
        self.cut_between = Struct("".join([f"{lines}s{size}x" for lines, size in parts]) + "2s").unpack

    def words(self, data: bytes) -> list[bytes] | None:
        """Those of a chunk that is as long as commands of this shape are; None where it is no such command."""
        return list(self.cut(data)) if self.cut_between(data) == self.between else None


class Shapes:
    """The shapes met lately, by the length of the whole command."""

    __slots__ = ("_last", "known")

    def __init__(self) -> None:
        self.known: dict[int, Shape] = {}
        self._last = 0

    def met(self, size: int, words: list[bytes]) -> None:
        """A command of so many bytes that no known shape fitted. The second in a row of a length is remembered."""
        if size == self._last:
            if len(self.known) >= SHAPES_MOST:
                self.known.clear()
            self.known[size] = Shape(words)
        self._last = size
