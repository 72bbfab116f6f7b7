"""Which files an append-only file is made of: `<appendfilename>.manifest` in `appenddirname`.

    file appendonly.aof.2.base.rdb seq 2 type b        what everything stands on, as RDB or as commands (…base.aof)
    file appendonly.aof.1.incr.aof seq 1 type h        history: no longer needed, about to be removed
    file appendonly.aof.2.incr.aof seq 2 type i        what came after it, in this order

Law 1: at most one base; sequence numbers of increments rise; names are names, never paths.
Law 2: what is not understood is refused with the line it stands in: nothing is guessed about which data is there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from protocol.resp.inline import Unbalanced, split_arguments

BASE: Final = "b"
HISTORY: Final = "h"
INCREMENT: Final = "i"

MAX_LINE_BYTES: Final = 1024
SUFFIX: Final = ".manifest"
TEMPORARY: Final = "temp-"
# A line has at least so many words: each of file, seq and type with its value.
_LEAST_WORDS: Final = 6
_PRINTED: Final = {ord("\\"): b"\\\\", ord('"'): b'\\"', 10: b"\\n", 13: b"\\r", 9: b"\\t", 7: b"\\a", 8: b"\\b"}


class BadManifest(Exception):
    """The manifest is not one. `number` is the line's, from 1; 0: it is about the file as a whole."""

    def __init__(self, reason: str, number: int = 0, line: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.number = number
        self.line = line

    @property
    def told(self) -> list[str]:
        """For the log."""
        lines = ["", "*** FATAL AOF MANIFEST FILE ERROR ***", ""]
        if self.number:
            lines += [f"Reading the manifest file, at line {self.number}", "", f">>> '{self.line}'", ""]
        return [*lines, self.reason]


class Part(NamedTuple):
    """One file."""

    name: str
    sequence: int
    kind: str


class Manifest:
    """The files, in the order of their use. `name`: appendfilename."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.base: Part | None = None
        self.history: list[Part] = []
        self.increments: list[Part] = []
        self.base_sequence = 0
        self.increment_sequence = 0

    def copy(self) -> Manifest:
        twin = Manifest(self.name)
        twin.base = self.base
        twin.history = self.history.copy()
        twin.increments = self.increments.copy()
        twin.base_sequence = self.base_sequence
        twin.increment_sequence = self.increment_sequence
        return twin

    @property
    def parts(self) -> list[Part]:
        """What is to be loaded."""
        return ([self.base] if self.base is not None else []) + self.increments

    # Changes.

    def next_base(self, *, is_rdb: bool) -> str:
        """A base in the place of the one there is, which becomes history."""
        self.base_sequence += 1
        name = f"{self.name}.{self.base_sequence}.base.{'rdb' if is_rdb else 'aof'}"
        self._replace_base(Part(name, self.base_sequence, BASE))
        return name

    def adopt(self) -> None:
        """The one file of Redis before 7, under its own name, as the base."""
        self.base_sequence = 1
        self.base = Part(self.name, 1, BASE)

    def _replace_base(self, part: Part) -> None:
        if self.base is not None:
            self.history.insert(0, self.base._replace(kind=HISTORY))
        self.base = part

    def next_increment(self) -> str:
        self.increment_sequence += 1
        name = f"{self.name}.{self.increment_sequence}.incr.aof"
        self.increments.append(Part(name, self.increment_sequence, INCREMENT))
        return name

    def retire_increments(self, *, keep_last: bool) -> None:
        """The base has what is in them, but for the last, if that is the one being written."""
        kept = self.increments[-1:] if keep_last else []
        for part in reversed(self.increments[: len(self.increments) - len(kept)]):
            self.history.insert(0, part._replace(kind=HISTORY))
        self.increments = kept

    # As text.

    def text(self) -> bytes:
        parts = [self.base, *self.history, *self.increments] if self.base else [*self.history, *self.increments]
        return b"".join(
            [b"file %b seq %d type %b\n" % (_shown(part.name), part.sequence, part.kind.encode()) for part in parts]
        )

    @classmethod
    def read(cls, name: str, data: bytes) -> Manifest:
        """Raises BadManifest."""
        manifest = cls(name)
        lines = data.split(b"\n")
        rest = lines.pop()
        if not data:
            raise BadManifest("Found an empty AOF manifest")
        if rest:
            lines.append(rest[:MAX_LINE_BYTES] if rest.startswith(b"#") else rest.ljust(MAX_LINE_BYTES))
        for number, raw in enumerate(lines, 1):
            if not raw.startswith(b"#"):
                manifest._take(number, raw)
        return manifest

    def _take(self, number: int, raw: bytes) -> None:
        line = raw.strip(b" \t\r\n")
        shown = line.decode("utf-8", "replace")
        if len(raw) >= MAX_LINE_BYTES:
            raise BadManifest("The AOF manifest file contains too long line", number, shown[:MAX_LINE_BYTES])
        try:
            part = _read_part(line)
            self._add(part)
        except ValueError as error:
            raise BadManifest(str(error), number, shown) from None

    def _add(self, part: Part) -> None:
        if part.kind == BASE:
            if self.base is not None:
                raise ValueError("Found duplicate base file information")
            self.base = part
            self.base_sequence = part.sequence
        elif part.kind == HISTORY:
            self.history.append(part)
        elif part.kind == INCREMENT:
            if part.sequence <= self.increment_sequence:
                raise ValueError("Found a non-monotonic sequence number")
            self.increments.append(part)
            self.increment_sequence = part.sequence
        else:
            raise ValueError("Unknown AOF file type")


def _read_part(line: bytes) -> Part:
    """Raises ValueError with Redis's words."""
    wrong = ValueError("Invalid AOF manifest file format")
    try:
        words = [word.decode("utf-8", "surrogateescape") for word in split_arguments(line)]
    except Unbalanced:
        raise wrong from None
    if len(words) < _LEAST_WORDS or len(words) % 2:
        raise wrong
    found = {key.lower(): value for key, value in zip(words[::2], words[1::2], strict=True)}
    name, kind = found.get("file", ""), found.get("type", "")[:1]
    digits = found.get("seq", "")
    sequence = int(digits) if digits.isascii() and digits.isdigit() else 0
    if "/" in name or "\\" in name:
        raise ValueError("File can't be a path, just a filename")
    if not name or not sequence or not kind:
        raise wrong
    return Part(name, sequence, kind)


def _shown(name: str) -> bytes:
    """A name as one word of the line: in quotes where it would not be one."""
    raw = name.encode("utf-8", "surrogateescape")
    if raw and not any(byte <= 32 or byte >= 127 or byte in b"\\\"'" for byte in raw):
        return raw
    pieces = [
        _PRINTED.get(byte) or (bytes((byte,)) if 32 <= byte < 127 else b"\\x%02x" % byte) for byte in raw
    ]  # fmt: skip
    return b'"' + b"".join(pieces) + b'"'
