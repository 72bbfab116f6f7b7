"""Who leads: elections from ISR, eligible leaders and the last known leader."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from minikafka.controller.partitions import change
from minikafka.metadata.image import Partition, Topic
from protocol.kafka.messages.metadata import PartitionChangeRecord, PartitionRecord

TOPIC = Topic("t", bytes(range(16)))


def partition(
    replicas: list[int], isr: list[int], leader: int, elr: list[int] | None = None, known: list[int] | None = None
) -> Partition:
    record = PartitionRecord(
        partition_id=0,
        topic_id=TOPIC.id,
        replicas=replicas,
        isr=isr,
        removing_replicas=[],
        adding_replicas=[],
        leader=leader,
        leader_epoch=3,
        partition_epoch=4,
        directories=[],
        eligible_leader_replicas=elr,
        last_known_elr=known,
    )
    return Partition(TOPIC, record)


def decided(
    found: Partition,
    isr: list[int],
    alive: Collection[int],
    min_insync: int = 1,
    unclean: Collection[int] = (),
    has_elr: bool = True,
    prefers_first: bool = False,
) -> PartitionChangeRecord | None:
    return change(
        found,
        isr,
        lambda replica: replica in alive,
        min_insync,
        has_elr=has_elr,
        unclean=unclean,
        prefers_first=prefers_first,
    )


def test_the_sitting_leader_stays() -> None:
    """Every change of the ISR would move leaders."""
    found = decided(partition([1, 2, 3], [1, 2, 3], 2), [1, 2], {1, 2})
    assert found is not None
    assert (found.leader, found.isr) == (-2, [1, 2])


def test_the_next_in_the_isr_takes_over_in_assignment_order() -> None:
    """Leaders would gather on one broker."""
    found = decided(partition([3, 1, 2], [1, 2, 3], 3), [1, 2], {1, 2})
    assert found is not None
    assert (found.leader, found.isr) == (1, [1, 2])


def test_the_preferred_leader_is_taken_when_asked_for() -> None:
    """A preferred election would do nothing."""
    found = decided(partition([3, 1], [1, 3], 1), [1, 3], {1, 3}, prefers_first=True)
    assert found is not None
    assert (found.leader, found.isr) == (3, None)
    assert decided(partition([3, 1], [1, 3], 1), [1, 3], {1}, prefers_first=True) is None


def test_the_last_member_that_leaves_in_order_stays_eligible() -> None:
    """After a clean stop of everybody, nobody could lead, or somebody without the data would."""
    found = decided(partition([1], [1], 1), [], set())
    assert found is not None
    assert (found.leader, found.isr) == (-1, [])
    assert (found.eligible_leader_replicas, found.last_known_elr) == ([1], [1])


def test_an_eligible_leader_comes_back() -> None:
    """A partition would stay without a leader after a restart."""
    found = decided(partition([1], [], -1, elr=[1], known=[1]), [], {1})
    assert found is not None
    assert (found.leader, found.isr, found.leader_recovery_state) == (1, [1], -1)
    assert (found.eligible_leader_replicas, found.last_known_elr) == ([], [])


def test_an_unclean_stop_leaves_only_the_last_known_leader() -> None:
    """A broker that may have lost data would be taken for one that has everything."""
    gone = decided(partition([1], [1], 1), [], set(), unclean=(1,))
    assert gone is not None
    assert (gone.leader, gone.isr, gone.eligible_leader_replicas, gone.last_known_elr) == (-1, [], None, [1])
    back = decided(partition([1], [], -1, known=[1]), [], {1})
    assert back is not None
    assert (back.leader, back.isr, back.leader_recovery_state, back.last_known_elr) == (1, [1], 1, [])


def test_nobody_else_is_elected_uncleanly() -> None:
    """Committed records would be lost although the brokers that hold them will come back."""
    assert decided(partition([1, 2], [], -1, elr=[1], known=[1]), [], {2}) is None


def test_below_min_isr_who_leaves_stays_eligible() -> None:
    """KIP-966: with two of three gone in order, the one that left last could not lead."""
    found = decided(partition([1, 2, 3], [1, 2], 1), [1], {1}, min_insync=2)
    assert found is not None
    assert (found.isr, found.eligible_leader_replicas, found.leader) == ([1], [2], -2)
    grown = decided(partition([1, 2, 3], [1], 1, elr=[2]), [1, 2], {1, 2}, min_insync=2)
    assert grown is not None
    assert grown.eligible_leader_replicas == []


def test_without_eligible_leaders_the_last_member_is_never_taken_out() -> None:
    """On a cluster whose feature level is 0 the partition would forget who has its data."""
    found = decided(partition([1], [1], 1), [], set(), has_elr=False)
    assert found is not None
    assert (found.leader, found.isr, found.last_known_elr) == (-1, None, None)


@pytest.mark.parametrize("leader", [1, -1])
def test_nothing_changed_writes_nothing(leader: int) -> None:
    """The metadata log would grow by a record for every look."""
    alive = {1} if leader == 1 else set()
    assert decided(partition([1], [1], leader), [1], alive) is None
