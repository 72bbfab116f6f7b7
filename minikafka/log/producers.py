"""What each idempotent producer wrote last to one partition, and which transactions are open.

    <end offset>.snapshot     everything below, as of an end offset (exclusive), so that a start need not read the log
    ┌─────────────┬─────────────────────────┬─────────┬────────────────────────────────────────────────────────────┐
    │ version i16 │ CRC-32C u32 of the rest │ n i32   │ n × 46: producer id i64, epoch i16, last sequence i32,     │
    │ = 1         │ from byte 6 on          │         │ last offset i64, offset delta i32, timestamp i64,          │
    │             │                         │         │ coordinator epoch i32, first offset of open transaction i64│
    └─────────────┴─────────────────────────┴─────────┴────────────────────────────────────────────────────────────┘

Law 1: a batch is appended once. The last five batches of a producer's epoch are remembered; one that comes again is
       answered with the offset it got (KIP-98).
Law 2: sequences have no gaps. An unknown producer may begin anywhere, because its past may have been deleted; after
       2^31-1 comes 0. A lower epoch than the last one seen is fenced.
Law 3: nothing here changes before the batch is in the log: `check` decides, `record` notes.
Law 4: what is below `first_unstable` is decided and replicated: readers of committed data stop there.
"""

from struct import Struct, error

from minikafka.log.aborted import AbortedTransaction
from protocol.checksums import crc32c
from protocol.disk.files import Disk
from protocol.kafka.batch import CONTROL, TRANSACTIONAL, BatchHeader
from protocol.kafka.errors import (
    InvalidProducerEpoch,
    InvalidTxnState,
    OutOfOrderSequenceNumber,
    TransactionCoordinatorFenced,
)

__all__ = ["BATCHES_KEPT", "NO_PRODUCER", "CorruptSnapshot", "Producer", "Producers", "SeenBatch"]

BATCHES_KEPT = 5  # a client may have five requests in flight (max.in.flight.requests.per.connection)
NO_PRODUCER = -1
NO_EPOCH = -1
MAX_SEQUENCE = (1 << 31) - 1
SNAPSHOT_HEAD = Struct(">hIi")
SNAPSHOT_ENTRY = Struct(">qhiqiqiq")
SNAPSHOT_VERSION = 1
SUFFIX = ".snapshot"
CHECKED_FROM = 6  # the checksum covers what follows it

SeenBatch = tuple[int, int, int, int]  # last sequence, last offset, offset delta, timestamp
Marker = tuple[bool, int]  # of a control batch: is it an abort, coordinator epoch


class CorruptSnapshot(Exception):
    """A snapshot file that cannot be used: an older one and the log have to do."""


def sequence_after(sequence: int, step: int) -> int:
    """The sequence number `step` records later."""
    return (sequence + step) & MAX_SEQUENCE


class Producer:
    """One producer id on one partition."""

    __slots__ = ("batches", "coordinator_epoch", "epoch", "producer_id", "timestamp", "transaction_start")

    def __init__(self, producer_id: int) -> None:
        self.producer_id = producer_id
        self.epoch = NO_EPOCH
        self.coordinator_epoch = -1
        self.timestamp = -1  # of its last batch, ms
        self.transaction_start = -1  # first offset of its open transaction, -1 without one
        self.batches: list[SeenBatch] = []  # the last BATCHES_KEPT of this epoch, oldest first

    def duplicate_of(self, epoch: int, first_sequence: int, last_sequence: int) -> SeenBatch | None:
        if epoch == self.epoch:
            for seen in self.batches:
                if seen[0] == last_sequence and sequence_after(last_sequence, -seen[2]) == first_sequence:
                    return seen
        return None

    def is_next(self, epoch: int, first_sequence: int) -> bool:
        """Whether a batch outside of transactions follows the last one: then it is new and may be taken."""
        batches = self.batches
        return (
            epoch == self.epoch
            and self.transaction_start < 0
            and bool(batches)
            and first_sequence == sequence_after(batches[-1][0], 1)
        )

    def check_sequence(self, epoch: int, first_sequence: int) -> None:
        if self.epoch == NO_EPOCH:
            return
        if epoch != self.epoch:
            if first_sequence != 0:
                raise OutOfOrderSequenceNumber(
                    f"Invalid sequence number for new epoch of producer {self.producer_id}: {epoch} (request epoch), "
                    f"{first_sequence} (seq. number), {self.epoch} (current producer epoch)"
                )
            return
        last_sequence = self.batches[-1][0] if self.batches else -1
        if first_sequence != sequence_after(last_sequence, 1):
            raise OutOfOrderSequenceNumber(
                f"Out of order sequence number for producer {self.producer_id}: {first_sequence} "
                f"(incoming seq. number), {last_sequence} (current end sequence number)"
            )

    def check_epoch(self, epoch: int) -> None:
        if epoch < self.epoch:
            raise InvalidProducerEpoch(
                f"Epoch of producer {self.producer_id} is {epoch}, "
                f"which is smaller than the last seen epoch {self.epoch}"
            )

    def enter_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.batches.clear()
            self.epoch = epoch

    def add_batch(self, seen: SeenBatch) -> None:
        if len(self.batches) == BATCHES_KEPT:
            del self.batches[0]
        self.batches.append(seen)
        self.timestamp = seen[3]


