"""Strings: SET and GET with their options, numbers, parts of strings, several at once, LCS.

What a SET leaves in the keyspace is an `int` where the text is one (keyspace/value.py); APPEND and SETRANGE leave a
`bytearray` that grows in place. Relative times are told to others as instants: no replica starts its own countdown.
"""

from __future__ import annotations

from typing import cast

from miniredis.commands.shared import EXPIRY_UNITS, NO_NUMBER, OVERFLOW, instant_ms, wrong_arity
from miniredis.commands.strings_conditional import CONDITIONS, check_digest, holds
from miniredis.engine.call import NOT_A_FLOAT, NOT_AN_INTEGER, SYNTAX_ERROR, Call
from miniredis.engine.registry import DENYOOM, FAST, READONLY, WRITE, command
from miniredis.engine.rows import SHORT_BYTES, Row
from miniredis.keyspace import notify
from miniredis.keyspace.db import WRONG_TYPE, Db
from miniredis.keyspace.value import INTEGER_MAX_BYTES, String, Value, compact, is_string, string_bytes
from protocol.resp.numbers import (
    INT64_MAX,
    INT64_MIN,
    add_long_doubles,
    format_long_double,
    long_double,
    parse_int,
    parse_long_double,
)
from protocol.resp.values import OK, Failure, Reply


def _set_row(row: Row) -> None:
    if len(row.calls[0]) == 3:
        row.db.put_row(row.calls, row.replies, OK)


@command(
    "SET key value condition=[NX | XX] @2.6.12 [GET] @6.2.0 expiration=[EX seconds:integer @2.6.12 | "
    "PX milliseconds:integer @2.6.12 | EXAT unix-time-seconds:unix-time @6.2.0 | "
    "PXAT unix-time-milliseconds:unix-time @6.2.0 | KEEPTTL @6.0.0]",
    WRITE | DENYOOM, keys="RW access update variable_flags # it reads what was there only for GET",
    history=(
        ("2.6.12", "EX, PX, NX and XX were added."),
        ("6.0.0", "KEEPTTL was added."),
        ("6.2.0", "GET, EXAT and PXAT were added."),
        ("7.0.0", "NX and GET may stand together."),
    ),
    row=_set_row,
)  # fmt: skip
def set_(call: Call) -> Reply:
    """Store a string under a key, whatever was there, with options for conditions, expiry and the old value."""
    argv = call.argv
    if len(argv) > 3:
        return _set_with_options(call)
    db = call.db
    key = argv[1]
    if db.deadlines.size:
        db.expire_if_due(key)
    value = argv[2]
    db.put(key, compact(value) if len(value) <= INTEGER_MAX_BYTES else value)
    db.dirty += 1
    if db.keyspace.events_mask:
        db.notify(notify.STRING, b"set", key)
    return OK


def _set_with_options(call: Call) -> Reply:
    argv = call.argv
    condition = expected = b""
    wants_old = False
    expiry = b""
    amount_at = 0
    at = 3
    while at < len(argv):
        option = argv[at].upper()
        if option in (b"NX", b"XX") and condition in (b"", option):
            condition = option
        elif option in CONDITIONS and not condition and at + 1 < len(argv):
            condition = option
            at += 1
            check_digest(option, argv[at])
            expected = argv[at]
        elif option == b"GET":
            wants_old = True
        elif option == b"KEEPTTL" and expiry in (b"", option):
            expiry = option
        elif option in EXPIRY_UNITS and expiry in (b"", option) and at + 1 < len(argv):
            expiry = option
            at += 1
            amount_at = at
        else:
            raise Failure(SYNTAX_ERROR)
        at += 1
    instant = instant_ms(call, expiry, amount_at) if amount_at else None
    return _set(call, argv[1], argv[2], condition, instant, wants_old, keep_ttl=expiry == b"KEEPTTL",
                is_instant_told=expiry == b"PXAT", expected=expected)  # fmt: skip


def _set(
    call: Call, key: bytes, value: bytes, condition: bytes, instant: int | None, wants_old: bool, *,
    keep_ttl: bool = False, is_instant_told: bool = False, done: Reply = OK, refused: Reply = None,
    expected: bytes = b"",
) -> Reply:  # fmt: skip
    db = call.db
    old = db.string(key) if wants_old else None
    if condition in CONDITIONS:
        # Nothing there is not equal to anything.
        text = db.text(key)
        is_fulfilled = holds(condition, expected, text) if text is not None else condition in (b"IFNE", b"IFDNE")
        is_instant_told = False
    else:
        found = db.find_for_write(key) is not None
        is_fulfilled = not found if condition == b"NX" else condition != b"XX" or found
    if not is_fulfilled:
        return old if wants_old else refused
    db.put(key, compact(value), keep_ttl=keep_ttl or instant is not None)
    db.dirty += 1
    db.notify(notify.STRING, b"set", key)
    if instant is not None:
        db.expire_at(key, instant)
        if not is_instant_told:
            call.replicate(b"SET", key, value, b"PXAT", b"%d" % instant)
        db.notify(notify.GENERIC, b"expire", key)
    elif condition in CONDITIONS:
        call.replicate(b"SET", key, value, *([b"KEEPTTL"] if keep_ttl else []))
    elif wants_old:
        call.replicate(*[word for at, word in enumerate(call.argv) if at < 3 or word.upper() != b"GET"])
    return old if wants_old else done


