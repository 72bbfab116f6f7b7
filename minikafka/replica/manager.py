"""All partitions this broker has a replica of.

The metadata says what there is and who leads; `apply` carries out what changed. Everything a handler needs of a
partition is found here, by name or by topic id.

Law 1: a partition is served when the metadata assigns it to this broker, under the topic id the metadata names. A
       directory that belongs to another topic of the same name, or to none, is put aside and never served.
Law 2: what recurs (retention, checkpoints, flush.ms) is one timer each for all partitions, and does nothing when
       nothing changed.
Law 3: making a partition takes files and syncs, a millisecond. While clients are served, thousands of them (one request
       may ask for that) are made a few a turn of the loop; one that somebody looks for is made at once. A start opens
       what lies there before anybody is served, and leaves to that as well what an earlier run did not come to.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from minikafka.log.config import LogConfig, log_config
from minikafka.log.store import Store
from minikafka.metadata.image import Delta, Image
from minikafka.metadata.image import Partition as Agreed
from minikafka.replica.partition import Partition
from minikafka.replica.sessions import FetchSessions
from protocol.kafka.errors import (
    KafkaStorageError,
    NotLeaderOrFollower,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from protocol.ops.clock import Clock
from protocol.ops.logs import KafkaLogger

__all__ = ["Manager", "ReplicaSettings"]

TOPIC_CONFIG = 2
METADATA_TOPIC = "__cluster_metadata"
MAX_UNSENT_BYTES = 128 << 20
MADE_A_TURN = 5  # partitions; fewer where they take longer than
MAKING_S = 0.005


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """By the names of Kafka's options, underscores for dots; intervals in milliseconds."""

    log_retention_check_interval_ms: int = 300_000
    log_initial_task_delay_ms: int = 30_000
    log_flush_offset_checkpoint_interval_ms: int = 60_000
    log_flush_start_offset_checkpoint_interval_ms: int = 60_000
    log_flush_scheduler_interval_ms: int = 3_000
    replica_high_watermark_checkpoint_interval_ms: int = 5_000
    fetch_max_bytes: int = 55 << 20  # of one answer, whatever the client would take
    max_incremental_fetch_session_cache_slots: int = 1000


