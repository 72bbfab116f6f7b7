"""What the quorum keeps beside its log, in Kafka's own files.

    __cluster_metadata-0/quorum-state                   {"leaderId":1,"leaderEpoch":4,"votedId":-1,
                                                         "votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}
                                                        (kraft.version 0: as Kafka's data_version 0, with the voters)
    __cluster_metadata-0/<end offset, 20 digits>-<epoch, 10 digits>.checkpoint      a snapshot
    bootstrap.checkpoint                                the first records of a new cluster

A snapshot is record batches: a control batch {SnapshotHeader, KRaftVersion, Voters} from offset 0 in epoch 0, data
batches in the snapshot's epoch, a control batch {SnapshotFooter}. It is named by the offset AFTER the last record it
stands for, written under another name and renamed when it is whole, and never changed again.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from minikafka.raft.messages import OffsetAndEpoch
from minikafka.raft.quorum import KRAFT_VERSION, Endpoint, Voter, Voters
from minikafka.raft.terms import Election
from protocol.disk.files import Disk
from protocol.kafka.batch import CONTROL, iterate, verify_crc
from protocol.kafka.messages import quorum
from protocol.kafka.primitives import Buffer, ProtocolError
from protocol.kafka.records import build_batch, build_control_batch, control_type, each_record
from protocol.kafka.schema import Message

QUORUM_STATE = "quorum-state"
QUORUM_STATE_VERSION = 1
CHECKPOINT = re.compile(r"(\d{20})-(\d{10})\.checkpoint", re.ASCII)
BOOTSTRAP_CHECKPOINT = "bootstrap.checkpoint"
ON_ITS_WAY = ".part"  # behind the name of a snapshot that is being fetched
RECORDS_PER_BATCH = 1000  # in a snapshot: what one batch of it may hold
READ_ONLY_MODE = 0o400

CONTROL_VERSION = 0  # of all control records; their first field says so
Control = tuple[int, Message]  # a control record: its type and what it says

LEADER_CHANGE, SNAPSHOT_HEADER, SNAPSHOT_FOOTER, KRAFT_VERSION_RECORD, VOTERS_RECORD = 2, 3, 4, 5, 6


def id_text(identity: bytes) -> str:
    """16 bytes as Kafka prints a Uuid."""
    return base64.urlsafe_b64encode(identity).decode().rstrip("=")


def id_bytes(text: str) -> bytes:
    """The 16 bytes of a printed Uuid; ValueError when it is none."""
    found = base64.urlsafe_b64decode(text + "==")
    if len(found) != 16:
        raise ValueError(f"not a Uuid: {text!r}")
    return found


class SnapshotId(OffsetAndEpoch):
    """Names a snapshot: everything before `end_offset`, whose last record was of `epoch`."""

    __slots__ = ()

    @property
    def file_name(self) -> str:
        return f"{self.end_offset:020d}-{self.epoch:010d}.checkpoint"


class UnusableMetadata(ValueError):
    """Metadata on disk a broker cannot start on; the text says which file, and why."""


class Storage:
    """The files of the quorum in the metadata log's directory."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self.disk = disk
        self.directory = directory

    # ---- quorum-state

    def read_election(self) -> Election:
        """What was remembered; the beginning of time when there is no file."""
        path = f"{self.directory}/{QUORUM_STATE}"
        if not self.disk.exists(path):
            return Election()
        try:
            state = json.loads(self.disk.read(path))
            return Election(
                state["leaderEpoch"],
                state["leaderId"],
                state.get("votedId", -1),
                id_bytes(state["votedDirectoryId"]) if "votedDirectoryId" in state else bytes(16),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnusableMetadata(
                f"{path} is damaged, and says no more how this node voted ({error}). "
                "A node that is its quorum's only voter can do without: remove the file."
            ) from None

    def write_election(self, election: Election, voters: Voters) -> None:
        """Remember; on disk when this returns."""
        state: dict[str, object] = {
            "leaderId": election.leader_id,
            "leaderEpoch": election.epoch,
            "votedId": election.voted_id,
        }
        if voters.are_static:
            everybody = [{"voterId": voter.id} for voter in voters]
            state = {"clusterId": "", **state, "appliedOffset": 0, "currentVoters": everybody, "data_version": 0}
        else:
            state["votedDirectoryId"] = id_text(election.voted_directory_id)
            state["data_version"] = QUORUM_STATE_VERSION
        self.disk.write_atomically(
            f"{self.directory}/{QUORUM_STATE}", json.dumps(state, separators=(",", ":")).encode()
        )

    # ---- snapshots

    def snapshots(self) -> list[SnapshotId]:
        """The whole snapshots there are, oldest first."""
        names = (CHECKPOINT.fullmatch(name) for name in self.disk.list(self.directory))
        return sorted(SnapshotId(int(name[1]), int(name[2])) for name in names if name)

    def read_snapshot(self, snapshot: SnapshotId) -> Snapshot:
        return read_snapshot(self.disk, f"{self.directory}/{snapshot.file_name}")

    def write_snapshot(
        self, snapshot: SnapshotId, voters: Voters, values: Iterable[bytes], now_ms: int, last_append_ms: int
    ) -> int:
        """Write a snapshot of these record values; its size in bytes. On disk when this returns."""
        header = quorum.SnapshotHeaderRecord(version=CONTROL_VERSION, last_contained_log_timestamp=last_append_ms)
        head = [(SNAPSHOT_HEADER, header), *voters_records(voters)]
        data = b"".join(snapshot_batches(head, values, snapshot.epoch, now_ms))
        path = f"{self.directory}/{snapshot.file_name}"
        self.disk.write_atomically(path, data)
        self.disk.set_mode(path, READ_ONLY_MODE)
        return len(data)

    def write_bootstrap(self, path: str, values: Iterable[bytes], now_ms: int) -> None:
        """Write a bootstrap checkpoint: a snapshot of no voters, before the first epoch."""
        header = quorum.SnapshotHeaderRecord(version=CONTROL_VERSION, last_contained_log_timestamp=0)
        self.disk.write_atomically(path, b"".join(snapshot_batches([(SNAPSHOT_HEADER, header)], values, 0, now_ms)))

    def read_piece(self, snapshot: OffsetAndEpoch, position: int, max_bytes: int) -> tuple[int, bytes] | None:
        """(size of the file, bytes from `position` on); None where there is no such snapshot."""
        path = f"{self.directory}/{SnapshotId(*snapshot).file_name}"
        if not self.disk.exists(path):
            return None
        file = self.disk.open(path, create=False, read_only=True)
        try:
            return file.size, file.read(position, max_bytes)
        finally:
            file.close()

    def keep_piece(self, snapshot: OffsetAndEpoch, position: int, data: Buffer, *, is_last: bool) -> None:
        """Keep a piece of a snapshot that is on its way; the last makes it one, on disk when this returns."""
        path = f"{self.directory}/{SnapshotId(*snapshot).file_name}"
        begin = self.disk.open if position else self.disk.create
        file = begin(f"{path}{ON_ITS_WAY}")
        try:
            file.truncate(position)
            file.append(data)
            if is_last:
                file.sync()
        finally:
            file.close()
        if is_last:
            read_snapshot(self.disk, f"{path}{ON_ITS_WAY}")  # raises where it is not whole
            self.disk.set_mode(f"{path}{ON_ITS_WAY}", READ_ONLY_MODE)
            self.disk.rename(f"{path}{ON_ITS_WAY}", path)
            self.disk.sync_dir(self.directory)

    def snapshot_size(self, snapshot: SnapshotId) -> int:
        return self.disk.size(f"{self.directory}/{snapshot.file_name}")

    def remove_snapshot(self, snapshot: SnapshotId) -> None:
        self.disk.remove(f"{self.directory}/{snapshot.file_name}")


class Snapshot(NamedTuple):
    """A snapshot as it was read."""

    voters: Voters | None
    values: list[bytes]
    last_append_ms: int


def read_snapshot(disk: Disk, path: str) -> Snapshot:
    """The records of a snapshot file, each batch checked. UnusableMetadata when it is not whole: half of the topics
    would be worse than none, for the others' partitions would be taken for strays."""
    try:
        return _read_snapshot(disk.read(path))
    except ProtocolError as error:
        raise UnusableMetadata(f"the metadata snapshot {path} is damaged: {error}") from None


def _read_snapshot(data: bytes) -> Snapshot:
    voters, values, last_append_ms, is_whole = None, [], -1, False
    for header, one in iterate(data):
        if not verify_crc(one):
            raise ProtocolError(f"the batch at {header.base_offset} has another checksum than it says")
        if not header.attributes & CONTROL:
            values += values_in(one)
            continue
        for kind, value in control_records(one):
            if kind == SNAPSHOT_HEADER:
                last_append_ms = quorum.SnapshotHeaderRecord.decode(0, value).last_contained_log_timestamp
            elif kind == VOTERS_RECORD:
                voters = voters_of(value)
            elif kind == SNAPSHOT_FOOTER:
                is_whole = True
    if not is_whole:
        raise ProtocolError("it ends before its last record")
    return Snapshot(voters, values, last_append_ms)


def snapshot_batches(head: Sequence[Control], values: Iterable[bytes], epoch: int, now_ms: int) -> Iterator[bytes]:
    """The batches of a snapshot, in order."""
    yield control_batch(head, base_offset=0, epoch=0, now_ms=now_ms)
    offset = len(head)
    held: list[bytes] = []
    for value in values:
        held.append(value)
        if len(held) == RECORDS_PER_BATCH:
            yield data_batch(held, base_offset=offset, epoch=epoch, now_ms=now_ms)
            offset, held = offset + len(held), []
    if held:
        yield data_batch(held, base_offset=offset, epoch=epoch, now_ms=now_ms)
        offset += len(held)
    footer: list[Control] = [(SNAPSHOT_FOOTER, quorum.SnapshotFooterRecord(version=CONTROL_VERSION))]
    yield control_batch(footer, base_offset=offset, epoch=epoch, now_ms=now_ms)


# ---- control records and batches


def voters_records(voters: Voters) -> list[Control]:
    """The two control records that say who votes."""
    listed = [
        quorum.VotersRecordVoter(
            voter_id=voter.id,
            voter_directory_id=voter.directory_id,
            endpoints=[
                quorum.VotersRecordEndpoint(name=end.name, host=end.host, port=end.port) for end in voter.endpoints
            ],
            kraft_version_feature=quorum.KRaftVersionFeature(
                min_supported_version=0, max_supported_version=KRAFT_VERSION
            ),
        )
        for voter in voters.by_id.values()
    ]
    return [
        (KRAFT_VERSION_RECORD, quorum.KRaftVersionRecord(version=CONTROL_VERSION, kraft_version=KRAFT_VERSION)),
        (VOTERS_RECORD, quorum.VotersRecord(version=CONTROL_VERSION, voters=listed)),
    ]


def leader_change(leader_id: int, voters: Voters, granted: set[int]) -> Control:
    """The control record an epoch begins with."""
    everybody = [
        quorum.LeaderChangeMessageVoter(voter_id=one.id, voter_directory_id=one.directory_id) for one in voters
    ]
    granting = [voter for voter in everybody if voter.voter_id in granted]
    message = quorum.LeaderChangeMessage(
        version=CONTROL_VERSION, leader_id=leader_id, voters=everybody, granting_voters=granting
    )
    return LEADER_CHANGE, message


def voters_of(value: bytes) -> Voters:
    """The voters a control record names."""
    record = quorum.VotersRecord.decode(0, value)
    return Voters(
        Voter(
            one.voter_id,
            bytes(one.voter_directory_id),
            tuple(Endpoint(end.name, end.host, end.port) for end in one.endpoints),
        )
        for one in record.voters
    )


def control_batch(changes: Sequence[Control], *, base_offset: int, epoch: int, now_ms: int) -> bytes:
    """One batch of control records."""
    return build_control_batch(
        [(kind, message.encode(CONTROL_VERSION)) for kind, message in changes],
        timestamp_ms=now_ms,
        base_offset=base_offset,
        leader_epoch=epoch,
    )


def data_batch(values: Iterable[bytes], *, base_offset: int, epoch: int, now_ms: int) -> bytes:
    """One batch of metadata records."""
    return build_batch([(now_ms, None, value) for value in values], base_offset=base_offset, leader_epoch=epoch)


def control_records(one: Buffer) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each control record of a batch."""
    for record in each_record(one):
        yield control_type(record), bytes(record.value or b"")


def values_in(one: Buffer) -> list[bytes]:
    """The metadata records of a batch, as bytes."""
    return [bytes(record.value) for record in each_record(one) if record.value is not None]
