"""The state the cluster has agreed on: what the committed records of __cluster_metadata add up to.

Laws
1. The image changes only through `apply`, record by record, in the order of the log; the same records give the same
   image on every broker.
2. There is one image object per broker for its whole life: whoever holds it sees the present. It changes between two
   callbacks of the loop, never while a handler runs.
3. `apply` tells the Delta what it touched, so that the floors above need not compare images.
4. Records of a kind that nothing here interprets yet are kept and written into snapshots again: a directory of
   Kafka's goes through this broker without loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from protocol.kafka.messages import metadata as messages
from protocol.kafka.schema import Record

NO_LEADER = -1
LEADER_UNCHANGED = -2


class Endpoint:
    """Where a node listens: one named listener."""

    __slots__ = ("host", "name", "port", "security_protocol")

    def __init__(self, name: str, host: str, port: int, security_protocol: int) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.security_protocol = security_protocol


class Broker:
    """One registered broker. `epoch` is the offset its registration was written at."""

    __slots__ = (
        "cordoned_log_dirs",
        "endpoints",
        "epoch",
        "features",
        "id",
        "in_controlled_shutdown",
        "incarnation_id",
        "is_fenced",
        "log_dirs",
        "rack",
    )

    def __init__(self, record: messages.RegisterBrokerRecord) -> None:
        self.id = record.broker_id
        self.epoch = record.broker_epoch
        self.incarnation_id = record.incarnation_id
        self.endpoints = {
            end.name: Endpoint(end.name, end.host, end.port, end.security_protocol) for end in record.end_points
        }
        self.features = {
            item.name: (item.min_supported_version, item.max_supported_version) for item in record.features
        }
        self.rack = record.rack
        self.is_fenced = record.fenced
        self.in_controlled_shutdown = record.in_controlled_shutdown
        self.log_dirs = list(record.log_dirs)
        self.cordoned_log_dirs = record.cordoned_log_dirs

    @property
    def is_usable(self) -> bool:
        """Whether it may lead partitions and be given new ones."""
        return not self.is_fenced and not self.in_controlled_shutdown


class Partition:
    """What is agreed about one partition. `epoch` grows with every change, `leader_epoch` with that of its leader."""

    __slots__ = (
        "adding_replicas",
        "directories",
        "elr",
        "epoch",
        "index",
        "isr",
        "last_known_elr",
        "leader",
        "leader_epoch",
        "leader_recovery_state",
        "removing_replicas",
        "replicas",
        "topic",
    )

    def __init__(self, topic: Topic, record: messages.PartitionRecord) -> None:
        self.topic = topic
        self.index = record.partition_id
        self.replicas: list[int] = list(record.replicas)
        self.isr: list[int] = list(record.isr)
        self.adding_replicas: list[int] = list(record.adding_replicas)
        self.removing_replicas: list[int] = list(record.removing_replicas)
        self.leader = record.leader
        self.leader_epoch = record.leader_epoch
        self.leader_recovery_state = record.leader_recovery_state
        self.epoch = record.partition_epoch
        self.directories: list[bytes] = list(record.directories)
        self.elr: list[int] = list(record.eligible_leader_replicas or ())
        self.last_known_elr: list[int] = list(record.last_known_elr or ())

    def change(self, record: messages.PartitionChangeRecord) -> None:
        """Take over what the record names; naming a leader opens a new leader epoch even when it is the same."""
        if record.isr is not None:
            self.isr = list(record.isr)
        if record.leader != LEADER_UNCHANGED:
            self.leader = record.leader
            self.leader_epoch += 1
        if record.replicas is not None:
            self.replicas = list(record.replicas)
        if record.removing_replicas is not None:
            self.removing_replicas = list(record.removing_replicas)
        if record.adding_replicas is not None:
            self.adding_replicas = list(record.adding_replicas)
        if record.leader_recovery_state != -1:
            self.leader_recovery_state = record.leader_recovery_state
        if record.directories is not None:
            self.directories = list(record.directories)
        if record.eligible_leader_replicas is not None:
            self.elr = list(record.eligible_leader_replicas)
        if record.last_known_elr is not None:
            self.last_known_elr = list(record.last_known_elr)
        self.epoch += 1


class Topic:
    """One topic and its partitions by index."""

    __slots__ = ("id", "name", "partitions")

    def __init__(self, name: str, topic_id: bytes) -> None:
        self.name = name
        self.id = topic_id
        self.partitions: dict[int, Partition] = {}


class Delta:
    """What some records changed, for those who must act on it.

    A topic deleted and created again under its name is in both `deleted` (the old object) and `created`.
    """

    __slots__ = ("brokers", "configs", "created", "deleted", "features", "partitions")

    def __init__(self) -> None:
        self.created: dict[str, Topic] = {}
        self.deleted: dict[bytes, Topic] = {}  # by topic id, as it was
        self.partitions: dict[tuple[str, int], Partition] = {}  # new or changed ones
        self.configs: dict[tuple[int, str], None] = {}  # (resource type, name)
        self.brokers: dict[int, None] = {}
        self.features = False

    def __bool__(self) -> bool:
        return bool(self.created or self.deleted or self.partitions or self.configs or self.brokers or self.features)


class MetadataFault(Exception):
    """A record contradicts those before it: the log is not what it must be."""


class Image:
    """The agreed state, by what one looks for."""

    def __init__(self) -> None:
        self.features: dict[str, int] = {}
        self.brokers: dict[int, Broker] = {}
        self.controllers: dict[int, messages.RegisterControllerRecord] = {}
        self.topics: dict[str, Topic] = {}
        self.topics_by_id: dict[bytes, Topic] = {}
        self.configs: dict[tuple[int, str], dict[str, str]] = {}
        self.next_producer_id = 0
        self.producer_ids: messages.ProducerIdsRecord | None = None
        self.kept: dict[tuple[Any, ...], Record] = {}
        self.offset = -1  # of the last record applied
        self.version = 0  # grows with every record applied: the key of whatever is cached from the image
        self._open_transaction: list[Record] | None = None
        self._appliers: dict[int, Callable[[Any, Delta], None]] = {
            0: self._register_broker, 1: self._unregister_broker, 2: self._topic, 3: self._partition, 4: self._config,
            5: self._partition_change, 7: self._fence, 8: self._unfence, 9: self._remove_topic, 12: self._feature,
            15: self._producer_ids, 17: self._broker_change, 27: self._register_controller, 28: self._clear_elr,
        }  # fmt: skip

    def clear(self) -> None:
        """As at the beginning: a snapshot replaces everything there was."""
        for state in (
            self.features, self.brokers, self.controllers, self.topics, self.topics_by_id, self.configs, self.kept
        ):  # fmt: skip
            state.clear()
        self.next_producer_id, self.producer_ids, self._open_transaction = 0, None, None
        self.offset = -1
        self.version += 1

    # ---- lookups

    def partition(self, topic: str, index: int) -> Partition | None:
        """The agreed state of one partition."""
        found = self.topics.get(topic)
        return None if found is None else found.partitions.get(index)

    def usable_brokers(self) -> list[Broker]:
        """Those that may be given partitions, by id."""
        return [self.brokers[number] for number in sorted(self.brokers) if self.brokers[number].is_usable]

    def alive_brokers(self, listener: str) -> Iterator[tuple[Broker, Endpoint]]:
        """Unfenced brokers that are reachable by the listener, by id: those a client may be told of."""
        for number in sorted(self.brokers):
            broker = self.brokers[number]
            end = broker.endpoints.get(listener)
            if end is not None and not broker.is_fenced:
                yield broker, end

    def config(self, kind: int, name: str) -> dict[str, str]:
        """The configs set for one resource (not the defaults)."""
        return self.configs.get((kind, name), {})

    # ---- records

    def apply(self, record: Record, delta: Delta) -> None:
        """Take one committed record in. Raises MetadataFault when it contradicts the state."""
        key = record.api_key
        if key == BEGIN_TRANSACTION:
            self._open_transaction = []
        elif key == ABORT_TRANSACTION:
            self._open_transaction = None
        elif key == END_TRANSACTION:
            held, self._open_transaction = self._open_transaction or [], None
            for earlier in held:
                self._apply(earlier, delta)
        elif self._open_transaction is not None:
            self._open_transaction.append(record)
        else:
            self._apply(record, delta)

    def _apply(self, record: Record, delta: Delta) -> None:
        self.version += 1
        applier = self._appliers.get(record.api_key)
        if applier is not None:
            applier(record, delta)
        elif isinstance(record, messages.ClientQuotaRecord) and record.remove:
            self.kept.pop(KEPT[record.api_key](record), None)
        elif record.api_key in KEPT:
            self.kept[KEPT[record.api_key](record)] = record
        elif record.api_key in FORGET:
            self.kept.pop(FORGET[record.api_key](record), None)

    def _register_broker(self, record: messages.RegisterBrokerRecord, delta: Delta) -> None:
        self.brokers[record.broker_id] = Broker(record)
        delta.brokers[record.broker_id] = None

    def _unregister_broker(self, record: messages.UnregisterBrokerRecord, delta: Delta) -> None:
        if self.brokers.pop(record.broker_id, None) is None:
            raise MetadataFault(f"broker {record.broker_id} is unregistered but was not there")
        delta.brokers[record.broker_id] = None

    def _broker(self, number: int, epoch: int) -> Broker:
        broker = self.brokers.get(number)
        if broker is None or broker.epoch != epoch:
            raise MetadataFault(f"a record names broker {number} at epoch {epoch}, which is not registered")
        return broker

    def _broker_change(self, record: messages.BrokerRegistrationChangeRecord, delta: Delta) -> None:
        broker = self._broker(record.broker_id, record.broker_epoch)
        if record.fenced:
            broker.is_fenced = record.fenced > 0
        if record.in_controlled_shutdown:
            broker.in_controlled_shutdown = record.in_controlled_shutdown > 0
        if record.log_dirs:
            broker.log_dirs = list(record.log_dirs)
        if record.cordoned_log_dirs is not None:
            broker.cordoned_log_dirs = list(record.cordoned_log_dirs)
        delta.brokers[broker.id] = None

    def _fence(self, record: messages.FenceBrokerRecord, delta: Delta) -> None:
        self._broker(record.id, record.epoch).is_fenced = True
        delta.brokers[record.id] = None

    def _unfence(self, record: messages.UnfenceBrokerRecord, delta: Delta) -> None:
        self._broker(record.id, record.epoch).is_fenced = False
        delta.brokers[record.id] = None

    def _register_controller(self, record: messages.RegisterControllerRecord, delta: Delta) -> None:
        self.controllers[record.controller_id] = record

    def _topic(self, record: messages.TopicRecord, delta: Delta) -> None:
        if record.name in self.topics or record.topic_id in self.topics_by_id:
            raise MetadataFault(f"topic {record.name} is created but is there already")
        topic = Topic(record.name, bytes(record.topic_id))
        self.topics[topic.name] = self.topics_by_id[topic.id] = topic
        delta.created[topic.name] = topic

    def _topic_by_id(self, topic_id: bytes) -> Topic:
        topic = self.topics_by_id.get(topic_id)
        if topic is None:
            raise MetadataFault(f"a record names topic id {topic_id.hex()}, which does not exist")
        return topic

    def _partition(self, record: messages.PartitionRecord, delta: Delta) -> None:
        topic = self._topic_by_id(record.topic_id)
        partition = topic.partitions[record.partition_id] = Partition(topic, record)
        delta.partitions[topic.name, partition.index] = partition

    def _partition_change(self, record: messages.PartitionChangeRecord, delta: Delta) -> None:
        topic = self._topic_by_id(record.topic_id)
        partition = topic.partitions.get(record.partition_id)
        if partition is None:
            raise MetadataFault(f"partition {topic.name}-{record.partition_id} is changed but does not exist")
        partition.change(record)
        delta.partitions[topic.name, partition.index] = partition

    def _remove_topic(self, record: messages.RemoveTopicRecord, delta: Delta) -> None:
        topic = self._topic_by_id(record.topic_id)
        del self.topics[topic.name]
        del self.topics_by_id[topic.id]
        self.configs.pop((TOPIC_CONFIG, topic.name), None)
        for index in topic.partitions:
            delta.partitions.pop((topic.name, index), None)
        delta.created.pop(topic.name, None)
        delta.deleted[topic.id] = topic

    def _clear_elr(self, record: messages.ClearElrRecord, delta: Delta) -> None:
        chosen = [self.topics[record.topic_name]] if record.topic_name else list(self.topics.values())
        for topic in chosen:
            for partition in topic.partitions.values():
                if partition.elr or partition.last_known_elr:
                    partition.elr, partition.last_known_elr = [], []
                    delta.partitions[topic.name, partition.index] = partition

    def _config(self, record: messages.ConfigRecord, delta: Delta) -> None:
        resource = (record.resource_type, record.resource_name)
        held = self.configs.setdefault(resource, {})
        if record.value is None:
            held.pop(record.name, None)
            if not held:
                del self.configs[resource]
        else:
            held[record.name] = record.value
        delta.configs[resource] = None

    def _feature(self, record: messages.FeatureLevelRecord, delta: Delta) -> None:
        if record.feature_level:
            self.features[record.name] = record.feature_level
        else:
            self.features.pop(record.name, None)
        delta.features = True

    def _producer_ids(self, record: messages.ProducerIdsRecord, delta: Delta) -> None:
        self.next_producer_id = record.next_producer_id
        self.producer_ids = record


BEGIN_TRANSACTION, END_TRANSACTION, ABORT_TRANSACTION = 23, 24, 25
TOPIC_CONFIG = 2

# Kinds that are kept as they came: record key -> what it is about. A later record about the same thing replaces it.
KEPT: dict[int, Callable[[Any], tuple[Any, ...]]] = {
    10: lambda record: ("token", record.token_id),
    11: lambda record: ("scram", record.name, record.mechanism),
    14: lambda record: ("quota", *((part.entity_type, part.entity_name) for part in record.entity), record.key),
    18: lambda record: ("acl", record.id),
}
FORGET: dict[int, Callable[[Any], tuple[Any, ...]]] = {
    19: lambda record: ("acl", record.id),
    22: lambda record: ("scram", record.name, record.mechanism),
    26: lambda record: ("token", record.token_id),
}
