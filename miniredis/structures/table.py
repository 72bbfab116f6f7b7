"""The table of keys: a hash table that can also be walked, sampled and aged.

Four things must hold at once: a SCAN cursor that never misses a key that stays (and keeps no state per cursor), random
sampling in O(1), an access clock for every key, and no stall when a large table grows.

    hash(key)     …  31        16 │ 15       9 │ 8        0
                  ────────────────┴────────────┼───────────
                            spot in the shard  │  shard            512 shards

    shards[hash(key) & 511] ──►  spots   spot -> slot, -1: none    (array, a power of two)
                                 keys    slot -> key               (list, dense)
                                 values  slot -> value             (list, dense)
                                 clocks  slot -> 24-bit clock      (array)

Law 1: slots are dense. Removing a key moves the shard's last key into the hole, so a key that stays only ever moves to
       a *lower* slot – and a cursor that runs downwards can therefore not miss it.
Law 2: a cursor is `remaining slots << 9 | shard` and means "in this shard, all slots below that are still to come".
       0 is both the start and the end, as SCAN wants it: a cursor on the way always has slots remaining.
Law 3: a key's slot stands at its own spot or at the next ones, without a free spot in between: who looks for a key and
       comes to a free one knows that it is not there. Removing closes the gap.
Law 4: no two shards need more spots at the same time. Hashes deal keys out so evenly that all would, at a power of two:
       the first shard gets new spots when half of them are taken, the last when three quarters are; and where chance
       would have it otherwise, one of them waits.

A dict in the place of `spots` costs 27 to 54 bytes a key where these are 3 to 8, and would store each key twice: that
decides whether a million short strings take 1.7 times Redis's memory or 1.3. It answers 0.03 µs sooner. Against plain
dicts of all keys: those stop everybody for 126 ms when they grow beyond three million keys, a shard for 2 ms.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final, Generic, TypeVar, cast

V = TypeVar("V")

SHARD_BITS: Final = 9
SHARDS: Final = 1 << SHARD_BITS
MASK: Final = SHARDS - 1
# Among so few keys a sample is counted off: there are too many empty shards to try one after the other.
_FEW_KEYS: Final = 64
# So many draws in vain, and it is looked again how large the shards are.
_DRAWS: Final = 32
# So many new keys, as part of those it has, must have come since another shard grew before one does: it can wait, until
# this part of its spots is taken. So a few hundred keys make one large shard grow, not two.
_APART: Final = 1 / 16
_CROWDED: Final = 7 / 8
# A shard of which less than this fraction of its spots is taken gives memory back.
_SHRINK_FACTOR: Final = 16
_LEAST_SPOTS: Final = 8
# With so many spots all slots are below 32,768 and take two bytes, otherwise four.
_SHORT_SPOTS: Final = 32_768


def _room(spots: int, part: int) -> int:
    """How many keys a shard has room for on so many spots (Law 4)."""
    return spots * (2 * SHARDS + part) >> SHARD_BITS + 2


class Shard(Generic[V]):
    """One part of a table; `room`: so many keys before it needs more spots."""

    __slots__ = ("clocks", "keys", "mask", "part", "room", "spots", "values")

    def __init__(self, values: list[V], part: int, spots: int) -> None:
        self.keys: list[bytes] = []
        self.values = values
        self.clocks: array[int] = array("I")
        self.part = part
        self.make_spots(spots)

    def make_spots(self, count: int) -> None:
        """Place all keys anew, on this power of two of spots; on one there is room for none (Law 4)."""
        self.room = _room(count, self.part)
        spots = self.spots = array("h" if count <= _SHORT_SPOTS else "i", [-1]) * count
        mask = self.mask = count - 1
        for slot, number in enumerate(map(hash, self.keys)):
            spot = number >> SHARD_BITS & mask
            while spots[spot] >= 0:
                spot = spot + 1 & mask
            spots[spot] = slot

    def find(self, key: bytes, number: int) -> int:
        """The slot of the key with this hash, or -1."""
        spots, keys, mask = self.spots, self.keys, self.mask
        spot = number >> SHARD_BITS & mask
        while True:
            slot = spots[spot]
            if slot < 0 or keys[slot] == key:
                return slot
            spot = spot + 1 & mask

    def spot_of(self, number: int, slot: int) -> int:
        """Where the slot of a key with this hash stands."""
        spots, mask = self.spots, self.mask
        spot = number >> SHARD_BITS & mask
        while spots[spot] != slot:
            spot = spot + 1 & mask
        return spot

    def close(self, spot: int) -> None:
        """Free this spot: keys behind it that had to move on come nearer to their own."""
        spots, keys, mask = self.spots, self.keys, self.mask
        free = spot
        while True:
            spot = spot + 1 & mask
            slot = spots[spot]
            if slot < 0:
                break
            own = hash(keys[slot]) >> SHARD_BITS
            if spot - own & mask >= spot - free & mask:
                spots[free] = slot
                free = spot
        spots[free] = -1


def instants() -> list[int]:
    """For a table of 64-bit numbers: eight bytes each instead of an object each. An array does what is asked of the
    list here: append, pop, one place, and walking."""
    return cast("list[int]", array("q"))


class Table(Generic[V]):
    """bytes -> V. `shards` is open to the one module that is on the path of every command (keyspace/db.py)."""

    __slots__ = ("_grown_at", "_most_room", "make_values", "shards", "size", "vacant")

    def __init__(self, make_values: Callable[[], list[V]] = list) -> None:
        """`make_values`: what a shard keeps its values in; see `instants`."""
        self.make_values = make_values
        # Stands for every shard without keys; never written to.
        self.vacant: Shard[V] = Shard(make_values(), 0, 1)
        self.shards: list[Shard[V]] = [self.vacant] * SHARDS
        self.size = 0
        self._most_room = 0  # no shard has more
        self._grown_at = 0  # keys there were when a shard last got more spots

    def __len__(self) -> int:
        return self.size

    def __contains__(self, key: bytes) -> bool:
        return self.find(key)[1] >= 0

    def __iter__(self) -> Iterator[bytes]:
        for shard in self.shards:
            yield from shard.keys

    def items(self) -> Iterator[tuple[bytes, V]]:
        for shard in self.shards:
            yield from zip(shard.keys, shard.values, strict=True)

    def find(self, key: bytes) -> tuple[Shard[V], int]:
        """The shard and the slot of a key; -1 where it is not there."""
        number = hash(key)
        shard = self.shards[number & MASK]
        return shard, shard.find(key, number)

    def get(self, key: bytes) -> V | None:
        number = hash(key)
        shard = self.shards[number & MASK]
        slot = shard.find(key, number)
        return None if slot < 0 else shard.values[slot]

    def set(self, key: bytes, value: V) -> None:
        shard, slot = self.find(key)
        if slot < 0:
            self.add(key, value, 0)
        else:
            shard.values[slot] = value

    def add(self, key: bytes, value: V, clock: int) -> None:
        """Add a key that is not there."""
        number = hash(key)
        self.place(self.shards[number & MASK], number, key, value, clock)

    def place(self, shard: Shard[V], number: int, key: bytes, value: V, clock: int) -> None:
        """The same for one who has just looked: the shard of the key, and its hash."""
        keys = shard.keys
        slot = len(keys)
        if slot >= shard.room:
            if not slot:
                part = number & MASK
                shard = self.shards[part] = Shard(self.make_values(), part, _LEAST_SPOTS)
                keys = shard.keys
            elif self.size - self._grown_at >= slot * _APART or slot >= len(shard.spots) * _CROWDED:
                shard.make_spots(2 * len(shard.spots))
                self._grown_at = self.size
            if shard.room > self._most_room:
                self._most_room = shard.room
        spots, mask = shard.spots, shard.mask
        spot = number >> SHARD_BITS & mask
        while spots[spot] >= 0:
            spot = spot + 1 & mask
        spots[spot] = slot
        keys.append(key)
        shard.values.append(value)
        shard.clocks.append(clock)
        self.size += 1

    def reserve(self, count: int) -> None:
        """Room for so many keys, in a table that has none: as many spots as it would have come to by growing."""
        for part in range(SHARDS):
            spots = _LEAST_SPOTS
            while _room(spots, part) < count >> SHARD_BITS:
                spots *= 2
            shard = self.shards[part] = Shard(self.make_values(), part, spots)
            self._most_room = max(self._most_room, shard.room)

    def add_all(self, keys: Sequence[bytes], values: Sequence[V], clock: int) -> None:
        """`add` for each of them. Nobody looks whether one of them is there already: `repeated` tells afterwards."""
        shards, shard_mask, bits = self.shards, MASK, SHARD_BITS
        for number, key, value in zip(map(hash, keys), keys, values, strict=True):
            shard = shards[number & shard_mask]
            held = shard.keys
            slot = len(held)
            if slot >= shard.room:
                self.place(shard, number, key, value, clock)
                continue
            spots, mask = shard.spots, shard.mask
            spot = number >> bits & mask
            while spots[spot] >= 0:
                spot = spot + 1 & mask
            spots[spot] = slot
            held.append(key)
            shard.values.append(value)
            shard.clocks.append(clock)
            self.size += 1

    def repeated(self) -> Iterator[bytes | None]:
        """Part by part: a key that is there twice, None where every key is there once."""
        for shard in self.shards:
            keys = shard.keys
            if len(set(keys)) == len(keys):
                yield None
            else:
                yield next(key for slot, key in enumerate(keys) if keys.index(key) != slot)

    def remove(self, key: bytes) -> V | None:
        """The value that was there; the shard's last key takes its slot."""
        number = hash(key)
        shard = self.shards[number & MASK]
        spots, keys, mask = shard.spots, shard.keys, shard.mask
        spot = number >> SHARD_BITS & mask
        while True:
            slot = spots[spot]
            if slot < 0:
                return None
            if keys[slot] == key:
                break
            spot = spot + 1 & mask
        last_key = keys.pop()
        value = last_value = shard.values.pop()
        last_clock = shard.clocks.pop()
        left = len(keys)
        if slot != left:
            value = shard.values[slot]
            spots[shard.spot_of(hash(last_key), left)] = slot
            keys[slot] = last_key
            shard.values[slot] = last_value
            shard.clocks[slot] = last_clock
        shard.close(spot)
        self.size -= 1
        if left == 0:
            self.shards[number & MASK] = self.vacant
        elif left * _SHRINK_FACTOR < mask and mask >= _LEAST_SPOTS:
            shard.make_spots(len(spots) // 4)
        return value

    def dissolve(self, most: int) -> list[V]:
        """Let go of up to `most` keys of a table that nobody needs any more, one shard at a time; their values."""
        shards = self.shards
        if self.size <= most:
            rest = [value for shard in shards for value in shard.values]
            shards.clear()
            self.size = 0
            return rest
        while not shards[-1].keys:
            shards.pop()
        shard = shards[-1]
        values = shard.values[-most:]
        del shard.keys[-most:], shard.values[-most:]
        self.size -= len(values)
        return values

    def clock(self, key: bytes) -> int:
        """The access clock of a key that is there."""
        shard, slot = self.find(key)
        return shard.clocks[slot]

    def set_clock(self, key: bytes, clock: int) -> None:
        """The same, to be another."""
        shard, slot = self.find(key)
        shard.clocks[slot] = clock

    def sample(self, random: Random) -> bytes | None:
        """Some key, each equally likely."""
        if self.size < _FEW_KEYS:
            keys = [key for shard in self.shards for key in shard.keys]
            return keys[int(random.random() * len(keys))] if keys else None
        shards, draw = self.shards, random.random
        while True:
            most = self._most_room
            for _ in range(_DRAWS):
                # Any slot of a table with as many in each shard as the largest has room for; many of them hold a key.
                keys = shards[int(draw() * SHARDS)].keys
                slot = int(draw() * most)
                if slot < len(keys):
                    return keys[slot]
            self._most_room = max([shard.room for shard in shards])

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """The next `count` keys or a few more, and the cursor to go on with; 0 when all were seen."""
        spot = cursor & MASK
        remaining = cursor >> SHARD_BITS
        found: list[bytes] = []
        if cursor == 0:
            remaining = len(self.shards[0].keys)
        while True:
            keys = self.shards[spot].keys
            upper = min(remaining, len(keys))
            lower = max(0, upper - (count - len(found)))
            if upper:
                found += keys[lower:upper]
            if lower:
                return lower << SHARD_BITS | spot, found
            spot += 1
            while spot < SHARDS and not self.shards[spot].keys:
                spot += 1
            if spot == SHARDS:
                return 0, found
            remaining = len(self.shards[spot].keys)
            if len(found) >= count:
                return remaining << SHARD_BITS | spot, found