@command(
    "SETNX key value", WRITE | DENYOOM | FAST, keys="OW insert", deprecated=("2.6.12", "`SET` with the `NX` argument")
)
def setnx(call: Call) -> Reply:
    """Store a string only if there is no such key."""
    return _set(call, call.argv[1], call.argv[2], b"NX", None, False, done=1, refused=0)


@command(
    "SETEX key seconds:integer value",
    WRITE | DENYOOM,
    since="2.0.0",
    keys="OW update",
    deprecated=("2.6.12", "`SET` with the `EX` argument"),
)
def setex(call: Call) -> Reply:
    """Store a string that ends after so many seconds."""
    return _set(call, call.argv[1], call.argv[3], b"", instant_ms(call, b"EX", 2), False)


@command(
    "PSETEX key milliseconds:integer value",
    WRITE | DENYOOM,
    since="2.6.0",
    keys="OW update",
    deprecated=("2.6.12", "`SET` with the `PX` argument"),
)
def psetex(call: Call) -> Reply:
    """Store a string that ends after so many milliseconds."""
    return _set(call, call.argv[1], call.argv[3], b"", instant_ms(call, b"PX", 2), False)


def _get_row(row: Row) -> None:
    row.db.find_row(row.calls, row.replies, SHORT_BYTES)


@command("GET key", READONLY | FAST, row=_get_row)
def get(call: Call) -> Reply:
    """Return the string stored under a key."""
    value = call.db.find(call.argv[1])
    if value is None or type(value) is bytes:
        return value
    if not is_string(value):
        raise Failure(WRONG_TYPE)
    return string_bytes(cast("String", value))


@command(
    "GETSET key value",
    WRITE | DENYOOM | FAST,
    keys="RW access update",
    deprecated=("6.2.0", "`SET` with the `!GET` argument"),
)
def getset(call: Call) -> Reply:
    """Store a string and return the one that was there."""
    db, (_, key, value) = call.db, call.argv
    old = db.string(key)
    db.put(key, compact(value))
    db.dirty += 1
    db.notify(notify.STRING, b"set", key)
    call.replicate(b"SET", key, value)
    return old


@command("GETDEL key", WRITE | FAST, since="6.2.0", keys="RW access delete")
def getdel(call: Call) -> Reply:
    """Return a string and delete its key."""
    db, key = call.db, call.argv[1]
    value = db.string(key)
    if value is not None:
        _drop(call, key, b"DEL")
    return value


@command(
    "GETEX key expiration=[EX seconds:integer | PX milliseconds:integer | EXAT unix-time-seconds:unix-time | "
    "PXAT unix-time-milliseconds:unix-time | PERSIST]",
    WRITE | FAST, since="6.2.0", keys="RW access update # the time to live may change",
)  # fmt: skip
def getex(call: Call) -> Reply:
    """Return a string and, on the way, set or clear its time to live."""
    db, argv = call.db, call.argv
    key = argv[1]
    unit, amount_at = _getex_option(argv)
    value = db.string(key)
    if value is None or not unit:
        return value
    if unit == b"PERSIST":
        if db.expiry(key) is not None:
            db.expire_at(key, None)
            _touched(call, key, b"persist")
            call.replicate(b"PERSIST", key)
        return value
    instant = instant_ms(call, unit, amount_at)
    if unit in (b"EXAT", b"PXAT") and call.has_passed(instant):
        _drop(call, key, b"UNLINK" if call.settings.lazyfree_lazy_expire else b"DEL")
        return value
    db.expire_at(key, instant)
    call.replicate(b"PEXPIREAT", key, b"%d" % instant)
    _touched(call, key, b"expire")
    return value


def _getex_option(argv: list[bytes]) -> tuple[bytes, int]:
    """The unit, PERSIST or nothing, and where its amount stands."""
    unit = b""
    amount_at = 0
    at = 2
    while at < len(argv):
        option = argv[at].upper()
        if option == b"PERSIST" and unit in (b"", option):
            unit = option
        elif option in EXPIRY_UNITS and unit in (b"", option) and at + 1 < len(argv):
            unit = option
            at += 1
            amount_at = at
        else:
            raise Failure(SYNTAX_ERROR)
        at += 1
    return unit, amount_at


