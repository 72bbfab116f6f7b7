"""Bytes become commands.

    *3\\r\\n   $3\\r\\nSET\\r\\n   $1\\r\\nk\\r\\n   $1\\r\\nv\\r\\n        an array of bulk strings: what clients send
    SET k v\\r\\n                                            an inline command: what people type

Law 1: the commands, and the error, are the same however the bytes were cut into chunks.
Law 2: an error is met in its place: every command before it is handed out first, nothing after it ever is.
Law 3: nothing is allocated because of a length or a count that was only announced.
Law 4: every byte is looked at a bounded number of times. A big argument is gathered in pieces and joined once.

Speed. A whole chunk is cut by one `split(b"\\r\\n")`; the pieces of a command are then sizes and arguments in turn,
and the sizes are right when they equal those looked up for the arguments' lengths. What clients send most has ways of
its own: one whole command, and a pipeline of commands with equally many arguments, which is checked and cut by a few
calls however many they are. Whatever is not that plain (a line break inside an argument, inline commands, a command
that is not complete, anything wrong) goes to `_exact`, which reads as Redis does, byte positions and all. Two oddities
of Redis are kept there: of the two bytes after a size or an argument only the first \\r of a size is ever checked, and
a NUL hides the line end behind it, so that the line is waited for until it is too long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from protocol.resp.inline import Unbalanced, split_arguments
from protocol.resp.shapes import Shapes
from protocol.resp.values import ProtocolError

MAX_LINE_BYTES: Final = 64 * 1024  # of an inline command, a count or a size: Redis's PROTO_INLINE_MAX_SIZE
MAX_ARGUMENTS: Final = 2**31 - 1  # Redis counts arguments in an int
MAX_BULK_BYTES: Final = 512 * 1024 * 1024  # default of proto-max-bulk-len
MAX_BUFFER_BYTES: Final = 1024 * 1024 * 1024  # default of client-query-buffer-limit
STRANGER_ARGUMENTS: Final = 10  # what somebody may send before AUTH
STRANGER_BULK_BYTES: Final = 16384

_WINDOW_BYTES: Final = 64 * 1024  # split at once: bounds the memory that the pieces of a hostile chunk take
_GATHER_BYTES: Final = 16 * 1024  # an argument larger than this is gathered in pieces while it arrives
_CRUMB_BYTES: Final = 4096  # arrivals smaller than this are glued to the piece before them, up to a window

# The lines that announce: looked up, never computed. Longer arguments take the exact way; they are few per byte.
_COUNTS: Final = {b"*%d" % count: count for count in range(1, 1025)}
_SIZES: Final = [b"$%d" % size for size in range(4097)]
_SIZE_OF: Final = dict(enumerate(_SIZES))
_SIZE_BY_LINE: Final = {line: size for size, line in enumerate(_SIZES)}
_DIGIT_SIZE: Final = {b"$%d\r" % size: size for size in range(10)}
_SIZE_LINE_BYTES: Final = max(map(len, _SIZES))
_ONLY_COMMAND_BYTES: Final = len(_SIZES) - 1
_ONLY_COMMAND_WORDS: Final = 32  # a chunk that is one command of up to so many words takes the shortest way
# The first line of such a command, by how many lines the chunk has; None where no command has so many.
_ONLY_COUNT: Final = [b"*%d" % (lines // 2) if lines % 2 and lines > 1 else None
                      for lines in range(2 * _ONLY_COMMAND_WORDS + 2)]  # fmt: skip
_UNSHAPED_LINES: Final = 9  # a chunk of no more is cut as fast as its shape would be
_EACH_LINES: Final = 2 * _ONLY_COMMAND_WORDS + 1  # of a chunk no more lines than that are looked at to know it as one

# An inline command without quotes or anything else that takes a second look, and no array.
_PLAIN_INLINE: Final = re.compile(rb"[A-Za-z][!#-&(-~ \t]*").fullmatch

# What stands for a chunk that is not one plain command: no command has this name.
OTHER: Final[list[bytes]] = [b""]

# Blank lines and empty arrays, a run of which is skipped at once: they are the cheapest way to keep a server busy.
_NOTHING: Final = re.compile(rb"(?:[ \t\v\f\r]{0,64}+\n|\*(?:0|-[1-9][0-9]{0,17})\r\n)+")

_STAR: Final = ord("*")
_DOLLAR: Final = ord("$")
_RETURN: Final = ord("\r")
_ZERO: Final = ord("0")


class Refused(ProtocolError):
    """Input that Redis refuses; `is_silent` when the connection is closed without a word."""

    def __init__(self, message: str | bytes, is_silent: bool = False) -> None:
        super().__init__(message)
        self.is_silent = is_silent

    @property
    def encoded(self) -> bytes:
        """What the client is told before the connection is closed."""
        return b"" if self.is_silent else b"-ERR Protocol error: " + self.message + b"\r\n"


class Parser:
    """The commands of one client. Give bytes to `take`, run what comes back, then look at `failure`."""

    __slots__ = (
        "_argv",
        "_bulk",
        "_gathered",
        "_is_odd",
        "_missing",
        "_offset",
        "_remaining",
        "_rest",
        "_shapes",
        "authenticated",
        "failure",
        "is_plain",
        "max_buffer",
        "max_bulk",
        "takes_inline",
    )

    def __init__(
        self,
        *,
        authenticated: bool = True,
        max_bulk: int = MAX_BULK_BYTES,
        max_buffer: int = MAX_BUFFER_BYTES,
        shapes: Shapes | None = None,
        takes_inline: bool = True,
    ) -> None:
        self._shapes = Shapes() if shapes is None else shapes  # of all clients of a server
        self.authenticated = authenticated  # settable: the strangers' limits hold while it is False
        self.max_bulk = max_bulk  # bytes of one argument; settable
        self.max_buffer = max_buffer  # bytes that may wait for the rest of their command; settable
        self.takes_inline = takes_inline  # or a line that is no array is a sign that bytes are missing
        self.is_plain = authenticated  # the next chunk begins between two commands, and no strict limits hold for it
        self.failure: Refused | None = None  # what the peer broke; nothing is taken any more
        self._rest = b""  # bytes not yet understood: at most a line, or an argument of _GATHER_BYTES
        self._offset = 0  # where in `_rest` they begin
        self._argv: list[bytes] = []  # the arguments so far of a command under way
        self._remaining = 0  # how many it lacks; 0 between commands
        self._is_odd = False  # its arguments do not fit the plain way: no use trying with every chunk
        self._bulk = -1  # the announced size of the next one; -1 while unknown
        self._gathered: list[bytes] = []  # the pieces of a big argument under way
        self._missing = 0  # bytes it lacks, with its line end; 0 while none is under way

    @property
    def buffered(self) -> int:
        """Bytes held back because their argument or line is not complete (CLIENT LIST calls it qbuf)."""
        return len(self._rest) - self._offset + sum(map(len, self._gathered))

    @property
    def argument_bytes(self) -> int:
        """Of the complete arguments of a command that is not."""
        return sum(map(len, self._argv))

    @property
    def missing(self) -> int:
        """Bytes that a large argument lacks, with its line end: so many of the next belong to it. 0: none is due."""
        return self._missing

    @property
    def is_amid_command(self) -> bool:
        """Whether a part of a command was received."""
        return bool(self._rest or self._remaining)

    @property
    def amid_bytes(self) -> int:
        """How many of the bytes taken belong to a command that is not complete. (Its lines have one way of writing.)"""
        size = self.buffered
        if self._remaining:
            words = self._argv
            size += len(b"*%d\r\n" % (len(words) + self._remaining))
            size += sum([len(word) + len(b"$%d\r\n\r\n" % len(word)) for word in words])
            if self._bulk >= 0:
                size += len(b"$%d\r\n" % self._bulk)
        return size

    def take(self, data: bytes = b"") -> list[list[bytes]]:
        """The commands that `data` completes, in order; [] when more bytes are needed.

        Somebody not authenticated gets one command at a time (AUTH may be among them and changes the limits):
        call again without data until nothing comes.
        """
        commands: list[list[bytes]] = []
        if self.failure is not None:
            return commands
        pieces: list[bytes] | None = None
        if not self._rest and not self._remaining and self.authenticated and len(data) <= _WINDOW_BYTES:
            known = self._shapes.known
            if known and len(data) in known and (shaped := known[len(data)].words(data)):
                commands.append(shaped)
                return commands
            pieces = data.split(b"\r\n")
            last = len(pieces) - 1
            if last < len(_ONLY_COUNT) and pieces[0] == _ONLY_COUNT[last] and not pieces[last]:
                argv = pieces[2:last:2]
                at = 1
                for word in argv:
                    if pieces[at] != _SIZE_OF.get(len(word)):
                        break
                    at += 2
                else:
                    if last > _UNSHAPED_LINES:
                        self._shapes.met(len(data), argv)
                    commands.append(argv)
                    return commands
        try:
            if pieces is None:
                self._take(data, commands)
            else:
                self._cut(pieces, commands)
            if self._gathered and self.buffered > self.max_buffer:
                raise Refused("query buffer limit", is_silent=True)
        except Refused as failure:
            self.failure = failure
            self._rest = b""
            self._gathered = []
            self._argv = []
        self.is_plain = not self._rest and not self._remaining and self.authenticated and self.failure is None
        return commands

    def _take(self, data: bytes, commands: list[list[bytes]]) -> None:
        """The ways by what was left of the bytes before, by who sends and by how much there is."""
        if self._missing:
            data = self._gather(data, commands)
        elif self._rest:
            data = self._rest[self._offset :] + data
            self._rest = b""
            self._offset = 0
        if not self.authenticated:
            self._exact(data, commands, 1 - len(commands))
        elif len(data) > _WINDOW_BYTES:
            self._parse_windows(data, commands)
        elif data:
            self._parse(data, commands)

    # ── the plain way ──────────────────────────────────────────────────────────────────────────────────

    def _parse(self, data: bytes, commands: list[list[bytes]]) -> None:
        if self._remaining and self._bulk >= 0:
            # The end of an argument comes first: once over it, the rest of the chunk is plain again.
            data = data[self._argument(data, 0, commands) :]
            if not data:
                return
        if self._is_odd:
            self._exact(data, commands)
            return
        self._cut(data.split(b"\r\n"), commands)

    def _cut(self, pieces: list[bytes], commands: list[list[bytes]]) -> None:
        """The commands of a chunk that begins with a line."""
        # pieces[last] is not a line: no line end follows it (it is empty when the chunk ends where a command does).
        last = len(pieces) - 1
        position = self._continue(pieces, 0, commands) if self._remaining else _alike(pieces, commands)
        sizes = _SIZES
        while position < last and not self._remaining:
            count = _COUNTS.get(pieces[position])
            if count is None:
                if self.takes_inline and len(pieces[position]) < MAX_LINE_BYTES and _PLAIN_INLINE(pieces[position]):
                    commands.append(pieces[position].split())
                    position += 1
                    continue
                count = _wide(pieces[position])
            final = position + 1 + 2 * count
            if not count or final > last:
                if count:
                    self._remaining = count
                    position = self._continue(pieces, position + 1, commands)
                break
            argv = pieces[position + 2 : final : 2]
            try:
                if pieces[position + 1 : final : 2] != [sizes[len(word)] for word in argv]:
                    break
            except IndexError:
                break
            commands.append(argv)
            position = final
        if position < last or pieces[last]:
            self._exact(b"\r\n".join(pieces[position:]), commands)

    def _continue(self, pieces: list[bytes], position: int, commands: list[list[bytes]]) -> int:
        """Give the command under way the whole arguments `pieces` has of it; the position after them."""
        count = min(self._remaining, (len(pieces) - 1 - position) // 2)
        final = position + 2 * count
        argv = pieces[position + 1 : final : 2]
        if pieces[position:final:2] != list(map(_SIZE_OF.get, map(len, argv))):
            self._is_odd = True
            return position
        self._argv += argv
        self._took(count, commands)
        return final

    def _took(self, count: int, commands: list[list[bytes]]) -> None:
        """`count` arguments were added to the command under way."""
        self._remaining -= count
        self._bulk = -1
        if not self._remaining:
            commands.append(self._argv)
            self._argv = []
            self._is_odd = False

    def _parse_windows(self, data: bytes, commands: list[list[bytes]]) -> None:
        """A large chunk, a window at a time."""
        position = 0
        while position < len(data):
            if self._missing:
                final = min(position + self._missing, len(data))
                self._gather(data[position:final], commands)
            else:
                final = position + _WINDOW_BYTES
                window = self._rest + data[position:final]
                self._rest = b""
                self._parse(window, commands)
            position = final

    # ── the exact way ──────────────────────────────────────────────────────────────────────────────────

    def _exact(self, data: bytes, commands: list[list[bytes]], limit: int = -1) -> None:
        """Read `data` as Redis would; what cannot be finished is kept. Stops after `limit` commands when it is ≥ 0."""
        position = 0
        size = len(data)
        known = len(commands)
        while position < size and len(commands) - known != limit:
            if self._remaining:
                if self._remaining > 1 and self._bulk < 0:
                    position = self._small_arguments(data, position)
                after = self._argument(data, position, commands)
            elif nothing := _NOTHING.match(data, position):
                after = nothing.end()
            elif data[position] == _STAR:
                after = self._count(data, position)
            else:
                after = self._inline(data, position, commands)
            if after < 0:
                break
            position = after
        if position < size:
            self._rest = data
            self._offset = position
            if limit < 0:
                self._rest = data[position:]
                self._offset = 0

    def _line_end(self, data: bytes, position: int, mark: bytes, name: str) -> int:
        """Where `mark` ends the line that starts at `position`; -1 when it has not come yet."""
        end = data.find(mark, position, position + MAX_LINE_BYTES + 1)
        if end >= 0 and data.find(b"\0", position, end) < 0:
            return end
        if len(data) - position > MAX_LINE_BYTES:
            raise Refused("too big " + name)
        return -1

    def _inline(self, data: bytes, position: int, commands: list[list[bytes]]) -> int:
        end = self._line_end(data, position, b"\n", "inline request")
        if end < 0:
            return -1
        final = end - 1 if end > position and data[end - 1] == _RETURN else end
        try:
            argv = split_arguments(data[position:final])
        except Unbalanced:
            raise Refused("unbalanced quotes in request") from None
        if argv:
            if not self.takes_inline:
                raise Refused("inline command where only arrays are sent")
            commands.append(argv)
        return end + 1

    def _count(self, data: bytes, position: int) -> int:
        end = self._line_end(data, position, b"\r", "mbulk count string")
        if end < 0 or end + 2 > len(data):
            return -1
        count = _number(data[position + 1 : end])
        if count is None or count > MAX_ARGUMENTS:
            raise Refused("invalid multibulk length")
        if count > STRANGER_ARGUMENTS and not self.authenticated:
            raise Refused("unauthenticated multibulk length")
        self._remaining = max(count, 0)
        return end + 2

    def _argument(self, data: bytes, position: int, commands: list[list[bytes]]) -> int:
        bulk = self._bulk
        if bulk < 0:
            end = self._line_end(data, position, b"\r", "bulk count string")
            if end < 0 or end + 2 > len(data):
                return -1
            bulk = self._bulk = self._size(data, position, end)
            position = end + 2
        final = position + bulk
        if final + 2 > len(data):
            if bulk > _GATHER_BYTES:
                self._gathered = [data[position:]]
                self._missing = final + 2 - len(data)
                return len(data)
            self._rest = data[position:]
            return len(data)
        self._argv.append(data[position:final])
        self._took(1, commands)
        return final + 2

    def _small_arguments(self, data: bytes, position: int) -> int:
        """Take what is there of small arguments, whatever is in them, but for the command's last; the position after.

        It is nothing `_argument` would not do: an array of a million line breaks is read at a third of the cost.
        """
        argv = self._argv
        take = argv.append
        digit = _DIGIT_SIZE.get
        size = len(data)
        before = len(argv)
        for _ in range(self._remaining - 1):
            start = position + 4
            bulk = digit(data[position : position + 3])
            if bulk is None:
                end = data.find(b"\r", position, position + _SIZE_LINE_BYTES + 1)
                bulk = _SIZE_BY_LINE.get(data[position:end]) if end > 0 else None
                if bulk is None:
                    break
                start = end + 2
            if start + bulk + 2 > size:
                break
            take(data[start : start + bulk])
            position = start + bulk + 2
        self._remaining -= len(argv) - before
        return position

    def _size(self, data: bytes, position: int, end: int) -> int:
        if data[position] != _DOLLAR:
            raise Refused(b"expected '$', got '%c'" % data[position])
        bulk = _number(data[position + 1 : end])
        if bulk is None or bulk < 0 or bulk > self.max_bulk:
            raise Refused("invalid bulk length")
        if bulk > STRANGER_BULK_BYTES and not self.authenticated:
            raise Refused("unauthenticated bulk length")
        return bulk

    # ── big arguments ──────────────────────────────────────────────────────────────────────────────────

    def _gather(self, data: bytes, commands: list[list[bytes]]) -> bytes:
        """Add to the big argument under way; what follows it in `data` is returned."""
        missing = self._missing
        gathered = self._gathered
        if len(data) < missing:
            self._missing = missing - len(data)
            if len(data) < _CRUMB_BYTES and len(gathered[-1]) < _WINDOW_BYTES:
                gathered[-1] += data
            else:
                gathered.append(data)
            return b""
        # The two bytes after an argument may lie in the last two pieces: one join over all the rest.
        tail = gathered.pop() + data[:missing]
        gathered.append(tail[:-2])
        self._argv.append(b"".join(gathered))
        self._gathered = []
        self._missing = 0
        self._took(1, commands)
        return data[missing:]


def one_command_each(chunks: Iterable[bytes], shapes: Shapes) -> list[list[bytes]]:
    """For each chunk, read between two commands, the one whole plain command that it is; `OTHER` for anything else."""
    sizes = _SIZES
    counts = _ONLY_COUNT
    known = shapes.known
    commands: list[list[bytes]] = []
    for data in chunks:
        if known and len(data) in known and (shaped := known[len(data)].words(data)):
            commands.append(shaped)
            continue
        argv = OTHER
        if len(data) <= _ONLY_COMMAND_BYTES:
            pieces = data.split(b"\r\n", _EACH_LINES)  # of a pipeline no more than is needed to know it as one
            last = len(pieces) - 1
            if pieces[0] == counts[last] and not pieces[last]:
                words = pieces[2:last:2]
                # No word is longer than the chunk. What is sent most is compared without a loop.
                if last == 7:
                    name, key, value = words
                    if (
                        pieces[5] == sizes[len(value)]
                        and pieces[3] == sizes[len(key)]
                        and pieces[1] == sizes[len(name)]
                    ):
                        argv = words
                elif last == 5:
                    name, key = words
                    if pieces[3] == sizes[len(key)] and pieces[1] == sizes[len(name)]:
                        argv = words
                elif last == 9:
                    name, key, field, value = words
                    if (
                        pieces[7] == sizes[len(value)]
                        and pieces[5] == sizes[len(field)]
                        and pieces[3] == sizes[len(key)]
                        and pieces[1] == sizes[len(name)]
                    ):
                        argv = words
                elif pieces[1:last:2] == [sizes[len(word)] for word in words]:
                    argv = words
                    shapes.met(len(data), words)
            elif last == 1 and not pieces[1] and _PLAIN_INLINE(pieces[0]):
                argv = pieces[0].split()
        commands.append(argv)
    return commands


def _alike(pieces: list[bytes], commands: list[list[bytes]]) -> int:
    """Take the commands of a pipeline whose commands all have as many arguments as the first; the position after them.

    0 when there is nothing of the kind. A last command that is not complete is left for others.
    """
    count = _COUNTS.get(pieces[0], 0)
    step = 2 * count + 1
    alike = (len(pieces) - 1) // step
    final = alike * step
    if not count or alike < 2 or pieces[:final:step].count(pieces[0]) != alike:
        return 0
    lines = pieces[:final]
    del lines[::step]
    words = lines[1::2]
    sizes = _SIZES
    try:
        if [sizes[len(word)] for word in words] != lines[::2]:
            return 0
    except IndexError:  # a word longer than those that are looked up
        return 0
    commands += map(list, zip(*[iter(words)] * count, strict=True))
    return final


def _number(text: bytes) -> int | None:
    """A count or size by Redis's strict rule (no plus, no leading zero, no space, 64 bits); None for anything else."""
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 19:
        return None
    if digits[0] == _ZERO and len(text) > 1:
        return None
    value = int(text)
    return value if -(2**63) <= value < 2**63 else None


def _wide(line: bytes) -> int:
    """The count of a line that announces a large array; 0 for any other line (the exact way knows what to do)."""
    if line[:1] != b"*":
        return 0
    count = _number(line[1:])
    return count if count is not None and 0 < count <= MAX_ARGUMENTS else 0
