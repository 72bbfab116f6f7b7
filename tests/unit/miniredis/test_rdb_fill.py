"""Strings of an RDB file, read many at a time, against the same file read key by key."""

from __future__ import annotations

import tempfile
from random import Random

import pytest

from miniredis.engine.settings import Settings
from miniredis.keyspace.db import Db, Keyspace
from miniredis.persist import rdb_format as rdb
from miniredis.persist import rdb_read
from miniredis.persist.rdb_fill import RESERVED_LEAST, Filler
from miniredis.persist.rdb_read import Damaged, RdbReader, Strings
from protocol.disk.files import Disk, File

NOW_MS = 1_700_000_000_000
TEXTS = (b"", b"x", b"word", b"-", b"-7", b"007", b"12", b"300", b"70000", b"4294967296", b"-9223372036854775808",
         b"9223372036854775808", b"\0" * 63, b"y" * 64, b"z" * 5000, b"w" * 20_000, b"abc" * 40)  # fmt: skip


def text(random: Random) -> bytes:
    return rdb.string(random.choice(TEXTS), random.random() < 0.1)


def body(random: Random, keys: int) -> bytes:
    """Strings in all their ways of being written, some with an end or an idle time, and sets between them."""
    parts = []
    for number in range(keys):
        name = rdb.string(b"%d:%d" % (number, number) + random.choice((b"", b"k" * 70)), random.random() < 0.1)
        if random.random() < 0.3:
            parts.append(rdb.EXPIRY_MARK + rdb.milliseconds(NOW_MS + random.randrange(-2, 9)))
        if random.random() < 0.05:
            parts.append(rdb.IDLE_MARK + rdb.length(random.randrange(1000)))
        if random.random() < 0.05:
            parts.append(bytes((rdb.SET,)) + name + rdb.length(1) + text(random))
        else:
            parts.append(bytes((rdb.STRING,)) + name + text(random))
    return b"".join(parts)


def file(content: bytes, end: bytes = rdb.EOF_MARK + bytes(8)) -> File:
    with tempfile.TemporaryDirectory() as directory:
        made = Disk().open(f"{directory}/dump.rdb")  # read from its descriptor, whatever becomes of its name
        made.append(b"REDIS0010" + content + end)
        return made


def fill(content: bytes, *, gathers: bool, before: dict[bytes, bytes] | None = None, replaces: bool = False) -> Db:
    """A database with what the file has, looked through."""
    db = Keyspace(1, Random(1)).dbs[0]
    for key, value in (before or {}).items():
        db.put(key, value)
    reader = RdbReader(file(content), Settings(), checks_sum=False, tell=str)
    reader.gathers = gathers
    filler = Filler(reader, [db], replaces=replaces, drops_before_ms=NOW_MS, expired=lambda index, key: None)
    for entry in reader.entries():
        filler.add(entry)
    for _ in filler.finish():
        pass
    assert filler.keys == db.table.size - len(before or {}) or replaces
    return db


def seen(db: Db) -> dict[bytes, tuple[object, int | None]]:
    return {
        key: (value if isinstance(value, bytes | int) else sorted(value.members()), db.expiry(key))  # type: ignore[attr-defined]
        for key, value in db.table.items()
    }


@pytest.mark.parametrize("window", [80, 4096, 1 << 20])
@pytest.mark.parametrize("before", [{}, {b"old": b"value"}])
def test_strings_many_at_a_time_are_those_one_by_one(
    window: int, before: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loaded file would have other values or ends than were saved, or memory would be counted wrongly."""
    monkeypatch.setattr(rdb_read, "WINDOW_BYTES", window)
    content = body(Random(window), 1500)
    alone = fill(content, gathers=False, before=before)
    together = fill(content, gathers=True, before=before)
    assert seen(together) == seen(alone)
    assert len(seen(alone)) > 1000
    assert {type(value) for value in dict(together.table.items()).values()} >= {int, bytes}
    together.keyspace.settle_count()
    alone.keyspace.settle_count()
    assert together.counted_bytes == alone.counted_bytes


def test_strings_do_come_many_at_a_time() -> None:
    """The test before would compare one way with itself."""
    content = b"".join([b"\0" + rdb.string(b"key:%d" % number, False) + b"\1v" for number in range(3000)])
    reader = RdbReader(file(content), Settings(), checks_sum=False, tell=str)
    reader.gathers = True
    found = list(reader.entries())
    assert all(isinstance(each, Strings) for each in found)
    assert sum(len(each.keys) for each in found if isinstance(each, Strings)) == 3000
    assert len(found) == 3


@pytest.mark.parametrize("gathers", [False, True])
@pytest.mark.parametrize("before", [{}, {b"old": b"value"}])
def test_a_key_twice_is_damage(gathers: bool, before: dict[bytes, bytes]) -> None:
    """A file with a key twice would be loaded with one of its values, or make a table that holds the key twice."""
    content = b"\0\4name\1a" + b"\0\4othe\1b" + b"\0\4name\1c"
    with pytest.raises(Damaged, match="duplicated key 'name' in DB 0"):
        fill(content, gathers=gathers, before=before)
    assert fill(content, gathers=gathers, before=before, replaces=True).string(b"name") == b"c"


@pytest.mark.parametrize("announced", [0, RESERVED_LEAST, 1 << 40])
def test_a_count_that_lies_takes_no_memory(announced: int) -> None:
    """A file of a few bytes that announces a trillion keys would take all memory there is, or lose those it has."""
    keys = b"".join([b"\0" + rdb.string(b"key:%d" % number, False) + b"\1v" for number in range(9000)])
    content = rdb.RESIZE_MARK + rdb.length(announced) + rdb.length(announced) + keys
    db = fill(content, gathers=True)
    assert db.table.size == 9000
    assert all(db.string(b"key:%d" % number) == b"v" for number in range(9000))
    most = len(content) // rdb_read.LEAST_KEY_BYTES
    assert sum(len(shard.spots) for shard in db.table.shards) < 4 * most


def test_a_file_cut_anywhere_is_refused() -> None:
    """The end of a file that a crash has cut would be taken for the last key's value."""
    content = rdb.RESIZE_MARK + b"\5\1" + body(Random(5), 5)
    for size in range(0, len(content), 1 + len(content) // 300):
        cut = file(content[:size], b"")
        reader = RdbReader(cut, Settings(), checks_sum=False, tell=str)
        reader.gathers = True
        with pytest.raises(Damaged):
            list(reader.entries())
        cut.close()
