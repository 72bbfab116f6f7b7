"""The words between the quorum machine and its shell: what it is given, what it must not forget, what it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from minikafka.raft.messages import NOBODY, Answer, OffsetAndEpoch, Send
from minikafka.raft.quorum import NO_DIRECTORY
from protocol.kafka.primitives import Buffer

NEVER = float("inf")


class Role(Enum):
    """What a node is in its epoch, by the names `quorum-state` and DescribeQuorum's metrics have."""

    UNATTACHED = "Unattached"
    FOLLOWER = "Follower"
    PROSPECTIVE = "Prospective"
    CANDIDATE = "Candidate"
    LEADER = "Leader"
    RESIGNED = "Resigned"


class Timeouts(NamedTuple):
    """In seconds; Kafka's controller.quorum.* of the same names."""

    election_s: float = 1.0  # and up to twice that, by chance
    fetch_s: float = 2.0
    election_backoff_max_s: float = 1.0
    request_s: float = 2.0
    retry_backoff_s: float = 0.02

    @property
    def begin_s(self) -> float:
        """A voter that has not fetched for so long is told again who leads."""
        return self.fetch_s / 2

    @property
    def check_s(self) -> float:
        """A leader that no majority has fetched from for so long leads no more."""
        return self.fetch_s * 1.5


@dataclass(frozen=True, slots=True)
class Election:
    """What a node must not forget: the content of `quorum-state`."""

    epoch: int = 0
    leader_id: int = NOBODY
    voted_id: int = NOBODY
    voted_directory_id: bytes = NO_DIRECTORY


class Log(Protocol):
    """What the machine reads of the log: all that is appended, synced or not."""

    @property
    def start_offset(self) -> int: ...

    @property
    def end_offset(self) -> int: ...

    @property
    def last_epoch(self) -> int:
        """Of the last record, or of the snapshot an empty log goes on from; 0 where there is nothing."""

    @property
    def snapshot(self) -> OffsetAndEpoch:
        """The newest that stands for records of the log; (0, 0) while none does."""

    def end_of(self, epoch: int) -> OffsetAndEpoch:
        """The greatest known epoch at or below `epoch`, and where it ends; (0, 0) where there is none."""


class Download(NamedTuple):
    """A piece of a snapshot, to be kept aside until the last has come."""

    snapshot: OffsetAndEpoch
    position: int
    data: Buffer
    is_last: bool  # then it replaces the log, and `installed` is to be called


@dataclass(slots=True)
class Outcome:
    """What the shell does, from top to bottom."""

    persist: list[Election] = field(default_factory=list)  # write quorum-state, each in turn
    truncate_to: int | None = None  # cut the log off here
    append: Buffer = b""  # batches of the leader's log; `held` once they are synced
    download: Download | None = None
    became_leader: bool = False  # append the LeaderChange batch of `epoch`
    high_watermark: int | None = None  # it moved here: everything below is committed
    reply: Answer | None = None  # to the request it was about
    send: list[Send] = field(default_factory=list)
