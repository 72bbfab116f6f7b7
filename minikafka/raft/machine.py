"""The quorum machine of KRaft (KIP-595, 630, 853, 996): pure, told of events, answers with what must be done.

                 hears of a leader
    Unattached ────────────────────→ Follower          an observer goes between these two
        │ election timeout               │ fetch timeout
        └──────────────→ Prospective ←───┘
                             │ a majority would vote for it         ↑ timeout
                             └──────────────→ Candidate ────────────┘
                                                 │ a majority voted for it
    Unattached (epoch + 1) ←── Resigned ←──── Leader        any of them → Unattached or Follower of a higher epoch

Laws
1. No clock, no files, no sockets: the machine is told, and its `Outcome` says what the shell has to do, in this order:
   `persist` reaches the disk before anything else of the outcome happens.
2. A node votes once in an epoch, and for nobody in an epoch it led. An epoch is never used twice: it is raised before a
   vote is asked for, and the raised epoch is persisted first.
3. Nothing of an epoch is committed before the leader's own LeaderChange record is: the high watermark moves only past
   the offset the epoch began at. It never goes back, and what is below is never cut off.
4. What a node says it holds (by fetching behind it, or counting itself) has been synced.
5. Index is the offset of a record, term is the leader epoch. `now` is in seconds, of any beginning.
"""

from __future__ import annotations

from random import Random

from minikafka.raft.leading import Leadership
from minikafka.raft.messages import (
    NOBODY,
    UNKNOWN,
    Answer,
    BeginQuorumEpoch,
    EndQuorumEpoch,
    Fetch,
    Fetched,
    FetchSnapshot,
    Heard,
    Member,
    OffsetAndEpoch,
    Request,
    Send,
    SnapshotPiece,
    Vote,
    Voted,
)
from minikafka.raft.quorum import NO_DIRECTORY, Endpoint, Voter, Voters
from minikafka.raft.terms import NEVER, Download, Election, Log, Outcome, Role, Timeouts
from protocol.kafka.errors import (
    NONE,
    FencedLeaderEpoch,
    InconsistentClusterId,
    InvalidRequest,
    InvalidVoterKey,
    NotLeaderOrFollower,
    PositionOutOfRange,
    SnapshotNotFound,
    UnknownLeaderEpoch,
    UnsupportedVersion,
)

FIRST_BOOTSTRAP_SERVER = -2  # bootstrap servers are asked as -2, -3, …: their ids are not known


