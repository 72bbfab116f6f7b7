"""What every kind of group shares: who is in it, what may happen to it, and how a decision is told.

A machine of this package decides and never acts. It is called with a request and an instant, and
fills an `Outcome`: records to append to `__consumer_offsets`, replies to send once those records are
committed, and timers to set or to cancel. It opens no file, reads no clock and knows no event loop.

Law 1: what must survive the broker changes when its record is replayed, not before. What dies with
       the broker anyway (who waits for a reply, a rebalance under way) changes at once.
Law 2: a reply leaves only through `Outcome.reply`, once per waiter.
Law 3: a timer is a key. Setting a key again moves it; a key that fires is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

# What a timer key says: its kind, the group it belongs to ("" for the shard), and the member ("" for the group).
TimerKey = tuple[str, str, str]

# A record before it is written: Kafka's key and value messages; no value is a tombstone.
Record = tuple[Any, Any | None]

MEMBER = "member"  # a member's session, or the patience we have with one that joins for the first time
JOIN = "join"  # the end of a rebalance's join phase
SYNC = "sync"  # the end of our patience with members that do not send SyncGroup
EXPIRY = "expiry"  # time to look for offsets and groups past their retention


class State(StrEnum):
    """The states of a classic group, by the names Kafka gives them in replies."""

    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"
    EMPTY = "Empty"


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """The broker's settings as far as groups care; the defaults are Kafka's."""

    partitions: int = 50  # offsets.topic.num.partitions
    replication_factor: int = 3  # offsets.topic.replication.factor
    segment_bytes: int = 104_857_600  # offsets.topic.segment.bytes
    commit_timeout_ms: int = 5_000  # offsets.commit.timeout.ms
    offset_metadata_max_size: int = 4_096  # offset.metadata.max.bytes, counted as Kafka does: in UTF-16 units
    offsets_retention_ms: int = 604_800_000  # offsets.retention.minutes
    retention_check_interval_ms: int = 600_000  # offsets.retention.check.interval.ms
    load_buffer_bytes: int = 5_242_880  # offsets.load.buffer.size
    min_session_timeout_ms: int = 6_000  # group.min.session.timeout.ms
    max_session_timeout_ms: int = 1_800_000  # group.max.session.timeout.ms
    initial_rebalance_delay_ms: int = 3_000  # group.initial.rebalance.delay.ms
    max_size: int = 2_147_483_647  # group.max.size
    new_member_join_timeout_ms: int = 300_000  # not to be configured in Kafka either


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as the group will remember it."""

    client_id: str
    client_host: str  # "/127.0.0.1", as java.net.InetAddress prints it
    api_version: int


class Waiter:
    """One request that expects one reply, now or later.

    `refuse(code)` says an error in the words of the request's own response; it is how whoever does
    not know the request (a lost shard, a failed append) still answers it. `adapt` brings any reply
    into the shape the request's version wants.
    """

    __slots__ = ("adapt", "on_answer", "refuse", "reply")

    def __init__(self, refuse: Callable[[int], Any], adapt: Callable[[Any], Any] | None = None) -> None:
        self.refuse = refuse
        self.adapt = adapt
        self.reply: Any | None = None
        self.on_answer: Callable[[Any], None] | None = None

    def answer(self, reply: Any) -> None:
        """Hand the reply over. Answering twice is a bug of ours: the client would take it for its next reply."""
        assert self.reply is None, "a request is answered once"
        if self.adapt is not None:
            reply = self.adapt(reply)
        self.reply = reply
        if self.on_answer is not None:
            self.on_answer(reply)


@dataclass(slots=True)
class Outcome:
    """What one decision wants done, in this order: append, replay, set timers, reply when committed."""

    records: list[Record] = field(default_factory=list)
    replies: list[tuple[Waiter, Any]] = field(default_factory=list)
    timers: list[tuple[TimerKey, int | None]] = field(default_factory=list)  # None cancels
    is_pure: bool = False  # nothing in memory has changed yet: a failed append needs no more than a refusal

    def record(self, key: Any, value: Any | None) -> None:
        self.records.append((key, value))

    def reply(self, waiter: Waiter, response: Any) -> None:
        self.replies.append((waiter, response))

    def timer(self, kind: str, group_id: str, member_id: str, delay_ms: int) -> None:
        self.timers.append(((kind, group_id, member_id), delay_ms))

    def cancel(self, kind: str, group_id: str, member_id: str) -> None:
        self.timers.append(((kind, group_id, member_id), None))


class Member:
    """One member of a classic group."""

    __slots__ = (
        "assignment",
        "client_host",
        "client_id",
        "instance_id",
        "is_new",
        "join",
        "member_id",
        "protocol_type",
        "protocols",
        "rebalance_timeout_ms",
        "session_timeout_ms",
        "sync",
    )

    def __init__(
        self,
        member_id: str,
        instance_id: str | None,
        caller: Caller,
        protocol_type: str,
        protocols: list[tuple[str, bytes]],
        session_timeout_ms: int,
        rebalance_timeout_ms: int,
    ) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.client_id = caller.client_id
        self.client_host = caller.client_host
        self.protocol_type = protocol_type
        self.protocols = protocols  # (name, metadata), the member's favourite first
        self.session_timeout_ms = session_timeout_ms
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.assignment = b""
        self.join: Waiter | None = None  # its JoinGroup, while unanswered
        self.sync: Waiter | None = None  # its SyncGroup, while unanswered
        self.is_new = False  # it has not learned its member id yet

    def metadata(self, protocol: str) -> bytes:
        """What the member said for `protocol`; the group only ever chooses one that all members named."""
        for name, metadata in self.protocols:
            if name == protocol:
                return metadata
        raise AssertionError(f"member {self.member_id} never named protocol {protocol}")

    def vote(self, candidates: set[str]) -> str:
        for name, _ in self.protocols:
            if name in candidates:
                return name
        raise AssertionError(f"member {self.member_id} supports none of {sorted(candidates)}")

    def has_satisfied_heartbeat(self) -> bool:
        """Whether a parked request proves the member alive.

        It does not for one that joins for the first time: a parked JoinGroup mutes its connection, so a client
        that gave up and joined anew would leave its former self in the group for ever.
        """
        return not self.is_new and (self.join is not None or self.sync is not None)


def java_hash(text: str) -> int:
    """java.lang.String.hashCode, as a signed 32-bit number: it decides which partition owns a group."""
    units = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for at in range(0, len(units), 2):
        value = (31 * value + (units[at] << 8 | units[at + 1])) & 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


def partition_for(key: str, partitions: int) -> int:
    """The partition of an internal topic that owns `key`. Kafka's abs() of the one number without a positive is 0."""
    value = java_hash(key)
    return (0 if value == -(1 << 31) else abs(value)) % partitions


def utf16_size(text: str) -> int:
    """java.lang.String.length: Kafka counts its limits in these units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-be", "surrogatepass")) // 2


def random_uuid(random: Random) -> str:
    """A version 4 UUID in its usual print, from the chance we were given."""
    digits = f"{random.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62) | (4 << 76) | (2 << 62):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
