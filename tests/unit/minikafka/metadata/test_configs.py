"""Configs: types and rules in Kafka's words, and where a value comes from."""

from __future__ import annotations

import pytest

from minikafka import options
from minikafka.metadata.configs import Configs, Source, Tables, read_table
from minikafka.metadata.image import Delta, Image
from protocol.kafka.errors import InvalidConfig
from protocol.kafka.messages.metadata import ConfigRecord, TopicRecord

TABLES = Tables(read_table(options.BROKER), read_table(options.TOPIC), read_table(options.GROUP))


def configs(*records: ConfigRecord, **static: str) -> Configs:
    image = Image()
    image.apply(TopicRecord(name="t", topic_id=bytes(16)), Delta())
    for record in records:
        image.apply(record, Delta())
    return Configs(TABLES, {name.replace("_", "."): value for name, value in static.items()}, image, 1)


def setting(kind: int, resource: str, name: str, value: str) -> ConfigRecord:
    return ConfigRecord(resource_type=kind, resource_name=resource, name=name, value=value)


REFUSED = {
    ("retention.ms", "abc"): "Invalid value abc for configuration retention.ms: Not a number of type LONG",
    ("retention.ms", "-2"): "Invalid value -2 for configuration retention.ms: Value must be at least -1",
    ("cleanup.policy", "foo"): (
        "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete"
    ),
    ("segment.bytes", "1.5"): "Invalid value 1.5 for configuration segment.bytes: Not a number of type INT",
    ("segment.bytes", "10"): "Invalid value 10 for configuration segment.bytes: Value must be at least 1048576",
    ("max.message.bytes", "99999999999"): (
        "Invalid value 99999999999 for configuration max.message.bytes: Not a number of type INT"
    ),
    ("max.message.bytes", ""): "Invalid value  for configuration max.message.bytes: Not a number of type INT",
    ("preallocate", "maybe"): (
        "Invalid value maybe for configuration preallocate: Expected value to be either true or false"
    ),
    ("min.cleanable.dirty.ratio", "2"): (
        "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"
    ),
    ("compression.gzip.level", "77"): (
        "Invalid value 77 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"
    ),
    ("nope", "1"): "Unknown topic config name: nope",
    ("follower.replication.throttled.replicas", "zz"): (
        "Invalid value [zz] for configuration follower.replication.throttled.replicas: "
        "follower.replication.throttled.replicas must be the literal '*' or a list of replicas in the following "
        "format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    ),
    ("remote.storage.enable", "true"): (
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."
    ),
}


@pytest.mark.parametrize("given", REFUSED, ids=lambda given: f"{given[0]}={given[1]}")
def test_bad_topic_configs_are_refused_in_kafkas_words(given: tuple[str, str]) -> None:
    """Admin tools would show another reason, or none."""
    with pytest.raises(InvalidConfig) as refused:
        configs().check_topic(dict([given]))
    assert str(refused.value) == REFUSED[given]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.ms", " 12 "),
        ("cleanup.policy", ""),
        ("cleanup.policy", "compact, delete"),
        ("unclean.leader.election.enable", "TRUE"),
        ("leader.replication.throttled.replicas", "0:1,1:2"),
        ("leader.replication.throttled.replicas", "*"),
        ("internal.segment.bytes", "100"),
        ("compression.gzip.level", "-1"),
    ],
)
def test_what_kafka_takes_is_taken(name: str, value: str) -> None:
    """A topic that Kafka creates could not be created here."""
    configs().check_topic({name: value})


def test_two_configs_may_contradict_each_other() -> None:
    """A topic could never be compacted, and nobody would be told."""
    with pytest.raises(InvalidConfig, match=r"min.compaction.lag.ms \(10\) > max.compaction.lag.ms \(5\)"):
        configs().check_topic({"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"})


def test_the_strongest_place_wins() -> None:
    """A setting would be overruled by a weaker one, or described with the wrong source."""
    name, own = "log.retention.ms", "retention.ms"
    assert configs().topic("t")[own] == 604_800_000
    assert configs(log_retention_hours="1").topic("t")[own] == 3_600_000
    assert configs(log_retention_hours="1", log_retention_minutes="1").topic("t")[own] == 60_000
    cluster = setting(4, "", name, "5")
    assert configs(cluster, log_retention_hours="1").topic("t")[own] == 5
    broker = setting(4, "1", name, "6")
    assert configs(cluster, broker).topic("t")[own] == 6
    assert configs(cluster, setting(4, "2", name, "6")).topic("t")[own] == 5, "another broker's own setting"
    topic = configs(cluster, broker, setting(2, "t", own, "7"))
    assert topic.topic("t")[own] == 7
    entry = next(one for one in topic.describe_topic("t") if one.option.name == own)
    assert [(one.name, one.value, one.source) for one in entry.synonyms] == [
        (own, "7", Source.DYNAMIC_TOPIC),
        (name, "6", Source.DYNAMIC_BROKER),
        (name, "5", Source.DYNAMIC_DEFAULT_BROKER),
        ("log.retention.hours", "168", Source.DEFAULT),
    ]
    assert entry.source is Source.DYNAMIC_TOPIC


def test_a_change_is_seen() -> None:
    """A topic would keep the settings it was first asked for."""
    held = configs()
    assert held.topic("t")["max.message.bytes"] == 1_048_588
    held.image.apply(setting(2, "t", "max.message.bytes", "9"), Delta())
    held.forget(2, "t")
    assert held.topic("t")["max.message.bytes"] == 9
    held.image.apply(setting(4, "", "log.segment.bytes", "2097152"), Delta())
    held.forget(4, "")
    assert held.topic("t")["segment.bytes"] == 2_097_152


def test_secrets_are_not_told() -> None:
    """Passwords would leave through DescribeConfigs."""
    entries = {one.option.name: one for one in configs(ssl_key_password="sesame").describe_broker()}
    assert entries["ssl.key.password"].value is None
    assert [one.value for one in entries["ssl.key.password"].synonyms] == [None]


def test_defaults_keep_their_own_rules() -> None:
    """A typo in the tables would refuse what nobody set."""
    for table in (TABLES.broker, TABLES.topic, TABLES.group):
        for option in table.values():
            if option.default and option.name != "controller.quorum.voters":
                option.parse(option.default)
