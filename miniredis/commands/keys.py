"""Keys of any type: deleting, expiry, names, walks over the keyspace, what OBJECT knows."""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import NO_SUCH_DB, SUM_OF_SHARDS, invalid_expiry
from miniredis.engine.call import NO_SUCH_KEY, SYNTAX_ERROR, Call
from miniredis.engine.registry import (
    DENYOOM,
    FAST,
    READONLY,
    TOUCHES_ARBITRARY_KEYS,
    WRITE,
    command,
    container,
)
from miniredis.engine.scanning import parse_cursor, scan_options
from miniredis.keyspace import notify
from miniredis.keyspace.db import LRU_BITS_MASK, Db
from miniredis.keyspace.field_expiry import schedule
from miniredis.keyspace.value import Value, copied, encoding, reference_count, type_name
from miniredis.structures.glob import matcher
from miniredis.structures.hash import Hash
from miniredis.structures.vector_set import VectorSet
from protocol.resp.numbers import INT64_MAX
from protocol.resp.values import OK, Failure, Reply, Status

INT32_MAX: Final = 0x7FFFFFFF

_TYPES: Final = {
    name: Status(name) for name in (b"none", b"string", b"list", b"set", b"zset", b"hash", b"stream", b"vectorset")
}


# Deleting.


@command(
    "DEL key [key ...]", WRITE, keys="RM delete", complexity="O(N)",
    tips=SUM_OF_SHARDS,
)  # fmt: skip
def del_(call: Call) -> Reply:
    """Delete keys; return how many there were."""
    return _delete(call)


@command(
    "UNLINK key [key ...]", WRITE | FAST, since="4.0.0", keys="RM delete", complexity="O(1) for each key",
    tips=SUM_OF_SHARDS,
)  # fmt: skip
def unlink(call: Call) -> Reply:
    """Take keys away and leave the freeing of their values to later; return how many there were."""
    return _delete(call, is_told=True)


def _delete(call: Call, *, is_told: bool = False) -> int:
    db = call.db
    count = 0
    for key in call.argv[1:]:
        if (db.deadlines.size and db.expire_if_due(key)) or not db.delete(key, is_told=is_told):
            continue
        count += 1
        db.dirty += 1
        db.notify(notify.GENERIC, b"del", key)
    return count


# Existing.


@command(
    "EXISTS key [key ...]", READONLY | FAST, keys="RO", complexity="O(N)",
    history=(("3.0.3", "Several keys may be asked about."),),
    tips=SUM_OF_SHARDS,
)  # fmt: skip
def exists(call: Call) -> Reply:
    """Count the keys that exist; one named twice counts twice."""
    look = call.db.look
    return sum([look(key) is not None for key in call.argv[1:]])


@command("TYPE key", READONLY | FAST, keys="RO")
def type_(call: Call) -> Reply:
    """Return the type of the value under a key."""
    value = call.db.look(call.argv[1])
    return _TYPES[b"none" if value is None else type_name(value)]


@command(
    "TOUCH key [key ...]", READONLY | FAST, since="3.2.1", keys="RO", complexity="O(N)",
    tips=SUM_OF_SHARDS,
)  # fmt: skip
def touch(call: Call) -> Reply:
    """Count the keys that exist and set their time of last access."""
    find = call.db.find
    return sum([find(key) is not None for key in call.argv[1:]])


# Expiry.

_CONDITIONS_CAME: Final = (("7.0.0", "NX, XX, GT and LT were added."),)
_MINUS_TWO_CAME: Final = (("2.8.0", "-2 was added for a key that does not exist."),)


@command("EXPIRE key seconds:integer condition=[NX | XX | GT | LT] @7.0.0", WRITE | FAST, history=_CONDITIONS_CAME)
def expire(call: Call) -> Reply:
    """Let a key end after so many seconds."""
    return _expire(call, 1000, call.now)


@command(
    "PEXPIRE key milliseconds:integer condition=[NX | XX | GT | LT] @7.0.0", WRITE | FAST, since="2.6.0",
    history=_CONDITIONS_CAME,
)  # fmt: skip
def pexpire(call: Call) -> Reply:
    """Let a key end after so many milliseconds."""
    return _expire(call, 1, call.now)


