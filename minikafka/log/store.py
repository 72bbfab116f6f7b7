"""One data directory: which partitions lie in it, whether the last stop was clean, and what its checkpoints say.

    .lock                              held while a broker uses the directory
    meta.properties                    version=1, node.id, cluster.id, directory.id
    .kafka_cleanshutdown               {"version":0,"brokerEpoch":n}; there only after a clean stop, gone while running
    recovery-point-offset-checkpoint   replication-offset-checkpoint   log-start-offset-checkpoint
    <topic>-<partition>/               one log each; `partition.metadata` says which topic id it belongs to
    <topic>-<partition>.<id>-delete/   on its way out          <topic>-<partition>-stray/   nobody's; kept, not served

Law 1: a directory has one owner. Java takes a POSIX record lock on `.lock`, and so do we.
Law 2: the clean mark is taken away before anything is appended, and set after everything was synced.
Law 3: checkpoints are written in the executor: a broker must not stand still for an fsync because a minute has passed.
"""

import asyncio
import base64
import json
from collections.abc import Callable
from functools import partial
from random import Random

from minikafka.log.checkpoints import OffsetCheckpoint
from minikafka.log.config import LogConfig
from minikafka.log.handles import Handles
from minikafka.log.health import Health
from minikafka.log.log import Log
from minikafka.log.segment import CorruptLog, LegacyFormat
from protocol.disk.files import Disk, Lock
from protocol.kafka.errors import KafkaStorageError
from protocol.ops.clock import Clock
from protocol.ops.logs import KafkaLogger

__all__ = ["Store", "TopicPartition"]

TopicPartition = tuple[str, int]

CLEAN_MARK = ".kafka_cleanshutdown"
METADATA = "partition.metadata"
PROPERTIES = "meta.properties"
DELETED = "-delete"
STRAY = "-stray"
FUTURE = "-future"
MAX_NAME_BYTES = 255  # of a file system's directory entry
CHECKPOINTS = ("recovery-point-offset-checkpoint", "replication-offset-checkpoint", "log-start-offset-checkpoint")


def partition_of(name: str) -> TopicPartition | None:
    """The topic and partition a directory is named after."""
    topic, dash, digits = name.rpartition("-")
    return (topic, int(digits)) if dash and topic and digits.isascii() and digits.isdecimal() else None


