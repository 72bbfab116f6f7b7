"""A whole data set as an RDB file.

    REDIS0010        the version: the lowest that holds what is in it, so that Redis 7.0 reads it where it can
    FA name value    who wrote it, when, on what                                      (AUX)
    F5 code          each function library                                            (FUNCTION2)
    FE db  FB keys ends                                                               (SELECTDB, RESIZEDB)
      [FC ms] [F8 idle s | F9 counter] type key value [FA ...]                        each key of it (a stream's field)
    FF crc64         over all before it, low byte first; 0 where no sum is wanted     (EOF)

Law: nothing of the data changes by being written, and no more of the file than a piece is held in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from miniredis.keyspace.db import LRU_BITS_MASK, Db
from miniredis.keyspace.value import Value
from miniredis.persist import rdb_format as rdb
from miniredis.persist.rdb_save import encode
from miniredis.persist.rdb_stream import encode_stream_beside
from miniredis.structures.hash import Hash
from miniredis.structures.stream import Stream
from protocol.checksums import crc64
from protocol.disk.files import File

# Bytes gathered before they are written, and written before they are synced (rdb-save-incremental-fsync).
PIECE_BYTES: Final = 256 * 1024
SYNC_BYTES: Final = 4 * 1024 * 1024
# Keys between two looks at how far it is.
KEYS_A_REPORT: Final = 1024

_PLAIN_SIZES: Final = tuple(bytes((size,)) for size in range(64))
_STRING_MARK: Final = bytes((rdb.STRING,))
_DIGITS_END: Final = ord("9")


class Rules(NamedTuple):
    """How a file is written."""

    is_compressed: bool  # rdbcompression
    is_summed: bool  # rdbchecksum
    is_synced_often: bool  # rdb-save-incremental-fsync
    keeps_idle: bool  # an LRU policy: how long a key was left alone
    keeps_counter: bool  # an LFU policy: how often it was used


def version_needed(dbs: Sequence[Db]) -> int:
    """The lowest version that has a type for each of the values."""
    for db in dbs:
        for shard in db.table.shards:
            if Hash not in set(map(type, shard.values)):  # long before anybody asks each value
                continue
            for value in shard.values:
                if isinstance(value, Hash) and value.deadlines is not None and value.deadlines.first() is not None:
                    return rdb.version_of(rdb.HASH_METADATA)
    return rdb.COMMON_VERSION


class Writer:
    """Writes one file. `aux` are name and value; `libraries` the code of each; `at_key` is called after so many keys
    with how many there were. Raises OSError."""

    def __init__(self, file: File, rules: Rules, at_key: Callable[[int], None], keys_a_report: int) -> None:
        self._file = file
        self._rules = rules
        self._at_key = at_key
        self._keys_a_report = keys_a_report
        self._parts: list[bytes] = []
        self._total = 0
        self._unsynced = 0
        self._version = rdb.COMMON_VERSION
        self.keys = 0

    def write(self, dbs: Sequence[Db], aux: Sequence[tuple[bytes, bytes]], libraries: Sequence[bytes]) -> None:
        """All of it, in the file but for the last sync."""
        parts = self._parts
        self._version = version_needed(dbs)
        parts.append(b"REDIS%04d" % self._version)
        for name, value in aux:
            parts += (rdb.AUX_MARK, rdb.string(name, False), rdb.string(value, False))
        for code in libraries:
            parts += (rdb.FUNCTION_MARK, rdb.string(code, self._rules.is_compressed))
        for db in dbs:
            if db.table.size:
                self._database(db)
        parts.append(rdb.EOF_MARK)
        self._put()
        self._file.append(self._total.to_bytes(8, "little"))

    def _put(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        if self._rules.is_summed:
            self._total = crc64(data, self._total)
        self._file.append(data)
        self._unsynced += len(data)
        if self._rules.is_synced_often and self._unsynced >= SYNC_BYTES:
            self._file.sync()
            self._unsynced = 0

    def _database(self, db: Db) -> None:
        parts = self._parts
        parts += (rdb.SELECT_MARK, rdb.length(db.index))
        parts += (rdb.RESIZE_MARK, rdb.length(db.table.size), rdb.length(db.deadlines.size))
        expiry = db.deadlines.get if db.deadlines.size else None
        is_compressed, keeps_clock = self._rules.is_compressed, self._rules.keeps_idle or self._rules.keeps_counter
        most = rdb.LEAST_COMPRESSED_BYTES - 1 if is_compressed else len(_PLAIN_SIZES) - 1
        keys, until_report, gathered = self.keys, self._keys_a_report, 0
        for shard in db.table.shards:
            for slot, key in enumerate(shard.keys):
                if expiry is not None and (instant := expiry(key)) is not None:
                    parts.append(rdb.EXPIRY_MARK + rdb.milliseconds(instant))
                if keeps_clock:
                    parts.append(self._clock(db, shard.clocks[slot]))
                size = len(key)
                if 0 < size <= most and key[0] > _DIGITS_END:
                    name = _PLAIN_SIZES[size] + key
                else:
                    name = rdb.string(key, is_compressed)
                value = shard.values[slot]
                if type(value) is bytes:  # what there is most of: without a call where it is no number
                    size = len(value)
                    if 0 < size <= most and value[0] > _DIGITS_END:
                        text = _PLAIN_SIZES[size] + value
                    else:
                        text = rdb.string(value, is_compressed)
                    parts += (_STRING_MARK, name, text)
                    gathered += len(name) + len(text)
                else:
                    body, beside = self._body(value)
                    parts += (body[:1], name, body[1:], beside)
                    gathered += len(name) + len(body)
                if gathered >= PIECE_BYTES:
                    self._put()
                    gathered = 0
                keys += 1
                until_report -= 1
                if not until_report:
                    until_report = self._keys_a_report
                    self._at_key(keys)
        self.keys = keys

    def _body(self, value: Value) -> tuple[bytes, bytes]:
        """Type and value, and what stands behind it."""
        body = encode(value, is_compressed=self._rules.is_compressed)
        if body[0] == rdb.STREAM_LISTPACKS_3 and self._version == rdb.COMMON_VERSION:
            assert isinstance(value, Stream)
            return encode_stream_beside(value, self._rules.is_compressed)
        return body, b""

    def _clock(self, db: Db, clock: int) -> bytes:
        keyspace = db.keyspace
        if self._rules.keeps_counter:
            return rdb.COUNTER_MARK + bytes((keyspace.decayed(clock),))
        return rdb.IDLE_MARK + rdb.length((keyspace.now // 1000 - clock) & LRU_BITS_MASK)
