"""DEBUG: what tests and developers ask of the server. Only where enable-debug-command allows it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from miniredis.commands.shared import NOT_POSITIVE, wrong_subcommand
from miniredis.engine.call import NO_SUCH_KEY, TO_REPLICAS, Call
from miniredis.engine.registry import ADMIN, LOADING, NOSCRIPT, PROTECTED, STALE, command
from miniredis.keyspace.db import LRU_BITS_MASK
from miniredis.keyspace.value import Value, encoding, reference_count
from miniredis.persist.digest import DIGEST_BYTES, dataset_digest, value_digest
from miniredis.persist.rdb_format import HASH_LISTPACK_EX, Reader
from miniredis.persist.rdb_save import encode
from miniredis.persist.snapshots import CannotLoad
from miniredis.structures import listpack
from miniredis.structures.chunks import List
from miniredis.structures.sets import Set
from protocol.resp.numbers import parse_float
from protocol.resp.values import (
    OK,
    Attributed,
    BigNumber,
    Failure,
    Many,
    Members,
    Push,
    Reply,
    Status,
    Verbatim,
)

ANY_NUMBER: Final = 1 << 31
MAX_THRESHOLD: Final = (1 << 32) - 1
_MEMORY: Final = re.compile(rb"([0-9]{1,12})(b|k|kb|m|mb|g|gb|)")
_UNITS: Final = {
    b"": 1, b"b": 1, b"k": 1000, b"kb": 1 << 10, b"m": 10**6, b"mb": 1 << 20, b"g": 10**9, b"gb": 1 << 30,
}  # fmt: skip
# Keys that DEBUG POPULATE makes in one call, at most: more would hold the server for minutes.
MAX_POPULATE: Final = 50_000_000

_NOT_LOADED: Final = "ERR Error trying to load the AOF files, check server logs."

_HELP: Final = (
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "AOF-FLUSH-SLEEP <microseconds>",
    "    Wait so long before each write to the append-only file.",
    "CHANGE-REPL-ID",
    "    Give this server another replication id.",
    "DIGEST",
    "    Answer with one sum over all keys of all databases.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Answer with a sum over the value of each key.",
    "ERROR <string>",
    "    Answer with an error of this text.",
    "LISTPACK <key>",
    "    Write the bytes of a listpack to the server's log.",
    "LOADAOF",
    "    Write down what waits to be, empty the databases and load the append-only file.",
    "LOG <message>",
    "    Write a line to the server's log.",
    "OBJECT <key>",
    "    Answer with how a value is kept: encoding, length when written down, access clock.",
    "PAUSE-CRON (0|1)",
    "    Stop what is done because it is time, or go on with it.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Make keys <prefix>:0, <prefix>:1, … that do not exist yet (prefix: key).",
    "PROTOCOL <type>",
    "    Answer with a value of a type: string, integer, double, null, array, set, map, attrib, push, verbatim, true,",
    "    false, bignum.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    In lists made from now on, elements of this length get a node to themselves (0: back to normal).",
    "RELOAD [option ...]",
    "    Save the databases to the disk, empty them and load the file. Options: MERGE (what the file has goes in the",
    "    place of what is there), NOFLUSH (nothing is emptied), NOSAVE (the file is loaded as it is).",
    "REPLICATE <command> [<arg> ...]",
    "    Send a command to the replicas, of whatever kind, without running it here.",
    "SET-ACTIVE-EXPIRE (0|1)",
    "    Stop or start removing expired keys that nobody asks for.",
    "SET-DISABLE-DENY-SCRIPTS (0|1)",
    "    Let scripts call what is not for scripts, or no longer.",
    "SET-SKIP-CHECKSUM-VALIDATION (0|1)",
    "    Believe payloads of RESTORE without their checksum, or no longer.",
    "SLEEP <seconds>",
    "    Hold the whole server for a time.",
    "STRUCTSIZE",
    "    Answer with the bits of the machine's words.",
    "HELP",
    "    Print this help.",
)


@command(
    "DEBUG",
    ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED,
    arity=-2,
    complexity="Depends on subcommand.",
    is_internal=True,
)
def debug(call: Call) -> Reply:
    """Do what only tests and developers need."""
    word = call.option(1)
    low, high, run = _SUBCOMMANDS.get(word, (0, 0, _protocol))
    if not low <= len(call.argv) <= high:
        raise wrong_subcommand(call)
    return run(call)


def _help(call: Call) -> Reply:
    return [Status(line) for line in _HELP]


def _sleep(call: Call) -> Reply:
    try:
        seconds = parse_float(call.argv[2])
    except ValueError:
        seconds = 0.0
    call.state.clock.hold(max(seconds, 0.0))
    return OK


def _set_active_expire(call: Call) -> Reply:
    call.state.expires_actively = call.argv[2] != b"0"
    return OK


def _pause_cron(call: Call) -> Reply:
    call.state.is_cron_paused = call.argv[2] != b"0"
    return OK


def _error(call: Call) -> Reply:
    failure = Failure(call.argv[2])
    failure.is_counted = True  # it is none of the server's
    return failure


def _log(call: Call) -> Reply:
    call.state.log("DEBUG LOG: " + call.argv[2].decode("utf-8", "replace"))
    return OK


def _populate(call: Call) -> Reply:
    argv = call.argv
    count = _number(call, 2, MAX_POPULATE)
    prefix = argv[3] if len(argv) > 3 else b"key"
    size = _number(call, 4, call.settings.proto_max_bulk_len) if len(argv) > 4 else 0
    for number in range(count):
        key = b"%b:%d" % (prefix, number)
        if call.db.peek(key) is None:
            value = b"value:%d" % number
            call.db.put(key, value[:size].ljust(size, b"\0") if size else value)
    return OK


# ── what is stored ─────────────────────────────────────────────────────────────────────────────────────


def _digest(call: Call) -> Reply:
    return Status(_hex(dataset_digest(call.state.dbs)))


def _digest_value(call: Call) -> Reply:
    """Keys past their instant count: nothing is removed to answer this."""
    db = call.db
    found: list[Reply] = []
    for key in call.argv[2:]:
        value = db.table.get(key)
        total = 0 if value is None else value_digest(value, db.expiry(key) is not None)
        found.append(Status(_hex(total)))
    return found


def _hex(total: int) -> bytes:
    return b"%0*x" % (2 * DIGEST_BYTES, total)


def _stored(call: Call) -> Value:
    value = call.db.table.get(call.argv[2])
    if value is None:
        raise Failure(NO_SUCH_KEY)
    return value


def _object(call: Call) -> Reply:
    value = _stored(call)
    clock = call.db.table.clock(call.argv[2])
    # Without its type byte, as Redis counts.
    length = len(encode(value, is_compressed=call.settings.rdbcompression)) - 1
    idle = 0 if call.db.keyspace.is_lfu else (call.now // 1000 - clock) & LRU_BITS_MASK
    text = b"Value at:0x%x refcount:%d encoding:%b serializedlength:%d lru:%d lru_seconds_idle:%d" % (
        id(value), reference_count(value), encoding(value), length, clock, idle,
    )  # fmt: skip
    if isinstance(value, List) and value.encoding == b"quicklist":
        text += _chain_text(value, call.settings.list_max_listpack_size)
    return Status(text)


def _chain_text(value: List, fill: int) -> bytes:
    runs = value.runs()
    size = sum([run.size for run in runs])
    return b" ql_nodes:%d ql_avg_node:%.2f ql_listpack_max:%d ql_compressed:%d ql_uncompressed_size:%d" % (
        len(runs), len(value) / len(runs), fill, value.depth > 0, size,
    )  # fmt: skip


def _listpack(call: Call) -> Reply:
    """The bytes are those of the type's RDB form, whose only element a listpack is."""
    value = _stored(call)
    if encoding(value) not in (b"listpack", b"listpackex"):
        raise Failure("ERR Not a listpack encoded object.")
    items = _packed_items(value)
    blob = listpack.encode(items)
    call.state.log(f"{{total bytes {len(blob)}}} {{num entries {len(items)}}}")
    for at, item in enumerate(items):
        call.state.log(f"{at}: {listpack.entry(item).hex()}")
    return Status(b"Listpack structure printed on stdout")


