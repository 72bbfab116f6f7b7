"""Plays: what a client asks, in order, of Apache Kafka 4.3.1 and of us; what the two answer must be the same.

    @play(MetadataRequest)
    def metadata(stage: Stage) -> None:                 run once for each version the request has
        stage.create("a", partitions=2)                 topics are named anew for each version
        stage.ask("by name", MetadataRequest(…))        the reply is kept to be compared, and returned
        stage.compare("what is on disk", value)         anything else that must be equal

What differs by nature is evened out: ids of topics, clusters and producers, the broker's port, instants. Lists that
Kafka fills from a hash map are sorted. Everything else, texts included, is compared as it is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from protocol.kafka.batch import iterate
from protocol.kafka.messages.produce import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)
from protocol.kafka.messages.topics import CreatableTopic, CreateTopicsRequest, MetadataRequest, MetadataRequestTopic
from protocol.kafka.schema import NO_UUID, Request
from tests.oracle.kafka.wire import Wire, plain
from tests.peers.kafka import Broker

READY_S = 60.0
LONG_AGO_MS = 1_500_000_000_000  # an instant after this is "now"
SORT_KEYS = ("name", "topic", "topic_id", "partition_index", "partition", "index", "api_key", "node_id", "broker_id")
INSTANT = re.compile(r"\[\d{13}, \d{13}\]")
PRODUCER = re.compile(r"[pP]roducer(Id)? \d+")
RETRIABLE = (3, 5, 7, 14, 15, 16)


@dataclass(frozen=True)
class Play:
    """A function of a stage, and the request whose every version it is played in."""

    act: Callable[[Stage], None]
    request: type[Request]
    versions: range

    @property
    def name(self) -> str:
        return self.act.__name__


PLAYS: list[Play] = []


def play(
    request: type[Request], low: int | None = None, high: int | None = None
) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    """Enter a play for all versions of a request, or for some."""

    def enter(act: Callable[[Stage], None]) -> Callable[[Stage], None]:
        first = request.lowest if low is None else low
        last = request.highest if high is None else high
        PLAYS.append(Play(act, request, range(first, last + 1)))
        return act

    return enter


class Stage:
    """One play on one broker."""

    def __init__(self, broker: Broker, version: int, prefix: str) -> None:
        self.broker = broker
        self.version = version
        self.prefix = prefix
        self.wire = Wire(broker.port)
        self.script: list[tuple[str, Any]] = []
        self.ids: dict[bytes, str] = {}
        self.producers: dict[int, int] = {}

    def close(self) -> None:
        self.wire.socket.close()

    # ---- asking

    def ask(self, label: str, request: Request, version: int | None = None) -> Any:
        """Send, keep what came back, and return it; None when the broker hung up."""
        version = self.version if version is None else version
        try:
            reply = self.wire.ask(request, version)
        except ConnectionError:
            self.hung_up(label)
            return None
        self.compare(label, plain(reply, version))
        return reply

    def send(self, label: str, request: Request) -> None:
        """Send what is not answered."""
        del label  # for the reader
        self.wire.send(request, self.version)
        self.wire.asked.pop()

    def hung_up(self, label: str) -> None:
        """Keep that the connection was closed, and open another."""
        self.script.append((label, "hung up"))
        self.wire.socket.close()
        self.wire = Wire(self.broker.port)

    def send_raw(self, label: str, data: bytes) -> None:
        """Send bytes of one's own making and keep what comes back until the broker hangs up, or one frame."""
        self.wire.socket.sendall(data)
        received = b""
        try:
            while chunk := self.wire.socket.recv(1 << 16):
                received += chunk
                if len(received) >= 4 and len(received) >= 4 + int.from_bytes(received[:4], "big"):
                    self.script.append((label, received))
                    return
        except ConnectionError:
            pass
        self.hung_up(label)

    def compare(self, label: str, value: Any) -> None:
        self.script.append((label, self.even(value)))

    def until(self, request: Request, version: int, settled: Callable[[Any], bool]) -> Any:
        """Ask, unrecorded, until the reply is settled."""
        deadline = time.monotonic() + READY_S
        while True:
            reply = self.wire.ask(request, version)
            if settled(reply):
                return reply
            assert time.monotonic() < deadline, reply
            time.sleep(0.02)

    # ---- topics and records

    def topic(self, name: str) -> str:
        """A topic's name in this play at this version."""
        return f"{self.prefix}-{self.version}-{name}"

    def create(self, name: str, partitions: int = 1) -> bytes:
        """Make a topic and wait until it has leaders; its id."""
        topic = CreatableTopic(name=self.topic(name), num_partitions=partitions, replication_factor=1, assignments=[])
        self.wire.ask(CreateTopicsRequest(topics=[topic], timeout_ms=10_000), 5)
        return self.await_topic(self.topic(name), partitions)

    def await_topic(self, topic: str, partitions: int = 1) -> bytes:
        """Wait until every partition of a topic has a leader; its id."""
        asked = MetadataRequest(topics=[MetadataRequestTopic(topic_id=NO_UUID, name=topic)])

        def settled(reply: Any) -> bool:
            found = reply.topics[0]
            leads = all(partition.error_code == 0 for partition in found.partitions)
            return found.error_code == 0 and leads and len(found.partitions) == partitions

        topic_id: bytes = self.until(asked, 12, settled).topics[0].topic_id
        self.ids[topic_id] = topic
        # Kafka tells the leader before the leader knows; it does once it answers for the ends of its logs.
        ends = [ListOffsetsPartition(partition_index=index, timestamp=-1) for index in range(partitions)]
        look = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=ends)])
        self.until(look, 2, lambda reply: not any(one.error_code for one in reply.topics[0].partitions))
        return topic_id

    def produce(self, name: str, *batches: bytes, partition: int = 0) -> None:
        """Append batches, unrecorded, each by itself."""
        for batch in batches:
            data = PartitionProduceData(index=partition, records=batch)
            topics = [TopicProduceData(name=self.topic(name), partition_data=[data])]

            def settled(reply: Any) -> bool:
                return reply.responses[0].partition_responses[0].error_code not in RETRIABLE

            reply = self.until(ProduceRequest(acks=-1, timeout_ms=5000, topic_data=topics), 9, settled)
            assert reply.responses[0].partition_responses[0].error_code == 0, reply

    # ---- evening out

    def even(self, value: Any, key: str = "") -> Any:
        """A reply without what cannot be equal."""
        if isinstance(value, dict):
            return {name: self.even(each, name) for name, each in value.items()}
        if isinstance(value, list):
            lines = [self.even(each, key) for each in value]
            if lines and isinstance(lines[0], dict):
                lines.sort(key=lambda line: [str(line.get(name)) for name in SORT_KEYS])
            return lines
        if key == "records" and value:
            # Kafka fills what room there is with the beginning of the next batch; we send whole ones only.
            return b"".join(bytes(batch) for _, batch in iterate(value))
        if isinstance(value, bytes):
            return f"id of {self.ids[value]}" if value in self.ids else value
        if key == "cluster_id" and value:
            return "the cluster"
        if key == "port" and value == self.broker.port:
            return "the port"
        if key == "producer_id" and value >= 0:
            return f"producer {self.producers.setdefault(value, len(self.producers))}"
        if key == "finalized_features_epoch" and value >= 0:
            return "an epoch"
        if key == "log_append_time_ms" and value > LONG_AGO_MS:
            return "now"
        if isinstance(value, str):
            text = INSTANT.sub("[now]", value.replace(f":{self.broker.port}", ":PORT"))
            return PRODUCER.sub("producer N", text)
        return value


