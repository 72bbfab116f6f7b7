"""One real broker and one of ours for all comparisons of a test run: a JVM takes long to start and to get warm."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from protocol.kafka.messages.topics import MetadataRequest
from tests.oracle.kafka.wire import Wire
from tests.peers.kafka import Broker, our_broker, real_broker

SETTINGS = {
    "num.partitions": "2",
    "log.retention.hours": "5",
    "offsets.topic.num.partitions": "3",
    "group.max.size": "3",
}
READY_S = 60.0


@pytest.fixture(scope="session")
def stages() -> Iterator[tuple[Broker, Broker]]:
    """(the real broker, ours), each knowing itself."""
    with real_broker(SETTINGS) as real, our_broker(SETTINGS) as ours:
        for broker in (real, ours):
            deadline = time.monotonic() + READY_S
            with Wire(broker.port) as wire:
                while not wire.ask(MetadataRequest(topics=[]), 9).brokers:
                    assert time.monotonic() < deadline, broker.log()
                    time.sleep(0.05)
        yield real, ours
