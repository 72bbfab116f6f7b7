"""Topics and configs, asked in every version of Apache Kafka 4.3.1 and of us: the answers must be equal.

What differs by nature is evened out: ids become the names of their topics, addresses and the cluster's id become words,
and lists that Kafka fills from a hash map are sorted.
"""

from __future__ import annotations

import difflib
import pprint
import time
from collections.abc import Iterator
from typing import Any

import pytest

from protocol.kafka.messages import configs as c
from protocol.kafka.messages import topics as t
from protocol.kafka.schema import NO_UUID, Request
from tests.oracle.kafka.wire import Wire, plain
from tests.peers.kafka import Broker

pytestmark = pytest.mark.peer

READY_S = 60.0
STRANGE_ID = b"nobody has this!"

# What the two were told apart, or what belongs to the machine: not compared.
OWN_CONFIGS = {
    "log.dirs", "log.dir", "listeners", "advertised.listeners", "controller.quorum.bootstrap.servers",
    "listener.security.protocol.map", "controller.listener.names", "process.roles",
}  # fmt: skip


class Teller:
    """Asks one broker and evens out what it says."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.wire = Wire(broker.port)
        self.ids: dict[bytes, str] = {NO_UUID: "none", STRANGE_ID: "strange"}

    def ask(self, request: Request, version: int) -> Any:
        return self.even(plain(self.wire.ask(request, version), version))

    def even(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            if value.get("topic_id") not in (None, *self.ids) and value.get("name"):
                self.ids[value["topic_id"]] = value["name"]
            return {key: self.even(one, key) for key, one in value.items()}
        if isinstance(value, list):
            evened = [self.even(one) for one in value]
            return sorted(evened, key=repr) if name in ("topics", "configs", "responses", "results") else evened
        if isinstance(value, bytes) and len(value) == 16:
            return self.ids.get(value, "unknown id")
        if name == "port":
            return "its port" if value == self.broker.port else value
        if name == "cluster_id":
            return "its cluster"
        return value

    def topic_id(self, name: str) -> bytes:
        return next(key for key, known in self.ids.items() if known == name)

    def settle(self, name: str, partitions: int) -> None:
        """Wait until the broker's view has the topic with so many led partitions; 0: until it is gone."""
        deadline = time.monotonic() + READY_S
        request = t.MetadataRequest(topics=[t.MetadataRequestTopic(name=name)], allow_auto_topic_creation=False)
        while time.monotonic() < deadline:
            topic = self.wire.ask(request, 12).topics[0]
            led = [one for one in topic.partitions if one.error_code == 0]
            if len(led) == partitions and (partitions > 0) == (topic.error_code == 0):
                if topic.topic_id != NO_UUID:
                    self.ids[topic.topic_id] = name
                return
            time.sleep(0.02)
        pytest.fail(f"{self.broker.kind}: {name} did not come to {partitions} partitions")


@pytest.fixture
def both(stages: tuple[Broker, Broker]) -> Iterator[tuple[Teller, Teller]]:
    pair = Teller(stages[0]), Teller(stages[1])
    yield pair
    for one in pair:
        one.wire.socket.close()


def compare(both: tuple[Teller, Teller], request: Request, version: int) -> Any:
    real, ours = (one.ask(request, version) for one in both)
    assert ours == real, f"{type(request).__name__} v{version}\n{difference(real, ours)}"
    return real


def difference(real: Any, ours: Any) -> str:
    """The lines in which two answers differ."""
    texts = (pprint.pformat(one, width=240, compact=False).splitlines() for one in (real, ours))
    return "\n".join(line for line in difflib.unified_diff(*texts, "real", "ours", lineterm="", n=1))


