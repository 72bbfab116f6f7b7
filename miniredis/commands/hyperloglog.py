"""HyperLogLog: strings that know about how many different elements were added to them."""

from __future__ import annotations

from math import ceil, sqrt
from random import Random
from typing import Final, cast

from miniredis.engine.call import Call
from miniredis.engine.registry import ADMIN, DENYOOM, FAST, MAY_REPLICATE, READONLY, WRITE, command
from miniredis.keyspace.db import WRONG_TYPE
from miniredis.keyspace.notify import STRING
from miniredis.keyspace.value import String, is_string, string_bytes
from miniredis.structures import hyperloglog
from miniredis.structures.hyperloglog import Corrupted
from protocol.resp.values import OK, Failure, Reply, Status

NOT_ONE: Final = "WRONGTYPE Key is not a valid HyperLogLog string value."
CORRUPTED: Final = "INVALIDOBJ Corrupted HLL object detected"

SELFTEST_ROUNDS: Final = 5
SELFTEST_ELEMENTS: Final = 10_000  # Redis adds ten million, and everybody waits


@command("PFADD key [element [element ...]]", WRITE | DENYOOM | FAST, since="2.8.9", keys="RW insert")
def pfadd(call: Call) -> Reply:
    """Add elements to a HyperLogLog, made if there is none; 1 if its estimate may have changed."""
    db, argv = call.db, call.argv
    data = _for_write(call, argv[1])
    updated = 0
    if data is None:
        data = hyperloglog.new()
        db.put(argv[1], data)
        updated = 1
    most = call.settings.hll_sparse_max_bytes
    try:
        updated += hyperloglog.add(data, argv[2:], most)
    except Corrupted:
        raise Failure(CORRUPTED) from None
    if updated:
        hyperloglog.mark_stale(data)
        _told(call, argv[1], updated)
    return 1 if updated else 0


@command("PFCOUNT key [key ...]", READONLY | MAY_REPLICATE, since="2.8.9", complexity="O(N), N keys",
         keys="RW access # the count is kept inside the value, and told to replicas")  # fmt: skip
def pfcount(call: Call) -> Reply:
    """Estimate how many different elements were added to a HyperLogLog, or to several together."""
    try:
        found = _count_all(call) if len(call.argv) > 2 else _count_one(call, call.argv[1])
    except Corrupted:
        raise Failure(CORRUPTED) from None
    return found if found < 1 << 63 else found - (1 << 64)


def _count_all(call: Call) -> int:
    values = bytes(hyperloglog.REGISTERS)
    for key in call.argv[1:]:
        data = _read(call, key)
        if data is not None:
            values = hyperloglog.largest(values, hyperloglog.registers(data))
    return hyperloglog.estimate(hyperloglog.histogram(values))


def _count_one(call: Call, key: bytes) -> int:
    db = call.db
    data = _read(call, key)
    if data is None:
        return 0
    if not isinstance(data, bytearray):
        data = bytearray(data)
        db.reshape(key, data)
    known = hyperloglog.kept_cardinality(data)
    if known is not None:
        return known
    found = hyperloglog.cardinality(data)
    hyperloglog.keep_cardinality(data, found)
    # The command only reads, but what it has counted stays in the string: others must have the same bytes.
    db.touch(key)
    db.dirty += 1
    return found


@command(
    "PFMERGE destkey:key [sourcekey:key [sourcekey:key ...]]", WRITE | DENYOOM, since="2.8.9",
    keys="RW access insert | RO access", complexity="O(N), N keys",
)  # fmt: skip
def pfmerge(call: Call) -> Reply:
    """Merge HyperLogLogs into the first one, made if there is none."""
    key = call.argv[1]
    values = bytes(hyperloglog.REGISTERS)
    is_dense = False
    try:
        for name in call.argv[1:]:
            source = _read(call, name)
            if source is not None:
                is_dense |= hyperloglog.is_dense(source)
                values = hyperloglog.largest(values, hyperloglog.registers(source))
    except Corrupted:
        raise Failure(CORRUPTED) from None
    data = call.db.text_for_write(key)
    if data is None:
        data = hyperloglog.new()
        call.db.put(key, data)
    if is_dense:
        hyperloglog.make_dense(data)
    hyperloglog.merge_into(data, values, call.settings.hll_sparse_max_bytes)
    _told(call, key, 1)
    return OK


