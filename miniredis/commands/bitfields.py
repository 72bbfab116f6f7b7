"""BITFIELD: a string as an array of integers of any width, several of them read and changed in one command."""

from __future__ import annotations

from typing import Final, NamedTuple

from miniredis.commands.bitmaps import bit_offset, room_for, told
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import DENYOOM, FAST, READONLY, WRITE, command
from miniredis.structures import bits
from protocol.resp.numbers import parse_int
from protocol.resp.values import Failure, Reply

BAD_TYPE: Final = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
_WORDS: Final = {b"GET": 3, b"SET": 4, b"INCRBY": 4}  # how many, the verb's own included


class _Step(NamedTuple):
    verb: bytes
    is_signed: bool
    width: int  # bits
    offset: int  # bits
    amount: int  # the value of SET, the increment of INCRBY
    overflow: bytes


@command(
    "BITFIELD key operation=[get-block=<GET encoding offset:integer> | "
    "write=<overflow-block=[OVERFLOW < WRAP | SAT | FAIL >] "
    "write-operation=<set-block=<SET encoding offset:integer value:integer> | "
    "incrby-block=<INCRBY encoding offset:integer increment:integer>>> ...]",
    WRITE | DENYOOM, since="3.2.0", complexity="O(1) for each subcommand",
    keys="RW access update variable_flags # GET alone reads, SET and INCRBY change",
)  # fmt: skip
def bitfield(call: Call) -> Reply:
    """Read, set and increment integers of any width inside a string."""
    return _run(call, _steps(call))


@command(
    "BITFIELD_RO key get-block=[GET <encoding offset:integer> ...]", READONLY | FAST, since="6.0.0",
    complexity="O(1) for each subcommand",
)  # fmt: skip
def bitfield_ro(call: Call) -> Reply:
    """Read integers of any width inside a string."""
    steps = _steps(call)
    if any(step.verb != b"GET" for step in steps):
        raise Failure("ERR BITFIELD_RO only supports the GET subcommand")
    return _run(call, steps)


def _steps(call: Call) -> list[_Step]:
    argv = call.argv
    steps: list[_Step] = []
    overflow = b"WRAP"
    at = 2
    while at < len(argv):
        verb = argv[at].upper()
        if verb == b"OVERFLOW" and at + 1 < len(argv):
            overflow = argv[at + 1].upper()
            if overflow not in (b"WRAP", b"SAT", b"FAIL"):
                raise Failure("ERR Invalid OVERFLOW type specified")
            at += 2
            continue
        words = _WORDS.get(verb, 0)
        if not words or at + words > len(argv):
            raise Failure(SYNTAX_ERROR)
        is_signed, width = _encoding(argv[at + 1])
        offset = bit_offset(call, argv[at + 2], width)
        amount = call.integer(at + 3) if words > 3 else 0
        steps.append(_Step(verb, is_signed, width, offset, amount, overflow))
        at += words
    return steps


def _encoding(word: bytes) -> tuple[bool, int]:
    """`i16`, `u8`: whether signed, and how many bits."""
    is_signed = word[:1] == b"i"
    try:
        width = parse_int(word[1:])
    except ValueError:
        raise Failure(BAD_TYPE) from None
    if word[:1] not in (b"i", b"u") or not 1 <= width <= (64 if is_signed else 63):
        raise Failure(BAD_TYPE)
    return is_signed, width


def _run(call: Call, steps: list[_Step]) -> Reply:
    key = call.argv[1]
    highest = max((step.offset + step.width - 1 for step in steps if step.verb != b"GET"), default=-1)
    if highest < 0:
        text = call.db.text(key) or b""
        return [bits.field_at(text, step.offset, step.width, step.is_signed) for step in steps]
    field_text, is_grown = room_for(call, key, highest)
    changes = 0
    replies: list[Reply] = []
    for step in steps:
        old = bits.field_at(field_text, step.offset, step.width, step.is_signed)
        if step.verb == b"GET":
            replies.append(old)
            continue
        new = _changed(step, old)
        if new is None:
            replies.append(None)
            continue
        bits.set_field(field_text, step.offset, step.width, new)
        changes += is_grown or new != old
        replies.append(old if step.verb == b"SET" else new)
    if changes:
        told(call, key, changes)
    return replies


def _changed(step: _Step, old: int) -> int | None:
    if step.verb == b"INCRBY":
        return bits.fitted(old + step.amount, step.width, step.is_signed, step.overflow)
    # A negative value for an unsigned field is a very large one.
    value = step.amount if step.is_signed else step.amount & 0xFFFFFFFFFFFFFFFF
    is_saturated = step.is_signed and step.width < 64 and step.overflow == b"SAT"
    if is_saturated and (1 << (step.width - 1)) - 1 - value >= 1 << 63:
        value = -value  # so far below that Redis's distance to the largest value overflows: it takes it for too large
    return bits.fitted(value, step.width, step.is_signed, step.overflow)
