"""Streams: adding, trimming, deleting and reading entries; what consumer groups add is in stream_groups.py.

An id is one integer: milliseconds << 64 | sequence. Others are told ids as they came to be and trimming as it came out:
XADD with the id it got, and in the place of `~` the length or first id that is left.
"""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import timeout_ms, wrong_arity
from miniredis.engine.call import NO_SUCH_KEY, SYNTAX_ERROR, Call, Origin
from miniredis.engine.registry import BLOCKING, DENYOOM, FAST, READONLY, WRITE, KeySpec, command
from miniredis.keyspace import notify
from miniredis.structures.stream import Stream
from miniredis.structures.stream_node import MAX_ID, SEQUENCE, Entry
from protocol.resp.values import NULL_ARRAY, OK, Failure, Map, Reply

INVALID_ID: Final = "ERR Invalid stream ID specified as stream command argument"
INVALID_START: Final = "ERR invalid start ID for the interval"
INVALID_END: Final = "ERR invalid end ID for the interval"
_EXHAUSTED: Final = "ERR The stream has exhausted the last possible ID, unable to add more items"
_TWO_STRATEGIES: Final = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible"

# A longer text is no id, whatever is in it.
_MAX_ID_BYTES: Final = 127
# One command trims so many nodes at most where it is left to us, and so many entries whatever the nodes hold.
_TRIM_NODES: Final = 100
_TRIM_LEAST: Final = 10_000
_TRIM_MOST: Final = 1_000_000


# ── ids ────────────────────────────────────────────────────────────────────────────────────────────────


def format_id(id: int) -> bytes:
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


# ── adding and trimming ────────────────────────────────────────────────────────────────────────────────


class Options:
    """What stands between the key and the fields of XADD, or behind the key of XTRIM."""

    __slots__ = (
        "at", "id", "is_approximate", "least_id", "limit", "makes_stream", "most", "sequence_given", "threshold_at",
    )  # fmt: skip

    def __init__(self) -> None:
        self.at = 2  # of the id
        self.id: int | None = None  # None: the clock's
        self.sequence_given = True
        self.makes_stream = True
        self.most: int | None = None  # MAXLEN
        self.least_id: int | None = None  # MINID
        self.threshold_at = 0  # where the number of either stands
        self.is_approximate = False
        self.limit: int | None = None  # entries one command may trim away; 0: any number

    @property
    def trims(self) -> bool:
        return self.threshold_at != 0

    def trim(self, stream: Stream) -> int:
        """How many entries went."""
        whole_nodes, limit = self.is_approximate, self.limit or 0
        if self.least_id is not None:
            return stream.trim_before(self.least_id, whole_nodes=whole_nodes, limit=limit)
        assert self.most is not None
        return stream.trim_to_length(self.most, whole_nodes=whole_nodes, limit=limit)

    def rewrite(self, argv: list[bytes], stream: Stream) -> None:
        """Trimming that was left to us, told as it came out."""
        if self.is_approximate:
            argv[self.threshold_at - 1] = b"="
            argv[self.threshold_at] = b"%d" % len(stream) if self.least_id is None else format_id(stream.edge_id)


def parse_options(call: Call, *, adds: bool) -> Options:
    """The options of XADD up to its id (`adds`), or of XTRIM."""
    argv = call.argv
    options = Options()
    at, last = 2, len(argv) - 1
    while at <= last:
        word = argv[at]
        if adds and word == b"*":
            break
        option = word.upper()
        if option in (b"MAXLEN", b"MINID") and at < last:
            at = _parse_threshold(call, options, at)
        elif option == b"LIMIT" and at < last:
            at += 1
            options.limit = call.integer(at)
            if options.limit < 0:
                raise Failure("ERR The LIMIT argument must be >= 0.")
        elif adds and option == b"NOMKSTREAM":
            options.makes_stream = False
        elif adds:
            _parse_new_id(options, word)
            break
        else:
            raise Failure(SYNTAX_ERROR)
        at += 1
    options.at = at
    _settle_limit(call, options, adds)
    return options


