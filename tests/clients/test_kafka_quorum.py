"""Three controllers in processes of their own: they elect, lose their leader to kill -9, take it back, and Kafka's own
tool reads them."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers.kafka import CLUSTER_ID, free_ports, run_tool

DEADLINE_S = 30.0
DIRECTORIES = ["dHJpYWwtYnJva2VyLTAwMQ", "dHJpYWwtYnJva2VyLTAwMg", "dHJpYWwtYnJva2VyLTAwMw"]
LEADS = re.compile(r"node (\d) leads the metadata quorum in epoch (\d+)")


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.05)


class Controllers:
    """Three processes, each with its directory."""

    def __init__(self, folder: Path, *, is_static: bool) -> None:
        self.folder = folder
        self.ports = free_ports(3)
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        ends = [f"127.0.0.1:{port}" for port in self.ports]
        initial = ",".join(f"{n}@{end}:{DIRECTORIES[n - 1]}" for n, end in enumerate(ends, 1))
        voters = ",".join(f"{n}@{end}" for n, end in enumerate(ends, 1))
        for n, end in enumerate(ends, 1):
            quorum = f"voters={voters}" if is_static else f"bootstrap.servers={','.join(ends)}"
            self.file(n).write_text(
                f"process.roles=controller\nnode.id={n}\nlisteners=CONTROLLER://{end}\n"
                f"controller.listener.names=CONTROLLER\nlog.dirs={folder}/{n}\ncontroller.quorum.{quorum}\n"
            )
            words = ["format", "-t", CLUSTER_ID, "-c", str(self.file(n)), *([] if is_static else ["-I", initial])]
            subprocess.run([sys.executable, "-m", "minikafka", *words], check=True, capture_output=True)

    def file(self, n: int) -> Path:
        return self.folder / f"{n}.properties"

    def start(self, n: int) -> None:
        with open(self.folder / f"{n}.log", "ab") as log:
            command = [sys.executable, "-m", "minikafka", str(self.file(n)), "--exit-with-parent"]
            self.processes[n] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def said(self, n: int) -> str:
        return (self.folder / f"{n}.log").read_text()

    def leader(self) -> tuple[int, int]:
        """(epoch, id) of the last one that said it leads; (0, 0) before."""
        found = [match for n in self.processes for match in LEADS.findall(self.said(n))]
        return max(((int(epoch), int(who)) for who, epoch in found), default=(0, 0))

    def end(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(DEADLINE_S)
            finally:
                process.kill()


@contextlib.contextmanager
def controllers(folder: Path, *, is_static: bool) -> Iterator[Controllers]:
    found = Controllers(folder, is_static=is_static)
    try:
        for n in (1, 2, 3):
            found.start(n)
        yield found
    finally:
        found.end()


@pytest.mark.parametrize("is_static", [False, True], ids=["voter records", "static voters"])
def test_three_controllers_survive_their_leader(tmp_path: Path, is_static: bool) -> None:
    """A quorum that is dead with its leader, or has two."""
    with controllers(tmp_path, is_static=is_static) as three:
        until(lambda: three.leader() != (0, 0))
        epoch, first = three.leader()
        three.processes[first].kill()
        three.processes[first].wait()
        until(lambda: three.leader()[0] > epoch)
        epoch, second = three.leader()
        assert second != first
        three.start(first)
        until(lambda: three.said(first).count("Kafka Server started") == 2)
        three.processes[second].terminate()
        until(lambda: three.leader()[0] > epoch)
        assert three.processes[second].wait(DEADLINE_S) == 0
    for n in (1, 2, 3):
        assert "Traceback" not in three.said(n), three.said(n)


def test_kafkas_own_tool_reads_the_quorum(tmp_path: Path) -> None:
    """Whoever runs a cluster could not see who leads it, and who is behind."""
    with controllers(tmp_path, is_static=False) as three:
        until(lambda: three.leader() != (0, 0))
        where = ["--bootstrap-controller", ",".join(f"127.0.0.1:{port}" for port in three.ports), "describe"]
        status = run_tool("metadata-quorum", *where, "--status").stdout
        epoch, leader = three.leader()
        assert re.search(rf"LeaderId:\s+{leader}\nLeaderEpoch:\s+{epoch}\n", status), status
        rows = run_tool("metadata-quorum", *where, "--replication").stdout
        assert re.search(rf"(?m)^{leader}\s+{DIRECTORIES[leader - 1]}\s+\d+\s+0\s+\d+\s+\d+\s+Leader", rows), rows
        assert len(re.findall(r"\tFollower", rows)) == 2, rows
