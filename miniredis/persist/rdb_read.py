"""An RDB file, key by key, of every version Redis wrote up to 12 (7.4).

    for entry in RdbReader(file, limits, …).entries(): …

Law 1: it yields what is there and runs nothing. Whatever does not hold together ends in `Damaged`, with where and why;
       what was yielded before is then not to be used.
Law 2: a window of the file is in memory, not the file. What breaks off at its end is read again from its beginning in
       a wider one, until the file ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from miniredis.keyspace.value import INTEGER_MAX_BYTES, Value, compact
from miniredis.persist import rdb_format as rdb
from miniredis.persist.rdb_format import Reader
from miniredis.persist.rdb_load import Empty, Limits, decode
from miniredis.persist.rdb_stream import ACTIVE_TIMES, take_active_times
from miniredis.persist.rdb_vectors import MODULE_ID as VECTOR_SETS
from miniredis.structures.stream import Stream
from protocol.checksums import crc64
from protocol.disk.files import File

WINDOW_BYTES: Final = 4 * 1024 * 1024
MAGIC_BYTES: Final = 9
SUM_BYTES: Final = 8
LEAST_KEY_BYTES: Final = 3  # type, name and value, each of a byte
# So many strings are handed out at a time: others get their turn between them.
GATHERED_MOST: Final = 1024
_GATHERED: Final = (rdb.STRING, rdb.EXPIRY_MS)
# How many bytes a number takes, by what is written before it.
_NUMBERS: Final = {0xC0: 1, 0xC1: 2, 0xC2: 4}
# The first version whose files end in a sum.
SUMMED_VERSION: Final = 5


class Damaged(Exception):
    """The file is none, is one of another kind, or does not hold together."""


class Entry(NamedTuple):
    """One key. `expiry` is ms since 1970; `idle` seconds and `counter` are there in files of an LRU or LFU server."""

    db: int
    key: bytes
    value: Value
    expiry: int | None
    idle: int | None
    counter: int | None


class Strings(NamedTuple):
    """Plain strings that follow each other, each key with its value; `ends`: the instants of those that end."""

    db: int
    keys: list[bytes]
    values: list[bytes | int]
    ends: dict[bytes, int]


class RdbReader:
    """`checks_sum`: rdbchecksum. `aux`, `libraries` and `position` (bytes read) grow on the way.

    With `gathers` strings come many at a time where they follow each other. `room` is set where a database begins: how
    many keys it has, and how many of them end, as far as the rest of the file can hold so many."""

    def __init__(self, file: File, limits: Limits, *, checks_sum: bool, tell: Callable[[str], None]) -> None:
        self._file = file
        self._limits = limits
        self._checks_sum = checks_sum
        self._tell = tell
        self._reader = Reader(b"")
        self._base = 0  # where in the file the reader's bytes begin
        self._total = 0  # the sum over the file up to there
        self.version = 0
        self.aux: dict[bytes, bytes] = {}
        self.libraries: list[bytes] = []
        self.empty_keys = 0
        self.is_summed = False  # it ended in a sum, and that is right
        self.gathers = False
        self.room: tuple[int, int] | None = None
        self._db = 0
        self._expiry: int | None = None
        self._idle: int | None = None
        self._counter: int | None = None
        self._last: Value | None = None  # that was read

    @property
    def position(self) -> int:
        return self._base + self._reader.at

    @property
    def size_bytes(self) -> int:
        return self._file.size

    def entries(self) -> Iterator[Entry | Strings]:
        """Every key of the file. Raises Damaged, OSError."""
        self._slide(WINDOW_BYTES)
        self._begin()
        half = WINDOW_BYTES // 2
        while True:
            reader = self._reader
            if reader.left < half and self._base + reader.end < self._file.size:
                self._slide(WINDOW_BYTES)
                reader = self._reader
            mark = reader.data[reader.at] if reader.left else rdb.EOF
            if mark == rdb.EOF:
                break
            if mark in _GATHERED and self.gathers and (strings := self._strings(reader)) is not None:
                yield strings
                continue
            entry = self._step()
            if entry is not None:
                yield entry
        self._end()

    def _strings(self, reader: Reader) -> Strings | None:
        """Strings from here on, up to the first thing that is anything else, or written in a way that is not the plain
        one."""
        if self._expiry is not None or self._idle is not None or self._counter is not None:
            return None
        strings = Strings(self._db, [], [], {})
        _gather(reader, strings)
        return strings if strings.keys else None

    def _slide(self, size: int) -> None:
        """Go on in a window of so many bytes that begins where the reader is."""
        reader = self._reader
        passed = reader.data[: reader.at]
        if self._checks_sum:
            self._total = crc64(passed, self._total)
        rest = reader.data[reader.at :]
        self._base += reader.at
        self._reader = Reader(rest + self._file.read(self._base + len(rest), max(0, size - len(rest))))

    def _begin(self) -> None:
        magic = self._reader.data[:MAGIC_BYTES]
        if magic.startswith(b"VALKEY"):
            raise Damaged("This is a file of Valkey 9 or later, whose format is not Redis's")
        if not magic.startswith(b"REDIS") or not magic[5:].isdigit() or len(magic) < MAGIC_BYTES:
            raise Damaged("Wrong signature trying to load DB from file")
        self.version = int(magic[5:])
        if not 1 <= self.version <= rdb.NEWEST_VERSION:
            raise Damaged(f"Can't handle RDB format version {self.version}")
        self._reader.at = MAGIC_BYTES

    def _step(self) -> Entry | None:
        """One key, or one of the things around keys."""
        start = self._reader.at
        size = WINDOW_BYTES
        while True:
            reader = self._reader
            try:
                return self._read(reader.byte(), reader)
            except Empty:
                self.empty_keys += 1
                self._forget()
                return None
            except ValueError as error:
                at = self._base + start
                if self._base + reader.end >= self._file.size:
                    raise Damaged(f"Internal error in RDB reading offset {at} -> {error}") from None
                reader.at = start
                size = max(size, 2 * reader.left)
                self._slide(size)
                start = 0

    def _read(self, mark: int, reader: Reader) -> Entry | None:
        if mark < rdb.SLOT_INFO:
            return self._key(mark, reader)
        if mark == rdb.EXPIRY_MS:
            self._expiry = reader.milliseconds()
        elif mark == rdb.EXPIRY_S:
            self._expiry = 1000 * int.from_bytes(reader.take(4), "little", signed=True)
        elif mark == rdb.IDLE:
            self._idle = reader.length()
        elif mark == rdb.COUNTER:
            self._counter = reader.byte()
        elif mark == rdb.SELECT:
            self._db = reader.length()
        elif mark == rdb.RESIZE:
            most = (self._file.size - self.position) // LEAST_KEY_BYTES
            self.room = min(reader.length(), most), min(reader.length(), most)
        elif mark == rdb.SLOT_INFO:
            reader.length(), reader.length(), reader.length()
        elif mark == rdb.AUX:
            field, text = reader.string(), reader.string()
            if field == ACTIVE_TIMES:
                self._beside_stream(text)
            else:
                self.aux[field] = text
        elif mark == rdb.FUNCTION_2:
            self.libraries.append(reader.string())
        elif mark == rdb.FUNCTION_PRE_GA:
            raise Damaged("Pre-release function format not supported.")
        else:
            name = _module_name(reader.length())
            raise Damaged(f"The RDB file contains AUX module data I can't load: no matching module '{name}'")
        return None

    def _key(self, kind: int, reader: Reader) -> Entry:
        key = reader.string()
        if kind == rdb.MODULE_2:
            at = reader.at
            module = reader.length()
            if module != VECTOR_SETS:
                name = _module_name(module)
                raise Damaged(f"The RDB file contains module data I can't load: no matching module type '{name}'")
            reader.at = at
        if kind == rdb.MODULE:
            raise Damaged("The RDB file contains module data of a form that only Redis's release candidates wrote")
        try:
            self._last = value = decode(kind, reader, self._limits)
        except Empty:
            self._tell(f"rdbLoadObject skipping empty key: {key.decode('utf-8', 'backslashreplace')}")
            raise
        entry = Entry(self._db, key, value, self._expiry, self._idle, self._counter)
        self._forget()
        return entry

    def _beside_stream(self, text: bytes) -> None:
        stream = self._last
        if not isinstance(stream, Stream):
            raise ValueError("the times of consumers without their stream")
        take_active_times(stream, text)

    def _forget(self) -> None:
        self._expiry = self._idle = self._counter = None

    def _end(self) -> None:
        """The end's mark and the sum."""
        reader = self._reader
        try:
            reader.byte()
            kept = int.from_bytes(reader.take(SUM_BYTES), "little") if self.version >= SUMMED_VERSION else 0
        except ValueError:
            raise Damaged("Short read or OOM loading DB. Unrecoverable error, aborting now.") from None
        if not self._checks_sum or self.version < SUMMED_VERSION:
            return
        if not kept:
            self._tell("RDB file was saved with checksum disabled: no check performed.")
            return
        total = crc64(reader.data[: reader.at - SUM_BYTES], self._total)
        if total != kept:
            self._tell(f"Wrong RDB checksum expected: ({total:x}) but got ({kept:x}). Aborting now.")
            raise Damaged(f"Internal error in RDB reading offset {self.position} -> RDB CRC error")
        self.is_summed = True


