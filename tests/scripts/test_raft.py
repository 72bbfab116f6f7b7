"""The stories of raft/*.txt, played to one machine of the quorum with a clock that jumps.

begin ID [voters=3] [epoch=N] [leader=ID] [voted=ID] [log=EPOCHxCOUNT,…] [snapshot=END/EPOCH] [observer]
                                a node starts; its chances are drawn from a fixed seed
wait SECONDS                    time passes; every timer on the way is heard
vote ID epoch=N last=END/EPOCH [pre] [for=ID/dir] [cluster=X]
lead ID epoch=N                 BeginQuorumEpoch        [for=ID] [cluster=X]
leave ID epoch=N next=ID,…      EndQuorumEpoch
fetch ID epoch=N at=END/EPOCH [hw=N] [cluster=X]
piece ID epoch=N snapshot=END/EPOCH [position=N]        FetchSnapshot
answer ID [epoch=N] [leader=ID] [error=NAME] [granted] [hw=N] [diverging=END/EPOCH] [snapshot=END/EPOCH]
          [records=EPOCHxCOUNT] [size=N piece=N]        to the last request that went to ID
lost ID                         the request to ID, or its answer, is lost with its connection
sync                            what is in the log is on the disk
write COUNT                     the leader appends
show                            what the node is
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from minikafka.raft.machine import Machine
from minikafka.raft.messages import (
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
    SnapshotPiece,
    Vote,
    Voted,
)
from minikafka.raft.quorum import Endpoint, Voter, Voters
from minikafka.raft.terms import Election, Outcome
from protocol.kafka import errors
from tests.scripts.runner import run
from tests.sim.quorum import Entry, MemoryLog

STORIES = sorted((Path(__file__).parent / "raft").glob("*.txt"))
CODES = {kind.__name__: kind.code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "code")}
NAMES = {code: name for name, code in CODES.items()}


def directory(number: int) -> bytes:
    return b"directory-of-%03d" % number


def place(text: str) -> OffsetAndEpoch:
    end, _, epoch = text.partition("/")
    return OffsetAndEpoch(int(end), int(epoch))


def entries(text: str) -> list[Entry]:
    found: list[Entry] = []
    for part in filter(None, text.split(",")):
        epoch, _, count = part.partition("x")
        found += [Entry(int(epoch), 0)] * int(count)
    return found


class Stage:
    """One node: its log in a list, its last requests by whom they went to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log = MemoryLog()
        self.asked: dict[int, Request] = {}
        self.machine: Machine

    def play(self, words: list[str]) -> list[str]:
        flags = [word for word in words[1:] if "=" not in word]
        options = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        return getattr(self, f"do_{words[0]}")(flags, options)

    # ---- commands

    def do_begin(self, flags: list[str], options: dict[str, str]) -> list[str]:
        number, count = int(flags[0]), int(options.get("voters", "3"))
        everybody = [Voter(n, directory(n), (Endpoint("C", f"host{n}", 1),)) for n in range(1, count + 1)]
        me = Voter(number, directory(number), (Endpoint("C", f"host{number}", 1),))
        self.now, self.log, self.asked = 0.0, MemoryLog(), {}
        if "snapshot" in options:
            self.log.snapshot = place(options["snapshot"])
            self.log.start_offset = self.log.snapshot.end_offset
        self.log.entries += entries(options.get("log", ""))
        voted = int(options.get("voted", "-1"))
        election = Election(
            int(options.get("epoch", "0")), int(options.get("leader", "-1")), voted, directory(max(voted, 0))
        )
        self.machine = Machine(me, Voters(everybody), election, self.log, Random(7), cluster_id="ours")
        return self.take(self.machine.start(self.now))

    def do_wait(self, flags: list[str], options: dict[str, str]) -> list[str]:
        until, lines = self.now + float(flags[0]), []
        while (due := self.machine.next_tick()) <= until:
            self.now = max(self.now, due)
            lines += self.take(self.machine.tick(self.now))
        self.now = until
        return lines

    def do_vote(self, flags: list[str], options: dict[str, str]) -> list[str]:
        candidate = int(flags[0])
        voter, _, other = options.get("for", str(self.machine.me.id)).partition("/")
        meant = Member(int(voter), other.encode().ljust(16, b"-") if other else directory(int(voter)))
        return self.ask(
            Vote(
                int(options["epoch"]), Member(candidate, directory(candidate)), meant, place(options["last"]),
                "pre" in flags, options.get("cluster", "ours"),
            )
        )  # fmt: skip

    def do_lead(self, flags: list[str], options: dict[str, str]) -> list[str]:
        leader, voter = int(flags[0]), int(options.get("for", self.machine.me.id))
        ends = (Endpoint("C", f"host{leader}", 1),)
        member = Member(voter, directory(voter))
        return self.ask(BeginQuorumEpoch(int(options["epoch"]), leader, member, ends, options.get("cluster", "ours")))

    def do_leave(self, flags: list[str], options: dict[str, str]) -> list[str]:
        preferred = tuple(Member(int(n), directory(int(n))) for n in filter(None, options.get("next", "").split(",")))
        return self.ask(EndQuorumEpoch(int(options["epoch"]), int(flags[0]), preferred, "ours"))

    def do_fetch(self, flags: list[str], options: dict[str, str]) -> list[str]:
        replica, at = int(flags[0]), place(options["at"])
        member, known = Member(replica, directory(replica)), int(options.get("hw", "-1"))
        cluster_id = options.get("cluster", "ours")
        return self.ask(Fetch(int(options["epoch"]), member, at.end_offset, at.epoch, known, cluster_id))

    def do_piece(self, flags: list[str], options: dict[str, str]) -> list[str]:
        member = Member(int(flags[0]), directory(int(flags[0])))
        position, snapshot = int(options.get("position", "0")), place(options["snapshot"])
        return self.ask(FetchSnapshot(int(options["epoch"]), member, snapshot, position, "ours"))

    def do_answer(self, flags: list[str], options: dict[str, str]) -> list[str]:
        number = int(flags[0])
        request = self.asked[number]
        head = (
            CODES[options["error"]] if "error" in options else 0,
            int(options.get("epoch", self.machine.epoch)),
            int(options.get("leader", "-1")),
        )
        answer: Answer
        if isinstance(request, Vote):
            answer = Voted(*head, "granted" in flags)
        elif isinstance(request, Fetch):
            some: Any = entries(options.get("records", ""))
            diverging = place(options["diverging"]) if "diverging" in options else None
            snapshot = place(options["snapshot"]) if "snapshot" in options else None
            known = int(options.get("hw", "-1"))
            answer = Fetched(*head, known, diverging, snapshot, some, request.offset + len(some))
        elif isinstance(request, FetchSnapshot):
            size, data = int(options.get("size", "0")), bytes(int(options.get("piece", "0")))
            answer = SnapshotPiece(*head, size, request.position, data)
        else:
            answer = Heard(*head)
        return self.take(self.machine.heard(number, request, answer, self.now))

    def do_lost(self, flags: list[str], options: dict[str, str]) -> list[str]:
        number = int(flags[0])
        return self.take(self.machine.unreachable(number, self.asked[number], self.now))

    def do_sync(self, flags: list[str], options: dict[str, str]) -> list[str]:
        return self.take(self.machine.held(self.log.end_offset, self.now))

    def do_write(self, flags: list[str], options: dict[str, str]) -> list[str]:
        self.log.entries += [Entry(self.machine.epoch, 0)] * int(flags[0])
        return [f"log ends at {self.log.end_offset}"]

    def do_resign(self, flags: list[str], options: dict[str, str]) -> list[str]:
        return self.take(self.machine.resign(self.now))

    def do_show(self, flags: list[str], options: dict[str, str]) -> list[str]:
        one = self.machine
        leader = "" if one.leader_id < 0 else f" leader={one.leader_id}"
        voted = "" if one.election.voted_id < 0 else f" voted={one.election.voted_id}"
        return [f"{one.role.value} epoch={one.epoch}{leader}{voted} log={self.log.end_offset} hw={one.high_watermark}"]

    # ---- asking and telling

    def ask(self, request: Request) -> list[str]:
        return self.take(self.machine.step(request, self.now))

    def take(self, out: Outcome) -> list[str]:
        lines = []
        for one in out.persist:
            leader = "" if one.leader_id < 0 else f" leader={one.leader_id}"
            voted = "" if one.voted_id < 0 else f" voted={one.voted_id}"
            lines.append(f"remember epoch={one.epoch}{leader}{voted}")
        if out.truncate_to is not None:
            self.log.cut(out.truncate_to)
            lines.append(f"cut off at {out.truncate_to}")
        if out.append:
            self.log.entries += out.append  # type: ignore[arg-type]
            lines.append(f"append {len(out.append)}, log ends at {self.log.end_offset}")
        if out.download is not None:
            lines.append(f"keep {len(out.download.data)} bytes at {out.download.position}")
        if out.became_leader:
            self.log.entries.append(Entry(self.machine.epoch, 0))
            lines.append(f"leads epoch {self.machine.epoch} from offset {self.log.end_offset - 1}")
        if out.high_watermark is not None:
            lines.append(f"committed below {out.high_watermark}")
        if out.reply is not None:
            lines.append("<- " + told(out.reply))
        for number, request in out.send:
            self.asked[number] = request
            lines.append(f"{number} -> " + told_request(request))
        if out.download is not None and out.download.is_last:
            end = out.download.snapshot
            self.log.start_offset, self.log.entries, self.log.snapshot = end.end_offset, [], end
            lines += self.take(self.machine.installed(self.now))
        elif out.truncate_to is not None or out.download is not None:
            lines += self.take(self.machine.tick(self.now))
        return lines


