"""Strings that are changed only if they are what the caller believes: DIGEST, DELEX, MSETEX, and SET's IFEQ and kin.

A digest is XXH3 (64 bits) of the string, as 16 hexadecimal digits.
"""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import EXPIRY_UNITS, instant_ms, wrong_arity
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import DENYOOM, FAST, READONLY, WRITE, KeySpec, command
from miniredis.keyspace import notify
from miniredis.keyspace.value import compact
from protocol.checksums import xxh3_64
from protocol.resp.values import Failure, Reply

DIGEST_DIGITS: Final = 16
CONDITIONS: Final = (b"IFEQ", b"IFNE", b"IFDEQ", b"IFDNE")


@command("DIGEST key", READONLY | FAST, since="8.4.0", group="string", complexity="O(N), N bytes")
def digest(call: Call) -> Reply:
    """Return the XXH3 digest of a string in hexadecimal."""
    text = call.db.text(call.argv[1])
    return None if text is None else digest_of(text)


@command(
    "DELEX key condition=[IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest:integer | IFDNE ifdne-digest:integer]",
    WRITE | FAST, since="8.4.0", group="string", keys="RW delete",
    complexity="O(1) with IFEQ and IFNE, O(N) with the others, N bytes",
)  # fmt: skip
def delex(call: Call) -> Reply:
    """Delete a key if its string, or the digest of it, is or is not the one given."""
    db, argv = call.db, call.argv
    key = argv[1]
    if len(argv) not in (2, 4):
        raise wrong_arity(call)
    if len(argv) == 4:
        condition = call.option(2)
        if condition not in CONDITIONS:
            raise Failure("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE")
        check_digest(condition, argv[3])
        text = db.text(key)
        if text is None or not holds(condition, argv[3], text):
            return 0
    elif db.find_for_write(key) is None:
        return 0
    db.delete(key)
    db.dirty += 1
    db.notify(notify.GENERIC, b"del", key)
    call.replicate(b"DEL", key)
    return 1


@command(
    "MSETEX numkeys:integer key value [key value ...] condition=[NX | XX] expiration=[EX seconds:integer | "
    "PX milliseconds:integer | EXAT unix-time-seconds:unix-time | PXAT unix-time-milliseconds:unix-time | KEEPTTL]",
    WRITE | DENYOOM, since="8.4.0", group="string", complexity="O(N), N keys",
    key_specs=(KeySpec(1, 0, 2, "OW update", keynum_index=0, first_key=1),),
)  # fmt: skip
def msetex(call: Call) -> Reply:
    """Store several strings, all or none, with a condition and a common time to live."""
    db, argv = call.db, call.argv
    count = call.integer(1, "ERR invalid numkeys value")
    if not 1 <= count <= 0x7FFFFFFF:
        raise Failure("ERR invalid numkeys value")
    end = 2 + 2 * count
    if end > len(argv):
        raise Failure("ERR wrong number of key-value pairs")
    condition, unit, instant = _options(call, end)
    pairs = argv[2:end]
    if condition:
        there = [db.find_for_write(key) is not None for key in pairs[::2]]
        if any(there) if condition == b"NX" else not all(there):
            return 0
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        db.put(key, compact(value), keep_ttl=unit == b"KEEPTTL")
        db.notify(notify.STRING, b"set", key)
        if unit in EXPIRY_UNITS:
            db.expire_at(key, instant)
            db.notify(notify.GENERIC, b"expire", key)
    db.dirty += count
    told = [b"PXAT", b"%d" % instant] if unit in EXPIRY_UNITS else [unit] if unit else []
    call.replicate(b"MSETEX", argv[1], *pairs, *told)
    return 1


def _options(call: Call, at: int) -> tuple[bytes, bytes, int]:
    argv = call.argv
    condition = unit = b""
    instant = 0
    while at < len(argv):
        word = call.option(at)
        if word in (b"NX", b"XX") and not condition:
            condition = word
        elif word == b"KEEPTTL" and not unit:
            unit = word
        elif word in EXPIRY_UNITS and not unit and at + 1 < len(argv):
            unit = word
            at += 1
            instant = instant_ms(call, word, at)
        else:
            raise Failure(SYNTAX_ERROR)
        at += 1
    return condition, unit, instant


def digest_of(text: bytes | bytearray) -> bytes:
    """DIGEST's 16 hexadecimal digits: XXH3 of 64 bits."""
    return b"%016x" % xxh3_64(text)


def check_digest(condition: bytes, word: bytes) -> None:
    """Failure for what stands in the place of a digest and is none."""
    if condition in (b"IFDEQ", b"IFDNE") and len(word) != DIGEST_DIGITS:
        raise Failure("ERR must be exactly 16 hexadecimal characters")


def holds(condition: bytes, word: bytes, text: bytes | bytearray) -> bool:
    """Whether a string fulfils IFEQ, IFNE, IFDEQ or IFDNE."""
    if condition in (b"IFEQ", b"IFNE"):
        return (text == word) == (condition == b"IFEQ")
    return (digest_of(text) == word.lower()) == (condition == b"IFDEQ")
