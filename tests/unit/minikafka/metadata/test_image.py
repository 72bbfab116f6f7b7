"""The agreed state: records in, image and delta out, and back into the records of a snapshot."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from minikafka.metadata.image import Delta, Image, MetadataFault
from minikafka.metadata.records import bootstrap_records, from_value, to_value
from minikafka.metadata.snapshot import records_of
from protocol.kafka.errors import CorruptMessage
from protocol.kafka.messages import metadata as m
from protocol.kafka.schema import Record

TOPIC_ID = bytes(range(16))
OTHER_ID = bytes(range(1, 17))
DIRECTORY = b"d" * 16

# Values taken from the metadata log of Apache Kafka 4.3.1.
KAFKA_WROTE = {
    "01170001001212426f6f747374726170207265636f726473": m.BeginTransactionRecord(name="Bootstrap records"),
    "010c00116d657461646174612e76657273696f6e001e00": m.FeatureLevelRecord(name="metadata.version", feature_level=30),
    "0104000401146d696e2e696e73796e632e7265706c69636173023100": m.ConfigRecord(
        resource_type=4, resource_name="", name="min.insync.replicas", value="1"
    ),
    "01180000": m.EndTransactionRecord(),
    "01110300000002000000000000000c01030101": m.BrokerRegistrationChangeRecord(
        broker_id=2, broker_epoch=12, cordoned_log_dirs=[]
    ),
    "01110000000003000000000000000d010001ff": m.BrokerRegistrationChangeRecord(broker_id=3, broker_epoch=13, fenced=-1),
    "01110100000002000000000000000c01010101": m.BrokerRegistrationChangeRecord(
        broker_id=2, broker_epoch=12, in_controlled_shutdown=1
    ),
    "0102000274fc898d42db434278b6325189f1b9e26e00": m.TopicRecord(
        name="t", topic_id=bytes.fromhex("fc898d42db434278b6325189f1b9e26e")
    ),
    "010f0000000001000000000000000f00000000000003e800": m.ProducerIdsRecord(
        broker_id=1, broker_epoch=15, next_producer_id=1000
    ),
    "01050200000000fc898d42db434278b6325189f1b9e26e010009030000000100000003": m.PartitionChangeRecord(
        partition_id=0, topic_id=bytes.fromhex("fc898d42db434278b6325189f1b9e26e"), isr=[1, 3]
    ),
    "01050200000000e9f958cb5d1d4ab8a50638fbea37e425040001010104ffffffff0605020000000c0705020000000c": (
        m.PartitionChangeRecord(
            partition_id=0,
            topic_id=bytes.fromhex("e9f958cb5d1d4ab8a50638fbea37e425"),
            isr=[],
            leader=-1,
            eligible_leader_replicas=[12],
            last_known_elr=[12],
        )
    ),
    "010900fc898d42db434278b6325189f1b9e26e00": m.RemoveTopicRecord(
        topic_id=bytes.fromhex("fc898d42db434278b6325189f1b9e26e")
    ),
    "01140000": m.NoOpRecord(),
}


@pytest.mark.parametrize("value", KAFKA_WROTE, ids=lambda value: value[:12])
def test_records_have_kafkas_bytes(value: str) -> None:
    """Kafka's tools and brokers could not read our metadata log, or we not theirs."""
    record = KAFKA_WROTE[value]
    assert to_value(record).hex() == value
    assert from_value(bytes.fromhex(value)) == record


@pytest.mark.parametrize("value", ["", "01", "0102", "020c00", "01020900", "01ffff00"])
def test_damaged_values_are_refused(value: str) -> None:
    """A torn metadata log would be taken for state."""
    with pytest.raises(CorruptMessage):
        from_value(bytes.fromhex(value))


def test_a_kind_to_come_is_skipped() -> None:
    """A log written by a newer Kafka at our metadata version could not be opened."""
    assert from_value(bytes.fromhex("017e00")) is None


def broker(number: int, epoch: int = 5, fenced: bool = True) -> m.RegisterBrokerRecord:
    end = m.RegisterBrokerRecordBrokerEndpoint(name="PLAINTEXT", host="h", port=9092, security_protocol=0)
    feature = m.BrokerFeature(name="metadata.version", min_supported_version=30, max_supported_version=30)
    return m.RegisterBrokerRecord(
        broker_id=number,
        incarnation_id=bytes([number]) * 16,
        broker_epoch=epoch,
        end_points=[end],
        features=[feature],
        rack="r",
        fenced=fenced,
        log_dirs=[DIRECTORY],
    )


def partition(index: int, topic_id: bytes = TOPIC_ID, leader: int = 1, epoch: int = 0) -> m.PartitionRecord:
    return m.PartitionRecord(
        partition_id=index,
        topic_id=topic_id,
        replicas=[1],
        isr=[1],
        removing_replicas=[],
        adding_replicas=[],
        leader=leader,
        leader_epoch=epoch,
        partition_epoch=epoch,
        directories=[DIRECTORY],
    )


