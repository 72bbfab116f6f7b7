"""Idempotent producers and open transactions, through a log."""

from pathlib import Path

import pytest

from minikafka.log.aborted import AbortedTransaction
from minikafka.log.config import LogConfig
from minikafka.log.log import Appended, Log, Origin
from minikafka.log.producers import CorruptSnapshot, Producers
from protocol.kafka.batch import TRANSACTIONAL
from protocol.kafka.errors import (
    InvalidProducerEpoch,
    InvalidTxnState,
    OutOfOrderSequenceNumber,
    TransactionCoordinatorFenced,
)
from protocol.kafka.records import build_end_marker
from tests.unit.minikafka.log import NOW_MS, HandClock, batch, make_log

SMALL = LogConfig(index_bytes=4096)
MAX_SEQUENCE = (1 << 31) - 1


def put(log: Log, sequence: int, count: int = 1, *, producer: int = 5, epoch: int = 0, attributes: int = 0) -> Appended:
    made = batch(count, producer_id=producer, epoch=epoch, sequence=sequence, attributes=attributes)
    return log.append(made, leader_epoch=0, now_ms=NOW_MS)


def end(log: Log, *, commit: bool, producer: int = 5, epoch: int = 0, coordinator_epoch: int = 0) -> Appended:
    marker = build_end_marker(
        commit, timestamp_ms=NOW_MS, producer_id=producer, producer_epoch=epoch, coordinator_epoch=coordinator_epoch
    )
    return log.append(marker, leader_epoch=0, now_ms=NOW_MS, origin=Origin.COORDINATOR)


def opened(directory: Path, **how: bool) -> Log:
    log = make_log(directory / "t-0", SMALL)
    log.open(**how)
    return log


async def test_five_batches_are_remembered(tmp_path: Path) -> None:
    """A retry would be stored twice, or a success be answered with an error."""
    log = opened(tmp_path)
    for at in range(6):
        put(log, 3 * at, 3)
    for at in range(1, 6):
        again = put(log, 3 * at, 3)
        assert (again.first_offset, again.last_offset, again.is_duplicate) == (3 * at, 3 * at + 2, True)
    with pytest.raises(OutOfOrderSequenceNumber):
        put(log, 0, 3)
    with pytest.raises(OutOfOrderSequenceNumber):
        put(log, 15, 2)  # not the batch that was sent
    assert log.log_end_offset == 18


async def test_gaps_epochs_and_unknown_producers(tmp_path: Path) -> None:
    """Lost batches would go unnoticed, or a fenced producer go on writing."""
    log = opened(tmp_path)
    put(log, 700)  # its past may have been deleted
    with pytest.raises(OutOfOrderSequenceNumber):
        put(log, 702)
    put(log, 701)
    with pytest.raises(OutOfOrderSequenceNumber):
        put(log, 702, epoch=1)  # a new epoch begins at 0
    put(log, 0, epoch=1)
    with pytest.raises(InvalidProducerEpoch):
        put(log, 702, epoch=0)
    assert log.log_end_offset == 3


async def test_sequences_wrap(tmp_path: Path) -> None:
    """A producer could not write its 2^31st record."""
    log = opened(tmp_path)
    put(log, MAX_SEQUENCE - 1, 5)  # ends at 2
    again = put(log, MAX_SEQUENCE - 1, 5)
    assert again.is_duplicate
    assert put(log, 3).first_offset == 5


@pytest.mark.parametrize("clean", [True, False])
async def test_the_last_batch_survives_a_restart(tmp_path: Path, clean: bool) -> None:
    """A producer that retries over a restart would have its batch twice, or be refused."""
    log = opened(tmp_path)
    put(log, 0, 3)
    put(log, 3, 2)
    log.close(clean=clean)
    again = opened(tmp_path, was_clean=clean)
    repeated = put(again, 3, 2)
    assert (repeated.first_offset, repeated.is_duplicate) == (3, True)
    assert put(again, 5).first_offset == 5


async def test_silent_producers_are_forgotten(tmp_path: Path) -> None:
    """Every producer that ever wrote would stay in memory."""
    clock = HandClock()
    log = make_log(tmp_path / "t-0", SMALL, clock)
    log.open()
    put(log, 0)
    put(log, 0, producer=6, attributes=TRANSACTIONAL)
    log.enforce_retention(clock.now_ms + SMALL.producer_expiration_ms + 1)
    assert list(log.producers.by_id) == [6], "an open transaction keeps its producer"


async def test_transactions_hold_the_stable_offset(tmp_path: Path) -> None:
    """Readers of committed data would see undecided or aborted records."""
    log = opened(tmp_path)
    put(log, 0)
    put(log, 0, 2, producer=7, attributes=TRANSACTIONAL)  # 1-2
    put(log, 0, 3, producer=8, attributes=TRANSACTIONAL)  # 3-5
    log.advance_high_watermark(6)
    assert log.last_stable_offset == 1
    end(log, commit=False, producer=8)  # 6
    log.advance_high_watermark(7)
    assert log.last_stable_offset == 1
    end(log, commit=True, producer=7)  # 7
    assert log.last_stable_offset == 1, "its end is not replicated yet"
    log.advance_high_watermark(8)
    assert log.last_stable_offset == 8
    assert log.aborted_between(0, 8) == [AbortedTransaction(8, 3, 6, 1)]
    assert log.aborted_between(0, 3) == []
    assert log.aborted_between(7, 8) == []
    log.close(clean=False)
    again = opened(tmp_path)
    assert again.aborted_between(0, 8) == [AbortedTransaction(8, 3, 6, 1)]
    again.truncate_to(6)
    assert again.aborted_between(0, 8) == []
    assert again.producers.first_unstable == 1


async def test_fences_of_a_transaction(tmp_path: Path) -> None:
    """A zombie coordinator could end a transaction, or plain records slip into one."""
    log = opened(tmp_path)
    put(log, 0, attributes=TRANSACTIONAL)
    with pytest.raises(InvalidTxnState):
        put(log, 1)
    end(log, commit=True, coordinator_epoch=3)
    with pytest.raises(TransactionCoordinatorFenced):
        end(log, commit=False, coordinator_epoch=2)
    with pytest.raises(InvalidProducerEpoch):
        end(log, commit=False, epoch=-1, coordinator_epoch=4)


@pytest.mark.parametrize("damage", [b"", b"\0", b"\0\1" + bytes(8) + b"x"])
def test_damaged_snapshots_are_refused(damage: bytes) -> None:
    """Invented producers would refuse good batches."""
    with pytest.raises(CorruptSnapshot):
        Producers.decode(damage)


async def test_a_damaged_snapshot_is_replaced_by_the_log(tmp_path: Path) -> None:
    """A start would fail, or forget a producer, for a file that can be made again."""
    log = opened(tmp_path)
    put(log, 0, 3)
    log.close(clean=True)
    snapshot = f"{tmp_path}/t-0/{3:020d}.snapshot"
    with open(snapshot, "r+b") as file:  # noqa: ASYNC230
        file.seek(20)
        file.write(b"\xff")
    again = opened(tmp_path, was_clean=True)
    assert put(again, 0, 3).is_duplicate
