"""The quorum's pure machines among each other: many runs, each of one seed, a network and disks that fail.

What a run does is drawn from its seed: how many voters, when messages are lost, delayed, doubled or overtaken, who is
cut off from whom (in one direction too), who is killed, and how much of what it had not synced it loses. After the
faults everything heals, and the quorum has to agree on something new.

Invariants, looked at with every outcome:
    one leader in an epoch, and nobody votes twice in one
    what is committed is never another, on nobody's log, and a majority of the voters has it on its disk by then
    a node's high watermark does not go back
    nobody stands for election that a majority would not vote for (KIP-996)
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from minikafka.raft.machine import Machine
from minikafka.raft.messages import (
    Answer,
    Fetch,
    Fetched,
    FetchSnapshot,
    OffsetAndEpoch,
    Request,
    SnapshotPiece,
    Vote,
    Voted,
)
from minikafka.raft.quorum import Endpoint, Voter, Voters
from minikafka.raft.terms import Election, Outcome

FAULTY_S = 25.0
HEALED_S = 15.0  # in which the quorum has to be at work again
PARKED_S = 0.5  # a fetch that finds nothing waits so long
LONGEST_UNHEARD_S = 6.5  # two times the check of the quorum: who was heard at one's beginning, and at the other's end
PIECE = 3  # records of a snapshot that one answer carries
TOO_MANY_EVENTS = 60_000


class Violation(AssertionError):
    """The quorum did what it must never do."""


class Entry(NamedTuple):
    epoch: int
    value: int


class MemoryLog:
    """A log of single records, that knows what is synced, and whose beginning a snapshot may stand for."""

    def __init__(self) -> None:
        self.start_offset = 0
        self.entries: list[Entry] = []
        self.snapshot = OffsetAndEpoch(0, 0)
        self.synced = 0
        self.cuts = 0

    @property
    def end_offset(self) -> int:
        return self.start_offset + len(self.entries)

    @property
    def last_epoch(self) -> int:
        return self.entries[-1].epoch if self.entries else self.snapshot.epoch

    def end_of(self, epoch: int) -> OffsetAndEpoch:
        found = OffsetAndEpoch(self.start_offset, 0)
        for at, entry in enumerate(self.entries, self.start_offset + 1):
            if entry.epoch > epoch:
                break
            found = OffsetAndEpoch(at, entry.epoch)
        if not found.epoch and self.snapshot.end_offset == self.start_offset and self.snapshot.epoch <= epoch:
            found = self.snapshot
        return found

    def cut(self, offset: int) -> None:
        del self.entries[offset - self.start_offset :]
        self.synced = min(self.synced, offset)
        self.cuts += 1


class Node:
    """A shell as thin as it gets: a log, a file with the last election, and timers."""

    def __init__(self, cluster: Cluster, me: Voter) -> None:
        self.cluster = cluster
        self.me = me
        self.log = MemoryLog()
        self.remembered = Election()
        self.history: list[Entry] = []  # what a snapshot stands for
        self.loading: list[Entry] = []
        self.is_up = False
        self.lives = 0
        self.tick_at = float("inf")
        self.parked: list[tuple[Fetch, float, Callable[[Answer], None]]] = []
        self.led_at = 0.0
        self.fetched_at: dict[int, float] = {}
        self.machine: Machine

    def start(self) -> None:
        cluster = self.cluster
        self.is_up = True
        self.lives += 1
        self.machine = cluster.made(
            self.me, cluster.voters, self.remembered, self.log, Random(cluster.random.random()), cluster_id="c"
        )
        self.seen_high_watermark = -1
        self.take(self.machine.start(cluster.now))

    def crash(self) -> None:
        """Everything that was not synced may be gone; of the log's end, any part."""
        self.is_up = False
        self.parked.clear()
        self.loading = []
        log = self.log
        left = self.cluster.random.choice(
            (log.synced, log.end_offset, self.cluster.random.randint(log.synced, log.end_offset))
        )
        log.cut(max(left, log.start_offset))
        log.synced = log.end_offset

    # ---- what the machine wants

    def take(self, out: Outcome) -> Answer | None:
        cluster, log = self.cluster, self.log
        for election in out.persist:
            cluster.remembers(self, election)
            self.remembered = election
        if out.truncate_to is not None:
            log.cut(out.truncate_to)
        if out.append:
            log.entries += out.append  # type: ignore[arg-type]
        if out.download is not None:
            self.loading[out.download.position :] = out.download.data  # type: ignore[assignment]
            if out.download.is_last:
                self.install(out.download.snapshot)
        if out.became_leader:
            cluster.leads(self)
            log.entries.append(Entry(self.machine.epoch, cluster.next_value()))
            cluster.open_epochs += 1
        if out.high_watermark is not None:
            cluster.commits(self, out.high_watermark)
        for number, request in out.send:
            cluster.send(self, number, request)
        if out.append or out.became_leader:
            self.sync()
        if out.truncate_to is not None or out.download is not None:
            again = self.machine.installed if out.download is not None and out.download.is_last else self.machine.tick
            self.take(again(cluster.now))
        self.mind()
        self.wake(is_over=not self.machine.is_leader)
        return out.reply

    def install(self, snapshot: OffsetAndEpoch) -> None:
        self.history, self.loading = self.loading, []
        log = self.log
        log.start_offset, log.entries, log.snapshot, log.synced = snapshot.end_offset, [], snapshot, snapshot.end_offset
        log.cuts += 1

    def mind(self) -> None:
        due = self.machine.next_tick()
        if due < self.tick_at:
            self.tick_at = due
            self.cluster.at(max(due, self.cluster.now), self.tick, self.lives, due)

    def tick(self, life: int, due: float) -> None:
        if self.is_up and life == self.lives:
            if self.tick_at == due:
                self.tick_at = float("inf")
            if self.cluster.now >= self.machine.next_tick():
                self.take(self.machine.tick(self.cluster.now))
            else:
                self.mind()

    def sync(self) -> None:
        cluster = self.cluster
        end, life, cuts = self.log.end_offset, self.lives, self.log.cuts

        def synced() -> None:
            if self.is_up and life == self.lives and cuts == self.log.cuts:
                self.log.synced = max(self.log.synced, end)
                self.take(self.machine.held(end, cluster.now))
                if self.log.synced < self.log.end_offset:
                    self.sync()

        cluster.after(cluster.random.uniform(0.001, 0.02), synced)

    def propose(self) -> None:
        if self.is_up and self.machine.is_leader:
            self.log.entries.append(Entry(self.machine.epoch, self.cluster.next_value()))
            self.sync()
            self.wake(is_over=False)

    def write_snapshot(self) -> None:
        if not self.is_up:
            return
        log, end = self.log, self.machine.high_watermark
        if end > log.start_offset:
            epoch = log.entries[end - 1 - log.start_offset].epoch
            self.history = self.history[: log.start_offset] + log.entries[: end - log.start_offset]
            del log.entries[: end - log.start_offset]
            log.start_offset, log.snapshot, log.synced = end, OffsetAndEpoch(end, epoch), max(log.synced, end)

    # ---- what others want

    def asked(self, request: Request, reply: Callable[[Answer], None]) -> None:
        answer = self.take(self.machine.step(request, self.cluster.now))
        assert answer is not None, "every request has an answer"
        if isinstance(answer, Voted) and isinstance(request, Vote) and answer.is_granted:
            self.cluster.grants(self, request)
        if isinstance(request, Fetch) and isinstance(answer, Fetched):
            self.fetched_at[request.replica.id] = self.cluster.now
            if self.is_idle(request, answer):
                until = self.cluster.now + PARKED_S
                self.parked.append((request, until, reply))
                self.cluster.at(until, self.wake_late)
                return
            answer = self.filled(request, answer)
        elif isinstance(request, FetchSnapshot) and isinstance(answer, SnapshotPiece):
            answer = self.piece(request, answer)
        reply(answer)

    def is_idle(self, request: Fetch, answer: Fetched) -> bool:
        is_plain = not answer.error and answer.diverging is None and answer.snapshot is None
        return is_plain and answer.end_offset <= request.offset and request.high_watermark >= answer.high_watermark

    def filled(self, request: Fetch, answer: Fetched) -> Fetched:
        if answer.error or answer.diverging is not None or answer.snapshot is not None:
            return answer
        some = self.log.entries[request.offset - self.log.start_offset :][: self.cluster.random.choice((2, 100))]
        return answer._replace(records=some, end_offset=request.offset + len(some))  # type: ignore[arg-type]

    def piece(self, request: FetchSnapshot, answer: SnapshotPiece) -> SnapshotPiece:
        if answer.error:
            return answer
        if request.snapshot != self.log.snapshot:
            return answer._replace(error=98)
        data = self.history[request.position : request.position + PIECE]
        return answer._replace(size=len(self.history), position=request.position, data=data)  # type: ignore[arg-type]

    def wake_late(self) -> None:
        self.wake(is_over=False)

    def wake(self, *, is_over: bool) -> None:
        """Look at the parked fetches again."""
        parked, self.parked = self.parked, []
        for request, until, reply in parked:
            known = self.machine.told_high_watermark
            is_due = is_over or until <= self.cluster.now or self.log.end_offset > request.offset
            if not is_due and request.high_watermark >= known:
                self.parked.append((request, until, reply))
                continue
            answer = self.machine.step(request, self.cluster.now).reply
            assert isinstance(answer, Fetched)
            reply(self.filled(request, answer))


