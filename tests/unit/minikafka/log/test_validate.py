"""What a producer's batch must satisfy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from minikafka.log.config import LogConfig
from minikafka.log.log import Log
from minikafka.log.validate import InvalidRecords, InvalidTimestamps, UnreadableRecords, admit_in_slices
from protocol.checksums import crc32c
from protocol.kafka.batch import CONTROL, HEADER, LOG_APPEND_TIME, BatchHeader
from protocol.kafka.compression import ZSTD
from protocol.kafka.errors import (
    CorruptMessage,
    InvalidRecord,
    KafkaError,
    MessageTooLarge,
    RecordListTooLarge,
    UnknownServerError,
)
from protocol.kafka.records import build_batch, read_records
from protocol.ops.slices import Places, at_once
from tests.unit.minikafka.log import NOW_MS, batch, make_log, read

HOUR_MS = 3_600_000


def opened(directory: Path, **config: object) -> Log:
    log = make_log(directory / "t-0", LogConfig(index_bytes=4096, **config))  # type: ignore[arg-type]
    log.open()
    return log


def changed(made: memoryview, **fields: int) -> memoryview:
    """The batch with other header fields and a right checksum."""
    header = BatchHeader.peek(made)._replace(**fields)
    data = bytearray(HEADER.pack(*header)) + made[61:]
    data[17:21] = crc32c(bytes(data[21:])).to_bytes(4, "big")
    return memoryview(bytes(data))


BAD: list[tuple[str, Callable[[], memoryview], type[KafkaError]]] = [
    ("nothing", lambda: memoryview(b""), InvalidRecord),
    ("half a header", lambda: batch()[:40], InvalidRecord),
    ("cut", lambda: batch()[:-1], InvalidRecord),
    ("two batches", lambda: memoryview(bytes(batch()) * 2), InvalidRecord),
    ("length below a header", lambda: changed(batch(), length=10), CorruptMessage),
    ("negative length", lambda: changed(batch(), length=-13), CorruptMessage),
    ("magic 1", lambda: changed(batch(), magic=1), InvalidRecord),
    ("magic 9", lambda: changed(batch(), magic=9), CorruptMessage),
    ("checksum", lambda: memoryview(bytes(batch())[:-1] + b"?"), CorruptMessage),
    ("base offset", lambda: changed(batch(), base_offset=7), InvalidRecord),
    ("count 0", lambda: changed(batch(), count=0), InvalidRecord),
    ("count and offsets", lambda: changed(batch(3), count=2), InvalidRecord),
    ("negative offsets", lambda: changed(batch(), last_offset_delta=-1), InvalidRecord),
    ("control", lambda: changed(batch(), attributes=CONTROL), InvalidRecord),
    ("codec 7", lambda: changed(batch(), attributes=7), UnknownServerError),
    ("no sequence", lambda: batch(producer_id=4, sequence=-1), InvalidRecord),
]


@pytest.mark.parametrize(("made", "error"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_bad_batches(tmp_path: Path, made: Callable[[], memoryview], error: type[KafkaError]) -> None:
    """Something that is no batch would get into the log, from where nobody gets it out."""
    log = opened(tmp_path)
    with pytest.raises(error):
        log.append(made(), leader_epoch=0, now_ms=NOW_MS)
    assert (log.log_end_offset, log.size) == (0, 0)
    assert log.append(batch(), leader_epoch=0, now_ms=NOW_MS).first_offset == 0


@pytest.mark.parametrize(("made", "error"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_bad_batches_behind_good_ones(
    tmp_path: Path, made: Callable[[], memoryview], error: type[KafkaError]
) -> None:
    """The short way, which an epoch's later batches take, would let in what the careful way refuses."""
    log = opened(tmp_path)
    log.append(batch(producer_id=4, sequence=0), leader_epoch=0, now_ms=NOW_MS)
    assert log.append_usual(batch(), 0, NOW_MS) == 1
    assert log.append_usual(made(), 0, NOW_MS) == -1
    with pytest.raises(error):
        log.append(made(), leader_epoch=0, now_ms=NOW_MS)
    assert log.log_end_offset == 2


async def test_what_is_unusual(tmp_path: Path) -> None:
    """The short way would take what must be looked at, changed, rolled or answered otherwise."""
    log = opened(tmp_path, segment_bytes=2000)
    log.append(batch(producer_id=4, sequence=0), leader_epoch=0, now_ms=NOW_MS)
    for unusual in (
        batch(producer_id=4, sequence=0),  # a duplicate
        batch(producer_id=4, sequence=2),  # a gap
        batch(producer_id=5, sequence=0),  # a producer not met before
        changed(batch(), base_timestamp=NOW_MS + 1, max_timestamp=NOW_MS),
        changed(batch(), max_timestamp=NOW_MS + 2 * HOUR_MS),
        batch(size=1900),  # needs a new segment
    ):
        assert log.append_usual(unusual, 0, NOW_MS) == -1
    assert log.append_usual(batch(), 1, NOW_MS) == -1
    assert log.append_usual(batch(producer_id=4, sequence=1), 0, NOW_MS) == 1
    for config in (
        LogConfig(is_compacted=True),
        LogConfig(stamps_append_time=True),
        LogConfig(timestamp_before_max_ms=1),
        LogConfig(compression=1),
        LogConfig(walks_records=True),
        LogConfig(max_batch_bytes=10),
    ):
        log.reconfigure(config)
        assert log.append_usual(batch(), 0, NOW_MS) == -1
    log.reconfigure(LogConfig())
    assert log.append_usual(batch(), 0, NOW_MS) == 2
    assert len(log.active.log.file().read(0, 10_000)) == log.size


async def test_sizes(tmp_path: Path) -> None:
    """max.message.bytes or segment.bytes would not hold."""
    log = opened(tmp_path, max_batch_bytes=500, segment_bytes=400)
    with pytest.raises(MessageTooLarge):
        log.append(batch(size=500), leader_epoch=0, now_ms=NOW_MS)
    with pytest.raises(RecordListTooLarge):
        log.append(batch(size=380), leader_epoch=0, now_ms=NOW_MS)


async def test_append_time(tmp_path: Path) -> None:
    """LogAppendTime topics would keep the producer's clock, or a batch with a wrong checksum."""
    log = opened(tmp_path, stamps_append_time=True)
    appended = log.append(batch(3, timestamp=5), leader_epoch=2, now_ms=NOW_MS)
    assert appended.append_time_ms == NOW_MS
    stored = (await read(log, 0)).records
    header = BatchHeader.peek(stored)
    assert (header.max_timestamp, header.attributes & LOG_APPEND_TIME, header.leader_epoch) == (NOW_MS, 8, 2)
    assert crc32c(bytes(stored)[21:]) == header.crc
    assert [record.timestamp for record in read_records(stored)] == [NOW_MS] * 3
    with pytest.raises(InvalidTimestamps):
        log.append(changed(batch(), attributes=LOG_APPEND_TIME), leader_epoch=2, now_ms=NOW_MS)


async def test_timestamp_bounds(tmp_path: Path) -> None:
    """Records from the future would keep retention from ever deleting them."""
    log = opened(tmp_path, timestamp_before_max_ms=HOUR_MS)
    for first in (NOW_MS + HOUR_MS - 1, NOW_MS - HOUR_MS - 1):
        with pytest.raises(InvalidTimestamps) as caught:
            log.append(batch(3, timestamp=first), leader_epoch=0, now_ms=NOW_MS)
        late = first > NOW_MS
        assert [at for at, _ in caught.value.record_errors] == ([2] if late else [0])
    log.append(batch(2, timestamp=NOW_MS + HOUR_MS - 1), leader_epoch=0, now_ms=NOW_MS)


