"""A file beside the log, damaged: the start mends it, or says in one line which it is. No record is lost."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from minikafka.broker import Broker, StartError
from minikafka.raft.storage import UnusableMetadata
from protocol.kafka.batch import iterate
from protocol.ops.clock import Clock
from tests.unit.minikafka.log import batch
from tests.unit.minikafka.wiring.test_broker import Client, broker, create, running  # noqa: F401

START_MS = Clock().wall_ms()  # of the records: producers of old ones are forgotten
BATCHES = 12
RECORDS = 40
METADATA = "__cluster_metadata-0"
CLEAN_MARK = ".kafka_cleanshutdown"
GARBAGE = bytes(range(256)) * 20

Damage = Callable[[bytes], bytes | None]  # what becomes of a file's bytes; None removes it
DAMAGES: dict[str, Damage] = {
    "removed": lambda data: None,
    "empty": lambda data: b"",
    "garbage": lambda data: GARBAGE[7 : 7 + max(len(data) // 4 * 4, 40)],
    "half": lambda data: data[: len(data) // 2],
    "a bit": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :],
}


async def written(directory: Path) -> None:
    """A stopped broker's directory: a topic in several segments, and a snapshot of the metadata."""
    one = broker(directory, log_index_interval_bytes="100")
    await one.start()
    async with Client(one) as client:
        await create(client, "kept")
    log = one.replicas.partition("kept", 0).log
    for at in range(BATCHES):
        if at % 4 == 0 and at:
            log.roll()
        made = batch(RECORDS, timestamp=START_MS + at * RECORDS, producer_id=5, epoch=0, sequence=at * RECORDS)
        one.replicas.partition("kept", 0).append_as_leader(made)
    one.snapshot()
    await one.stop()


def offsets(one: Broker) -> list[int]:
    """The first offset of every batch that readers find, reading on from where they are."""
    log = one.replicas.partition("kept", 0).log
    found, offset = [], 0
    while offset < log.log_end_offset:
        read = log.read(offset, 1 << 20, up_to=log.log_end_offset)
        assert not isinstance(read, asyncio.Future)
        bases = [header.base_offset for header, _ in iterate(read.records)]
        assert bases
        found += bases
        offset = read.next_offset
    return found


async def check(directory: Path) -> None:
    """All records are there, are found by time, and the last batch is known to have come."""
    one = broker(directory)
    await one.start()
    try:
        partition = one.replicas.partition("kept", 0)
        assert offsets(one) == list(range(0, BATCHES * RECORDS, RECORDS))
        for at in range(BATCHES):
            found = partition.log.offset_for_time(START_MS + at * RECORDS)
            assert found is not None
            assert found.offset == at * RECORDS
        for offset in range(0, BATCHES * RECORDS, 17):
            read = partition.log.read(offset, 1, up_to=partition.log.log_end_offset)
            assert not isinstance(read, asyncio.Future)
            assert next(iterate(read.records))[0].base_offset == offset // RECORDS * RECORDS
        again = batch(RECORDS, timestamp=START_MS, producer_id=5, epoch=0, sequence=(BATCHES - 1) * RECORDS)
        assert partition.append_as_leader(again).first_offset == (BATCHES - 1) * RECORDS
    finally:
        await one.stop()


def held(directory: Path) -> dict[Path, bytes]:
    """What lies there, but for the mark of a clean stop, which a start takes away."""
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != CLEAN_MARK}


def beside_the_log(directory: Path) -> list[Path]:
    return [
        file.relative_to(directory)
        for file in sorted(directory.rglob("*"))
        if file.is_file() and file.suffix != ".log" and file.name not in (".lock", "meta.properties")
    ]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("is_clean", [True, False], ids=["stopped", "killed"])
async def test_every_file_beside_the_log(tmp_path: Path, damage: str, is_clean: bool) -> None:
    """One bad byte in an index or a checkpoint would hide records, or keep the broker from starting without a word."""
    whole = tmp_path / "whole"
    await written(whole)
    if not is_clean:
        (whole / ".kafka_cleanshutdown").unlink()
    files = beside_the_log(whole)
    assert {file.suffix for file in files} >= {".index", ".timeindex", ".snapshot", ".checkpoint"}
    for file in files:
        if file.name == "partition.metadata" and damage == "a bit":
            continue  # it names another topic now: the records are put aside, as those of a deleted topic's namesake
        one = tmp_path / "damaged"
        shutil.copytree(whole, one)
        data = DAMAGES[damage]((one / file).read_bytes() or b"\0")
        (one / file).unlink()
        if data is not None:
            (one / file).write_bytes(data)
        refused = ""
        try:
            await check(one)
        except (StartError, UnusableMetadata) as line:
            refused = str(line)
        except BaseException as problem:
            problem.add_note(f"{file} {damage}")
            raise
        assert not refused or (file.parts[0] == METADATA and file.name in refused), f"{file} {damage}: {refused}"
        shutil.rmtree(one)


@pytest.mark.parametrize("damage", ["empty", "half", "a bit", "garbage"])
async def test_a_snapshot_is_whole_or_refused(tmp_path: Path, damage: str) -> None:
    """Half of the topics would be gone, and their partitions put aside as strays."""
    await written(tmp_path)
    newest = sorted((tmp_path / METADATA).glob("*.checkpoint"))[-1]
    data = DAMAGES[damage](newest.read_bytes())
    assert data is not None
    newest.unlink()
    newest.write_bytes(data)
    one = broker(tmp_path)
    with pytest.raises(UnusableMetadata, match=newest.name):
        await one.start()
    assert (tmp_path / "kept-0").is_dir()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"(?s).*", None),
        (r"(?s).*", ""),
        (r"(?s).*", "\0\ufffd" * 40),
        (r"cluster.id=.*\n", ""),
        (r"cluster.id=.*\n", "cluster.id=\n"),
        (r"node.id=.*\n", ""),
        (r"version=1", "version=2"),
    ],
    ids=["gone", "empty", "garbage", "no cluster", "an empty cluster", "no node", "a version to come"],
)
async def test_a_cluster_keeps_its_name(tmp_path: Path, old: str, new: str | None) -> None:
    """A directory with data would be formatted for another cluster because one small file was lost."""
    await written(tmp_path)
    file = tmp_path / "meta.properties"
    if new is None:
        file.unlink()
    else:
        file.write_text(re.sub(old, new, file.read_text(), count=1))
    before = held(tmp_path)
    with pytest.raises(StartError, match=r"meta\.properties"):
        await broker(tmp_path).start()
    assert held(tmp_path) == before
