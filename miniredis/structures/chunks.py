"""Lists: packed runs of elements, one while the list is small, a chain of them once it is not.

    small (listpack)     [ a b c … ]                       one run
    large (quicklist)    [ a b c … ] [ d … ] [ e f … ]     a chain of runs, each of bounded size

Law 1: what `encoding` says is how the elements lie: "listpack" is one run, "quicklist" the chain (chain.py).
       When one becomes the other follows Redis's rules to the byte: a run counts the bytes its elements would take in a
       listpack (`entry_size`), and the limit is list-max-listpack-size.
Law 2: both ends are O(1).
Law 3: the owner of an emptied list drops the list.

The limit is an argument of everything that may convert: it is a setting that can change under a living
list.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from miniredis.structures.chain import ESTIMATED_OVERHEAD, LIVE_RUNS, Chain
from miniredis.structures.packed import entry_size
from miniredis.structures.runs import MAX_FILL, UNLIMITED, Run, limits, remove_equal, shrunk_limits

# Of `width`: lengths that no element has.
UNSET: Final = -2
MIXED: Final = -1
# An element that begins with it may be a number.
MINUS: Final = 0x2D
# What CPython takes beside the packed bytes: the object head of an element and its pointer; a run; a list.
ELEMENT_BYTES: Final = 40
RUN_BYTES: Final = 120
LIST_BYTES: Final = 200


class List(Chain):
    """A sequence of byte strings. Indices are taken as given, from 0; negative ones are the caller's business."""

    __slots__ = ("_items", "width")

    type_name: ClassVar[bytes] = b"list"

    def __init__(self, depth: int = 0, plain_from: int = 0) -> None:
        """`depth`: runs at each end that stay unfolded, 0: all. `plain_from`: length from which an element gets a run
        to itself, 0: where it would not fit into any other."""
        super().__init__(depth, plain_from)
        self._items: list[bytes] = []  # the run of a small list; empty once chained
        self.width = UNSET  # the length that all elements have, as far as is known

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
        twin.width = self.width
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
        built.width = MIXED
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
        width = self.width
        for value in values:
            length = len(value)
            if length != width:
                width = self._widen(length)
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
        width = self.width
        for value in values:
            length = len(value)
            if length != width:
                width = self._widen(length)
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
            if len(value) != self.width:
                self._widen(len(value))
            added += entry_size(value)
        return added

    def _widen(self, length: int) -> int:
        """An element of another length than `width` comes."""
        self.width = length if self.width == UNSET else MIXED
        return self.width

    def _admit_or_chain(self, value: bytes, limit: int) -> None:
        if len(value) != self.width:
            self._widen(len(value))
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

    def _lists(self, backwards: bool) -> Iterator[list[bytes]]:
        if self._runs is None:
            yield self._items
        else:
            for run in reversed(self._runs) if backwards else self._runs:
                yield run.peek()

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
