"""Which of Kafka's metadata records this broker writes, at which versions, and how a record becomes a log value.

    value of a record in __cluster_metadata:   ┌──────────────┬────────────────┬───────────────────┬──────┐
                                               │ frame  uvar 1│ api key  uvar  │ version  uvar     │ body │
                                               └──────────────┴────────────────┴───────────────────┴──────┘
Keys are null and there are no headers. The versions written are those of metadata.version 30 (4.3-IV0); where a type
has several, the lowest that carries what is to be said is written, as Kafka does. All versions are read.
"""

from __future__ import annotations

from protocol.kafka.errors import CorruptMessage
from protocol.kafka.messages import metadata as messages
from protocol.kafka.schema import Record

METADATA_VERSION = 30
METADATA_VERSION_NAME = "4.3-IV0"

# Feature levels: name -> (lowest, highest supported, level a new cluster starts with). A level is finalised only when
# what it promises is implemented: 0 means "off", as after `kafka-storage format --feature name=0`.
FEATURES: dict[str, tuple[int, int, int]] = {
    "metadata.version": (METADATA_VERSION, METADATA_VERSION, METADATA_VERSION),
    "eligible.leader.replicas.version": (0, 1, 1),
}

FRAME_VERSION = 1

TOPIC_ID_OF_METADATA = b"\0" * 15 + b"\1"  # AAAAAAAAAAAAAAAAAAAAAQ
METADATA_TOPIC = "__cluster_metadata"
NO_DIRECTORY = b"\0" * 16  # MIGRATING: written before directories were known
UNASSIGNED_DIRECTORY = b"\0" * 15 + b"\1"
LOST_DIRECTORY = b"\0" * 15 + b"\2"

BROKER_CONFIG = 4
TOPIC_CONFIG = 2
GROUP_CONFIG = 32
CLIENT_METRICS_CONFIG = 16

_types = {
    kind.api_key: kind
    for kind in vars(messages).values()
    if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
}


def version_of(record: Record) -> int:
    """The version a record is written at: the lowest that can say it."""
    if isinstance(record, messages.BrokerRegistrationChangeRecord):
        if record.cordoned_log_dirs is not None:
            return 3
        if record.log_dirs:
            return 2
        return 1 if record.in_controlled_shutdown else 0
    return record.highest


def to_value(record: Record) -> bytes:
    """A record as the value of a log record."""
    version = version_of(record)
    return bytes((FRAME_VERSION, record.api_key, version)) + record.encode(version)


def from_value(value: bytes) -> Record | None:
    """The record a log value holds; None for a type this metadata.version does not know."""
    if len(value) < 3 or value[0] != FRAME_VERSION or value[1] > 127 or value[2] > 127:
        raise CorruptMessage(f"not a metadata record: {bytes(value[:3])!r}")
    kind = _types.get(value[1])
    if kind is None:
        return None
    if not kind.lowest <= value[2] <= kind.highest:
        raise CorruptMessage(f"{kind.__name__} version {value[2]} is not known")
    return kind.decode(value[2], value, 3)


def bootstrap_records(*, in_log: bool = True) -> list[Record]:
    """What a new cluster begins with; one transaction in the log, the levels alone in the bootstrap checkpoint."""
    levels: list[Record] = [
        messages.FeatureLevelRecord(name=name, feature_level=level) for name, (_, _, level) in FEATURES.items() if level
    ]
    if not in_log:
        return levels
    # With eligible leaders min.insync.replicas is a matter of the controller, so it stands in the log from the start.
    least = messages.ConfigRecord(resource_type=BROKER_CONFIG, resource_name="", name="min.insync.replicas", value="1")
    return [messages.BeginTransactionRecord(name="Bootstrap records"), *levels, least, messages.EndTransactionRecord()]