def creatable(
    name: str, count: int = 1, factor: int = 1, hand: dict[int, list[int]] | None = None, **values: str | None
) -> t.CreatableTopic:
    return t.CreatableTopic(
        name=name, num_partitions=count, replication_factor=factor,
        assignments=[t.CreatableReplicaAssignment(partition_index=index, broker_ids=list(ids))
                     for index, ids in (hand or {}).items()],
        configs=[t.CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in values.items()],
    )  # fmt: skip


REFUSED = [
    creatable("bad name"), creatable(""), creatable("."), creatable(".."), creatable("x" * 250), creatable("ü"),
    creatable("__cluster_metadata"), creatable("few", 0), creatable("fewer", -2), creatable("thin", 1, 0),
    creatable("thinner", 1, -2), creatable("thick", 1, 3), creatable("twice"), creatable("twice"),
    creatable("odd.name"),
    creatable("unknown", nothing_such="1"), creatable("null", retention_ms=None),
    creatable("text", retention_ms="soon"), creatable("low", retention_ms="-2"), creatable("tiny", segment_bytes="10"),
    creatable("policy", cleanup_policy="burn"), creatable("zip", compression_type="zip"),
    creatable("bool", preallocate="maybe"), creatable("ratio", min_cleanable_dirty_ratio="2"),
    creatable("gz", compression_gzip_level="77"), creatable("isr", min_insync_replicas="0"),
    creatable("lag", min_compaction_lag_ms="10", max_compaction_lag_ms="5"),
    creatable("throttle", follower_replication_throttled_replicas="zz"),
    creatable("remote", remote_storage_enable="true"), creatable("huge", max_message_bytes="99999999999"),
    creatable("hand-count", 2, -1, {0: [1]}), creatable("hand-factor", -1, 1, {0: [1]}),
    creatable("hand-nobody", -1, -1, {0: [7]}), creatable("hand-twice", -1, -1, {0: [1, 1]}),
    creatable("hand-empty", -1, -1, {0: []}), creatable("hand-gap", -1, -1, {1: [1]}),
]  # fmt: skip


@pytest.mark.parametrize("version", range(2, 8))
def test_topics_are_created_and_refused_alike(both: tuple[Teller, Teller], version: int) -> None:
    """A client would be told another error, or another text, or other configs, than Kafka tells it."""
    name = f"made-{version}"
    compare(both, t.CreateTopicsRequest(topics=[creatable("odd_name")], timeout_ms=5000), version)
    wanted = [*REFUSED, creatable(name, 3, 1, retention_ms=" 1000 ", cleanup_policy="compact,delete")]
    if version >= 4:
        wanted.append(creatable(f"default-{version}", -1, -1))
    dry = t.CreateTopicsRequest(topics=[creatable(f"dry-{version}", 2)], timeout_ms=5000, validate_only=True)
    compare(both, dry, version)
    compare(both, t.CreateTopicsRequest(topics=wanted, timeout_ms=5000), version)
    compare(both, t.CreateTopicsRequest(topics=[creatable(name)], timeout_ms=5000), version)
    for one in both:
        one.settle(name, 3)
    both_hands = creatable(f"hand-{version}", -1, -1, {0: [1], 1: [1]})
    compare(both, t.CreateTopicsRequest(topics=[both_hands], timeout_ms=5000), version)


@pytest.mark.parametrize("version", range(14))
def test_metadata_is_told_alike(both: tuple[Teller, Teller], version: int) -> None:
    """A client would not find a leader, or not learn why there is none."""
    for one in both:
        one.wire.ask(t.CreateTopicsRequest(topics=[creatable("seen", 2)], timeout_ms=5000), 5)
        one.settle("seen", 2)
    names = ["seen", "absent", "bad name", "__consumer_offsets"]
    request = t.MetadataRequest(
        topics=[t.MetadataRequestTopic(name=name) for name in names],
        allow_auto_topic_creation=False,
        include_cluster_authorized_operations=True,
        include_topic_authorized_operations=True,
    )
    if version < 4:  # there every topic asked for is made; only what is there or cannot be is asked for
        request.topics = [t.MetadataRequestTopic(name=name) for name in ("seen", "bad name")]
    compare(both, request, version)
    if version:
        compare(both, t.MetadataRequest(topics=[]), version)
    if version >= 12:
        for name in ("seen", None):
            replies = []
            for one in both:
                asked = [t.MetadataRequestTopic(name=name, topic_id=key) for key in (one.topic_id("seen"), STRANGE_ID)]
                replies.append(one.ask(t.MetadataRequest(topics=asked, allow_auto_topic_creation=False), version))
            assert replies[1] == replies[0], difference(*replies)
    if version in (10, 11):
        compare(both, t.MetadataRequest(topics=[t.MetadataRequestTopic(name=None, topic_id=STRANGE_ID)]), version)


