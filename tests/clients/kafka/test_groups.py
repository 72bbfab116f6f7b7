"""Real clients against minikafka: every codec in, a group of three out, one member killed on the way.

`CLIENTS_AGAINST=real` plays the same to Apache Kafka, to see that a test asks for nothing of our own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers.kafka import ROOT, Broker, compiled, java, missing, our_broker, real_broker

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PARTITIONS = 6
COUNT = 60  # records a codec
DEADLINE_S = 120.0


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    settings = {"group.min.session.timeout.ms": "1000", "num.partitions": str(PARTITIONS)}
    start = real_broker if os.environ.get("CLIENTS_AGAINST") == "real" else our_broker
    with start(settings) as running:
        yield running


def command(client: str, *words: str) -> list[str]:
    if client == "java":
        return java("Member", *words, heap="128m", classes=compiled(Path(__file__).with_name("Member.java")))
    return [sys.executable, "-m", "tests.clients.kafka.member", client, *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


class Member:
    """A running consumer: what it was assigned last, and all it got."""

    def __init__(self, client: str, broker: Broker, topic: str, group: str) -> None:
        self.partitions: set[int] = set()
        self.got: list[tuple[int, int, str]] = []
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command(client, "consume", broker.address, topic, group),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.errors: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._overhear, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "assigned":
                self.partitions = {int(number) for number in rest.split(",") if number}
            elif word == "got":
                partition, offset, value = rest.split(" ")
                self.got.append((int(partition), int(offset), value))

    def _overhear(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def wait(what: str, condition: Callable[[], bool], members: list[Member]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            told = "".join("".join(member.errors)[-2000:] for member in members)
            state = [(sorted(member.partitions), len(member.got)) for member in members]
            pytest.fail(f"waited {DEADLINE_S:.0f} s for {what}: {state}\n{told}")
        time.sleep(0.02)


def produce(client: str, broker: Broker, topic: str, codecs: tuple[str, ...]) -> set[str]:
    if client == "java":
        calls = [("produce", broker.address, topic, ",".join(codecs), str(COUNT))]
    else:
        calls = [("produce", broker.address, topic, codec, str(COUNT)) for codec in codecs]
    for call in calls:
        done = subprocess.run(
            command(client, *call), capture_output=True, text=True, timeout=DEADLINE_S, env=environment()
        )
        assert done.returncode == 0, done.stderr[-3000:]
    return {f"{codec}-{number}" for codec in codecs for number in range(COUNT)}


def shared_out(members: list[Member]) -> bool:
    """Every partition has one owner, and everybody has some."""
    owned = [partition for member in members for partition in member.partitions]
    return sorted(owned) == list(range(PARTITIONS)) and all(member.partitions for member in members)


def committed(broker: Broker, topic: str, group: str) -> dict[int, int]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": group})
    asked = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    answers = {each.partition: each.offset for each in consumer.committed(asked, timeout=DEADLINE_S)}
    ends = {each.partition: consumer.get_watermark_offsets(each, timeout=DEADLINE_S)[1] for each in asked}
    consumer.close()
    return {partition: ends[partition] - offset for partition, offset in answers.items()}


@pytest.mark.parametrize("client", ["confluent", "kafka-python", "aiokafka", "java"])
def test_codecs_in_and_a_group_of_three_out(broker: Broker, client: str) -> None:
    """A client cannot produce with some codec, or a group loses records when a member dies."""
    if client == "java":
        command(client)  # skips where there is none
    topic = group = f"three-{client}"
    expected = produce(client, broker, topic, CODECS[:3])
    members = [Member(client, broker, topic, group) for _ in range(3)]
    try:
        wait("the partitions shared out among three", lambda: shared_out(members), members)
        victim, *others = members
        victim.kill()
        expected |= produce(client, broker, topic, CODECS[3:])
        wait("the dead one's partitions to be taken over", lambda: shared_out(others), members)

        def seen() -> set[str]:
            return {value for member in members for _, _, value in member.got}

        wait("every record", lambda: seen() >= expected, members)
        assert seen() == expected
        for member in members:
            assert len(set(member.got)) == len(member.got), "one member saw a record twice"
    finally:
        for member in members:
            member.stop()
    assert committed(broker, topic, group) == dict.fromkeys(range(PARTITIONS), 0)


# ---- kcat


def kcat(*words: str, stdin: str = "", timeout_s: float = DEADLINE_S) -> str:
    if shutil.which("kcat") is None:
        missing("no kcat: apt-get install kcat")
    done = subprocess.run(["kcat", *words], input=stdin, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_kcat_produces_consumes_and_lists(broker: Broker) -> None:
    """The first command of the README fails."""
    lines = [f"{n}:line {n}" for n in range(1000)]
    kcat("-b", broker.address, "-P", "-t", "cat", "-K:", stdin="\n".join(lines) + "\n")
    for codec in CODECS[1:]:
        kcat("-b", broker.address, "-P", "-t", "cat", "-K:", "-z", codec, stdin=f"{codec}:{codec}\n")
    told = kcat("-b", broker.address, "-C", "-t", "cat", "-o", "beginning", "-e", "-q", "-K:")
    assert sorted(told.splitlines()) == sorted(lines + [f"{codec}:{codec}" for codec in CODECS[1:]])
    listing = kcat("-b", broker.address, "-L", "-t", "cat")
    assert f'topic "cat" with {PARTITIONS} partitions' in listing
    assert broker.address in listing


def test_kcat_group_of_two(broker: Broker) -> None:
    """Two kcat in one group both get everything, or one of them nothing."""
    topic = "cats"
    kcat("-b", broker.address, "-P", "-t", topic, stdin="first\n")
    settings = [
        "-X",
        "session.timeout.ms=30000",
        "-X",
        "heartbeat.interval.ms=300",
        "-X",
        "auto.offset.reset=earliest",
    ]
    words = ["kcat", "-b", broker.address, *settings, "-G", "two-cats", topic, "-u", "-f", "%p %o %s\n"]
    cats = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1) for _ in range(2)
    ]
    got: list[list[str]] = [[], []]
    told: list[list[str]] = [[], []]
    for cat, lines, messages in zip(cats, got, told, strict=True):
        for stream, kept in ((cat.stdout, lines), (cat.stderr, messages)):
            assert stream is not None
            threading.Thread(target=kept.extend, args=(stream,), daemon=True).start()
    try:
        deadline = time.monotonic() + DEADLINE_S

        def both_assigned() -> bool:
            return all(any("assigned" in line and "cats" in line for line in lines[-3:]) for lines in told)

        while not both_assigned():
            assert time.monotonic() < deadline, told
            time.sleep(0.02)
        sent = [f"{n}" for n in range(600)]
        while True:
            kcat("-b", broker.address, "-P", "-t", topic, stdin="\n".join(sent) + "\n")
            seen = [line.split()[2] for lines in got for line in lines]
            if set(seen) >= {*sent, "first"} and all(len(lines) > 100 for lines in got):
                break
            assert time.monotonic() < deadline, (told, [len(lines) for lines in got])
            time.sleep(0.2)
        both = [{tuple(line.split()[:2]) for line in lines} for lines in got]
        assert not both[0] & both[1], "both got the same record"
    finally:
        for cat in cats:
            cat.terminate()
            cat.wait(DEADLINE_S)
