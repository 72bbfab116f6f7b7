"""One server that is killed (-9) again and again under clients, while it rewrites its append-only file and has it
switched off and on.

What an acknowledgement promises: under `always` everything, ever. Under `everysec` what is more than a second old, or
two while an fsync hangs. While appends are switched off, and until the first rewrite after that has ended, nothing: the
files show the data from before.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from tests.chaos.checker import Anomaly, check
from tests.chaos.history import Outcome, Transaction, Window, weaken
from tests.chaos.node import Clients, Node, ending, last_read, until
from tests.peers.redis import free_port

EVERYSEC_LOSS_S = 2.0
# What happens in the time between two kills, by weight.
QUIET, REWRITE, SWITCH = "quiet", "rewrite", "switch"
WEIGHTS = {QUIET: 4, REWRITE: 4, SWITCH: 2}
# No kill earlier than that: there would be nothing to lose.
UP_S = 0.3


class Report(NamedTuple):
    acknowledged: int
    unknown: int
    refused: int
    starts: list[float]  # seconds, after each kill
    actions: list[str]  # before each kill
    lost: int  # acknowledged appends that are gone, as far as appends were not switched off
    anomalies: list[Anomaly]  # of what was promised
    took_s: float  # from the first client to the start after the last kill
    loaded_bytes: int  # of append-only files, at the start when they were longest

    def __str__(self) -> str:
        told = ", ".join(f"{self.actions.count(each)} {each}" for each in WEIGHTS)
        return (
            f"{len(self.starts)} kills in {self.took_s:.0f} s ({told}), {self.acknowledged} transactions acknowledged, "
            f"{self.unknown} of unknown outcome, {self.refused} refused, {self.lost} appends lost, "
            f"{len(self.anomalies)} anomalies; starts of up to {self.loaded_bytes / 1e6:.1f} MB: "
            f"median {median(self.starts):.3f} s, longest {max(self.starts):.3f} s"
        )


class Rig:
    def __init__(self, command: Sequence[str], folder: Path, policy: str, seed: int) -> None:
        self.chance = Random(seed)
        self.policy = policy
        directives = ("--appendonly", "yes", "--appendfsync", policy)
        folder.mkdir(exist_ok=True)
        self.node = Node(command, folder / "data", "127.0.0.1", free_port(), directives)
        self.node.start()
        self.clients = Clients(folder / "history", [self.node], "--seed", str(seed))
        self.unwritten: list[Window] = []  # appends were switched off, and the server was killed before the rewrite
        self.unsynced: list[Window] = []
        self.longest = 0
        self.off_since: float | None = None  # appends are not on the medium, or not all

    def run(self, seconds: float, kills: int) -> Report:
        starts, actions = [], []
        with ending(self.node, self.clients):
            ends = began = time.monotonic()
            for _ in range(kills):
                ends += seconds / kills
                actions.append(self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])
                self.live(actions[-1], ends - UP_S * self.chance.random())
                self.die()
                self.longest = max(self.longest, self.bytes_of_files())
                starts.append(self.node.start())
            took_s = time.monotonic() - began
            history = list(self.clients.history())
            history.append(last_read(self.node, history))
            self.look_again(history[-1])
        return self.judge(history, starts, actions, took_s)

    def live(self, action: str, ends: float) -> None:
        """Until then; the action is begun in the last quarter of a second, to be under way, or any time before."""
        now = time.monotonic()
        ends = max(ends, now + UP_S)
        begins = ends - self.chance.choice((0.25, ends - now)) * self.chance.random()
        time.sleep(max(begins - now, 0))
        if action == REWRITE:
            self.node.ask("BGREWRITEAOF")
        elif action == SWITCH:
            self.off_since = time.monotonic()
            self.node.ask("CONFIG", "SET", "appendonly", "no")
            time.sleep(0.1 * self.chance.random())
            self.node.ask("CONFIG", "SET", "appendonly", "yes")
        while time.monotonic() < ends:
            if self.off_since is not None and self.is_written_anew():
                self.off_since = None
            time.sleep(min(0.02, max(ends - time.monotonic(), 0)))

    def is_written_anew(self) -> bool:
        told = map(self.node.info, ("aof_enabled", "aof_rewrite_in_progress", "aof_rewrite_scheduled"))
        return list(told) == ["1", "0", "0"] and self.node.info("aof_last_bgrewrite_status") == "ok"

    def bytes_of_files(self) -> int:
        return sum(file.stat().st_size for file in (self.node.directory / "appendonlydir").iterdir())

    def die(self) -> None:
        at = self.node.kill()
        if self.policy != "always":
            self.unsynced.append(Window(at - EVERYSEC_LOSS_S, at + 1))
        if self.off_since is not None:
            self.unwritten.append(Window(self.off_since, at + 1))
            self.off_since = None

    def look_again(self, seen: Transaction) -> None:
        """The same data after a rewrite and one start more: what clients were shown came from the files."""
        self.node.ask("BGREWRITEAOF")
        until("the end of the rewrite", self.is_written_anew)
        self.node.kill()
        self.node.start()
        assert last_read(self.node, [seen]).operations == seen.operations

    def judge(self, history: list[Transaction], starts: list[float], actions: list[str], took_s: float) -> Report:
        outcomes = [each.outcome for each in history]
        history = weaken(history, self.unwritten)
        lost = sum(1 for anomaly in check(history) if anomaly.kind == "lost")
        return Report(
            outcomes.count(Outcome.OK), outcomes.count(Outcome.UNKNOWN), outcomes.count(Outcome.FAIL), starts, actions,
            lost, check(weaken(history, self.unsynced)), took_s, self.longest,
        )  # fmt: skip


def run(command: Sequence[str], folder: Path, policy: str, *, seconds: float, kills: int, seed: int = 1) -> Report:
    return Rig(command, folder, policy, seed).run(seconds, kills)
