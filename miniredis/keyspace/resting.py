"""Small hashes, sets and sorted sets that were changed and are still open: the latest of them; the others are packed.

One that is changed again and again is never packed in between, and one that was made and left is soon.

Law: only memory depends on this list. Who forgets to name one here leaves it open, and nothing else is different.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from miniredis.structures.hash import Hash
from miniredis.structures.sets import Set
from miniredis.structures.zset import SortedSet

# Each takes ten times what it takes packed: some megabytes together, at most.
MOST_OPEN: Final = 512


class Resting:
    """Open values, the longest unchanged first."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: deque[Hash | Set | SortedSet] = deque()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, value: Hash | Set | SortedSet) -> None:
        """A value was changed and is not on the list (`may_rest`); another one may get its rest for it."""
        value.may_rest = False
        self._open.append(value)
        if len(self._open) > MOST_OPEN:
            self._open.popleft().rest()
