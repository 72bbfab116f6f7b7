"""Consumer groups of a stream: how far they have read, and what they were given and have not acknowledged.

    group      pending    id ─► Pending (consumer, time, count)      every entry that waits for its acknowledgement
    consumer   ids        the ids among them that are this consumer's

Law: an id is in a consumer's `ids` exactly while the group's `pending` has it with this consumer.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Final

UNKNOWN: Final = -1  # a group's `entries_read` that cannot be told
NEVER: Final = -1  # a consumer's `active_time` before it was given anything

# Ids of a full block are moved when one is put among them or taken out (8 bytes each).
_BLOCK_IDS: Final = 512


class Ids:
    """Ids in order: quick to add at the end, to take from anywhere, to read from anywhere on."""

    __slots__ = ("_blocks", "_firsts", "_size")

    def __init__(self) -> None:
        self._blocks: list[list[int]] = []  # none is empty
        self._firsts: list[int] = []  # no id of a block is below its first, and all of the blocks before are
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, id: int) -> None:
        """Add an id that is not there."""
        self._size += 1
        blocks = self._blocks
        if not blocks or (id > blocks[-1][-1] and len(blocks[-1]) >= _BLOCK_IDS):
            blocks.append([id])
            self._firsts.append(id)
            return
        if id > blocks[-1][-1]:
            blocks[-1].append(id)
            return
        at = max(bisect_right(self._firsts, id) - 1, 0)
        block = blocks[at]
        insort(block, id)
        if block[0] < self._firsts[at]:
            self._firsts[at] = block[0]
        if len(block) > 2 * _BLOCK_IDS:
            blocks.insert(at + 1, block[_BLOCK_IDS:])
            self._firsts.insert(at + 1, block[_BLOCK_IDS])
            del block[_BLOCK_IDS:]

    def remove(self, id: int) -> None:
        """Take out an id that is there."""
        at = bisect_right(self._firsts, id) - 1
        block = self._blocks[at]
        place = bisect_left(block, id)
        assert block[place] == id
        del block[place]
        self._size -= 1
        if not block:
            del self._blocks[at]
            del self._firsts[at]

    def after(self, start: int) -> Iterator[int]:
        """Ids from `start` on, itself included. Those already given out may be removed meanwhile."""
        while True:
            at = max(bisect_right(self._firsts, start) - 1, 0)
            if at >= len(self._blocks):
                return
            block = self._blocks[at]
            found = block[bisect_left(block, start) :]
            if not found and at + 1 < len(self._blocks):
                found = self._blocks[at + 1][:]
            if not found:
                return
            yield from found
            start = found[-1] + 1

    def __iter__(self) -> Iterator[int]:
        return self.after(0)

    @property
    def first(self) -> int:
        """The lowest id. Law: there is one."""
        return self._blocks[0][0]

    @property
    def last(self) -> int:
        """The highest id. Law: there is one."""
        return self._blocks[-1][-1]

    def copy(self) -> Ids:
        twin = Ids()
        twin._blocks = [block.copy() for block in self._blocks]
        twin._firsts = self._firsts.copy()
        twin._size = self._size
        return twin


class Consumer:
    """One reader of a group. Times in ms since the epoch: when it last asked, and when it last was given something."""

    __slots__ = ("active_time", "ids", "name", "seen_time")

    def __init__(self, name: bytes, now: int) -> None:
        self.name = name
        self.seen_time = now
        self.active_time = NEVER
        self.ids = Ids()


class Pending:
    """An entry that was given to a consumer: when (ms since the epoch), and how often so far."""

    __slots__ = ("consumer", "delivery_count", "delivery_time")

    def __init__(self, consumer: Consumer, delivery_time: int, delivery_count: int) -> None:
        self.consumer = consumer
        self.delivery_time = delivery_time
        self.delivery_count = delivery_count


class PendingEntries:
    """What a group waits for, by id and in the order of ids."""

    __slots__ = ("_by_id", "ids")

    def __init__(self) -> None:
        self._by_id: dict[int, Pending] = {}
        self.ids = Ids()

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, id: int) -> Pending | None:
        return self._by_id.get(id)

    def __getitem__(self, id: int) -> Pending:
        return self._by_id[id]

    def items(self) -> Iterator[tuple[int, Pending]]:
        """(id, pending) in order."""
        by_id = self._by_id
        return ((id, by_id[id]) for id in self.ids)

    def put(self, id: int, pending: Pending) -> None:
        """Add one that is not there."""
        self._by_id[id] = pending
        self.ids.add(id)

    def pop(self, id: int) -> Pending:
        self.ids.remove(id)
        return self._by_id.pop(id)

    def dissolve(self, most: int) -> bool:
        """Let go of so many; whether more are left. Nothing else may be asked of it then."""
        by_id = self._by_id
        for _ in range(min(most, len(by_id))):
            by_id.popitem()
        return bool(by_id)


class Group:
    """A consumer group. `entries_read`: of all entries ever added, how many are up to `last_id`; or UNKNOWN."""

    __slots__ = ("consumers", "entries_read", "last_id", "pending")

    def __init__(self, last_id: int, entries_read: int = UNKNOWN) -> None:
        self.last_id = last_id
        self.entries_read = entries_read
        self.pending = PendingEntries()
        self.consumers: dict[bytes, Consumer] = {}

    def copy(self) -> Group:
        twin = Group(self.last_id, self.entries_read)
        for consumer in self.consumers.values():
            other = twin.create_consumer(consumer.name, consumer.seen_time)
            other.active_time = consumer.active_time
        for id, pending in self.pending.items():
            consumer = twin.consumers[pending.consumer.name]
            twin.deliver(id, consumer, pending.delivery_time, pending.delivery_count)
        return twin

    def create_consumer(self, name: bytes, now: int) -> Consumer:
        """A consumer whose name is not taken."""
        consumer = self.consumers[name] = Consumer(name, now)
        return consumer

    def delete_consumer(self, name: bytes) -> int:
        """Remove a consumer and all that was given to it; how many entries that were."""
        consumer = self.consumers.pop(name)
        for id in consumer.ids:
            self.pending.pop(id)
        return len(consumer.ids)

    def sorted_consumers(self) -> list[Consumer]:
        """All consumers in the order of their names."""
        return [self.consumers[name] for name in sorted(self.consumers)]

    def deliver(self, id: int, consumer: Consumer, time: int, count: int) -> Pending:
        """An entry is given to a consumer, and taken from the one that had it."""
        pending = self.pending.get(id)
        if pending is None:
            pending = Pending(consumer, time, count)
            self.pending.put(id, pending)
            consumer.ids.add(id)
            return pending
        if pending.consumer is not consumer:
            pending.consumer.ids.remove(id)
            consumer.ids.add(id)
            pending.consumer = consumer
        pending.delivery_time = time
        pending.delivery_count = count
        return pending

    def acknowledge(self, id: int) -> bool:
        """Wait no longer for this entry; whether it was waited for."""
        if self.pending.get(id) is None:
            return False
        self.pending.pop(id).consumer.ids.remove(id)
        return True
