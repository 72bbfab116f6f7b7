"""The log beside a model of it: a list of batches."""

import random
from pathlib import Path
from typing import NamedTuple

import pytest

from minikafka.log.config import LogConfig
from minikafka.log.log import Log
from protocol.kafka.batch import iterate
from protocol.kafka.errors import OffsetOutOfRange
from tests.unit.minikafka.log import NOW_MS, HandClock, batch, make_log, read


class Batch(NamedTuple):
    first: int
    last: int
    data: bytes
    epoch: int
    timestamp: int


class Model:
    """What a log should hold."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.start = 0
        self.end = 0

    def append(self, made: memoryview, count: int, epoch: int, timestamp: int) -> None:
        data = bytearray(made)
        data[0:8] = self.end.to_bytes(8, "big")
        data[12:16] = epoch.to_bytes(4, "big")
        self.batches.append(Batch(self.end, self.end + count - 1, bytes(data), epoch, timestamp + count - 1))
        self.end += count

    def read(self, offset: int, max_bytes: int, up_to: int, at_least_one: bool) -> bytes:
        found = b""
        for each in self.batches:
            if each.last < offset or each.last >= up_to:
                continue
            if len(found) + len(each.data) > max_bytes and (found or not at_least_one):
                break
            found += each.data
        return found

    def boundaries(self) -> list[int]:
        return [each.first for each in self.batches if each.first >= self.start] + [self.end]

    def truncate(self, offset: int) -> None:
        self.batches = [each for each in self.batches if each.last < offset]
        self.end = self.batches[-1].last + 1 if self.batches else min(offset, self.end)

    def epoch_end(self, epoch: int) -> int:
        return max((each.last + 1 for each in self.batches if each.epoch <= epoch), default=-1)

    def at_time(self, timestamp: int) -> int:
        for each in self.batches:
            count = each.last - each.first + 1
            for at in range(count):
                if each.timestamp - count + 1 + at >= timestamp and each.first + at >= self.start:
                    return each.first + at
        return -1


@pytest.mark.parametrize("seed", range(25))
async def test_random_life(tmp_path: Path, seed: int) -> None:
    """Some order of appends, reads, truncations, deletions, rolls and restarts would give other records."""
    chance = random.Random(seed)
    clock = HandClock()
    config = LogConfig(
        index_bytes=chance.choice([48, 4096]),
        index_interval_bytes=chance.choice([0, 100, 1000]),
        segment_bytes=chance.choice([700, 2000, 100_000]),
        segment_ms=chance.choice([5000, 1 << 40]),
        retention_ms=-1,
        timestamp_after_max_ms=1 << 50,
    )
    model, epoch = Model(), 1
    log = make_log(tmp_path / "t-0", config, clock)
    log.open()
    for _ in range(150):
        step = chance.random()
        if step < 0.45:
            count, timestamp = chance.randint(1, 12), NOW_MS + chance.randint(0, 20_000)
            made = batch(count, size=chance.randint(0, 30), timestamp=timestamp)
            model.append(made, count, epoch, timestamp)
            log.append(made, leader_epoch=epoch, now_ms=clock.now_ms)
            clock.now_ms += chance.randint(0, 500)
        elif step < 0.8:
            await check_read(log, model, chance)
        elif step < 0.84:
            epoch += chance.randint(1, 3)
        elif step < 0.88:
            cut = chance.choice(model.boundaries())
            model.truncate(cut)
            log.truncate_to(cut)
        elif step < 0.92:
            offset = chance.randint(model.start, model.end)
            log.advance_high_watermark(log.log_end_offset)
            log.delete_before(offset)
            log.enforce_retention(clock.now_ms)
            model.start = max(model.start, offset)
            model.batches = [each for each in model.batches if each.last >= log.segments[0].base_offset]
        elif step < 0.95:
            log.roll()
        else:
            clean = chance.random() < 0.5
            log.close(clean=clean)
            synced = log.recovery_point
            log = make_log(tmp_path / "t-0", config, clock)
            log.open(was_clean=clean, recovery_point=chance.randint(0, synced), log_start=model.start)
        check(log, model)
    log.close(clean=True)


async def check_read(log: Log, model: Model, chance: random.Random) -> None:
    offset = chance.randint(model.start, model.end)
    max_bytes = chance.choice([0, 1, 100, 500, 5000])
    up_to = chance.choice(model.boundaries())
    at_least_one = chance.random() < 0.7
    got = await read(log, offset, max_bytes, up_to, at_least_one=at_least_one)
    expected = model.read(offset, max_bytes, up_to, at_least_one)
    if bytes(got.records) != expected:  # a read ends with its segment
        assert got.records
        assert expected.startswith(got.records)
        assert got.next_offset in [segment.base_offset for segment in log.segments]
    if got.records:
        assert got.next_offset == [header for header, _ in iterate(got.records)][-1].last_offset + 1
    else:
        assert got.next_offset == offset
    if model.start > 0:
        with pytest.raises(OffsetOutOfRange):
            log.read(model.start - 1, 100, up_to=model.end)
    with pytest.raises(OffsetOutOfRange):
        log.read(model.end + 1, 100, up_to=model.end + 9)


def check(log: Log, model: Model) -> None:
    assert (log.log_start_offset, log.log_end_offset) == (model.start, model.end)
    assert log.size == sum(segment.size for segment in log.segments)
    for epoch in {each.epoch for each in model.batches if each.last >= model.start}:
        assert log.epoch_end(epoch)[1] == model.epoch_end(epoch)
    at = NOW_MS + 7000
    found = log.offset_for_time(at)
    assert (found.offset if found else -1) == model.at_time(at)