def _parse_threshold(call: Call, options: Options, at: int) -> int:
    """MAXLEN or MINID at argv[at]; where its number stands."""
    argv = call.argv
    if options.trims:
        raise Failure(_TWO_STRATEGIES)
    word = argv[at].upper()
    if at + 2 < len(argv) and argv[at + 1] in (b"~", b"="):
        at += 1
        options.is_approximate = argv[at] == b"~"
    at += 1
    options.threshold_at = at
    if word == b"MINID":
        options.least_id = parse_id(argv[at])
    else:
        options.most = call.integer(at)
        if options.most < 0:
            raise Failure("ERR The MAXLEN argument must be >= 0.")
    return at


def _parse_new_id(options: Options, text: bytes) -> None:
    """`ms-seq`, or `ms-*`: the next one in that millisecond."""
    if text.endswith(b"-*") and text.count(b"-") == 1:
        options.sequence_given = False
        options.id = parse_id(text[:-2])
    else:
        options.id = parse_id(text)


def _settle_limit(call: Call, options: Options, adds: bool) -> None:
    if options.limit and not options.trims:
        raise Failure("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
    if not adds and not options.trims:
        raise Failure("ERR syntax error, XTRIM must be called with a trimming strategy")
    if call.origin in (Origin.PRIMARY, Origin.AOF):
        options.limit = 0  # what was told of it is exact
    elif options.limit is not None:
        if not options.is_approximate:
            raise Failure("ERR syntax error, LIMIT cannot be used without the special ~ option")
    elif options.is_approximate:
        limit = _TRIM_NODES * call.settings.stream_node_max_entries
        options.limit = min(limit, _TRIM_MOST) if limit > 0 else _TRIM_LEAST


@command("XADD key [NOMKSTREAM] @6.2.0"
         " trim=[strategy=<MAXLEN | MINID @6.2.0> operator=[equal== | approximately=~] threshold"
         " [LIMIT count:integer] @6.2.0]"
         " id-selector=<auto-id=* | id> field value [field value ...]",
         WRITE | DENYOOM | FAST, since="5.0.0", tips=("nondeterministic_output",),
         keys="RW update # a full stream loses entries by it",
         complexity="O(1) for the entry, O(N) for N entries trimmed away",
         history=(("6.2.0", "NOMKSTREAM, MINID and LIMIT were added."),
                  ("7.0.0", "An id may leave its sequence open: `<ms>-*`.")))  # fmt: skip
def xadd(call: Call) -> Reply:
    """Add an entry to a stream, which is made if need be; return its id."""
    argv = call.argv
    options = None
    at = 2
    if argv[2] != b"*":
        options = parse_options(call, adds=True)
        at = options.at
    pairs = argv[at + 1 :]
    if len(pairs) < 2 or len(pairs) & 1:
        raise wrong_arity(call)
    if options is not None and options.id == 0 and options.sequence_given:
        raise Failure("ERR The ID specified in XADD must be greater than 0-0")
    key = argv[1]
    db = call.db
    stream = db.typed(key, Stream, True)
    if stream is None:
        if options is not None and not options.makes_stream:
            return None
        stream = Stream()
        db.put(key, stream)
    id = _new_id(call, stream, options) if options is not None else stream.next_id(call.now)
    if id > MAX_ID:
        raise Failure(_EXHAUSTED)
    state = call.state
    settings = state.settings
    try:
        stream.append(id, pairs, settings.stream_node_max_bytes, settings.stream_node_max_entries)
    except ValueError:
        raise Failure("ERR Elements are too large to be stored") from None
    text = b"%d-%d" % (id >> 64, id & SEQUENCE)
    db.changed(key, stream, b"xadd", notify.STREAM)
    if options is not None and options.trims and options.trim(stream):
        db.notify(notify.STREAM, b"xtrim", key)
    if db.waiting:
        db.wake(key)
    if state.journal.is_heard:
        told = argv.copy()
        told[at] = text
        if options is not None and options.trims:
            options.rewrite(told, stream)
        call.replicate(*told)
    return text


def _new_id(call: Call, stream: Stream, options: Options) -> int:
    """The id of an entry that is added now. Failure: there is none left, or the one given is not above the others."""
    last = stream.last_id
    id = options.id
    if last == MAX_ID:
        raise Failure(_EXHAUSTED)
    if id is None:
        return stream.next_id(call.now)
    if not options.sequence_given and id >> 64 == last >> 64:
        id = last + 1 if last & SEQUENCE != SEQUENCE else last
    if id <= last:
        raise Failure("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    return id


@command("XTRIM key"
         " trim=<strategy=<MAXLEN | MINID @6.2.0> operator=[equal== | approximately=~] threshold"
         " [LIMIT count:integer] @6.2.0>",
         WRITE, since="5.0.0", keys="RW delete", tips=("nondeterministic_output",),
         complexity="O(N) for N entries trimmed away, little for each, as they go by the node",
         history=(("6.2.0", "MINID and LIMIT were added."),))  # fmt: skip
def xtrim(call: Call) -> Reply:
    """Remove the oldest entries of a stream; return how many went."""
    options = parse_options(call, adds=False)
    key = call.argv[1]
    db = call.db
    stream = db.typed(key, Stream, True)
    if stream is None:
        return 0
    count = options.trim(stream)
    if count:
        db.changed(key, stream, b"xtrim", notify.STREAM, count)
        if options.is_approximate:
            told = call.argv.copy()
            options.rewrite(told, stream)
            call.replicate(*told)
    return count


@command("XDEL key id [id ...]", WRITE | FAST, since="5.0.0", keys="RW delete", complexity="O(1) for each id")
def xdel(call: Call) -> Reply:
    """Delete entries of a stream; return how many there were."""
    key = call.argv[1]
    db = call.db
    stream = db.typed(key, Stream, True)
    if stream is None:
        return 0
    count = stream.delete([parse_id(text) for text in call.argv[2:]])
    if count:
        db.changed(key, stream, b"xdel", notify.STREAM, count)
    return count


@command("XSETID key last-id [ENTRIESADDED entries-added:integer] @7.0.0 [MAXDELETEDID max-deleted-id] @7.0.0",
         WRITE | DENYOOM | FAST, since="5.0.0", keys="RW update",
         history=(("7.0.0", "ENTRIESADDED and MAXDELETEDID were added."),))  # fmt: skip
def xsetid(call: Call) -> Reply:
    """Set the last id of a stream, for whoever rebuilds one; and its counters."""
    argv = call.argv
    last_id = parse_id(argv[2])
    added = None
    deleted_id = 0
    for at in range(3, len(argv), 2):
        option = call.option(at)
        if option == b"ENTRIESADDED" and at + 1 < len(argv):
            added = call.integer(at + 1)
            if added < 0:
                raise Failure("ERR entries_added must be positive")
        elif option == b"MAXDELETEDID" and at + 1 < len(argv):
            deleted_id = parse_id(argv[at + 1])
            if last_id < deleted_id:
                raise Failure("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
        else:
            raise Failure(SYNTAX_ERROR)
    stream = call.db.typed(argv[1], Stream, True)
    if stream is None:
        raise Failure(NO_SUCH_KEY)
    if last_id < stream.max_deleted_id:
        raise Failure("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id")
    if last_id < stream.top_id:
        raise Failure("ERR The ID specified in XSETID is smaller than the target stream top item")
    if added is not None and added < len(stream):
        raise Failure("ERR The entries_added specified in XSETID is smaller than the target stream length")
    stream.last_id = last_id
    stream.entries_added = stream.entries_added if added is None else added
    stream.max_deleted_id = deleted_id or stream.max_deleted_id
    call.db.dirty += 1
    call.db.notify(notify.STREAM, b"xsetid", argv[1])
    return OK


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