@command(
    "EXPIREAT key unix-time-seconds:unix-time condition=[NX | XX | GT | LT] @7.0.0", WRITE | FAST, since="1.2.0",
    history=_CONDITIONS_CAME,
)  # fmt: skip
def expireat(call: Call) -> Reply:
    """Let a key end at an instant given in seconds since the epoch."""
    return _expire(call, 1000, 0)


@command(
    "PEXPIREAT key unix-time-milliseconds:unix-time condition=[NX | XX | GT | LT] @7.0.0", WRITE | FAST, since="2.6.0",
    history=_CONDITIONS_CAME,
)  # fmt: skip
def pexpireat(call: Call) -> Reply:
    """Let a key end at an instant given in milliseconds since the epoch."""
    return _expire(call, 1, 0)


def _expire(call: Call, scale: int, base: int) -> int:
    conditions = _expire_conditions(call.argv)
    db, key = call.db, call.argv[1]
    amount = call.integer(2) * scale
    instant = amount + base
    if not -INT64_MAX - 1 <= amount <= INT64_MAX or instant > INT64_MAX:
        raise invalid_expiry(call)
    if db.find_for_write(key) is None or not _may_expire(db.expiry(key), instant, conditions):
        return 0
    if call.has_passed(instant):
        db.delete(key)
        db.notify(notify.GENERIC, b"del", key)
        call.replicate(b"UNLINK" if call.settings.lazyfree_lazy_expire else b"DEL", key)
    else:
        db.expire_at(key, instant)
        db.touch(key)
        db.notify(notify.GENERIC, b"expire", key)
        call.replicate(b"PEXPIREAT", key, b"%d" % instant, *call.argv[3:])
    db.dirty += 1
    return 1


def _expire_conditions(argv: list[bytes]) -> frozenset[bytes]:
    for option in argv[3:]:
        if option.upper() not in (b"NX", b"XX", b"GT", b"LT"):
            raise Failure(b"ERR Unsupported option %b" % option)
    conditions = frozenset(option.upper() for option in argv[3:])
    if b"NX" in conditions and len(conditions) > 1:
        raise Failure("ERR NX and XX, GT or LT options at the same time are not compatible")
    if b"GT" in conditions and b"LT" in conditions:
        raise Failure("ERR GT and LT options at the same time are not compatible")
    return conditions


def _may_expire(current: int | None, instant: int, conditions: frozenset[bytes]) -> bool:
    """Whether the conditions allow the new instant; without one a key lives for ever."""
    for condition in conditions:
        if condition == b"NX":
            allowed = current is None
        elif condition == b"XX":
            allowed = current is not None
        elif condition == b"GT":
            allowed = current is not None and instant > current
        else:
            allowed = current is None or instant < current
        if not allowed:
            return False
    return True


@command("PERSIST key", WRITE | FAST, since="2.2.0")
def persist(call: Call) -> Reply:
    """Let a key live for ever again."""
    db, key = call.db, call.argv[1]
    if db.find_for_write(key) is None or db.expiry(key) is None:
        return 0
    db.expire_at(key, None)
    db.touch(key)
    db.dirty += 1
    db.notify(notify.GENERIC, b"persist", key)
    return 1


@command("TTL key", READONLY | FAST, tips=("nondeterministic_output",), history=_MINUS_TWO_CAME)
def ttl(call: Call) -> Reply:
    """Return how many seconds a key has left: -1 for ever, -2 without the key."""
    left = _time_left(call, call.now)
    return left if left < 0 else (left + 500) // 1000


@command("PTTL key", READONLY | FAST, since="2.6.0", tips=("nondeterministic_output",), history=_MINUS_TWO_CAME)
def pttl(call: Call) -> Reply:
    """Return how many milliseconds a key has left: -1 for ever, -2 without the key."""
    return _time_left(call, call.now)


@command("EXPIRETIME key", READONLY | FAST, since="7.0.0")
def expiretime(call: Call) -> Reply:
    """Return the second since the epoch at which a key ends: -1 never, -2 without the key."""
    instant = _time_left(call, 0)
    return instant if instant < 0 else (instant + 500) // 1000


@command("PEXPIRETIME key", READONLY | FAST, since="7.0.0")
def pexpiretime(call: Call) -> Reply:
    """Return the millisecond since the epoch at which a key ends: -1 never, -2 without the key."""
    return _time_left(call, 0)


