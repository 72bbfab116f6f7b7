"""Bitmaps: strings read and written bit by bit, counted, searched and joined.

A string that SETBIT wrote to is a `bytearray` and changes in place, however long it is.
"""

from __future__ import annotations

from typing import Final

from miniredis.engine.call import SYNTAX_ERROR, Call, Origin
from miniredis.engine.registry import DENYOOM, FAST, READONLY, WRITE, command
from miniredis.keyspace.notify import GENERIC, STRING
from miniredis.structures import bits
from protocol.resp.numbers import parse_int
from protocol.resp.values import Failure, Reply

BAD_OFFSET: Final = "ERR bit offset is not an integer or out of range"
BAD_BIT: Final = "ERR bit is not an integer or out of range"

_BITS: Final = {b"0": 0, b"1": 1}


@command("SETBIT key offset:integer value:integer", WRITE | DENYOOM, since="2.2.0", keys="RW access update")
def setbit(call: Call) -> Reply:
    """Set or clear one bit of a string, which grows if need be; return what the bit was."""
    _, key, offset_text, bit_text = call.argv
    offset = bit_offset(call, offset_text)
    bit = _BITS.get(bit_text)
    if bit is None:
        raise Failure(BAD_BIT)
    text, is_grown = room_for(call, key, offset)
    byte = offset >> 3
    mask = 0x80 >> (offset & 7)
    old = 1 if text[byte] & mask else 0
    if is_grown or old != bit:
        text[byte] = text[byte] | mask if bit else text[byte] & ~mask
        told(call, key, 1)
    return old


@command("GETBIT key offset:integer", READONLY | FAST, since="2.2.0")
def getbit(call: Call) -> Reply:
    """Return one bit of a string, 0 beyond its end."""
    offset = bit_offset(call, call.argv[2])
    text = call.db.text(call.argv[1])
    return 0 if text is None else bits.bit_at(text, offset)


@command(
    "BITCOUNT key range=[start:integer end:integer unit=[BYTE | BIT] @7.0.0]", READONLY, since="2.6.0",
    complexity="O(N), N bytes", history=(("7.0.0", "BYTE and BIT were added."),),
)  # fmt: skip
def bitcount(call: Call) -> Reply:
    """Count the bits that are set, in a string or in a range of its bytes or bits."""
    argv = call.argv
    start, end, scale = 0, -1, 8
    if len(argv) in (4, 5):
        start, end = call.integer(2), call.integer(3)
        scale = _unit(call, 4)
    elif len(argv) != 2:
        raise Failure(SYNTAX_ERROR)
    text = call.db.text(argv[1])
    if not text or (start < 0 and end < 0 and start > end):
        return 0
    start, end = _inside(start, end, len(text) * 8 // scale)
    return bits.count(text, start * scale, end * scale + scale - 1) if start <= end else 0


@command(
    "BITPOS key bit:integer range=[start:integer end-unit-block=[end:integer unit=[BYTE | BIT] @7.0.0]]", READONLY,
    since="2.8.7", complexity="O(N), N bytes", history=(("7.0.0", "BYTE and BIT were added."),),
)  # fmt: skip
def bitpos(call: Call) -> Reply:
    """Find the first bit that is set, or clear, in a string or in a range of its bytes or bits."""
    argv = call.argv
    bit = call.integer(2)
    if bit not in (0, 1):
        raise Failure("ERR The bit argument must be 1 or 0.")
    if len(argv) > 6:
        raise Failure(SYNTAX_ERROR)
    start = call.integer(3) if len(argv) > 3 else 0
    scale = _unit(call, 5)
    end = call.integer(4) if len(argv) > 4 else -1
    text = call.db.text(argv[1])
    if text is None:
        return -1 if bit else 0
    start, end = _inside(start, end, len(text) * 8 // scale)
    if start > end:
        return -1
    found = bits.position(text, bit, start * scale, end * scale + scale - 1)
    # Where no end is given, zeros follow the string.
    return found if found >= 0 or bit or len(argv) > 4 else len(text) * 8


@command(
    "BITOP operation=<AND | OR | XOR | NOT> destkey:key key [key ...]", WRITE | DENYOOM, since="2.6.0",
    keys="OW update | RO access", complexity="O(N), N bytes of the longest string",
)  # fmt: skip
def bitop(call: Call) -> Reply:
    """Store what AND, OR, XOR of strings, or NOT of one, gives; return its length."""
    db, argv = call.db, call.argv
    operation = argv[1].upper()
    if operation not in (b"AND", b"OR", b"XOR", b"NOT"):
        raise Failure(SYNTAX_ERROR)
    if operation == b"NOT" and len(argv) != 4:
        raise Failure("ERR BITOP NOT must be called with a single source key.")
    texts = [db.text(key) or b"" for key in argv[3:]]
    size = max(map(len, texts))
    key = argv[2]
    if size:
        result = bits.inverted(texts[0]) if operation == b"NOT" else bits.joined(operation, texts)
        db.put(key, bytearray(result) if isinstance(result, bytes) else result)
        db.dirty += 1
        db.notify(STRING, b"set", key)
    else:
        db.expire_if_due(key)
        if db.delete(key):
            db.dirty += 1
            db.notify(GENERIC, b"del", key)
    return size


def _unit(call: Call, at: int) -> int:
    """BYTE or BIT, if there is such a word: how many bits one counts."""
    if len(call.argv) <= at:
        return 8
    unit = call.option(at)
    if unit not in (b"BIT", b"BYTE"):
        raise Failure(SYNTAX_ERROR)
    return 1 if unit == b"BIT" else 8


def _inside(start: int, end: int, size: int) -> tuple[int, int]:
    """A range as places in something of this size; negative ones count from its end."""
    if start < 0:
        start = max(0, start + size)
    if end < 0:
        end = max(0, end + size)
    return start, min(end, size - 1)


# What BITFIELD shares.


def bit_offset(call: Call, word: bytes, width: int = 0) -> int:
    """An offset in bits; with a `width`, `#3` is the fourth such field. Failure beyond the largest string."""
    is_counted = width > 0 and word[:1] == b"#"
    try:
        offset = parse_int(word[1:] if is_counted else word)
    except ValueError:
        raise Failure(BAD_OFFSET) from None
    if is_counted:
        offset *= width
    obeys = call.origin is Origin.PRIMARY or call.origin is Origin.AOF
    if not 0 <= offset <= 0x7FFFFFFFFFFFFFFF or (not obeys and offset >> 3 >= call.settings.proto_max_bulk_len):
        raise Failure(BAD_OFFSET)
    return offset


def room_for(call: Call, key: bytes, offset: int) -> tuple[bytearray, bool]:
    """The string under a key, long enough for this bit, and whether it had to be made or grow."""
    db = call.db
    text = db.text_for_write(key)
    size = (offset >> 3) + 1
    if text is None:
        text = bytearray(size)
        db.put(key, text)
        return text, True
    missing = size - len(text)
    if missing > 0:
        text += bytes(missing)
        return text, True
    return text, False


def told(call: Call, key: bytes, changes: int) -> None:
    """Bits of the string under a key are other ones."""
    db = call.db
    db.dirty += changes
    db.touch(key)
    db.notify(STRING, b"setbit", key)
