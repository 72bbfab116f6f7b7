"""A primary with two replicas, each on a host of its own, that are cut off from each other under clients.

What is acknowledged: what WAITAOF (or WAIT) said `replicas` of them have. Of those that are left when the primary is
given up, the one that is farthest takes its part (any of them, where both had to have it): all that was acknowledged is
there. What was not may be gone, or not; the primary that was given up goes on taking writes until it hears of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.chaos.checker import Anomaly, check
from tests.chaos.history import Outcome, Transaction
from tests.chaos.network import Network
from tests.chaos.node import Clients, Node, ending, last_read, until

PORT = 6379
HOSTS = ("a", "b", "c", "clients")
DIRECTIVES = (
    "--appendonly", "yes", "--repl-diskless-sync-delay", "0", "--repl-timeout", "3", "--repl-ping-replica-period", "1",
)  # fmt: skip
REWRITES = 0.3  # so many of the faults begin while somebody rewrites its file
THIN_KILOBITS = 800
QUIET_S = 0.3  # nothing more is on the way to a replica that has not moved for so long


class Report(NamedTuple):
    faults: list[str]
    acknowledged: int
    unknown: int
    refused: int
    full: int  # synchronizations
    partial: int
    anomalies: list[Anomaly]

    def __str__(self) -> str:
        told = ", ".join(f"{self.faults.count(each)} {each}" for each in sorted(set(self.faults)))
        return (
            f"{len(self.faults)} faults ({told}), {self.acknowledged} transactions acknowledged, {self.unknown} of "
            f"unknown outcome, {self.refused} refused; {self.full} full and {self.partial} partial synchronizations; "
            f"{len(self.anomalies)} anomalies"
        )


class Rig:
    """`commands` start the three servers."""

    def __init__(
        self, network: Network, commands: Sequence[Sequence[str]], folder: Path, *, policy: str, promise: str,
        replicas: int, seed: int,
    ) -> None:  # fmt: skip
        self.network = network
        self.chance = Random(seed)
        self.replicas = replicas
        directives = (*DIRECTIVES, "--appendfsync", policy)
        self.nodes = {
            name: Node(command, folder / name, network.address(name), PORT, directives, network.inside(name))
            for name, command in zip(HOSTS, commands, strict=False)
        }
        self.primary = HOSTS[0]
        self.faults: list[str] = []
        self.full = self.partial = 0
        options = ["--promise", promise, "--replicas", str(replicas), "--seed", str(seed)]
        if policy == "everysec":  # every answer waits for a second or two: more of them at once
            options += ["--promise-ms", "2500", "--clients", "40"]
        for node in self.nodes.values():
            node.start()
        self.follow()
        everywhere = self.nodes.values()
        self.clients = [
            Clients(folder / "history", everywhere, *options, "--share", "0/2", inside=network.inside("clients")),
            # Whoever is on the same side as a primary that was given up.
            Clients(folder / "beside", everywhere, *options, "--share", "1/2", inside=network.inside("a")),
        ]

    @property
    def others(self) -> list[str]:
        return [name for name in self.nodes if name != self.primary]

    # What can happen.

    def isolate(self) -> None:
        """The primary alone on its side."""
        self.network.pull(self.primary)
        self.wait()
        old = self.promote()
        self.network.plug(old)

    def deafen(self) -> None:
        """The primary hears its replicas, they do not hear it; clients reach all."""
        source, targets = self.primary, self.others
        for target in targets:
            self.network.block(source, target)
        self.wait()
        self.promote()
        for target in targets:
            self.network.unblock(source, target)

    def silence(self) -> None:
        """The replicas hear the primary, it does not hear them."""
        target, sources = self.primary, self.others
        for source in sources:
            self.network.block(source, target)
        self.wait()
        self.promote()
        for source in sources:
            self.network.unblock(source, target)

    def kill(self) -> None:
        """kill -9 of the primary, which comes back as a replica."""
        self.nodes[self.primary].kill()
        old = self.promote()
        self.nodes[old].start()

    def kill_replica(self) -> None:
        """kill -9 of a replica, while it may be rewriting its file; it comes back with what it has written."""
        node = self.nodes[self.chance.choice(self.others)]
        node.ask("BGREWRITEAOF")
        self.wait(0.5)
        node.kill()
        node.start()

    def cut(self) -> None:
        """A replica is alone for a while."""
        name = self.chance.choice(self.others)
        self.network.pull(name)
        self.wait(2.5)
        self.network.plug(name)

    def thin(self) -> None:
        self.network.thin(self.primary, THIN_KILOBITS)
        self.wait()
        self.network.thick(self.primary)

    def hand_over(self) -> None:
        """FAILOVER, by the primary itself. It needs an end: a replica whose link breaks meanwhile (as after a cut, when
        it has heard nothing for too long) is not let in again, and would be waited for for ever. As with Redis."""
        new = self.chance.choice(self.others)
        self.begin_failover(new, "TIMEOUT", "4000")
        self.end_failover(new)

    def hand_over_in_vain(self) -> None:
        """FAILOVER to a replica that is gone: the primary stays what it is. Unless it had everything when it went, and
        takes over as soon as it is back."""
        new = self.chance.choice(self.others)
        self.network.pull(new)
        self.begin_failover(new, "TIMEOUT", "700")
        time.sleep(1 + self.chance.random())
        self.network.plug(new)
        self.end_failover(new)

    def begin_failover(self, new: str, *options: str) -> None:
        told = self.nodes[self.primary].ask("FAILOVER", "TO", self.nodes[new].host, str(PORT), *options)
        assert told == b"+OK\r\n", told

    def end_failover(self, new: str) -> None:
        old = self.nodes[self.primary]
        until("the end of FAILOVER", lambda: old.info("master_failover_state") == "no-failover")
        if self.nodes[new].info("role") == "master":
            self.primary = new

    # What is done about it.

    def wait(self, most_s: float = 1.2) -> None:
        time.sleep(self.chance.uniform(0.3, most_s))

    def offset(self, name: str) -> int:
        return int(self.nodes[name].info("slave_repl_offset") or -1)

    def promote(self) -> str:
        """Another takes the part of the primary, whose name is returned."""
        old, left = self.primary, self.others
        before: list[int] = []
        while (told := [self.offset(name) for name in left]) != before:  # what is on its way has arrived
            before = told
            time.sleep(QUIET_S)
        farthest = max(left, key=self.offset)
        self.primary = farthest if self.replicas < len(left) else self.chance.choice(left)
        assert self.nodes[self.primary].ask("REPLICAOF", "NO", "ONE") == b"+OK\r\n"
        for name in left:
            if name != self.primary:
                self.attach(name)
        return old

    def attach(self, name: str) -> None:
        told = self.nodes[name].ask("REPLICAOF", self.nodes[self.primary].host, str(PORT))
        assert told.startswith(b"+OK"), told

    def is_attached(self, name: str) -> bool:
        told = [self.nodes[name].info(field) for field in ("master_host", "master_link_status")]
        return told == [self.nodes[self.primary].host, "up"]

    def follow(self) -> None:
        """All the others are replicas of the primary, and hear it."""
        for name in self.others:
            if self.nodes[name].info("master_host") != self.nodes[self.primary].host:
                self.attach(name)
        until("replicas", lambda: all(map(self.is_attached, self.others)))

    def are_level(self) -> bool:
        """All have the same, which nobody is changing."""
        return {self.offset(name) for name in self.others} == {int(self.nodes[self.primary].info("master_repl_offset"))}

    def run(self, seconds: float) -> Report:
        menu: list[Callable[[], None]] = [
            self.isolate, self.hand_over, self.cut, self.kill, self.deafen, self.thin, self.silence,
            self.hand_over_in_vain, self.kill_replica,
        ]  # fmt: skip
        with ending(*self.nodes.values(), *self.clients):
            ends = time.monotonic() + seconds
            turn = 0
            while time.monotonic() < ends:
                if turn % len(menu) == 0 and turn:
                    self.chance.shuffle(menu)
                fault = menu[turn % len(menu)]
                if self.chance.random() < REWRITES:
                    self.nodes[self.chance.choice(list(self.nodes))].ask("BGREWRITEAOF")
                fault()
                self.faults.append(fault.__name__)
                self.follow()
                time.sleep(0.2 + 0.3 * self.chance.random())
                turn += 1
            history = [each for clients in self.clients for each in clients.history()]
            until("replicas that have everything", self.are_level)
            for name in self.nodes:
                self.full += int(self.nodes[name].info("sync_full"))
                self.partial += int(self.nodes[name].info("sync_partial_ok"))
            history.append(last_read(self.nodes[self.primary], history))
            self.look_everywhere(history[-1])
        return self.judge(history)

    def look_everywhere(self, seen: Transaction) -> None:
        """The replicas have the same, and so have the files of all, of whom nothing else is left."""
        for name in self.others:
            assert last_read(self.nodes[name], [seen]).operations == seen.operations, name
        for node in self.nodes.values():
            node.stop()
        for name, node in self.nodes.items():
            node.start()
            assert last_read(node, [seen]).operations == seen.operations, f"files of {name}"

    def judge(self, history: list[Transaction]) -> Report:
        outcomes = [each.outcome for each in history]
        return Report(
            self.faults, outcomes.count(Outcome.OK), outcomes.count(Outcome.UNKNOWN), outcomes.count(Outcome.FAIL),
            self.full, self.partial, check(history),
        )  # fmt: skip
