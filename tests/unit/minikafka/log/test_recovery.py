# ruff: noqa: ASYNC240
"""Starts after a stop that was none: cut, torn, flipped, with indexes gone."""

import random
import zlib
from pathlib import Path

import pytest

from minikafka.log.config import LogConfig
from minikafka.log.log import Log
from minikafka.log.segment import LegacyFormat
from protocol.kafka.batch import BatchHeader, iterate, stamped_front
from tests.unit.minikafka.log import NOW_MS, batch, make_log, read, read_all

SMALL = LogConfig(index_bytes=4096, index_interval_bytes=100)


def fill(log: Log, batches: int, *, producer_id: int = -1, sequence: int = 0) -> list[tuple[int, int]]:
    """Append batches of 1, 2, 3, … records; each one's end (offset, position in the log)."""
    ends = []
    for count in range(1, batches + 1):
        made = batch(count, producer_id=producer_id, sequence=sequence if producer_id >= 0 else -1)
        sequence += count
        log.append(made, leader_epoch=1, now_ms=NOW_MS)
        ends.append((log.log_end_offset, log.size))
    return ends


@pytest.mark.parametrize("was_clean", [False, True])
async def test_cut_at_every_byte_of_its_last_two_batches(tmp_path: Path, was_clean: bool) -> None:
    """An acknowledged batch would be lost, or half a batch served, after a machine or somebody cut the file short."""
    log = make_log(tmp_path / "t-0", SMALL)
    log.open()
    ends = fill(log, 6)
    log.close(clean=True)
    path = log.active.log.path
    whole = Path(path).read_bytes()
    for cut in range(ends[3][1], ends[5][1] + 1):
        Path(path).write_bytes(whole[:cut])
        for snapshot in Path(tmp_path / "t-0").glob("*.snapshot"):
            snapshot.unlink()
        again = make_log(tmp_path / "t-0", SMALL)
        again.open(was_clean=was_clean, recovery_point=0)
        end, position = max(each for each in ends if each[1] <= cut)
        assert (again.log_end_offset, again.size) == (end, position), f"cut at {cut}"
        appended = again.append(batch(2), leader_epoch=2, now_ms=NOW_MS)
        assert appended.first_offset == end
        assert [header.base_offset for header, _ in iterate(await read_all(again))] == [
            *(start for start, _ in [(0, 0), *ends] if start < end),
            end,
        ]
        again.close(clean=False)


async def test_every_flipped_byte_of_the_last_batch_drops_it(tmp_path: Path) -> None:
    """A batch that was damaged on the medium would be served as if it were whole."""
    log = make_log(tmp_path / "t-0", SMALL)
    log.open()
    ends = fill(log, 3)
    log.close(clean=False)
    path = Path(log.active.log.path)
    whole = path.read_bytes()
    for at in range(ends[1][1], ends[2][1]):
        in_batch = at - ends[1][1]
        if 12 <= in_batch < 16:
            continue  # the leader epoch is not under the checksum
        damaged = bytearray(whole)
        damaged[at] ^= 0x40
        path.write_bytes(damaged)
        again = make_log(tmp_path / "t-0", SMALL)
        again.open()
        if in_batch < 8 and again.log_end_offset > ends[1][0]:
            # A base offset further on is one that compaction could have left.
            assert again.log_end_offset > ends[2][0]
        else:
            assert again.log_end_offset == ends[1][0], f"byte {in_batch} of the batch"
        again.close(clean=False)


async def test_damage_in_an_earlier_segment_drops_what_follows(tmp_path: Path) -> None:
    """Behind a hole there would be records whose offsets nobody can reach in order."""
    config = LogConfig(index_bytes=4096, segment_bytes=400)
    log = make_log(tmp_path / "t-0", config)
    log.open()
    for _ in range(12):
        log.append(batch(2, size=50), leader_epoch=1, now_ms=NOW_MS)
    assert len(log.segments) > 3
    second = log.segments[1]
    log.close(clean=False)
    path = Path(second.log.path)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    again = make_log(tmp_path / "t-0", config)
    again.open(recovery_point=0)
    assert [segment.base_offset for segment in again.segments] == [0, second.base_offset]
    assert second.base_offset <= again.log_end_offset < second.base_offset + 6
    assert sorted(Path(tmp_path / "t-0").glob("*.log.deleted"))
    again.close(clean=False)
    before_recovery_point = make_log(tmp_path / "t-0", config)
    before_recovery_point.open(recovery_point=again.log_end_offset)
    assert before_recovery_point.log_end_offset == again.log_end_offset
    assert not sorted(Path(tmp_path / "t-0").glob("*.deleted"))
    before_recovery_point.close(clean=False)


