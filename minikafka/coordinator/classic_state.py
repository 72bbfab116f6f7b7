"""What a classic group is: its state, its members, what of it is written, and what others may ask of it.

What it does, the protocol, is in `classic`. Two moments of a group's life are written: a generation with its
assignments (when the leader hands them in, or a static member is replaced), and that nobody is left. A record
replayed live makes its assignments hold and the group Stable; a record found while loading makes the group.
"""

from __future__ import annotations

from random import Random
from struct import error as StructError
from struct import unpack_from
from typing import Self

from minikafka.coordinator.members import MEMBER, Caller, GroupSettings, Member, Outcome, State
from minikafka.coordinator.roster import Roster
from protocol.kafka.errors import (
    CoordinatorNotAvailable,
    GroupIdNotFound,
    IllegalGeneration,
    NonEmptyGroup,
    RebalanceInProgress,
    UnknownMemberId,
)
from protocol.kafka.messages.groups import DescribedGroup, DescribedGroupMember, ListedGroup
from protocol.kafka.messages.stored import GroupMetadataKey, GroupMetadataValue, MemberMetadata

CONSUMER_PROTOCOL_TYPE = "consumer"

VALID_PREVIOUS = {
    State.EMPTY: {State.PREPARING_REBALANCE},
    State.PREPARING_REBALANCE: {State.STABLE, State.COMPLETING_REBALANCE, State.EMPTY},
    State.COMPLETING_REBALANCE: {State.PREPARING_REBALANCE},
    State.STABLE: {State.COMPLETING_REBALANCE},
    State.DEAD: {State.STABLE, State.PREPARING_REBALANCE, State.COMPLETING_REBALANCE, State.EMPTY, State.DEAD},
}


