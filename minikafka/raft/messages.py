"""What travels between the members of a quorum, as values: requests, and the answers to them.

The machine knows these and nothing of their encoding. Offsets name the record after the last one meant (an END offset)
unless they say otherwise; an empty log ends at offset 0 in epoch 0.
"""

from __future__ import annotations

from typing import NamedTuple

from minikafka.raft.quorum import NO_DIRECTORY, Endpoint
from protocol.kafka.primitives import Buffer

NOBODY = -1
UNKNOWN = -1  # a high watermark nobody has told


class Member(NamedTuple):
    """Whom a request is from or for: a node, and the directory its log lies in where that is known."""

    id: int
    directory_id: bytes = NO_DIRECTORY


class OffsetAndEpoch(NamedTuple):
    """The end of a log, of an epoch or of a snapshot: the offset after its last record, and that record's epoch."""

    end_offset: int
    epoch: int


class Vote(NamedTuple):
    """Give me your vote of `epoch`; as a pre-vote (KIP-996): would you, if I asked for that of the next?"""

    epoch: int
    candidate: Member
    voter: Member
    last: OffsetAndEpoch  # of the candidate's log
    is_pre_vote: bool
    cluster_id: str | None = None


class BeginQuorumEpoch(NamedTuple):
    """I lead `epoch`: fetch from me."""

    epoch: int
    leader_id: int
    voter: Member
    endpoints: tuple[Endpoint, ...] = ()
    cluster_id: str | None = None


class EndQuorumEpoch(NamedTuple):
    """I lead `epoch` no more; these may follow me, the best of them first."""

    epoch: int
    leader_id: int
    preferred: tuple[Member, ...]
    cluster_id: str | None = None


class Fetch(NamedTuple):
    """I hold everything below `offset` for good: what comes behind?"""

    epoch: int
    replica: Member
    offset: int
    last_epoch: int
    high_watermark: int = UNKNOWN
    cluster_id: str | None = None


class FetchSnapshot(NamedTuple):
    """Give me a piece of that snapshot."""

    epoch: int
    replica: Member
    snapshot: OffsetAndEpoch
    position: int
    cluster_id: str | None = None


class Voted(NamedTuple):
    """To Vote."""

    error: int
    epoch: int
    leader_id: int
    is_granted: bool = False
    endpoint: Endpoint | None = None  # of the leader, where it is known


class Heard(NamedTuple):
    """To BeginQuorumEpoch and EndQuorumEpoch."""

    error: int
    epoch: int
    leader_id: int
    endpoint: Endpoint | None = None


class Fetched(NamedTuple):
    """To Fetch. `records` are those from the offset asked for up to `end_offset`, committed or not."""

    error: int
    epoch: int
    leader_id: int
    high_watermark: int = UNKNOWN
    diverging: OffsetAndEpoch | None = None
    snapshot: OffsetAndEpoch | None = None
    records: Buffer = b""
    end_offset: int = 0
    endpoint: Endpoint | None = None


class SnapshotPiece(NamedTuple):
    """To FetchSnapshot: bytes from `position` on of a file of `size`; they may cut a batch."""

    error: int
    epoch: int
    leader_id: int
    size: int = 0
    position: int = 0
    data: Buffer = b""
    endpoint: Endpoint | None = None


Request = Vote | BeginQuorumEpoch | EndQuorumEpoch | Fetch | FetchSnapshot
Answer = Voted | Heard | Fetched | SnapshotPiece


class Send(NamedTuple):
    """A request and the node it goes to; a bootstrap server, whose id nobody knows, is -2, -3, … by its place."""

    to: int
    request: Request