def _touched(call: Call, key: bytes, event: bytes) -> None:
    """The key stays, its time to live is another one."""
    db = call.db
    db.touch(key)
    db.dirty += 1
    db.notify(notify.GENERIC, event, key)


def _drop(call: Call, key: bytes, told_as: bytes) -> None:
    db = call.db
    db.delete(key)
    db.dirty += 1
    db.notify(notify.GENERIC, b"del", key)
    call.replicate(told_as, key)


@command("STRLEN key", READONLY | FAST, since="2.2.0", keys="RO")
def strlen(call: Call) -> Reply:
    """Return the length of a string in bytes."""
    value = call.db.string(call.argv[1])
    return 0 if value is None else len(value)


# Numbers.


def _incr_row(row: Row) -> None:
    increase, done = row.db.increase, row.replies.append
    for _, key in row.calls:
        number = increase(key, 1)
        if number is None:
            break
        done(number)


@command("INCR key", WRITE | DENYOOM | FAST, keys="RW access update", row=_incr_row)
def incr(call: Call) -> Reply:
    """Add one to the integer under a key; a missing one counts as 0."""
    return _add(call, 1)


@command("DECR key", WRITE | DENYOOM | FAST, keys="RW access update")
def decr(call: Call) -> Reply:
    """Subtract one from the integer under a key; a missing one counts as 0."""
    return _add(call, -1)


@command("INCRBY key increment:integer", WRITE | DENYOOM | FAST, keys="RW access update")
def incrby(call: Call) -> Reply:
    """Add a number to the integer under a key; a missing one counts as 0."""
    return _add(call, call.integer(2))


@command("DECRBY key decrement:integer", WRITE | DENYOOM | FAST, keys="RW access update")
def decrby(call: Call) -> Reply:
    """Subtract a number from the integer under a key; a missing one counts as 0."""
    amount = call.integer(2)
    if amount == INT64_MIN:
        raise Failure("ERR decrement would overflow")
    return _add(call, -amount)


def _add(call: Call, amount: int) -> int:
    db = call.db
    key = call.argv[1]
    number = db.increase(key, amount)
    if number is None:
        number = _add_any(db, key, amount)
    db.dirty += 1
    if db.keyspace.events_mask:
        db.notify(notify.STRING, b"incrby", key)
    return number


def _add_any(db: Db, key: bytes, amount: int) -> int:
    """Whatever is under the key: nothing, another kind of string, or no string at all."""
    value = db.find_for_write(key)
    if type(value) is int:
        number = value + amount
    elif value is None:
        number = amount
    else:
        number = _number(value) + amount
    if not INT64_MIN <= number <= INT64_MAX:
        raise Failure(OVERFLOW)
    if value is None:
        db.put(key, number)
    else:
        db.replace(key, number)
    return number


def _number(value: Value) -> int:
    if not is_string(value):
        raise Failure(WRONG_TYPE)
    try:
        return parse_int(string_bytes(cast("String", value)))
    except ValueError:
        raise Failure(NOT_AN_INTEGER) from None


@command("INCRBYFLOAT key increment:double", WRITE | DENYOOM | FAST, since="2.6.0", keys="RW access update")
def incrbyfloat(call: Call) -> Reply:
    """Add a floating point number to the one under a key; a missing one counts as 0."""
    db, key = call.db, call.argv[1]
    value = db.find_for_write(key)
    if value is not None and not is_string(value):
        raise Failure(WRONG_TYPE)
    try:
        number = long_double(0) if value is None else parse_long_double(string_bytes(cast("String", value)))
        amount = parse_long_double(call.argv[2])
    except ValueError:
        raise Failure(NOT_A_FLOAT) from None
    try:
        text = format_long_double(add_long_doubles(number, amount))
    except ValueError:
        raise Failure(NO_NUMBER) from None
    if value is None:
        db.put(key, text)
    else:
        db.replace(key, text)
    db.dirty += 1
    db.notify(notify.STRING, b"incrbyfloat", key)
    # The sum is told, not the summand: no replica may round differently.
    call.replicate(b"SET", key, text, b"KEEPTTL")
    return text


# Parts of strings.


@command("APPEND key value", WRITE | DENYOOM | FAST, since="2.0.0", keys="RW insert")
def append(call: Call) -> Reply:
    """Add to the end of a string, creating it if need be; return the new length."""
    db, (_, key, tail) = call.db, call.argv
    value = _string_for_write(db, key)
    if value is None:
        db.put(key, compact(tail))
        size = len(tail)
    else:
        size = _length(value) + len(tail)
        _check_length(call, size)
        text = _grown(value)
        text += tail
        db.replace(key, text)
    db.dirty += 1
    db.notify(notify.STRING, b"append", key)
    return size


