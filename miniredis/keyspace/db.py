"""One database: keys, their values, their expiry; and what has happened to them, as facts for the engine to act on.

Laws:
1. A change is remembered, never announced: `dirty` counts, `events`, `touched`, `deletions` and `ready` are lists the
   engine drains after the command. Nothing here calls anybody.
2. A key past its instant does not exist: every lookup deletes it (a replica and a paused server only look away).
3. `Db` objects stay for the life of the server; SWAPDB exchanges what is in them.

`Keyspace` holds what all databases share: the instant, the access clock, the facts.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from typing import Any, Final, TypeVar, cast

from miniredis.keyspace import notify
from miniredis.keyspace.blocked import Waiter
from miniredis.keyspace.counting import (
    BYTES_OBJECT,
    INTEGER_BYTES,
    KEY_BYTES,
    NO_LIMIT,
    OPENED_KEPT,
    OPENED_MOST,
    TEXT_BYTES,
    counted_bytes,
)
from miniredis.keyspace.resting import Resting
from miniredis.keyspace.value import INTEGER_MAX_BYTES, String, Structure, Value, compact, is_string, string_bytes
from miniredis.keyspace.waste import DISSOLVING, Waste
from miniredis.structures.table import MASK, SHARD_BITS, Table, instants
from protocol.resp.values import Failure, Reply

WRONG_TYPE: Final = "WRONGTYPE Operation against a key holding the wrong kind of value"

LRU_BITS_MASK: Final = (1 << 24) - 1
LFU_INITIAL: Final = 5  # a new key is not thrown out before it had a chance

# What a key past its instant means. EXPIRES: it is removed. HIDES: it is not seen, but stays (a replica waits for its
# primary's DEL; while clients are paused nothing may change). IGNORES: it is there (what a primary or an AOF sends was
# decided when it was alive).
EXPIRES: Final = 0
HIDES: Final = 1
IGNORES: Final = 2

S = TypeVar("S")


class Keyspace:
    """What the databases of one server share."""

    __slots__ = (
        "clock", "dbs", "deletions", "events", "events_mask", "evicted_keys", "evictions", "expired_fields",
        "expired_keys", "expiry_rule", "field_deletions", "heeds_touches", "hits", "is_flushed", "is_lfu",
        "leaves_clock", "lfu_decay_time", "lfu_log_factor", "limit_bytes", "misses", "now", "opened",
        "own_deadlines", "pending", "plain_clock", "random", "ready", "resting", "touched", "waste", "watched",
    )  # fmt: skip

    def __init__(self, databases: int, random: Random) -> None:
        self.random = random
        self.resting = Resting()
        self.now = 0  # ms since the epoch: the instant of the execution unit
        self.clock = 0  # the access clock: seconds, or minutes << 8 | counter with LFU
        self.is_lfu = False
        self.leaves_clock = False  # CLIENT NO-TOUCH
        self.plain_clock = True  # neither of the two: a lookup just stores `clock`
        self.lfu_log_factor = 10
        self.lfu_decay_time = 1
        self.expiry_rule = EXPIRES
        # On a replica that clients may write to: (database index, key) to which they gave a deadline, and of which no
        # primary will say that it is over. None elsewhere.
        self.own_deadlines: dict[tuple[int, bytes], None] | None = None
        self.pending = False  # some list below holds something
        self.events_mask = 0  # classes somebody may hear of; 0 unless K or E is set
        self.events: list[tuple[int, bytes, int, bytes]] = []  # (class, event, db index, key)
        self.heeds_touches = False  # somebody watches or tracks
        self.touched: list[tuple[Db, bytes]] = []
        self.is_flushed = False  # some database was emptied, and tracking clients are to hear of it
        self.watched: Collection[tuple[int, bytes]] = ()  # (db index, key): in whose touch somebody takes an interest
        self.deletions: list[tuple[int, bytes]] = []  # (db index, key) expired: propagated as DEL
        self.field_deletions: list[tuple[int, bytes, bytes]] = []  # (db index, key, field) expired: told as HDEL
        self.ready: dict[tuple[Db, bytes], None] = {}  # keys for whom somebody waits
        self.limit_bytes = NO_LIMIT  # of `counted_bytes` of all databases: beyond it somebody is told (`pending`)
        # id -> what may have changed, as what it was counted, and where.
        self.opened: dict[int, tuple[Structure | bytearray, int, Db]] = {}
        self.evictions: list[tuple[int, bytes]] = []  # (db index, key) removed to make room: propagated
        self.evicted_keys = 0
        self.hits = 0
        self.misses = 0
        self.expired_keys = 0
        self.expired_fields = 0
        self.waste = Waste()
        self.dbs = [Db(index, self) for index in range(databases)]

    def settle_count(self) -> int:
        """Count what the opened values have become: bytes of all keys and values now."""
        opened, self.opened = self.opened, {}
        for value, counted, db in opened.values():
            db.counted_bytes += counted_bytes(value) - counted
        total = sum([db.counted_bytes for db in self.dbs])
        if self.limit_bytes != NO_LIMIT:
            self.share_limit(total)
        return total

    def settle_earlier(self) -> None:
        """The same, but for the latest: the command that opened them is still to change them."""
        latest = list(self.opened.items())[-OPENED_KEPT:]
        for place, _ in latest:
            del self.opened[place]
        self.settle_count()
        self.opened.update(latest)

    def share_limit(self, total: int) -> None:
        """Let each database know how far it may grow while the others do not."""
        for db in self.dbs:
            db.limit_bytes = self.limit_bytes - total + db.counted_bytes
        if total > self.limit_bytes:
            self.pending = True

    def tell_time(self, now: int) -> None:
        """The instant of the next execution unit."""
        if now == self.now:
            return
        self.now = now
        if self.is_lfu:
            self.clock = (now // 60000 & 0xFFFF) << 8 | LFU_INITIAL
        else:
            self.clock = now // 1000 & LRU_BITS_MASK

    def set_policy(self, *, is_lfu: bool, log_factor: int, decay_time: int) -> None:
        """Which access clock runs: maxmemory-policy decides."""
        self.is_lfu = is_lfu
        self.lfu_log_factor = log_factor
        self.lfu_decay_time = decay_time
        self.plain_clock = not is_lfu and not self.leaves_clock
        now, self.now = self.now, -1
        self.tell_time(now)

    def leave_clock(self, on: bool) -> None:
        self.leaves_clock = on
        self.plain_clock = not self.is_lfu and not on

    def decayed(self, clock: int) -> int:
        """An LFU counter (0–255) as the minutes since its last access have left it."""
        if self.lfu_decay_time == 0:
            return clock & 0xFF
        minutes = ((self.now // 60000) - (clock >> 8)) & 0xFFFF
        return max(0, (clock & 0xFF) - minutes // self.lfu_decay_time)

    def accessed(self, clock: int) -> int:
        """The access clock after one more access."""
        if self.leaves_clock:
            return clock
        if not self.is_lfu:
            return self.clock
        counter = self.decayed(clock)
        if counter < 255:
            above = max(0, counter - LFU_INITIAL)
            if self.random.random() < 1.0 / (above * self.lfu_log_factor + 1):
                counter += 1
        return (self.now // 60000 & 0xFFFF) << 8 | counter


class Db:
    """One numbered database."""

    __slots__ = (
        "counted_bytes", "deadlines", "dirty", "field_heap", "index", "keyspace", "limit_bytes", "table", "volatile",
        "waiting",
    )  # fmt: skip

    def __init__(self, index: int, keyspace: Keyspace) -> None:
        self.index = index
        self.keyspace = keyspace
        self.table: Table[Value] = Table()
        self.deadlines: Table[int] = Table(instants)  # ms since the epoch, of the keys that have one
        self.volatile: dict[bytes, int] = {}  # hashes with fields that end -> ms: none of them ends before
        self.field_heap: list[tuple[int, bytes]] = []  # the same, the earliest first; some no longer hold
        self.dirty = 0  # changes of the command being run
        self.counted_bytes = 0  # of all keys and values: see counting.py
        self.limit_bytes = NO_LIMIT
        self.waiting: dict[bytes, dict[Waiter, None]] = {}  # who is blocked on which key, in order of arrival

    def __len__(self) -> int:
        return self.table.size

    @property
    def is_quiet(self) -> bool:
        """Nobody is told of single changes, nobody waits, no key can be due, and a look just stores the clock."""
        keyspace = self.keyspace
        return keyspace.plain_clock and not (
            keyspace.pending
            or keyspace.heeds_touches
            or keyspace.events_mask
            or self.deadlines.size
            or self.waiting
            or keyspace.limit_bytes != NO_LIMIT
        )

    # Looking. The first look at a table stands in each of these, not in a method: a call would be a fifth of a GET.

    def find(self, key: bytes) -> Value | None:
        """What a read finds: counts a hit or miss, and sets the access clock."""
        keyspace = self.keyspace
        number = hash(key)
        shard = self.table.shards[number & MASK]
        slot = shard.spots[number >> SHARD_BITS & shard.mask]
        if slot >= 0 and shard.keys[slot] != key:
            slot = shard.find(key, number)
        if slot < 0 or (self.deadlines.size and self.expire_if_due(key)):
            keyspace.misses += 1
            if keyspace.events_mask & notify.KEY_MISS:
                self.notify(notify.KEY_MISS, b"keymiss", key)
            return None
        keyspace.hits += 1
        if keyspace.plain_clock:
            shard.clocks[slot] = keyspace.clock
        else:
            shard.clocks[slot] = keyspace.accessed(shard.clocks[slot])
        return shard.values[slot]

    def find_for_write(self, key: bytes) -> Value | None:
        """What a write finds: neither hit nor miss."""
        keyspace = self.keyspace
        number = hash(key)
        shard = self.table.shards[number & MASK]
        slot = shard.spots[number >> SHARD_BITS & shard.mask]
        if slot >= 0 and shard.keys[slot] != key:
            slot = shard.find(key, number)
        if slot < 0 or (self.deadlines.size and self.expire_if_due(key)):
            return None
        if keyspace.plain_clock:
            shard.clocks[slot] = keyspace.clock
        else:
            shard.clocks[slot] = keyspace.accessed(shard.clocks[slot])
        value = shard.values[slot]
        kind = type(value)
        if kind is not bytes and kind is not int and id(value) not in keyspace.opened:
            changeable = cast("Structure | bytearray", value)
            self.open(changeable, counted_bytes(changeable))
        return value

    def look(self, key: bytes) -> Value | None:
        """A read that leaves the access clock alone (TYPE, TTL, EXISTS); hit or miss all the same."""
        value = self.peek(key)
        if value is None:
            self.keyspace.misses += 1
            self.notify(notify.KEY_MISS, b"keymiss", key)
        else:
            self.keyspace.hits += 1
        return value

    def peek(self, key: bytes) -> Value | None:
        """Without any trace: no statistics, no clock (OBJECT, SCAN). A due key is still removed."""
        if self.deadlines.size and self.expire_if_due(key):
            return None
        return self.table.get(key)

    def foresee(self, key: bytes) -> Value | None:
        """What `peek` would find, with nothing removed."""
        instant = self.deadlines.get(key) if self.deadlines.size else None
        if instant is not None and instant < self.keyspace.now and self.keyspace.expiry_rule != IGNORES:
            return None
        return self.table.get(key)

    def typed(self, key: bytes, kind: type[S], write: bool = False) -> S | None:
        """A collection of this type, None without the key, Failure WRONGTYPE for anything else."""
        value = self.find_for_write(key) if write else self.find(key)
        if type(value) is kind:
            return value
        if value is None:
            return None
        raise Failure(WRONG_TYPE)

    def string(self, key: bytes) -> bytes | None:
        """A string value as bytes; Failure WRONGTYPE for a collection."""
        value = self.find(key)
        if type(value) is bytes or value is None:
            return value
        if not is_string(value):
            raise Failure(WRONG_TYPE)
        return string_bytes(cast("String", value))

    def text(self, key: bytes) -> bytes | bytearray | None:
        """A string value for reading on the spot, however long without a copy: it may change with the next command."""
        value = self.find(key)
        if type(value) is bytes or type(value) is bytearray or value is None:
            return value
        if not is_string(value):
            raise Failure(WRONG_TYPE)
        return string_bytes(cast("String", value))

    # Changing.

    def text_for_write(self, key: bytes) -> bytearray | None:
        """A string value in the form that is changed in place. The caller touches, if he changes it."""
        value = self.find_for_write(key)
        if type(value) is bytearray or value is None:
            return value
        if not is_string(value):
            raise Failure(WRONG_TYPE)
        text = bytearray(string_bytes(cast("String", value)))
        self.reshape(key, text)
        return text

    def reshape(self, key: bytes, value: Value) -> None:
        """The same value in another form, under a key that is there: no change that anybody hears of."""
        shard, slot = self.table.find(key)
        self.count_other(shard.values[slot], value)
        shard.values[slot] = value

    def put(self, key: bytes, value: Value, *, keep_ttl: bool = False) -> None:
        """A new value under this key, or another one. Its expiry goes unless kept."""
        keyspace = self.keyspace
        table = self.table
        number = hash(key)
        shard = table.shards[number & MASK]
        slot = shard.spots[number >> SHARD_BITS & shard.mask]
        if slot >= 0 and shard.keys[slot] != key:
            slot = shard.find(key, number)
        if slot < 0:
            table.place(shard, number, key, value, keyspace.clock)
            if type(value) is bytes:
                counted = self.counted_bytes = self.counted_bytes + len(key) + len(value) + TEXT_BYTES
                if counted > self.limit_bytes:
                    keyspace.pending = True
            else:
                self.count_new(key, value)
            if keyspace.events_mask & notify.NEW:
                self.notify(notify.NEW, b"new", key)
            if self.waiting:
                self.wake(key)
        else:
            former = shard.values[slot]
            if type(former) is bytes and type(value) is bytes:
                if len(value) != len(former):
                    counted = self.counted_bytes = self.counted_bytes + len(value) - len(former)
                    if counted > self.limit_bytes:
                        keyspace.pending = True
            else:
                if type(former) in DISSOLVING and former is not value:
                    keyspace.waste.add(former)
                self.count_other(former, value)
            shard.values[slot] = value
            if not keyspace.is_lfu:
                shard.clocks[slot] = keyspace.clock
            if self.waiting:
                self.wake(key)
        if self.deadlines.size and not keep_ttl:
            self.deadlines.remove(key)
        if keyspace.heeds_touches:
            self.touch(key)

    def put_row(self, calls: list[list[bytes]], replies: list[Reply], reply: Reply) -> None:
        """`put` what comes from clients, (…, key, string) of each, while the database `is_quiet`: a text in the place
        of a text without a call. To `replies` goes one for each that is done."""
        shards, mask, bits, most = self.table.shards, MASK, SHARD_BITS, INTEGER_MAX_BYTES
        clock = self.keyspace.clock
        done = replies.append
        for _, key, text in calls:
            if len(text) <= most:
                self.put(key, compact(text))
                done(reply)
                continue
            number = hash(key)
            shard = shards[number & mask]
            slot = shard.spots[number >> bits & shard.mask]
            if slot >= 0 and (shard.keys[slot] == key or (slot := shard.find(key, number)) >= 0):
                held = shard.values
                former = held[slot]
                if type(former) is bytes:
                    if len(former) != len(text):
                        self.counted_bytes += len(text) - len(former)
                    held[slot] = text
                    shard.clocks[slot] = clock
                    done(reply)
                    continue
            self.put(key, text)
            done(reply)

    def find_row(self, calls: list[list[bytes]], replies: list[Reply], longest: int) -> None:
        """`find` for the key of each, (…, key), while the database `is_quiet`: to `replies` goes what there is, as long
        as it is nothing or a text of `bytes` no longer than that. The first other one ends it, untouched."""
        keyspace = self.keyspace
        shards, mask, bits = self.table.shards, MASK, SHARD_BITS
        clock = keyspace.clock
        done = replies.append
        for _, key in calls:
            number = hash(key)
            shard = shards[number & mask]
            slot = shard.spots[number >> bits & shard.mask]
            if slot >= 0 and shard.keys[slot] != key:
                slot = shard.find(key, number)
            if slot < 0:
                keyspace.misses += 1
                done(None)
                continue
            value = shard.values[slot]
            if type(value) is not bytes or len(value) > longest:
                break
            shard.clocks[slot] = clock
            keyspace.hits += 1
            done(value)

    def put_all(self, calls: list[list[bytes]], replies: list[Reply], reply: Reply) -> None:
        """`put` what comes from clients, (…, key, string, key, string, …) of each, where no key has a deadline and no
        event is heard of: a text in the place of a text, an integer in that of an integer without a call. To `replies`
        goes one for each that is done."""
        keyspace = self.keyspace
        shards, mask, bits, most = self.table.shards, MASK, SHARD_BITS, INTEGER_MAX_BYTES
        clock = keyspace.clock
        is_plain = not (self.waiting or keyspace.heeds_touches or keyspace.is_lfu)
        for argv in calls:
            keys, texts = argv[1::2], argv[2::2]
            if keys[0] == keys[-1] and keys.count(keys[0]) == len(keys):
                keys, texts = keys[-1:], texts[-1:]  # one key all the time: what it is given last stays
            for number, key, text in zip(map(hash, keys), keys, texts, strict=True):
                size = len(text)
                value = compact(text) if size <= most and text < b":" else text  # digits and "-" come before it
                shard = shards[number & mask]
                slot = shard.spots[number >> bits & shard.mask]
                if slot >= 0 and is_plain and (shard.keys[slot] == key or (slot := shard.find(key, number)) >= 0):
                    held = shard.values
                    former = held[slot]
                    if type(former) is type(value):
                        if value is text and len(former) != size:  # type: ignore[arg-type]
                            self.counted_bytes += size - len(former)  # type: ignore[arg-type]
                        held[slot] = value
                        shard.clocks[slot] = clock
                        continue
                self.put(key, value)
            replies.append(reply)
        if self.counted_bytes > self.limit_bytes:
            keyspace.pending = True

    def add_strings(self, keys: list[bytes], values: list[bytes | int]) -> None:
        """Many new keys at once, as a file has them. None may be there, and nobody hears of it."""
        table = cast("Table[bytes | int]", self.table)
        table.add_all(keys, values, self.keyspace.clock)
        texts = [value for value in values if type(value) is bytes]
        self.counted_bytes += sum(map(len, keys)) + len(keys) * KEY_BYTES
        self.counted_bytes += sum(map(len, texts)) + len(texts) * BYTES_OBJECT
        self.counted_bytes += (len(keys) - len(texts)) * INTEGER_BYTES
        if self.counted_bytes > self.limit_bytes:
            self.keyspace.pending = True

    def replace(self, key: bytes, value: Value) -> None:
        """Exchange the value of a key that is there (INCR): expiry stays. Touches."""
        shard, slot = self.table.find(key)
        self.count_other(shard.values[slot], value)
        shard.values[slot] = value
        if self.keyspace.heeds_touches:
            self.touch(key)

    def increase(self, key: bytes, amount: int) -> int | None:
        """Add to the `int` under a key, or to the 0 of a missing one, as `find_for_write` and `replace` or `put` would
        in several looks; the sum.

        None, and nothing has changed, where it is not that plain: a due key, no `int`, a sum beyond 64 bits, LFU."""
        keyspace = self.keyspace
        number = hash(key)
        shard = self.table.shards[number & MASK]
        slot = shard.spots[number >> SHARD_BITS & shard.mask]
        if slot >= 0 and shard.keys[slot] != key:
            slot = shard.find(key, number)
        if slot < 0:
            self.put(key, amount)
            return amount
        if not keyspace.plain_clock or (self.deadlines.size and self.expire_if_due(key)):
            return None
        value = shard.values[slot]
        if type(value) is not int:
            return None
        value += amount
        if -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
            shard.clocks[slot] = keyspace.clock
            shard.values[slot] = value
            if keyspace.heeds_touches:
                self.touch(key)
            return value
        return None

    def delete(self, key: bytes, *, is_told: bool = False) -> bool:
        """Remove a key with its value, without an event; whether it was there. Touches. `is_told`: see `Waste.add`."""
        value = self.take(key)
        if value is None:
            return False
        if type(value) in DISSOLVING:
            self.keyspace.waste.add(value, is_told=is_told)
        return True

    def take(self, key: bytes) -> Value | None:
        """Remove a key without an event, and give out its value, which may then go on under another. Touches."""
        if self.deadlines.size:
            self.deadlines.remove(key)
        if self.volatile:
            self.volatile.pop(key, None)
        value = self.table.remove(key)
        if value is not None:
            keyspace = self.keyspace
            if type(value) is bytes:
                self.counted_bytes -= len(key) + len(value) + TEXT_BYTES
            else:
                self.counted_bytes -= len(key) + KEY_BYTES
                self.count_gone(value)
            if self.waiting:
                self.wake(key)
            if keyspace.heeds_touches:
                self.touch(key)
        return value

    def changed(self, key: bytes, value: Structure, event: bytes, kind: int, n: int = 1) -> None:
        """After a collection was changed in place: touched, told, counted."""
        self.dirty += n
        keyspace = self.keyspace
        if keyspace.heeds_touches:
            self.touch(key)
        if keyspace.events_mask & kind:
            self.notify(kind, event, key)

    def drop_if_empty(self, key: bytes, value: Structure) -> bool:
        """Delete a collection that has become empty, with its "del" event."""
        if len(value):
            return False
        self.delete(key)
        self.notify(notify.GENERIC, b"del", key)
        return True

    def clear(self, *, is_told: bool = False) -> int:
        """Remove every key (FLUSHDB): how many there were. Touches those that existed and are watched. `is_told`: see
        `Waste`."""
        count = self.table.size
        keyspace = self.keyspace
        for index, key in keyspace.watched:  # and not all keys there are: tracking clients hear of the flush itself
            if index == self.index and key in self.table:
                self.touch(key)
        if keyspace.heeds_touches:
            keyspace.is_flushed = keyspace.pending = True
        for key in self.waiting:
            self.wake(key)
        keyspace.settle_count()
        self.counted_bytes = 0
        keyspace.waste.add_table(self.table, is_told=is_told)
        keyspace.waste.add_table(self.deadlines)
        self.table = Table()
        self.deadlines = Table(instants)
        self.volatile = {}
        self.field_heap = []
        return count

    def swap(self, other: Db) -> None:
        """SWAPDB: exchange what is in two databases. No touch: see `Watches.swapping`."""
        self.keyspace.settle_count()
        self.counted_bytes, other.counted_bytes = other.counted_bytes, self.counted_bytes
        self.table, other.table = other.table, self.table
        self.deadlines, other.deadlines = other.deadlines, self.deadlines
        self.volatile, other.volatile = other.volatile, self.volatile
        self.field_heap, other.field_heap = other.field_heap, self.field_heap
        for db in (self, other):
            for key in db.waiting:
                db.wake(key)

    # Counting: see counting.py.

    def opened(self, key: bytes) -> Value | None:
        """What is under a key, to be changed without anybody having asked: no clock, no expiry."""
        value = self.table.get(key)
        if value is not None and not isinstance(value, bytes | int) and id(value) not in self.keyspace.opened:
            self.open(value, counted_bytes(value))
        return value

    def open(self, value: Structure | bytearray, counted: int) -> None:
        """This value may change from here on, which is counted as so many bytes."""
        if len(self.keyspace.opened) >= OPENED_MOST:
            self.keyspace.settle_earlier()
        self.keyspace.opened[id(value)] = value, counted, self

    def count_new(self, key: bytes, value: Value) -> None:
        """A key was added."""
        kind = type(value)
        self.counted_bytes += len(key) + KEY_BYTES
        if kind is bytes or kind is int:
            self.counted_bytes += counted_bytes(value)
        else:
            self.open(cast("Structure | bytearray", value), 0)
        if self.counted_bytes > self.limit_bytes:
            self.keyspace.pending = True

    def count_gone(self, value: Value) -> None:
        """A value is no longer under its key."""
        opened = self.keyspace.opened.pop(id(value), None)
        self.counted_bytes -= counted_bytes(value) if opened is None else opened[1]

    def count_other(self, former: Value, value: Value) -> None:
        """Another value is under a key."""
        if former is not value:
            self.count_gone(former)
            self.count_new(b"", value)
            self.counted_bytes -= KEY_BYTES

    # Expiry.

    def expire_at(self, key: bytes, instant: int | None) -> None:
        """Let a key that is there end at this instant (ms), or never. No event, no touch."""
        if instant is None:
            self.deadlines.remove(key)
        else:
            self.deadlines.set(key, instant)
            if self.keyspace.own_deadlines is not None and self.keyspace.expiry_rule == HIDES:
                self.keyspace.own_deadlines[self.index, key] = None

    def expiry(self, key: bytes) -> int | None:
        """The instant (ms) at which the key ends, None for never."""
        return self.deadlines.get(key)

    def expire_if_due(self, key: bytes) -> bool:
        """Whether the key's instant has passed; it is then removed, where this server may."""
        instant = self.deadlines.get(key)
        if instant is None or instant >= self.keyspace.now:
            return False
        rule = self.keyspace.expiry_rule
        if rule == EXPIRES:
            self.expire(key)
        return rule != IGNORES

    def expire(self, key: bytes) -> None:
        """The key's time has come: remove it, tell, and remember the DEL for AOF and replicas."""
        keyspace = self.keyspace
        self.delete(key)
        keyspace.expired_keys += 1
        keyspace.deletions.append((self.index, key))
        keyspace.pending = True
        self.notify(notify.EXPIRED, b"expired", key)

    # Facts.

    def touch(self, key: bytes) -> None:
        """The key is not what it was: WATCH and tracking want to know."""
        keyspace = self.keyspace
        if keyspace.heeds_touches:
            keyspace.touched.append((self, key))
            keyspace.pending = True

    def notify(self, kind: int, event: bytes, key: bytes) -> None:
        keyspace = self.keyspace
        if keyspace.events_mask & kind:
            keyspace.events.append((kind, event, self.index, key))
            keyspace.pending = True

    def wake(self, key: bytes) -> None:
        """There is something new under this key: whoever is blocked on it gets another try after the unit."""
        if key in self.waiting:
            self.keyspace.ready[(self, key)] = None
            self.keyspace.pending = True

    # Walking.

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        return self.table.scan(cursor, count)

    def random_key(self) -> bytes | None:
        """Some key that is alive, removing the dead ones met; after many dead ones on a replica, any key at all."""
        tries = 0
        while True:
            key = self.table.sample(self.keyspace.random)
            if key is None or not self.expire_if_due(key):
                return key
            tries += 1
            if self.keyspace.expiry_rule != EXPIRES and tries >= 100 and self.deadlines.size == self.table.size:
                return key

    def statistics(self) -> dict[str, Any]:
        """For INFO keyspace: keys, expires and the average time to live of a sample (ms)."""
        total = seen = 0
        now = self.keyspace.now
        for _ in range(min(16, self.deadlines.size)):
            key = self.deadlines.sample(self.keyspace.random)
            if key is not None and (left := (self.deadlines.get(key) or 0) - now) > 0:
                total += left
                seen += 1
        return {"keys": self.table.size, "expires": self.deadlines.size, "avg_ttl": total // seen if seen else 0,
                "subexpiry": len(self.volatile)}  # fmt: skip
