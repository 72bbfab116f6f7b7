"""Log lines."""

import re
import sys

import pytest

from protocol.ops.clock import Clock
from protocol.ops.logs import KafkaLogger


class FullFile:
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_kafkas_look() -> None:
    """What reads Kafka's logs could not read ours, or a percent sign of a client's would end the line."""
    lines: list[str] = []
    log = KafkaLogger(Clock(), "minikafka", lines.append)
    log.warning("100%")
    log.named("minikafka.raft").info("node %d leads: %s", 1, "50%d")
    try:
        raise ValueError("of ours")
    except ValueError:
        log.fault("%s failed", "Fetch")
    moment = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] "
    assert re.fullmatch(moment + r"WARN 100% \(minikafka\)", lines[0])
    assert re.fullmatch(moment + r"INFO node 1 leads: 50%d \(minikafka\.raft\)", lines[1])
    assert re.match(moment + r"ERROR Fetch failed \(minikafka\)\nTraceback", lines[2])
    assert lines[2].endswith("ValueError: of ours")


def test_every_log_is_its_owners() -> None:
    """Two brokers in one process would write into one log."""
    first: list[str] = []
    second: list[str] = []
    KafkaLogger(Clock(), "one", first.append).info("first")
    KafkaLogger(Clock(), "two", second.append).info("second")
    assert (len(first), len(second)) == (1, 1)


def test_a_log_that_cannot_be_written_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its log on the disk that is full, a broker would fail at telling so."""
    monkeypatch.setattr(sys, "stdout", FullFile())
    KafkaLogger(Clock(), "one").error("no room")
