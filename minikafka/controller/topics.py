"""Making, growing and removing topics: Kafka's validations, in its order and its words.

Pure: state and request in, Outcome out. What a client may do is decided before (`api/topics.py`), so what comes here
are the topics it may touch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from minikafka.controller.outcome import Outcome
from minikafka.controller.placement import place
from minikafka.metadata.configs import Configs
from minikafka.metadata.image import Image, Topic
from minikafka.metadata.records import TOPIC_CONFIG, UNASSIGNED_DIRECTORY
from protocol.kafka.errors import (
    InvalidConfig,
    InvalidPartitions,
    InvalidReplicaAssignment,
    InvalidReplicationFactor,
    InvalidRequest,
    InvalidTopicException,
    KafkaError,
    PolicyViolation,
    TopicAlreadyExists,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from protocol.kafka.messages.metadata import ConfigRecord, PartitionRecord, RemoveTopicRecord, TopicRecord
from protocol.kafka.messages.topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)
from protocol.kafka.schema import Record

MAX_NAME_LENGTH = 249
NAME = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)
MAX_RECORDS_PER_REQUEST = 10_000  # Kafka's bound on what one admin request may write in one batch
DEFAULT = -1


@dataclass(frozen=True, slots=True)
class TopicDefaults:
    """What a topic gets when its creator does not say."""

    partitions: int
    replication_factor: int


def name_fault(name: str) -> str | None:
    """Why a topic may not be called so; None when it may."""
    if not name:
        return "the empty string is not allowed"
    if name in (".", ".."):
        return f"'{name}' is not allowed"
    if len(name) > MAX_NAME_LENGTH:
        return f"the length of '{name}' is longer than the max allowed length {MAX_NAME_LENGTH}"
    if not NAME.fullmatch(name):
        return f"'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    return None


class Making:
    """What the topics of one request have in common: the state they are checked against, looked through once."""

    def __init__(self, state: Image, configs: Configs, defaults: TopicDefaults, random: Random) -> None:
        self.state = state
        self.configs = configs
        self.defaults = defaults
        self.random = random
        self._plain_names: dict[str, str] | None = None
        self._described: dict[tuple[tuple[str, str], ...], list[CreatableTopicConfigs]] = {}

    def check_name(self, name: str) -> None:
        """Raise InvalidTopicException unless a new topic may be called so."""
        fault = name_fault(name)
        if fault is not None:
            raise InvalidTopicException(f"Topic name is invalid: {fault}")
        if "_" in name or "." in name:
            # Metric names have no difference between the two, so neither may topic names (KAFKA-2049).
            if self._plain_names is None:
                self._plain_names = {other.replace(".", "_"): other for other in self.state.topics}
            other = self._plain_names.get(name.replace(".", "_"))
            if other is not None:
                raise InvalidTopicException(f"Topic '{name}' collides with existing topic: {other}")

    def describe(self, own: dict[str, str]) -> list[CreatableTopicConfigs]:
        """All configs of a topic created with these. Raises InvalidConfig when it may not be."""
        key = tuple(own.items())
        described = self._described.get(key)
        if described is None:
            self.configs.check_topic(own)
            described = self._described[key] = [
                CreatableTopicConfigs(
                    name=entry.option.name,
                    value=entry.value,
                    read_only=entry.is_read_only,
                    config_source=entry.source,
                    is_sensitive=entry.option.is_sensitive,
                )
                for entry in self.configs.describe_new_topic(own)
            ]
        return described


def create_topics(
    state: Image,
    configs: Configs,
    defaults: TopicDefaults,
    random: Random,
    wanted: Iterable[CreatableTopic],
    describable: set[str],
    *,
    validate_only: bool,
) -> Outcome[list[CreatableTopicResult]]:
    """New topics, each created or refused by itself; what is created is one batch."""
    results: list[CreatableTopicResult] = []
    records: list[Record] = []
    making = Making(state, configs, defaults, random)
    for one in wanted:
        try:
            result, made = create_topic(making, one, one.name in describable)
        except KafkaError as error:
            result = CreatableTopicResult(name=one.name, error_code=error.code, error_message=str(error))
        else:
            records += made
            if len(records) > MAX_RECORDS_PER_REQUEST:
                raise PolicyViolation("Unable to perform excessively large batch operation.")
        results.append(result)
    return Outcome(results, [] if validate_only else records)


def records_at_most(defaults: TopicDefaults, wanted: Iterable[CreatableTopic]) -> int:
    """How many records creating these topics takes, none of them refused."""
    count = 0
    for one in wanted:
        partitions = defaults.partitions if one.num_partitions == DEFAULT else one.num_partitions
        count += 1 + len(one.configs) + max(len(one.assignments), partitions)
    return count


def create_topic(
    making: Making, wanted: CreatableTopic, is_describable: bool
) -> tuple[CreatableTopicResult, list[Record]]:
    """The result and the records of one new topic. Raises the KafkaError it is refused with."""
    name, state = wanted.name, making.state
    if name not in state.topics:
        making.check_name(name)
    else:
        raise TopicAlreadyExists(f"Topic '{name}' already exists.")
    without = [one.name for one in wanted.configs if one.value is None]
    if without:
        raise InvalidConfig(f"Null value not supported for topic configs: {','.join(without)}")
    own = {one.name: one.value for one in wanted.configs if one.value is not None}
    described = making.describe(own)
    placed = _placed(state, making.defaults, making.random, wanted)
    topic_id = new_topic_id(making.random, state)
    result = CreatableTopicResult(name=name, topic_id=topic_id)
    if is_describable:
        result.num_partitions = len(placed)
        result.replication_factor = len(placed[0])
        result.configs = described
    else:
        result.topic_config_error_code = TOPIC_AUTHORIZATION_FAILED
    records: list[Record] = [TopicRecord(name=name, topic_id=topic_id)]
    records += [
        ConfigRecord(resource_type=TOPIC_CONFIG, resource_name=name, name=key, value=value)
        for key, value in own.items()
    ]
    records += [_partition_record(state, topic_id, index, replicas) for index, replicas in enumerate(placed)]
    return result, records


def _placed(state: Image, defaults: TopicDefaults, random: Random, wanted: CreatableTopic) -> list[list[int]]:
    """The replicas of each partition, as asked for or as placed."""
    if wanted.assignments:
        return _placed_by_hand(state, wanted)
    factor, count = wanted.replication_factor, wanted.num_partitions
    if factor < DEFAULT or factor == 0:
        raise InvalidReplicationFactor("Replication factor must be larger than 0, or -1 to use the default value.")
    if count < DEFAULT or count == 0:
        raise InvalidPartitions("Number of partitions was set to an invalid non-positive value.")
    count = defaults.partitions if count == DEFAULT else count
    factor = defaults.replication_factor if factor == DEFAULT else factor
    if count > MAX_RECORDS_PER_REQUEST:
        raise PolicyViolation("Unable to perform excessively large batch operation.")
    try:
        return place(state.brokers.values(), count, factor, random)
    except InvalidReplicationFactor as refused:
        raise InvalidReplicationFactor(f"Unable to replicate the partition {factor} time(s): {refused}") from None


def _placed_by_hand(state: Image, wanted: CreatableTopic) -> list[list[int]]:
    if wanted.replication_factor != DEFAULT:
        raise InvalidRequest("A manual partition assignment was specified, but replication factor was not set to -1.")
    if wanted.num_partitions != DEFAULT:
        raise InvalidRequest("A manual partition assignment was specified, but numPartitions was not set to -1.")
    if len(wanted.assignments) > MAX_RECORDS_PER_REQUEST:
        raise PolicyViolation("Unable to perform excessively large batch operation.")
    placed: dict[int, list[int]] = {}
    factor: int | None = None
    for one in wanted.assignments:
        if one.partition_index in placed:
            raise InvalidReplicaAssignment(
                f"Found multiple manual partition assignments for partition {one.partition_index}"
            )
        check_assignment(state, one.broker_ids, factor)
        factor = len(one.broker_ids)
        if not _in_service(state, one.broker_ids):
            raise InvalidReplicaAssignment(
                "All brokers specified in the manual partition assignment for partition "
                f"{one.partition_index} are fenced or in controlled shutdown."
            )
        placed[one.partition_index] = list(one.broker_ids)
    if sorted(placed) != list(range(len(placed))):
        raise InvalidReplicaAssignment("partitions should be a consecutive 0-based integer sequence")
    return [placed[index] for index in range(len(placed))]


def check_assignment(state: Image, replicas: list[int], factor: int | None) -> None:
    """Raise InvalidReplicaAssignment unless a partition may be placed so by hand."""
    if not replicas:
        raise InvalidReplicaAssignment("The manual partition assignment includes an empty replica list.")
    before: int | None = None
    for number in sorted(replicas):
        if number not in state.brokers:
            raise InvalidReplicaAssignment(
                f"The manual partition assignment includes broker {number}, but no such broker is registered."
            )
        if number == before:
            raise InvalidReplicaAssignment(
                f"The manual partition assignment includes the broker {number} more than once."
            )
        before = number
    if factor is not None and len(replicas) != factor:
        raise InvalidReplicaAssignment(
            f"The manual partition assignment includes a partition with {len(replicas)} replica(s), but this is not "
            f"consistent with previous partitions, which have {factor} replica(s)."
        )


def _in_service(state: Image, replicas: list[int]) -> list[int]:
    return [number for number in replicas if number in state.brokers and state.brokers[number].is_usable]


def _partition_record(state: Image, topic_id: bytes, index: int, replicas: list[int]) -> PartitionRecord:
    isr = _in_service(state, replicas)
    directories = []
    for number in replicas:
        known = state.brokers[number].log_dirs
        # Where a broker has but one directory the replica is in that one; else the broker will say.
        directories.append(known[0] if len(known) == 1 else UNASSIGNED_DIRECTORY)
    return PartitionRecord(
        partition_id=index,
        topic_id=topic_id,
        replicas=replicas,
        removing_replicas=[],
        adding_replicas=[],
        isr=isr,
        leader=isr[0],
        leader_epoch=0,
        partition_epoch=0,
        directories=directories,
    )


def new_topic_id(random: Random, state: Image) -> bytes:
    """A random (version 4) Uuid that no topic has; none begins with '-', which tools take for an option."""
    while True:
        raw = bytearray(random.randbytes(16))
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        topic_id = bytes(raw)
        if raw[0] >> 2 != DASH and topic_id not in state.topics_by_id:
            return topic_id


DASH = 62  # the place of '-' in the url-safe base64 alphabet
TOPIC_AUTHORIZATION_FAILED = 29


def delete_topic(state: Image, topic_id: bytes) -> list[Record]:
    """The record that removes a topic with all that belongs to it."""
    if topic_id not in state.topics_by_id:
        raise UnknownTopicId()
    return [RemoveTopicRecord(topic_id=topic_id)]


def create_partitions(
    state: Image, random: Random, wanted: Iterable[CreatePartitionsTopic], *, validate_only: bool
) -> Outcome[list[CreatePartitionsTopicResult]]:
    """More partitions for topics, each done or refused by itself; what is done is one batch."""
    results: list[CreatePartitionsTopicResult] = []
    records: list[Record] = []
    for one in wanted:
        result = CreatePartitionsTopicResult(name=one.name)
        try:
            records += _more_partitions(state, random, one)
        except KafkaError as error:
            result.error_code, result.error_message = error.code, error.detail
        if len(records) > MAX_RECORDS_PER_REQUEST:
            raise PolicyViolation("Unable to perform excessively large batch operation.")
        results.append(result)
    return Outcome(results, [] if validate_only else records)


def _more_partitions(state: Image, random: Random, wanted: CreatePartitionsTopic) -> list[Record]:
    topic = state.topics.get(wanted.name)
    if topic is None:
        raise UnknownTopicOrPartition()
    have = len(topic.partitions)
    if wanted.count == have:
        raise InvalidPartitions(f"Topic already has {have} partition(s).")
    if wanted.count < have:
        raise InvalidPartitions(
            f"The topic {topic.name} currently has {have} partition(s); {wanted.count} would not be an increase."
        )
    additional = wanted.count - have
    if additional > MAX_RECORDS_PER_REQUEST:
        raise PolicyViolation("Unable to perform excessively large batch operation.")
    if wanted.assignments is not None and len(wanted.assignments) != additional:
        raise InvalidReplicaAssignment(
            f"Attempted to add {additional} additional partition(s), but only {len(wanted.assignments)} "
            "assignment(s) were specified."
        )
    factor = len(topic.partitions[0].replicas)
    if wanted.assignments is None:
        placed = place(state.brokers.values(), additional, factor, random)
    else:
        placed = [list(one.broker_ids) for one in wanted.assignments]
        _check_hand_placed(state, topic, placed, factor)
    return [_partition_record(state, topic.id, have + at, replicas) for at, replicas in enumerate(placed)]


def _check_hand_placed(state: Image, topic: Topic, placed: list[list[int]], factor: int) -> None:
    for at, replicas in enumerate(placed):
        check_assignment(state, replicas, factor)
        if not _in_service(state, replicas):
            raise InvalidReplicaAssignment(
                "All brokers specified in the manual partition assignment for partition "
                f"{len(topic.partitions) + at} are fenced or in controlled shutdown."
            )
