"""Streams: ids as clients write them, and reading of entries with and without a consumer group.

An id is one integer: milliseconds << 64 | sequence.
"""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import timeout_ms
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import BLOCKING, FAST, READONLY, KeySpec, command
from miniredis.structures.stream import Stream
from miniredis.structures.stream_node import MAX_ID, SEQUENCE, Entry
from protocol.resp.values import NULL_ARRAY, Failure, Map, Reply

INVALID_ID: Final = "ERR Invalid stream ID specified as stream command argument"
INVALID_START: Final = "ERR invalid start ID for the interval"
INVALID_END: Final = "ERR invalid end ID for the interval"

# A longer text is no id, whatever is in it.
_MAX_ID_BYTES: Final = 127


# ── ids ────────────────────────────────────────────────────────────────────────────────────────────────


def format_id(id: int) -> bytes:
    """`ms-seq`."""
    return b"%d-%d" % (id >> 64, id & SEQUENCE)


def parse_id(text: bytes, missing_sequence: int = 0) -> int:
    """An id of a client's, `ms` or `ms-seq`. Failure: it is none; `-` and `+` are none here either."""
    ms, dash, sequence = text.partition(b"-")
    if not dash:
        return _parse_half(ms, text) << 64 | missing_sequence
    return _parse_half(ms, text) << 64 | _parse_half(sequence, text)


def _parse_half(text: bytes, whole: bytes) -> int:
    """Unsigned, 64 bits. Digits are the rule; beside them, whatever strtoull takes."""
    if text.isdigit() and len(whole) <= _MAX_ID_BYTES:
        number = int(text)
        if number <= SEQUENCE:
            return number
    elif len(whole) <= _MAX_ID_BYTES:
        return _parse_odd_half(text)
    raise Failure(INVALID_ID)


def _parse_odd_half(text: bytes) -> int:
    """A number with space, sign or NUL around it, as C reads it: a negative one counts from the other end."""
    text = text.partition(b"\0")[0].lstrip(b" \t\n\v\f\r")
    digits = text[1:] if text[:1] in (b"+", b"-") else text
    if not digits.isdigit() or int(digits) > SEQUENCE:
        raise Failure(INVALID_ID)
    if text[:1] == b"-":
        if digits[:1] != b"0" or digits == b"0":
            raise Failure(INVALID_ID)  # what reads as a proper negative number is refused
        return -int(digits) & SEQUENCE
    return int(digits)


def parse_bound(text: bytes, missing_sequence: int) -> int:
    """An id, or one of the ends `-` and `+`."""
    if text == b"-":
        return 0
    if text == b"+":
        return MAX_ID
    return parse_id(text, missing_sequence)


def parse_start(text: bytes) -> int:
    """The lower end of an interval; behind `(` it is not part of it."""
    if text[:1] != b"(" or len(text) == 1:
        return parse_bound(text, 0)
    id = parse_id(text[1:])
    if id == MAX_ID:
        raise Failure(INVALID_START)
    return id + 1


def parse_end(text: bytes) -> int:
    """The upper end of an interval; behind `(` it is not part of it."""
    if text[:1] != b"(" or len(text) == 1:
        return parse_bound(text, SEQUENCE)
    id = parse_id(text[1:], SEQUENCE)
    if id == 0:
        raise Failure(INVALID_END)
    return id - 1


def entries_reply(entries: list[Entry]) -> list[Reply]:
    """[id, fields and values] of each."""
    return [[b"%d-%d" % (id >> 64, id & SEQUENCE), words] for id, words in entries]


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────


@command("XLEN key", READONLY | FAST, since="5.0.0", keys="RO")
def xlen(call: Call) -> Reply:
    """Count the entries of a stream."""
    stream = call.db.typed(call.argv[1], Stream)
    return 0 if stream is None else len(stream)


_RANGE: Final = "O(N) for N entries returned, after a search for the first"


@command("XRANGE key start end [COUNT count:integer]", READONLY, since="5.0.0", keys="RO access", complexity=_RANGE,
         history=(("6.2.0", "`(` leaves out the end behind it."),))  # fmt: skip
def xrange(call: Call) -> Reply:
    """Return the entries between two ids."""
    return _read_range(call, call.argv[2], call.argv[3], is_reverse=False)


@command("XREVRANGE key end start [COUNT count:integer]", READONLY, since="5.0.0", keys="RO access", complexity=_RANGE,
         history=(("6.2.0", "`(` leaves out the end behind it."),))  # fmt: skip
def xrevrange(call: Call) -> Reply:
    """Return the entries between two ids, the last one first."""
    return _read_range(call, call.argv[3], call.argv[2], is_reverse=True)


