"""Hashes: fields and values under one key."""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import NO_NUMBER, OUT_OF_RANGE, OVERFLOW, random_count
from miniredis.engine.call import NOT_A_FLOAT, SYNTAX_ERROR, Call
from miniredis.engine.registry import DENYOOM, FAST, READONLY, WRITE, command
from miniredis.engine.scanning import choose, parse_cursor, scan_options
from miniredis.keyspace import field_expiry
from miniredis.keyspace.db import WRONG_TYPE
from miniredis.keyspace.notify import HASH
from miniredis.structures.hash import Hash
from protocol.resp.numbers import (
    INT64_MAX,
    INT64_MIN,
    LongDouble,
    add_long_doubles,
    format_long_double,
    long_double,
    parse_int,
    parse_long_double,
)
from protocol.resp.values import OK, Failure, Pairs, Reply

_COST: Final = "O(N), N fields"

# Writing


@command(
    "HSET key field value [field value ...]", WRITE | DENYOOM | FAST, since="2.0.0", keys="RW update",
    complexity=_COST,
    history=(("4.0.0", "Takes several fields with their values."),),
)  # fmt: skip
def hset(call: Call) -> Reply:
    """Set fields; the hash is made if there is none. Answers how many are new."""
    argv = call.argv
    if len(argv) == 4:
        db = call.db
        key = argv[1]
        fields = db.find_for_write(key)
        if type(fields) is not Hash:
            if fields is not None:
                raise Failure(WRONG_TYPE)
            fields = Hash()
            db.put(key, fields)
        settings = call.state.settings
        is_new = fields.set(argv[2], argv[3], settings.hash_max_listpack_entries, settings.hash_max_listpack_value)
        if fields.may_rest:
            db.keyspace.resting.add(fields)
        if fields.deadlines is not None:
            fields.persist(argv[2])
        db.changed(key, fields, b"hset", HASH)
        return 1 if is_new else 0
    return set_many(call, "hset")


@command(
    "HMSET key field value [field value ...]", WRITE | DENYOOM | FAST, since="2.0.0", keys="RW update",
    complexity=_COST,
    deprecated=("4.0.0", "`HSET` with multiple field-value pairs"),
)  # fmt: skip
def hmset(call: Call) -> Reply:
    """Set fields; the hash is made if there is none. HSET with a less telling answer."""
    set_many(call, "hmset")
    return OK


@command("HSETNX key field value", WRITE | DENYOOM | FAST, since="2.0.0", keys="RW insert")
def hsetnx(call: Call) -> Reply:
    """Set a field that is not there yet."""
    _, key, field, value = call.argv
    fields = to_change(call, field)
    if fields is not None and field in fields:
        return 0
    store(call, key, fields, field, value, b"hset")
    return 1


@command("HINCRBY key field increment:integer", WRITE | DENYOOM | FAST, since="2.0.0", keys="RW access update")
def hincrby(call: Call) -> Reply:
    """Add to the whole number in a field; a missing one counts as 0."""
    key, field = call.argv[1:3]
    increment = call.integer(3)
    fields = to_change(call, field)
    value = fields.get(field) if fields is not None else None
    try:
        number = parse_int(value) if value is not None else 0
    except ValueError:
        raise Failure("ERR hash value is not an integer") from None
    number += increment
    if not INT64_MIN <= number <= INT64_MAX:
        raise Failure(OVERFLOW)
    store(call, key, fields, field, b"%d" % number, b"hincrby")
    return number


@command("HINCRBYFLOAT key field increment:double", WRITE | DENYOOM | FAST, since="2.6.0", keys="RW access update")
def hincrbyfloat(call: Call) -> Reply:
    """Add to the number in a field; a missing one counts as 0."""
    key, field = call.argv[1:3]
    try:
        increment = parse_long_double(call.argv[3])
    except ValueError:
        raise Failure(NOT_A_FLOAT) from None
    if increment.infinite:
        raise Failure("ERR value is NaN or Infinity")
    fields = to_change(call, field)
    number = float_field(fields, field)
    try:
        number = add_long_doubles(number, increment)
    except ValueError:
        raise Failure(NO_NUMBER) from None
    shown = format_long_double(number)
    store(call, key, fields, field, shown, b"hincrbyfloat")
    # Others get the result: they might add, or print, a little differently.
    call.replicate(b"HSET", key, field, shown)
    instant = fields.deadlines.get(field) if fields is not None and fields.deadlines is not None else None
    if instant is not None:
        # What HSET takes from the field there.
        call.replicate(b"HPEXPIREAT", key, b"%d" % instant, b"FIELDS", b"1", field)
    return shown