def _time_left(call: Call, base: int) -> int:
    db, key = call.db, call.argv[1]
    if db.look(key) is None:
        return -2
    instant = db.expiry(key)
    return -1 if instant is None else max(0, instant - base)


# Names.


@command("RENAME key newkey:key", WRITE, keys="RW access delete | OW update")
def rename(call: Call) -> Reply:
    """Give a value another key, in place of what was there."""
    _rename(call, only_if_free=False)
    return OK


@command(
    "RENAMENX key newkey:key", WRITE | FAST, keys="RW access delete | OW insert",
    history=(("3.2.0", "Equal names are no error any more."),),
)  # fmt: skip
def renamenx(call: Call) -> Reply:
    """Give a value another key if that one is free."""
    return int(_rename(call, only_if_free=True))


def _rename(call: Call, *, only_if_free: bool) -> bool:
    db, (_, key, newkey) = call.db, call.argv
    value = db.find_for_write(key)
    if value is None:
        raise Failure(NO_SUCH_KEY)
    if key == newkey:
        return False
    if db.find_for_write(newkey) is not None:
        if only_if_free:
            return False
        db.delete(newkey)
    instant = db.expiry(key)
    db.take(key)
    _place(db, newkey, value, instant)
    db.dirty += 1
    db.notify(notify.GENERIC, b"rename_from", key)
    db.notify(notify.GENERIC, b"rename_to", newkey)
    return True


def _place(db: Db, key: bytes, value: Value, instant: int | None) -> None:
    """A value with its expiry under a key that is free."""
    db.put(key, value)
    if instant is not None:
        db.expire_at(key, instant)
    if type(value) is Hash:
        schedule(db, key, value)


@command(
    "COPY source:key destination:key [DB destination-db:integer] [REPLACE]", WRITE | DENYOOM, since="6.2.0",
    keys="RO access | OW update", complexity="O(N)",
)  # fmt: skip
def copy(call: Call) -> Reply:
    """Give another key a value of its own that equals this one's."""
    source_db = target_db = call.db
    _, key, newkey = call.argv[:3]
    replaces = False
    at = 3
    while at < len(call.argv):
        option = call.option(at)
        if option == b"REPLACE":
            replaces = True
        elif option == b"DB" and at + 1 < len(call.argv):
            at += 1
            target_db = _database(call, at)
        else:
            raise Failure(SYNTAX_ERROR)
        at += 1
    if source_db is target_db and key == newkey:
        raise Failure("ERR source and destination objects are the same")
    value = source_db.find(key)
    if value is None:
        return 0
    if target_db.find_for_write(newkey) is not None and not replaces:
        return 0
    if isinstance(value, VectorSet):
        raise Failure("ERR not supported for this module key")  # a replica that is a real server would refuse it
    if replaces:
        target_db.delete(newkey)
    _place(target_db, newkey, copied(value), source_db.expiry(key))
    target_db.notify(notify.GENERIC, b"copy_to", newkey)
    source_db.dirty += 1
    return 1


@command("MOVE key db:integer", WRITE | FAST, keys="RW access update")
def move(call: Call) -> Reply:
    """Take a key with its value to another database, if it is free there."""
    source, key = call.db, call.argv[1]
    target = _database(call, 2)
    if source is target:
        raise Failure("ERR source and destination objects are the same")
    value = source.find_for_write(key)
    if value is None or target.find_for_write(key) is not None:
        return 0
    instant = source.expiry(key)
    source.take(key)
    _place(target, key, value, instant)
    source.notify(notify.GENERIC, b"move_from", key)
    target.notify(notify.GENERIC, b"move_to", key)
    source.dirty += 1
    return 1


def _database(call: Call, at: int) -> Db:
    number = call.integer(at)
    if not -INT32_MAX - 1 <= number <= INT32_MAX:
        raise Failure(f"ERR value is out of range, value must between {-INT32_MAX - 1} and {INT32_MAX}")
    if not 0 <= number < len(call.state.dbs):
        raise Failure(NO_SUCH_DB)
    return call.state.dbs[number]


# Walking.