@pytest.mark.parametrize("version", [1, 4, 9, 12])
def test_a_topic_asked_for_is_made(both: tuple[Teller, Teller], version: int) -> None:
    """A producer to a new topic would never find it."""
    name = f"wanted-{version}"
    request = t.MetadataRequest(topics=[t.MetadataRequestTopic(name=name)], allow_auto_topic_creation=True)
    compare(both, request, version)
    for one in both:
        one.settle(name, 2)
    compare(both, request, version)


@pytest.mark.parametrize("version", range(4))
def test_partitions_are_added_alike(both: tuple[Teller, Teller], version: int) -> None:
    """A topic would not grow, or would grow where Kafka refuses."""
    name = f"grows-{version}"
    for one in both:
        one.wire.ask(t.CreateTopicsRequest(topics=[creatable(name, 2)], timeout_ms=5000), 5)
        one.settle(name, 2)

    def grow(count: int, hand: list[list[int]] | None = None, name: str = name, dry: bool = False) -> Request:
        assignments = None if hand is None else [t.CreatePartitionsAssignment(broker_ids=ids) for ids in hand]
        topic = t.CreatePartitionsTopic(name=name, count=count, assignments=assignments)
        return t.CreatePartitionsRequest(topics=[topic], timeout_ms=5000, validate_only=dry)

    requests = [
        grow(2), grow(1), grow(0), grow(-1), grow(4, name="absent"), grow(4, [[1]]), grow(3, [[9]]), grow(3, [[]]),
        grow(3, [[1, 1]]), grow(4, [[1], []]), grow(9, dry=True), grow(3, [[1]]),
    ]  # fmt: skip
    for request in requests:
        compare(both, request, version)
    twice = t.CreatePartitionsTopic(name=name, count=9, assignments=None)
    compare(both, t.CreatePartitionsRequest(topics=[twice, twice], timeout_ms=5000, validate_only=False), version)
    compare(both, grow(5), version)
    for one in both:
        one.settle(name, 5)


@pytest.mark.parametrize("version", range(1, 7))
def test_topics_are_deleted_alike(both: tuple[Teller, Teller], version: int) -> None:
    """A topic would stay, or somebody else's would go."""
    names = [f"goes-{version}", f"goes-by-id-{version}"]
    for one in both:
        one.wire.ask(t.CreateTopicsRequest(topics=[creatable(name) for name in names], timeout_ms=5000), 5)
        for name in names:
            one.settle(name, 1)
    if version < 6:
        compare(both, t.DeleteTopicsRequest(topic_names=["absent", "bad name", names[0], "twice", "twice"],
                                            timeout_ms=5000), version)  # fmt: skip
    else:
        replies = []
        for one in both:
            ids = [one.topic_id(names[1]), STRANGE_ID]
            asked = [t.DeleteTopicState(name=name, topic_id=NO_UUID) for name in (names[0], "absent", None)]
            asked += [t.DeleteTopicState(name=None, topic_id=key) for key in (*ids, ids[1])]
            asked.append(t.DeleteTopicState(name="both", topic_id=STRANGE_ID))
            replies.append(one.ask(t.DeleteTopicsRequest(topics=asked, timeout_ms=5000), version))
        assert replies[1] == replies[0], difference(*replies)
    for one in both:
        one.settle(names[0], 0)


