"""Rolling, retention, deletion and syncing of segments."""

import os
from pathlib import Path

import pytest

from minikafka.log.config import LogConfig, log_config
from minikafka.log.log import Log
from protocol.disk.files import Disk, File
from protocol.kafka.batch import iterate
from protocol.kafka.errors import KafkaStorageError, OffsetOutOfRange
from tests.unit.minikafka.log import NOW_MS, HandClock, batch, make_log, read, read_all

DAY_MS = 24 * 3_600_000


def opened(directory: Path, clock: HandClock | None = None, disk: Disk | None = None, **config: object) -> Log:
    log = make_log(directory / "t-0", LogConfig(**{"index_bytes": 4096, **config}), clock, disk)  # type: ignore[arg-type]
    log.open()
    return log


def put(log: Log, *, timestamp: int = NOW_MS, size: int = 10, count: int = 1) -> None:
    log.append(batch(count, size=size, timestamp=timestamp), leader_epoch=0, now_ms=NOW_MS)
    log.advance_high_watermark(log.log_end_offset)


def bases(log: Log) -> list[int]:
    return [segment.base_offset for segment in log.segments]


async def test_rolls_by_size_time_and_full_index(tmp_path: Path) -> None:
    """A segment would grow past what its options, or an index entry, can hold."""
    by_size = opened(tmp_path / "size", segment_bytes=200)
    for _ in range(6):
        put(by_size)
    assert bases(by_size) == [0, 2, 4]
    by_time = opened(tmp_path / "time", segment_ms=1000, timestamp_after_max_ms=DAY_MS)
    for at in (0, 500, 1000, 1001, 1500, 2002):
        put(by_time, timestamp=NOW_MS + at)
    assert bases(by_time) == [0, 3, 5]
    by_index = opened(tmp_path / "index", index_bytes=36, index_interval_bytes=0)
    for at in range(8):
        put(by_index, timestamp=NOW_MS + at)
    assert bases(by_index) == [0, 3, 6]


async def test_rolls_by_the_clock_without_timestamps(tmp_path: Path) -> None:
    """Records without a time would stay in one segment, and never be deleted."""
    clock = HandClock()
    log = opened(tmp_path, clock, segment_ms=1000)
    for _ in range(3):
        log.append(batch(timestamp=-1), leader_epoch=0, now_ms=clock.now_ms)
        clock.now_ms += 700
    assert bases(log) == [0, 2]


async def test_jitter_rolls_earlier(tmp_path: Path) -> None:
    """All partitions of a topic would roll, and be synced, in the same moment."""
    log = opened(tmp_path, segment_ms=100_000, segment_jitter_ms=90_000, segment_bytes=10_000)
    assert 0 < log.active.jitter_ms <= 90_000
    put(log)
    put(log, timestamp=NOW_MS + 100_001 - log.active.jitter_ms)
    assert bases(log) == [0, 1]


async def test_retention_by_size(tmp_path: Path) -> None:
    """retention.bytes would delete too much, or nothing."""
    log = opened(tmp_path, segment_bytes=200, retention_bytes=400, delete_delay_ms=0)
    for _ in range(10):
        put(log)
    assert log.enforce_retention(NOW_MS) > 0
    assert log.size >= 400
    assert log.size - log.segments[0].size < 400
    assert log.log_start_offset == log.segments[0].base_offset
    with pytest.raises(OffsetOutOfRange):
        log.read(0, 100, up_to=10)


async def test_retention_by_time_takes_the_active_segment_too(tmp_path: Path) -> None:
    """Old records would stay for ever in a topic nobody writes to."""
    log = opened(tmp_path, segment_bytes=200, retention_ms=DAY_MS)
    for _ in range(5):
        put(log)
    assert log.enforce_retention(NOW_MS + DAY_MS) == 0
    assert log.enforce_retention(NOW_MS + DAY_MS + 1) == 3
    assert (bases(log), log.log_start_offset, log.log_end_offset) == ([5], 5, 5)
    log.close(clean=False)
    again = opened(tmp_path)
    assert (again.log_start_offset, again.log_end_offset) == (5, 5)


async def test_nothing_above_the_high_watermark_is_deleted(tmp_path: Path) -> None:
    """What is not committed yet would be gone before anybody could read it."""
    log = opened(tmp_path, segment_bytes=200, retention_ms=1)
    for _ in range(6):
        log.append(batch(), leader_epoch=0, now_ms=NOW_MS)
    log.advance_high_watermark(3)
    assert log.enforce_retention(NOW_MS + DAY_MS) == 1
    assert bases(log) == [2, 4]


