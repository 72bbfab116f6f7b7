"""The quorum of one: epochs, commits, snapshots, and what a stop at any moment leaves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random

import pytest

from minikafka.raft.machine import Machine
from minikafka.raft.node import Committed, Node
from minikafka.raft.quorum import Endpoint, Voter, Voters
from minikafka.raft.storage import (
    VOTERS_RECORD,
    SnapshotId,
    Storage,
    UnusableMetadata,
    control_records,
    id_bytes,
    id_text,
    read_snapshot,
    voters_of,
)
from minikafka.raft.terms import Election, Role
from protocol.disk.files import Disk
from protocol.kafka.batch import CONTROL, iterate
from protocol.kafka.primitives import Buffer
from protocol.ops.clock import Clock
from tests.sim.quorum import Entry, MemoryLog
from tests.unit.minikafka.log import to_list

ME = Voter(1, b"trial-broker-001", (Endpoint("CONTROLLER", "127.0.0.1", 31211),))
TWO, THREE = Voter(2, b"trial-broker-002"), Voter(3, b"trial-broker-003")


class MemoryJournal:
    """A log in memory that can lose what was not synced."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, bytes]] = []
        self.start_offset = 0
        self.synced = 0
        self.syncing: list[asyncio.Future[None]] = []

    @property
    def end_offset(self) -> int:
        if not self.batches:
            return self.start_offset
        header = next(iterate(self.batches[-1][1]))[0]
        return header.base_offset + header.last_offset_delta + 1

    @property
    def last_epoch(self) -> int:
        return next(iterate(self.batches[-1][1]))[0].leader_epoch if self.batches else 0

    @property
    def size(self) -> int:
        return sum(len(one) for _, one in self.batches)

    def end_of(self, epoch: int) -> tuple[int, int]:
        found = self.start_offset, 0
        for _, one in self.batches:
            header = next(iterate(one))[0]
            if header.leader_epoch <= epoch:
                found = header.base_offset + header.last_offset_delta + 1, header.leader_epoch
        return found

    def truncate_to(self, offset: int) -> None:
        self.batches = [(base, one) for base, one in self.batches if base < offset]

    def restart_at(self, offset: int) -> None:
        self.batches, self.start_offset = [], offset

    def append(self, batch: Buffer, epoch: int) -> None:
        header = next(iterate(batch))[0]
        assert header.base_offset == self.end_offset
        assert header.leader_epoch == epoch
        self.batches.append((header.base_offset, bytes(batch)))

    async def read(self, offset: int, max_bytes: int) -> Buffer:
        return next(one for base, one in reversed(self.batches) if base <= offset)

    def sync(self) -> None:
        self.synced = self.end_offset

    def sync_soon(self) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.syncing.append(future)
        return future

    def delete_before(self, offset: int) -> None:
        self.batches = [(base, one) for base, one in self.batches if base >= offset]
        self.start_offset = offset


class World:
    """A node, its files and what it handed down."""

    def __init__(self, directory: Path, journal: MemoryJournal) -> None:
        self.seen: list[Committed] = []
        self.failures: list[BaseException] = []
        self.journal = journal
        self.storage = Storage(Disk(), str(directory))
        loop = asyncio.get_running_loop()
        self.node = Node(
            ME,
            journal,
            self.storage,
            loop,
            Clock(),
            self.seen.append,
            self.failures.append,
            to_list(),
            random=Random(1),
        )

    @property
    def values(self) -> list[bytes]:
        return [value for one in self.seen for value in one.values]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_first_leader_says_who_leads_and_who_votes(tmp_path: Path) -> None:
    """A real Kafka opening the directory would find no voters."""
    world = World(tmp_path, MemoryJournal())
    await world.node.start()
    header, first = next(iterate(world.journal.batches[0][1]))
    assert header.attributes & CONTROL
    assert header.leader_epoch == 1
    kinds = dict(control_records(first))
    assert list(kinds) == [2, 5, 6]
    assert voters_of(kinds[VOTERS_RECORD]).by_id == {1: ME}
    assert world.node.machine.high_watermark == 3


