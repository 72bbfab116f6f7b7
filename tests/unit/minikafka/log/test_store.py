"""A data directory: lock, marks, checkpoints, deletion, bounded handles."""

import asyncio
import os
from pathlib import Path
from random import Random

import pytest

from minikafka.log.checkpoints import OffsetCheckpoint
from minikafka.log.config import LogConfig
from minikafka.log.epochs import LeaderEpochs
from minikafka.log.store import Store
from protocol.disk.files import AlreadyLocked, Disk
from tests.unit.minikafka.log import NOW_MS, HandClock, batch, read_all, to_list

SMALL = LogConfig(index_bytes=4096, delete_delay_ms=0)
TOPIC_ID = bytes(range(16))


def make_store(directory: Path, max_open_files: int = 100, clock: HandClock | None = None) -> Store:
    store = Store(
        Disk(),
        str(directory),
        loop=asyncio.get_running_loop(),
        clock=clock or HandClock(),
        random=Random(1),
        log=to_list(),
        max_open_files=max_open_files,
    )
    store.open()
    return store


async def test_one_owner(tmp_path: Path) -> None:
    """Two brokers would write into one directory."""
    store = make_store(tmp_path)
    with pytest.raises(AlreadyLocked):
        make_store(tmp_path)
    store.close()
    make_store(tmp_path).close()


async def test_clean_mark_and_checkpoints(tmp_path: Path) -> None:
    """A start would scan everything, or trust a directory that was not closed."""
    store = make_store(tmp_path)
    assert not store.was_clean
    log = store.open_log("a.b-c", 3, SMALL, topic_id=TOPIC_ID)
    for _ in range(4):
        log.append(batch(2), leader_epoch=0, now_ms=NOW_MS)
    log.advance_high_watermark(7)
    log.delete_before(5)
    store.close(clean=True, broker_epoch=12)
    names = os.listdir(tmp_path)
    assert (tmp_path / ".kafka_cleanshutdown").read_bytes() == b'{"version":0,"brokerEpoch":12}'
    for name, offset in (("recovery-point", 8), ("replication", 7), ("log-start", 5)):
        expected = f"0\n1\na.b-c 3 {offset}\n"
        assert (tmp_path / f"{name}-offset-checkpoint").read_text() == expected, names
    again = make_store(tmp_path)
    assert (again.was_clean, again.broker_epoch) == (True, 12)
    assert ".kafka_cleanshutdown" not in os.listdir(tmp_path)
    assert again.partitions() == [("a.b-c", 3)]
    assert again.topic_id_of("a.b-c", 3) == TOPIC_ID
    log = again.open_log("a.b-c", 3, SMALL)
    assert (log.log_start_offset, log.high_watermark, log.log_end_offset, log.recovery_point) == (5, 7, 8, 8)
    again.close(clean=False)
    assert not make_store(tmp_path).was_clean


async def test_handles_are_bounded(tmp_path: Path) -> None:
    """Ten thousand partitions would use up the process's descriptors."""
    store = make_store(tmp_path, max_open_files=7)
    before = len(os.listdir("/proc/self/fd"))
    logs = [store.open_log("t", index, SMALL) for index in range(40)]
    expected: dict[int, int] = dict.fromkeys(range(40), 0)
    chance = Random(2)
    for _ in range(400):
        index = chance.randrange(40)
        logs[index].append(batch(1), leader_epoch=0, now_ms=NOW_MS)
        expected[index] += 1
        assert len(os.listdir("/proc/self/fd")) - before <= 8
    for index, log in enumerate(logs):
        assert log.log_end_offset == expected[index]
        assert len(await read_all(log)) == log.size
    store.close(clean=True)
    again = make_store(tmp_path, max_open_files=7)
    for index in range(40):
        assert again.open_log("t", index, SMALL).log_end_offset == expected[index]
    again.close()


async def test_deletion(tmp_path: Path) -> None:
    """A topic made again under its old name would have the old one's records."""
    store = make_store(tmp_path)
    long_name = "x" * 249
    for name in ("t", long_name):
        log = store.open_log(name, 0, SMALL)
        log.append(batch(), leader_epoch=0, now_ms=NOW_MS)
        store.delete_log(name, 0)
        assert not (tmp_path / f"{name}-0").exists()
        assert store.open_log(name, 0, SMALL).log_end_offset == 0
    async with asyncio.timeout(60):
        while any(name.endswith("-delete") for name in os.listdir(tmp_path)):
            await asyncio.sleep(0.001)
    store.close()


async def test_properties(tmp_path: Path) -> None:
    """Kafka would refuse our directory, or we Kafka's."""
    store = make_store(tmp_path)
    assert store.read_properties() is None
    store.write_properties({"version": "1", "cluster.id": "MkU3OEVBNTcwNTJENDM2Qg", "node.id": "1"})
    assert store.read_properties() == {"version": "1", "cluster.id": "MkU3OEVBNTcwNTJENDM2Qg", "node.id": "1"}
    (tmp_path / "meta.properties").write_text("#\n#Mon Nov 23 2026\nnode.id=1\nversion=1\n")
    assert store.read_properties() == {"node.id": "1", "version": "1"}
    store.close()


@pytest.mark.parametrize("text", ["", "1\n0\n", "0\n2\na 0 1\n", "0\n1\na 0\n", "0\nx\n", "0\n1\na 0 b\n", "\xff"])
def test_damaged_checkpoints_count_as_empty(tmp_path: Path, text: str) -> None:
    """A start would fail for a file that only shortens it."""
    path = tmp_path / "checkpoint"
    path.write_bytes(text.encode("latin-1"))
    assert OffsetCheckpoint(Disk(), str(path)).read() == {}
    epochs = LeaderEpochs(Disk(), str(path))
    epochs.load()
    assert epochs.entries == []


def test_ends_of_epochs(tmp_path: Path) -> None:
    """A follower would truncate too much, or keep what the leader never had."""
    epochs = LeaderEpochs(Disk(), str(tmp_path / "e"))
    assert epochs.end_offset(3, 50) == (-1, -1)
    for epoch, start in ((2, 10), (4, 20), (4, 25), (7, 30)):
        epochs.assign(epoch, start)
    assert epochs.entries == [(2, 10), (4, 20), (7, 30)]
    assert [epochs.end_offset(epoch, 50) for epoch in (-1, 1, 2, 3, 4, 6, 7, 8)] == [
        (-1, -1),
        (1, 10),
        (2, 20),
        (2, 20),
        (4, 30),
        (4, 30),
        (7, 50),
        (-1, -1),
    ]
    assert [epochs.epoch_at(offset) for offset in (9, 10, 19, 20, 99)] == [-1, 2, 2, 4, 7]
    epochs.truncate_from_start(22)
    assert epochs.entries == [(4, 22), (7, 30)]
    epochs.truncate_from_end(30)
    assert epochs.entries == [(4, 22)]
    epochs.assign(3, 40)
    assert epochs.entries == [(3, 40)], "what contradicts a later assignment goes"
