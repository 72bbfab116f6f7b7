"""Lists: packed runs of elements, one while the list is small, a chain of them once it is not.

    small (listpack)     [ a b c … ]                       one run
    large (quicklist)    [ a b c … ] [ d … ] [ e f … ]     a deque of runs, each of bounded size

Law 1: what `encoding` says is how the elements lie: "listpack" is one run, "quicklist" the chain.
       When one becomes the other, and where a chain is cut, follows Redis' rules to the byte, because
       OBJECT ENCODING, DEBUG OBJECT and the RDB file show it: a run counts the bytes its elements
       would take in a listpack (`entry_size`), and the limit is list-max-listpack-size.
Law 2: both ends are O(1). A place in the middle is found through `_starts`, the position of the first
       element of every run in coordinates that a push or pop at either end does not shift; only a
       change inside the chain drops that index, and those changes have searched the list anyway.
Law 3: an emptied run is not kept; the owner of an emptied list drops the list.
Law 4: all runs but a few at each end are folded whenever nobody is at work on them: packed into one string of bytes
       each, at a quarter of what live elements take. With a depth given (list-compress-depth) that many stay live, and
       the others are compressed as well. The ends never are folded, so pushes and pops stay what they are.

The limit is an argument of everything that may convert: it is a setting that can change under a living
list. A chain keeps the limit it was built with for the size of its runs, as Redis' chains do.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import ClassVar, Final
from zlib import compress, decompress

from msgpack import packb, unpackb

from miniredis.structures.packed import HEADER_BYTES, entry_size

# The size classes that a negative list-max-listpack-size names, -1 to -5.
SIZE_CLASSES: Final = (4096, 8192, 16384, 32768, 65536)
# A limit by count still never lets a run outgrow this many bytes.
SAFE_BYTES: Final = 8192
# The largest count a chain remembers as its own limit.
MAX_FILL: Final = 32767
UNLIMITED: Final = 1 << 62
# An estimate of what a new element adds beside its own bytes, when asking whether a run has room.
ESTIMATED_OVERHEAD: Final = 8
# Shorter runs are never folded, and none for less than this (both Redis' own figures); the level costs least time.
LEAST_FOLDED_BYTES: Final = 48
LEAST_SAVED_BYTES: Final = 8
FOLD_LEVEL: Final = 1
# Runs at each end that stay live where list-compress-depth does not say how many.
LIVE_RUNS: Final = 2
# Up to so many runs are walked; beyond, a place is found by bisection.
WALK_RUNS: Final = 16
MINUS: Final = 0x2D
# What CPython takes beside the packed bytes: the object head of an element and its pointer; a run; a list.
ELEMENT_BYTES: Final = 40
RUN_BYTES: Final = 120
LIST_BYTES: Final = 200


def limits(fill: int) -> tuple[int, int]:
    """The most bytes and the most elements that list-max-listpack-size `fill` lets a run grow to."""
    if fill < 0:
        return SIZE_CLASSES[min(-fill, len(SIZE_CLASSES)) - 1], UNLIMITED
    return SAFE_BYTES, max(fill, 1)


def shrunk_limits(fill: int) -> tuple[int, int]:
    """Half of the limits: how small a chain has to get before it is worth being one run again."""
    if fill < 0:
        return limits(fill)[0] // 2, UNLIMITED
    return UNLIMITED, max(fill, 1) // 2


class Run:
    """Neighbouring elements and the bytes they would take packed. A plain run holds one oversized element.

    Its elements are `live`, or folded: packed into one string of bytes until somebody needs them."""

    __slots__ = ("_count", "_folded", "_is_compressed", "is_plain", "live", "size")

    def __init__(self, items: list[bytes], size: int, is_plain: bool = False) -> None:
        self.live = items  # empty while folded
        self.size = size
        self.is_plain = is_plain
        self._folded = b""
        self._is_compressed = False
        self._count = 0  # elements, while folded

    def __len__(self) -> int:
        return self._count if self._folded else len(self.live)

    @property
    def items(self) -> list[bytes]:
        """The elements, to be changed: they are unfolded."""
        if self._folded:
            self.unfold()
        return self.live

    def peek(self) -> list[bytes]:
        """The elements, to be read: what is folded stays so."""
        if not self._folded:
            return self.live
        found: list[bytes] = unpackb(decompress(self._folded) if self._is_compressed else self._folded)
        return found

    def fold(self, is_compressed: bool) -> None:
        """Pack, and compress if that is wanted and saves anything worth it. A plain run has nothing to pack."""
        if self._folded or (self.is_plain and not is_compressed):
            return
        packed = packb(self.live)
        self._is_compressed = False
        if is_compressed and self.size >= LEAST_FOLDED_BYTES:
            smaller = compress(packed, FOLD_LEVEL)
            if len(smaller) + LEAST_SAVED_BYTES <= len(packed):
                packed = smaller
                self._is_compressed = True
        self._count = len(self.live)
        self._folded = packed
        self.live = []

    def unfold(self) -> None:
        if self._folded:
            self.live = self.peek()
            self._folded = b""

    def copy(self) -> "Run":
        twin = Run(self.live.copy(), self.size, self.is_plain)
        twin._folded, twin._is_compressed, twin._count = self._folded, self._is_compressed, self._count
        return twin


def packed_run(value: bytes) -> Run:
    return Run([value], HEADER_BYTES + entry_size(value))


def plain_run(value: bytes) -> Run:
    return Run([value], len(value), is_plain=True)


class List:
    """A sequence of byte strings. Indices are taken as given, from 0; negative ones are the caller's business."""

    __slots__ = (
        "_count",
        "_count_limit",
        "_depth",
        "_is_ruffled",
        "_items",
        "_packed",
        "_plain_from",
        "_runs",
        "_size_limit",
        "_starts",
    )

    type_name: ClassVar[bytes] = b"list"

    def __init__(self, depth: int = 0, plain_from: int = 0) -> None:
        """`depth`: runs at each end that stay unfolded, 0: all. `plain_from`: length from which an element gets a run
        to itself, 0: where it would not fit into any other."""
        self._depth = depth
        self._is_ruffled = False  # a run in the middle may lie unfolded
        self._plain_from = plain_from
        self._items: list[bytes] = []  # the run of a small list; empty once chained
        self._packed = HEADER_BYTES  # packed bytes of all runs together
        self._runs: deque[Run] | None = None  # the chain of a large one
        self._count = 0  # elements, counted only while chained
        self._size_limit = 0  # limits of a run of the chain
        self._count_limit = 0
        self._starts: deque[int] | None = None  # Law 2; entry 0 is not kept up to date

    # What it is

    def __len__(self) -> int:
        return len(self._items) if self._runs is None else self._count

    @property
    def encoding(self) -> bytes:
        return b"listpack" if self._runs is None else b"quicklist"

    @property
    def size_bytes(self) -> int:
        """Memory this list takes, in bytes: an estimate that follows every change at no cost."""
        if self._runs is None:
            return LIST_BYTES + self._packed + len(self._items) * ELEMENT_BYTES
        runs = self._runs
        edge = min(self._depth or LIVE_RUNS, len(runs))
        live = sum([len(runs[which].live) + len(runs[-which - 1].live) for which in range(edge)])
        return LIST_BYTES + self._packed + min(live, self._count) * ELEMENT_BYTES + len(runs) * RUN_BYTES

    @property
    def counted_bytes(self) -> int:
        """For `used_memory`: by what it holds alone, whatever of it lies unfolded."""
        if self._runs is None:
            return LIST_BYTES + self._packed + len(self._items) * ELEMENT_BYTES
        return LIST_BYTES + self._packed + len(self._runs) * RUN_BYTES

    def copy(self) -> "List":
        twin = List()
        twin._items = self._items.copy()
        twin._packed = self._packed
        if self._runs is not None:
            twin._runs = deque(run.copy() for run in self._runs)
        twin._count = self._count
        twin._size_limit = self._size_limit
        twin._count_limit = self._count_limit
        twin._depth = self._depth
        twin._plain_from = self._plain_from
        return twin

    def dissolve(self, most: int) -> bool:
        """Let go of so many runs of a list that is in no table any more; whether some are left."""
        runs = self._runs
        if runs is None:
            return False
        starts = self._starts
        for _ in range(min(most, len(runs))):
            self._count -= len(runs.pop())
            if starts:
                starts.pop()
        return bool(runs)

    def runs(self) -> list[Run]:
        """The runs as they lie, for whoever writes them down."""
        return [Run(self._items, self._packed)] if self._runs is None else list(self._runs)

    @property
    def depth(self) -> int:
        return self._depth

    @classmethod
    def of(cls, values: Sequence[bytes], limit: int, depth: int = 0) -> "List":
        """A new list that settled on the encoding it would have, had it been built by pushes."""
        built = cls(depth)
        for value in values:
            built.push_tail((value,), limit)
        return built

    @classmethod
    def restored(cls, runs: Sequence[Run], limit: int, depth: int = 0, *, is_chained: bool = False) -> "List":
        """A list of runs as they were written down; a single packed one within the limits is a small list again,
        unless it is to stay a chain."""
        built = cls(depth)
        built._packed = sum([run.size for run in runs])
        most_bytes, most_count = limits(limit)
        if len(runs) == 1 and not (is_chained or runs[0].is_plain):
            only = runs[0]
            if only.size <= most_bytes and len(only) <= most_count:
                built._items = only.items
                return built
        built._runs = deque(runs)
        built._count = sum([len(run) for run in runs])
        built._size_limit, built._count_limit = limits(min(limit, MAX_FILL))
        built._refold()
        return built

    def __iter__(self) -> Iterator[bytes]:
        if self._runs is None:
            yield from self._items
        else:
            for run in self._runs:
                yield from run.peek()

    # The ends

    def push_head(self, values: Sequence[bytes], limit: int) -> int:
        """Put each value before the first element, one after the other; the new length."""
        runs = self._runs
        if runs is None:
            added = self._admit(values, limit)
            if added:
                self._packed += added
                self._items[:0] = values[::-1]
                return len(self._items)
            runs = self._chain(limit)
        # A plain run is larger than any limit, so that this asks for both: room, and a run that takes elements.
        most = -1 if self._plain_from else self._size_limit - ESTIMATED_OVERHEAD
        for value in values:
            length = len(value)
            head = runs[0] if runs else None
            if head is not None and head.size + length <= most and len(head.live) < self._count_limit:
                # Short text, by far the most, without a call.
                is_text = 0 < length < 64 and not value.isdigit() and value[0] != MINUS
                size = length + 2 if is_text else entry_size(value)
                head.live.insert(0, value)
                head.size += size
                self._packed += size
            elif self._plain_from and self._has_room(0, value):
                self._place(runs[0], 0, value)
            else:
                self._new_head(self._fresh_run(value))
        self._count += len(values)
        return self._count

    def push_tail(self, values: Sequence[bytes], limit: int) -> int:
        """Put each value after the last element, one after the other; the new length."""
        runs = self._runs
        if runs is None:
            added = self._admit(values, limit)
            if added:
                self._packed += added
                self._items += values
                return len(self._items)
            runs = self._chain(limit)
        # A plain run is larger than any limit, so that this asks for both: room, and a run that takes elements.
        most = -1 if self._plain_from else self._size_limit - ESTIMATED_OVERHEAD
        for value in values:
            length = len(value)
            tail = runs[-1] if runs else None
            if tail is not None and tail.size + length <= most and len(tail.live) < self._count_limit:
                # Short text, by far the most, without a call.
                is_text = 0 < length < 64 and not value.isdigit() and value[0] != MINUS
                size = length + 2 if is_text else entry_size(value)
                tail.live.append(value)
                tail.size += size
                self._packed += size
            elif self._plain_from and self._has_room(len(runs) - 1, value):
                self._place(runs[-1], len(runs[-1]), value)
            else:
                self._new_tail(self._fresh_run(value))
        self._count += len(values)
        return self._count

    def pop_head(self, limit: int | None) -> bytes:
        """Take the first element away; with None the chain stays one for now. The list must not be empty."""
        runs = self._runs
        if runs is None:
            value = self._items.pop(0)
            self._packed -= entry_size(value)
            return value
        head = runs[0]
        value = head.live.pop(0)
        self._count -= 1
        self._popped(head, value)
        if not head.live:
            runs.popleft()
            if self._starts is not None:
                self._starts.popleft()
            self._unfold_ends()
        if len(runs) == 1 and limit is not None:
            self.shrink(limit)
        return value

    def pop_tail(self, limit: int | None) -> bytes:
        """Take the last element away; with None the chain stays one for now. The list must not be empty."""
        runs = self._runs
        if runs is None:
            value = self._items.pop()
            self._packed -= entry_size(value)
            return value
        tail = runs[-1]
        value = tail.live.pop()
        self._count -= 1
        self._popped(tail, value)
        if not tail.live:
            runs.pop()
            if self._starts is not None:
                self._starts.pop()
            self._unfold_ends()
        if len(runs) == 1 and limit is not None:
            self.shrink(limit)
        return value

    def take_head(self, count: int, limit: int) -> list[bytes]:
        """Take up to `count` elements away from the front; first comes first."""
        taken = self.slice(0, min(count, len(self)))
        self._delete_head(len(taken))
        self.shrink(limit)
        return taken

    def take_tail(self, count: int, limit: int) -> list[bytes]:
        """Take up to `count` elements away from the back; last comes first."""
        length = len(self)
        start = max(length - count, 0)
        taken = self.slice(start, length)
        self._delete_tail(length - start)
        self.shrink(limit)
        taken.reverse()
        return taken

    # Places

    def get(self, index: int) -> bytes | None:
        """The element at `index`, counted from 0, or None."""
        if self._runs is None:
            return self._items[index] if 0 <= index < len(self._items) else None
        if not 0 <= index < self._count:
            return None
        which, offset = self._locate(index)
        return self._runs[which].peek()[offset]

    def slice(self, start: int, stop: int) -> list[bytes]:
        """The elements from `start` up to, not including, `stop`; both within 0 … length."""
        if self._runs is None:
            return self._items[start:stop]
        taken: list[bytes] = []
        if start >= stop:
            return taken
        which, offset = self._locate(start)
        wanted = stop - start
        runs = self._runs
        while wanted > 0:
            items = runs[which].peek()
            piece = items[offset : offset + wanted]
            taken += piece
            wanted -= len(piece)
            offset = 0
            which += 1
        return taken

    def set(self, index: int, value: bytes, limit: int) -> bool:
        """Replace the element at `index`. False when there is none there."""
        self._admit_or_chain(value, limit)
        if not 0 <= index < len(self):
            return False
        if self._runs is None:
            self._packed += entry_size(value) - entry_size(self._items[index])
            self._items[index] = value
        else:
            self._replace(index, value)
            self.shrink(limit)
        return True

    def insert(self, pivot: bytes, value: bytes, after: bool, limit: int) -> bool:
        """Put `value` beside the first element equal to `pivot`. False when no element is."""
        self._admit_or_chain(value, limit)
        if self._runs is None:
            if pivot not in self._items:
                return False
            self._items.insert(self._items.index(pivot) + after, value)
            self._packed += entry_size(value)
            return True
        for which, run in enumerate(self._runs):
            items = run.peek()
            if pivot in items:
                self._insert_beside(which, items.index(pivot), value, after)
                self._count += 1
                self._starts = None
                self._refold()
                return True
        return False

    def remove(self, value: bytes, count: int, limit: int) -> int:
        """Delete elements equal to `value`: the first `count`, the last `-count`, or with 0 all; how many went."""
        most = abs(count) or UNLIMITED
        if self._runs is None:
            removed = remove_equal(self._items, value, most, from_tail=count < 0)
            self._packed -= removed * entry_size(value)
            return removed
        removed = 0
        kept: list[Run] = []
        for run in reversed(self._runs) if count < 0 else self._runs:
            if removed < most:
                here = 0
                if value in run.peek():
                    here = remove_equal(run.items, value, most - removed, from_tail=count < 0)
                if here:
                    removed += here
                    self._shorten(run, here * entry_size(value))
            if len(run):
                kept.append(run)
        if removed:
            self._is_ruffled = True
            self._runs = deque(reversed(kept) if count < 0 else kept)
            self._count -= removed
            self._starts = None
            self.shrink(limit)
        return removed

    def trim(self, start: int, stop: int, limit: int) -> int:
        """Keep the elements from `start` up to, not including, `stop`; how many went."""
        length = len(self)
        self._delete_tail(length - stop)
        self._delete_head(start)
        self.shrink(limit)
        return length - len(self)

    def positions(self, value: bytes, rank: int, count: int, max_length: int) -> list[int]:
        """Where elements equal `value`: from the |rank|-th match on (from the tail when rank is negative),
        at most `count` of them (0: all), comparing at most `max_length` elements (0: all)."""
        length = len(self)
        bound = min(max_length, length) if max_length else length
        skip = abs(rank) - 1
        enough = skip + count if count else UNLIMITED
        found: list[int] = []
        seen = 0
        for run in self._lists(rank < 0):
            items = run[::-1] if rank < 0 else run
            if len(items) > bound - seen:
                items = items[: bound - seen]
            at = -1
            for _ in range(min(items.count(value), enough - len(found))):
                at = items.index(value, at + 1)
                found.append(seen + at)
            seen += len(items)
            if seen >= bound or len(found) >= enough:
                break
        found = found[skip:]
        return [length - 1 - at for at in found] if rank < 0 else found

    # Between the two forms

    def _admit(self, values: Sequence[bytes], limit: int) -> int:
        """The packed bytes `values` add when the small list may take them, else 0.

        Asked before the first of them is added, with raw lengths, as Redis asks."""
        raw = self._packed
        for value in values:
            raw += len(value)
        most_bytes, most_count = limits(limit)
        if raw > most_bytes or len(self._items) + len(values) > most_count:
            return 0
        added = 0
        for value in values:
            added += entry_size(value)
        return added

    def _admit_or_chain(self, value: bytes, limit: int) -> None:
        if self._runs is None and not self._admit((value,), limit):
            self._chain(limit)

    def _chain(self, limit: int) -> deque[Run]:
        runs: deque[Run] = deque()
        if self._items:
            runs.append(Run(self._items, self._packed))
        else:
            self._packed = 0
        self._runs = runs
        self._count = len(self._items)
        self._size_limit, self._count_limit = limits(min(limit, MAX_FILL))
        self._items = []
        return runs

    def shrink(self, limit: int) -> None:
        """Become one run again when one is left and it is well below the limit."""
        runs = self._runs
        if self._is_ruffled and runs is not None:
            self._refold()
        if runs is None or len(runs) != 1 or runs[0].is_plain:
            return
        most_bytes, most_count = shrunk_limits(limit)
        if runs[0].size <= most_bytes and self._count <= most_count:
            self._items = runs[0].items
            self._packed = runs[0].size
            self._runs = None
            self._starts = None

    # Inside the chain

    def _is_large(self, value: bytes) -> bool:
        """Whether a value gets a run to itself."""
        length = len(value)
        return length >= self._plain_from if self._plain_from else length > self._size_limit

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

    def _unfold_ends(self) -> None:
        """Law 4, after runs at an end have gone: others come nearer."""
        runs = self._runs
        assert runs is not None
        for which in range(min(self._depth or LIVE_RUNS, len(runs))):
            runs[which].unfold()
            runs[-which - 1].unfold()

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

    def _lists(self, backwards: bool) -> Iterator[list[bytes]]:
        if self._runs is None:
            yield self._items
        else:
            for run in reversed(self._runs) if backwards else self._runs:
                yield run.peek()

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
        self._is_ruffled = True
        is_large = self._is_large(value)
        if not run.is_plain and not is_large:
            change = entry_size(value) - entry_size(run.items[offset])
            run.items[offset] = value
            run.size += change
            self._packed += change
        elif run.is_plain and is_large:
            self._packed += len(value) - run.size
            run.items[0] = value
            run.size = len(value)
        elif run.is_plain:
            self._starts = None
            self._insert_beside(which, 0, value, after=True)
            self._drop(which)
        else:
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

    def _delete_head(self, count: int) -> None:
        """Delete the first `count` elements."""
        runs = self._runs
        if runs is None:
            self._delete_small(0, count)
            return
        self._count -= count
        while count and count >= len(runs[0]):
            run = runs.popleft()
            self._packed -= run.size
            count -= len(run)
            if self._starts is not None:
                self._starts.popleft()
        if count:
            self._cut_away(runs[0], 0, count)
        self._unfold_ends()

    def _delete_tail(self, count: int) -> None:
        """Delete the last `count` elements."""
        runs = self._runs
        if runs is None:
            self._delete_small(len(self._items) - count, len(self._items))
            return
        self._count -= count
        while count and count >= len(runs[-1]):
            run = runs.pop()
            self._packed -= run.size
            count -= len(run)
            if self._starts is not None:
                self._starts.pop()
        if count:
            self._cut_away(runs[-1], len(runs[-1]) - count, len(runs[-1]))
        self._unfold_ends()

    def _delete_small(self, start: int, stop: int) -> None:
        self._packed -= sum(map(entry_size, self._items[start:stop]))
        del self._items[start:stop]

    def _cut_away(self, run: Run, start: int, stop: int) -> None:
        size = sum(map(entry_size, run.items[start:stop]))
        del run.items[start:stop]
        run.size -= size
        self._packed -= size


def remove_equal(items: list[bytes], value: bytes, most: int, from_tail: bool) -> int:
    """Delete up to `most` elements equal to `value` from one end of a run; how many went."""
    equal = items.count(value)
    if equal <= most:
        if equal:
            items[:] = [item for item in items if item != value]
        return equal
    if from_tail:
        items.reverse()
    at = 0
    for _ in range(most):
        at = items.index(value, at)
        del items[at]
    if from_tail:
        items.reverse()
    return most