def _packed_items(value: Value) -> list[bytes | int]:
    body = encode(value, is_compressed=False)
    items: list[bytes | int] = []
    if isinstance(value, List | Set):
        items += value
    else:
        reader = Reader(body, 9 if body[0] == HASH_LISTPACK_EX else 1)
        items += listpack.elements(reader.string())
    return items


def _reload(call: Call) -> Reply:
    options = {call.option(at) for at in range(2, len(call.argv))}
    if options - {b"MERGE", b"NOFLUSH", b"NOSAVE"}:
        raise Failure("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")
    try:
        is_saved = call.state.snapshots.reload(
            saves=b"NOSAVE" not in options, flushes=b"NOFLUSH" not in options, replaces=b"MERGE" in options,
            now_ms=call.now,
        )  # fmt: skip
    except CannotLoad as error:
        call.state.log(str(error))
        raise Failure("ERR Error trying to load the RDB dump, check server logs.") from None
    if not is_saved:
        raise Failure("ERR")
    call.state.log("DB reloaded by DEBUG RELOAD")
    return OK


def _load_aof(call: Call) -> Reply:
    state = call.state
    state.appending.flush()
    for db in state.dbs:
        db.clear()
    state.engine.scripts.functions.flush()
    try:
        for _ in state.appending.load():
            pass
    except FileNotFoundError:
        raise Failure(_NOT_LOADED) from None
    except CannotLoad as error:
        state.log(str(error))
        raise Failure(_NOT_LOADED) from None
    state.dirty = 0
    state.log("Append Only File loaded by DEBUG LOADAOF")
    return OK


