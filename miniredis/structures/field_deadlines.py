"""When the fields of one hash end: by field, and the earliest first.

The heap holds an entry for each instant a field was ever given; what no longer holds is skipped when it comes to the
top, and swept out once most entries are like that.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heappush

_SLACK = 64  # entries too many that are not worth a sweep


class FieldDeadlines:
    """field -> the millisecond since the epoch at which it ends."""

    __slots__ = ("_heap", "instants")

    def __init__(self, instants: dict[bytes, int] | None = None) -> None:
        self.instants: dict[bytes, int] = instants or {}
        self._heap = [(instant, field) for field, instant in self.instants.items()]
        heapify(self._heap)

    def __len__(self) -> int:
        return len(self.instants)

    def copy(self) -> FieldDeadlines:
        return FieldDeadlines(self.instants.copy())

    def dissolve(self, most: int) -> bool:
        """Let go of about so many of what nobody needs any more; whether some are left."""
        del self._heap[-most:]
        drop = self.instants.popitem
        for _ in range(min(most, len(self.instants))):
            drop()
        return bool(self._heap or self.instants)

    def get(self, field: bytes) -> int | None:
        return self.instants.get(field)

    def items(self) -> Iterable[tuple[bytes, int]]:
        return self.instants.items()

    def set(self, field: bytes, instant: int) -> None:
        self.instants[field] = instant
        heappush(self._heap, (instant, field))
        if len(self._heap) > 2 * len(self.instants) + _SLACK:
            self._heap = [(instant, field) for field, instant in self.instants.items()]
            heapify(self._heap)

    def pop(self, field: bytes) -> bool:
        """Whether the field had one."""
        return self.instants.pop(field, None) is not None

    def first(self) -> int | None:
        """The earliest instant."""
        heap, instants = self._heap, self.instants
        while heap and instants.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: int, most: int) -> list[bytes]:
        """At most so many fields whose instant has passed, the earliest first; they have none afterwards."""
        found: list[bytes] = []
        while len(found) < most:
            first = self.first()
            if first is None or first >= now:
                break
            field = heappop(self._heap)[1]
            del self.instants[field]
            found.append(field)
        return found

    def passed(self, now: int) -> AbstractSet[bytes]:
        """All fields whose instant has passed; nothing changes."""
        first = self.first()
        if first is None or first >= now:
            return set()
        return {field for field, instant in self.instants.items() if instant < now}
