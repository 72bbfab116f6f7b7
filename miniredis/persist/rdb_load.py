"""Values from what RDB wrote, of every version from the first to the one Redis 7.4 writes.

Law 1: nothing is believed. Whatever a payload says is checked against the bytes that are there before memory is taken
       for it, and what does not hold together – a count, an order, a member twice, a number that is none – is a
       ValueError. Redis asks for such care by sanitize-dump-payload; here nothing is read without it.
Law 2: the form a value takes follows Redis: what was written packed stays packed unless there are more elements than
       the settings allow, what was written plain is packed where they allow it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from miniredis.keyspace.value import Value, compact
from miniredis.persist import rdb_format as rdb
from miniredis.persist.rdb_format import Reader
from miniredis.persist.rdb_stream import load_stream
from miniredis.persist.rdb_vectors import load_vectors
from miniredis.structures import listpack
from miniredis.structures.chunks import List
from miniredis.structures.hash import Hash
from miniredis.structures.legacy import read_intset, ziplist, zipmap
from miniredis.structures.packed import HEADER_BYTES, entry_size
from miniredis.structures.runs import Run, packed_run, plain_run
from miniredis.structures.sets import HASHTABLE, LISTPACK, Set
from miniredis.structures.zset import SortedSet

# Longer than any string: for what was written packed, whose elements are not measured again.
_ANY_LENGTH: Final = 1 << 62
# The latest instant at which a field may end (ms since 1970): Redis keeps 48 bits of it.
_MAX_INSTANT: Final = (1 << 48) - 1


class Empty(ValueError):
    """A collection without elements, which nobody may have; it was read to its end."""


class Limits(Protocol):
    """The directives that decide the form of a value (the settings object has them)."""

    @property
    def hash_max_listpack_entries(self) -> int: ...
    @property
    def hash_max_listpack_value(self) -> int: ...
    @property
    def list_max_listpack_size(self) -> int: ...
    @property
    def list_compress_depth(self) -> int: ...
    @property
    def set_max_intset_entries(self) -> int: ...
    @property
    def set_max_listpack_entries(self) -> int: ...
    @property
    def set_max_listpack_value(self) -> int: ...
    @property
    def zset_max_listpack_entries(self) -> int: ...
    @property
    def zset_max_listpack_value(self) -> int: ...


class _PackedZset(NamedTuple):
    """The limits of a sorted set that was written packed: only how many entries there are counts."""

    zset_max_listpack_entries: int
    zset_max_listpack_value: int = _ANY_LENGTH


class _PackedSet(NamedTuple):
    set_max_intset_entries: int
    set_max_listpack_entries: int
    set_max_listpack_value: int = _ANY_LENGTH


def restore(payload: bytes, limits: Limits) -> Value:
    """The value of a payload whose footer was taken off. ValueError where there is none, or an empty collection.

    As in Redis, what comes after the value is not looked at."""
    reader = Reader(payload)
    return decode(reader.byte(), reader, limits)


def decode(kind: int, reader: Reader, limits: Limits) -> Value:
    """Read a value of this type on from where the reader is; ValueError if there is none, or it is empty."""
    load = _LOADERS.get(kind)
    if load is None:
        raise ValueError(f"Unknown RDB encoding type {kind}")
    try:
        return load(reader, limits)
    except Empty:
        raise
    except ValueError as error:
        raise ValueError(f"{_NAMES.get(kind, 'Value')} integrity check failed: {error}") from None


def _module(reader: Reader, limits: Limits) -> Value:
    """Of the modules there are, one brings a type that is here: vector sets."""
    return load_vectors(reader)


# ── strings and lists ──────────────────────────────────────────────────────────────────────────────────


def _string(reader: Reader, limits: Limits) -> Value:
    return compact(reader.string())


def _nonempty(number: int) -> int:
    if not number:
        raise Empty("a collection without elements")
    return number


def _list(reader: Reader, limits: Limits) -> Value:
    """The oldest lists: elements one after the other."""
    fill = limits.list_max_listpack_size
    chain = List.restored([], fill, limits.list_compress_depth, is_chained=True)
    chain.push_tail([reader.string() for _ in range(_nonempty(reader.count(1)))], fill)
    return List.restored(chain.runs(), fill, limits.list_compress_depth)


def _list_ziplist(reader: Reader, limits: Limits) -> Value:
    items = ziplist(reader.string())
    _nonempty(len(items))
    fill = limits.list_max_listpack_size
    chain = List.restored([], fill, limits.list_compress_depth, is_chained=True)
    chain.push_tail(items, fill)
    return chain


def _quicklist(reader: Reader, limits: Limits) -> Value:
    runs = [_run(ziplist(_node(reader))) for _ in range(_nonempty(reader.count(1)))]
    return _of_runs(runs, limits)


def _quicklist_2(reader: Reader, limits: Limits) -> Value:
    runs: list[Run] = []
    for _ in range(_nonempty(reader.count(2))):
        container = reader.length()
        blob = _node(reader)
        if container == rdb.PLAIN:
            runs.append(plain_run(blob))
        elif container == rdb.PACKED:
            runs.append(_run(_texts(listpack.checked(blob))))
        else:
            raise ValueError("a list node of no known kind")
    return _of_runs(runs, limits)


def _node(reader: Reader) -> bytes:
    blob = reader.string()
    if not blob:
        raise ValueError("a list node without bytes")
    return blob


def _texts(items: list[bytes | int]) -> list[bytes]:
    return [item if isinstance(item, bytes) else b"%d" % item for item in items]


def _run(items: list[bytes]) -> Run:
    return packed_run(items[0]) if len(items) == 1 else Run(items, HEADER_BYTES + sum(map(entry_size, items)))


def _of_runs(runs: list[Run], limits: Limits) -> List:
    filled = [run for run in runs if run.items]
    _nonempty(len(filled))
    return List.restored(filled, limits.list_max_listpack_size, limits.list_compress_depth)


# ── sets ───────────────────────────────────────────────────────────────────────────────────────────────


def _set(reader: Reader, limits: Limits) -> Value:
    count = _nonempty(reader.count(1))
    value = Set(HASHTABLE) if count > limits.set_max_intset_entries else Set()
    for _ in range(count):
        if not value.add(reader.string(), limits):
            raise ValueError("a member twice")
    value.rest()
    return value


def _intset(reader: Reader, limits: Limits) -> Value:
    return Set.of_integers(read_intset(reader.string()), limits)


def _set_listpack(reader: Reader, limits: Limits) -> Value:
    members = _texts(listpack.checked(reader.string()))
    most = limits.set_max_listpack_entries
    value = Set(LISTPACK if len(members) <= most else HASHTABLE)
    if value.update(members, _PackedSet(0, most)) != _nonempty(len(members)):
        raise ValueError("a member twice")
    value.rest()
    return value


# ── sorted sets ────────────────────────────────────────────────────────────────────────────────────────


def _zset(reader: Reader, limits: Limits) -> Value:
    """The oldest sorted sets: scores as text."""
    return _scored([(reader.string(), reader.text_double()) for _ in range(reader.count(2))], limits)


def _zset_2(reader: Reader, limits: Limits) -> Value:
    return _scored([(reader.string(), reader.double()) for _ in range(reader.count(9))], limits)


def _zset_listpack(reader: Reader, limits: Limits) -> Value:
    return _packed_zset(listpack.checked(reader.string()), limits)


def _zset_ziplist(reader: Reader, limits: Limits) -> Value:
    return _packed_zset(ziplist(reader.string()), limits)


def _packed_zset(items: Sequence[bytes | int], limits: Limits) -> SortedSet:
    _even(items)
    pairs = [
        (member if isinstance(member, bytes) else b"%d" % member, _score(score))
        for member, score in zip(items[::2], items[1::2], strict=True)
    ]
    return _scored(pairs, _PackedZset(limits.zset_max_listpack_entries))


def _score(item: bytes | int) -> float:
    return float(item) if isinstance(item, int) else rdb.decimal(item)


class _ZsetLimits(Protocol):
    @property
    def zset_max_listpack_entries(self) -> int: ...
    @property
    def zset_max_listpack_value(self) -> int: ...


def _scored(pairs: list[tuple[bytes, float]], limits: _ZsetLimits) -> SortedSet:
    scores = dict(pairs)
    if len(scores) != _nonempty(len(pairs)):
        raise ValueError("a member twice")
    if any(score != score for score in scores.values()):
        raise ValueError("a score that is no number")
    zset = SortedSet.from_scores(scores, limits)
    zset.rest()
    return zset


# ── hashes ─────────────────────────────────────────────────────────────────────────────────────────────


def _hash(reader: Reader, limits: Limits) -> Value:
    texts = [reader.string() for _ in range(2 * _nonempty(reader.count(2)))]
    return _filled(texts, limits.hash_max_listpack_entries, limits.hash_max_listpack_value)


def _hash_zipmap(reader: Reader, limits: Limits) -> Value:
    texts = zipmap(reader.string())
    return _filled(texts, limits.hash_max_listpack_entries, limits.hash_max_listpack_value)


def _hash_ziplist(reader: Reader, limits: Limits) -> Value:
    return _filled(ziplist(reader.string()), limits.hash_max_listpack_entries, _ANY_LENGTH)


def _hash_listpack(reader: Reader, limits: Limits) -> Value:
    return _filled(_texts(listpack.checked(reader.string())), limits.hash_max_listpack_entries, _ANY_LENGTH)


def _even(items: Sequence[object]) -> None:
    if len(items) % 2:
        raise ValueError("a pair that is none")


def _filled(texts: list[bytes], max_entries: int, max_value: int) -> Hash:
    """A hash of fields and values in turn."""
    _even(texts)
    _nonempty(len(texts))
    value = Hash()
    value.prepare(texts, max_entries, max_value)
    for at in range(0, len(texts), 2):
        if not value.set(texts[at], texts[at + 1], max_entries, max_value):
            raise ValueError("a field twice")
    value.rest()
    return value


# Fields that end. Of the two pre-release types one lacks the earliest instant, the other has instants as they are.


def _hash_metadata(reader: Reader, limits: Limits) -> Value:
    return _ending_hash(reader, limits, reader.milliseconds())


def _hash_metadata_pre_ga(reader: Reader, limits: Limits) -> Value:
    return _ending_hash(reader, limits, None)


def _ending_hash(reader: Reader, limits: Limits, first: int | None) -> Value:
    texts: list[bytes] = []
    instants: list[int] = []
    for _ in range(reader.count(3)):
        instant = reader.length()
        if instant and first is not None:
            instant += first - 1
        instants.append(_checked_instant(instant))
        texts += (reader.string(), reader.string())
    value = _filled(texts, limits.hash_max_listpack_entries, limits.hash_max_listpack_value)
    return _ending(value, texts[::2], instants)


def _hash_listpack_ex(reader: Reader, limits: Limits) -> Value:
    reader.milliseconds()
    return _hash_listpack_ex_pre_ga(reader, limits)


def _hash_listpack_ex_pre_ga(reader: Reader, limits: Limits) -> Value:
    items = listpack.checked(reader.string())
    if len(items) % 3:
        raise ValueError("a field without its instant")
    instants = [_checked_instant(item) for item in items[2::3]]
    _check_order(instants)
    fields, texts = _texts(items[::3]), _texts(items[1::3])
    pairs = [text for pair in zip(fields, texts, strict=True) for text in pair]
    return _ending(_filled(pairs, limits.hash_max_listpack_entries, _ANY_LENGTH), fields, instants)


def _checked_instant(instant: bytes | int) -> int:
    if not isinstance(instant, int) or not 0 <= instant <= _MAX_INSTANT:
        raise ValueError("an instant that is none")
    return instant


def _check_order(instants: list[int]) -> None:
    """The fields that end come first, in the order in which they do."""
    known = [instant for instant in instants if instant]
    if known != sorted(known) or any(instants[len(known) :]):
        raise ValueError("fields out of order")


def _ending(value: Hash, fields: list[bytes], instants: list[int]) -> Hash:
    """A hash whose fields end at these instants, 0: never. As Redis has it, one that could have such fields is not
    again an ordinary small hash."""
    value.heed_deadlines()
    for field, instant in zip(fields, instants, strict=True):
        if instant:
            value.expire(field, instant)
    return value


# ── streams ────────────────────────────────────────────────────────────────────────────────────────────


def _stream(reader: Reader, limits: Limits) -> Value:
    return load_stream(rdb.STREAM_LISTPACKS, reader)


def _stream_2(reader: Reader, limits: Limits) -> Value:
    return load_stream(rdb.STREAM_LISTPACKS_2, reader)


def _stream_3(reader: Reader, limits: Limits) -> Value:
    return load_stream(rdb.STREAM_LISTPACKS_3, reader)


# What Redis calls them in its log.
_NAMES: Final = {
    rdb.STRING: "String",
    rdb.LIST: "List",
    rdb.SET: "Set",
    rdb.ZSET: "Zset",
    rdb.ZSET_2: "Zset",
    rdb.HASH: "Hash",
    rdb.HASH_METADATA: "Hash",
    rdb.HASH_METADATA_PRE_GA: "Hash",
    rdb.HASH_ZIPMAP: "Zipmap",
    rdb.LIST_ZIPLIST: "List ziplist",
    rdb.SET_INTSET: "Intset",
    rdb.SET_LISTPACK: "Set listpack",
    rdb.ZSET_ZIPLIST: "Zset ziplist",
    rdb.ZSET_LISTPACK: "Zset listpack",
    rdb.HASH_ZIPLIST: "Hash ziplist",
    rdb.HASH_LISTPACK: "Hash listpack",
    rdb.HASH_LISTPACK_EX: "Hash listpackex",
    rdb.HASH_LISTPACK_EX_PRE_GA: "Hash listpackex",
    rdb.LIST_QUICKLIST: "Quicklist ziplist",
    rdb.LIST_QUICKLIST_2: "Quicklist listpack",
    rdb.STREAM_LISTPACKS: "Stream listpack",
    rdb.STREAM_LISTPACKS_2: "Stream listpack",
    rdb.STREAM_LISTPACKS_3: "Stream listpack",
}

_LOADERS: Final[dict[int, Callable[[Reader, Limits], Value]]] = {
    rdb.STRING: _string,
    rdb.LIST: _list,
    rdb.SET: _set,
    rdb.ZSET: _zset,
    rdb.HASH: _hash,
    rdb.ZSET_2: _zset_2,
    rdb.HASH_ZIPMAP: _hash_zipmap,
    rdb.LIST_ZIPLIST: _list_ziplist,
    rdb.SET_INTSET: _intset,
    rdb.ZSET_ZIPLIST: _zset_ziplist,
    rdb.HASH_ZIPLIST: _hash_ziplist,
    rdb.LIST_QUICKLIST: _quicklist,
    rdb.HASH_LISTPACK: _hash_listpack,
    rdb.ZSET_LISTPACK: _zset_listpack,
    rdb.LIST_QUICKLIST_2: _quicklist_2,
    rdb.SET_LISTPACK: _set_listpack,
    rdb.HASH_METADATA: _hash_metadata,
    rdb.HASH_METADATA_PRE_GA: _hash_metadata_pre_ga,
    rdb.HASH_LISTPACK_EX: _hash_listpack_ex,
    rdb.HASH_LISTPACK_EX_PRE_GA: _hash_listpack_ex_pre_ga,
    rdb.STREAM_LISTPACKS: _stream,
    rdb.STREAM_LISTPACKS_2: _stream_2,
    rdb.STREAM_LISTPACKS_3: _stream_3,
    rdb.MODULE_2: _module,
}
