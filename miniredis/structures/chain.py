"""A chain of runs: how a large list lies, Redis's quicklist.

    runs     [ a b c … ] [ d … ] [ e f … ] …      a deque; each of bounded size
    starts   0  3  4  …                           the position of the first element of every run, once asked for

Law 1: where a chain is cut, and what is joined, follows Redis's rules to the byte, since DEBUG OBJECT and the RDB file
       show it. A chain keeps the limits it was built with, as Redis's chains do.
Law 2: `starts` counts in coordinates that a push or pop at either end does not shift; only a change inside drops it.
Law 3: an emptied run is not kept.
Law 4: all runs but a few at each end are folded whenever nobody is at work on them, at a quarter of what live elements
       take. With a depth given (list-compress-depth) that many stay live, and the others are compressed as well. The
       ends never are folded, so pushes and pops stay what they are.
"""

from bisect import bisect_right
from collections import deque
from itertools import accumulate
from typing import Final

from miniredis.structures.packed import HEADER_BYTES, entry_size
from miniredis.structures.runs import Run, packed_run, plain_run

# An estimate of what a new element adds beside its own bytes, when asking whether a run has room.
ESTIMATED_OVERHEAD: Final = 8
# Runs at each end that stay live where list-compress-depth does not say how many.
LIVE_RUNS: Final = 2
# Up to so many runs are walked; beyond, a place is found by bisection.
WALK_RUNS: Final = 16