@pytest.mark.parametrize("damage", ["gone", "empty", "odd", "foreign", "zeros"])
async def test_indexes_are_only_hints(tmp_path: Path, damage: str) -> None:
    """A lost or damaged index would lose records, or a start would fail."""
    config = LogConfig(index_bytes=4096, index_interval_bytes=50, segment_bytes=1500)
    log = make_log(tmp_path / "t-0", config)
    log.open()
    fill(log, 20)
    whole = await read_all(log)
    log.close(clean=True)
    good = {path: path.read_bytes() for path in Path(tmp_path / "t-0").glob("*index")}
    for path, data in good.items():
        if damage == "gone":
            path.unlink()
        else:
            damaged = {"empty": b"", "odd": data + b"x", "foreign": b"\xff" * 24, "zeros": data + bytes(240)}
            path.write_bytes(damaged[damage])
    again = make_log(tmp_path / "t-0", config)
    again.open(was_clean=True)
    assert await read_all(again, 300) == whole
    again.close(clean=True)
    if damage != "empty":
        assert {path: path.read_bytes() for path in good} == good


async def test_messages_of_an_old_format_are_not_cut_off(tmp_path: Path) -> None:
    """A directory from before Kafka 0.11 would be emptied by our start."""
    (tmp_path / "t-0").mkdir()
    body = b"\x01\x00" + bytes(8) + b"\xff\xff\xff\xff" + (5).to_bytes(4, "big") + b"value"  # magic 1
    message = zlib.crc32(body).to_bytes(4, "big") + body
    old = bytes(8) + len(message).to_bytes(4, "big") + message + bytes(40)
    path = tmp_path / "t-0" / f"{0:020d}.log"
    path.write_bytes(old)
    with pytest.raises(LegacyFormat):
        make_log(tmp_path / "t-0").open()
    assert path.read_bytes() == old


async def test_leader_epochs_come_back_from_the_batches(tmp_path: Path) -> None:
    """Followers and consumers could not find where two logs part ways after a crash."""
    log = make_log(tmp_path / "t-0", SMALL)
    log.open()
    for epoch in (1, 1, 4, 5):
        log.append(batch(3), leader_epoch=epoch, now_ms=NOW_MS)
    log.close(clean=False)
    assert not (tmp_path / "t-0" / "leader-epoch-checkpoint").exists()
    again = make_log(tmp_path / "t-0", SMALL)
    again.open()
    assert again.epochs.entries == [(1, 0), (4, 6), (5, 9)]
    again.close(clean=True)
    assert (tmp_path / "t-0" / "leader-epoch-checkpoint").read_text() == "0\n3\n1 0\n4 6\n5 9\n"


async def test_a_producers_batches_are_known_after_a_kill(tmp_path: Path) -> None:
    """A producer that did not hear of its append would have it twice."""
    log = make_log(tmp_path / "t-0", LogConfig(index_bytes=4096, segment_bytes=400))
    log.open()
    fill(log, 8, producer_id=9)
    assert len(log.segments) > 2
    log.close(clean=False)
    again = make_log(tmp_path / "t-0", LogConfig(index_bytes=4096, segment_bytes=400))
    again.open()
    sequence = sum(range(1, 7))
    repeated = again.append(batch(7, producer_id=9, sequence=sequence), leader_epoch=1, now_ms=NOW_MS)
    assert repeated.is_duplicate
    assert repeated.first_offset == sequence
    again.close(clean=False)


async def test_random_stops(tmp_path: Path) -> None:
    """Some acknowledged batch would be lost, or some torn one kept, by one of 60 random stops in a row."""
    chance = random.Random(7)
    config = LogConfig(index_bytes=4096, index_interval_bytes=200, segment_bytes=2000)
    expected: list[bytes] = []
    for run in range(60):
        log = make_log(tmp_path / "t-0", config)
        log.open(was_clean=False, recovery_point=chance.choice([0, max(0, len(expected) - 5)]))
        assert await read_all(log, chance.randint(1, 3000)) == b"".join(expected)
        for _ in range(chance.randint(0, 12)):
            made = batch(chance.randint(1, 9), size=chance.randint(0, 99))
            appended = log.append(made, leader_epoch=run, now_ms=NOW_MS)
            expected.append(bytes((await read(log, appended.first_offset)).records))
        active = Path(log.active.log.path)
        log.close(clean=False)
        if chance.random() < 0.5:  # a batch whose write was interrupted: nobody was told of it
            whole = batch(5, size=50)
            torn = stamped_front(BatchHeader.peek(whole), log.log_end_offset, run) + whole[16:]
            active.write_bytes(active.read_bytes() + torn[: chance.randint(1, len(torn) - 1)])
