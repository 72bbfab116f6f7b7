"""Files written by Kafka 4.3.1 (tests/golden/kafka/partition-4.3.1): an idempotent producer, lz4, transactions
committed, aborted and left open, over four segments of at most 14,336 bytes with an index entry every 512."""

import shutil
from pathlib import Path

import pytest

from minikafka.log.config import LogConfig
from minikafka.log.log import Origin
from minikafka.log.producers import Producers
from protocol.disk.files import Disk
from protocol.kafka.batch import iterate
from tests.unit.minikafka.log import make_log, read_all

GOLDEN = Path(__file__).parents[3] / "golden/kafka/partition-4.3.1"
CONFIG = LogConfig(segment_bytes=14_336, index_interval_bytes=512, retention_ms=-1)
LOGS = sorted(GOLDEN.glob("*.log"))
END = 291


def contents(directory: Path, *suffixes: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.suffix in suffixes}


def producers_in(data: bytes) -> dict[int, tuple[object, ...]]:
    return {
        each.producer_id: (each.epoch, each.timestamp, each.coordinator_epoch, each.transaction_start, each.batches)
        for each in Producers.decode(data)
    }


async def test_opens_what_kafka_closed(tmp_path: Path) -> None:
    """A directory of a real broker would not be served, or not in full."""
    shutil.copytree(GOLDEN, tmp_path / "t-0")
    log = make_log(tmp_path / "t-0", CONFIG)
    log.open(was_clean=True)
    assert (log.log_start_offset, log.log_end_offset) == (0, END)
    assert await read_all(log, 1000) == b"".join(path.read_bytes() for path in LOGS)
    assert [each.first_offset for each in log.aborted_between(0, END)] == [
        entry.first_offset for segment in log.segments for entry in segment.aborted.entries()
    ]
    assert len(log.aborted_between(0, END)) == 3
    assert log.producers.first_unstable == 288
    log.close(clean=False)


async def test_leaves_what_kafka_closed_as_it_was(tmp_path: Path) -> None:
    """Opening and closing would rewrite files that said the same before."""
    shutil.copytree(GOLDEN, tmp_path / "t-0")
    log = make_log(tmp_path / "t-0", CONFIG)
    log.open(was_clean=True)
    log.close(clean=True)
    everything = (".log", ".index", ".timeindex", ".txnindex", ".snapshot", "")
    assert contents(tmp_path / "t-0", *everything) == contents(GOLDEN, *everything)


@pytest.mark.parametrize("was_clean", [True, False])
async def test_makes_kafkas_indexes_from_its_log(tmp_path: Path, was_clean: bool) -> None:
    """Rebuilt indexes would differ from those Kafka made of the same batches."""
    (tmp_path / "t-0").mkdir()
    for path in LOGS:
        shutil.copy(path, tmp_path / "t-0")
    log = make_log(tmp_path / "t-0", CONFIG)
    log.open(was_clean=was_clean)
    assert await read_all(log) == b"".join(path.read_bytes() for path in LOGS)
    for segment in log.segments:  # indexes are made when they are first needed
        segment.find(segment.base_offset)
    log.close(clean=True)
    assert contents(tmp_path / "t-0", ".index", ".timeindex", ".txnindex") == contents(
        GOLDEN, ".index", ".timeindex", ".txnindex"
    )
    assert producers_in((tmp_path / "t-0" / f"{END:020d}.snapshot").read_bytes()) == producers_in(
        (GOLDEN / f"{END:020d}.snapshot").read_bytes()
    )


async def test_appends_as_kafka_appends(tmp_path: Path) -> None:
    """The same batches would lie in other segments, or be indexed or snapshot differently."""
    log = make_log(tmp_path / "t-0", CONFIG)
    log.open()
    for path in LOGS:
        for _, batch in iterate(path.read_bytes()):
            log.append(batch, leader_epoch=0, now_ms=0, origin=Origin.REPLICATION)
    log.close(clean=True)
    for suffixes in ((".log",), (".index",), (".timeindex",), (".txnindex",), ("",)):
        ours, theirs = contents(tmp_path / "t-0", *suffixes), contents(GOLDEN, *suffixes)
        assert ours == theirs
    ours, theirs = contents(tmp_path / "t-0", ".snapshot"), contents(GOLDEN, ".snapshot")
    assert {name: producers_in(data) for name, data in ours.items()} == {
        name: producers_in(data) for name, data in theirs.items()
    }


def test_writes_kafkas_snapshot_bytes() -> None:
    """A snapshot of ours would not be read by Kafka, or the other way round."""
    for path in GOLDEN.glob("*.snapshot"):
        data = path.read_bytes()
        producers = Producers(Disk(), "", 1 << 60)
        producers.by_id = {each.producer_id: each for each in Producers.decode(data)}
        assert producers.encode() == data
