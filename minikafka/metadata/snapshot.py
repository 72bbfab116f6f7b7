"""The image as records: what a snapshot holds, in the order Kafka's own image writer has."""

from __future__ import annotations

from collections.abc import Iterator

from minikafka.metadata.image import Broker, Image, Partition
from protocol.kafka.messages import metadata as messages
from protocol.kafka.schema import Record


def records_of(image: Image) -> Iterator[Record]:
    """Records that, applied to an empty image, give this one."""
    levels = dict(image.features)
    first = levels.pop("metadata.version", None)
    if first is not None:  # before anything else: it says how to read the rest
        yield messages.FeatureLevelRecord(name="metadata.version", feature_level=first)
    for name, level in sorted(levels.items()):
        yield messages.FeatureLevelRecord(name=name, feature_level=level)
    for number in sorted(image.brokers):
        yield registration(image.brokers[number])
    for number in sorted(image.controllers):
        yield image.controllers[number]
    for topic in image.topics.values():
        yield messages.TopicRecord(name=topic.name, topic_id=topic.id)
        for partition in topic.partitions.values():
            yield placement(partition)
    for (kind, name), values in image.configs.items():
        for key, value in values.items():
            yield messages.ConfigRecord(resource_type=kind, resource_name=name, name=key, value=value)
    if image.producer_ids is not None:
        yield image.producer_ids
    yield from image.kept.values()


def registration(broker: Broker) -> messages.RegisterBrokerRecord:
    """The record of a broker as it stands now."""
    return messages.RegisterBrokerRecord(
        broker_id=broker.id,
        incarnation_id=broker.incarnation_id,
        broker_epoch=broker.epoch,
        end_points=[
            messages.RegisterBrokerRecordBrokerEndpoint(
                name=end.name, host=end.host, port=end.port, security_protocol=end.security_protocol
            )
            for end in broker.endpoints.values()
        ],
        features=[
            messages.BrokerFeature(name=name, min_supported_version=low, max_supported_version=high)
            for name, (low, high) in broker.features.items()
        ],
        rack=broker.rack,
        fenced=broker.is_fenced,
        in_controlled_shutdown=broker.in_controlled_shutdown,
        log_dirs=broker.log_dirs,
        cordoned_log_dirs=broker.cordoned_log_dirs,
    )


def placement(partition: Partition) -> messages.PartitionRecord:
    """The record of a partition as it stands now."""
    return messages.PartitionRecord(
        partition_id=partition.index,
        topic_id=partition.topic.id,
        replicas=partition.replicas,
        isr=partition.isr,
        removing_replicas=partition.removing_replicas,
        adding_replicas=partition.adding_replicas,
        leader=partition.leader,
        leader_recovery_state=partition.leader_recovery_state,
        leader_epoch=partition.leader_epoch,
        partition_epoch=partition.epoch,
        directories=partition.directories,
        # Absent and empty differ on the wire; Kafka leaves an empty one out.
        eligible_leader_replicas=partition.elr or None,
        last_known_elr=partition.last_known_elr or None,
    )
