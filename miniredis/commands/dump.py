"""Values that travel: DUMP writes one down, RESTORE makes a key of it again, here or on a real Redis."""

from __future__ import annotations

from typing import Final

from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import ASKING, DENYOOM, READONLY, WRITE, command
from miniredis.keyspace import notify
from miniredis.keyspace.db import LRU_BITS_MASK
from miniredis.keyspace.field_expiry import schedule
from miniredis.persist.rdb_format import PACKED_TYPES, unsealed
from miniredis.persist.rdb_load import restore
from miniredis.persist.rdb_save import dump
from miniredis.structures.hash import Hash
from protocol.resp.values import OK, Failure, Reply

INT64_MAX: Final = 0x7FFFFFFFFFFFFFFF
# An idle time is kept in 24 bits of seconds.
MAX_IDLE_S: Final = LRU_BITS_MASK
_TIME_AND_COUNTER: Final = (
    ("3.0.0", "Takes `REPLACE`."),
    ("5.0.0", "Takes `ABSTTL`."),
    ("5.0.0", "Takes `IDLETIME` and `FREQ`."),
)
_RESTORE: Final = (
    "key ttl:integer serialized-value [REPLACE] @3.0.0 [ABSTTL] @5.0.0 [IDLETIME seconds:integer] @5.0.0 "
    "[FREQ frequency:integer] @5.0.0"
)
_COMPLEXITY: Final = "O(N) with N the size of the payload, O(N*log(N)) for sorted sets"


@command("DUMP key", READONLY, since="2.6.0", keys="RO access", tips=("nondeterministic_output",),
         complexity="O(N) with N the size of the value")  # fmt: skip
def dump_(call: Call) -> Reply:
    """Return a value in the bytes an RDB file would hold, with its version and a checksum."""
    value = call.db.find(call.argv[1])
    return None if value is None else dump(value, is_compressed=call.settings.rdbcompression)


@command(f"RESTORE {_RESTORE}", WRITE | DENYOOM, since="2.6.0", keys="OW update", acl=("dangerous",),
         complexity=_COMPLEXITY, history=_TIME_AND_COUNTER)  # fmt: skip
def restore_(call: Call) -> Reply:
    """Make a key of what DUMP returned."""
    return _restore(call)


@command(f"RESTORE-ASKING {_RESTORE}", WRITE | DENYOOM | ASKING, since="3.0.0", group="server", keys="OW update",
         acl=("dangerous", "keyspace"), complexity=_COMPLEXITY, history=_TIME_AND_COUNTER,
         is_internal=True)  # fmt: skip
def restore_asking(call: Call) -> Reply:
    """Make a key of what DUMP returned, while its slot is being moved here."""
    return _restore(call)


class _Options:
    """What follows the payload."""

    __slots__ = ("frequency", "idle_s", "is_absolute", "replaces")

    def __init__(self, call: Call) -> None:
        self.replaces = self.is_absolute = False
        self.idle_s = self.frequency = -1
        at = 4
        while at < len(call.argv):
            word = call.option(at)
            has_value = at + 1 < len(call.argv)
            if word == b"REPLACE":
                self.replaces = True
            elif word == b"ABSTTL":
                self.is_absolute = True
            elif word == b"IDLETIME" and has_value and self.frequency < 0:
                at += 1
                self.idle_s = call.integer(at)
                if self.idle_s < 0:
                    raise Failure("ERR Invalid IDLETIME value, must be >= 0")
            elif word == b"FREQ" and has_value and self.idle_s < 0:
                at += 1
                self.frequency = call.integer(at)
                if not 0 <= self.frequency <= 255:
                    raise Failure("ERR Invalid FREQ value, must be >= 0 and <= 255")
            else:
                raise Failure(SYNTAX_ERROR)
            at += 1


def _restore(call: Call) -> Reply:
    options = _Options(call)
    key = call.argv[1]
    db = call.db
    if not options.replaces and db.find_for_write(key) is not None:
        raise Failure("BUSYKEY Target key name already exists.")
    ttl = call.integer(2)
    if ttl < 0:
        raise Failure("ERR Invalid TTL value, must be >= 0")
    body = unsealed(call.argv[3], is_sum_checked=call.state.checks_sums)
    if body is None:
        raise Failure("ERR DUMP payload version or checksum are wrong")
    try:
        value = restore(body, call.settings)
    except ValueError as error:
        call.state.log_detail(f"Internal error in RDB reading of a payload -> {error}")
        raise Failure("ERR Bad data format") from None
    if call.settings.sanitize_dump_payload != "no" and body[0] in PACKED_TYPES:
        call.state.sanitized_payloads += 1
    deadline = ttl if options.is_absolute or not ttl else min(ttl + call.now, INT64_MAX)
    was_there = options.replaces and db.find_for_write(key) is not None
    if deadline and call.has_passed(deadline):
        if was_there:
            db.delete(key)
            db.notify(notify.GENERIC, b"del", key)
            db.dirty += 1
            call.replicate(b"UNLINK" if call.settings.lazyfree_lazy_server_del else b"DEL", key)
        return OK
    if was_there:
        db.delete(key)
    db.put(key, value)
    if isinstance(value, Hash) and value.deadlines:
        schedule(db, key, value)
    if deadline:
        db.expire_at(key, deadline)
        if not options.is_absolute:
            call.replicate(call.argv[0], key, b"%d" % deadline, *call.argv[3:], b"ABSTTL")
    _set_clock(call, key, options)
    db.notify(notify.GENERIC, b"restore", key)
    db.dirty += 1
    return OK


def _set_clock(call: Call, key: bytes, options: _Options) -> None:
    """The access clock as the options have it, where the policy keeps that kind of clock."""
    keyspace = call.db.keyspace
    if keyspace.is_lfu and options.frequency >= 0:
        call.db.table.set_clock(key, (keyspace.clock & ~0xFF) | options.frequency)
    elif not keyspace.is_lfu and options.idle_s >= 0:
        call.db.table.set_clock(key, (keyspace.clock - min(options.idle_s, MAX_IDLE_S)) & LRU_BITS_MASK)