def _read_range(call: Call, start_text: bytes, end_text: bytes, *, is_reverse: bool) -> Reply:
    start, end = parse_start(start_text), parse_end(end_text)
    count = None
    for at in range(4, len(call.argv), 2):
        if call.option(at) != b"COUNT" or at + 1 == len(call.argv):
            raise Failure(SYNTAX_ERROR)
        count = max(call.integer(at + 1), 0)
    stream = call.db.typed(call.argv[1], Stream)
    if stream is None:
        return []
    if count == 0:
        return NULL_ARRAY
    read = stream.range_back if is_reverse else stream.range
    return entries_reply(read(start, end, count or 0))


class ReadOptions:
    """The words of XREAD and XREADGROUP."""

    __slots__ = ("consumer", "count", "group", "ids_at", "is_acknowledged", "keys", "timeout_ms")

    def __init__(self) -> None:
        self.count = 0  # entries of each stream; 0: all
        self.timeout_ms: int | None = None  # None: does not wait
        self.group: bytes | None = None
        self.consumer = b""
        self.is_acknowledged = False  # NOACK
        self.keys: list[bytes] = []
        self.ids_at = 0


def parse_read(call: Call, *, in_group: bool) -> ReadOptions:
    """The words of XREAD, or with `in_group` of XREADGROUP, which also knows GROUP and NOACK."""
    argv = call.argv
    options = ReadOptions()
    at, last = 1, len(argv) - 1
    while at <= last:
        word = call.option(at)
        if word == b"BLOCK" and at < last:
            at += 1
            options.timeout_ms = timeout_ms(call, at)
        elif word == b"COUNT" and at < last:
            at += 1
            options.count = max(call.integer(at), 0)
        elif word == b"STREAMS" and at < last:
            _parse_streams(argv, options, at + 1, in_group)
            break
        elif word == b"GROUP" and at + 1 < last:
            _only_in_group("GROUP", in_group)
            options.group, options.consumer = argv[at + 1], argv[at + 2]
            at += 2
        elif word == b"NOACK":
            _only_in_group("NOACK", in_group)
            options.is_acknowledged = True
        else:
            raise Failure(SYNTAX_ERROR)
        at += 1
    if not options.ids_at:
        raise Failure(SYNTAX_ERROR)
    return options


def _only_in_group(word: str, in_group: bool) -> None:
    if not in_group:
        raise Failure(f"ERR The {word} option is only supported by XREADGROUP. You called XREAD instead.")


def _parse_streams(argv: list[bytes], options: ReadOptions, at: int, in_group: bool) -> None:
    """All keys, then as many ids."""
    count = len(argv) - at
    if count % 2:
        name, sign = ("xreadgroup", ">") if in_group else ("xread", "$")
        raise Failure(
            f"ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{sign}' must be specified."
        )
    options.ids_at = at + count // 2
    options.keys = argv[at : options.ids_at]


@command("XREAD [COUNT count:integer] [BLOCK milliseconds:integer] STREAMS <key [key ...] id [id ...]>",
         READONLY | BLOCKING, since="5.0.0", complexity="",
         key_specs=(KeySpec(1, -1, 1, "RO access", keyword="STREAMS", limit=2),))  # fmt: skip
def xread(call: Call) -> Reply:
    """Return the entries behind an id of each of several streams, waiting for one if asked to."""
    options = parse_read(call, in_group=False)
    argv, db = call.argv, call.db
    after: list[int] = []
    for key, text in zip(options.keys, argv[options.ids_at :], strict=True):
        after.append(_last_known(db.typed(key, Stream), text))
    found: list[tuple[bytes, list[Reply]]] = []
    for key, last_known in zip(options.keys, after, strict=True):
        stream = db.typed(key, Stream)
        if stream is not None and stream.top_id > last_known:
            found.append((key, entries_reply(stream.range(last_known + 1, MAX_ID, options.count))))
    if found:
        return streams_reply(call, found)
    if options.timeout_ms is None:
        return NULL_ARRAY
    if b"$" in argv[options.ids_at :]:
        # Tried again later, it means the same entries as now.
        call.argv = argv = argv.copy()
        for place, last_known in enumerate(after, options.ids_at):
            if argv[place] == b"$":
                argv[place] = format_id(last_known)
    return call.block(options.keys, options.timeout_ms, Stream)


def _last_known(stream: Stream | None, text: bytes) -> int:
    """The id behind which XREAD begins. `$`: what comes from now on; `+`: the last entry."""
    if text == b">":
        raise Failure(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
        )
    if text == b"$":
        return 0 if stream is None else stream.last_id
    if text != b"+":
        return parse_id(text)
    if stream is None:
        return 0
    if stream.last_id == 0:
        raise Failure("ERR the stream last element ID is 0-0")
    return stream.last_id - 1


def streams_reply(call: Call, found: list[tuple[bytes, list[Reply]]]) -> Reply:
    """Entries by stream: a map in RESP3, in RESP2 an array of pairs."""
    return Map(found) if call.resp == 3 else [[key, entries] for key, entries in found]
