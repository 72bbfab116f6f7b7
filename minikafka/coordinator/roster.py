"""Who is in a classic group: members, the places of static ones, ids given out, the leader, the protocols in common.

Bookkeeping without protocol: nothing here knows a state, a timer or a reply. What is kept twice for speed
(`supported`, `awaiting_joins`) changes only where members do.
"""

from __future__ import annotations

from collections.abc import Iterable

from minikafka.coordinator.members import Member, Waiter, java_hash
from protocol.kafka.errors import FencedInstanceId, UnknownMemberId


class Roster:
    """The members of one group, in the order they came."""

    __slots__ = (
        "awaiting_joins",
        "leader_id",
        "members",
        "pending_joins",
        "protocol_type",
        "static_members",
        "supported",
    )

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.static_members: dict[str, str] = {}  # instance id → member id
        self.pending_joins: dict[str, None] = {}  # ids given out whose owners have not come back; in order
        self.leader_id: str | None = None
        self.protocol_type: str | None = None
        self.awaiting_joins = 0  # members whose JoinGroup is parked
        self.supported: dict[str, int] = {}  # protocol → how many members named it

    def __len__(self) -> int:
        return len(self.members)

    def all(self) -> Iterable[Member]:
        return self.members.values()

    def add(self, member: Member) -> None:
        """Take a member in. The first one's protocol type is the group's, and it leads."""
        if member.instance_id is not None:
            assert member.instance_id not in self.static_members, "a static member has one place"
            self.static_members[member.instance_id] = member.member_id
        if not self.members:
            self.protocol_type = member.protocol_type
        if self.leader_id is None:
            self.leader_id = member.member_id
        self.members[member.member_id] = member
        self._count_protocols(member, 1)
        self.pending_joins.pop(member.member_id, None)

    def remove(self, member_id: str) -> None:
        """Forget a member or an id given out; the next in line leads if this one did."""
        member = self.members.pop(member_id, None)
        if member is not None:
            self._count_protocols(member, -1)
            if member.join is not None:
                self.awaiting_joins -= 1
            if member.instance_id is not None:
                del self.static_members[member.instance_id]
        if self.leader_id == member_id:
            self.leader_id = next(iter(self.members), None)
        self.pending_joins.pop(member_id, None)

    def rename(self, old_id: str, new_id: str) -> Member:
        """Give a static member's place, and its lead, to its new incarnation."""
        member = self.members.pop(old_id)
        assert member.instance_id is not None, "only static members are replaced"
        member.member_id = new_id
        member.is_new = False
        self.members[new_id] = member
        if self.leader_id == old_id:
            self.leader_id = new_id
        self.static_members[member.instance_id] = new_id
        return member

    def check(self, member_id: str, instance_id: str | None) -> None:
        """Raise UnknownMemberId or FencedInstanceId unless the two name one member."""
        if instance_id is not None:
            known_id = self.static_members.get(instance_id)
            if known_id is None:
                raise UnknownMemberId()
            if known_id != member_id:
                raise FencedInstanceId()
        if member_id not in self.members:
            raise UnknownMemberId()

    # ---- who has joined

    def park(self, member: Member, waiter: Waiter | None) -> Waiter | None:
        """Keep (or with None forget) a member's JoinGroup; returns the one that was parked before."""
        former = member.join
        self.awaiting_joins += (waiter is not None) - (former is not None)
        member.join = waiter
        return former

    def have_all_joined(self) -> bool:
        return self.awaiting_joins == len(self.members) and not self.pending_joins

    def elect_joined_leader(self) -> bool:
        """Make sure the leader is one that came back; False when there is none to choose."""
        if self.leader_id is None:
            return False
        if self.members[self.leader_id].join is not None:
            return True
        for member in self.members.values():
            if member.join is not None:
                self.leader_id = member.member_id
                return True
        return False

    def rebalance_timeout_ms(self) -> int:
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    # ---- protocols

    def set_protocols(self, member: Member, protocols: list[tuple[str, bytes]]) -> None:
        self._count_protocols(member, -1)
        member.protocols = protocols
        self._count_protocols(member, 1)

    def _count_protocols(self, member: Member, by: int) -> None:
        for name in dict.fromkeys(name for name, _ in member.protocols):  # a name given twice is one vote
            count = self.supported.get(name, 0) + by
            if count:
                self.supported[name] = count
            else:
                self.supported.pop(name, None)

    def supports(self, protocol_type: str, names: Iterable[str]) -> bool:
        """Whether a member like this shares a protocol with all that are here."""
        return protocol_type == self.protocol_type and any(
            self.supported.get(name, 0) == len(self.members) for name in names
        )

    def select_protocol(self) -> str:
        """What most members would like best, among what all of them support."""
        candidates = {name for name, count in self.supported.items() if count == len(self.members)}
        votes: dict[str, int] = {}
        for member in self.members.values():
            choice = member.vote(candidates)
            votes[choice] = votes.get(choice, 0) + 1
        # Kafka breaks a tie by the order of a java.util.HashMap.
        return min(votes, key=lambda name: (-votes[name], _hash_map_bucket(name)))


def _hash_map_bucket(name: str) -> int:
    """Where a java.util.HashMap of up to 12 entries keeps `name`."""
    value = java_hash(name) & 0xFFFFFFFF
    return (value ^ value >> 16) & 15
