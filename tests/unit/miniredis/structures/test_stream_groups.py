"""Consumer groups: the ordered ids, and who owes what."""

from __future__ import annotations

from random import Random

import pytest

from miniredis.structures.stream_groups import Group, Ids


@pytest.mark.parametrize("seed", range(5))
def test_ids_stay_in_order(seed: int) -> None:
    """XPENDING and the history of a consumer would miss entries or show them out of order."""
    chance = Random(seed)
    ids, plain = Ids(), set()
    highest = 0
    for _ in range(6000):
        if plain and chance.random() < 0.4:
            id = min(plain) if chance.random() < 0.5 else chance.choice(list(plain)[:50])
            plain.remove(id)
            ids.remove(id)
        else:
            id = chance.randrange(1 << 40) if chance.random() < 0.3 else highest + chance.randrange(1, 9)
            if id in plain:
                continue
            highest = max(highest, id)
            plain.add(id)
            ids.add(id)
    assert list(ids) == sorted(plain)
    assert (len(ids), ids.first, ids.last) == (len(plain), min(plain), max(plain))
    for start in [0, highest, highest + 1, *chance.sample(sorted(plain), 20)]:
        assert list(ids.after(start)) == sorted(id for id in plain if id >= start)
    assert list(ids.copy()) == list(ids)


def test_what_was_seen_may_be_removed_on_the_way() -> None:
    """XAUTOCLAIM would skip entries behind those it clears away."""
    ids = Ids()
    for id in range(3000):
        ids.add(id)
    seen = []
    for id in ids.after(10):
        seen.append(id)
        if id % 3:
            ids.remove(id)
    assert seen == list(range(10, 3000))
    assert list(ids) == [*range(10), *range(12, 3000, 3)]


def test_an_entry_belongs_to_one_consumer() -> None:
    """An entry would be owed by two consumers, or by one that is gone."""
    group = Group(0)
    alice, bob = group.create_consumer(b"alice", 5), group.create_consumer(b"bob", 6)
    for id in range(1, 6):
        group.deliver(id, alice, 100, 1)
    group.deliver(2, bob, 200, 7)
    assert (list(alice.ids), list(bob.ids)) == ([1, 3, 4, 5], [2])
    twin = group.copy()
    assert group.acknowledge(3)
    assert not group.acknowledge(3)
    assert group.delete_consumer(b"alice") == 3
    assert [(id, pending.consumer.name, pending.delivery_count) for id, pending in group.pending.items()] == [
        (2, b"bob", 7)
    ]
    assert [id for id, _ in twin.pending.items()] == [1, 2, 3, 4, 5]
    assert twin.pending[2].consumer is twin.consumers[b"bob"]
    assert twin.consumers[b"alice"].seen_time == 5
