"""What the servers cost when nobody asks anything, and how soon they are there."""

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from protocol.kafka.framing import frame_request
from protocol.kafka.messages.produce import FetchPartition, FetchRequest, FetchTopic
from protocol.kafka.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.oracle.kafka.wire import Wire
from tests.peers.kafka import our_broker
from tests.peers.redis import our_server, request

ROOT = Path(__file__).resolve().parents[2]
WAITERS = 100
IDLE_S = 4.0
IDLE_ROUNDS = 3
IDLE_SHARE = 0.005  # of a core
START_S = 0.150  # of CPU beyond the interpreter's own start, where the yardstick takes YARDSTICK_S beyond it
YARDSTICK = "import argparse, asyncio, dataclasses, json, logging, random, ssl, tempfile"
YARDSTICK_S = 0.047
ROUNDS = 6
RESIDENT_BYTES = 80e6
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def blocked_pops(port: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(WAITERS):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            link.sendall(request([b"BLPOP", b"nothing", b"0"]))
        yield


@contextmanager
def parked_fetches(port: int) -> Iterator[None]:
    wire = Wire(port)
    wire.ask(CreateTopicsRequest(topics=[CreatableTopic(name="idle", num_partitions=1, replication_factor=1)]), 4)
    fetch = FetchRequest(
        replica_id=-1, max_wait_ms=300_000, min_bytes=1, max_bytes=1 << 20, isolation_level=0, session_epoch=-1,
        topics=[FetchTopic(topic="idle", partitions=[FetchPartition(partition=0, partition_max_bytes=1 << 20)])],
    )  # fmt: skip
    with ExitStack() as stack:
        for number in range(WAITERS):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            link.sendall(b"".join(frame_request(fetch, 11, number, "idle")))
        yield


def test_waiting_costs_nothing() -> None:
    """A server that polls for its waiters takes a laptop's battery and a CI job's core."""
    with our_server() as store, our_broker() as broker, blocked_pops(store.port), parked_fetches(broker.port):
        time.sleep(2)  # what starting left to do
        pids = {"miniredis": store.pid, "minikafka": broker.pid}
        shares = dict.fromkeys(pids, 1.0)
        for _ in range(IDLE_ROUNDS):  # the least of some: a neighbour who takes the caches makes a tick dearer
            before = {name: cpu_seconds(pid) for name, pid in pids.items()}
            time.sleep(IDLE_S)
            for name, pid in pids.items():
                shares[name] = min(shares[name], (cpu_seconds(pid) - before[name]) / IDLE_S)
            if max(shares.values()) <= IDLE_SHARE:
                break
        for name, pid in pids.items():
            assert shares[name] <= IDLE_SHARE, f"{name} takes {shares[name]:.2%} of a core, {WAITERS} clients waiting"
            assert resident(pid) <= RESIDENT_BYTES, f"{name} holds {resident(pid) / 1e6:.0f} MB doing nothing"


def cpu_of(command: list[str], ready: Callable[[], bool]) -> float:
    """CPU seconds a command takes until it is ready, or to its end."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    used = 0.0
    while process.poll() is None:
        if ready():
            used = cpu_seconds(process.pid)
            process.terminate()
            process.wait(60)
        time.sleep(0.002)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used or after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("server", ["miniredis", "minikafka"])
def test_start_is_quick(server: str, tmp_path: Path) -> None:
    """Something heavy imported or built on the way to the first client. Its CPU is compared, with that of a yardstick
    in turn: a wall clock is not fair on a shared machine, and a bare number not on a slow one."""

    def once(number: int) -> float:
        ready = tmp_path / f"ready{number}"
        place = {"miniredis": ["--dir", str(tmp_path)], "minikafka": ["--data-dir", str(tmp_path / f"data{number}")]}
        command = [sys.executable, "-m", server, "--port", "0", "--ready-file", str(ready), *place[server]]
        return cpu_of(command, ready.exists)

    once(0)  # leaves the compiled bytecode behind, as an installation does
    bare = yardstick = took = 60.0
    for number in range(1, ROUNDS + 1):
        bare = min(bare, cpu_of([sys.executable, "-c", "pass"], lambda: False))
        yardstick = min(yardstick, cpu_of([sys.executable, "-c", YARDSTICK], lambda: False))
        took = min(took, once(number))
    allowed = START_S * max(1.0, (yardstick - bare) / YARDSTICK_S)
    assert took - bare <= allowed, (
        f"{server}: {took - bare:.3f} s of CPU beyond the interpreter's {bare:.3f} ({allowed=})"
    )