def told(answer: Answer) -> str:
    parts = [NAMES[answer.error] if answer.error else "ok", f"epoch={answer.epoch}"]
    if answer.leader_id >= 0:
        parts.append(f"leader={answer.leader_id}")
    if isinstance(answer, Voted):
        parts.append("granted" if answer.is_granted else "refused")
    if isinstance(answer, Fetched) and not answer.error:
        parts.append(f"hw={answer.high_watermark}")
        if answer.diverging is not None:
            parts.append("diverging={}/{}".format(*answer.diverging))
        elif answer.snapshot is not None:
            parts.append("snapshot={}/{}".format(*answer.snapshot))
        else:
            parts.append(f"up to {answer.end_offset}")
    return " ".join(parts)


def told_request(request: Request) -> str:
    if isinstance(request, Vote):
        kind = "prevote" if request.is_pre_vote else "vote"
        return f"{kind} epoch={request.epoch} last={request.last.end_offset}/{request.last.epoch}"
    if isinstance(request, BeginQuorumEpoch):
        return f"lead epoch={request.epoch}"
    if isinstance(request, EndQuorumEpoch):
        return f"leave epoch={request.epoch} next={','.join(str(one.id) for one in request.preferred)}"
    if isinstance(request, FetchSnapshot):
        return "piece snapshot={}/{} position={}".format(*request.snapshot, request.position)
    return f"fetch epoch={request.epoch} at={request.offset}/{request.last_epoch} hw={request.high_watermark}"


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_story(story: Path) -> None:
    """If this fails, the quorum decides otherwise than the story tells; `GOLDEN=write` shows how."""
    run(story, Stage(), rewrite=os.environ.get("GOLDEN") == "write")