async def test_a_header_that_lies_about_time(tmp_path: Path) -> None:
    """A greatest timestamp that no record has would end in the time index."""
    log = opened(tmp_path)
    log.append(changed(batch(3), max_timestamp=NOW_MS + 2 * HOUR_MS), leader_epoch=0, now_ms=NOW_MS)
    log.append(changed(batch(3), max_timestamp=NOW_MS - 1), leader_epoch=0, now_ms=NOW_MS)
    for offset in (0, 3):
        stored = (await read(log, offset)).records
        assert BatchHeader.peek(stored).max_timestamp == NOW_MS + 2
    assert log.active.max_timestamp == NOW_MS + 2


@pytest.mark.parametrize("codec", [0, 4])
async def test_keys_in_a_compacted_topic(tmp_path: Path, codec: int) -> None:
    """Compaction could not work on records without a key."""
    log = opened(tmp_path, is_compacted=True)
    made = build_batch([(NOW_MS, b"k", b"v"), (NOW_MS, None, b"v"), (NOW_MS, None, None)], codec=codec)
    with pytest.raises(InvalidRecords) as caught:
        log.append(made, leader_epoch=0, now_ms=NOW_MS)
    assert [at for at, _ in caught.value.record_errors] == [1, 2]
    log.append(batch(2, codec=codec), leader_epoch=0, now_ms=NOW_MS)


@pytest.mark.parametrize("source", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("target", [0, 1, 2, 3, 4])
async def test_the_topics_own_codec(tmp_path: Path, source: int, target: int) -> None:
    """compression.type would be accepted and not honoured."""
    log = opened(tmp_path, compression=target)
    made = batch(20, size=50, codec=source, producer_id=3, sequence=0)
    log.append(made, leader_epoch=0, now_ms=NOW_MS)
    stored = (await read(log, 0)).records
    header = BatchHeader.peek(stored)
    assert (header.codec, header.producer_id, header.base_sequence) == (target, 3, 0)
    assert [tuple(record) for record in read_records(stored)] == [tuple(record) for record in read_records(made)]
    if source == target:
        assert bytes(stored)[61:] == bytes(made)[61:], "passed through untouched"


async def test_undecodable_records(tmp_path: Path) -> None:
    """A compressed block that is none would be stored, or refused with another code than Kafka's."""
    log = opened(tmp_path, is_compacted=True)
    good = batch(3)
    for codec in (1, 2, 3, 4):
        with pytest.raises(UnreadableRecords):
            log.append(changed(good, attributes=codec), leader_epoch=0, now_ms=NOW_MS)


def test_few_are_amid_what_takes_much_memory() -> None:
    """Sixty clients with 130 KB each, which are megabytes when decompressed, would take half a gigabyte at once."""
    config, places = LogConfig(is_compacted=True), Places(2)
    folded = memoryview(build_batch([(NOW_MS, b"k", b"x" * 60)] * 20_000, codec=ZSTD))
    small = memoryview(build_batch([(NOW_MS, b"k", b"x")], codec=ZSTD))
    first, second, third = (admit_in_slices(folded, config, NOW_MS, "", places) for _ in range(3))
    for one in (first, second):
        next(one)
    assert not places.is_waited_for
    next(third)
    assert places.is_waited_for
    assert at_once(admit_in_slices(small, config, NOW_MS, "", places)).header.count == 1, "what is small never waits"
    first.close()  # its client is gone
    places.is_waited_for = False
    assert at_once(third).header.count == 20_000
    assert at_once(second).header.count == 20_000
    assert not places.is_waited_for


def test_who_is_refused_leaves_the_place() -> None:
    """After a few batches that are refused no large one would ever be looked through again."""
    config, places = LogConfig(is_compacted=True), Places(1)
    keyless = memoryview(build_batch([(NOW_MS, None, b"x" * 60)] * 20_000, codec=ZSTD))
    for _ in range(3):
        with pytest.raises(InvalidRecords):
            at_once(admit_in_slices(keyless, config, NOW_MS, "", places))
    assert not places.is_waited_for