# ── the server's own ways ──────────────────────────────────────────────────────────────────────────────


def _change_repl_id(call: Call) -> Reply:
    call.state.history.begin()
    return OK


def _replicate(call: Call) -> Reply:
    call.replicate(*call.argv[2:], to=TO_REPLICAS)
    return OK


def _packed_threshold(call: Call) -> Reply:
    """Lists made from now on give elements of this length a node to themselves; 0: only those that fit nowhere."""
    match = _MEMORY.fullmatch(call.argv[2].lower())
    size = int(match[1]) * _UNITS[match[2]] if match else -1
    if not 0 <= size <= MAX_THRESHOLD:
        raise Failure("ERR argument must be a memory value bigger than 1 and smaller than 4gb")
    call.state.list_plain_from = size
    return OK


def _aof_flush_sleep(call: Call) -> Reply:
    call.state.appending.file.flush_pause_us = _number(call, 2, ANY_NUMBER)
    return OK


def _skip_checksums(call: Call) -> Reply:
    call.state.checks_sums = call.argv[2] == b"0"
    return OK


def _disable_deny_scripts(call: Call) -> Reply:
    call.state.engine.scripts.may_call_anything = call.argv[2] != b"0"
    return OK


def _structsize(call: Call) -> Reply:
    return b"bits:64 "


def _number(call: Call, at: int, high: int) -> int:
    error = NOT_POSITIVE
    number = call.integer(at, error)
    if not 0 <= number <= high:
        raise Failure(error)
    return number


def _protocol(call: Call) -> Reply:
    name = call.argv[2].lower()
    make = _TYPES.get(name)
    if make is None:
        raise Failure(
            "ERR Wrong protocol type name. Please use one of the following: "
            "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"
        )
    return make(call)


def _attributed(call: Call) -> Reply:
    return Attributed({b"key-popularity": [b"key:123", 90]}, b"Some real reply following the attribute")


def _push(call: Call) -> Reply:
    if call.resp < 3:
        raise Failure("ERR RESP2 is not supported by this command")
    return Many([b"Some real reply following the push reply", Push([b"server-cpu-usage", 42])])


_TYPES: Final[dict[bytes, Callable[[Call], Reply]]] = {
    b"string": lambda call: b"Hello World",
    b"integer": lambda call: 12345,
    b"double": lambda call: 3.141,
    b"null": lambda call: None,
    b"array": lambda call: [0, 1, 2],
    b"set": lambda call: Members([0, 1, 2]),
    b"map": lambda call: {0: False, 1: True, 2: False},
    b"attrib": _attributed,
    b"push": _push,
    b"verbatim": lambda call: Verbatim(b"This is a verbatim\nstring"),
    b"true": lambda call: True,
    b"false": lambda call: False,
    b"bignum": lambda call: BigNumber(1234567999999999999999999999999999999),
}

# word → least and greatest number of words, and what runs it
_SUBCOMMANDS: Final[dict[bytes, tuple[int, int, Callable[[Call], Reply]]]] = {
    b"HELP": (2, 2, _help),
    b"SLEEP": (3, 3, _sleep),
    b"SET-ACTIVE-EXPIRE": (3, 3, _set_active_expire),
    b"ERROR": (3, 3, _error),
    b"LOG": (3, 3, _log),
    b"POPULATE": (3, 5, _populate),
    b"PROTOCOL": (3, 3, _protocol),
    b"CHANGE-REPL-ID": (2, 2, _change_repl_id),
    b"PAUSE-CRON": (3, 3, _pause_cron),
    b"REPLICATE": (3, ANY_NUMBER, _replicate),
    b"DIGEST": (2, 2, _digest),
    b"DIGEST-VALUE": (2, ANY_NUMBER, _digest_value),
    b"AOF-FLUSH-SLEEP": (3, 3, _aof_flush_sleep),
    b"LISTPACK": (3, 3, _listpack),
    b"LOADAOF": (2, 2, _load_aof),
    b"OBJECT": (3, 3, _object),
    b"QUICKLIST-PACKED-THRESHOLD": (3, 3, _packed_threshold),
    b"RELOAD": (2, ANY_NUMBER, _reload),
    b"SET-DISABLE-DENY-SCRIPTS": (3, 3, _disable_deny_scripts),
    b"SET-SKIP-CHECKSUM-VALIDATION": (3, 3, _skip_checksums),
    b"STRUCTSIZE": (2, 2, _structsize),
}