@command(
    "PFDEBUG subcommand key", WRITE | DENYOOM | ADMIN, since="2.8.9", keys="RW access", complexity="N/A",
    is_internal=True,
)  # fmt: skip
def pfdebug(call: Call) -> Reply:
    """Show how a HyperLogLog is stored: GETREG, DECODE, ENCODING; TODENSE changes it."""
    name, key = call.argv[1].lower(), call.argv[2]
    data = _for_write(call, key)
    if data is None:
        raise Failure("ERR The specified key does not exist")
    if name == b"encoding":
        return Status("dense" if hyperloglog.is_dense(data) else "sparse")
    if name == b"decode":
        if hyperloglog.is_dense(data):
            raise Failure("ERR HLL encoding is not sparse")
        return hyperloglog.runs_shown(data)
    if name not in (b"getreg", b"todense"):
        raise Failure(b"ERR Unknown PFDEBUG subcommand '%b'" % call.argv[1])
    is_converted = not hyperloglog.is_dense(data)
    try:
        hyperloglog.make_dense(data)
    except Corrupted:
        raise Failure(CORRUPTED) from None
    if is_converted:
        call.db.dirty += 1
    return list(hyperloglog.registers(data)) if name == b"getreg" else int(is_converted)


@command("PFSELFTEST", ADMIN, since="2.8.9", complexity="N/A", is_internal=True)
def pfselftest(call: Call) -> Reply:
    """Test the registers and the estimate of HyperLogLog with random elements."""
    fault = _fault_of_registers(call.random) or _fault_of_estimate(call.random, call.settings.hll_sparse_max_bytes)
    if fault:
        raise Failure(f"ERR TESTFAILED {fault}")
    return OK


def _fault_of_registers(chance: Random) -> str:
    data = hyperloglog.new()
    for _ in range(SELFTEST_ROUNDS):
        values = bytes([byte & 63 for byte in chance.randbytes(hyperloglog.REGISTERS)])
        hyperloglog.fill_dense(data, values)
        found = hyperloglog.registers(data)
        for index, (wanted, number) in enumerate(zip(values, found, strict=True)):
            if wanted != number:
                return f"Register {index} should be {wanted} but is {number}"
    return ""


def _fault_of_estimate(chance: Random, sparse_max_bytes: int) -> str:
    """Compare estimates with the truth at every power of ten, of a dense one and of one that begins sparse."""
    dense, data = hyperloglog.new(), hyperloglog.new()
    hyperloglog.make_dense(dense)
    seed = chance.getrandbits(64)
    checkpoint = 1
    for number in range(1, SELFTEST_ELEMENTS + 1):
        element = (number ^ seed).to_bytes(8, "little")
        hyperloglog.add(dense, [element], sparse_max_bytes)
        hyperloglog.add(data, [element], sparse_max_bytes)
        if number != checkpoint:
            continue
        if number < sparse_max_bytes // 2 and hyperloglog.is_dense(data):
            return "sparse encoding not used"
        found = hyperloglog.cardinality(dense)
        if found != hyperloglog.cardinality(data):
            return "dense/sparse disagree"
        allowed = 1 if number == 10 else ceil(6 * 1.04 / sqrt(hyperloglog.REGISTERS) * number)
        if abs(number - found) > allowed:
            return f"Too big error. card:{number} abserr:{abs(number - found)}"
        checkpoint *= 10
    return ""


def _read(call: Call, key: bytes) -> bytes | bytearray | None:
    data = call.db.text(key)
    return None if data is None else _checked(data)


def _for_write(call: Call, key: bytes) -> bytearray | None:
    db = call.db
    value = db.find_for_write(key)
    if value is None:
        return None
    if type(value) is not bytearray:
        if not is_string(value):
            raise Failure(WRONG_TYPE)
        # Only what is one takes the form that is changed in place.
        value = bytearray(_checked(string_bytes(cast("String", value))))
        db.reshape(key, value)
    else:
        _checked(value)
    return value


def _checked(data: bytes | bytearray) -> bytes | bytearray:
    if not hyperloglog.looks_valid(data):
        raise Failure(NOT_ONE)
    return data


def _told(call: Call, key: bytes, changes: int) -> None:
    db = call.db
    db.dirty += changes
    db.touch(key)
    db.notify(STRING, b"pfadd", key)