class Producers:
    """The producers of one log, in memory and in its directory's `.snapshot` files."""

    def __init__(self, disk: Disk, directory: str, expiration_ms: int) -> None:
        self._disk = disk
        self._directory = directory
        self.expiration_ms = expiration_ms
        self.by_id: dict[int, Producer] = {}
        self.open_transactions: dict[int, int] = {}  # first offset → producer id, oldest first
        self.unreplicated: dict[int, int] = {}  # ended above the high watermark: first offset → offset of the marker
        self.end_offset = 0  # what the map reflects: everything below
        self.snapshots: list[int] = []  # offsets of the files, ascending
        self._snapshot_offset = 0  # what the latest one reflects, or where the log began

    # ── one batch ──

    def duplicate_of(self, header: BatchHeader) -> SeenBatch | None:
        """What we remember of this very batch, if it was appended before."""
        producer = self.by_id.get(header.producer_id)
        if producer is None:
            return None
        last_sequence = sequence_after(header.base_sequence, header.last_offset_delta)
        return producer.duplicate_of(header.producer_epoch, header.base_sequence, last_sequence)

    def check(self, header: BatchHeader, *, with_sequence: bool) -> None:
        """Raise what a data batch must be refused with; nothing is changed."""
        producer = self.by_id.get(header.producer_id)
        if producer is None:
            return
        producer.check_epoch(header.producer_epoch)
        if with_sequence:
            producer.check_sequence(header.producer_epoch, header.base_sequence)
        if producer.transaction_start >= 0 and not header.attributes & TRANSACTIONAL:
            raise InvalidTxnState(f"Expected a transactional write from producer {header.producer_id}")

    def check_marker(self, header: BatchHeader, marker: Marker) -> None:
        """The same for the batch that ends a transaction."""
        producer = self.by_id.get(header.producer_id)
        if producer is not None:
            producer.check_epoch(header.producer_epoch)
            if producer.coordinator_epoch > marker[1]:
                raise TransactionCoordinatorFenced(
                    f"Invalid coordinator epoch for producer {header.producer_id}: {marker[1]} (zombie), "
                    f"{producer.coordinator_epoch} (current)"
                )

    def record(self, header: BatchHeader, first_offset: int, marker: Marker | None) -> AbortedTransaction | None:
        """Note an appended batch; return the transaction it aborted, if it is such a marker."""
        last_offset = first_offset + header.last_offset_delta
        self.end_offset = last_offset + 1
        if header.producer_id <= NO_PRODUCER:
            return None
        producer = self.by_id.get(header.producer_id)
        if producer is None:
            producer = self.by_id[header.producer_id] = Producer(header.producer_id)
        producer.enter_epoch(header.producer_epoch)
        if header.attributes & CONTROL:
            return self._end_transaction(producer, first_offset, header.max_timestamp, marker)
        last_sequence = sequence_after(header.base_sequence, header.last_offset_delta)
        if header.base_sequence < 0:  # a coordinator's record: fenced by epoch alone
            last_sequence = -1
        producer.add_batch((last_sequence, last_offset, header.last_offset_delta, header.max_timestamp))
        if header.attributes & TRANSACTIONAL and producer.transaction_start < 0:
            producer.transaction_start = first_offset
            self.open_transactions[first_offset] = header.producer_id
        return None

    def _end_transaction(
        self, producer: Producer, offset: int, timestamp: int, marker: Marker | None
    ) -> AbortedTransaction | None:
        if marker is None:  # the cleaner left an empty batch: the whole transaction is gone
            return None
        is_abort, producer.coordinator_epoch = marker
        producer.timestamp = timestamp
        first_offset, producer.transaction_start = producer.transaction_start, -1
        if first_offset < 0:  # no data in this partition, nothing to hide or to show
            return None
        self.open_transactions.pop(first_offset, None)
        stable = min(self.open_transactions, default=offset + 1)
        self.unreplicated[first_offset] = offset
        return AbortedTransaction(producer.producer_id, first_offset, offset, stable) if is_abort else None

    # ── watermarks, time ──

    @property
    def first_unstable(self) -> int | None:
        """The first offset a reader of committed data must not pass; None when there is none."""
        if not self.open_transactions and not self.unreplicated:
            return None
        return min(min(self.open_transactions, default=1 << 63), min(self.unreplicated, default=1 << 63))

    def advance_high_watermark(self, high_watermark: int) -> None:
        """Ended transactions whose marker is replicated are unstable no longer."""
        if self.unreplicated:
            for first_offset in [first for first, last in self.unreplicated.items() if last < high_watermark]:
                del self.unreplicated[first_offset]

    def expire(self, now_ms: int) -> int:
        """Forget producers that were silent too long and have no open transaction; how many."""
        limit = now_ms - self.expiration_ms
        idle = [p.producer_id for p in self.by_id.values() if p.timestamp <= limit and p.transaction_start < 0]
        for producer_id in idle:
            del self.by_id[producer_id]
        return len(idle)

    # ── snapshots ──

    def _path(self, offset: int) -> str:
        return f"{self._directory}/{offset:020d}{SUFFIX}"

    def find_snapshots(self, names: list[str]) -> None:
        """Take up the snapshot files among a directory's names."""
        stems = [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]
        self.snapshots = sorted(int(stem) for stem in stems if stem.isdecimal())

    def snapshot(self, *, sync: bool) -> None:
        """Write the state as of `end_offset`, unless nothing was appended since the last one. Its checksum tells a
        later start whether it came through."""
        if self.end_offset <= self._snapshot_offset:
            return
        path = self._path(self.end_offset)
        if sync:
            self._disk.write_atomically(path, self.encode())
        else:
            file = self._disk.open(path)
            try:
                file.truncate(0)
                file.append(self.encode())
            finally:
                file.close()
        self.snapshots.append(self.end_offset)
        self._snapshot_offset = self.end_offset

    def encode(self) -> bytes:
        entries = bytearray()
        for producer in self.by_id.values():
            last_sequence, last_offset, delta, _ = producer.batches[-1] if producer.batches else (-1, -1, 0, -1)
            entries += SNAPSHOT_ENTRY.pack(
                producer.producer_id,
                producer.epoch,
                last_sequence,
                last_offset,
                delta,
                producer.timestamp,
                producer.coordinator_epoch,
                producer.transaction_start,
            )
        head = SNAPSHOT_HEAD.pack(SNAPSHOT_VERSION, 0, len(self.by_id))
        checked = head[CHECKED_FROM:] + entries
        return head[:2] + crc32c(checked).to_bytes(4, "big") + checked

    @staticmethod
    def decode(data: bytes) -> list[Producer]:
        """Read a snapshot. Raises CorruptSnapshot."""
        try:
            version, checksum, count = SNAPSHOT_HEAD.unpack_from(data)
        except error:
            raise CorruptSnapshot("shorter than its head") from None
        if version != SNAPSHOT_VERSION or crc32c(data[CHECKED_FROM:]) != checksum:
            raise CorruptSnapshot(f"version {version}, checksum {checksum:08x}")
        if len(data) != SNAPSHOT_HEAD.size + count * SNAPSHOT_ENTRY.size:
            raise CorruptSnapshot(f"{count} entries do not make {len(data)} bytes")
        found = []
        for (
            producer_id,
            epoch,
            last_sequence,
            last_offset,
            delta,
            timestamp,
            coordinator,
            start,
        ) in SNAPSHOT_ENTRY.iter_unpack(data[SNAPSHOT_HEAD.size :]):
            producer = Producer(producer_id)
            producer.epoch, producer.timestamp = epoch, timestamp
            producer.coordinator_epoch, producer.transaction_start = coordinator, start
            if last_offset >= 0:
                producer.batches.append((last_sequence, last_offset, delta, timestamp))
            found.append(producer)
        return found

    def load(self, start_offset: int, up_to: int, now_ms: int) -> None:
        """Begin at the latest usable snapshot at or below `up_to`; later ones are removed. `end_offset` says from
        where the caller replays the log."""
        self.clear(start_offset)
        while self.snapshots and self.snapshots[-1] > up_to:
            self.remove_snapshot(self.snapshots[-1])
        while self.snapshots and self.snapshots[-1] >= start_offset:
            try:
                producers = self.decode(self._disk.read(self._path(self.snapshots[-1])))
            except CorruptSnapshot:
                self.remove_snapshot(self.snapshots[-1])
                continue
            self._take_up(producers, now_ms)
            self.end_offset = self._snapshot_offset = self.snapshots[-1]
            return

    def _take_up(self, producers: list[Producer], now_ms: int) -> None:
        limit = now_ms - self.expiration_ms
        for producer in sorted(producers, key=lambda each: each.transaction_start):
            if producer.transaction_start >= 0:
                self.open_transactions[producer.transaction_start] = producer.producer_id
            elif producer.timestamp <= limit:
                continue
            self.by_id[producer.producer_id] = producer

    def clear(self, end_offset: int) -> None:
        self.by_id.clear()
        self.open_transactions.clear()
        self.unreplicated.clear()
        self.end_offset = self._snapshot_offset = end_offset

    def remove_snapshot(self, offset: int) -> None:
        self.snapshots.remove(offset)
        self._disk.remove(self._path(offset))

    def keep_snapshots(self, segment_bases: list[int]) -> None:
        """Keep one snapshot at each segment's base, and the latest of all."""
        kept = set(segment_bases)
        for offset in self.snapshots[:-1]:
            if offset not in kept:
                self.remove_snapshot(offset)

    def remove_snapshots_below(self, offset: int) -> None:
        for snapshot in [each for each in self.snapshots if each < offset]:
            self.remove_snapshot(snapshot)
