"""What the leader of an epoch keeps of the others: how far each is, and whether a majority still listens."""

from __future__ import annotations

from dataclasses import dataclass

from minikafka.raft.messages import Member
from minikafka.raft.quorum import Voters

NEVER = -1.0
MAX_OBSERVERS = 1000  # that are remembered; who fetches is not asked who it is
OBSERVER_S = 300.0  # silent for so long, an observer is forgotten (Kafka's figure)


@dataclass(slots=True)
class Progress:
    """How far one member is, by its own requests. Instants are the machine's."""

    end_offset: int = -1
    fetched_at: float = NEVER
    caught_up_at: float = NEVER


class Leadership:
    """One epoch of this node as leader."""

    def __init__(self, me: Member, voters: Voters, granted: set[int], epoch_start: int, now: float) -> None:
        self.me = me
        self.granted = granted  # who voted for it
        self.epoch_start = epoch_start  # the offset of its LeaderChange record
        self.began_at = now
        self.voters: dict[int, Progress] = {}
        self.observers: dict[Member, Progress] = {}
        self.heard_from: set[int] = set()  # voters, since the last time they were a majority
        self.check_from = now
        self.take_voters(voters)

    def take_voters(self, voters: Voters) -> None:
        self.voters = {voter.id: self.voters.get(voter.id) or Progress() for voter in voters}

    def reached(self, voters: Voters, replica: Member, offset: int, log_end: int, now: float) -> None:
        """A member fetched at `offset`: it holds everything below."""
        is_voter = voters.has(*replica)
        progress = self.voters[replica.id] if is_voter else self._observer(replica, now)
        progress.end_offset = max(progress.end_offset, offset) if is_voter else offset
        progress.fetched_at = now
        if offset >= log_end:
            progress.caught_up_at = now
        self.heard(voters, replica, now)

    def heard(self, voters: Voters, replica: Member, now: float) -> None:
        """A valid Fetch or FetchSnapshot: its sender takes this node for the leader."""
        if not voters.has(*replica) or replica.id == self.me.id:
            return
        self.heard_from.add(replica.id)
        if len(self.heard_from) >= self._needed(voters):
            self.heard_from.clear()
            self.check_from = now

    def _needed(self, voters: Voters) -> int:
        return voters.majority - 1 if voters.has(*self.me) else voters.majority

    def has_to_be_heard(self, voters: Voters) -> bool:
        """Whether the others' silence matters: not where this node is a majority by itself."""
        return self._needed(voters) > 0

    def _observer(self, replica: Member, now: float) -> Progress:
        found = self.observers.get(replica)
        if found is None:
            silent = [one for one, progress in self.observers.items() if now - progress.fetched_at > OBSERVER_S]
            for one in silent:
                del self.observers[one]
            found = Progress()
            if len(self.observers) < MAX_OBSERVERS:
                self.observers[replica] = found
        return found

    def agreed(self, voters: Voters) -> int:
        """The offset below which a majority holds everything; -1 while that is not known, or was of another epoch."""
        ends = {number: one.end_offset for number, one in self.voters.items() if one.end_offset >= 0}
        agreed = voters.high_watermark(ends)
        return agreed if agreed > self.epoch_start else -1

    def by_progress(self, voters: Voters) -> tuple[Member, ...]:
        """The other voters, who holds most first."""
        others = [voter for voter in voters if voter.id != self.me.id]
        others.sort(key=lambda voter: -self.voters[voter.id].end_offset)
        return tuple(Member(voter.id, voter.directory_id) for voter in others)
