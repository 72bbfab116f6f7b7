"""The classic group protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, as one pure machine per group.

              join                 all joined, or time is up            leader's SyncGroup
    Empty ──────────► PreparingRebalance ──────────► CompletingRebalance ──────────► Stable
      ▲                  │    ▲    ▲                       │                           │
      └── nobody left ───┘    │    └── join, leave, death ─┴───────────────────────────┘
                          (a new generation each time the join phase ends)

Members elect nothing: the first to join leads, computes everybody's assignment, and hands it in with
its SyncGroup. A dynamic member must come back with the member id it was given (KIP-394) and is
"pending" until it does; a static one (KIP-345) is known by its instance id and may be replaced without
a rebalance. The first rebalance of an empty group waits `group.initial.rebalance.delay.ms` for company,
and again for every newcomer, up to the largest rebalance timeout among the members (KIP-134).

Only generation, protocol, leader, members and assignments are ever written; the record of a SyncGroup
makes the group Stable when it is replayed. Everything else is lost with the broker and rebuilt by the
clients' next requests. Timers: see `members`.
"""

from __future__ import annotations

from collections.abc import Sequence

from minikafka.coordinator.classic_state import VALID_PREVIOUS, ClassicState
from minikafka.coordinator.members import JOIN, MEMBER, SYNC, Caller, Member, Outcome, State, Waiter, random_uuid
from protocol.kafka.errors import (
    CoordinatorNotAvailable,
    FencedInstanceId,
    GroupMaxSizeReached,
    IllegalGeneration,
    InconsistentGroupProtocol,
    KafkaError,
    MemberIdRequired,
    NotCoordinator,
    RebalanceInProgress,
    UnknownMemberId,
)
from protocol.kafka.messages.groups import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    JoinGroupResponseMember,
    LeaveGroupResponse,
    MemberIdentity,
    MemberResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from protocol.kafka.messages.stored import GroupMetadataKey

MEMBER_ID_REQUIRED_SINCE = 4  # JoinGroup version, KIP-394
SKIP_ASSIGNMENT_SINCE = 9  # JoinGroup version, KIP-814