def test_partitions_are_described_in_pages_alike(both: tuple[Teller, Teller]) -> None:
    """An admin tool would miss partitions between two pages."""
    for one in both:
        topics = [creatable("page-a", 3), creatable("page-b", 4)]
        one.wire.ask(t.CreateTopicsRequest(topics=topics, timeout_ms=5000), 5)
        one.settle("page-a", 3)
        one.settle("page-b", 4)
    asked = [t.DescribeTopicPartitionsTopicRequest(name=name) for name in ("page-b", "page-a", "absent", "bad name")]
    cursors = [
        None,
        *(
            t.Cursor(topic_name=name, partition_index=at)
            for name, at in (("page-a", 1), ("page-b", 0), ("page-b", 3), ("page-b", 9), ("page-a", -1), ("other", 0))
        ),
    ]
    for limit in (2000, 1, 3, 4, 7, 0, -1):
        for cursor in cursors:
            request = t.DescribeTopicPartitionsRequest(topics=asked, response_partition_limit=limit, cursor=cursor)
            compare(both, request, 0)


@pytest.mark.parametrize("version", range(1, 5))
def test_configs_are_described_alike(both: tuple[Teller, Teller], version: int) -> None:
    """Admin tools read, change and write configs: one that is missing or wrong would be changed by them."""
    for one in both:
        topic = creatable("told", 1, 1, retention_bytes="77", compression_type="lz4")
        one.wire.ask(t.CreateTopicsRequest(topics=[topic], timeout_ms=5000), 5)
        one.settle("told", 1)
    resources = [
        (2, "told"), (2, "absent"), (2, "bad name"), (4, "1"), (4, ""), (4, "2"), (4, "x"), (8, ""), (8, "2"),
        (32, "g"), (32, ""), (16, ""),
    ]  # fmt: skip
    unknown = c.DescribeConfigsResource(resource_type=99, resource_name="x", configuration_keys=None)
    told = c.DescribeConfigsResource(resource_type=2, resource_name="told", configuration_keys=None)
    compare(both, c.DescribeConfigsRequest(resources=[told, unknown]), version)
    for with_synonyms in (False, True):
        request = c.DescribeConfigsRequest(
            resources=[
                c.DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=None)
                for kind, name in resources
            ],
            include_synonyms=with_synonyms,
        )
        real, ours = (sorted_configs(one.ask(request, version)) for one in both)
        assert ours == real, difference(real, ours)
    keys = ["retention.ms", "nothing.such"]
    chosen = c.DescribeConfigsResource(resource_type=2, resource_name="told", configuration_keys=keys)
    compare(both, c.DescribeConfigsRequest(resources=[chosen], include_synonyms=True), version)


def sorted_configs(reply: dict[str, Any]) -> list[Any]:
    """The answer by resource and config, without what the two were told apart."""
    for result in reply["results"]:
        result["configs"] = [one for one in result["configs"] if one["name"] not in OWN_CONFIGS]
    return sorted(reply["results"], key=repr)


@pytest.mark.parametrize(
    "body",
    ["0000 0002", "0003 007f", "1234 0000", "0012 ffff", "0001 0003", "0008 0001", "ffff 0000", "0034 0000"],
)
def test_what_is_not_served_closes_the_connection(stages: tuple[Broker, Broker], body: str) -> None:
    """A client would wait for ever for an answer nobody can give."""
    for broker in stages:
        with Wire(broker.port) as wire:
            frame = bytes.fromhex(body.replace(" ", "") + "00000007" + "ffff" + "00" * 8)
            wire.socket.sendall(len(frame).to_bytes(4) + frame)
            answered = b""
            try:
                answered = wire.socket.recv(1)
            except ConnectionResetError:
                pass
            assert not answered or body.startswith("0012"), broker.kind
