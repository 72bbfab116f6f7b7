"""Which transactions were aborted: one segment's `.txnindex`.

    ┌──────────────────┬─────────────────┬──────────────────┬─────────────────┬────────────────────────┐
    │ version i16 = 0  │ producer id i64 │ first offset i64 │ last offset i64 │ last stable offset i64 │   34 bytes
    └──────────────────┴─────────────────┴──────────────────┴─────────────────┴────────────────────────┘

An entry is written when the ABORT marker (at `last offset`) is appended; `last stable offset` is what readers could
read up to at that moment, so a search that met an entry with a stable offset beyond its own end has seen enough.

Law: the file exists only when there is an entry. Nearly no segment has one.
"""

from struct import Struct
from typing import NamedTuple

from minikafka.log.handles import Handle

__all__ = ["AbortedIndex", "AbortedTransaction"]

ENTRY = Struct(">hqqqq")
VERSION = 0


class AbortedTransaction(NamedTuple):
    """One entry of a `.txnindex`, as KIP-98 has it; `last_offset` is the abort marker's."""

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


class AbortedIndex:
    """The aborted transactions whose markers lie in one segment, in the order of the markers."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self._entries: list[AbortedTransaction] | None = None

    def entries(self) -> list[AbortedTransaction]:
        if self._entries is None:
            self._entries = self._read() if self.handle.exists else []
        return self._entries

    def _read(self) -> list[AbortedTransaction]:
        file = self.handle.file()
        whole = file.read(0, file.size - file.size % ENTRY.size)
        # A version we do not know, or a torn end: what follows cannot be understood.
        found: list[AbortedTransaction] = []
        for version, *fields in ENTRY.iter_unpack(whole):
            if version != VERSION:
                break
            found.append(AbortedTransaction(*fields))
        return found

    def add(self, transaction: AbortedTransaction) -> None:
        """Append an entry; one that is there already (a replay meets it again) is passed over."""
        entries = self.entries()
        if entries and entries[-1].last_offset >= transaction.last_offset:
            return
        file = self.handle.file()
        file.truncate(len(entries) * ENTRY.size)
        file.append(ENTRY.pack(VERSION, *transaction))
        entries.append(transaction)

    def truncate_to(self, offset: int) -> None:
        """Drop entries whose marker lies at or above `offset`."""
        entries = self.entries()
        kept = [entry for entry in entries if entry.last_offset < offset]
        if len(kept) < len(entries):
            self.handle.file().truncate(len(kept) * ENTRY.size)
            self._entries = kept

    def reset(self) -> None:
        self.handle.remove()
        self._entries = []

    def collect(self, fetch_offset: int, upper_bound: int, found: list[AbortedTransaction]) -> bool:
        """Add what a reader of [fetch_offset, upper_bound) must skip; True when no later segment can add more."""
        for entry in self.entries():
            if entry.last_offset >= fetch_offset and entry.first_offset < upper_bound:
                found.append(entry)
            if entry.last_stable_offset >= upper_bound:
                return True
        return False