class Machine:
    """One node's part in the quorum."""

    def __init__(
        self,
        me: Voter,
        voters: Voters,
        remembered: Election,
        log: Log,
        random: Random,
        timeouts: Timeouts = Timeouts(),
        cluster_id: str | None = None,
        bootstrap_servers: int = 0,
    ) -> None:
        self.me = me
        self.member = Member(me.id, me.directory_id)
        self.voters = voters
        self.election = remembered
        self.log = log
        self.random = random
        self.timeouts = timeouts
        self.cluster_id = cluster_id
        self.bootstrap_servers = bootstrap_servers
        # A leader that comes back has resigned: what it had not committed may have been decided otherwise.
        self.role = Role.RESIGNED if remembered.leader_id == me.id else Role.UNATTACHED
        self.leader_endpoint: Endpoint | None = None
        self.leading: Leadership | None = None
        self.high_watermark = UNKNOWN
        self.synced = log.end_offset  # below, everything survives a power cut
        self.deadline = 0.0  # of the role
        self.granted: set[int] = set()  # who votes, or would vote, for this node
        self.refused: set[int] = set()
        self.told: dict[int, float] = {}  # as leader: when each was told last; resigned: who knows
        self.preferred: tuple[Member, ...] = ()  # resigned: who should follow
        self.asked: dict[int, tuple[Request, float]] = {}  # per node the request under way, and when it is given up
        self.not_before: dict[int, float] = {}  # per node: a pause after a failure
        self.has_fetched = False  # from this leader
        self.leader_high_watermark = UNKNOWN
        self.matched = 0  # as follower: up to here the log is the leader's
        self.loading: tuple[OffsetAndEpoch, int] | None = None  # a snapshot on its way, and how much of it is there

    # ---- questions

    @property
    def epoch(self) -> int:
        return self.election.epoch

    @property
    def leader_id(self) -> int:
        return self.election.leader_id if self.role is not Role.RESIGNED else NOBODY

    @property
    def is_leader(self) -> bool:
        return self.role is Role.LEADER

    @property
    def is_voter(self) -> bool:
        return self.voters.has(*self.member)

    @property
    def told_high_watermark(self) -> int:
        """What this leader tells others: nothing before a record of its own epoch is committed."""
        is_known = self.leading is not None and self.high_watermark > self.leading.epoch_start
        return self.high_watermark if is_known else UNKNOWN

    def endpoint_of(self, number: int) -> Endpoint | None:
        """Where a node is, if that is known; bootstrap servers are the shell's to know."""
        if number == self.election.leader_id and self.leader_endpoint is not None:
            return self.leader_endpoint
        voter = self.voters.by_id.get(number)
        return voter.endpoints[0] if voter is not None and voter.endpoints else None

    def next_tick(self) -> float:
        """When `tick` has something to do, if nothing else happens."""
        due = [until for _, until in self.asked.values()] + list(self.not_before.values())
        busy = self.asked.keys() | self.not_before.keys()
        if self.leading is None:
            due.append(self.deadline)
        elif self.leading.has_to_be_heard(self.voters):
            due.append(self.leading.check_from + self.timeouts.check_s)
            due += [at + self.timeouts.begin_s for number, at in self.told.items() if number not in busy]
        return min(due, default=NEVER)

    # ---- events

    def start(self, now: float) -> Outcome:
        """The node is up. An only voter asks nobody and stands at once."""
        out = Outcome()
        self.synced = self.log.end_offset
        self.high_watermark = max(self.high_watermark, self.log.snapshot.end_offset or UNKNOWN)
        self.deadline = now + self._by_chance()
        if self.voters.majority == 1 and self.is_voter:
            self._stand(out, now)
        else:
            self._talk(out, now)
        return out

    def tick(self, now: float) -> Outcome:
        """Time has passed."""
        out = Outcome()
        for number, (_, until) in list(self.asked.items()):
            if now >= until:
                del self.asked[number]
        for number, until in list(self.not_before.items()):
            if now >= until:
                del self.not_before[number]
        if self.leading is not None:
            if self.leading.has_to_be_heard(self.voters) and now >= self.leading.check_from + self.timeouts.check_s:
                self._resign(now)
        elif now >= self.deadline:
            self._time_out(out, now)
        self._talk(out, now)
        return out

    def step(self, request: Request, now: float) -> Outcome:
        """Somebody asks; the answer is the outcome's reply."""
        out = Outcome()
        if isinstance(request, Vote):
            out.reply = self._vote(request, out, now)
        elif isinstance(request, BeginQuorumEpoch):
            out.reply = self._begin(request, out, now)
        elif isinstance(request, EndQuorumEpoch):
            out.reply = self._end(request, out, now)
        elif isinstance(request, Fetch):
            out.reply = self._fetch(request, out, now)
        else:
            out.reply = self._fetch_snapshot(request, now)
        self._talk(out, now)
        return out

    def heard(self, number: int, request: Request, answer: Answer, now: float) -> Outcome:
        """A node has answered a request of ours."""
        out = Outcome()
        awaited = self.asked.get(number)
        is_awaited = awaited is not None and awaited[0] == request
        if is_awaited:
            del self.asked[number]
        if answer.error in MISTAKEN:
            self._pause(number, now)
        elif self._learn(answer.epoch, answer.leader_id, answer.endpoint, out, now):
            pass  # another epoch, or its leader: the answer is of the past
        elif is_awaited and request.epoch == self.epoch:
            if isinstance(request, Vote) and isinstance(answer, Voted):
                self._voted(number, request, answer, out, now)
            elif isinstance(request, Fetch) and isinstance(answer, Fetched):
                self._fetched(number, request, answer, out, now)
            elif isinstance(request, FetchSnapshot) and isinstance(answer, SnapshotPiece):
                self._loaded(number, request, answer, out, now)
            elif isinstance(request, EndQuorumEpoch) and not answer.error:
                self.told[number] = now
            elif answer.error:
                self._pause(number, now)
        self._talk(out, now)
        return out

    def unreachable(self, number: int, request: Request, now: float) -> Outcome:
        """A request could not be sent, or its connection ended before the answer."""
        out = Outcome()
        awaited = self.asked.get(number)
        if awaited is not None and awaited[0] == request:
            del self.asked[number]
            self._pause(number, now)
        self._talk(out, now)
        return out

    def held(self, end_offset: int, now: float) -> Outcome:
        """Everything of this log below `end_offset` is synced. The shell says nothing of what it has cut off since."""
        out = Outcome()
        self.synced = max(self.synced, min(end_offset, self.log.end_offset))
        if self.leading is not None:
            if self.is_voter:
                mine = self.leading.voters[self.me.id]
                mine.end_offset = max(mine.end_offset, self.synced)
                mine.fetched_at = mine.caught_up_at = now
            self._commit(out)
        else:
            self._follow_commits(out)
            self._talk(out, now)
        return out

    def installed(self, now: float) -> Outcome:
        """The snapshot that was loaded has replaced the log, and is synced."""
        out = Outcome()
        self.loading = None
        self.synced = self.matched = self.log.end_offset
        if self.synced > self.high_watermark:
            out.high_watermark = self.high_watermark = self.synced
        self._talk(out, now)
        return out

    def take_voters(self, voters: Voters) -> None:
        """The log says who votes, from its last record about that on: agreed or not, that holds."""
        self.voters = voters
        if self.leading is not None:
            self.leading.take_voters(voters)

    def resign(self, now: float) -> Outcome:
        """Lead no more, because this node is to stop or cannot go on; others are told at once."""
        out = Outcome()
        if self.leading is not None and self.leading.has_to_be_heard(self.voters):
            self._resign(now)
            self._talk(out, now)
        return out

    # ---- roles

    def _by_chance(self) -> float:
        return self.timeouts.election_s * (1 + self.random.random())

    def _become(self, role: Role, deadline: float) -> None:
        self.role = role
        self.deadline = deadline
        self.leading = None
        self.granted, self.refused = set(), set()
        self.asked, self.not_before, self.told = {}, {}, {}
        self.loading = None
        self.leader_high_watermark = UNKNOWN
        self.has_fetched = False

    def _remember(self, election: Election, out: Outcome) -> None:
        if election != self.election:
            self.election = election
            out.persist.append(election)

    def _unattach(self, epoch: int, out: Outcome, now: float) -> None:
        """Nobody is known to lead; in the epoch it is in already, a node keeps its vote."""
        if epoch > self.epoch:
            self._remember(Election(epoch), out)
        else:
            self._remember(Election(epoch, NOBODY, self.election.voted_id, self.election.voted_directory_id), out)
        self.leader_endpoint = None
        self._become(Role.UNATTACHED, now + self._by_chance())

    def _follow(self, epoch: int, leader_id: int, endpoint: Endpoint | None, out: Outcome, now: float) -> None:
        if epoch > self.epoch:
            self._remember(Election(epoch, leader_id), out)
        else:
            voted = self.election
            self._remember(Election(epoch, leader_id, voted.voted_id, voted.voted_directory_id), out)
        self.leader_endpoint = endpoint
        self._become(Role.FOLLOWER, now + self.timeouts.fetch_s)

    def _learn(self, epoch: int, leader_id: int, endpoint: Endpoint | None, out: Outcome, now: float) -> bool:
        """Take in an epoch somebody told; whether that changed what this node is."""
        if epoch < self.epoch:
            return False
        is_led = leader_id not in (NOBODY, self.me.id) and (endpoint is not None or self._is_reachable(leader_id))
        if epoch > self.epoch:
            if is_led:
                self._follow(epoch, leader_id, endpoint, out, now)
            else:
                self._unattach(epoch, out, now)
            return True
        if is_led and self.election.leader_id == NOBODY:
            self._follow(epoch, leader_id, endpoint, out, now)
            return True
        return False

    def _is_reachable(self, number: int) -> bool:
        voter = self.voters.by_id.get(number)
        return voter is not None and bool(voter.endpoints)

    def _time_out(self, out: Outcome, now: float) -> None:
        if self.role is Role.RESIGNED:
            self._unattach(self.epoch + 1, out, now)
        elif self.role is Role.PROSPECTIVE:
            self._lose(out, now)
        elif self.is_voter:
            self._become(Role.PROSPECTIVE, now + self._by_chance())
            self.granted = {self.me.id}
            self._count(out, now)
        elif self.role is Role.FOLLOWER:
            self._unattach(self.epoch, out, now)
        else:
            self.deadline = now + self._by_chance()

    def _lose(self, out: Outcome, now: float) -> None:
        """Too few would vote for this node: back to the leader it knows, if it knows one."""
        leader_id = self.election.leader_id
        if leader_id not in (NOBODY, self.me.id) and self.endpoint_of(leader_id) is not None:
            self._follow(self.epoch, leader_id, self.leader_endpoint, out, now)
        else:
            self._unattach(self.epoch, out, now)

    def _stand(self, out: Outcome, now: float) -> None:
        """Ask for votes, of the next epoch, its own first."""
        self._remember(Election(self.epoch + 1, NOBODY, self.me.id, self.me.directory_id), out)
        self.leader_endpoint = None
        self._become(Role.CANDIDATE, now + self._by_chance())
        self.granted = {self.me.id}
        self._count(out, now)

    def _count(self, out: Outcome, now: float) -> None:
        if len(self.granted) < self.voters.majority:
            return
        if self.role is Role.PROSPECTIVE:
            self._stand(out, now)
            return
        granted = self.granted
        self._remember(Election(self.epoch, self.me.id), out)
        self._become(Role.LEADER, now)
        self.leading = Leadership(self.member, self.voters, granted, self.log.end_offset, now)
        self.told = {voter.id: now - self.timeouts.begin_s for voter in self.voters if voter.id != self.me.id}
        out.became_leader = True

    def _resign(self, now: float) -> None:
        assert self.leading is not None, "only a leader resigns"
        preferred = self.leading.by_progress(self.voters)
        self._become(Role.RESIGNED, now + self._by_chance())
        self.preferred = preferred

    # ---- what is due to be said

    def _talk(self, out: Outcome, now: float) -> None:
        if self.role is Role.FOLLOWER:
            self._ask_for_more(self.election.leader_id, out, now)
        elif self.role is Role.UNATTACHED:
            self._look_for_leader(out, now)
        else:
            for voter in self.voters:
                if voter.id != self.me.id:
                    self._tell(voter, out, now)

    def _tell(self, voter: Voter, out: Outcome, now: float) -> None:
        member = Member(voter.id, voter.directory_id)
        if self.role is Role.LEADER:
            self._tell_of_leader(member, out, now)
        elif self.role is Role.RESIGNED:
            if voter.id not in self.told:
                self._send(voter.id, EndQuorumEpoch(self.epoch, self.me.id, self.preferred, self.cluster_id), out, now)
        elif voter.id not in self.granted and voter.id not in self.refused:
            last = OffsetAndEpoch(self.log.end_offset, self.log.last_epoch)
            is_pre_vote = self.role is Role.PROSPECTIVE
            self._send(voter.id, Vote(self.epoch, self.member, member, last, is_pre_vote, self.cluster_id), out, now)

    def _tell_of_leader(self, member: Member, out: Outcome, now: float) -> None:
        """At once, and again while a voter does not fetch."""
        assert self.leading is not None, "it is the leader"
        progress = self.leading.voters[member.id]
        quiet_since = max(self.told.get(member.id, self.leading.began_at), progress.fetched_at)
        if now < quiet_since + self.timeouts.begin_s:
            self.told[member.id] = quiet_since
            return
        request = BeginQuorumEpoch(self.epoch, self.me.id, member, self.me.endpoints, self.cluster_id)
        if self._send(member.id, request, out, now):
            self.told[member.id] = now

    def _look_for_leader(self, out: Outcome, now: float) -> None:
        if self.asked:
            return
        others = [voter.id for voter in self.voters if voter.id != self.me.id and voter.endpoints]
        if self.bootstrap_servers:
            others = [FIRST_BOOTSTRAP_SERVER - place for place in range(self.bootstrap_servers)]
        free = [number for number in others if self.not_before.get(number, now) <= now]
        if free:
            self._ask_for_more(self.random.choice(free), out, now)

    def _ask_for_more(self, number: int, out: Outcome, now: float) -> None:
        # What is not synced yet is not acknowledged: the fetch that says so waits for it, as it does for what the shell
        # is about to do with the log.
        if self.synced < self.log.end_offset or out.append or out.truncate_to is not None or out.download is not None:
            return
        if self.loading is not None:
            snapshot, position = self.loading
            self._send(number, FetchSnapshot(self.epoch, self.member, snapshot, position, self.cluster_id), out, now)
            return
        fetch = Fetch(
            self.epoch, self.member, self.log.end_offset, self.log.last_epoch, self.high_watermark, self.cluster_id
        )
        self._send(number, fetch, out, now)

    def _send(self, number: int, request: Request, out: Outcome, now: float) -> bool:
        if number in self.asked or self.not_before.get(number, now) > now:
            return False
        self.asked[number] = request, now + self.timeouts.request_s
        out.send.append(Send(number, request))
        return True

    def _pause(self, number: int, now: float) -> None:
        self.not_before[number] = now + self.timeouts.retry_backoff_s

    # ---- votes

    def _refusal(self, request: Request, out: Outcome, now: float) -> int:
        """Why a request of the quorum is not even looked at."""
        if request.cluster_id is not None and self.cluster_id is not None and request.cluster_id != self.cluster_id:
            return InconsistentClusterId.code
        return FencedLeaderEpoch.code if request.epoch < self.epoch else NONE

    def _vote(self, request: Vote, out: Outcome, now: float) -> Voted:
        error = self._refusal(request, out, now)
        last, epoch = request.last, request.epoch
        if not error and (request.candidate.id < 0 or last.end_offset < 0 or last.epoch < 0):
            error = InvalidRequest.code
        if not error and (last.epoch > epoch if request.is_pre_vote else last.epoch >= epoch):
            error = InvalidRequest.code
        if error:
            return self._answered(request, error)
        if epoch > self.epoch:
            self._unattach(epoch, out, now)
        if not self._is_meant(request.voter):
            return self._answered(request, InvalidVoterKey.code)
        is_current = (last.epoch, last.end_offset) >= (self.log.last_epoch, self.log.end_offset)
        if request.is_pre_vote:
            return self._answered(request, NONE, is_granted=is_current and self._would_vote())
        is_granted = self._may_vote_for(request.candidate, is_current=is_current)
        if is_granted and self.election.voted_id == NOBODY:
            self._remember(Election(epoch, NOBODY, *request.candidate), out)
            self.deadline = now + self._by_chance()
        return self._answered(request, NONE, is_granted=is_granted)

    def _is_meant(self, voter: Member) -> bool:
        """Whether a request is for this very node; older versions do not say."""
        if voter.id not in (NOBODY, self.me.id):
            return False
        return voter.directory_id in (NO_DIRECTORY, self.me.directory_id)

    def _would_vote(self) -> bool:
        """Whether it wants another leader at all: not while it leads, or hears of one."""
        return self.role is not Role.LEADER and not (self.role is Role.FOLLOWER and self.has_fetched)

    def _may_vote_for(self, candidate: Member, *, is_current: bool) -> bool:
        if self.role not in (Role.UNATTACHED, Role.PROSPECTIVE):
            return False
        voted = Member(self.election.voted_id, self.election.voted_directory_id)
        if voted.id != NOBODY:
            return voted == candidate
        return self.election.leader_id == NOBODY and is_current

    def _voted(self, number: int, request: Vote, answer: Voted, out: Outcome, now: float) -> None:
        if self.role is not (Role.PROSPECTIVE if request.is_pre_vote else Role.CANDIDATE):
            return
        if request.is_pre_vote and answer.error == UnsupportedVersion.code:
            self._stand(out, now)  # a voter that knows no pre-vote would never grant one
        elif answer.error:
            self._pause(number, now)
        elif answer.is_granted:
            self.granted.add(number)
            self._count(out, now)
        else:
            self.refused.add(number)
            is_lost = len(self.voters) - len(self.refused) < self.voters.majority
            if is_lost and self.role is Role.PROSPECTIVE:
                self._lose(out, now)

    def _answered(self, request: Vote, error: int, *, is_granted: bool = False) -> Voted:
        return Voted(error, self.epoch, self.leader_id, is_granted, self._leads_at())

    def _leads_at(self) -> Endpoint | None:
        leader_id = self.leader_id
        if leader_id == self.me.id:
            return self.me.endpoints[0] if self.me.endpoints else None
        return None if leader_id == NOBODY else self.endpoint_of(leader_id)

    # ---- leaders that come and go

    def _begin(self, request: BeginQuorumEpoch, out: Outcome, now: float) -> Heard:
        error = self._refusal(request, out, now)
        if not error and request.leader_id < 0:
            error = InvalidRequest.code
        if error:
            return self._noted(error)
        known = self.election.leader_id
        if request.epoch == self.epoch and known not in (NOBODY, request.leader_id):
            return self._noted(InvalidRequest.code)  # two leaders of one epoch there cannot be
        endpoint = request.endpoints[0] if request.endpoints else None
        self._learn(request.epoch, request.leader_id, endpoint, out, now)
        if self.role is Role.PROSPECTIVE and known == request.leader_id:
            self._follow(self.epoch, known, endpoint or self.leader_endpoint, out, now)
        return self._noted(NONE if self._is_meant(request.voter) else InvalidVoterKey.code)

    def _end(self, request: EndQuorumEpoch, out: Outcome, now: float) -> Heard:
        error = self._refusal(request, out, now)
        if not error and request.leader_id < 0:
            error = InvalidRequest.code
        if error:
            return self._noted(error)
        self._learn(request.epoch, request.leader_id, None, out, now)
        if self.role is Role.FOLLOWER and self.election.leader_id == request.leader_id:
            self.deadline = now + self._turn_among(request.preferred)
            self.has_fetched = False  # that leader is none any more: others may be told they would get this vote
            if now >= self.deadline:
                self._time_out(out, now)
        return self._noted(NONE)

    def _turn_among(self, preferred: tuple[Member, ...]) -> float:
        """The first stands at once, the others each a little later, so that they do not split the votes."""
        ids = [member.id for member in preferred]
        place = ids.index(self.me.id) if self.me.id in ids else len(ids)
        if not place:
            return 0.0
        most = self.timeouts.election_backoff_max_s
        return most / 2.0 ** max(len(ids) - 1, 0) * 2.0 ** (place - 1) if place < len(ids) else most

    def _noted(self, error: int) -> Heard:
        return Heard(error, self.epoch, self.leader_id, self._leads_at())

    # ---- fetching, as leader

    def _fetch_error(self, request: Fetch | FetchSnapshot, out: Outcome | None, now: float) -> int:
        if request.cluster_id is not None and self.cluster_id is not None and request.cluster_id != self.cluster_id:
            return InconsistentClusterId.code
        if request.epoch < self.epoch:
            return FencedLeaderEpoch.code
        if request.epoch > self.epoch:
            return UnknownLeaderEpoch.code
        return NONE if self.leading is not None else NotLeaderOrFollower.code

    def _fetch(self, request: Fetch, out: Outcome, now: float) -> Fetched:
        """The records behind `offset` are for the shell to read; it reads from there to its log's end."""
        is_sound = request.offset >= 0 and 0 <= request.last_epoch <= max(request.epoch, 0)
        error = self._fetch_error(request, out, now) if is_sound else InvalidRequest.code
        if error or self.leading is None:
            return Fetched(error, self.epoch, self.leader_id, endpoint=self._leads_at())
        log, snapshot = self.log, self.log.snapshot
        base = Fetched(NONE, self.epoch, self.me.id, self.told_high_watermark, endpoint=self._leads_at())
        is_behind_snapshot = request.offset < log.start_offset or (request.offset == 0 and snapshot.end_offset > 0)
        at_snapshot = OffsetAndEpoch(request.offset, request.last_epoch) == snapshot
        known = log.end_of(request.last_epoch)
        if not at_snapshot and (is_behind_snapshot or (log.start_offset and known.end_offset <= log.start_offset)):
            self.leading.heard(self.voters, request.replica, now)
            return base._replace(snapshot=snapshot)
        if not at_snapshot and (known.epoch != request.last_epoch or known.end_offset < request.offset):
            self.leading.heard(self.voters, request.replica, now)
            return base._replace(diverging=known)
        self.leading.reached(self.voters, request.replica, request.offset, log.end_offset, now)
        self._commit(out)
        return base._replace(high_watermark=self.told_high_watermark, end_offset=log.end_offset)

    def _commit(self, out: Outcome) -> None:
        assert self.leading is not None, "the leader commits"
        agreed = self.leading.agreed(self.voters)
        if agreed > self.high_watermark:
            out.high_watermark = self.high_watermark = agreed

    def _fetch_snapshot(self, request: FetchSnapshot, now: float) -> SnapshotPiece:
        """The bytes are for the shell to read, as is whether there is such a snapshot, if it is not the newest."""
        error = self._fetch_error(request, None, now)
        if not error and request.position < 0:
            error = PositionOutOfRange.code
        if not error and self.leading is not None:
            self.leading.heard(self.voters, request.replica, now)
        return SnapshotPiece(error, self.epoch, self.leader_id, endpoint=self._leads_at())

    # ---- fetching, as follower

    def _fetched(self, number: int, request: Fetch, answer: Fetched, out: Outcome, now: float) -> None:
        if answer.error or self.role is not Role.FOLLOWER:
            self._pause(number, now)
            return
        log = self.log
        assert (request.offset, request.last_epoch) == (log.end_offset, log.last_epoch), "only answers change the log"
        self.deadline = now + self.timeouts.fetch_s
        self.has_fetched = True
        if answer.snapshot is not None:
            self.loading = answer.snapshot, 0
        elif answer.diverging is not None:
            self._truncate(answer.diverging, out)
        else:
            self.matched = answer.end_offset if answer.records else request.offset
            self.leader_high_watermark = max(self.leader_high_watermark, answer.high_watermark)
            out.append = answer.records
            if not answer.records:
                self._follow_commits(out)

    def _truncate(self, diverging: OffsetAndEpoch, out: Outcome) -> None:
        """Cut off what this leader does not have: up to where both logs may still agree."""
        mine = self.log.end_of(diverging.epoch)
        offset = min(mine.end_offset, diverging.end_offset) if mine.epoch == diverging.epoch else mine.end_offset
        assert offset >= self.high_watermark, "what is committed is not cut off"
        out.truncate_to = offset
        self.synced = min(self.synced, offset)

    def _follow_commits(self, out: Outcome) -> None:
        """Committed is what the leader says is, as far as this log is the leader's and synced."""
        if self.role is not Role.FOLLOWER:
            return
        agreed = min(self.leader_high_watermark, self.matched, self.synced)
        if agreed > self.high_watermark:
            out.high_watermark = self.high_watermark = agreed

    def _loaded(self, number: int, request: FetchSnapshot, answer: SnapshotPiece, out: Outcome, now: float) -> None:
        if self.role is not Role.FOLLOWER or self.loading != (request.snapshot, request.position):
            return
        if answer.error or answer.position != request.position:
            if answer.error in (SnapshotNotFound.code, PositionOutOfRange.code) or not answer.error:
                self.loading = None  # it is gone: the next Fetch tells which there is now
            self._pause(number, now)
            return
        self.deadline = now + self.timeouts.fetch_s
        self.has_fetched = True
        end = request.position + len(answer.data)
        is_last = end >= answer.size
        self.loading = request.snapshot, end
        out.download = Download(request.snapshot, request.position, answer.data, is_last)


# Answers that say nothing about epochs.
MISTAKEN = {InconsistentClusterId.code, InvalidRequest.code, -1}
