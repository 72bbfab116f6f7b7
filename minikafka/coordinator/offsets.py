"""Committed offsets: a store of their own, apart from who is in a group.

    group ── topic ── partition ── Committed(offset, leader epoch, metadata, when)

An offset lives as long as its group needs it: while the group has members it stays; of an empty
group, and of a group that only ever committed ("simple"), it goes `offsets.retention.minutes` after
the group emptied or after the commit. Offsets committed inside a transaction wait beside the store
until the transaction's marker is replayed; the later of two commits, by its place in the log, wins.

The store changes by `replay` alone: live after our own append, and when a shard is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from minikafka.coordinator.members import Outcome
from protocol.kafka.messages.stored import OffsetCommitKey, OffsetCommitValue

NO_TOPIC_ID = bytes(16)


class Committed(NamedTuple):
    """What a group has committed for one partition; instants are ms since the epoch."""

    offset: int
    leader_epoch: int  # -1: the client named none
    metadata: str
    commit_ms: int
    expire_ms: int  # -1: by the broker's retention. Only clients before OffsetCommit v5 could ask for another
    topic_id: bytes  # of the topic the offset was committed for; zeros where the record does not say
    record_offset: int  # where in the log the commit stands


Topics = dict[str, dict[int, Committed]]


class Offsets:
    """The offsets of one shard's groups."""

    __slots__ = ("by_group", "open_transactions", "pending")

    def __init__(self) -> None:
        self.by_group: dict[str, Topics] = {}
        self.pending: dict[int, dict[str, Topics]] = {}  # producer id → group → …: transactions without their marker
        self.open_transactions: dict[str, set[int]] = {}  # group → producer ids with something in `pending`

    # ---- reading

    def find(self, group_id: str, topic: str, partition: int) -> Committed | None:
        return self.by_group.get(group_id, {}).get(topic, {}).get(partition)

    def topics(self, group_id: str) -> Topics:
        return self.by_group.get(group_id, {})

    def is_pending(self, group_id: str, topic: str, partition: int) -> bool:
        """Whether an open transaction may still change this offset."""
        return any(
            partition in self.pending[producer_id][group_id].get(topic, ())
            for producer_id in self.open_transactions.get(group_id, ())
        )

    def has_open_transactions(self, group_id: str) -> bool:
        return group_id in self.open_transactions

    # ---- deciding: each of these only writes records into the outcome

    def forget(self, group_id: str, topic: str, partition: int, out: Outcome) -> None:
        out.record(OffsetCommitKey(group=group_id, topic=topic, partition=partition), None)

    def forget_group(self, group_id: str, out: Outcome) -> None:
        """Tombstones for everything a group committed, in transactions still open too."""
        for topic, partition in self._everything(group_id):
            self.forget(group_id, topic, partition, out)

    def forget_topics(self, topics: Iterable[str], out: Outcome) -> None:
        """Tombstones for every offset of topics that were deleted."""
        gone = set(topics)
        for group_id in list(dict.fromkeys((*self.by_group, *self.open_transactions))):
            for topic, partition in self._everything(group_id):
                if topic in gone:
                    self.forget(group_id, topic, partition, out)

    def _everything(self, group_id: str) -> Iterator[tuple[str, int]]:
        stores = [self.by_group.get(group_id, {})]
        stores.extend(
            self.pending[producer_id][group_id] for producer_id in sorted(self.open_transactions.get(group_id, ()))
        )
        seen: set[tuple[str, int]] = set()
        for store in stores:
            for topic, partitions in store.items():
                for partition in partitions:
                    if (topic, partition) not in seen:
                        seen.add((topic, partition))
                        yield topic, partition

    # ---- replaying

    def replay(
        self, key: OffsetCommitKey, value: OffsetCommitValue | None, record_offset: int, producer_id: int
    ) -> None:
        """Take one OffsetCommit record, live or loaded; `producer_id` is -1 outside transactions."""
        if value is None:
            self._remove(key.group, key.topic, key.partition)
            return
        committed = Committed(
            value.offset,
            value.leader_epoch,
            value.metadata,
            value.commit_timestamp,
            value.expire_timestamp,
            bytes(value.topic_id),
            record_offset,
        )
        if producer_id < 0:
            store = self.by_group
        else:
            store = self.pending.setdefault(producer_id, {})
            self.open_transactions.setdefault(key.group, set()).add(producer_id)
        store.setdefault(key.group, {}).setdefault(key.topic, {})[key.partition] = committed

    def end_transaction(self, producer_id: int, is_commit: bool) -> None:
        """A transaction's marker: its offsets count from here on, or never did."""
        groups = self.pending.pop(producer_id, {})
        for group_id, topics in groups.items():
            open_ids = self.open_transactions[group_id]
            open_ids.discard(producer_id)
            if not open_ids:
                del self.open_transactions[group_id]
            if is_commit:
                self._settle(group_id, topics)

    def _settle(self, group_id: str, topics: Topics) -> None:
        for topic, partitions in topics.items():
            for partition, committed in partitions.items():
                known = self.find(group_id, topic, partition)
                # A plain commit made after this one must not be undone by a marker that came later still.
                if known is None or committed.record_offset > known.record_offset:
                    self.by_group.setdefault(group_id, {}).setdefault(topic, {})[partition] = committed

    def _remove(self, group_id: str, topic: str, partition: int) -> None:
        _drop(self.by_group, group_id, topic, partition)
        for producer_id in sorted(self.open_transactions.get(group_id, ())):
            # The group stays in `pending`: only the marker closes a transaction.
            self.pending[producer_id][group_id].get(topic, {}).pop(partition, None)


def _drop(store: dict[str, Topics], group_id: str, topic: str, partition: int) -> None:
    topics = store.get(group_id)
    if topics is None or topic not in topics:
        return
    topics[topic].pop(partition, None)
    if not topics[topic]:
        del topics[topic]
    if not topics:
        del store[group_id]
