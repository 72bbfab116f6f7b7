"""The store of committed offsets, in what the stories cannot show: transactions, and a topic's former lives."""

from __future__ import annotations

from random import Random

from minikafka.coordinator.groups import Groups
from minikafka.coordinator.members import Caller, GroupSettings, Outcome, Waiter
from minikafka.coordinator.offsets import Offsets
from protocol.kafka.errors import UnstableOffsetCommit
from protocol.kafka.messages.groups import (
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponsePartitions,
)
from protocol.kafka.messages.stored import OffsetCommitKey, OffsetCommitValue

KEY = OffsetCommitKey(group="g", topic="t", partition=0)


def value(offset: int, topic_id: bytes = bytes(16)) -> OffsetCommitValue:
    return OffsetCommitValue(offset=offset, metadata="", commit_timestamp=1, topic_id=topic_id)


def committed(offsets: Offsets) -> int | None:
    found = offsets.find("g", "t", 0)
    return None if found is None else found.offset


def test_transaction_counts_from_its_marker_on() -> None:
    """Offsets of an open transaction are handed out, or those of a committed one never are."""
    offsets = Offsets()
    offsets.replay(KEY, value(5), 0, -1)
    offsets.replay(KEY, value(7), 1, 4000)
    assert committed(offsets) == 5
    assert offsets.is_pending("g", "t", 0)
    assert not offsets.is_pending("g", "t", 1)
    offsets.end_transaction(4000, is_commit=True)
    assert committed(offsets) == 7
    assert not offsets.is_pending("g", "t", 0)
    assert not offsets.has_open_transactions("g")


def test_aborted_transaction_never_was() -> None:
    """An aborted transaction moves a group's offset."""
    offsets = Offsets()
    offsets.replay(KEY, value(7), 0, 4000)
    offsets.end_transaction(4000, is_commit=False)
    offsets.end_transaction(4000, is_commit=True)
    assert committed(offsets) is None
    assert not offsets.pending


def test_plain_commit_after_it_wins_over_a_transaction() -> None:
    """A late marker takes a group back to an older offset."""
    offsets = Offsets()
    offsets.replay(KEY, value(7), 0, 4000)
    offsets.replay(KEY, value(9), 1, -1)
    offsets.end_transaction(4000, is_commit=True)
    assert committed(offsets) == 9


def test_tombstone_reaches_into_open_transactions() -> None:
    """A deleted offset rises again when the transaction commits."""
    offsets = Offsets()
    offsets.replay(KEY, value(7), 0, 4000)
    offsets.replay(KEY, None, 1, -1)
    assert not offsets.is_pending("g", "t", 0)
    offsets.end_transaction(4000, is_commit=True)
    assert committed(offsets) is None


def test_deleting_a_group_names_every_offset_once() -> None:
    """A group's offsets survive it, or have two tombstones each."""
    offsets = Offsets()
    offsets.replay(KEY, value(5), 0, -1)
    offsets.replay(KEY, value(6), 1, 4000)
    offsets.replay(OffsetCommitKey(group="g", topic="u", partition=3), value(6), 2, 4000)
    out = Outcome()
    offsets.forget_group("g", out)
    assert [(key.topic, key.partition, gone) for key, gone in out.records] == [("t", 0, None), ("u", 3, None)]


def fetch(groups: Groups, topic_id: bytes, *, stable: bool) -> OffsetFetchResponsePartitions:
    topics = [OffsetFetchRequestTopics(name="t", topic_id=topic_id, partition_indexes=[0])]
    asked = (OffsetFetchRequestGroup(group_id="g", topics=topics), stable)
    out = Outcome()
    groups.fetch_offsets(asked, Caller("c", "/h", 10), Waiter(lambda code: code), out, 0)
    answer: OffsetFetchResponsePartitions = out.replies[0][1].topics[0].partitions[0]
    return answer


def test_only_the_topic_that_was_read_has_the_offset() -> None:
    """A consumer of a topic that was deleted and created again starts where the old one ended."""
    groups = Groups(GroupSettings(), Random(1))
    old, new = b"o" * 16, b"n" * 16
    groups.replay(KEY, value(5, old), 0, 0, is_live=False)
    assert fetch(groups, old, stable=False).committed_offset == 5
    assert fetch(groups, bytes(16), stable=False).committed_offset == 5
    assert fetch(groups, new, stable=False).committed_offset == -1


def test_stable_means_no_open_transaction() -> None:
    """A consumer that asks for stable offsets reads records again that a transaction has already counted."""
    groups = Groups(GroupSettings(), Random(1))
    groups.replay(KEY, value(5), 0, 0, is_live=False)
    groups.replay(KEY, value(6), 1, 0, is_live=False, producer_id=4000)
    assert fetch(groups, bytes(16), stable=False).committed_offset == 5
    unstable = fetch(groups, bytes(16), stable=True)
    assert (unstable.committed_offset, unstable.error_code) == (-1, UnstableOffsetCommit.code)
