"""Log lines."""

import re

from protocol.ops.clock import Clock
from protocol.ops.logs import KafkaLogger


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