def _gather(reader: Reader, strings: Strings) -> None:
    """As many strings as the window has from here on, or as are handed out at a time."""
    data, end, at = reader.data, reader.end, reader.at
    _, keys, values, ends = strings
    value: bytes | int
    try:
        while len(keys) < GATHERED_MOST:
            place = at
            if data[place] == rdb.EXPIRY_MS:
                place += 9
            if data[place]:
                break
            size = data[place + 1]
            start = place + 2
            if size >= 0x40:
                if size >= 0x80:
                    break
                size = (size & 0x3F) << 8 | data[start]
                start += 1
            stop = start + size
            key = data[start:stop]
            size = data[stop]
            start = stop + 1
            if size >= 0x80:
                number = _NUMBERS.get(size)
                if number is None or start + number > end:
                    break
                stop = start + number
                value = int.from_bytes(data[start:stop], "little", signed=True)
            else:
                if size >= 0x40:
                    size = (size & 0x3F) << 8 | data[start]
                    start += 1
                stop = start + size
                if stop > end:
                    break
                value = data[start:stop]
                if size <= INTEGER_MAX_BYTES:
                    value = compact(value)
            keys.append(key)
            values.append(value)
            if place > at:
                ends[key] = int.from_bytes(data[at + 1 : place], "little", signed=True)
            at = stop
    except IndexError:  # the window ends
        pass
    reader.at = at


def _module_name(number: int) -> str:
    """Nine letters of six bits each, the version in the last ten."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "".join(letters[number >> 10 + 6 * place & 63] for place in range(8, -1, -1))
