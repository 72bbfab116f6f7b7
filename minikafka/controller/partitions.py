"""How a partition changes hands: the one place where leader, ISR and eligible leaders are decided (KIP-966).

Laws
1. A leader comes from the ISR, or, when that is empty, from the eligible leaders: replicas that left it only when it
   fell below min.insync.replicas, so that they hold everything committed. One that came back from an unclean stop is
   in neither.
2. The last one that led stays known. When nobody is left in ISR and eligible leaders, it alone may lead again, marked
   as recovering: what it lost with its unclean stop is lost.
3. The sitting leader stays as long as it may.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from minikafka.metadata.image import LEADER_UNCHANGED, NO_LEADER, Partition
from protocol.kafka.messages.metadata import PartitionChangeRecord

RECOVERED, RECOVERING = 0, 1


def change(
    partition: Partition,
    isr: list[int],
    may_lead: Callable[[int], bool],
    min_insync: int,
    *,
    has_elr: bool,
    unclean: Collection[int] = (),
    prefers_first: bool = False,
) -> PartitionChangeRecord | None:
    """The record that gives the partition this ISR and whoever must lead it then; None when nothing changes.

    `may_lead` says of a replica whether its broker is in service; `unclean` are brokers that came back from an unclean
    stop; `has_elr` whether the cluster keeps eligible leaders at all; `prefers_first` asks for the preferred leader.
    """
    if not has_elr and not isr:
        isr = list(partition.isr)  # without eligible leaders the last member is never taken out
    elr = _eligible(partition, isr, min_insync, unclean) if has_elr else []
    leader, came_uncleanly = _elect(partition, isr, elr, may_lead, has_elr, prefers_first)
    record = PartitionChangeRecord(partition_id=partition.index, topic_id=partition.topic.id)
    if leader != partition.leader:
        record.leader = leader
        if came_uncleanly:
            isr, elr = [leader], []
            if partition.leader_recovery_state != RECOVERING:
                record.leader_recovery_state = RECOVERING
        elif leader in elr:
            isr, elr = [leader], [one for one in elr if one != leader]
    if elr != partition.elr:
        record.eligible_leader_replicas = elr
    if isr != partition.isr:
        record.isr = isr
    _remember_leader(partition, record, has_elr)
    return None if _says_nothing(record) else record


def _eligible(partition: Partition, isr: list[int], min_insync: int, unclean: Collection[int]) -> list[int]:
    """Who may lead although it is not in the ISR."""
    if len(isr) >= min_insync:
        return []
    candidates = dict.fromkeys([*partition.elr, *partition.isr])
    return [one for one in candidates if one not in isr and one not in unclean]


def _elect(
    partition: Partition,
    isr: list[int],
    elr: list[int],
    may_lead: Callable[[int], bool],
    has_elr: bool,
    prefers_first: bool,
) -> tuple[int, bool]:
    """(leader, whether nothing but its being the last known one speaks for it)."""

    def is_valid(replica: int) -> bool:
        return (replica in isr or (not isr and replica in elr)) and may_lead(replica)

    first = partition.replicas[0]
    if prefers_first and is_valid(first):
        return first, False
    if is_valid(partition.leader):
        return partition.leader, False
    for replica in partition.replicas:
        if is_valid(replica):
            return replica, False
    known = partition.last_known_elr
    if has_elr and not isr and not elr and len(known) == 1 and may_lead(known[0]):
        return known[0], True
    return NO_LEADER, False


def _remember_leader(partition: Partition, record: PartitionChangeRecord, has_elr: bool) -> None:
    if not has_elr:
        return
    if record.isr is not None and not record.isr and partition.last_known_elr != [partition.leader]:
        record.last_known_elr = [partition.leader]
    elif partition.last_known_elr and (
        record.leader >= 0 or (partition.leader != NO_LEADER and record.leader != NO_LEADER)
    ):
        record.last_known_elr = []


def _says_nothing(record: PartitionChangeRecord) -> bool:
    return (
        record.isr is None
        and record.leader == LEADER_UNCHANGED
        and record.eligible_leader_replicas is None
        and record.last_known_elr is None
        and record.leader_recovery_state == -1
    )