async def test_compacted_only_topics_keep_everything(tmp_path: Path) -> None:
    """cleanup.policy=compact would lose keys to retention."""
    log = opened(tmp_path, segment_bytes=200, retention_ms=1, retention_bytes=1, is_retained=False, is_compacted=True)
    for _ in range(6):
        put(log)
    assert log.enforce_retention(NOW_MS + DAY_MS) == 0


async def test_delete_records_is_exact(tmp_path: Path) -> None:
    """DeleteRecords would delete a whole batch, or the segment's files would stay for ever."""
    log = opened(tmp_path, segment_bytes=300)
    for _ in range(6):
        put(log, count=3)
    with pytest.raises(OffsetOutOfRange):
        log.delete_before(19)
    log.delete_before(10)
    assert log.log_start_offset == 10
    with pytest.raises(OffsetOutOfRange):
        log.read(9, 100, up_to=18)
    assert (await read(log, 10)).records, "the batch that holds it, whole"
    log.enforce_retention(NOW_MS)
    assert bases(log)[0] > 0
    assert bases(log)[0] <= 10
    assert log.log_start_offset == 10
    assert any(name.endswith(".log.deleted") for name in os.listdir(tmp_path / "t-0"))
    log.close(clean=False)
    again = make_log(tmp_path / "t-0", LogConfig(index_bytes=4096))
    again.open(log_start=10)
    assert (again.log_start_offset, again.log_end_offset) == (10, 18)
    assert not any(name.endswith(".deleted") for name in os.listdir(tmp_path / "t-0"))


async def test_a_log_that_lost_its_end_begins_anew(tmp_path: Path) -> None:
    """Offsets that were given before would be given again."""
    log = opened(tmp_path)
    put(log, count=5)
    log.close(clean=False)
    again = make_log(tmp_path / "t-0", LogConfig(index_bytes=4096))
    again.open(log_start=50)
    assert (again.log_start_offset, again.log_end_offset) == (50, 50)
    put(again)
    assert again.log_end_offset == 51


async def test_rolled_segments_are_synced_behind(tmp_path: Path) -> None:
    """A start after a power cut would have to check everything ever written."""
    log = opened(tmp_path, segment_bytes=200)
    for _ in range(5):
        put(log)
    reached = await log.sync_soon()
    assert reached == log.recovery_point == 5
    put(log)
    first, second, third = log.sync_soon(), log.sync_soon(), log.sync_soon()
    assert second is third
    assert first is not second
    assert await second == 6
    put(log)
    log.sync()
    assert log.recovery_point == 7


async def test_flush_options(tmp_path: Path) -> None:
    """flush.messages and flush.ms would be accepted and not honoured."""
    log = opened(tmp_path, flush_messages=3)
    put(log)
    put(log)
    assert log.recovery_point == 0
    put(log)
    assert log.recovery_point == 3
    clock = HandClock()
    by_time = opened(tmp_path / "b", clock, flush_ms=1000)
    put(by_time)
    by_time.flush_when_due(NOW_MS + 999)
    assert by_time._syncing is None
    by_time.flush_when_due(NOW_MS + 1000)
    assert await by_time.sync_soon() == 1


class FullDisk(Disk):
    """A disk that can take no more."""

    is_full = False
    is_broken = False
    is_without_index_room = False  # logs that are there grow; indexes do not, and no file is begun

    def open(self, path: str, *, create: bool = True, read_only: bool = False) -> File:
        if self.is_without_index_room and not self.exists(path):
            raise OSError(28, "No space left on device")
        return FullFile(super().open(path, create=create, read_only=read_only), self)  # type: ignore[return-value]


class FullFile:
    def __init__(self, file: File, disk: FullDisk) -> None:
        self._file = file
        self._disk = disk

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def append(self, *buffers: bytes) -> int:
        if self._disk.is_full:
            raise OSError(28, "No space left on device")
        return self._file.append(*buffers)

    def write_at(self, offset: int, data: bytes) -> None:
        if self._disk.is_without_index_room:
            raise OSError(28, "No space left on device")
        self._file.write_at(offset, data)

    def sync(self) -> None:
        if self._disk.is_broken:
            raise OSError(5, "Input/output error")
        self._file.sync()


async def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    """A write that failed would take an offset, or the log stay broken when there is room again; or the log of the
    broker would fill what is left of the disk with one line a request."""
    disk, lines, clock = FullDisk(), list[str](), HandClock()
    log = make_log(tmp_path / "t-0", LogConfig(index_bytes=4096), clock, disk, lines=lines)
    log.open()
    put(log)
    disk.is_full = True
    for _ in range(5):
        with pytest.raises(KafkaStorageError):
            put(log)
    assert [line.split(" (")[0].split("] ")[1] for line in lines] == [
        f"ERROR Error while writing t-0 in dir {tmp_path}/t-0: No space left on device; "
        "writes are refused until there is room again"
    ]
    disk.is_full = False
    put(log)
    assert "takes writes again; 5 were refused" in lines[1]
    put(log)
    disk.is_full = True
    with pytest.raises(KafkaStorageError):
        put(log)
    assert len(lines) == 2, "a disk that is just about full is told of once a minute"
    clock.now_ms += 60_000
    with pytest.raises(KafkaStorageError):
        put(log)
    assert len(lines) == 3
    disk.is_full = False
    put(log)
    assert log.log_end_offset == 4
    assert len(await read_all(log)) == log.size


async def test_a_full_disk_in_the_middle_of_an_append(tmp_path: Path) -> None:
    """An index that finds no room for its entries, or a segment that cannot be begun, would have the next batch take
    the offsets of the last."""
    disk, lines = FullDisk(), list[str]()
    config = LogConfig(index_bytes=4096, index_interval_bytes=0, segment_bytes=40_000)
    log = make_log(tmp_path / "t-0", config, HandClock(), disk, lines=lines)
    log.open()
    appended = 0
    for at in range(1200):
        disk.is_without_index_room = at % 7 < 5
        try:
            put(log, timestamp=NOW_MS + at)
            appended += 1
        except KafkaStorageError:
            assert disk.is_without_index_room
    assert 600 < appended < 1200
    assert len(lines) == 2
    disk.is_without_index_room = False
    put(log, timestamp=NOW_MS + 1200)
    assert log.log_end_offset == appended + 1
    assert len(log.segments) > 2
    found = [header.base_offset for header, _ in iterate(await read_all(log))]
    assert found == list(range(appended + 1))
    for offset in range(0, appended, 50):
        assert next(iterate((await read(log, offset, 1)).records))[0].base_offset == offset
    log.close(clean=True)
    again = opened(tmp_path, index_interval_bytes=0, segment_bytes=40_000)
    assert [header.base_offset for header, _ in iterate(await read_all(again))] == found


async def test_a_failed_sync_takes_the_log_offline(tmp_path: Path) -> None:
    """What the medium lost would be taken for safe after a later sync that worked, or the broker go on without it."""
    disk, lines, lost = FullDisk(), list[str](), list[BaseException]()
    log = make_log(tmp_path / "t-0", LogConfig(index_bytes=4096), None, disk, lines=lines, on_lost=lost.append)
    log.open()
    put(log)
    disk.is_broken = True
    with pytest.raises(KafkaStorageError):
        await log.sync_soon()
    disk.is_broken = False
    with pytest.raises(KafkaStorageError):
        put(log)
    assert log.recovery_point == 0
    assert [str(error) for error in lost] == ["[Errno 5] Input/output error"]
    assert "Error while flushing log for t-0" in lines[0]
    assert "all log dirs" in lines[1]
    assert len(lines) == 2


def test_options_by_kafkas_names() -> None:
    """A topic option would be accepted and reach nothing."""
    options = {
        "segment.bytes": 5,
        "cleanup.policy": "compact",
        "compression.type": "zstd",
        "compression.zstd.level": 7,
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": -1,
        "min.insync.replicas": 2,
        "flush.ms": 9,
    }
    config = log_config(options)
    assert (config.segment_bytes, config.is_compacted, config.is_retained) == (5, True, False)
    assert (config.compression, config.compression_level, config.stamps_append_time) == (4, 7, True)
    assert (config.retention_ms, config.min_insync_replicas, config.flush_ms) == (-1, 2, 9)
    assert log_config({"cleanup.policy": ["compact", "delete"], "compression.type": "producer"}) == LogConfig(
        is_compacted=True
    )