async def test_every_start_is_a_new_epoch(tmp_path: Path) -> None:
    """Two leaders in one epoch: what one promised the other would overwrite."""
    journal = MemoryJournal()
    epochs = []
    for _ in range(3):
        world = World(tmp_path, journal)
        await world.node.start()
        epochs.append(world.node.machine.epoch)
        state = json.loads((tmp_path / "quorum-state").read_text())
        assert (state["leaderId"], state["leaderEpoch"], state["votedId"]) == (1, epochs[-1], -1)
    assert epochs == [1, 2, 3]
    assert [len(list(control_records(one))) for _, one in journal.batches] == [3, 1, 1], "voters are said once"


async def test_nothing_is_committed_before_it_is_synced(tmp_path: Path) -> None:
    """A topic a client was told of would be gone after a power cut."""
    world = World(tmp_path, MemoryJournal())
    await world.node.start()
    first = world.node.append([b"\1\x14\0\0"])
    second = world.node.append([b"\1\x14\0\0", b"\1\x18\0\0"])
    await settle()
    assert not world.seen
    assert not first.done()
    assert len(world.journal.syncing) == 1, "one fsync at a time"
    world.journal.syncing[0].set_result(None)
    await settle()
    assert first.result() == 3
    assert not second.done(), "the first fsync began before the second batch was there"
    world.journal.syncing[1].set_result(None)
    await settle()
    assert second.result() == 5
    assert [one.last_offset for one in world.seen] == [3, 5]


async def test_a_failed_sync_is_told_and_commits_nothing(tmp_path: Path) -> None:
    """The broker would go on on a disk that takes nothing."""
    world = World(tmp_path, MemoryJournal())
    await world.node.start()
    waiting = world.node.append([b"\1\x14\0\0"])
    world.journal.syncing[0].set_exception(OSError("disk full"))
    await settle()
    assert [str(one) for one in world.failures] == ["disk full"]
    assert not world.seen
    assert not waiting.done()


async def test_a_restart_replays_everything_in_order(tmp_path: Path) -> None:
    """State would be lost or doubled by a restart."""
    journal = MemoryJournal()
    world = World(tmp_path, journal)
    await world.node.start()
    for at in range(5):
        world.node.append([b"\1\x14\0" + bytes([at]), b"\1\x18\0" + bytes([at])])
        while journal.syncing:
            journal.syncing.pop().set_result(None)
            await settle()
    again = World(tmp_path, journal)
    await again.node.start()
    assert again.values == world.values
    assert len(again.values) == 10


async def test_a_snapshot_stands_for_the_log_before_it(tmp_path: Path) -> None:
    """After a snapshot and the removal of old segments the state would not come back."""
    journal = MemoryJournal()
    world = World(tmp_path, journal)
    await world.node.start()
    world.node.append([b"\1\x14\0\0"] * 2000)
    journal.syncing[0].set_result(None)
    await settle()
    values = [b"\1\x14\0" + bytes([at % 250]) for at in range(2500)]
    world.node.write_snapshot(values)
    name = SnapshotId(2003, 1).file_name
    assert name == "00000000000000002003-0000000001.checkpoint"
    snapshot = read_snapshot(Disk(), str(tmp_path / name))
    assert snapshot.values == values
    assert snapshot.voters is not None
    assert snapshot.voters.by_id == {1: ME}
    world.node.retain(0)
    assert journal.start_offset == 2003
    again = World(tmp_path, journal)
    await again.node.start()
    assert again.values == values
    assert again.node.end_offset == 2004


async def test_old_snapshots_go_the_newest_stays(tmp_path: Path) -> None:
    """The directory would fill with snapshots, or lose the only one."""
    journal = MemoryJournal()
    world = World(tmp_path, journal)
    await world.node.start()
    for _ in range(3):
        world.node.append([b"\1\x14\0\0"])
        journal.syncing.pop().set_result(None)
        await settle()
        world.node.write_snapshot([b"\1\x14\0\0"])
    assert len(world.storage.snapshots()) == 3
    world.node.retain(1 << 20)
    assert len(world.storage.snapshots()) == 3
    world.node.retain(0)
    assert world.storage.snapshots() == [SnapshotId(6, 1)]


async def test_a_directory_of_several_voters_is_refused(tmp_path: Path) -> None:
    """One node alone would decide what needs a majority."""
    journal = MemoryJournal()
    storage = Storage(Disk(), str(tmp_path))
    storage.write_snapshot(SnapshotId(7, 2), Voters([ME, TWO, THREE]), [], 0, 0)
    world = World(tmp_path, journal)
    journal.start_offset = 7
    with pytest.raises(UnusableMetadata, match="several voters"):
        await world.node.start()


