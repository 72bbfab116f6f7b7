"""The order that Redis's partial sort leaves, equal things included.

Where only a part of what is sorted is wanted, Redis sorts only that part, with Bentley's and McIlroy's quicksort
("Engineering a Sort Function", 1993). That keeps no order among equals, but always makes the same one; a replica of the
other kind has to make it too, since it is told the command and not what the command found.

    one round:   = = = │ < < < │ ? ? ? │ > > > │ = =      then the equal ones are brought to the middle:
                 < < < │ = = = = = │ > > >                and what is left and right goes through a round of its own
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# Fewer are sorted by insertion; of more than so many the pivot is the median of three medians.
FEW: Final = 7
MANY: Final = 40


def partial_order(keys: Sequence[float], first: int, last: int) -> list[int]:
    """The places of `keys` in an order in which those at `first` to `last` are where they belong."""
    if len(set(keys)) == len(keys):
        return sorted(range(len(keys)), key=keys.__getitem__)
    sort = _Sort(keys)
    parts = [(0, len(keys))]
    while parts:
        start, end = parts.pop()
        if end - start < FEW:
            sort.insert(start, end)
            continue
        for part in sort.divide(start, end):
            if part[1] - part[0] > 1 and part[0] <= last and part[1] > first:
                parts.append(part)
    return sort.order


class _Sort:
    __slots__ = ("keys", "order")

    def __init__(self, keys: Sequence[float]) -> None:
        self.keys = list(keys)
        self.order = list(range(len(keys)))

    def insert(self, start: int, end: int) -> None:
        keys = self.keys
        for at in range(start + 1, end):
            while at > start and keys[at - 1] > keys[at]:
                self._swap(at, at - 1)
                at -= 1

    def divide(self, start: int, end: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Bring what is less than a pivot before, and what is greater behind what is equal; the two parts."""
        keys = self.keys
        self._swap(start, self._pivot(start, end))
        pivot = keys[start]
        equal_left = left = start + 1
        equal_right = right = end - 1
        while True:
            while left <= right and keys[left] <= pivot:
                if keys[left] == pivot:
                    self._swap(equal_left, left)
                    equal_left += 1
                left += 1
            while left <= right and keys[right] >= pivot:
                if keys[right] == pivot:
                    self._swap(right, equal_right)
                    equal_right -= 1
                right -= 1
            if left > right:
                break
            self._swap(left, right)
            left += 1
            right -= 1
        less, greater = left - equal_left, equal_right - right
        self._swap_runs(start, left, min(equal_left - start, less))
        self._swap_runs(left, end, min(greater, end - 1 - equal_right))
        return (start, start + less), (end - greater, end)

    def _pivot(self, start: int, end: int) -> int:
        size = end - start
        middle = start + size // 2
        if size == FEW:
            return middle
        low, high = start, end - 1
        if size > MANY:
            step = size // 8
            low = self._median(low, low + step, low + 2 * step)
            middle = self._median(middle - step, middle, middle + step)
            high = self._median(high - 2 * step, high - step, high)
        return self._median(low, middle, high)

    def _median(self, one: int, two: int, three: int) -> int:
        """Of three places that of the middle key; which of equal ones decides what comes after."""
        a, b, c = self.keys[one], self.keys[two], self.keys[three]
        if a < b:
            return two if b < c else three if a < c else one
        return two if b > c else one if a < c else three

    def _swap(self, one: int, other: int) -> None:
        keys, order = self.keys, self.order
        keys[one], keys[other] = keys[other], keys[one]
        order[one], order[other] = order[other], order[one]

    def _swap_runs(self, start: int, end: int, size: int) -> None:
        """So many from `start` on with as many before `end`."""
        for one, other in zip(range(start, start + size), range(end - size, end), strict=True):
            self._swap(one, other)