@command(
    "HDEL key field [field ...]", WRITE | FAST, since="2.0.0", keys="RW delete", complexity=_COST,
    history=(("2.4.0", "Takes several fields."),),
)  # fmt: skip
def hdel(call: Call) -> Reply:
    """Delete fields, and the key with the last of them."""
    key = call.argv[1]
    fields = call.db.typed(key, Hash, True)
    if fields is None:
        return 0
    deleted = 0
    for field in call.argv[2:]:
        if fields.delete(field):
            deleted += 1
    if deleted:
        if fields.may_rest:
            call.db.keyspace.resting.add(fields)
        call.db.changed(key, fields, b"hdel", HASH, deleted)
        call.db.drop_if_empty(key, fields)
    return deleted


# Reading


@command("HGET key field", READONLY | FAST, since="2.0.0", keys="RO access")
def hget(call: Call) -> Reply:
    """Read one field."""
    fields = call.db.typed(call.argv[1], Hash)
    if fields is None or (fields.deadlines is not None and is_over(call, fields)):
        return None
    return fields.get(call.argv[2])


@command(
    "HMGET key field [field ...]", READONLY | FAST, since="2.0.0", keys="RO access", complexity=_COST,
)  # fmt: skip
def hmget(call: Call) -> Reply:
    """Read several fields; a missing one is null."""
    fields = call.db.typed(call.argv[1], Hash)
    if fields is None:
        return [None] * (len(call.argv) - 2)
    if fields.deadlines is None:
        return [fields.get(field) for field in call.argv[2:]]
    return surviving(call, fields)


@command(
    "HGETALL key", READONLY, since="2.0.0", keys="RO access", tips=("nondeterministic_output_order",),
    complexity=_COST,
)  # fmt: skip
def hgetall(call: Call) -> Reply:
    """Read all fields with their values."""
    fields = call.db.typed(call.argv[1], Hash)
    if fields is None:
        return {}
    return fields.as_dict() if fields.deadlines is None else shown(call, fields)


@command(
    "HKEYS key", READONLY, since="2.0.0", keys="RO access", tips=("nondeterministic_output_order",),
    complexity=_COST,
)  # fmt: skip
def hkeys(call: Call) -> Reply:
    """Read the names of all fields."""
    fields = call.db.typed(call.argv[1], Hash)
    if fields is None:
        return []
    return fields.fields() if fields.deadlines is None else list(shown(call, fields))


@command(
    "HVALS key", READONLY, since="2.0.0", keys="RO access", tips=("nondeterministic_output_order",),
    complexity=_COST,
)  # fmt: skip
def hvals(call: Call) -> Reply:
    """Read the values of all fields."""
    fields = call.db.typed(call.argv[1], Hash)
    if fields is None:
        return []
    return fields.values() if fields.deadlines is None else list(shown(call, fields).values())


@command("HLEN key", READONLY | FAST, since="2.0.0", keys="RO")
def hlen(call: Call) -> Reply:
    """Count the fields."""
    fields = call.db.typed(call.argv[1], Hash)
    return 0 if fields is None else len(fields)


@command("HSTRLEN key field", READONLY | FAST, since="3.2.0", keys="RO")
def hstrlen(call: Call) -> Reply:
    """Measure the value of a field, in bytes."""
    fields = call.db.typed(call.argv[1], Hash)
    if fields is None or (fields.deadlines is not None and is_over(call, fields)):
        return 0
    value = fields.get(call.argv[2])
    return 0 if value is None else len(value)


@command("HEXISTS key field", READONLY | FAST, since="2.0.0", keys="RO")
def hexists(call: Call) -> Reply:
    """Tell whether a field is there."""
    fields = call.db.typed(call.argv[1], Hash)
    if fields is None or (fields.deadlines is not None and is_over(call, fields)):
        return 0
    return 1 if call.argv[2] in fields else 0


@command(
    "HRANDFIELD key options=[count:integer [WITHVALUES]]", READONLY, since="6.2.0", keys="RO access",
    tips=("nondeterministic_output",), complexity="O(N), N fields returned",
)  # fmt: skip
def hrandfield(call: Call) -> Reply:
    """Read random fields: one, several different ones, or with a negative count any."""
    argv = call.argv
    if len(argv) == 2:
        fields = to_draw_from(call)
        return None if fields is None else fields.random(call.random)
    count = random_count(call, 2)
    with_values = len(argv) > 3
    if len(argv) > 4 or (with_values and call.option(3) != b"WITHVALUES"):
        raise Failure(SYNTAX_ERROR)
    # With values, twice as many replies must still be countable.
    if with_values and count > INT64_MAX // 2:
        raise Failure(OUT_OF_RANGE)
    fields = to_draw_from(call)
    if fields is None or count == 0:
        return []
    names = fields.sample(count, call.random) if count > 0 else fields.draw(-count, call.random)
    return Pairs([(name, fields.get(name)) for name in names]) if with_values else names


