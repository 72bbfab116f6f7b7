"""Bugs that the simulation of the quorum has to find: each changes one place of the machine's source.

Law: an anchor stands in its module exactly once. Where it is gone, the bug has to be planted anew.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import cast

from minikafka.raft.machine import Machine
from tests.sim.planted import Bug, source

MACHINE, LEADING = "minikafka.raft.machine", "minikafka.raft.leading"

BUGS = {
    "a vote is not persisted": Bug(
        MACHINE,
        "            self._remember(Election(epoch, NOBODY, *request.candidate), out)\n",
        "            self.election = Election(epoch, NOBODY, *request.candidate)\n",
    ),
    "the own candidacy is not persisted": Bug(
        MACHINE,
        "        self._remember(Election(self.epoch + 1, NOBODY, self.me.id, self.me.directory_id), out)\n",
        "        self.election = Election(self.epoch + 1, NOBODY, self.me.id, self.me.directory_id)\n",
    ),
    "a vote is given to whoever asks": Bug(
        MACHINE, "            return voted == candidate\n", "            return is_current\n"
    ),
    "the longer log wins, whatever its epoch": Bug(
        MACHINE,
        "is_current = (last.epoch, last.end_offset) >= (self.log.last_epoch, self.log.end_offset)",
        "is_current = last.end_offset >= self.log.end_offset",
    ),
    "a candidate votes for others": Bug(
        MACHINE,
        "        if self.role not in (Role.UNATTACHED, Role.PROSPECTIVE):\n            return False\n"
        "        voted = Member(self.election.voted_id, self.election.voted_directory_id)\n"
        "        if voted.id != NOBODY:\n            return voted == candidate\n",
        "",
    ),
    "a new epoch keeps the old vote": Bug(
        MACHINE,
        "            self._remember(Election(epoch), out)\n",
        "            self._remember(Election(epoch, NOBODY, self.election.voted_id, self.me.directory_id), out)\n",
    ),
    "a pre-vote raises the epoch": Bug(
        MACHINE,
        "            self._become(Role.PROSPECTIVE, now + self._by_chance())\n            self.granted = {self.me.id}\n"
        "            self._count(out, now)\n",
        "            self._stand(out, now)\n",
    ),
    "one vote less than a majority is enough": Bug(
        MACHINE,
        "        if len(self.granted) < self.voters.majority:\n",
        "        if len(self.granted) < self.voters.majority - 1:\n",
    ),
    "a vote of another epoch counts": Bug(
        MACHINE,
        "        elif is_awaited and request.epoch == self.epoch:\n",
        "        elif is_awaited or isinstance(request, Vote):\n",
    ),
    "a pre-vote counts as a vote": Bug(
        MACHINE,
        "            self._stand(out, now)\n            return\n        granted =",
        "            pass\n        granted =",
    ),
    "the leader counts what it has not synced": Bug(
        MACHINE,
        "                mine.end_offset = max(mine.end_offset, self.synced)\n",
        "                mine.end_offset = self.log.end_offset\n",
    ),
    "a follower acknowledges what it has not synced": Bug(
        MACHINE, "self.synced < self.log.end_offset or out.append", "out.append"
    ),
    "an older epoch is committed by counting": Bug(
        LEADING, "return agreed if agreed > self.epoch_start else -1", "return agreed"
    ),
    "the leader comes back as leader of its epoch": Bug(
        MACHINE,
        "            self._unattach(self.epoch + 1, out, now)\n        elif self.role is Role.PROSPECTIVE",
        "            self._unattach(self.epoch, out, now)\n        elif self.role is Role.PROSPECTIVE",
    ),
    "a fetch is answered whatever the follower's last epoch": Bug(
        MACHINE,
        "        if not at_snapshot and (known.epoch != request.last_epoch or known.end_offset < request.offset):\n",
        "        if not at_snapshot and log.end_offset < request.offset:\n",
    ),
    "a diverging log is cut where the leader's epoch ends": Bug(
        MACHINE,
        "        offset = min(mine.end_offset, diverging.end_offset) if mine.epoch == diverging.epoch else",
        "        offset = min(self.log.end_offset, diverging.end_offset) if mine.end_offset >= 0 else",
    ),
    "a diverging log is not cut": Bug(
        MACHINE, "        out.truncate_to = offset\n", "        out.truncate_to = self.log.end_offset\n"
    ),
    "whom nobody fetches from leads on": Bug(
        LEADING,
        "        if not voters.has(*replica) or replica.id == self.me.id:\n            return\n",
        "        self.check_from = now\n        return\n",
    ),
    "a follower believes every high watermark": Bug(
        MACHINE,
        "        agreed = min(self.leader_high_watermark, self.matched, self.synced)\n",
        "        agreed = self.leader_high_watermark\n",
    ),
    "a follower's high watermark is what this leader says": Bug(
        MACHINE,
        "matched, self.synced)\n        if agreed > self.high_watermark:\n",
        "matched, self.synced)\n        if agreed != self.high_watermark:\n",
    ),
    "a late answer is taken for this fetch's": Bug(
        MACHINE,
        "        is_awaited = awaited is not None and awaited[0] == request\n",
        "        is_awaited = awaited is not None\n",
    ),
    "a vote is given whatever the log holds": Bug(
        MACHINE,
        "is_current = (last.epoch, last.end_offset) >= (self.log.last_epoch, self.log.end_offset)",
        "is_current = True",
    ),
    "a snapshot is never asked for": Bug(
        MACHINE, "            self.loading = answer.snapshot, 0\n", "            pass\n"
    ),
}


def mutant(name: str) -> type[Machine]:
    """The machine with that bug."""
    bug = BUGS[name]
    before = {module: sys.modules[module] for module in (LEADING, MACHINE)}
    try:
        for module in (LEADING, MACHINE):
            text = source(module)
            if module == bug.module:
                assert text.count(bug.anchor) == 1, f"{module} has changed: {bug.anchor!r}"
                text = text.replace(bug.anchor, bug.instead)
            made = sys.modules[module] = ModuleType(module)
            exec(compile(text, f"{module} ({name})", "exec"), made.__dict__)
        return cast(type[Machine], sys.modules[MACHINE].Machine)  # type: ignore[attr-defined]
    finally:
        sys.modules.update(before)
