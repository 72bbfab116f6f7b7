"""Fields of hashes that end: HEXPIRE and its kin, and what reads or writes fields and their ends at once.

Relative times are told to others as instants, and fields that end at once as deleted.
"""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import EXPIRY_UNITS, invalid_expiry, wrong_arity
from miniredis.engine.call import Call
from miniredis.engine.registry import DENYOOM, FAST, READONLY, WRITE, command
from miniredis.keyspace import field_expiry
from miniredis.keyspace.notify import GENERIC, HASH
from miniredis.structures.hash import Hash
from protocol.resp.values import Failure, Reply

MAX_PAIRS: Final = (1 << 31) - 1
INSTANT_MAX: Final = (1 << 46) - 1  # ms since the epoch
NO_FIELDS: Final = "ERR Mandatory argument FIELDS is missing or not at the right position"
WRONG_COUNT: Final = "ERR The `numfields` parameter must match the number of arguments"
NOT_POSITIVE: Final = "ERR Number of fields must be a positive integer"

# What became of a field.
NO_FIELD: Final = -2
NO_DEADLINE: Final = -1
REFUSED: Final = 0
DONE: Final = 1
DELETED: Final = 2

_COST: Final = "O(N), N fields"
_CONDITION: Final = "condition=[NX | XX | GT | LT]"
_FIELDS: Final = "fields=<FIELDS numfields:integer field [field ...]>"


# Setting ends.


@command(
    f"HEXPIRE key seconds:integer {_CONDITION} {_FIELDS}", WRITE | DENYOOM | FAST, since="7.4.0", keys="RW update",
    complexity=_COST,
)  # fmt: skip
def hexpire(call: Call) -> Reply:
    """Let fields end after so many seconds."""
    return _expire(call, 1000, call.now)


@command(
    f"HPEXPIRE key milliseconds:integer {_CONDITION} {_FIELDS}", WRITE | DENYOOM | FAST, since="7.4.0",
    keys="RW update", complexity=_COST,
)  # fmt: skip
def hpexpire(call: Call) -> Reply:
    """Let fields end after so many milliseconds."""
    return _expire(call, 1, call.now)


@command(
    f"HEXPIREAT key unix-time-seconds:unix-time {_CONDITION} {_FIELDS}", WRITE | DENYOOM | FAST, since="7.4.0",
    keys="RW update", complexity=_COST,
)  # fmt: skip
def hexpireat(call: Call) -> Reply:
    """Let fields end at an instant in seconds."""
    return _expire(call, 1000, 0)


@command(
    f"HPEXPIREAT key unix-time-milliseconds:unix-time {_CONDITION} {_FIELDS}", WRITE | DENYOOM | FAST, since="7.4.0",
    keys="RW update", complexity=_COST,
)  # fmt: skip
def hpexpireat(call: Call) -> Reply:
    """Let fields end at an instant in milliseconds."""
    return _expire(call, 1, 0)


def _expire(call: Call, scale: int, base: int) -> Reply:
    argv = call.argv
    key = argv[1]
    fields = call.db.typed(key, Hash, True)
    instant = _instant(call, call.integer(2), scale, base)
    at = 3
    condition = argv[3].upper()
    if condition in (b"NX", b"XX", b"GT", b"LT"):
        at = 4
    else:
        condition = b""
    names = _names(call, at, "ERR Parameter `numFields` should be greater than 0")
    if fields is None:
        return [NO_FIELD] * len(names)
    fields.heed_deadlines()
    outcomes = [_expire_field(call, fields, name, instant, condition) for name in names]
    updated = [name for name, outcome in zip(names, outcomes, strict=True) if outcome == DONE]
    deleted = [name for name, outcome in zip(names, outcomes, strict=True) if outcome == DELETED]
    for name in deleted:
        call.replicate(b"HDEL", key, name)
    if updated:
        call.replicate(b"HPEXPIREAT", key, b"%d" % instant, *argv[3 : at + 1], b"%d" % len(updated), *updated)
    _told(call, key, fields, b"hdel" if deleted else b"hexpire", len(updated) + len(deleted))
    return outcomes


