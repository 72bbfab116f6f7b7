"""Batches whose header says one thing and whose records are another, or far too many."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from minikafka.log.validate import WALKED_BYTES, WALKED_RECORDS
from protocol.kafka import compression
from protocol.kafka.batch import HEADER_SIZE, BatchHeader
from protocol.kafka.errors import InvalidRecord, MessageTooLarge
from protocol.kafka.records import read_records
from tests.unit.minikafka.log import NOW_MS, batch
from tests.unit.minikafka.log.test_validate import changed, opened

EMPTY_RECORD = b"\x0c\0\0\0\x01\x01\0"  # the shortest there is
MANY = (1 << 31) - 1


def holding(data: bytes, count: int, codec: int = 0) -> memoryview:
    """A batch of that many records, it says, with these bytes for them."""
    body = compression.compress(codec, data) if codec else data
    front = memoryview(bytes(batch())[:HEADER_SIZE] + body)
    return changed(
        front, count=count, last_offset_delta=count - 1, attributes=codec, length=HEADER_SIZE - 12 + len(body)
    )


@pytest.mark.parametrize("count", [MANY, 20])
async def test_more_records_than_fit(tmp_path: Path, count: int) -> None:
    """One batch of 100 bytes would use up two thousand million offsets."""
    log = opened(tmp_path)
    lie = holding(bytes(batch())[HEADER_SIZE:] * 2, count)
    for end in (0, 1):  # the first time the epoch is new, and the short way not taken
        with pytest.raises(InvalidRecord):
            log.append(lie, leader_epoch=0, now_ms=NOW_MS)
        assert log.log_end_offset == end
        log.append(batch(), leader_epoch=0, now_ms=NOW_MS)


@pytest.mark.parametrize("config", [{"is_compacted": True}, {"compression": compression.ZSTD}])
async def test_where_records_are_walked_their_number_is_bounded(tmp_path: Path, config: dict[str, object]) -> None:
    """60 KB of compressed empty records would keep everybody waiting for half a minute, and take 3 GB."""
    log = opened(tmp_path, **config)
    data = EMPTY_RECORD * (WALKED_RECORDS + 1)
    with pytest.raises(MessageTooLarge):
        log.append(holding(data, WALKED_RECORDS + 1, compression.GZIP), leader_epoch=0, now_ms=NOW_MS)
    tracemalloc.start()
    with pytest.raises(InvalidRecord):
        log.append(holding(data, 10, compression.GZIP), leader_epoch=0, now_ms=NOW_MS)
    with pytest.raises(MessageTooLarge):
        log.append(holding(bytes(2 * WALKED_BYTES), 1000, compression.GZIP), leader_epoch=0, now_ms=NOW_MS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * WALKED_BYTES
    assert log.log_end_offset == 0


async def test_another_codec_keeps_the_records(tmp_path: Path) -> None:
    """Records would be lost or changed on their way into the topic's own codec."""
    log = opened(tmp_path, compression=compression.ZSTD)
    made = batch(500, codec=compression.GZIP)
    log.append(made, leader_epoch=0, now_ms=NOW_MS)
    stored = log.active.batch_at(0, log.active.header_at(0))
    assert BatchHeader.peek(stored).codec == compression.ZSTD
    assert read_records(stored) == read_records(made)


async def test_unreadable_records_are_found_by_their_batch(tmp_path: Path) -> None:
    """A batch is taken by its header: whoever looks for a time would be hung up on because of what another wrote."""
    log = opened(tmp_path)
    log.append(batch(), leader_epoch=0, now_ms=NOW_MS)
    log.append(holding(bytes(range(200, 255)) * 4, 5), leader_epoch=0, now_ms=NOW_MS)
    for found in (log.offset_of_max_timestamp(), log.offset_for_time(NOW_MS)):
        assert found is not None
        assert (found.timestamp, found.offset) == (NOW_MS, 0)
    later = changed(holding(bytes(range(200, 255)) * 4, 5), max_timestamp=NOW_MS + 9)
    log.append(later, leader_epoch=0, now_ms=NOW_MS)
    found = log.offset_for_time(NOW_MS + 5)
    assert found is not None
    assert (found.timestamp, found.offset) == (NOW_MS + 9, 6)


async def test_producer_ids_below_none_are_none(tmp_path: Path) -> None:
    """The second batch would be taken for the first come again."""
    log = opened(tmp_path)
    odd = changed(batch(), producer_id=-5, producer_epoch=0, base_sequence=0)
    assert [log.append(odd, leader_epoch=0, now_ms=NOW_MS).first_offset for _ in range(2)] == [0, 1]
    assert not log.producers.by_id