class Store:
    """The logs in one data directory."""

    def __init__(
        self,
        disk: Disk,
        directory: str,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        random: Random,
        log: KafkaLogger,
        max_open_files: int = 10_000,
    ) -> None:
        self.disk = disk
        self.directory = directory
        self.logs: dict[TopicPartition, Log] = {}
        self.was_clean = False
        self.broker_epoch = -1  # of the broker that stopped cleanly here
        self.handles = Handles(disk, max_open_files)
        self._loop = loop
        self._clock = clock
        self._random = random
        self._log = log
        self.health = Health(directory, clock, log)
        self._lock: Lock | None = None
        self._recovery, self._replication, self._starts = (
            OffsetCheckpoint(disk, f"{directory}/{name}") for name in CHECKPOINTS
        )
        self._recovery_points: dict[TopicPartition, int] = {}
        self._high_watermarks: dict[TopicPartition, int] = {}
        self._log_starts: dict[TopicPartition, int] = {}
        self._writing: asyncio.Future[None] | None = None
        self._was_refused = False  # the last checkpoint found no room

    # ── the directory ──

    def open(self) -> None:
        """Take the directory. AlreadyLocked when somebody has it; OSError when it cannot be used."""
        self.disk.make_dirs_durably(self.directory)
        self._lock = self.disk.lock(f"{self.directory}/.lock")
        self._take_clean_mark()
        self._recovery_points = self._recovery.read()
        self._high_watermarks = self._replication.read()
        self._log_starts = self._starts.read()

    def _take_clean_mark(self) -> None:
        path = f"{self.directory}/{CLEAN_MARK}"
        self.was_clean = self.disk.exists(path)
        if self.was_clean:
            try:
                self.broker_epoch = int(json.loads(self.disk.read(path) or b"{}").get("brokerEpoch", -1))
            except (ValueError, AttributeError, TypeError):
                self.broker_epoch = -1  # an empty or unreadable mark still says that the stop was clean
            self.disk.remove(path)
            self.disk.sync_dir(self.directory)

    def read_properties(self) -> dict[str, str] | None:
        """meta.properties; None in a directory that was never formatted."""
        path = f"{self.directory}/{PROPERTIES}"
        if not self.disk.exists(path):
            return None
        lines = self.disk.read(path).decode("utf-8", "replace").splitlines()
        pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
        return {name.strip(): value.strip() for name, _, value in pairs}

    def write_properties(self, properties: dict[str, str]) -> None:
        """Format the directory, or say anew whose it is."""
        text = "#\n" + "".join(f"{name}={value}\n" for name, value in properties.items())
        self.disk.write_atomically(f"{self.directory}/{PROPERTIES}", text.encode("utf-8"))

    def partitions(self) -> list[TopicPartition]:
        """What lies here, and is not on its way out."""
        found = []
        for name in self.disk.list(self.directory):
            place = partition_of(name)
            if place is not None and self.disk.is_dir(f"{self.directory}/{name}"):
                found.append(place)
        return found

    def remove_leftovers(self) -> None:
        """Finish the deletions an earlier run did not get to."""
        for name in self.disk.list(self.directory):
            if name.endswith(DELETED) and "." in name:
                self._remove_tree(f"{self.directory}/{name}")

    def _remove_tree(self, path: str) -> None:
        self._loop.run_in_executor(None, self.disk.remove_tree, path)

    def path_of(self, topic: str, partition: int) -> str:
        return f"{self.directory}/{topic}-{partition}"

    # ── one log ──

    def open_log(self, topic: str, partition: int, config: LogConfig, *, topic_id: bytes | None = None) -> Log:
        """Open a partition's log, or make it. KafkaStorageError when what is there cannot be read or written."""
        place = (topic, partition)
        assert place not in self.logs, f"{topic}-{partition} is open already"
        directory = self.path_of(topic, partition)
        opened = Log(self.handles, directory, config, self._loop, self._clock, self._random, self.health)
        try:
            self.disk.make_dirs(directory)
            if topic_id is not None and self.topic_id_of(topic, partition) is None:
                self._write_topic_id(directory, topic_id)
            opened.open(
                recovery_point=self._recovery_points.get(place, 0),
                log_start=self._log_starts.get(place, 0),
                was_clean=self.was_clean,
            )
        except (OSError, CorruptLog, LegacyFormat) as error:
            raise KafkaStorageError(f"{topic}-{partition}: {error}") from error
        known = self._high_watermarks.get(place, 0)
        opened.high_watermark = min(max(known, opened.log_start_offset), opened.log_end_offset)
        self.logs[place] = opened
        return opened

    def _write_topic_id(self, directory: str, topic_id: bytes) -> None:
        text = base64.urlsafe_b64encode(topic_id).rstrip(b"=").decode("ascii")
        self.disk.write_atomically(f"{directory}/{METADATA}", f"version: 0\ntopic_id: {text}".encode("ascii"))

    def topic_id_of(self, topic: str, partition: int) -> bytes | None:
        """The topic id a partition's directory belongs to; None when it does not say."""
        path = f"{self.path_of(topic, partition)}/{METADATA}"
        if not self.disk.exists(path):
            return None
        for line in self.disk.read(path).decode("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name == "topic_id":
                try:
                    found = base64.urlsafe_b64decode(value.strip() + "==")
                except ValueError:
                    return None
                return found if len(found) == 16 else None
        return None

    def delete_log(self, topic: str, partition: int) -> None:
        """Take a partition out of sight at once; its files follow after file.delete.delay.ms."""
        opened = self.logs.pop((topic, partition), None)
        delay_ms = opened.config.delete_delay_ms if opened else 0
        if opened is not None:
            opened.close(clean=False)
        tail = f".{self._random.getrandbits(128):032x}{DELETED}"
        stem = f"{topic}-{partition}"[: MAX_NAME_BYTES - len(tail)]
        path = f"{self.directory}/{stem}{tail}"
        self.disk.rename(self.path_of(topic, partition), path)
        self._forget((topic, partition))
        self._loop.call_later(delay_ms / 1000, self._remove_tree, path)

    def mark_stray(self, topic: str, partition: int) -> None:
        """Put aside a partition nobody in the cluster knows; somebody may want to look at it."""
        name = f"{topic}-{partition}"[: MAX_NAME_BYTES - 33 - len(STRAY)]
        self.disk.rename(
            self.path_of(topic, partition), f"{self.directory}/{name}.{self._random.getrandbits(128):032x}{STRAY}"
        )
        self._forget((topic, partition))

    def _forget(self, place: TopicPartition) -> None:
        for kept in (self._recovery_points, self._high_watermarks, self._log_starts):
            kept.pop(place, None)

    # ── checkpoints ──

    def recovery_points(self) -> dict[TopicPartition, int]:
        return {place: each.recovery_point for place, each in self.logs.items()}

    def high_watermarks(self) -> dict[TopicPartition, int]:
        return {place: each.high_watermark for place, each in self.logs.items()}

    def log_starts(self) -> dict[TopicPartition, int]:
        """Those that lie inside a segment; the others follow from the files' names."""
        return {
            place: each.log_start_offset
            for place, each in self.logs.items()
            if each.log_start_offset > each.segments[0].base_offset
        }

    def checkpoint_recovery_points(self) -> "asyncio.Future[None]":
        return self._write_soon(partial(self._recovery.write, self.recovery_points()))

    def checkpoint_high_watermarks(self) -> "asyncio.Future[None]":
        return self._write_soon(partial(self._replication.write, self.high_watermarks()))

    def checkpoint_log_starts(self) -> "asyncio.Future[None]":
        return self._write_soon(partial(self._starts.write, self.log_starts()))

    def _write_soon(self, write: Callable[[], None]) -> "asyncio.Future[None]":
        """Write in the executor, one after the other, so that a later state never comes before an earlier one."""
        answer: asyncio.Future[None] = self._loop.create_future()
        before, self._writing = self._writing, answer
        if before is None or before.done():
            self._start_write(write, answer)
        else:
            before.add_done_callback(lambda _: self._start_write(write, answer))
        return answer

    def _start_write(self, write: Callable[[], None], answer: "asyncio.Future[None]") -> None:
        running = self._loop.run_in_executor(None, write)
        running.add_done_callback(partial(self._end_write, answer))

    def _end_write(self, answer: "asyncio.Future[None]", running: "asyncio.Future[None]") -> None:
        if answer.done():
            return
        error = running.exception()
        if error is not None:
            if isinstance(error, OSError):
                self._was_refused = True
                self.health.refused("a checkpoint", error)
            else:
                self._log.error("a checkpoint could not be written: %s", error)
            answer.set_exception(KafkaStorageError(str(error)))
            answer.exception()  # most callers go on; those who wait are told
        else:
            if self._was_refused:
                self._was_refused = False
                self.health.took()
            answer.set_result(None)

    # ── end ──

    def close(self, *, clean: bool = True, broker_epoch: int = -1) -> None:
        """Close every log. After a clean close the next start need not look at the data."""
        was_failed = False
        for opened in self.logs.values():
            try:
                opened.close(clean=clean)
            except (OSError, KafkaStorageError) as error:
                was_failed = True
                self._log.error("closing %s: %s", opened.directory, error)
            was_failed = was_failed or opened.failure is not None
        if clean:
            self._recovery.write(self.recovery_points())
            self._replication.write(self.high_watermarks())
            self._starts.write(self.log_starts())
            if not was_failed:
                mark = json.dumps({"version": 0, "brokerEpoch": broker_epoch}, separators=(",", ":"))
                self.disk.write_atomically(f"{self.directory}/{CLEAN_MARK}", mark.encode("ascii"))
        self.logs.clear()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
