"""The backlog: every byte of the stream, by offset, for as long as it is to be had."""

from __future__ import annotations

from random import Random

import pytest

from miniredis.replication.backlog import CHUNK_BYTES, LEAST_BYTES, Backlog
from miniredis.replication.history import NO_ID, History


def read_all(backlog: Backlog, offset: int, most: int) -> bytes:
    data = b""
    while offset + len(data) < backlog.end:
        piece = backlog.read(offset + len(data), most)
        assert 0 < len(piece) <= most
        data += bytes(piece)
    return data


@pytest.mark.parametrize("seed", range(20))
def test_reads_give_what_was_appended(seed: int) -> None:
    """A replica would get other bytes than were fed, or some of them twice."""
    random = Random(seed)
    start = random.choice((0, 1, 10**12))
    backlog, stream = Backlog(random.choice((0, 30_000, 100_000)), start), b""
    for _ in range(400):
        data = random.randbytes(random.choice((1, 14, 100, 3000, CHUNK_BYTES, 3 * CHUNK_BYTES)))
        backlog.append(data)
        stream += data
        if random.random() < 0.3:
            wanted = random.randint(backlog.first, backlog.end)
            expected = stream[wanted - start :][:5000]
            assert bytes(backlog.read(wanted, 5000))[:1] == expected[:1]
            assert read_all(backlog, max(backlog.first, backlog.end - 70_000), 9000) == stream[-min(
                70_000, backlog.end - backlog.first
            ) :]  # fmt: skip
        if random.random() < 0.3:
            held = random.randint(backlog.first, backlog.end)
            backlog.trim(held)
            assert backlog.first <= held
            assert len(backlog) >= min(backlog.size_bytes, len(stream))
    backlog.trim(backlog.end)
    assert len(backlog) < backlog.size_bytes + 4 * CHUNK_BYTES
    assert read_all(backlog, backlog.first, 1 << 30) == stream[backlog.first - start :]


def test_small_sizes_are_raised() -> None:
    """With nothing kept every broken link would cost a full synchronization."""
    assert Backlog(1, 0).size_bytes == LEAST_BYTES


def test_two_readers_of_one_turn_share_the_bytes() -> None:
    """Each replica would have its own copy of the stream."""
    backlog = Backlog(1 << 20, 0)
    for _ in range(50):
        backlog.append(b"one effect of many in a turn")
    assert backlog.read(0, 1 << 20) is backlog.read(0, 1 << 20)


def test_who_is_promoted_answers_for_the_history_before() -> None:
    """Replicas of a failed primary would all need a full synchronization from the new one."""
    history = History(Random(1))
    history.keep(1 << 20)
    history.append(b"x" * 50)
    before = history.id
    history.shift()
    history.append(b"y" * 10)
    assert history.id != before
    assert history.is_known(before, 51)
    assert not history.is_known(before, 52)  # what came after that is not of the old history
    assert history.is_known(history.id.upper(), 61)
    assert not history.is_known(NO_ID, 1)
    history.begin()
    assert not history.is_known(before, 51)


def test_an_adopted_history_is_kept_from_there() -> None:
    """After a full synchronization bytes of another history would be served for this one."""
    history = History(Random(1))
    history.keep(1 << 20)
    history.append(b"old")
    history.adopt(b"f" * 40, 1000)
    assert history.backlog is not None
    assert (history.backlog.first, history.offset, len(history.backlog)) == (1000, 1000, 0)