def test_the_high_watermark_is_what_a_majority_holds() -> None:
    """A record would be called committed that a new leader does not have."""
    voters = Voters([ME, TWO, THREE])
    assert voters.majority == 2
    assert voters.high_watermark({1: 10}) == -1
    assert voters.high_watermark({1: 10, 2: 4}) == 4
    assert voters.high_watermark({1: 10, 2: 4, 3: 7}) == 7
    assert voters.high_watermark({1: 10, 2: 4, 9: 99}) == 4, "observers do not count"
    assert Voters([ME, TWO]).high_watermark({1: 10, 2: 3}) == 3
    assert Voters([ME]).high_watermark({1: 10}) == 10


def machine(remembered: Election, voters: Voters, me: Voter = ME, end_offset: int = 0) -> tuple[Machine, MemoryLog]:
    log = MemoryLog()
    log.entries += [Entry(remembered.epoch, 0)] * end_offset
    return Machine(me, voters, remembered, log, Random(1)), log


def test_nothing_of_an_older_epoch_is_committed_by_counting() -> None:
    """Raft's own trap (figure 8): a record of an earlier epoch that a majority holds may still be overwritten."""
    one, log = machine(Election(4, 1), Voters([ME]), end_offset=20)
    assert one.role is Role.RESIGNED
    outcome = one.start(0.0)
    assert outcome.became_leader
    assert [election.epoch for election in outcome.persist] == [5, 5]
    assert [election.voted_id for election in outcome.persist] == [1, -1]
    assert one.held(20, 0.0).high_watermark is None, "its own LeaderChange record is not there yet"
    log.entries.append(Entry(5, 0))
    assert one.held(21, 0.0).high_watermark == 21
    assert one.held(19, 0.0).high_watermark is None, "it never goes back"


def test_a_voter_among_others_does_not_stand_alone() -> None:
    """Three nodes would each lead their own cluster."""
    among, _ = machine(Election(), Voters([ME, TWO, THREE]))
    assert not among.start(0.0).became_leader
    stranger, _ = machine(Election(), Voters([ME]), Voter(1, b"another-disk-001"))
    assert not stranger.start(0.0).became_leader, "the same id on another disk is another voter"


def test_ids_are_printed_as_kafka_prints_them() -> None:
    """meta.properties and quorum-state could not be read by Kafka."""
    assert id_text(bytes(16)) == "A" * 22
    assert id_text(ME.directory_id) == "dHJpYWwtYnJva2VyLTAwMQ"
    assert id_bytes("dHJpYWwtYnJva2VyLTAwMQ") == ME.directory_id
    with pytest.raises(ValueError, match="not a Uuid"):
        id_bytes("abcd")


def test_a_snapshot_comes_in_pieces(tmp_path: Path) -> None:
    """A member that is far behind would begin with a damaged state; or what a loss of power left of an earlier
    attempt, another name of the snapshot in use, would be emptied."""
    disk = Disk()
    for folder in ("theirs", "mine"):
        (tmp_path / folder).mkdir()
    theirs, mine = Storage(disk, str(tmp_path / "theirs")), Storage(disk, str(tmp_path / "mine"))
    earlier, wanted = SnapshotId(2, 1), SnapshotId(5, 1)
    mine.write_snapshot(earlier, Voters([ME]), [b"old"], 1, 1)
    theirs.write_snapshot(wanted, Voters([ME]), [b"one", b"two"], 1, 1)
    kept = (tmp_path / "mine" / earlier.file_name).read_bytes()
    (tmp_path / "mine" / (wanted.file_name + ".part")).hardlink_to(tmp_path / "mine" / earlier.file_name)
    position = 0
    while True:
        found = theirs.read_piece(wanted, position, 100)
        assert found is not None
        size, data = found
        assert mine.snapshots() == [earlier]
        mine.keep_piece(wanted, position, data, is_last=position + len(data) == size)
        position += len(data)
        if position == size:
            break
    assert mine.read_snapshot(wanted).values == [b"one", b"two"]
    assert (tmp_path / "mine" / earlier.file_name).read_bytes() == kept
