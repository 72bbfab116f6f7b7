"""The election machine of KRaft (KIP-595, KIP-853, KIP-996): pure, told of events, answers with what must be done.

    Unattached ┐
               ├─ the only voter stands at once ─→ Candidate ─ majority of votes ─→ Leader
    Resigned ──┘                                   epoch + 1, votes for itself

Laws
1. No clock, no files, no sockets: the machine is told, and its `Outcome` says what the shell has to do, in this order:
   `persist` reaches the disk before anything else of the outcome happens.
2. An epoch is never used twice: it is raised before a vote is asked for, and the raised epoch is persisted first. So a
   process that was killed leads in a higher epoch when it comes back.
3. Nothing of an epoch is committed before the leader's own LeaderChange record is: the high watermark moves only past
   the offset the epoch began at.
4. Index is the offset of a record, term is the leader epoch.

What travels between several voters (Vote, BeginQuorumEpoch, Fetch) enters here as further events; the counting of votes
and of what the voters hold is written for any number of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from minikafka.raft.quorum import Voter, Voters

NOBODY = -1


class Role(Enum):
    """What a node is in its epoch, by the names `quorum-state` and DescribeQuorum's metrics have."""

    UNATTACHED = "Unattached"
    CANDIDATE = "Candidate"
    LEADER = "Leader"
    RESIGNED = "Resigned"


@dataclass(frozen=True, slots=True)
class Election:
    """What a node must not forget: the content of `quorum-state`."""

    epoch: int = 0
    leader_id: int = NOBODY
    voted_id: int = NOBODY
    voted_directory_id: bytes = bytes(16)


@dataclass(slots=True)
class Outcome:
    """What the shell does, from top to bottom."""

    persist: list[Election]  # write quorum-state, each in turn
    became_leader: bool = False  # append the LeaderChange batch of `epoch`
    high_watermark: int | None = None  # it moved here: everything below is committed


class Machine:
    """One node's part in the quorum."""

    def __init__(self, me: Voter, voters: Voters, remembered: Election) -> None:
        self.me = me
        self.voters = voters
        self.election = remembered
        # A leader that comes back has resigned: what it had not committed may have been decided otherwise.
        self.role = Role.RESIGNED if remembered.leader_id == me.id else Role.UNATTACHED
        self.granted: set[int] = set()
        self.ends: dict[int, int] = {}  # as leader: what each voter holds durably
        self.epoch_start = 0  # as leader: the offset of its LeaderChange record
        self.high_watermark = -1

    @property
    def epoch(self) -> int:
        return self.election.epoch

    @property
    def is_leader(self) -> bool:
        return self.role is Role.LEADER

    def start(self, log_end: int) -> Outcome:
        """The node is up with a log that ends at `log_end`. An only voter asks nobody and stands at once."""
        outcome = Outcome([])
        if self.voters.majority == 1 and self.voters.has(self.me):
            self._stand(outcome)
            self._count(outcome, log_end)
        return outcome

    def _stand(self, outcome: Outcome) -> None:
        self.role = Role.CANDIDATE
        self.election = Election(self.epoch + 1, NOBODY, self.me.id, self.me.directory_id)
        self.granted = {self.me.id}
        outcome.persist.append(self.election)

    def _count(self, outcome: Outcome, log_end: int) -> None:
        if self.role is Role.CANDIDATE and len(self.granted) >= self.voters.majority:
            self.role = Role.LEADER
            self.election = Election(self.epoch, self.me.id)
            self.ends = {}
            self.epoch_start = log_end
            outcome.persist.append(self.election)
            outcome.became_leader = True

    def held(self, voter_id: int, end_offset: int) -> Outcome:
        """A voter holds everything below `end_offset` durably; as leader that may commit something."""
        outcome = Outcome([])
        if self.is_leader and end_offset > self.ends.get(voter_id, -1):
            self.ends[voter_id] = end_offset
            agreed = self.voters.high_watermark(self.ends)
            if agreed > self.epoch_start and agreed > self.high_watermark:
                outcome.high_watermark = self.high_watermark = agreed
        return outcome