def _expire_field(call: Call, fields: Hash, name: bytes, instant: int, condition: bytes) -> int:
    if name not in fields:
        return NO_FIELD
    known = fields.deadlines.get(name) if fields.deadlines is not None else None
    if known is None:
        if condition in (b"XX", b"GT"):
            return REFUSED
    elif condition == b"NX" or (condition == b"GT" and known >= instant) or (condition == b"LT" and known <= instant):
        return REFUSED
    return _end_field(call, fields, name, instant)


def _end_field(call: Call, fields: Hash, name: bytes, instant: int) -> int:
    """Let a field end at an instant; one that has passed deletes it, unless somebody else decides that."""
    if call.has_passed(instant):
        fields.delete(name)
        call.db.keyspace.expired_fields += 1
        return DELETED
    fields.expire(name, instant)
    return DONE


def _told(call: Call, key: bytes, fields: Hash, event: bytes, changes: int) -> None:
    """After so many fields were changed: counted, told; an emptied hash goes, others are seen to in time."""
    if not changes:
        call.replicate_nothing()
        return
    db = call.db
    db.changed(key, fields, event, HASH, changes)
    if not db.drop_if_empty(key, fields):
        field_expiry.schedule(db, key, fields)


def _instant(call: Call, amount: int, scale: int, base: int) -> int:
    """An amount of time as milliseconds since the epoch, within what a field's end may be."""
    if amount < 0:
        raise Failure("ERR invalid expire time, must be >= 0")
    if amount * scale > INSTANT_MAX - base:
        raise invalid_expiry(call)
    return amount * scale + base


def _names(call: Call, at: int, not_positive: str = NOT_POSITIVE) -> list[bytes]:
    """What follows FIELDS and its number, which has to be in argv[at]."""
    argv = call.argv
    if argv[at].upper() != b"FIELDS":
        raise Failure(NO_FIELDS)
    if at + 1 >= len(argv):
        raise wrong_arity(call)
    count = call.integer(at + 1, not_positive)
    if count < 1:
        raise Failure(not_positive)
    if count != len(argv) - at - 2:
        raise Failure(WRONG_COUNT)
    return argv[at + 2 :]


# Reading ends.


@command(f"HTTL key {_FIELDS}", READONLY | FAST, since="7.4.0", complexity=_COST)
def httl(call: Call) -> Reply:
    """Return how many seconds fields have left."""
    return _left(call, 1000, call.now)


@command(f"HPTTL key {_FIELDS}", READONLY | FAST, since="7.4.0", complexity=_COST)
def hpttl(call: Call) -> Reply:
    """Return how many milliseconds fields have left."""
    return _left(call, 1, call.now)


@command(f"HEXPIRETIME key {_FIELDS}", READONLY | FAST, since="7.4.0", complexity=_COST)
def hexpiretime(call: Call) -> Reply:
    """Return the instants at which fields end, in seconds."""
    return _left(call, 1000, 0)


@command(f"HPEXPIRETIME key {_FIELDS}", READONLY | FAST, since="7.4.0", complexity=_COST)
def hpexpiretime(call: Call) -> Reply:
    """Return the instants at which fields end, in milliseconds."""
    return _left(call, 1, 0)


def _left(call: Call, scale: int, base: int) -> Reply:
    fields = call.db.typed(call.argv[1], Hash)
    return [_time_of(call, fields, name, scale, base) for name in _names(call, 2)]