class ClassicGroup(ClassicState):
    """The protocol played on a group."""

    # ---- JoinGroup

    def join(self, request: JoinGroupRequest, caller: Caller, waiter: Waiter, out: Outcome, now: int) -> None:
        """Take a member in, or back in. The reply comes when the join phase ends, unless nothing changed."""
        member_id = request.member_id
        try:
            if not self._has_room_for(member_id):
                self._remove(member_id)
                raise _Refused(GroupMaxSizeReached(), "")
            if self.state is State.DEAD:
                raise CoordinatorNotAvailable()
            if not self._supports(request.protocol_type, [protocol.name for protocol in request.protocols]):
                raise InconsistentGroupProtocol()
            if member_id == "":
                self._join_new(request, caller, waiter, out, now)
            else:
                self._join_known(request, caller, waiter, out, now)
        except _Refused as refused:
            out.reply(waiter, refused_join(refused.error.code, refused.member_id))
        except KafkaError as error:
            out.reply(waiter, refused_join(error.code, member_id))

    def _has_room_for(self, member_id: str) -> bool:
        member = self.roster.members.get(member_id)
        if self.state is State.PREPARING_REBALANCE:
            # Who waits already stays; otherwise those who come first are in, so that a lowered limit
            # sheds the last to rejoin.
            is_waiting = member is not None and member.join is not None
            return is_waiting or self.roster.awaiting_joins < self.settings.max_size
        if self.state in (State.COMPLETING_REBALANCE, State.STABLE):
            return member is not None or len(self.roster.members) < self.settings.max_size
        return True

    def _join_new(self, request: JoinGroupRequest, caller: Caller, waiter: Waiter, out: Outcome, now: int) -> None:
        instance_id = request.group_instance_id
        member_id = f"{caller.client_id if instance_id is None else instance_id}-{random_uuid(self.random)}"
        if instance_id is not None:
            known_id = self.roster.static_members.get(instance_id)
            if known_id is not None:
                self._replace_static(request, caller, known_id, member_id, waiter, out, now)
            else:
                self._add_then_rebalance(request, caller, member_id, waiter, out, now)
        elif caller.api_version >= MEMBER_ID_REQUIRED_SINCE:
            self.roster.pending_joins[member_id] = None
            out.timer(MEMBER, self.group_id, member_id, request.session_timeout_ms)
            raise _Refused(MemberIdRequired(), member_id)
        else:
            self._add_then_rebalance(request, caller, member_id, waiter, out, now)

    def _join_known(self, request: JoinGroupRequest, caller: Caller, waiter: Waiter, out: Outcome, now: int) -> None:
        member_id = request.member_id
        if member_id in self.roster.pending_joins:
            if request.group_instance_id is not None:
                raise UnknownMemberId()  # ids are given out to dynamic members only
            self._add_then_rebalance(request, caller, member_id, waiter, out, now)
            return
        self.roster.check(member_id, request.group_instance_id)
        member = self.roster.members[member_id]
        has_changed = member.protocols != _protocols(request)
        if self.state is State.EMPTY:
            raise _Refused(UnknownMemberId(), member_id)
        if (
            self.state is State.PREPARING_REBALANCE
            or has_changed
            # A leader that joins again asks for a rebalance: what it assigns may have changed without it.
            or (self.state is State.STABLE and member_id == self.roster.leader_id)
        ):
            self._update(member, request, waiter, out)
            self._rebalance_or_complete(out, now)
        else:
            # It lost our reply, or checks in: the generation stands, SyncGroup gives it its assignment.
            shows_members = self.state is State.COMPLETING_REBALANCE and member_id == self.roster.leader_id
            out.reply(waiter, self._joined(member_id, self._roster() if shows_members else []))

    def _add_then_rebalance(
        self, request: JoinGroupRequest, caller: Caller, member_id: str, waiter: Waiter, out: Outcome, now: int
    ) -> None:
        member = Member(
            member_id,
            request.group_instance_id,
            caller,
            request.protocol_type,
            _protocols(request),
            request.session_timeout_ms,
            request.rebalance_timeout_ms,
        )
        member.is_new = True
        if self.state is State.PREPARING_REBALANCE and self.previous_state is State.EMPTY:
            self.has_new_member = True
        self.roster.add(member)
        self._park(member, waiter, out)
        # It cannot heartbeat before it knows its id, so its session does not run yet; but see
        # Member.has_satisfied_heartbeat for why it may not wait for ever either.
        out.timer(MEMBER, self.group_id, member_id, self.settings.new_member_join_timeout_ms)
        self._rebalance_or_complete(out, now)

    def _replace_static(
        self,
        request: JoinGroupRequest,
        caller: Caller,
        old_id: str,
        new_id: str,
        waiter: Waiter,
        out: Outcome,
        now: int,
    ) -> None:
        """A static member came back under a new id: the old one is fenced, its place is kept."""
        former_leader = self.roster.leader_id
        member = self._rename(old_id, new_id, out)
        out.timer(MEMBER, self.group_id, new_id, member.session_timeout_ms)
        self._update(member, request, waiter, out)
        if self.state is State.COMPLETING_REBALANCE:
            # The leader may already be assigning to the id that is gone.
            self._prepare_rebalance(out, now)
        elif self.state is State.STABLE and self.roster.select_protocol() == self.protocol:
            self.roster.park(member, None)
            out.record(GroupMetadataKey(group=self.group_id), self.metadata({}))
            is_leader = self.roster.leader_id == new_id
            if caller.api_version >= SKIP_ASSIGNMENT_SINCE:
                reply = self._joined(new_id, self._roster() if is_leader else [])
                reply.skip_assignment = is_leader
            else:
                # An older client that heard it leads would assign anew, so it is told of the old leader.
                reply = self._joined(new_id, [])
                reply.leader = former_leader or ""
            out.reply(waiter, reply)
        else:
            self._rebalance_or_complete(out, now)

    # ---- SyncGroup

    def sync(self, request: SyncGroupRequest, waiter: Waiter, out: Outcome, now: int) -> None:
        """Hand in (the leader) or wait for (everybody else) the assignments of this generation."""
        try:
            self._check_sync(request)
        except KafkaError as error:
            out.reply(waiter, refused_sync(error.code))
            return
        member = self.roster.members[request.member_id]
        self.pending_syncs.pop(member.member_id, None)
        if not self.pending_syncs:
            out.cancel(SYNC, self.group_id, "")
        if self.state is State.STABLE:
            out.reply(waiter, self._synced(member.assignment))
            return
        if member.sync is not None:  # by a connection the client gave up
            out.reply(member.sync, refused_sync(RebalanceInProgress.code))
        member.sync = waiter
        if member.member_id == self.roster.leader_id:
            assignments = {a.member_id: bytes(a.assignment) for a in request.assignments}
            out.record(GroupMetadataKey(group=self.group_id), self.metadata(assignments, is_new=True))
            for each in self.roster.all():
                if each.sync is not None:
                    out.reply(each.sync, self._synced(assignments.get(each.member_id, b"")))
                    each.sync = None
                    # A session that ran out while it waited for the leader was let pass: start it afresh.
                    out.timer(MEMBER, self.group_id, each.member_id, each.session_timeout_ms)

    def _check_sync(self, request: SyncGroupRequest) -> None:
        if self.state is State.DEAD:
            raise CoordinatorNotAvailable()
        self.roster.check(request.member_id, request.group_instance_id)
        if request.generation_id != self.generation:
            raise IllegalGeneration()
        if _differs(request.protocol_type, self.roster.protocol_type) or _differs(request.protocol_name, self.protocol):
            raise InconsistentGroupProtocol()
        if self.state is State.PREPARING_REBALANCE:
            raise RebalanceInProgress()

    # ---- Heartbeat and LeaveGroup

    def heartbeat(self, request: HeartbeatRequest, waiter: Waiter, out: Outcome) -> None:
        try:
            if self.state is State.DEAD:
                raise CoordinatorNotAvailable()
            self.roster.check(request.member_id, request.group_instance_id)
            if request.generation_id != self.generation:
                raise IllegalGeneration()
        except KafkaError as error:
            out.reply(waiter, HeartbeatResponse(error_code=error.code))
            return
        self.keep_alive(request.member_id, out)
        code = RebalanceInProgress.code if self.state is State.PREPARING_REBALANCE else 0
        out.reply(waiter, HeartbeatResponse(error_code=code))

    def leave(self, members: Sequence[MemberIdentity], waiter: Waiter, out: Outcome, now: int) -> None:
        """Remove members, by member id or, for an administrator, by instance id alone."""
        if self.state is State.DEAD:
            out.reply(waiter, LeaveGroupResponse(error_code=CoordinatorNotAvailable.code))
            return
        answers = []
        for identity in members:
            answer = MemberResponse(member_id=identity.member_id, group_instance_id=identity.group_instance_id)
            try:
                self._leave_one(identity, out)
            except KafkaError as error:
                answer.error_code = error.code
            answers.append(answer)
        if any(answer.error_code == 0 for answer in answers):
            if self.state in (State.STABLE, State.COMPLETING_REBALANCE):
                self._prepare_rebalance(out, now)
            elif self.state is State.PREPARING_REBALANCE:
                self._maybe_complete(out, now)
        out.reply(waiter, LeaveGroupResponse(members=answers))

    def _leave_one(self, identity: MemberIdentity, out: Outcome) -> None:
        member_id = identity.member_id
        if member_id == "":
            if identity.group_instance_id is None or identity.group_instance_id not in self.roster.static_members:
                raise UnknownMemberId()
            member_id = self.roster.static_members[identity.group_instance_id]
        elif member_id in self.roster.pending_joins:
            self._remove(member_id)
            out.cancel(MEMBER, self.group_id, member_id)
            return
        else:
            self.roster.check(member_id, identity.group_instance_id)
        self._dismiss(self.roster.members[member_id], out)
        out.cancel(MEMBER, self.group_id, member_id)

    # ---- timers

    def expire(self, kind: str, member_id: str, out: Outcome, now: int) -> None:
        """A timer fired."""
        if self.state is State.DEAD:
            return
        if kind == MEMBER:
            self._expire_member(member_id, out, now)
        elif kind == JOIN:
            self._expire_join(out, now)
        elif kind == SYNC:
            self._expire_sync(out, now)

    def _expire_member(self, member_id: str, out: Outcome, now: int) -> None:
        if member_id in self.roster.pending_joins:
            self._remove(member_id)
        else:
            member = self.roster.members.get(member_id)
            if member is None or member.has_satisfied_heartbeat():
                return
            self._dismiss(member, out)
            if self.state in (State.STABLE, State.COMPLETING_REBALANCE):
                self._prepare_rebalance(out, now)
                return
        if self.state is State.PREPARING_REBALANCE and self.roster.have_all_joined():
            self._complete_join(out, now)

    def _expire_join(self, out: Outcome, now: int) -> None:
        if self.state is not State.PREPARING_REBALANCE:
            return
        if self.previous_state is State.EMPTY and self.has_new_member and self.remaining_ms:
            self.has_new_member = False
            delay_ms = min(self.settings.initial_rebalance_delay_ms, self.remaining_ms)
            self.remaining_ms = max(self.remaining_ms - self.delay_ms, 0)
            self.delay_ms = delay_ms
            out.timer(JOIN, self.group_id, "", delay_ms)
        else:
            self._complete_join(out, now)

    def _expire_sync(self, out: Outcome, now: int) -> None:
        if self.state not in (State.COMPLETING_REBALANCE, State.STABLE) or not self.pending_syncs:
            return
        for member_id in list(self.pending_syncs):
            self._remove(member_id)
            out.cancel(MEMBER, self.group_id, member_id)
        self._prepare_rebalance(out, now)

    # ---- the rebalance

    def _rebalance_or_complete(self, out: Outcome, now: int) -> None:
        if self.state in VALID_PREVIOUS[State.PREPARING_REBALANCE]:
            self._prepare_rebalance(out, now)
        else:
            self._maybe_complete(out, now)

    def _maybe_complete(self, out: Outcome, now: int) -> None:
        # The first rebalance of a group ends by its timer alone: waiting for company is its point.
        if (
            self.state is State.PREPARING_REBALANCE
            and self.previous_state is not State.EMPTY
            and self.roster.have_all_joined()
        ):
            self._complete_join(out, now)

    def _prepare_rebalance(self, out: Outcome, now: int) -> None:
        """Open the join phase: everybody has to come again."""
        if self.state is State.COMPLETING_REBALANCE:
            self._refuse_syncs(out)
        self.pending_syncs.clear()
        out.cancel(SYNC, self.group_id, "")
        is_initial = self.state is State.EMPTY
        self.move_to(State.PREPARING_REBALANCE, now)
        if is_initial:
            self.delay_ms = self.settings.initial_rebalance_delay_ms
            self.remaining_ms = max(self.roster.rebalance_timeout_ms() - self.delay_ms, 0)
            out.timer(JOIN, self.group_id, "", self.delay_ms)
        elif self.roster.have_all_joined():
            self._complete_join(out, now)
        else:
            out.timer(JOIN, self.group_id, "", self.roster.rebalance_timeout_ms())

    def _refuse_syncs(self, out: Outcome) -> None:
        for member in self.roster.all():
            member.assignment = b""
            if member.sync is not None:
                out.reply(member.sync, refused_sync(RebalanceInProgress.code))
                member.sync = None
                out.timer(MEMBER, self.group_id, member.member_id, member.session_timeout_ms)

    def _complete_join(self, out: Outcome, now: int) -> None:
        """Close the door: whoever joined is a member of the next generation, and static members stay."""
        out.cancel(JOIN, self.group_id, "")
        for member in [m for m in self.roster.all() if m.join is None and m.instance_id is None]:
            self._remove(member.member_id)
            out.cancel(MEMBER, self.group_id, member.member_id)
        if not self.roster.elect_joined_leader() and self.roster.members:
            # Static members alone, none of them back: wait until they return or their sessions end.
            out.timer(JOIN, self.group_id, "", self.roster.rebalance_timeout_ms())
            return
        self.generation += 1
        self.protocol = self.roster.select_protocol() if self.roster.members else None
        self.subscribed_topics = self.compute_subscribed_topics()
        self.pending_syncs.clear()
        if not self.roster.members:
            self.move_to(State.EMPTY, now)
            out.record(GroupMetadataKey(group=self.group_id), self.metadata({}))
            return
        self.move_to(State.COMPLETING_REBALANCE, now)
        self._answer_joins(out)
        out.timer(SYNC, self.group_id, "", self.roster.rebalance_timeout_ms())

    def _answer_joins(self, out: Outcome) -> None:
        for member in self.roster.all():
            if member.join is not None:
                roster = self._roster() if member.member_id == self.roster.leader_id else []
                out.reply(member.join, self._joined(member.member_id, roster))
                self.roster.park(member, None)
            out.timer(MEMBER, self.group_id, member.member_id, member.session_timeout_ms)
            member.is_new = False
            self.pending_syncs[member.member_id] = None

    # ---- members

    def _supports(self, protocol_type: str, names: list[str]) -> bool:
        if self.state is State.EMPTY:
            return protocol_type != "" and bool(names)
        return self.roster.supports(protocol_type, names)

    def _remove(self, member_id: str) -> None:
        self.roster.remove(member_id)
        self.pending_syncs.pop(member_id, None)

    def _dismiss(self, member: Member, out: Outcome) -> None:
        """Remove a member that may still have a request parked here."""
        if member.join is not None:
            out.reply(member.join, refused_join(UnknownMemberId.code, ""))
        if member.sync is not None:
            out.reply(member.sync, refused_sync(UnknownMemberId.code))
        self._remove(member.member_id)

    def _rename(self, old_id: str, new_id: str, out: Outcome) -> Member:
        """Give a static member's place to its new incarnation; the old one's parked requests are fenced."""
        member = self.roster.members[old_id]
        former = self.roster.park(member, None)
        if former is not None:
            response = refused_join(FencedInstanceId.code, old_id)
            out.reply(former, response)
        if member.sync is not None:
            out.reply(member.sync, refused_sync(FencedInstanceId.code))
            member.sync = None
        out.cancel(MEMBER, self.group_id, old_id)
        if self.pending_syncs.pop(old_id, False) is None:
            self.pending_syncs[new_id] = None
        return self.roster.rename(old_id, new_id)

    def _update(self, member: Member, request: JoinGroupRequest, waiter: Waiter, out: Outcome) -> None:
        self.roster.set_protocols(member, _protocols(request))
        member.rebalance_timeout_ms = request.rebalance_timeout_ms
        member.session_timeout_ms = request.session_timeout_ms
        self._park(member, waiter, out)

    def _park(self, member: Member, waiter: Waiter, out: Outcome) -> None:
        former = self.roster.park(member, waiter)
        if former is not None:
            # It came by a connection the client gave up; still, nobody is left without an answer.
            response = refused_join(RebalanceInProgress.code, member.member_id)
            out.reply(former, response)

    # ---- taking over and giving up

    def loaded(self, out: Outcome, now: int) -> None:
        """The shard is ours: sessions run from here on."""
        for member in self.roster.all():
            out.timer(MEMBER, self.group_id, member.member_id, member.session_timeout_ms)
        if len(self.roster.members) > self.settings.max_size:
            self._prepare_rebalance(out, now)  # so that the last to rejoin are shed, after a chance to commit

    def unloaded(self, out: Outcome, now: int) -> None:
        """The shard is somebody else's: whoever waits here must look for it anew."""
        self.move_to(State.DEAD, now)
        for member in self.roster.all():
            if member.join is not None:
                response = refused_join(NotCoordinator.code, member.member_id)
                out.reply(member.join, response)
                self.roster.park(member, None)
            if member.sync is not None:
                out.reply(member.sync, refused_sync(NotCoordinator.code))
                member.sync = None

    # ---- replies

    def _joined(self, member_id: str, members: list[JoinGroupResponseMember]) -> JoinGroupResponse:
        return JoinGroupResponse(
            generation_id=self.generation,
            protocol_type=self.roster.protocol_type,
            protocol_name=self.protocol,
            leader=self.roster.leader_id or "",
            member_id=member_id,
            members=members,
        )

    def _synced(self, assignment: bytes) -> SyncGroupResponse:
        return SyncGroupResponse(
            protocol_type=self.roster.protocol_type, protocol_name=self.protocol, assignment=assignment
        )

    def _roster(self) -> list[JoinGroupResponseMember]:
        protocol = self.protocol or ""
        return [
            JoinGroupResponseMember(
                member_id=member.member_id, group_instance_id=member.instance_id, metadata=member.metadata(protocol)
            )
            for member in self.roster.all()
        ]


class _Refused(Exception):
    """A JoinGroup that is answered with an error and a member id other than the one it came with."""

    def __init__(self, error: KafkaError, member_id: str) -> None:
        self.error = error
        self.member_id = member_id


def refused_join(code: int, member_id: str) -> JoinGroupResponse:
    """An error in the words of JoinGroup."""
    return JoinGroupResponse(error_code=code, protocol_name=None, leader="", member_id=member_id, members=[])


def refused_sync(code: int) -> SyncGroupResponse:
    """An answer without an assignment."""
    return SyncGroupResponse(error_code=code, assignment=b"")


def _protocols(request: JoinGroupRequest) -> list[tuple[str, bytes]]:
    return [(protocol.name, bytes(protocol.metadata)) for protocol in request.protocols]


def _differs(requested: str | None, actual: str | None) -> bool:
    return requested is not None and actual is not None and requested != actual
