"""A whole data set as commands: the base of an append-only file where aof-use-rdb-preamble is no.

    #TS:<seconds>                                     where aof-timestamp-enabled
    FUNCTION LOAD <code>                              each library
    SELECT <db>
    SET · RPUSH · SADD · ZADD · HMSET                 64 elements a command
    HMSET key field value · HPEXPIREAT …              fields of their own end, one by one
    XADD … · XSETID … · XGROUP CREATE … · XCLAIM … · XGROUP CREATECONSUMER …
    RESTORE key 0 <payload>                           vector sets: their graph is no command's work
    PEXPIREAT key <ms>                                after what it is for

Law: run on an empty server these make an equal data set, in any version of Redis that has the types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

from miniredis.keyspace.db import Db
from miniredis.keyspace.value import Value
from miniredis.persist.rdb_save import dump
from miniredis.structures.chunks import List
from miniredis.structures.hash import Hash
from miniredis.structures.sets import Set
from miniredis.structures.stream import Stream
from miniredis.structures.stream_groups import Group
from miniredis.structures.stream_node import MAX_ID
from miniredis.structures.vector_set import VectorSet
from miniredis.structures.zset import SortedSet
from protocol.disk.files import File
from protocol.resp.encoder import encode_command
from protocol.resp.numbers import format_double

# Elements of one command.
ITEMS_A_COMMAND: Final = 64
# Bytes gathered before they are written, and written before they are synced (aof-rewrite-incremental-fsync).
PIECE_BYTES: Final = 256 * 1024
SYNC_BYTES: Final = 4 * 1024 * 1024
# Entries of a stream read at a time.
ENTRIES_A_READ: Final = 1000

_SEQUENCE_BITS: Final = 64
_SEQUENCE_MASK: Final = (1 << _SEQUENCE_BITS) - 1


class CommandWriter:
    """Writes to `file`; `at_key` is called with how many keys there were, after so many. Raises OSError."""

    def __init__(self, file: File, at_key: Callable[[int], None], keys_a_report: int, *, is_synced_often: bool) -> None:
        self._file = file
        self._at_key = at_key
        self._keys_a_report = keys_a_report
        self._is_synced_often = is_synced_often
        self._parts: list[bytes] = []
        self._gathered = self._unsynced = 0

    def write(self, dbs: Sequence[Db], libraries: Iterable[bytes], stamped_s: int | None) -> None:
        """All of it, in the file but for the last sync. `stamped_s`: the time it is given, in seconds."""
        if stamped_s is not None:
            self._put(annotation(stamped_s))
        for code in libraries:
            self._put(encode_command([b"FUNCTION", b"LOAD", code]))
        keys = 0
        for db in dbs:
            if db.table.size:
                keys = self._database(db, keys)
        self._flush()

    def _database(self, db: Db, keys: int) -> int:
        self._put(encode_command([b"SELECT", b"%d" % db.index]))
        for key, value in db.table.items():
            for argv in commands_for(key, value):
                self._put(encode_command(argv))
            expiry = db.deadlines.get(key)
            if expiry is not None:
                self._put(encode_command([b"PEXPIREAT", key, b"%d" % expiry]))
            keys += 1
            if not keys % self._keys_a_report:
                self._at_key(keys)
        return keys

    def _put(self, data: bytes) -> None:
        self._parts.append(data)
        self._gathered += len(data)
        if self._gathered >= PIECE_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._file.append(b"".join(self._parts))
        self._parts.clear()
        self._unsynced += self._gathered
        self._gathered = 0
        if self._is_synced_often and self._unsynced >= SYNC_BYTES:
            self._file.sync()
            self._unsynced = 0


def annotation(seconds: int) -> bytes:
    """What stands before the commands of a second."""
    return b"#TS:%d\r\n" % seconds


def commands_for(key: bytes, value: Value) -> Iterator[list[bytes]]:
    """The commands that make this key; its expiry is not among them."""
    if isinstance(value, int):
        yield [b"SET", key, b"%d" % value]
    elif isinstance(value, bytes | bytearray):
        yield [b"SET", key, bytes(value)]
    elif isinstance(value, List):
        yield from _batches(b"RPUSH", key, value, 1)
    elif isinstance(value, Set):
        yield from _batches(b"SADD", key, value, 1)
    elif isinstance(value, SortedSet):
        pairs = ((format_double(score), member) for score, member in value)
        yield from _batches(b"ZADD", key, chain.from_iterable(pairs), 2)
    elif isinstance(value, Hash):
        yield from _hash(key, value)
    elif isinstance(value, Stream):
        yield from _stream(key, value)
    else:
        assert isinstance(value, VectorSet)
        yield [b"RESTORE", key, b"0", dump(value, is_compressed=True)]


def _batches(verb: bytes, key: bytes, words: Iterable[bytes], words_an_item: int) -> Iterator[list[bytes]]:
    rest = iter(words)
    while batch := list(islice(rest, ITEMS_A_COMMAND * words_an_item)):
        yield [verb, key, *batch]


def _hash(key: bytes, value: Hash) -> Iterator[list[bytes]]:
    deadlines = value.deadlines
    if deadlines is None or deadlines.first() is None:
        yield from _batches(b"HMSET", key, chain.from_iterable(value.items()), 2)
        return
    for field, text in value.items():
        yield [b"HMSET", key, field, text]
        instant = deadlines.get(field)
        if instant is not None:
            yield [b"HPEXPIREAT", key, b"%d" % instant, b"FIELDS", b"1", field]


def _id(id: int) -> bytes:
    return b"%d-%d" % (id >> _SEQUENCE_BITS, id & _SEQUENCE_MASK)


def _stream(key: bytes, value: Stream) -> Iterator[list[bytes]]:
    if not len(value):  # an entry that is trimmed as it comes leaves an empty stream
        yield [b"XADD", key, b"MAXLEN", b"0", b"0-1", b"x", b"y"]
    start = 0
    while entries := value.range(start, MAX_ID, ENTRIES_A_READ):
        for id, pairs in entries:
            yield [b"XADD", key, _id(id), *pairs]
        start = entries[-1][0] + 1
    yield [
        b"XSETID", key, _id(value.last_id), b"ENTRIESADDED", b"%d" % value.entries_added, b"MAXDELETEDID",
        _id(value.max_deleted_id),
    ]  # fmt: skip
    for name, group in sorted(value.groups.items()):
        yield [b"XGROUP", b"CREATE", key, name, _id(group.last_id), b"ENTRIESREAD", b"%d" % group.entries_read]
        yield from _group(key, name, group)


def _group(key: bytes, name: bytes, group: Group) -> Iterator[list[bytes]]:
    """Who reads in it, with what each was given."""
    for consumer in group.sorted_consumers():
        if not len(consumer.ids):
            yield [b"XGROUP", b"CREATECONSUMER", key, name, consumer.name]
        for id in consumer.ids:
            pending = group.pending[id]
            yield [
                b"XCLAIM", key, name, consumer.name, b"0", _id(id), b"TIME", b"%d" % pending.delivery_time,
                b"RETRYCOUNT", b"%d" % pending.delivery_count, b"JUSTID", b"FORCE",
            ]  # fmt: skip