@command(
    "HSCAN key cursor:integer [MATCH pattern] [COUNT count:integer] [NOVALUES]", READONLY, since="2.8.0",
    keys="RO access", tips=("nondeterministic_output",), complexity="O(1) for each call, O(N) for all fields",
)  # fmt: skip
def hscan(call: Call) -> Reply:
    """Walk over the fields in steps, while others may change the hash."""
    cursor = parse_cursor(call.argv[2])
    fields = call.db.typed(call.argv[1], Hash)
    if fields is None:
        return [b"0", []]
    options = scan_options(call.argv, 3, allows_novalues=True)
    cursor, names = fields.scan(cursor, options.count)
    if fields.deadlines is not None and (over := field_expiry.hidden(call.db, fields)):
        names = [name for name in names if name not in over]
    names = choose(names, options.pattern)
    if options.no_values:
        return [b"%d" % cursor, names]
    found: list[Reply] = []
    for name in names:
        found += (name, fields.get(name))
    return [b"%d" % cursor, found]


# Fields that end (keyspace/field_expiry.py)


def is_over(call: Call, fields: Hash) -> bool:
    """Whether the time of the field in argv[2] has come."""
    return field_expiry.hides(call.db, call.argv[1], fields, call.argv[2])


def to_change(call: Call, field: bytes) -> Hash | None:
    """The hash in argv[1], without a field whose time has come; None without a hash, or when that was its last."""
    fields = call.db.typed(call.argv[1], Hash, True)
    if fields is not None and fields.deadlines is not None:
        field_expiry.hides(call.db, call.argv[1], fields, field)
        if not len(fields):
            return None
    return fields


def to_draw_from(call: Call) -> Hash | None:
    """The hash in argv[1], without all fields whose time has come; None without a hash, or when none is left."""
    fields = call.db.typed(call.argv[1], Hash)
    if fields is not None and fields.deadlines is not None:
        field_expiry.remove_due(call.db, call.argv[1], fields, len(fields))
        if not len(fields):
            return None
    return fields


def shown(call: Call, fields: Hash) -> dict[bytes, bytes]:
    """All fields but those whose time has come."""
    over = field_expiry.hidden(call.db, fields)
    return {name: value for name, value in fields.items() if name not in over} if over else fields.as_dict()


def surviving(call: Call, fields: Hash) -> Reply:
    """The values of HMGET; fields whose time has come are removed, all in one."""
    over = field_expiry.hidden(call.db, fields)
    found = [None if name in over else fields.get(name) for name in call.argv[2:]]
    if over:
        field_expiry.remove_asked(call.db, call.argv[1], fields, call.argv[2:])
    return found


# What they share


def set_many(call: Call, name: str) -> int:
    """Set the pairs of HSET or HMSET; how many fields are new."""
    argv = call.argv
    if len(argv) % 2:
        raise Failure(f"ERR wrong number of arguments for '{name}' command")
    db = call.db
    key = argv[1]
    fields = db.typed(key, Hash, True)
    if fields is None:
        fields = Hash()
        db.put(key, fields)
    max_entries = call.settings.hash_max_listpack_entries
    max_value = call.settings.hash_max_listpack_value
    fields.prepare(argv[2:], max_entries, max_value)
    added = 0
    for at in range(2, len(argv), 2):
        added += fields.set(argv[at], argv[at + 1], max_entries, max_value)
        if fields.deadlines is not None:
            fields.persist(argv[at])
    if fields.may_rest:
        db.keyspace.resting.add(fields)
    db.changed(key, fields, b"hset", HASH, len(argv) // 2 - 1)
    return added


def store(call: Call, key: bytes, fields: Hash | None, field: bytes, value: bytes, event: bytes) -> None:
    """Set one field of a hash that may have to be made."""
    if fields is None:
        fields = Hash()
        call.db.put(key, fields)
    settings = call.settings
    fields.set(field, value, settings.hash_max_listpack_entries, settings.hash_max_listpack_value)
    if fields.may_rest:
        call.db.keyspace.resting.add(fields)
    call.db.changed(key, fields, event, HASH)


def float_field(fields: Hash | None, field: bytes) -> LongDouble:
    """The number in a field, 0 where there is none. Failure: the field holds something else."""
    value = fields.get(field) if fields is not None else None
    if value is None:
        return long_double(0)
    try:
        return parse_long_double(value)
    except ValueError:
        raise Failure("ERR hash value is not a float") from None