class Chain:
    """What a list is while it is large; while it is small, `_runs` is None."""

    __slots__ = (
        "_count",
        "_count_limit",
        "_depth",
        "_is_ruffled",
        "_packed",
        "_plain_from",
        "_runs",
        "_size_limit",
        "_starts",
    )

    def __init__(self, depth: int, plain_from: int) -> None:
        self._depth = depth
        self._is_ruffled = False  # a run in the middle may lie unfolded
        self._plain_from = plain_from
        self._packed = HEADER_BYTES  # packed bytes of all runs together
        self._runs: deque[Run] | None = None
        self._count = 0  # elements
        self._size_limit = 0  # limits of a run
        self._count_limit = 0
        self._starts: deque[int] | None = None  # Law 2; entry 0 is not kept up to date

    # The ends

    def _is_large(self, value: bytes) -> bool:
        """Whether a value gets a run to itself."""
        length = len(value)
        return length >= self._plain_from if self._plain_from else length > self._size_limit

    def _fresh_run(self, value: bytes) -> Run:
        run = plain_run(value) if self._is_large(value) else packed_run(value)
        self._packed += run.size
        return run

    def _new_head(self, run: Run) -> None:
        runs, starts = self._runs, self._starts
        assert runs is not None
        if starts is not None:
            if len(runs) > 1:
                starts[0] = starts[1] - len(runs[0])
                starts.appendleft(0)
            else:
                self._starts = None
        runs.appendleft(run)
        edge = self._depth or LIVE_RUNS
        if len(runs) > 2 * edge:
            runs[edge].fold(self._depth > 0)

    def _new_tail(self, run: Run) -> None:
        runs, starts = self._runs, self._starts
        assert runs is not None
        if starts is not None:
            if len(runs) > 1:
                starts.append(starts[-1] + len(runs[-1]))
            else:
                self._starts = None
        runs.append(run)
        edge = self._depth or LIVE_RUNS
        if len(runs) > 2 * edge:
            runs[-edge - 1].fold(self._depth > 0)

    def _popped(self, run: Run, value: bytes) -> None:
        if not len(run):
            self._packed -= run.size
        else:
            size = entry_size(value)
            run.size -= size
            self._packed -= size

    def _shorten(self, run: Run, size: int) -> None:
        """`size` bytes of elements have left `run`; with the last of them goes all it had."""
        if len(run):
            run.size -= size
            self._packed -= size
        else:
            self._packed -= run.size

    def _unfold_ends(self) -> None:
        """Law 4, after runs at an end have gone: others come nearer."""
        runs = self._runs
        assert runs is not None
        for which in range(min(self._depth or LIVE_RUNS, len(runs))):
            runs[which].unfold()
            runs[-which - 1].unfold()

    def _refold(self) -> None:
        """Law 4, after work in the middle."""
        runs = self._runs
        assert runs is not None
        self._is_ruffled = False
        edge = self._depth or LIVE_RUNS
        last = len(runs) - edge
        is_compressed = self._depth > 0
        for which, run in enumerate(runs):
            if which < edge or which >= last:
                run.unfold()
            else:
                run.fold(is_compressed)

    def _lay_down(self, which: int) -> None:
        """The same for one run: nothing has moved."""
        runs = self._runs
        assert runs is not None
        edge = self._depth or LIVE_RUNS
        if edge <= which < len(runs) - edge:
            runs[which].fold(self._depth > 0)

    # Places

    def _locate(self, index: int) -> tuple[int, int]:
        """Which run of the chain holds `index`, and where in it."""
        runs = self._runs
        assert runs is not None
        first = len(runs[0])
        if index < first:
            return 0, index
        last = len(runs) - 1
        from_end = self._count - index
        if from_end <= len(runs[last]):
            return last, len(runs[last]) - from_end
        if last <= WALK_RUNS:
            for which, run in enumerate(runs):
                if index < len(run):
                    return which, index
                index -= len(run)
        starts = self._starts
        if starts is None:
            starts = self._starts = deque(accumulate((len(run) for run in runs), initial=0))
            starts.pop()
        target = starts[1] - first + index
        which = bisect_right(starts, target, 1) - 1
        return which, target - starts[which]

    def _replace(self, index: int, value: bytes) -> None:
        runs = self._runs
        assert runs is not None
        which, offset = self._locate(index)
        run = runs[which]
        is_large = self._is_large(value)
        if not run.is_plain and not is_large:
            change = entry_size(value) - entry_size(run.items[offset])
            run.items[offset] = value
            run.size += change
            self._packed += change
            self._lay_down(which)
        elif run.is_plain and is_large:
            self._packed += len(value) - run.size
            run.items[0] = value
            run.size = len(value)
            self._lay_down(which)
        elif run.is_plain:
            self._is_ruffled = True
            self._starts = None
            self._insert_beside(which, 0, value, after=True)
            self._drop(which)
        else:
            self._is_ruffled = True
            self._starts = None
            self._replace_by_plain(which, offset, value)

    def _replace_by_plain(self, which: int, offset: int, value: bytes) -> None:
        """An oversized value takes the place of an element of a packed run: the run is cut there."""
        runs = self._runs
        assert runs is not None
        run = runs[which]
        if offset != len(run) - 1:
            runs.insert(which + 1, self._cut(run, offset + 1))
        runs.insert(which + 1, self._fresh_run(value))
        if len(run) == 1:
            self._drop(which)
        else:
            self._popped(run, run.items.pop())
            self._merge_around(which + 1)

    def _insert_beside(self, which: int, offset: int, value: bytes, after: bool) -> None:
        """Put `value` next to an element, where Redis would put it: into the run, a neighbour, or a new run."""
        runs = self._runs
        assert runs is not None
        run = runs[which]
        at_edge = offset == len(run) - 1 if after else offset == 0
        neighbour = which + 1 if after else which - 1
        is_large = self._is_large(value)
        if is_large and not (run.is_plain or at_edge):
            self._split(which, offset, after)
            runs.insert(which + 1, self._fresh_run(value))
        elif is_large:
            runs.insert(which + after, self._fresh_run(value))
        elif self._has_room(which, value):
            self._place(run, offset + after, value)
        elif at_edge and self._has_room(neighbour, value):
            target = runs[neighbour]
            self._place(target, 0 if after else len(target), value)
        elif at_edge:
            runs.insert(which + after, self._fresh_run(value))
        else:
            self._split(which, offset, after)
            # `which` is now the half before the cut; the value joins the half that the pivot is not in.
            half = runs[which + after]
            self._place(half, 0 if after else len(half), value)
            self._merge_around(which if after else which + 1)

    def _has_room(self, which: int, value: bytes) -> bool:
        runs = self._runs
        assert runs is not None
        if not 0 <= which < len(runs):
            return False
        run = runs[which]
        return (
            not (run.is_plain or self._is_large(value))
            and run.size + len(value) + ESTIMATED_OVERHEAD <= self._size_limit
            and len(run) < self._count_limit
        )

    def _place(self, run: Run, offset: int, value: bytes) -> None:
        size = entry_size(value)
        run.items.insert(offset, value)
        run.size += size
        self._packed += size

    def _split(self, which: int, offset: int, after: bool) -> None:
        """Cut a run in two behind (or before) the element at `offset`."""
        runs = self._runs
        assert runs is not None
        runs.insert(which + 1, self._cut(runs[which], offset + after))

    def _cut(self, run: Run, at: int) -> Run:
        """Move the elements from `at` on into a run of their own."""
        items = run.items[at:]
        size = sum(map(entry_size, items))
        del run.items[at:]
        run.size -= size
        self._packed += HEADER_BYTES
        return Run(items, HEADER_BYTES + size)

    def _cut_away(self, run: Run, start: int, stop: int) -> None:
        size = sum(map(entry_size, run.items[start:stop]))
        del run.items[start:stop]
        run.size -= size
        self._packed -= size

    def _merge_around(self, centre: int) -> None:
        """Join the runs near a cut where two fit in one, in the order Redis tries them."""
        runs = self._runs
        assert runs is not None
        if self._joined(centre - 2):
            centre -= 1
        self._joined(centre + 1)
        if self._joined(centre - 1):
            centre -= 1
        self._joined(centre)

    def _joined(self, left: int) -> bool:
        """Join run `left` and its right neighbour if the limits allow."""
        runs = self._runs
        assert runs is not None
        if left < 0 or left + 1 >= len(runs):
            return False
        a, b = runs[left], runs[left + 1]
        size = a.size + b.size - HEADER_BYTES
        if a.is_plain or b.is_plain or size > self._size_limit or len(a) + len(b) > self._count_limit:
            return False
        a.items.extend(b.items)
        a.size = size
        self._packed -= HEADER_BYTES
        del runs[left + 1]
        return True

    def _drop(self, which: int) -> None:
        runs = self._runs
        assert runs is not None
        self._packed -= runs[which].size
        del runs[which]