# What we are behind in by intention: of these lists ours may be a part, but what is in it must be the same.
PARTS = {"api_keys": "api_key", "supported_features": "name", "finalized_features": "name"}

# (end of a path, what Kafka says, what we say): accepted, with the reason.
KNOWN = [
    # On a codec that is none Kafka stumbles after it has asked the log; we refuse the batch before.
    (r"unknown codec\..*\.log_start_offset", 0, -1),
    # We write and read the metadata of the present version only; Kafka also speaks that of its forebears.
    (r"\.supported_features\[\d\]\.min_version", 7, 30),
]


def differences(real: Any, ours: Any, path: str = "") -> Iterator[str]:
    """Where two evened-out values differ, one line a place."""
    if isinstance(real, dict) and isinstance(ours, dict):
        for name in sorted(real.keys() | ours.keys()):
            left, right = real.get(name, "nothing"), ours.get(name, "nothing")
            if name in PARTS and isinstance(left, list) and isinstance(right, list):
                named = {one[PARTS[name]] for one in right}
                left = [one for one in left if one[PARTS[name]] in named]
            yield from differences(left, right, f"{path}.{name}")
    elif any(re.search(end + "$", path) and (real, ours) == (kafka, we) for end, kafka, we in KNOWN):
        return
    elif isinstance(real, list) and isinstance(ours, list) and len(real) == len(ours):
        for at, (left, right) in enumerate(zip(real, ours, strict=True)):
            yield from differences(left, right, f"{path}[{at}]")
    elif isinstance(real, list) and isinstance(ours, list):
        yield f"{path}: Kafka says {len(real)}, we say {len(ours)}: {_parted(real, ours)}"
    elif real != ours:
        yield f"{path}: Kafka says {real!r}, we say {ours!r}"


def _parted(real: list[Any], ours: list[Any]) -> str:
    """What only one of two lists has."""
    missing = [one for one in real if one not in ours]
    surplus = [one for one in ours if one not in real]
    return f"missing {missing}, surplus {surplus}"[:600]


def perform(one: Play, version: int, broker: Broker) -> list[tuple[str, Any]]:
    """The script of a play on a broker."""
    stage = Stage(broker, version, one.name)
    try:
        one.act(stage)
    finally:
        stage.close()
    return stage.script


def contrast(one: Play, version: int, stages: tuple[Broker, Broker]) -> list[str]:
    """Play to both and tell where their answers part."""
    real, ours = (perform(one, version, broker) for broker in stages)
    found = []
    for at, (label, said) in enumerate(real):
        if at >= len(ours) or ours[at][0] != label:
            found.append(f"{label}: we are not there: {ours[at:][:1]}")
            break
        found += differences(said, ours[at][1], label)
    return found