def built(records: Iterable[Record], image: Image | None = None) -> tuple[Image, Delta]:
    image, delta = image or Image(), Delta()
    for record in records:
        image.apply(record, delta)
    return image, delta


SOMETHING: list[Record] = [
    *bootstrap_records(),
    broker(1),
    m.BrokerRegistrationChangeRecord(broker_id=1, broker_epoch=5, cordoned_log_dirs=[]),
    m.BrokerRegistrationChangeRecord(broker_id=1, broker_epoch=5, fenced=-1),
    m.TopicRecord(name="t", topic_id=TOPIC_ID),
    m.ConfigRecord(resource_type=2, resource_name="t", name="retention.ms", value="7"),
    partition(0),
    partition(1),
    m.PartitionChangeRecord(partition_id=1, topic_id=TOPIC_ID, leader=1),
    m.ProducerIdsRecord(broker_id=1, broker_epoch=5, next_producer_id=2000),
    m.UserScramCredentialRecord(name="u", mechanism=1, salt=b"s", stored_key=b"k", server_key=b"v", iterations=4096),
    m.RegisterControllerRecord(
        controller_id=1, incarnation_id=bytes(16), zk_migration_ready=False, end_points=[], features=[]
    ),
]


def test_the_image_is_what_the_records_add_up_to() -> None:
    """Clients would be told of topics, leaders or brokers that are not there."""
    image, delta = built(SOMETHING)
    assert image.features == {"metadata.version": 30, "eligible.leader.replicas.version": 1}
    assert image.brokers[1].is_usable
    assert image.config(2, "t") == {"retention.ms": "7"}
    assert image.config(4, "") == {"min.insync.replicas": "1"}
    topic = image.topics["t"]
    assert image.topics_by_id[TOPIC_ID] is topic
    assert [(one.leader_epoch, one.epoch) for one in topic.partitions.values()] == [(0, 0), (1, 1)]
    assert image.next_producer_id == 2000
    assert list(delta.created) == ["t"]
    assert list(delta.partitions) == [("t", 0), ("t", 1)]
    assert list(delta.configs) == [(4, ""), (2, "t")]


def test_a_snapshot_gives_the_same_image() -> None:
    """A restart from a snapshot would forget or invent something."""
    image, _ = built(SOMETHING)
    again, _ = built([found for record in records_of(image) if (found := from_value(to_value(record))) is not None])
    assert list(records_of(again)) == list(records_of(image))
    assert again.topics["t"].partitions[1].leader_epoch == 1
    assert len(again.kept) == 1


def test_a_topic_made_again_has_a_new_id() -> None:
    """Whoever holds partitions of the old topic would not let go of them."""
    image, _ = built(SOMETHING)
    _, delta = built(
        [
            m.RemoveTopicRecord(topic_id=TOPIC_ID),
            m.TopicRecord(name="t", topic_id=OTHER_ID),
            partition(0, OTHER_ID),
        ],
        image,
    )
    assert [one.name for one in delta.deleted.values()] == ["t"]
    assert delta.created["t"].id == OTHER_ID
    assert list(delta.partitions) == [("t", 0)]
    assert image.config(2, "t") == {}, "configs go with their topic"


def test_what_a_transaction_did_not_end_does_not_count() -> None:
    """Half a bootstrap would be taken for a cluster."""
    topic = m.TopicRecord(name="t", topic_id=TOPIC_ID)
    image, delta = built([m.BeginTransactionRecord(name=None), topic])
    assert not image.topics
    built([m.AbortTransactionRecord(reason=None)], image)
    assert not image.topics
    image, delta = built([m.BeginTransactionRecord(name=None), topic, m.EndTransactionRecord()])
    assert list(delta.created) == ["t"]
    assert list(image.topics) == ["t"]


@pytest.mark.parametrize(
    "record",
    [
        partition(0, OTHER_ID),
        m.PartitionChangeRecord(partition_id=9, topic_id=TOPIC_ID, leader=1),
        m.TopicRecord(name="t", topic_id=OTHER_ID),
        m.RemoveTopicRecord(topic_id=OTHER_ID),
        m.BrokerRegistrationChangeRecord(broker_id=1, broker_epoch=4, fenced=1),
        m.UnregisterBrokerRecord(broker_id=9, broker_epoch=1),
    ],
    ids=lambda record: type(record).__name__,
)
def test_contradictions_are_faults(record: Record) -> None:
    """Two brokers would go on with different ideas of the cluster."""
    image, _ = built(SOMETHING)
    with pytest.raises(MetadataFault):
        built([record], image)
