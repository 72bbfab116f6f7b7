"""Where in a segment an offset or an instant lies: Kafka's two sparse indexes.

    .index       ┌─────────────────────┬──────────────┐   the last offset of a batch, less the segment's base, and where
                 │ relative offset i32 │ position i32 │   that batch starts; one entry for every `index.interval.bytes`
                 └─────────────────────┴──────────────┘
    .timeindex   ┌───────────────┬─────────────────────┐  the greatest timestamp so far, and the last offset of the
                 │ timestamp i64 │ relative offset i32 │  first batch that has it
                 └───────────────┴─────────────────────┘

Law 1: entries only grow, in both columns. A search is therefore binary.
Law 2: an index is a hint. It can be thrown away and made again from its `.log`; what is not yet written of the active
       segment's is rebuilt by recovery, so entries are written in small groups and never synced one by one.
Law 3: the file of the active segment is preallocated (sparse zeros) to its greatest size, as Kafka does for its memory
       map, and cut to its entries when the segment is closed. A tail of zeros is therefore no entry.
"""

from contextlib import suppress
from struct import Struct, unpack

from minikafka.log.handles import Handle

__all__ = ["CorruptIndex", "OffsetIndex", "TimeIndex"]

GROUP_BYTES = 4096  # entries written together
OFFSET_ENTRY = Struct(">ii")
TIME_ENTRY = Struct(">qi")
MAX_RELATIVE = (1 << 31) - 1  # what an entry's offset column can hold


class CorruptIndex(Exception):
    """The file is not what an index can be; it has to be rebuilt from the log."""


class Index:
    """What both indexes share: a growing run of equal entries, its end in memory, its start in the file."""

    def __init__(self, handle: Handle, base_offset: int, max_bytes: int, entry: Struct) -> None:
        self.handle = handle
        self.base_offset = base_offset
        self.entry_bytes = entry.size
        self.max_entries = max_bytes // entry.size
        self.count = 0
        self._entry = entry
        self._tail = bytearray()  # entries not yet in the file
        self._written = 0  # entries in the file

    def load(self) -> None:
        """Take up what the file holds. CorruptIndex when its size is impossible."""
        size = self.handle.file().size
        if size % self.entry_bytes:
            raise CorruptIndex(f"{self.handle.path}: {size} bytes are not a whole number of entries")
        self._tail.clear()
        self._written = self.count = size // self.entry_bytes
        if self.count and self._is_zero(self.count - 1):
            self._written = self.count = self._count_nonzero()

    def _is_zero(self, place: int) -> bool:
        first, second = self._at(place)
        return not first and not second

    def _count_nonzero(self) -> int:
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self._is_zero(middle):
                high = middle
            else:
                low = middle + 1
        return low

    def _at(self, place: int) -> tuple[int, int]:
        if place >= self._written:
            first, second = self._entry.unpack_from(self._tail, (place - self._written) * self.entry_bytes)
        else:
            first, second = self._entry.unpack(self.handle.file().read(place * self.entry_bytes, self.entry_bytes))
        return first, second

    def _add(self, first: int, second: int) -> None:
        assert self.count < self.max_entries, "the segment should have been rolled"
        self._tail += self._entry.pack(first, second)
        self.count += 1
        if len(self._tail) >= GROUP_BYTES:
            with suppress(OSError):  # a full disk: they stay in memory, and the batch that is in the log counts
                self.write()

    def _last_below(self, bound: int, column: int) -> int:
        """The last place whose column is <= bound; -1 if there is none."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self._at(middle)[column] <= bound:
                low = middle + 1
            else:
                high = middle
        return low - 1

    def _keep(self, count: int) -> None:
        """Drop every entry from `count` on."""
        if count >= self.count:
            return
        self.count = count
        if count >= self._written:
            del self._tail[(count - self._written) * self.entry_bytes :]
            return
        self._tail.clear()
        self._written = count
        self.prepare()

    def prepare(self) -> None:
        """Preallocate the file: this is the active segment's index."""
        file = self.handle.file()
        file.truncate(self._written * self.entry_bytes)
        file.truncate(self.max_entries * self.entry_bytes)

    def reset(self) -> None:
        """Forget every entry, as before a rebuild."""
        self.count = self._written = 0
        self._tail.clear()
        self.prepare()

    def write(self) -> None:
        """Hand the entries in memory to the file."""
        if self._tail:
            self.handle.file().write_at(self._written * self.entry_bytes, bytes(self._tail))
            self._written = self.count
            self._tail.clear()

    def trim(self) -> None:
        """Write everything and cut the file to its entries: the segment is active no longer."""
        self.write()
        file = self.handle.file()
        if file.size != self.count * self.entry_bytes:
            file.truncate(self.count * self.entry_bytes)