@command(
    "KEYS pattern", READONLY, acl=("dangerous",), complexity="O(N) with N the number of keys",
    tips=("request_policy:all_shards", "nondeterministic_output_order"),
)  # fmt: skip
def keys(call: Call) -> Reply:
    """Return all keys that match a pattern."""
    db, pattern = call.db, call.argv[1]
    names = list(db.table) if pattern == b"*" else list(filter(matcher(pattern), db.table))
    if not db.deadlines.size:
        return names
    # Dead keys are passed over, not removed: KEYS only looks.
    expiry, now = db.expiry, call.now
    return [key for key in names if (instant := expiry(key)) is None or instant >= now]


@command(
    "SCAN cursor:integer [MATCH pattern] [COUNT count:integer] [TYPE type] @6.0.0", READONLY | TOUCHES_ARBITRARY_KEYS,
    since="2.8.0", complexity="O(1) for every call, O(N) for a whole walk", history=(("6.0.0", "TYPE was added."),),
    tips=("nondeterministic_output", "request_policy:special", "response_policy:special"),
)  # fmt: skip
def scan(call: Call) -> Reply:
    """Return a few keys and a cursor to go on with, until every key that stays was seen."""
    cursor = parse_cursor(call.argv[1])
    options = scan_options(call.argv, 2, allows_type=True)
    db = call.db
    cursor, names = db.scan(cursor, options.count)
    if options.pattern is not None:
        names = list(filter(matcher(options.pattern), names))
    if options.type_name is not None:
        wanted = options.type_name.lower()
        names = [key for key in names if (value := db.peek(key)) is not None and type_name(value) == wanted]
    elif db.deadlines.size:
        names = [key for key in names if not db.expire_if_due(key)]
    return [b"%d" % cursor, names]


@command(
    "RANDOMKEY", READONLY | TOUCHES_ARBITRARY_KEYS,
    tips=("request_policy:all_shards", "response_policy:special", "nondeterministic_output"),
)  # fmt: skip
def randomkey(call: Call) -> Reply:
    """Return some key, null when there is none."""
    return call.db.random_key()


# OBJECT.

container(
    "OBJECT", since="2.2.3", group="generic", summary="Ask about the value under a key, not for it.",
    help_since="6.2.0",
)  # fmt: skip


def _asked_about(call: Call) -> Value | None:
    """The value under the key: a hit or a miss, but no access."""
    value, keyspace = call.db.peek(call.argv[2]), call.db.keyspace
    if value is None:
        keyspace.misses += 1
    else:
        keyspace.hits += 1
    return value


@command("OBJECT|ENCODING key", READONLY, since="2.2.3", keys="RO", tips=("nondeterministic_output",))
def object_encoding(call: Call) -> Reply:
    """Return how a value is kept in memory."""
    value = _asked_about(call)
    return None if value is None else encoding(value)


@command("OBJECT|REFCOUNT key", READONLY, since="2.2.3", keys="RO", tips=("nondeterministic_output",))
def object_refcount(call: Call) -> Reply:
    """Return how often a value is referred to: small integers are shared by all."""
    value = _asked_about(call)
    if value is None:
        return None
    settings = call.settings
    if settings.maxmemory and settings.maxmemory_policy.endswith(("lru", "lfu")):
        return 1  # then Redis keeps an object for each, with its own access clock
    return reference_count(value)


@command("OBJECT|IDLETIME key", READONLY, since="2.2.3", keys="RO", tips=("nondeterministic_output",))
def object_idletime(call: Call) -> Reply:
    """Return how many seconds a key has not been accessed."""
    db, key = call.db, call.argv[2]
    if _asked_about(call) is None:
        return None
    if db.keyspace.is_lfu:
        raise Failure(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between "
            "policies at runtime LRU and LFU data will take some time to adjust."
        )
    return (call.now // 1000 - db.table.clock(key)) & LRU_BITS_MASK


@command("OBJECT|FREQ key", READONLY, since="4.0.0", keys="RO", tips=("nondeterministic_output",))
def object_freq(call: Call) -> Reply:
    """Return the logarithmic access counter of a key, where the maxmemory policy is an LFU one."""
    db, key = call.db, call.argv[2]
    if _asked_about(call) is None:
        return None
    if not db.keyspace.is_lfu:
        raise Failure(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
            "switching between policies at runtime LRU and LFU data will take some time to adjust."
        )
    return db.keyspace.decayed(db.table.clock(key))
