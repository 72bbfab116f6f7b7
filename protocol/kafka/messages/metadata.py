"""What rests in `__cluster_metadata`: the records whose sequence is the state of the cluster.

value   uvarint frame version 1 · uvarint record type (`api_key`) · uvarint version · fields
"""

from __future__ import annotations

from protocol.kafka.schema import Record as Record
from protocol.kafka.schema import Struct, Uuid, f64, field, i8, i16, i32, i64, u16


class RegisterBrokerRecordBrokerEndpoint(Struct):
    name: str
    host: str
    port: u16
    security_protocol: i16


class BrokerFeature(Struct):
    name: str
    min_supported_version: i16
    max_supported_version: i16


class RegisterBrokerRecord(Record, key=0, versions=(0, 4), flexible=0):
    """A broker has registered."""

    broker_id: i32
    is_migrating_zk_broker: bool = field(2)  # since v2
    incarnation_id: Uuid
    broker_epoch: i64
    end_points: list[RegisterBrokerRecordBrokerEndpoint]
    features: list[BrokerFeature]
    rack: str | None
    fenced: bool = True
    in_controlled_shutdown: bool = field(1)  # since v1
    log_dirs: list[Uuid] = field(3, tag=0)  # since v3
    cordoned_log_dirs: list[Uuid] | None = field(4, tag=1)  # since v4


class UnregisterBrokerRecord(Record, key=1, versions=(0, 0), flexible=0):
    """A broker is forgotten."""

    broker_id: i32
    broker_epoch: i64


class TopicRecord(Record, key=2, versions=(0, 0), flexible=0):
    """A topic exists. Its partitions follow."""

    name: str
    topic_id: Uuid


class PartitionRecord(Record, key=3, versions=(0, 2), flexible=0):
    """A partition exists, placed so."""

    partition_id: i32 = -1
    topic_id: Uuid
    replicas: list[i32]
    isr: list[i32]
    removing_replicas: list[i32]
    adding_replicas: list[i32]
    leader: i32 = -1
    leader_recovery_state: i8 = field(tag=0)
    leader_epoch: i32 = -1
    partition_epoch: i32 = -1
    directories: list[Uuid] = field(1)  # since v1
    eligible_leader_replicas: list[i32] | None = field(2, tag=1)  # since v2
    last_known_elr: list[i32] | None = field(2, tag=2)  # since v2


class ConfigRecord(Record, key=4, versions=(0, 0), flexible=0):
    """A setting of a resource; null removes it."""

    resource_type: i8
    resource_name: str
    name: str
    value: str | None


class PartitionChangeRecord(Record, key=5, versions=(0, 2), flexible=0):
    """What is not at its default has changed in a partition."""

    partition_id: i32 = -1
    topic_id: Uuid
    isr: list[i32] | None = field(tag=0)
    leader: i32 = field(default=-2, tag=1)
    replicas: list[i32] | None = field(tag=2)
    removing_replicas: list[i32] | None = field(tag=3)
    adding_replicas: list[i32] | None = field(tag=4)
    leader_recovery_state: i8 = field(default=-1, tag=5)
    directories: list[Uuid] | None = field(1, tag=8)  # since v1
    eligible_leader_replicas: list[i32] | None = field(2, tag=6)  # since v2
    last_known_elr: list[i32] | None = field(2, tag=7)  # since v2


class FenceBrokerRecord(Record, key=7, versions=(0, 0), flexible=0):
    """A broker is out of service (written before 3.3)."""

    id: i32
    epoch: i64


class UnfenceBrokerRecord(Record, key=8, versions=(0, 0), flexible=0):
    """A broker is in service (written before 3.3)."""

    id: i32
    epoch: i64


class RemoveTopicRecord(Record, key=9, versions=(0, 0), flexible=0):
    """A topic and its partitions are gone."""

    topic_id: Uuid


class DelegationTokenRecord(Record, key=10, versions=(0, 0), flexible=0):
    """A delegation token."""

    owner: str
    requester: str
    renewers: list[str]
    issue_timestamp: i64
    max_timestamp: i64
    expiration_timestamp: i64
    token_id: str


class UserScramCredentialRecord(Record, key=11, versions=(0, 0), flexible=0):
    """A SCRAM credential."""

    name: str
    mechanism: i8
    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: i32


class FeatureLevelRecord(Record, key=12, versions=(0, 0), flexible=0):
    """The level of a feature from here on; 0 switches it off."""

    name: str
    feature_level: i16


class ClientQuotaRecordEntityData(Struct):
    entity_type: str
    entity_name: str | None


class ClientQuotaRecord(Record, key=14, versions=(0, 0), flexible=0):
    """A quota, or its end."""

    entity: list[ClientQuotaRecordEntityData]
    key: str
    value: f64
    remove: bool


class ProducerIdsRecord(Record, key=15, versions=(0, 0), flexible=0):
    """All producer ids below this are given out."""

    broker_id: i32
    broker_epoch: i64 = -1
    next_producer_id: i64


class BrokerRegistrationChangeRecord(Record, key=17, versions=(0, 3), flexible=0):
    """A registered broker is fenced, unfenced, leaving, or has other disks."""

    broker_id: i32
    broker_epoch: i64
    fenced: i8 = field(tag=0)
    in_controlled_shutdown: i8 = field(1, tag=1)  # since v1
    log_dirs: list[Uuid] = field(2, tag=2)  # since v2
    cordoned_log_dirs: list[Uuid] | None = field(3, tag=3)  # since v3


class AccessControlEntryRecord(Record, key=18, versions=(0, 0), flexible=0):
    """An access rule."""

    id: Uuid
    resource_type: i8
    resource_name: str
    pattern_type: i8
    principal: str
    host: str
    operation: i8
    permission_type: i8


class RemoveAccessControlEntryRecord(Record, key=19, versions=(0, 0), flexible=0):
    """An access rule is gone."""

    id: Uuid


class NoOpRecord(Record, key=20, versions=(0, 0), flexible=0):
    """Nothing, so that the log grows and offsets move."""


class ZkMigrationStateRecord(Record, key=21, versions=(0, 0), flexible=0):
    """How far a migration from ZooKeeper has come."""

    zk_migration_state: i8


class RemoveUserScramCredentialRecord(Record, key=22, versions=(0, 0), flexible=0):
    """A SCRAM credential is gone."""

    name: str
    mechanism: i8


class BeginTransactionRecord(Record, key=23, versions=(0, 0), flexible=0):
    """What follows counts only if it ends with an EndTransactionRecord."""

    name: str | None = field(tag=0)


class EndTransactionRecord(Record, key=24, versions=(0, 0), flexible=0):
    """What was begun counts."""


class AbortTransactionRecord(Record, key=25, versions=(0, 0), flexible=0):
    """What was begun does not count."""

    reason: str | None = field(tag=0)


class RemoveDelegationTokenRecord(Record, key=26, versions=(0, 0), flexible=0):
    """A delegation token is gone."""

    token_id: str


class ControllerEndpoint(Struct):
    name: str
    host: str
    port: u16
    security_protocol: i16


class ControllerFeature(Struct):
    name: str
    min_supported_version: i16
    max_supported_version: i16


class RegisterControllerRecord(Record, key=27, versions=(0, 0), flexible=0):
    """A controller has registered."""

    controller_id: i32
    incarnation_id: Uuid
    zk_migration_ready: bool
    end_points: list[ControllerEndpoint]
    features: list[ControllerFeature]


class ClearElrRecord(Record, key=28, versions=(0, 0), flexible=0):
    """Forget the eligible leaders of a topic, or of all."""

    topic_name: str