class ClassicState:
    """One group of the classic type; a group that only stores offsets is one without a protocol type."""

    type_name = "classic"

    def __init__(self, group_id: str, settings: GroupSettings, random: Random, now: int) -> None:
        self.group_id = group_id
        self.settings = settings
        self.random = random
        self.state = State.EMPTY
        self.previous_state = State.DEAD
        self.state_since: int | None = now  # wall ms; None where an old record does not say
        self.generation = 0
        self.protocol: str | None = None
        self.roster = Roster()
        self.pending_syncs: dict[str, None] = {}  # members of this generation that have not sent SyncGroup
        self.subscribed_topics: set[str] | None = None  # None: not to be known
        self.has_new_member = False  # somebody new came since the initial delay was last extended
        self.delay_ms = 0  # the initial delay now running, and what may still be added to it
        self.remaining_ms = 0

    # ---- what others ask of a group

    def check_offset_commit(
        self, member_id: str, instance_id: str | None, generation: int, *, is_transactional: bool = False
    ) -> None:
        """May this caller commit offsets? Without generation and member, only for a group nobody is in."""
        if self.state is State.DEAD:
            raise CoordinatorNotAvailable()
        if generation < 0 and self.state is State.EMPTY:
            return
        if generation >= 0 or member_id or instance_id is not None:
            self.roster.check(member_id, instance_id)
            if generation != self.generation:
                raise IllegalGeneration()
        elif not is_transactional:
            raise UnknownMemberId()
        if not is_transactional and self.state is State.COMPLETING_REBALANCE:
            raise RebalanceInProgress()

    def keep_alive(self, member_id: str, out: Outcome) -> None:
        """Any sign of life starts the member's session afresh."""
        out.timer(MEMBER, self.group_id, member_id, self.roster.members[member_id].session_timeout_ms)

    def offset_committed(self, member_id: str, out: Outcome) -> None:
        """A member that commits is alive."""
        if self.state in (State.STABLE, State.PREPARING_REBALANCE) and member_id in self.roster.members:
            self.keep_alive(member_id, out)

    def check_offset_delete(self) -> None:
        if self.state is State.DEAD:
            raise GroupIdNotFound()
        if self.state is not State.EMPTY and self.roster.protocol_type != CONSUMER_PROTOCOL_TYPE:
            raise NonEmptyGroup()

    def check_delete(self) -> None:
        if self.state is State.DEAD:
            raise GroupIdNotFound()
        if self.state is not State.EMPTY:
            raise NonEmptyGroup()

    def is_empty(self) -> bool:
        return self.state is State.EMPTY

    def is_subscribed_to(self, topic: str) -> bool:
        if self.subscribed_topics is None:
            return self.roster.protocol_type == CONSUMER_PROTOCOL_TYPE
        return topic in self.subscribed_topics

    def expires_from(self, commit_ms: int) -> int | None:
        """From when on the retention of an offset committed at `commit_ms` runs; None: not at all for now."""
        if self.roster.protocol_type is None:
            return commit_ms
        if self.state is State.EMPTY:
            return commit_ms if self.state_since is None else self.state_since
        is_known = self.roster.protocol_type == CONSUMER_PROTOCOL_TYPE and self.subscribed_topics is not None
        return commit_ms if is_known and self.state is State.STABLE else None

    def describe(self) -> DescribedGroup:
        is_stable = self.state is State.STABLE
        return DescribedGroup(
            group_id=self.group_id,
            group_state=self.state.value,
            protocol_type=self.roster.protocol_type or "",
            protocol_data=(self.protocol or "") if is_stable else "",
            members=[
                DescribedGroupMember(
                    member_id=member.member_id,
                    group_instance_id=member.instance_id,
                    client_id=member.client_id,
                    client_host=member.client_host,
                    member_metadata=member.metadata(self.protocol or "") if is_stable else b"",
                    member_assignment=member.assignment,
                )
                for member in self.roster.all()
            ],
        )

    def listed(self) -> ListedGroup:
        return ListedGroup(
            group_id=self.group_id,
            protocol_type=self.roster.protocol_type or "",
            group_state=self.state.value,
            group_type=self.type_name,
        )

    def move_to(self, state: State, now: int) -> None:
        assert self.state in VALID_PREVIOUS[state], f"group {self.group_id}: {self.state} cannot become {state}"
        self.previous_state = self.state
        self.state = state
        self.state_since = now

    def compute_subscribed_topics(self) -> set[str] | None:
        if self.roster.protocol_type != CONSUMER_PROTOCOL_TYPE:
            return None
        if not self.roster.members:
            return set()
        if self.protocol is None:
            return None
        topics: set[str] = set()
        for member in self.roster.all():
            subscription = subscribed_topics(member.metadata(self.protocol))
            if subscription is None:
                return None
            topics |= subscription
        return topics

    # ---- records

    def newborn(self) -> tuple[GroupMetadataKey, GroupMetadataValue]:
        """The record that says no more than that the group is there."""
        since = -1 if self.state_since is None else self.state_since
        value = GroupMetadataValue(
            protocol_type="", generation=0, protocol=None, leader=None, current_state_timestamp=since, members=[]
        )
        return GroupMetadataKey(group=self.group_id), value

    def tombstone(self, out: Outcome) -> None:
        out.record(GroupMetadataKey(group=self.group_id), None)

    def metadata(self, assignments: dict[str, bytes], *, is_new: bool = False) -> GroupMetadataValue:
        """The group as it is to be written: with these assignments if they are new, else with the ones it has."""
        protocol = self.protocol
        members = [
            MemberMetadata(
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                rebalance_timeout=member.rebalance_timeout_ms,
                session_timeout=member.session_timeout_ms,
                subscription=member.metadata(protocol or ""),
                assignment=assignments.get(member.member_id, b"") if is_new else member.assignment,
            )
            for member in self.roster.all()
        ]
        return GroupMetadataValue(
            protocol_type=self.roster.protocol_type or "",
            generation=self.generation,
            protocol=protocol,
            leader=self.roster.leader_id,
            current_state_timestamp=-1 if self.state_since is None else self.state_since,
            members=members,
        )

    def written(self, value: GroupMetadataValue, now: int) -> None:
        """A record of ours is in the log: what it assigns holds from now on."""
        for written in value.members:
            member = self.roster.members.get(written.member_id)
            if member is not None:
                member.assignment = bytes(written.assignment)
        if value.members and self.state is State.COMPLETING_REBALANCE and value.generation == self.generation:
            self.move_to(State.STABLE, now)

    @classmethod
    def load(cls, group_id: str, value: GroupMetadataValue, settings: GroupSettings, random: Random, now: int) -> Self:
        """The group as a record found in the log describes it."""
        group = cls(group_id, settings, random, now)
        group.state_since = None if value.current_state_timestamp == -1 else value.current_state_timestamp
        group.generation = value.generation
        group.protocol = value.protocol
        group.roster.leader_id = value.leader
        for stored in value.members:
            timeout_ms = stored.session_timeout if stored.rebalance_timeout == -1 else stored.rebalance_timeout
            member = Member(
                stored.member_id,
                stored.group_instance_id,
                Caller(stored.client_id, stored.client_host, 0),
                value.protocol_type,
                [(value.protocol or "", bytes(stored.subscription))],
                stored.session_timeout,
                timeout_ms,
            )
            member.assignment = bytes(stored.assignment)
            group.roster.add(member)
        group.roster.protocol_type = value.protocol_type or None
        group.state = State.STABLE if group.roster.members else State.EMPTY
        group.subscribed_topics = group.compute_subscribed_topics()
        return group


def subscribed_topics(metadata: bytes) -> set[str] | None:
    """The topics in a consumer's subscription, or None where it is not one.

    `i16 version, i32 count, count × (i16 length, name), …` in every version of ConsumerProtocolSubscription.
    """
    try:
        (count,) = unpack_from(">i", metadata, 2)
        topics: set[str] = set()
        at = 6
        for _ in range(count):
            (size,) = unpack_from(">h", metadata, at)
            name = metadata[at + 2 : at + 2 + size]
            if size < 0 or len(name) < size:
                return None
            topics.add(name.decode())
            at += 2 + size
        return topics
    except (StructError, UnicodeDecodeError):
        return None
