"""Who votes, and what a majority of them holds: the arithmetic of the quorum.

A voter is known by its id and the id of the directory its log lies in (KIP-853): a node that lost its disk comes back
as another voter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

KRAFT_VERSION = 1  # kraft.version 1: the voters are a record of the log
NO_DIRECTORY = bytes(16)  # of a voter whose directory nobody told: any will do (kraft.version 0)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One controller listener of a voter."""

    name: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Voter:
    """One member of the quorum."""

    id: int
    directory_id: bytes
    endpoints: tuple[Endpoint, ...] = field(default=())


class Voters:
    """The set of voters, by id."""

    __slots__ = ("by_id",)

    def __init__(self, voters: Iterable[Voter]) -> None:
        self.by_id = {voter.id: voter for voter in sorted(voters, key=lambda voter: voter.id)}

    def __iter__(self) -> Iterator[Voter]:
        return iter(self.by_id.values())

    def __len__(self) -> int:
        return len(self.by_id)

    @property
    def majority(self) -> int:
        """How many votes decide."""
        return len(self.by_id) // 2 + 1

    @property
    def are_static(self) -> bool:
        """Whether they were configured, by their ids alone, and are no record of the log (kraft.version 0)."""
        return any(voter.directory_id == NO_DIRECTORY for voter in self)

    def has(self, number: int, directory_id: bytes) -> bool:
        """Whether this very voter is one: the same id in the same directory, where both are known."""
        known = self.by_id.get(number)
        return known is not None and (known.directory_id == directory_id or known.directory_id == NO_DIRECTORY)

    def high_watermark(self, ends: Mapping[int, int]) -> int:
        """The offset below which a majority holds everything; -1 while no majority has said what it holds.

        `ends` maps voter ids to the end offset of what each has durably.
        """
        held = sorted((ends[number] for number in self.by_id if number in ends), reverse=True)
        return held[self.majority - 1] if len(held) >= self.majority else -1
