"""Values as RDB writes them: a type byte and what belongs to it.

Law 1: the bytes are Redis's. What lies as a listpack or an intset is written as one; without compression equal values
       built by equal commands give the bytes a real server gives.
Law 2: the type chosen is the oldest that holds the value without loss, so that Redis 7.0 reads it: small sets of text
       go as plain sets, streams without the time a consumer was last active where that is the time it was last seen
       (a file has it beside where not, a DUMP needs Redis 7.2 then). Only fields that expire need Redis 7.4.
"""

from __future__ import annotations

from itertools import chain

from miniredis.keyspace.value import Value
from miniredis.persist import rdb_format as rdb
from miniredis.persist.rdb_stream import encode_stream
from miniredis.persist.rdb_vectors import encode_vectors
from miniredis.structures import listpack
from miniredis.structures.chunks import List
from miniredis.structures.field_deadlines import FieldDeadlines
from miniredis.structures.hash import Hash
from miniredis.structures.legacy import write_intset
from miniredis.structures.sets import INTSET, Set
from miniredis.structures.stream import Stream
from miniredis.structures.vector_set import VectorSet
from miniredis.structures.zset import SortedSet
from protocol.resp.numbers import WHOLE_LIMIT, format_double


def dump(value: Value, *, is_compressed: bool) -> bytes:
    """What DUMP answers: type, value, version and checksum."""
    body = encode(value, is_compressed=is_compressed)
    return rdb.sealed(body, rdb.version_of(body[0]))


def encode(value: Value, *, is_compressed: bool) -> bytes:
    """The type byte and the value. `is_compressed` (rdbcompression): long strings in it may be LZF."""
    if isinstance(value, int):
        return b"\0" + rdb.integer(value)
    if isinstance(value, bytes):
        return b"\0" + rdb.string(value, is_compressed)
    if isinstance(value, bytearray):
        return b"\0" + rdb.string(bytes(value), is_compressed)
    if isinstance(value, List):
        return _list(value, is_compressed)
    if isinstance(value, Hash):
        return _hash(value, is_compressed)
    if isinstance(value, Set):
        return _set(value, is_compressed)
    if isinstance(value, Stream):
        return encode_stream(value, is_compressed)
    if isinstance(value, VectorSet):
        return encode_vectors(value, is_compressed)
    assert isinstance(value, SortedSet)
    return _zset(value, is_compressed)


def _typed(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + body


def _list(value: List, is_compressed: bool) -> bytes:
    runs = value.runs()
    parts = [rdb.length(len(runs))]
    for run in runs:
        if run.is_plain:
            parts += (rdb.length(rdb.PLAIN), rdb.string(run.peek()[0], is_compressed))
        else:
            parts += (rdb.length(rdb.PACKED), rdb.string(listpack.encode(run.peek()), is_compressed))
    return _typed(rdb.LIST_QUICKLIST_2, b"".join(parts))


def _strings(count: int, texts: list[bytes], is_compressed: bool) -> bytes:
    string = rdb.string
    return rdb.length(count) + b"".join([string(text, is_compressed) for text in texts])


def _set(value: Set, is_compressed: bool) -> bytes:
    if value.form == INTSET:
        return _typed(rdb.SET_INTSET, rdb.string(write_intset(value.integers()), is_compressed))
    return _typed(rdb.SET, _strings(len(value), value.members(), is_compressed))


def _zset(value: SortedSet, is_compressed: bool) -> bytes:
    if value.encoding == b"listpack":
        items = chain.from_iterable((member, score_item(score)) for score, member in value)
        return _typed(rdb.ZSET_LISTPACK, rdb.string(listpack.encode(items), is_compressed))
    # Greatest first: who loads it then always puts the next one at the front.
    entries = list(value)
    parts = [rdb.length(len(entries))]
    for score, member in reversed(entries):
        parts += (rdb.string(member, is_compressed), rdb.double(score))
    return _typed(rdb.ZSET_2, b"".join(parts))


def score_item(score: float) -> bytes | int:
    """A score as it stands in a listpack: a number where it is whole, the shortest text otherwise."""
    if -WHOLE_LIMIT <= score <= WHOLE_LIMIT and (whole := int(score)) == score:
        return whole
    return format_double(score)


def _hash(value: Hash, is_compressed: bool) -> bytes:
    items = value.items()
    deadlines = value.deadlines
    first = deadlines.first() if deadlines is not None else None
    if deadlines is not None and first is not None:
        if value.encoding == b"hashtable":
            return _typed(rdb.HASH_METADATA, _ending_fields(items, deadlines, first, is_compressed))
        packed = listpack.encode([part for field, text in items for part in (field, text, deadlines.get(field) or 0)])
        return _typed(rdb.HASH_LISTPACK_EX, rdb.milliseconds(first) + rdb.string(packed, is_compressed))
    texts = list(chain.from_iterable(items))
    if value.encoding == b"hashtable":
        return _typed(rdb.HASH, _strings(len(items), texts, is_compressed))
    return _typed(rdb.HASH_LISTPACK, rdb.string(listpack.encode(texts), is_compressed))


def _ending_fields(
    items: list[tuple[bytes, bytes]], deadlines: FieldDeadlines, first: int, is_compressed: bool
) -> bytes:
    """Fields with how long after the first of them they end, plus one; 0: never."""
    parts = [rdb.milliseconds(first), rdb.length(len(items))]
    for field, text in items:
        instant = deadlines.get(field)
        parts.append(rdb.length(0 if instant is None else instant - first + 1))
        parts += (rdb.string(field, is_compressed), rdb.string(text, is_compressed))
    return b"".join(parts)