class Cluster:
    """One seed's world."""

    def __init__(self, seed: int, made: type[Machine] = Machine) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.made = made
        self.now = 0.0
        self.events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.count = 0
        count = self.random.choice((3, 3, 5))
        everybody = [Voter(n, b"directory-of-%03d" % n, (Endpoint("C", "host", n),)) for n in range(1, count + 1)]
        self.voters = Voters(everybody)
        self.nodes = {one.id: Node(self, one) for one in everybody}
        self.values = 0
        self.cut: set[tuple[int, int]] = set()  # (from, to): nothing gets through
        self.loss = self.random.choice((0.0, 0.0, 0.02, 0.1))
        self.lateness = self.random.choice((0.0, 0.03, 0.2))
        self.is_faulty = True
        self.leaders: dict[int, int] = {}
        self.votes: dict[tuple[int, int], int] = {}
        self.wishes: dict[tuple[int, int], set[int]] = {}
        self.committed: list[Entry] = []
        self.open_epochs = 0
        self.seen: Counter[str] = Counter()

    # ---- time

    def at(self, when: float, what: Callable[..., None], *args: Any) -> None:
        self.count += 1
        heapq.heappush(self.events, (when, self.count, what, args))

    def after(self, seconds: float, what: Callable[..., None], *args: Any) -> None:
        self.at(self.now + seconds, what, *args)

    def run_until(self, end: float) -> None:
        while self.events and self.events[0][0] <= end:
            when, _, what, args = heapq.heappop(self.events)
            self.now = max(self.now, when)
            self.seen["events"] += 1
            if self.seen["events"] > TOO_MANY_EVENTS:
                raise Violation("it talks without end")
            what(*args)
        self.now = end

    # ---- network

    def send(self, node: Node, number: int, request: Request) -> None:
        self.seen[type(request).__name__] += 1
        if isinstance(request, Vote) and not request.is_pre_vote:
            self.grants(node, request)  # its own vote
        target = self.nodes[number]

        def arrive() -> None:
            life = target.lives
            if not target.is_up:
                self.deliver(number, node, lambda: unreachable())
                return

            def reply(answer: Answer) -> None:
                if target.lives == life:
                    self.deliver(number, node, lambda: heard(answer))

            target.asked(request, reply)

        mine = node.lives

        def heard(answer: Answer) -> None:
            if node.is_up and node.lives == mine:
                node.take(node.machine.heard(number, request, answer, self.now))

        def unreachable() -> None:
            if node.is_up and node.lives == mine:
                node.take(node.machine.unreachable(number, request, self.now))

        self.deliver(node.me.id, self.nodes[number], arrive)

    def deliver(self, source: int, target: Node, what: Callable[[], None]) -> None:
        if (source, target.me.id) in self.cut or self.random.random() < self.loss:
            return
        copies = 2 if self.is_faulty and self.random.random() < self.lateness else 1
        for _ in range(copies):
            late = self.is_faulty and self.random.random() < self.lateness
            self.after(self.random.uniform(0.1, 3.0) if late else self.random.uniform(0.000_2, 0.01), what)

    # ---- faults

    def plan(self) -> None:
        chance, when = self.random, 4.0
        while when < FAULTY_S:
            self.at(when, chance.choice((self.kill, self.kill, self.part, self.part, self.part_one_way, self.kill_all)))
            when += chance.uniform(0.5, 5.0)
        for _ in range(chance.choice((0, 0, 3))):
            self.at(chance.uniform(5, FAULTY_S), lambda: self.nodes[chance.choice(list(self.nodes))].write_snapshot())

    def leader_or_any(self) -> Node:
        leaders = [one for one in self.nodes.values() if one.is_up and one.machine.is_leader]
        if leaders and self.random.random() < 0.6:
            return self.random.choice(leaders)
        return self.nodes[self.random.choice(list(self.nodes))]

    def kill(self) -> None:
        self.down(self.leader_or_any())

    def kill_all(self) -> None:
        for node in self.nodes.values():
            self.down(node)

    def down(self, node: Node) -> None:
        if node.is_up:
            self.seen["crashes"] += 1
            node.crash()
            self.after(self.random.uniform(0.1, 4.0), self.up, node)

    def up(self, node: Node) -> None:
        if not node.is_up:
            node.tick_at = float("inf")
            node.start()

    def part(self) -> None:
        one = self.leader_or_any().me.id
        mates = {one} | set(self.random.sample(sorted(self.nodes), self.random.randint(0, len(self.nodes) // 2)))
        self.cut_off({(a, b) for a in self.nodes for b in self.nodes if (a in mates) != (b in mates)})

    def part_one_way(self) -> None:
        one = self.leader_or_any().me.id
        others = [number for number in self.nodes if number != one]
        self.cut_off({(one, b) for b in others} if self.random.random() < 0.5 else {(b, one) for b in others})

    def cut_off(self, pairs: set[tuple[int, int]]) -> None:
        self.seen["partitions"] += 1
        self.cut = pairs
        self.after(self.random.uniform(0.5, 8.0), self.cut.clear)

    # ---- invariants

    def next_value(self) -> int:
        self.values += 1
        return self.values

    def remembers(self, node: Node, election: Election) -> None:
        who = node.me.id
        if election.epoch < node.remembered.epoch:
            raise Violation(f"{who} goes back to epoch {election.epoch}")
        if self.leaders.get(election.epoch) == who and election.leader_id != who:
            raise Violation(f"{who} forgets that it led epoch {election.epoch}")
        if election.voted_id >= 0:
            known = self.votes.setdefault((who, election.epoch), election.voted_id)
            if known != election.voted_id:
                raise Violation(f"{who} votes for {election.voted_id} in epoch {election.epoch}, after {known}")
            if election.voted_id == who and election.epoch > node.remembered.epoch:
                wished = self.wishes.get((who, node.remembered.epoch), set()) | {who}
                if len(wished) < self.voters.majority:
                    raise Violation(f"{who} stands in epoch {election.epoch}, and only {sorted(wished)} would have it")

    def grants(self, node: Node, request: Vote) -> None:
        who, candidate = node.me.id, request.candidate.id
        if request.is_pre_vote:
            self.wishes.setdefault((candidate, request.epoch), set()).add(who)
            return
        known = self.votes.setdefault((who, request.epoch), candidate)
        if known != candidate:
            raise Violation(f"{who} votes for {candidate} in epoch {request.epoch}, after {known}")
        if (node.remembered.epoch, node.remembered.voted_id) != (request.epoch, candidate):
            raise Violation(f"{who} has not written down its vote for {candidate} in epoch {request.epoch}")

    def leads(self, node: Node) -> None:
        epoch = node.machine.epoch
        node.led_at = self.now
        known = self.leaders.setdefault(epoch, node.me.id)
        if known != node.me.id or node.remembered.epoch != epoch:
            raise Violation(f"{known} and {node.me.id} lead epoch {epoch}")

    def commits(self, node: Node, high_watermark: int) -> None:
        who, log = node.me.id, node.log
        if high_watermark <= node.seen_high_watermark:
            raise Violation(f"the high watermark of {who} goes back to {high_watermark}")
        node.seen_high_watermark = high_watermark
        if high_watermark > log.end_offset:
            raise Violation(f"{who} calls {high_watermark} committed, and has {log.end_offset}")
        known = (node.history[: log.start_offset] + log.entries)[:high_watermark]
        agreed = self.committed[:high_watermark]
        if known[: len(agreed)] != agreed:
            raise Violation(f"{who} has something else below {high_watermark} than was committed")
        if high_watermark <= len(self.committed):
            return
        self.committed = known
        if node.machine.is_leader and known[-1].epoch != node.machine.epoch:
            raise Violation(f"{who} leads epoch {node.machine.epoch}, and commits epoch {known[-1].epoch} by counting")
        having = [one for one in self.nodes.values() if one.log.synced >= high_watermark and self.has(one, known)]
        if len(having) < self.voters.majority:
            raise Violation(f"{who} commits {high_watermark}: {[one.me.id for one in having]} have it on disk")

    def has(self, node: Node, entries: list[Entry]) -> bool:
        log = node.log
        last = len(entries) - 1
        return last < log.start_offset or log.entries[last - log.start_offset] == entries[last]

    # ---- the run

    def play(self) -> Cluster:
        """Faults, then peace. Raises Violation."""
        for node in self.nodes.values():
            self.at(self.random.uniform(0, 1), self.up, node)
        self.plan()
        when = 2.0
        while when < FAULTY_S:
            self.at(when, self.propose)
            when += self.random.uniform(0.01, 0.6)
        self.run_until(FAULTY_S)
        self.is_faulty, self.loss = False, 0.0
        self.cut.clear()
        self.cut = set()
        for node in self.nodes.values():
            self.up(node)
        self.run_until(FAULTY_S + HEALED_S)
        before = len(self.committed)
        self.propose()
        self.run_until(self.now + 2.0)
        ends = {one.me.id: one.machine.high_watermark for one in self.nodes.values()}
        if len(self.committed) <= before or set(ends.values()) != {len(self.committed)}:
            raise Violation(f"all is well, and nothing new is agreed: {before} -> {len(self.committed)}, {ends}")
        if sum(one.machine.is_leader for one in self.nodes.values()) != 1:
            raise Violation("all is well, and there is not one leader")
        self.seen["committed"] = len(self.committed)
        self.seen["epochs"] = self.open_epochs
        return self

    def propose(self) -> None:
        for node in self.nodes.values():
            if node.is_up and node.machine.is_leader:
                self.is_heard(node)
            node.propose()

    def is_heard(self, node: Node) -> None:
        since = self.now - LONGEST_UNHEARD_S
        heard = [number for number, at in node.fetched_at.items() if at >= since]
        if node.led_at < since and len(heard) + 1 < self.voters.majority:
            raise Violation(f"{node.me.id} takes a write, and only {heard} have fetched from it since {since}")


def play(seed: int, made: type[Machine] = Machine) -> Cluster:
    """One run; a Violation names its seed."""
    try:
        return Cluster(seed, made).play()
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise
