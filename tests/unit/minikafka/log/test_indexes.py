"""Indexes that lie: an entry is believed once the batch it speaks of says the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from minikafka.log.config import LogConfig
from minikafka.log.log import Log
from protocol.disk.files import Disk, File
from protocol.kafka.batch import iterate
from tests.unit.minikafka.log import NOW_MS, batch, make_log, read

SMALL = LogConfig(index_bytes=4096, index_interval_bytes=100)
BATCHES = 4
RECORDS = 3  # a batch, a millisecond apart, so that offset and time go together


def times(order: str) -> list[int]:
    """The first timestamp of each batch."""
    steps = {"growing": range(BATCHES), "equal": [0] * BATCHES, "mixed": [1, 0, 3, 3]}
    return [NOW_MS + RECORDS * step for step in steps[order]]


def written(directory: Path, order: str) -> None:
    """Two segments alike, both closed by a clean stop."""
    log = make_log(directory / "t-0", SMALL)
    log.open()
    for segment in range(2):
        if segment:
            log.roll()
        for time in times(order):
            log.append(batch(RECORDS, timestamp=time), leader_epoch=1, now_ms=NOW_MS)
    log.close(clean=True)


def flips(data: bytes) -> Iterator[bytes]:
    for at in range(len(data) * 8):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        yield bytes(changed)


async def check(directory: Path, order: str) -> None:
    log = make_log(directory / "t-0", SMALL)
    log.open(was_clean=True)
    every = [time + record for time in times(order) for record in range(RECORDS)] * 2
    for time in range(min(every), max(every) + 1):
        found = log.offset_for_time(time)
        assert found is not None
        assert found.offset == next(offset for offset, each in enumerate(every) if each >= time)
    assert log.offset_for_time(max(every) + 1) is None
    for segment in log.segments:
        assert segment.largest_timestamp(0) == max(every)
    for offset in range(len(every)):
        records = (await read(log, offset, 1)).records
        assert next(iterate(records))[0].base_offset == offset // RECORDS * RECORDS
    log.append(batch(RECORDS), leader_epoch=1, now_ms=NOW_MS)
    log.close(clean=False)


@pytest.mark.parametrize("order", ["growing", "equal", "mixed"])
@pytest.mark.parametrize("suffix", [".timeindex", ".index"])
@pytest.mark.parametrize("segment", [0, 1], ids=["closed", "active"])
async def test_every_flipped_bit(tmp_path: Path, order: str, suffix: str, segment: int) -> None:
    """One bad bit beside the log would have consumers begin too late, retention delete too early, or records hidden."""
    written(tmp_path, order)
    folder = tmp_path / "t-0"
    files = {file: file.read_bytes() for file in folder.iterdir()}
    path = sorted(folder.glob(f"*{suffix}"))[segment]
    assert files[path]
    for changed in flips(files[path]):
        path.write_bytes(changed)
        await check(tmp_path, order)
        for file in set(folder.iterdir()) - set(files):
            file.unlink()
        for file, data in files.items():
            file.write_bytes(data)


class Counting(Disk):
    """Counts the bytes that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read_bytes = 0

    def open(self, path: str, *, create: bool = True, read_only: bool = False) -> File:
        file = super().open(path, create=create, read_only=read_only)
        disk = self

        class CountingFile(File):
            def read(self, offset: int, size: int) -> bytes:
                data = super().read(offset, size)
                disk.read_bytes += len(data)
                return data

        file.__class__ = CountingFile
        return file


def opened(directory: Path, disk: Disk | None = None) -> Log:
    log = make_log(directory / "t-0", LogConfig(index_bytes=1 << 16), disk=disk)
    log.open(was_clean=True)
    return log


async def test_a_clean_start_reads_the_end_of_the_log_only(tmp_path: Path) -> None:
    """A start would read every segment, minutes of it for a large directory."""
    log = opened(tmp_path)
    for _ in range(2):
        for at in range(600):
            log.append(batch(size=1000, timestamp=NOW_MS + at), leader_epoch=1, now_ms=NOW_MS)
        log.roll()
    log.close(clean=True)
    disk = Counting()
    again = opened(tmp_path, disk)
    assert again.log_end_offset == 1200
    assert disk.read_bytes < 100_000
    before = disk.read_bytes
    assert again.segments[0].largest_timestamp(0) == NOW_MS + 599
    assert disk.read_bytes - before < 100_000
    again.close(clean=True)