@command("SETRANGE key offset:integer value", WRITE | DENYOOM, since="2.2.0", keys="RW update")
def setrange(call: Call) -> Reply:
    """Overwrite a part of a string from an offset on, with zero bytes before it where there was nothing."""
    db, (_, key, _, patch) = call.db, call.argv
    offset = call.integer(2)
    if offset < 0:
        raise Failure("ERR offset is out of range")
    value = _string_for_write(db, key)
    if not patch:
        return 0 if value is None else _length(value)
    end = offset + len(patch)
    _check_length(call, end)
    text = bytearray() if value is None else _grown(value)
    if len(text) < end:
        text.extend(bytes(end - len(text)))
    text[offset:end] = patch
    if value is None:
        db.put(key, text)
    else:
        db.replace(key, text)
    db.dirty += 1
    db.notify(notify.STRING, b"setrange", key)
    return len(text)


def _string_for_write(db: Db, key: bytes) -> String | None:
    value = db.find_for_write(key)
    if value is not None and not is_string(value):
        raise Failure(WRONG_TYPE)
    return cast("String | None", value)


def _length(value: String) -> int:
    return len(string_bytes(value)) if isinstance(value, int) else len(value)


def _grown(value: String) -> bytearray:
    """The value in the form that is changed in place."""
    return value if isinstance(value, bytearray) else bytearray(string_bytes(value))


def _check_length(call: Call, size: int) -> None:
    if size > call.settings.proto_max_bulk_len:
        raise Failure("ERR string exceeds maximum allowed size (proto-max-bulk-len)")


@command("GETRANGE key start:integer end:integer", READONLY, since="2.4.0")
def getrange(call: Call) -> Reply:
    """Return the part of a string between two offsets, both included; negative ones count from the end."""
    start, end = call.integer(2), call.integer(3)
    value = call.db.find(call.argv[1])
    if value is None:
        return b""
    if not is_string(value):
        raise Failure(WRONG_TYPE)
    text = value if isinstance(value, bytearray) else string_bytes(cast("String", value))
    size = len(text)
    if start < 0 and end < 0 and start > end:
        return b""
    start = max(0, start + size) if start < 0 else start
    end = max(0, end + size) if end < 0 else end
    return bytes(text[start : end + 1]) if start <= end else b""


@command("SUBSTR key start:integer end:integer", READONLY, deprecated=("2.0.0", "`GETRANGE`"))
def substr(call: Call) -> Reply:
    """Return the part of a string between two offsets (the old name of GETRANGE)."""
    return getrange(call)


# Several at once.


@command("MGET key [key ...]", READONLY | FAST, tips=("request_policy:multi_shard",), complexity="O(N)")
def mget(call: Call) -> Reply:
    """Return the strings under several keys, null where there is none."""
    find = call.db.find
    found: list[Reply] = []
    for key in call.argv[1:]:
        value = find(key)
        if value is None or type(value) is bytes:
            found.append(value)
        else:
            found.append(string_bytes(cast("String", value)) if is_string(value) else None)
    return found


def _mset_row(row: Row) -> None:
    words = len(row.calls[0])
    if words % 2:
        row.changes = words // 2
        row.db.put_all(row.calls, row.replies, OK)


@command(
    "MSET key value [key value ...]", WRITE | DENYOOM, since="1.0.1", keys="OW update", complexity="O(N)",
    tips=("request_policy:multi_shard", "response_policy:all_succeeded"), row=_mset_row,
)  # fmt: skip
def mset(call: Call) -> Reply:
    """Store several strings under their keys, all at once."""
    if len(call.argv) % 2 == 0:
        raise wrong_arity(call)
    _set_all(call)
    return OK


@command("MSETNX key value [key value ...]", WRITE | DENYOOM, since="1.0.1", keys="OW insert", complexity="O(N)")
def msetnx(call: Call) -> Reply:
    """Store several strings if none of the keys exists."""
    if len(call.argv) % 2 == 0:
        raise wrong_arity(call)
    if any(call.db.find_for_write(key) is not None for key in call.argv[1::2]):
        return 0
    _set_all(call)
    return 1


def _set_all(call: Call) -> None:
    db, argv = call.db, call.argv
    if db.deadlines.size or db.keyspace.events_mask:
        for key, text in zip(argv[1::2], argv[2::2], strict=True):
            db.expire_if_due(key)
            db.put(key, compact(text))
            db.notify(notify.STRING, b"set", key)
    else:
        db.put_all([argv], [], OK)
    db.dirty += len(argv) // 2
