"""`miniredis check-rdb FILE`: whether an RDB file holds together, said as redis-check-rdb says it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

from miniredis.persist.rdb_load import Limits
from miniredis.persist.rdb_read import Damaged, RdbReader, Strings
from miniredis.structures.hash import Hash
from protocol.disk.files import File

Say: TypeAlias = Callable[[str], None]


class RdbCheck:
    """Counts what is in a file while it is read. `now_ms` is what keys have expired by."""

    def __init__(self, file: File, limits: Limits, say: Say, now_ms: int) -> None:
        self._say = say
        self._now_ms = now_ms
        self._reader = RdbReader(file, limits, checks_sum=True, tell=self._at)
        self._reader.gathers = True
        self._told_aux = 0
        self._db: int | None = None
        self.keys = self.expires = self.expired = self.hashes = 0

    @property
    def end(self) -> int:
        """Where the RDB part of the file ends."""
        return self._reader.position

    def _at(self, line: str) -> None:
        self._say(f"[offset {self._reader.position}] {line}")

    def run(self, name: str) -> bool:
        """Whether it is whole."""
        self._say(f"[offset 0] Checking RDB file {name}")
        is_good = True
        try:
            for entry in self._reader.entries():
                self._select(entry.db)
                if isinstance(entry, Strings):
                    self._count(len(entry.keys), entry.ends.values())
                else:
                    self._count(1, () if entry.expiry is None else (entry.expiry,))
                    self.hashes += isinstance(entry.value, Hash) and bool(entry.value.deadlines)
            self._tell_aux()
            if self._reader.is_summed:
                self._at("Checksum OK")
            self._at("\\o/ RDB looks OK! \\o/")
        except (Damaged, OSError) as error:
            is_good = False
            self._say("--- RDB ERROR DETECTED ---")
            self._at(str(error))
        self._say(f"[info] {self.keys} keys read")
        self._say(f"[info] {self.expires} expires")
        self._say(f"[info] {self.expired} already expired")
        self._say(f"[info] {self.hashes} subexpires")
        return is_good

    def _tell_aux(self) -> None:
        fields = list(self._reader.aux.items())[self._told_aux :]
        self._told_aux += len(fields)
        for name, text in fields:
            self._at(f"AUX FIELD {_shown(name)} = '{_shown(text)}'")

    def _select(self, db: int) -> None:
        self._tell_aux()
        if db != self._db:
            self._db = db
            self._at(f"Selecting DB ID {db}")

    def _count(self, keys: int, ends: Collection[int]) -> None:
        self.keys += keys
        self.expires += len(ends)
        self.expired += sum([instant < self._now_ms for instant in ends])


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")
