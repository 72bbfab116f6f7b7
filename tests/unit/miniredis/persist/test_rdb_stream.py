"""What stands beside a stream in a file: read as it was written, and refused where it is damaged."""

from __future__ import annotations

from base64 import b64decode, b64encode
from random import Random

import pytest

from miniredis.engine.settings import Settings
from miniredis.persist.rdb_format import AUX_MARK, STREAM_LISTPACKS_2, Reader
from miniredis.persist.rdb_load import decode
from miniredis.persist.rdb_stream import ACTIVE_TIMES, encode_stream_beside, take_active_times
from miniredis.structures.stream import Stream
from miniredis.structures.stream_groups import Group


def polled() -> Stream:
    value = Stream()
    for name in (b"g", b"\0 other", b"12"):
        group = value.groups[name] = Group(0, 0)
        group.create_consumer(b"polls", 1000).active_time = -1
        group.create_consumer(b"\r\n", 2000).active_time = 1500
        group.create_consumer(b"77", 3000).active_time = 3000
    return value


def times(value: Stream) -> dict[bytes, list[tuple[bytes, int, int]]]:
    return {
        name: [(each.name, each.seen_time, each.active_time) for each in group.sorted_consumers()]
        for name, group in value.groups.items()
    }


def beside(value: Stream) -> tuple[Stream, bytes]:
    """The stream as a reader has it before it reads the field, and the field."""
    body, field = encode_stream_beside(value, False)
    assert body[0] == STREAM_LISTPACKS_2
    assert field[:1] == AUX_MARK
    reader = Reader(field[1:])
    assert reader.string() == ACTIVE_TIMES
    loaded = decode(STREAM_LISTPACKS_2, Reader(body[1:]), Settings())
    assert isinstance(loaded, Stream)
    return loaded, reader.string()


def test_active_times_come_back() -> None:
    """After a restart a consumer that only polled would seem to have read something."""
    value = polled()
    loaded, told = beside(value)
    assert times(loaded) != times(value)
    take_active_times(loaded, told)
    assert times(loaded) == times(value)


def test_damaged_active_times_are_refused() -> None:
    """A damaged file would end the server with something else than what it says of damaged files."""
    loaded, told = beside(polled())
    chance = Random(5)
    raw = b64decode(told)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(raw[: chance.randrange(1, len(raw) + 1)])
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            take_active_times(loaded, b64encode(damaged))
        except ValueError:
            refused += 1
    assert refused > 2000
    with pytest.raises(ValueError):
        take_active_times(loaded, b"no base64!")
    with pytest.raises(ValueError):
        take_active_times(Stream(), told)