class OffsetIndex(Index):
    """From an offset to the file position where looking for it may begin. Both grow from entry to entry: one that does
    not would have readers pass over records that are there, so that is looked at once, when the file is taken up."""

    def __init__(self, handle: Handle, base_offset: int, max_bytes: int) -> None:
        super().__init__(handle, base_offset, max_bytes, OFFSET_ENTRY)
        self.last_offset = base_offset

    @property
    def is_full(self) -> bool:
        return self.count >= self.max_entries

    def load(self) -> None:
        super().load()
        entries = unpack(f">{2 * self.count}i", self.handle.file().read(0, self.count * self.entry_bytes))
        for column in (entries[::2], entries[1::2]):
            if column and (column[0] < 0 or column != tuple(sorted(column))):
                raise CorruptIndex(f"{self.handle.path}: its entries do not grow")
        self._recall_last()

    def _recall_last(self) -> None:
        self.last_offset = self.base_offset + (self._at(self.count - 1)[0] if self.count else 0)

    def append(self, offset: int, position: int) -> None:
        assert self.count == 0 or offset > self.last_offset, "index entries grow"
        self._add(offset - self.base_offset, position)
        self.last_offset = offset

    def lookup(self, offset: int) -> tuple[int, int]:
        """The last entry at or before `offset`, and the position of its batch; `(offset, 0)` if there is none."""
        place = self._last_below(offset - self.base_offset, 0)
        if place < 0:
            return offset, 0
        relative, position = self._at(place)
        return self.base_offset + relative, position

    def last_position(self) -> int:
        """The position of the last indexed batch, 0 without entries."""
        return self._at(self.count - 1)[1] if self.count else 0

    def batch_before(self, position: int) -> tuple[int, int]:
        """The last entry whose batch begins at or below a file position, and where; zeros if there is none."""
        place = self._last_below(position, 1)
        if place < 0:
            return 0, 0
        relative, found = self._at(place)
        return self.base_offset + relative, found

    def truncate_to(self, offset: int) -> None:
        """Drop entries at or above `offset`."""
        self._keep(self._last_below(offset - 1 - self.base_offset, 0) + 1)
        self._recall_last()

    def reset(self) -> None:
        super().reset()
        self.last_offset = self.base_offset

    def entries(self) -> list[tuple[int, int]]:
        """Every (offset, position)."""
        return [(self.base_offset + offset, position) for offset, position in map(self._at, range(self.count))]


class TimeIndex(Index):
    """From an instant to an offset before which every record is older."""

    def __init__(self, handle: Handle, base_offset: int, max_bytes: int) -> None:
        super().__init__(handle, base_offset, max_bytes, TIME_ENTRY)
        self.last_timestamp = -1
        self.last_offset = base_offset

    @property
    def is_full(self) -> bool:
        # One entry is kept back for the greatest timestamp, written when the segment is closed.
        return self.count >= self.max_entries - 1

    def load(self) -> None:
        super().load()
        self._recall_last()
        if self.count and self.last_offset < self.base_offset:
            raise CorruptIndex(f"{self.handle.path}: last offset {self.last_offset} is below the segment's base")

    def _recall_last(self) -> None:
        if self.count:
            self.last_timestamp, relative = self._at(self.count - 1)
            self.last_offset = self.base_offset + relative
        else:
            self.last_timestamp, self.last_offset = -1, self.base_offset

    def append(self, timestamp: int, offset: int) -> None:
        """Note a greater timestamp; one that is not greater says nothing new and is passed over."""
        if timestamp > self.last_timestamp and offset >= self.last_offset and self.count < self.max_entries:
            self._add(timestamp, offset - self.base_offset)
            self.last_timestamp, self.last_offset = timestamp, offset

    def lookup(self, timestamp: int) -> tuple[int, int]:
        """The last entry at or before an instant, and its offset; `(-1, base offset)` if there is none."""
        place = self._last_below(timestamp, 0)
        if place < 0:
            return -1, self.base_offset
        found, relative = self._at(place)
        return found, self.base_offset + relative

    def truncate_to(self, offset: int) -> None:
        """Drop entries at or above `offset`."""
        self._keep(self._last_below(offset - 1 - self.base_offset, 1) + 1)
        self._recall_last()

    def reset(self) -> None:
        super().reset()
        self._recall_last()

    def entries(self) -> list[tuple[int, int]]:
        """Every (timestamp, offset)."""
        return [(timestamp, self.base_offset + offset) for timestamp, offset in map(self._at, range(self.count))]
