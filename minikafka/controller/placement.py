"""Where the replicas of new partitions go: in stripes over racks and brokers, as Kafka's striped placer does.

Leaders go round the brokers; each partition's followers start one further than the last's, and racks alternate, so that
no rack holds two replicas of a partition before every rack holds one. Fenced brokers are given replicas only when those
in service are not enough, and never the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from minikafka.metadata.image import Broker
from protocol.kafka.errors import InvalidReplicationFactor


class Brokers:
    """A rack's brokers in a circle that begins one further in each epoch."""

    __slots__ = ("epoch", "index", "numbers", "offset")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.epoch = self.index = self.offset = 0

    def begin(self, random: Random) -> None:
        if self.numbers:
            self.numbers.sort()
            self.offset = random.randrange(len(self.numbers))

    def next(self, epoch: int) -> int | None:
        """The next broker of this epoch's round; None when each had its turn."""
        if not self.numbers:
            return None
        if self.epoch != epoch:
            self.epoch, self.index = epoch, 0
            self.offset = (self.offset + 1) % len(self.numbers)
        if self.index >= len(self.numbers):
            return None
        number = self.numbers[(self.index + self.offset) % len(self.numbers)]
        self.index += 1
        return number


class Rack:
    """The brokers of one rack: those in service and the fenced ones."""

    __slots__ = ("fenced", "usable")

    def __init__(self) -> None:
        self.usable = Brokers()
        self.fenced = Brokers()

    def next(self, epoch: int) -> int | None:
        number = self.usable.next(epoch)
        return self.fenced.next(epoch) if number is None else number


def place(brokers: Iterable[Broker], partitions: int, replication_factor: int, random: Random) -> list[list[int]]:
    """The replicas of each new partition, the preferred leader first. Raises InvalidReplicationFactor."""
    racks: dict[str | None, Rack] = {}
    total = usable = 0
    for broker in brokers:
        if broker.in_controlled_shutdown or _is_cordoned(broker):
            continue
        rack = racks.setdefault(broker.rack, Rack())
        (rack.fenced if broker.is_fenced else rack.usable).numbers.append(broker.id)
        total += 1
        usable += not broker.is_fenced
    if usable == 0:
        raise InvalidReplicationFactor("All brokers are currently fenced.")
    if replication_factor > total:
        raise InvalidReplicationFactor(
            f"The target replication factor of {replication_factor} cannot be reached because only {total} broker(s) "
            "are registered or some brokers have all their log directories cordoned."
        )
    for rack in racks.values():
        rack.usable.begin(random)
        rack.fenced.begin(random)
    return Stripes([racks[name] for name in sorted(racks, key=lambda name: name or "")], usable, random).place(
        partitions, replication_factor
    )


def _is_cordoned(broker: Broker) -> bool:
    """Whether every directory of the broker is closed to new replicas."""
    return bool(broker.cordoned_log_dirs) and set(broker.log_dirs) <= set(broker.cordoned_log_dirs or ())


class Stripes:
    """The walk over racks that places one partition after the other."""

    def __init__(self, racks: list[Rack], usable: int, random: Random) -> None:
        self.racks = racks
        self.usable = usable
        self.random = random
        self.epoch = 0
        self.offset = random.randrange(len(racks))

    def place(self, partitions: int, replication_factor: int) -> list[list[int]]:
        return [self._place_one(replication_factor) for _ in range(partitions)]

    def _place_one(self, replication_factor: int) -> list[int]:
        if self.epoch == self.usable and self.usable > 1:
            self._shuffle()
        self.offset %= len(self.racks)
        leader_rack, leader = self._leader()
        replicas = [leader]
        at = self.offset
        skipped = leader_rack  # its turn for this partition's second replica is taken by the leader
        while len(replicas) < replication_factor:
            if at == skipped:
                skipped = -1
            elif (number := self.racks[at].next(self.epoch)) is not None:
                replicas.append(number)
            at = (at + 1) % len(self.racks)
        self.epoch += 1
        self.offset += 1
        return replicas

    def _leader(self) -> tuple[int, int]:
        at = self.offset
        while True:
            number = self.racks[at].usable.next(self.epoch)
            if number is not None:
                return at, number
            at = (at + 1) % len(self.racks)

    def _shuffle(self) -> None:
        self.random.shuffle(self.racks)
        for rack in self.racks:
            self.random.shuffle(rack.usable.numbers)
            self.random.shuffle(rack.fenced.numbers)
        self.epoch = 0
