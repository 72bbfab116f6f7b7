"""Records of `__consumer_offsets`: Kafka's bytes on one side, messages on the other.

    key    ┌──────────┬────────────────────┐      value  ┌─────────────┬──────────┐      no value: a tombstone
           │ type i16 │ fields, not tagged │             │ version i16 │ fields   │
           └──────────┴────────────────────┘             └─────────────┴──────────┘

Of the key types this broker knows 0 and 1 (an offset) and 2 (a classic group); others, of group types it does
not have yet, are left alone: they stay in the log for who understands them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct as Packer
from typing import Any

from minikafka.coordinator.groups import Groups
from minikafka.coordinator.members import Record
from protocol.kafka.batch import CONTROL, TRANSACTIONAL, iterate
from protocol.kafka.messages.stored import (
    GroupMetadataKey,
    GroupMetadataValue,
    LegacyOffsetCommitKey,
    LegacyOffsetCommitValue,
    OffsetCommitKey,
    OffsetCommitValue,
)
from protocol.kafka.primitives import ProtocolError
from protocol.kafka.records import build_batch, read_end_marker, read_records

GROUP_METADATA_VERSION = 3
OFFSET_COMMIT_VERSION = 4
OFFSET_COMMIT_VERSION_WITH_EXPIRY = 1  # the only one that has room for it

_KINDS: dict[int, tuple[type[Any], type[Any]]] = {
    0: (LegacyOffsetCommitKey, LegacyOffsetCommitValue),
    1: (OffsetCommitKey, OffsetCommitValue),
    2: (GroupMetadataKey, GroupMetadataValue),
}

_short = Packer(">h")


def encode(key: Any, value: Any | None) -> tuple[bytes, bytes | None]:
    """A record's key and value as they rest in the log."""
    key_bytes = _short.pack(key.api_key) + key.encode(0)
    if value is None:
        return key_bytes, None
    version = _version(value)
    return key_bytes, _short.pack(version) + value.encode(version)


def _version(value: Any) -> int:
    if isinstance(value, GroupMetadataValue):
        return GROUP_METADATA_VERSION
    return OFFSET_COMMIT_VERSION if value.expire_timestamp == -1 else OFFSET_COMMIT_VERSION_WITH_EXPIRY


def decode(key_bytes: bytes, value_bytes: bytes | None) -> Record | None:
    """The messages in a record, or None for a kind we do not know. Raises ProtocolError on bytes that are neither."""
    kind = _KINDS.get(_short.unpack_from(key_bytes)[0]) if len(key_bytes) >= 2 else None
    if kind is None:
        return None
    key = kind[0].decode(0, key_bytes, 2)
    value = None
    if value_bytes is not None:
        if len(value_bytes) < 2:
            raise ProtocolError("a value without a version")
        value = kind[1].decode(_short.unpack_from(value_bytes)[0], value_bytes, 2)
    if isinstance(key, LegacyOffsetCommitKey):
        key = OffsetCommitKey(group=key.group, topic=key.topic, partition=key.partition)
        if value is not None:
            value = OffsetCommitValue(
                offset=value.offset, metadata=value.metadata, commit_timestamp=value.commit_timestamp
            )
    return key, value


def build(records: Sequence[Record], now: int) -> bytes:
    """One batch of all of them, to be appended whole or not at all."""
    return build_batch([(now, *encode(key, value)) for key, value in records])


def replay(groups: Groups, batches: memoryview, now: int) -> Iterator[int]:
    """Take whole batches found in the log into a machine that is being loaded; tells how many records each had."""
    for header, batch in iterate(batches):
        if header.attributes & CONTROL:
            is_abort, _ = read_end_marker(batch)
            groups.offsets.end_transaction(header.producer_id, is_commit=not is_abort)
            yield 1
            continue
        producer_id = header.producer_id if header.attributes & TRANSACTIONAL else -1
        for record in read_records(batch):
            decoded = decode(record.key, record.value) if record.key is not None else None
            if decoded is not None:
                key, value = decoded
                groups.replay(key, value, record.offset, now, is_live=False, producer_id=producer_id)
        yield header.count
