"""The numbers one log obeys: a topic's configuration, without names or sources.

Below the wiring nothing reads a configuration by name; `log_config` is where Kafka's topic options become these fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["FOREVER", "LogConfig", "log_config"]

FOREVER = (1 << 63) - 1  # Java's Long.MAX_VALUE: how Kafka spells "no bound" in its options
DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Durations in milliseconds, sizes in bytes; -1 where Kafka says -1 (no bound)."""

    segment_bytes: int = 1 << 30
    segment_ms: int = 7 * DAY_MS
    segment_jitter_ms: int = 0
    index_bytes: int = 10 << 20  # what an index file may grow to; it is preallocated to this
    index_interval_bytes: int = 4096
    retention_ms: int = 7 * DAY_MS
    retention_bytes: int = -1
    max_batch_bytes: int = 1_048_588
    flush_messages: int = FOREVER
    flush_ms: int = FOREVER
    delete_delay_ms: int = 60_000  # between the `.deleted` suffix and the removal
    is_compacted: bool = False
    is_retained: bool = True  # cleanup.policy contains "delete": retention by time and size applies
    compression: int | None = None  # codec id the topic stores; None = as the producer sent it
    compression_level: int | None = None
    stamps_append_time: bool = False  # message.timestamp.type=LogAppendTime
    timestamp_before_max_ms: int = FOREVER
    timestamp_after_max_ms: int = 3_600_000
    min_insync_replicas: int = 1
    allows_unclean_leader: bool = False
    walks_records: bool = False  # log.message.deep.validation (ours): read every record, as Kafka does
    producer_expiration_ms: int = DAY_MS

    @property
    def looks_into_batches(self) -> bool:
        """Whether a batch may need more than its header looked at, or its header changed."""
        return (
            self.is_compacted
            or self.stamps_append_time
            or self.timestamp_before_max_ms != FOREVER
            or self.compression is not None
            or self.walks_records
        )


CODECS = {"uncompressed": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
LEVELS = {1: "compression.gzip.level", 3: "compression.lz4.level", 4: "compression.zstd.level"}

PLAIN = {  # topic option -> field, values taken as they are
    "segment.bytes": "segment_bytes",
    "internal.segment.bytes": "segment_bytes",
    "segment.ms": "segment_ms",
    "segment.jitter.ms": "segment_jitter_ms",
    "segment.index.bytes": "index_bytes",
    "index.interval.bytes": "index_interval_bytes",
    "retention.ms": "retention_ms",
    "retention.bytes": "retention_bytes",
    "max.message.bytes": "max_batch_bytes",
    "flush.messages": "flush_messages",
    "flush.ms": "flush_ms",
    "file.delete.delay.ms": "delete_delay_ms",
    "message.timestamp.before.max.ms": "timestamp_before_max_ms",
    "message.timestamp.after.max.ms": "timestamp_after_max_ms",
    "min.insync.replicas": "min_insync_replicas",
    "unclean.leader.election.enable": "allows_unclean_leader",
    "log.message.deep.validation": "walks_records",
    "producer.id.expiration.ms": "producer_expiration_ms",
}


def log_config(options: Mapping[str, Any], base: LogConfig | None = None) -> LogConfig:
    """Topic options by Kafka's names, values already typed, over `base` (Kafka's defaults)."""
    fields: dict[str, Any] = {}
    for name, field in PLAIN.items():
        if (value := options.get(name)) is not None:
            fields[field] = value
    if (policy := options.get("cleanup.policy")) is not None:
        words = policy.replace(" ", "").split(",") if isinstance(policy, str) else list(policy)
        fields["is_compacted"] = "compact" in words
        fields["is_retained"] = "delete" in words
    if (stamp := options.get("message.timestamp.type")) is not None:
        fields["stamps_append_time"] = stamp == "LogAppendTime"
    if (codec := options.get("compression.type")) is not None:
        fields["compression"] = CODECS.get(codec)
        fields["compression_level"] = options.get(LEVELS.get(CODECS.get(codec, 0), ""))
    return replace(base or LogConfig(), **fields)
