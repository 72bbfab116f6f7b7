"""Plays of configuration."""

from __future__ import annotations

from protocol.kafka.messages.configs import DescribeConfigsRequest, DescribeConfigsResource
from protocol.kafka.messages.topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from tests.oracle.kafka.play import Stage, play

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SOME = ["num.partitions", "log.retention.hours", "log.retention.ms", "compression.type", "auto.create.topics.enable",
        "offsets.topic.replication.factor", "group.initial.rebalance.delay.ms", "no.such.config"]  # fmt: skip


@play(DescribeConfigsRequest)
def describe_configs(stage: Stage) -> None:
    topic = CreatableTopic(
        name=stage.topic("a"),
        num_partitions=1,
        replication_factor=1,
        assignments=[],
        configs=[CreatableTopicConfig(name="retention.ms", value="60000")],
    )
    stage.wire.ask(CreateTopicsRequest(topics=[topic], timeout_ms=10_000), 5)
    stage.await_topic(stage.topic("a"))

    def describe(label: str, *asked: tuple[int, str, list[str] | None], synonyms: bool = True) -> None:
        resources = [
            DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=keys)
            for kind, name, keys in asked
        ]
        request = DescribeConfigsRequest(resources=resources, include_synonyms=synonyms)
        stage.ask(label, request)

    a = stage.topic("a")
    describe("a topic", (TOPIC, a, None))
    describe("a topic without synonyms", (TOPIC, a, None), synonyms=False)
    describe("some of a topic", (TOPIC, a, ["retention.ms", "cleanup.policy", "no.such.config"]))
    describe("none of a topic", (TOPIC, a, []))
    describe("an unknown topic", (TOPIC, stage.topic("unknown"), None))
    describe("a bad topic", (TOPIC, "a/b", None))
    describe("some of the broker", (BROKER, "1", SOME))
    describe("the broker without synonyms", (BROKER, "1", SOME), synonyms=False)
    describe("the default broker", (BROKER, "", None))
    describe("another broker", (BROKER, "7", None))
    describe("no broker", (BROKER, "x", None))
    describe("a group", (GROUP, "g", None))
    describe("an unknown type", (99, "x", None))
    describe("several", (TOPIC, a, ["retention.ms"]), (BROKER, "1", ["num.partitions"]), (TOPIC, a, ["retention.ms"]))
    describe("nothing")
