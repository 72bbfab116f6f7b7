"""The commands of one append-only file, or of the part of one that is not a base in RDB.

    *3\\r\\n $3\\r\\nSET\\r\\n $1\\r\\nk\\r\\n $1\\r\\nv\\r\\n     a command
    #TS:1700000000\\r\\n                                   an annotation: skipped

Law 1: it yields what is there and runs nothing. What is no command ends in `Damaged`, a file that ends in the middle
       of one in `Short`, both with the position: everything before it was yielded.
Law 2: no more of the file than a window, or one command, is in memory; no count or length is believed before its bytes
       are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from protocol.disk.files import File

WINDOW_BYTES: Final = 1 << 18
# Of a line, its end included: an annotation, a count, a length.
MAX_LINE_BYTES: Final = 1024
MAX_WORDS: Final = 2**31 - 1
MAX_WORD_BYTES: Final = 2**40

# Lengths that are looked up instead of being read.
_SIZES: Final = [b"$%d" % size for size in range(1025)]
_SMALL: Final = len(_SIZES)
_COUNTS: Final = {b"*%d" % count: count for count in range(1, 135)}


class Damaged(Exception):
    """Not what commands look like; the text says where, in bytes from the file's beginning."""


class Short(Exception):
    """The file ends in the middle of a command."""


class _More(Exception):
    """The window ends in the middle of a command."""


class CommandReader:
    """`for commands in reader: …` yields lists of commands. `start`: where in the file they begin.

    Each command comes with where it ends; `offset` is where the last of the last list did. With `stamps` an annotation
    is a command of one word."""

    def __init__(self, file: File, start: int = 0, window_bytes: int = WINDOW_BYTES, *, stamps: bool = False) -> None:
        self._file = file
        self._window = window_bytes
        self._stamps = stamps
        self._data = b""
        self._base = start  # where in the file `_data` begins
        self.offset = start

    def __iter__(self) -> Iterator[list[tuple[list[bytes], int]]]:
        size = self._window
        while True:
            self._data = self._file.read(self._base, size)
            is_last = self._base + len(self._data) >= self._file.size
            found, at, trouble = self._take(self._data)
            if found:
                self.offset = found[-1][1]
                yield found
            if trouble is not None:
                raise trouble
            self._base += at
            if is_last:
                if at < len(self._data):
                    raise Short(f"the file ends at {self._file.size} in the middle of the command at {self._base}")
                return
            size = self._window if at else 2 * size

    def _take(self, data: bytes) -> tuple[list[tuple[list[bytes], int]], int, Damaged | None]:
        """The whole commands of a window, how far they reach, and what is wrong there."""
        found: list[tuple[list[bytes], int]] = []
        append = found.append
        base, at = self._base, 0
        pieces = data.split(b"\r\n")
        place, last = 0, len(pieces) - 1  # the last piece has no line end
        sizes, small, counts = _SIZES, _SMALL, _COUNTS
        try:
            while at < len(data):
                count = counts.get(pieces[place])
                end = place + 1 + 2 * count if count is not None else 0
                if count == 3 and end <= last:  # most of them: without a loop
                    _, a, verb, b, key, c, value = pieces[place:end]
                    x, y, z = len(verb), len(key), len(value)
                    if x < small and y < small and z < small and sizes[x] == a and sizes[y] == b and sizes[z] == c:
                        at += x + y + z + len(a) + len(b) + len(c) + 16
                        append(([verb, key, value], base + at))
                        place = end
                        continue
                elif count is not None and end <= last:
                    argv = pieces[place + 2 : end : 2]
                    try:
                        is_plain = pieces[place + 1 : end : 2] == [sizes[len(word)] for word in argv]
                    except IndexError:
                        is_plain = False
                    if is_plain:
                        at += sum(map(len, pieces[place:end])) + 2 * (end - place)
                        append((argv, base + at))
                        place = end
                        continue
                exact, end_at = self._exact(data, at)
                if exact is not None:
                    append((exact, base + end_at))
                place += data.count(b"\r\n", at, end_at)
                at = end_at
                if data[at - 2 : at] != b"\r\n":  # a line of somebody's own making: cut what follows anew
                    pieces = data[at:].split(b"\r\n")
                    place, last = 0, len(pieces) - 1
        except _More:
            pass
        except Damaged as error:
            return found, at, error
        return found, at, None

    def _exact(self, data: bytes, at: int) -> tuple[list[bytes] | None, int]:
        """The command that begins there, or None for an annotation, and where it ends."""
        start = self._base + at
        line, at = _line(data, at, start)
        if line.startswith(b"#"):
            return [line] if self._stamps else None, at
        if not line.startswith(b"*"):
            raise Damaged(f"offset {start}: a command was expected, not {line[:16]!r}")
        count = _number(line)
        if not 1 <= count <= MAX_WORDS:
            raise Damaged(f"offset {start}: no command has so many words: {line[:24]!r}")
        argv: list[bytes] = []
        for _ in range(count):
            where = self._base + at
            line, at = _line(data, at, where)
            size = _number(line)
            if not line.startswith(b"$") or not 0 <= size <= MAX_WORD_BYTES:
                raise Damaged(f"offset {where}: the length of a word was expected, not {line[:24]!r}")
            if at + size + 2 > len(data):
                raise _More
            argv.append(data[at : at + size])
            at += size + 2
            if data[at - 2 : at] != b"\r\n":
                raise Damaged(f"offset {self._base + at - 2}: a word is longer than it says")
        return argv, at


def _line(data: bytes, at: int, where: int) -> tuple[bytes, int]:
    end = data.find(b"\n", at, at + MAX_LINE_BYTES)
    if end < 0:
        if len(data) - at >= MAX_LINE_BYTES:
            raise Damaged(f"offset {where}: a line without an end")
        if data[at : at + 1] not in (b"*", b"$", b"#", b""):
            raise Damaged(f"offset {where}: a command was expected, not {data[at : at + 16]!r}")
        raise _More
    return data[at:end].removesuffix(b"\r"), end + 1


def _number(line: bytes) -> int:
    digits = line[1:]
    return int(digits) if digits.isdigit() and len(digits) < 20 else -1
