"""Streams as RDB writes them: their nodes as they lie, and who has read how far.

    nodes (16-byte id, listpack)*    length, last id    [2, 3: first id, greatest deleted id, entries added]
    groups ( name, last id, [2, 3: entries read]
             pending (16-byte id, time i64, count)*
             consumers ( name, seen i64, [3: active i64], pending (16-byte id)* )* )*

In a file that Redis 7.0 is to read, what only type 21 has follows the stream: an AUX field that Redis does not look at.

    "consumers-active"    base64, as checkers print it:  ( group, ( consumer, active i64 )* )*    seen at another time

An id is two lengths, milliseconds and sequence, where it is not said to have 16 bytes, which stand high first. Each
list begins with its length. Types 15, 19 and 21 (`_2`, `_3`) are the same thing with a little more each time.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final

from miniredis.persist import rdb_format as rdb
from miniredis.persist.rdb_format import Reader
from miniredis.structures.stream import Stream
from miniredis.structures.stream_groups import Consumer, Group

ACTIVE_TIMES: Final = b"consumers-active"

_ID_BYTES: Final = 16
_SEQUENCE_MASK: Final = (1 << 64) - 1
_INT64_MAX: Final = (1 << 63) - 1


# ── writing ────────────────────────────────────────────────────────────────────────────────────────────


def encode_stream(value: Stream, is_compressed: bool) -> bytes:
    """Type byte and stream. The newest type only where a consumer was active at another time than it was last seen."""
    is_common = not any(_active_elsewhen(group) for group in value.groups.values())
    return _encode(value, rdb.STREAM_LISTPACKS_2 if is_common else rdb.STREAM_LISTPACKS_3, is_compressed)


def encode_stream_beside(value: Stream, is_compressed: bool) -> tuple[bytes, bytes]:
    """Type byte and stream as Redis 7.0 reads it, and the AUX field that follows."""
    parts = []
    for name, group in value.groups.items():
        consumers = _active_elsewhen(group)
        parts += [rdb.string(name, False), rdb.length(len(consumers))]
        for each in consumers:
            parts += (rdb.string(each.name, False), rdb.milliseconds(each.active_time))
    told = rdb.string(b64encode(b"".join(parts)), is_compressed)
    beside = rdb.AUX_MARK + rdb.string(ACTIVE_TIMES, False) + told
    return _encode(value, rdb.STREAM_LISTPACKS_2, is_compressed), beside


def _active_elsewhen(group: Group) -> list[Consumer]:
    return [each for each in group.consumers.values() if each.active_time != each.seen_time]


def _encode(value: Stream, kind: int, is_compressed: bool) -> bytes:
    nodes = list(value.nodes())
    parts = [bytes((kind,)), rdb.length(len(nodes))]
    for master, blob in nodes:
        parts += (rdb.string(_raw(master), is_compressed), rdb.string(blob, is_compressed))
    parts += (rdb.length(len(value)), _id(value.last_id), _id(value.first_id), _id(value.max_deleted_id))
    parts += (rdb.length(value.entries_added & _SEQUENCE_MASK), rdb.length(len(value.groups)))
    for name in sorted(value.groups):
        parts += _group(name, value.groups[name], kind, is_compressed)
    return b"".join(parts)


def _id(id: int) -> bytes:
    return rdb.length(id >> 64) + rdb.length(id & _SEQUENCE_MASK)


def _raw(id: int) -> bytes:
    return id.to_bytes(_ID_BYTES, "big")


def _group(name: bytes, group: Group, kind: int, is_compressed: bool) -> list[bytes]:
    parts = [rdb.string(name, is_compressed), _id(group.last_id), rdb.length(group.entries_read & _SEQUENCE_MASK)]
    parts.append(rdb.length(len(group.pending)))
    for id, pending in group.pending.items():
        parts += (
            _raw(id),
            rdb.milliseconds(pending.delivery_time),
            rdb.length(pending.delivery_count & _SEQUENCE_MASK),
        )
    parts.append(rdb.length(len(group.consumers)))
    for consumer in group.sorted_consumers():
        parts += (rdb.string(consumer.name, is_compressed), rdb.milliseconds(consumer.seen_time))
        if kind == rdb.STREAM_LISTPACKS_3:
            parts.append(rdb.milliseconds(consumer.active_time))
        parts.append(rdb.length(len(consumer.ids)))
        parts += map(_raw, consumer.ids)
    return parts


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────


def load_stream(kind: int, reader: Reader) -> Stream:
    """A stream of one of the three types; ValueError if it does not hold together."""
    value = Stream()
    for _ in range(reader.count(2)):
        master = reader.string()
        if len(master) != _ID_BYTES:
            raise ValueError("a stream node without an id")
        value.add_node(int.from_bytes(master, "big"), reader.string(), deep=True)
    if reader.length() != len(value):
        raise ValueError("a stream of another length")
    value.last_id = _read_id(reader)
    value.entries_added = len(value)
    if kind != rdb.STREAM_LISTPACKS:
        _read_id(reader)
        value.max_deleted_id = _read_id(reader)
        value.entries_added = _signed(reader.length())
    value.settle()
    for _ in range(reader.count(5)):
        _read_group(value, kind, reader)
    return value


def take_active_times(value: Stream, told: bytes) -> None:
    """What stood beside it. ValueError if it is not of this stream."""
    reader = Reader(b64decode(told, validate=True))
    while reader.left:
        group = value.groups.get(reader.string())
        for _ in range(reader.count(9)):
            consumer = None if group is None else group.consumers.get(reader.string())
            if consumer is None:
                raise ValueError("a consumer's time that is of nobody")
            consumer.active_time = reader.milliseconds()


def _read_id(reader: Reader) -> int:
    return reader.length() << 64 | reader.length()


def _signed(number: int) -> int:
    return number - (1 << 64) if number > _INT64_MAX else number


def _read_group(value: Stream, kind: int, reader: Reader) -> None:
    name = reader.string()
    if name in value.groups:
        raise ValueError("a group twice")
    last_id = _read_id(reader)
    read = value.entries_until(last_id) if kind == rdb.STREAM_LISTPACKS else _signed(reader.length())
    group = value.groups[name] = Group(last_id, read)
    waiting: dict[int, tuple[int, int]] = {}
    for _ in range(reader.count(_ID_BYTES + 9)):
        id = int.from_bytes(reader.take(_ID_BYTES), "big")
        if id in waiting:
            raise ValueError("a pending entry twice")
        waiting[id] = reader.milliseconds(), _signed(reader.length())
    for _ in range(reader.count(10)):
        _read_consumer(group, kind, reader, waiting)
    if waiting:
        raise ValueError("a pending entry that nobody has")


def _read_consumer(group: Group, kind: int, reader: Reader, waiting: dict[int, tuple[int, int]]) -> Consumer:
    """One consumer, which takes what it was given out of `waiting`."""
    name = reader.string()
    if name in group.consumers:
        raise ValueError("Duplicate stream consumer detected")
    seen = reader.milliseconds()
    consumer = group.create_consumer(name, seen)
    consumer.active_time = reader.milliseconds() if kind == rdb.STREAM_LISTPACKS_3 else seen
    for _ in range(reader.count(_ID_BYTES)):
        id = int.from_bytes(reader.take(_ID_BYTES), "big")
        found = waiting.pop(id, None)
        if found is None:
            raise ValueError("a consumer's entry that its group does not know")
        group.deliver(id, consumer, *found)
    return consumer
