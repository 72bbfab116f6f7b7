"""DEBUG DIGEST: one number for everything a server holds, equal on equal data whatever server made it.

SHA-1 sums of 20 bytes are joined in two ways: by xor where order means nothing (keys, members, fields), and by
summing again where it does (elements of a list, a member and its score). So the order of a walk does not matter.

Scores are taken as Redis 7.4 prints doubles; 7.0 printed them otherwise and has other sums for sorted sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha1
from typing import Final, Protocol

from miniredis.keyspace.value import Value
from miniredis.structures.chunks import List
from miniredis.structures.hash import Hash
from miniredis.structures.sets import Set
from miniredis.structures.stream import Stream
from miniredis.structures.stream_node import MAX_ID
from miniredis.structures.table import Table
from miniredis.structures.vector_set import VectorSet
from miniredis.structures.zset import SortedSet
from protocol.resp.numbers import format_shortest

DIGEST_BYTES: Final = 20

_SEQUENCE_MASK: Final = (1 << 64) - 1
_EXPIRE: Final = b"!!expire!!"
_FIELD_EXPIRE: Final = b"!!hexpire!!"


def _sum(data: bytes) -> int:
    return int.from_bytes(sha1(data, usedforsecurity=False).digest(), "big")


def mixed(digest: int, data: bytes) -> int:
    """The digest after one more thing whose place matters."""
    return _sum((digest ^ _sum(data)).to_bytes(DIGEST_BYTES, "big"))


def value_digest(value: Value, has_expiry: bool, digest: int = 0) -> int:
    """The sum over a value, going on from `digest`."""
    digest = mixed(digest, _type_code(value).to_bytes(4, "big"))
    if isinstance(value, int):
        digest = mixed(digest, b"%d" % value)
    elif isinstance(value, bytes | bytearray):
        digest = mixed(digest, bytes(value))
    elif isinstance(value, List):
        for element in value:
            digest = mixed(digest, element)
    elif isinstance(value, Stream):
        for id, pairs in value.range(0, MAX_ID):
            digest = mixed(digest, b"%d.%d" % (id >> 64, id & _SEQUENCE_MASK))
            for text in pairs:
                digest = mixed(digest, text)
    else:
        for part in _unordered(value):
            digest ^= part
    return digest ^ _sum(_EXPIRE) if has_expiry else digest


def _type_code(value: Value) -> int:
    if isinstance(value, int | bytes | bytearray):
        return 0
    return {b"list": 1, b"set": 2, b"zset": 3, b"hash": 4, b"stream": 6, b"vectorset": 5}[value.type_name]


def _unordered(value: Value) -> Iterator[int]:
    if isinstance(value, Set):
        for member in value:
            yield _sum(member)
    elif isinstance(value, SortedSet):
        for score, member in value:
            pair = mixed(mixed(0, member), format_shortest(score))
            yield _sum(pair.to_bytes(DIGEST_BYTES, "big"))
    elif isinstance(value, VectorSet):
        yield _vectors(value)
    else:
        assert isinstance(value, Hash)
        for field, text in value.items():
            pair = mixed(mixed(0, field), text)
            if value.deadlines is not None and value.deadlines.get(field) is not None:
                pair ^= _sum(_FIELD_EXPIRE)
            yield _sum(pair.to_bytes(DIGEST_BYTES, "big"))


def _vectors(value: VectorSet) -> int:
    """How many and how long, then each element with what is stored of its vector: added up apart, as of a module."""
    total = _sum(mixed(mixed(0, b"%d" % len(value)), b"%d" % value.dimension).to_bytes(DIGEST_BYTES, "big"))
    for element in value.elements():
        vector = value.vector(element)
        assert vector is not None
        pair = mixed(mixed(0, value.space.raw(vector)), element)
        attributes = value.attributes.get(element)
        pair = pair if attributes is None else mixed(pair, attributes)
        total ^= _sum(pair.to_bytes(DIGEST_BYTES, "big"))
    return _sum(total.to_bytes(DIGEST_BYTES, "big"))


class Database(Protocol):
    """What a database has to have to be summed."""

    @property
    def index(self) -> int: ...
    @property
    def table(self) -> Table[Value]: ...
    def __len__(self) -> int: ...
    def expiry(self, key: bytes) -> int | None: ...


def dataset_digest(dbs: Iterable[Database]) -> int:
    """The sum over all keys of all databases."""
    total = 0
    for db in dbs:
        if len(db):
            total = mixed(total, db.index.to_bytes(4, "big"))
            for key, value in db.table.items():
                pair = value_digest(value, db.expiry(key) is not None, mixed(0, key))
                total ^= _sum(pair.to_bytes(DIGEST_BYTES, "big"))
    return total