def _time_of(call: Call, fields: Hash | None, name: bytes, scale: int, base: int) -> int:
    if fields is None or name not in fields:
        return NO_FIELD
    instant = fields.deadlines.get(name) if fields.deadlines is not None else None
    if instant is None:
        return NO_DEADLINE
    if instant < call.now:
        return NO_FIELD
    return -((base - instant) // scale)


@command(
    f"HPERSIST key {_FIELDS}", WRITE | FAST, since="7.4.0", keys="RW update", complexity=_COST
)  # fmt: skip
def hpersist(call: Call) -> Reply:
    """Let fields never end."""
    key = call.argv[1]
    fields = call.db.typed(key, Hash, True)
    names = _names(call, 2)
    outcomes = [_persist(call, fields, name) for name in names]
    if fields is not None and DONE in outcomes:
        call.db.changed(key, fields, b"hpersist", HASH)
    return outcomes


def _persist(call: Call, fields: Hash | None, name: bytes) -> int:
    found = _time_of(call, fields, name, 1, 0)
    if found < 0 or fields is None:
        return found
    fields.persist(name)
    return DONE


# Fields and their ends at once.


@command(
    "HGETDEL key fields=<FIELDS numfields:integer field [field ...]>", WRITE | FAST, since="8.0.0",
    keys="RW access delete", complexity=_COST,
)  # fmt: skip
def hgetdel(call: Call) -> Reply:
    """Return fields and delete them."""
    key = call.argv[1]
    db = call.db
    fields = db.typed(key, Hash, True)
    names = _names(call, 2)
    if fields is None:
        return [None] * len(names)
    found: list[Reply] = []
    deleted: list[bytes] = []
    for name in names:
        value = None if len(fields) and field_expiry.hides(db, key, fields, name) else fields.get(name)
        if value is not None and fields.delete(name):
            deleted.append(name)
        found.append(value)
    if deleted:
        call.replicate(b"HDEL", key, *deleted)
        db.changed(key, fields, b"hdel", HASH, len(deleted))
        db.drop_if_empty(key, fields)
    return found


@command(
    "HGETEX key expiration=[EX seconds:integer | PX milliseconds:integer | EXAT unix-time-seconds:unix-time | "
    "PXAT unix-time-milliseconds:unix-time | PERSIST] fields=<FIELDS numfields:integer field [field ...]>",
    WRITE | FAST, since="8.0.0", keys="RW access update # the time to live may change", complexity=_COST,
)  # fmt: skip
def hgetex(call: Call) -> Reply:
    """Return fields and, on the way, set or clear their ends."""
    db, argv = call.db, call.argv
    key = argv[1]
    fields = db.typed(key, Hash, True)
    at, unit, instant = _get_options(call)
    names = _names(call, at)
    if fields is None:
        return [None] * len(names)
    found: list[Reply] = []
    outcomes: dict[int, list[bytes]] = {DONE: [], DELETED: []}
    for name in names:
        value = None if len(fields) and field_expiry.hides(db, key, fields, name) else fields.get(name)
        found.append(value)
        if value is None or not unit:
            continue
        if unit == b"PERSIST":
            outcome = DONE if fields.persist(name) else REFUSED
        else:
            outcome = _end_field(call, fields, name, instant)
        if outcome:
            outcomes[outcome].append(name)
    _tell_ends(call, key, fields, outcomes[DONE], outcomes[DELETED], instant if unit != b"PERSIST" else None)
    return found


def _tell_ends(
    call: Call, key: bytes, fields: Hash, done: list[bytes], deleted: list[bytes], instant: int | None
) -> None:
    """HGETEX has changed the ends of some fields and deleted others; `instant` is None where they end no more."""
    if deleted:
        call.replicate(b"HDEL", key, *deleted)
    if done:
        words = [b"HPERSIST", key] if instant is None else [b"HPEXPIREAT", key, b"%d" % instant]
        call.replicate(*words, b"FIELDS", b"%d" % len(done), *done)
    if done or deleted:
        event = b"hdel" if deleted else b"hexpire" if instant is not None else b"hpersist"
        _told(call, key, fields, event, len(done) + len(deleted))


@command(
    "HSETEX key condition=[FNX | FXX] expiration=[EX seconds:integer | PX milliseconds:integer | "
    "EXAT unix-time-seconds:unix-time | PXAT unix-time-milliseconds:unix-time | KEEPTTL] "
    "fields=<FIELDS numfields:integer field value [field value ...]>",
    WRITE | DENYOOM | FAST, since="8.0.0", keys="RW update", complexity=_COST,
)  # fmt: skip
def hsetex(call: Call) -> Reply:
    """Set fields, all or none, with conditions and an end."""
    db, argv = call.db, call.argv
    key = argv[1]
    at, unit, instant, condition = _set_options(call)
    words = _pairs(call, at)
    fields = db.typed(key, Hash, True)
    names = words[::2]
    if condition:
        there = [_is_there(call, fields, name) for name in names]
        if any(there) if condition == b"FNX" else not all(there):
            return 0
    if fields is None or not len(fields):
        fields = Hash()
        db.put(key, fields)
    settings = call.settings
    entries, longest = settings.hash_max_listpack_entries, settings.hash_max_listpack_value
    fields.prepare(words, entries, longest)
    deleted = _set_fields(call, fields, words, unit, instant, (entries, longest))
    if deleted:  # all of them: replicas, which end nothing by themselves, are told of what is gone
        for name in names:
            call.replicate(b"HDEL", key, name)
    else:
        told = [b"PXAT", b"%d" % instant] if unit in EXPIRY_UNITS else [b"KEEPTTL"] if unit else []
        call.replicate(b"HSETEX", key, *told, b"FIELDS", b"%d" % len(names), *words)
    db.changed(key, fields, b"hset", HASH, len(names))
    if unit in EXPIRY_UNITS:
        db.notify(HASH, b"hdel" if deleted else b"hexpire", key)
    if not len(fields):
        db.delete(key)
        db.notify(GENERIC, b"del", key)
    field_expiry.schedule(db, key, fields)
    return 1


def _is_there(call: Call, fields: Hash | None, name: bytes) -> bool:
    if fields is None or not len(fields):
        return False
    return not field_expiry.hides(call.db, call.argv[1], fields, name) and name in fields


def _set_fields(
    call: Call, fields: Hash, words: list[bytes], unit: bytes, instant: int, limits: tuple[int, int]
) -> int:
    """Set fields and their ends; how many of them are gone at once."""
    deleted = 0
    for name, value in zip(words[::2], words[1::2], strict=True):
        fields.set(name, value, *limits)
        if unit in EXPIRY_UNITS:
            deleted += _end_field(call, fields, name, instant) == DELETED
        elif not unit:
            fields.persist(name)
    return deleted


def _end(call: Call, at: int) -> tuple[int, bytes, int]:
    """EX, PX, EXAT or PXAT in argv[at]: where the next word is, the unit and the instant."""
    word = call.argv[at].upper()
    scale, is_relative = EXPIRY_UNITS[word]
    if at + 1 >= len(call.argv):
        raise wrong_arity(call)
    return at + 2, word, _instant(call, call.integer(at + 1), scale, call.now if is_relative else 0)


def _get_options(call: Call) -> tuple[int, bytes, int]:
    """What comes before HGETEX's FIELDS, one word at most: where that has to be, the unit or PERSIST, the instant."""
    word = call.argv[2].upper()
    if word == b"PERSIST":
        return 3, word, 0
    return _end(call, 2) if word in EXPIRY_UNITS else (2, b"", 0)


def _set_options(call: Call) -> tuple[int, bytes, int, bytes]:
    """The words before HSETEX's FIELDS: where that is, the unit or KEEPTTL, the instant, and FNX or FXX."""
    argv = call.argv
    unit = condition = b""
    instant = 0
    at = 2
    while at < len(argv) and (word := argv[at].upper()) != b"FIELDS":
        if word in (b"FNX", b"FXX"):
            if condition:
                raise Failure("ERR Only one of FXX or FNX arguments can be specified")
            condition, at = word, at + 1
        elif word == b"KEEPTTL" or word in EXPIRY_UNITS:
            if unit:
                raise Failure("ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified")
            at, unit, instant = (at + 1, word, 0) if word == b"KEEPTTL" else _end(call, at)
        else:
            raise Failure(b"ERR unknown argument: " + argv[at])
    return at, unit, instant, condition


def _pairs(call: Call, at: int) -> list[bytes]:
    """HSETEX's fields and values: what follows FIELDS in argv[at] and their number."""
    wrong = "ERR invalid number of fields"
    if at + 3 >= len(call.argv):
        raise wrong_arity(call)
    count = call.integer(at + 1, wrong)
    if not 1 <= count <= MAX_PAIRS:
        raise Failure(wrong)
    if 2 * count != len(call.argv) - at - 2:
        raise wrong_arity(call)
    return call.argv[at + 2 :]