class Manager:
    """The partitions of one broker."""

    def __init__(
        self,
        store: Store,
        node_id: int,
        *,
        topic_values: Callable[[str], Mapping[str, Any]],
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        random: Random,
        log: KafkaLogger,
        settings: ReplicaSettings | None = None,
    ) -> None:
        self.store = store
        self.node_id = node_id
        self.partitions: dict[tuple[str, int], Partition] = {}
        self.offline: dict[tuple[str, int], str] = {}  # assigned to us, but their log cannot be used; why
        self._topic_values = topic_values
        self._loop = loop
        self._clock = clock
        self._log = log
        self._settings = settings = settings or ReplicaSettings()
        self.fetch_max_bytes = settings.fetch_max_bytes
        self.unsent_bytes = 0  # of large answers that their clients have not taken yet; the sessions keep it
        self.fetch_sessions = FetchSessions(random, settings.max_incremental_fetch_session_cache_slots)
        self._image: Image | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._coming: dict[tuple[str, int], Agreed] = {}  # agreed on, and not made here yet
        self._is_making = False  # `_make_some` comes in a next turn
        self._is_closed = False

    # ── look up ──

    def partition(self, topic: str, index: int) -> Partition:
        """A partition hosted here. UnknownTopicOrPartition, NotLeaderOrFollower (others host it) or
        KafkaStorageError."""
        found = self.partitions.get((topic, index))
        if found is not None:
            return found
        agreed = self._coming.pop((topic, index), None)
        if agreed is not None:
            self._take_over(topic, index, agreed)
            return self.partition(topic, index)
        if (topic, index) in self.offline:
            raise KafkaStorageError(self.offline[topic, index])
        if self._image is not None and self._image.partition(topic, index) is not None:
            raise NotLeaderOrFollower
        raise UnknownTopicOrPartition

    def topic_name(self, topic_id: bytes) -> str:
        """The name of a topic id. UnknownTopicId when there is none."""
        found = self._image.topics_by_id.get(topic_id) if self._image is not None else None
        if found is None:
            raise UnknownTopicId
        return found.name

    @property
    def answer_room(self) -> int:
        """Bytes of records one more answer may carry: what is left for readers that ask much and take nothing. The
        first batch is given even where this is 0."""
        return max(0, min(self.fetch_max_bytes, MAX_UNSENT_BYTES - self.unsent_bytes))

    # ── metadata ──

    def apply(self, delta: Delta, image: Image) -> None:
        """Carry out what changed: topics gone, topics made, leaders, in-sync sets, configurations."""
        self._image = image
        for topic in delta.deleted.values():
            for index in topic.partitions:
                self._delete(topic.name, index, topic.id)
        for (name, index), agreed in delta.partitions.items():
            if (name, index) in self.partitions:
                self._take_over(name, index, agreed)
            else:
                self._coming[name, index] = agreed
        if not self._timers:
            self._open_all()
        elif not self._is_making:
            self._make_some()
        for kind, name in delta.configs:
            if kind == TOPIC_CONFIG:
                self._reconfigure(name)
            elif image.topics:
                self.reconfigure_all()

    def _make_some(self) -> None:
        """This turn's share; what comes later in the turn waits for the next as well."""
        self._is_making = bool(self._coming)
        if self._is_making:
            end = self._loop.time() + MAKING_S
            for _ in range(MADE_A_TURN):
                self._make(1)
                if self._loop.time() >= end:
                    break
            self._loop.call_soon(self._make_some)

    def _open_all(self) -> None:
        """At the start: every partition that has a directory."""
        for place in self.store.partitions():
            agreed = self._coming.pop(place, None)
            if agreed is not None:
                self._take_over(*place, agreed)

    def _make(self, count: int) -> None:
        for topic, index in list(islice(self._coming, count)):
            self._take_over(topic, index, self._coming.pop((topic, index)))

    def _take_over(self, topic: str, index: int, agreed: Agreed) -> None:
        if self.node_id not in agreed.replicas:
            self._delete(topic, index, agreed.topic.id)
            return
        partition = self.partitions.get((topic, index))
        if partition is None:
            partition = self._open(topic, index, agreed.topic.id)
            if partition is None:
                return
        if agreed.leader == self.node_id:
            partition.make_leader(agreed.leader_epoch, agreed.epoch, agreed.replicas, agreed.isr)
        else:
            partition.make_follower(agreed.leader, agreed.leader_epoch, agreed.epoch, agreed.replicas, agreed.isr)

    def _open(self, topic: str, index: int, topic_id: bytes) -> Partition | None:
        try:
            known = self.store.topic_id_of(topic, index)
            if known is not None and known != topic_id:
                self._log.warning("%s-%d belongs to another topic, of id %s: put aside", topic, index, known.hex())
                self.store.mark_stray(topic, index)
            opened = self.store.open_log(topic, index, self._config(topic), topic_id=topic_id)
        except (KafkaStorageError, OSError) as error:
            self._log.error("%s-%d is offline: %s", topic, index, error)
            self.offline[topic, index] = str(error)
            return None
        partition = Partition(topic, index, topic_id, opened, self.node_id, self._loop, self._clock)
        self.partitions[topic, index] = partition
        return partition

    def _delete(self, topic: str, index: int, topic_id: bytes) -> None:
        coming = self._coming.get((topic, index))
        if coming is not None and coming.topic.id == topic_id:
            del self._coming[topic, index]
        partition = self.partitions.get((topic, index))
        self.offline.pop((topic, index), None)
        if partition is not None and partition.topic_id == topic_id:
            del self.partitions[topic, index]
            partition.close()
            self.store.delete_log(topic, index)

    def put_aside_strays(self, image: Image) -> None:
        """At the start, once the metadata is known: directories nobody assigned to us."""
        self._image = image
        for topic, index in self.store.partitions():
            if topic == METADATA_TOPIC or (topic, index) in self.partitions or (topic, index) in self.store.logs:
                continue
            agreed = image.partition(topic, index)
            if agreed is None or self.node_id not in agreed.replicas:
                self._log.warning("%s-%d is not assigned to this broker: put aside", topic, index)
                self.store.mark_stray(topic, index)

    # ── configuration ──

    def _config(self, topic: str) -> LogConfig:
        return log_config(self._topic_values(topic))

    def _reconfigure(self, topic: str) -> None:
        agreed = self._image.topics.get(topic) if self._image is not None else None
        if agreed is None:
            return
        config = self._config(topic)
        for index in agreed.partitions:
            partition = self.partitions.get((topic, index))
            if partition is not None:
                partition.log.reconfigure(config)

    def reconfigure_all(self) -> None:
        """The broker's own defaults changed."""
        for topic in {topic for topic, _ in self.partitions}:
            self._reconfigure(topic)

    # ── what recurs ──

    def start(self) -> None:
        """Begin retention, checkpoints and flushing by time, and make what was agreed on and never made."""
        settings = self._settings
        first = settings.log_initial_task_delay_ms
        self._every(settings.log_retention_check_interval_ms, first, self.enforce_retention)
        self._every(settings.log_flush_scheduler_interval_ms, first, self._flush)
        self._every(settings.log_flush_offset_checkpoint_interval_ms, first, self._checkpoint_recovery_points)
        self._every(settings.log_flush_start_offset_checkpoint_interval_ms, first, self._checkpoint_log_starts)
        interval = settings.replica_high_watermark_checkpoint_interval_ms
        self._every(interval, interval, self._checkpoint_high_watermarks)
        self._make_some()

    def _every(self, interval_ms: int, first_ms: int, task: Callable[[], object]) -> None:
        place = len(self._timers)

        def run() -> None:
            if not self._is_closed:
                task()
                self._timers[place] = self._loop.call_later(interval_ms / 1000, run)

        self._timers.append(self._loop.call_later(first_ms / 1000, run))

    def enforce_retention(self) -> int:
        """Drop what retention says; how many segments that were."""
        now_ms = self._clock.wall_ms()
        count = 0
        for partition in self.partitions.values():
            try:
                count += partition.log.enforce_retention(now_ms)
            except OSError as error:
                self._log.error("retention of %s: %s", partition.name, error)
        return count

    def _flush(self) -> None:
        now_ms = self._clock.wall_ms()
        for partition in self.partitions.values():
            partition.log.flush_when_due(now_ms)

    def _checkpoint_recovery_points(self) -> None:
        self.store.checkpoint_recovery_points()

    def _checkpoint_log_starts(self) -> None:
        self.store.checkpoint_log_starts()

    def _checkpoint_high_watermarks(self) -> None:
        self.store.checkpoint_high_watermarks()

    # ── end ──

    def close(self) -> None:
        """Serve nothing any more. The logs are the store's to close."""
        self._is_closed = True
        self._coming.clear()
        for timer in self._timers:
            timer.cancel()
        for partition in self.partitions.values():
            partition.close()
        self.partitions.clear()
