"""Streams: adding, trimming and deleting entries. Reading is in stream_reading.py, consumer groups in stream_groups.py.

Others are told ids as they came to be and trimming as it came out:
XADD with the id it got, and in the place of `~` the length or first id that is left.
"""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import wrong_arity
from miniredis.commands.stream_reading import format_id, parse_id
from miniredis.engine.call import NO_SUCH_KEY, SYNTAX_ERROR, Call, Origin
from miniredis.engine.registry import DENYOOM, FAST, WRITE, command
from miniredis.engine.rows import Row
from miniredis.keyspace import notify
from miniredis.keyspace.db import WRONG_TYPE
from miniredis.structures.stream import Stream
from miniredis.structures.stream_node import MAX_ID, SEQUENCE
from protocol.resp.values import OK, Failure, Reply

_EXHAUSTED: Final = "ERR The stream has exhausted the last possible ID, unable to add more items"
_TWO_STRATEGIES: Final = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible"

# One command trims so many nodes at most where it is left to us, and so many entries whatever the nodes hold.
_TRIM_NODES: Final = 100
_TRIM_LEAST: Final = 10_000
_TRIM_MOST: Final = 1_000_000


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


def _xadd_row(row: Row) -> None:
    """Each one entry of the same stream, its id left to us. Whoever hears of it is told that id: not done here."""
    calls, db = row.calls, row.db
    first = calls[0]
    if row.is_told or db.waiting or len(first) < 5 or not len(first) & 1 or first[2] != b"*":
        return
    key = first[1]
    stream = db.peek(key)
    if type(stream) is not Stream:
        return
    db.find_for_write(key)
    now, settings, done = db.keyspace.now, row.settings, row.replies.append
    for argv in calls:
        id = stream.next_id(now)
        if argv[1] != key or argv[2] != b"*" or id > MAX_ID:
            break
        try:
            stream.append(id, argv[3:], settings.stream_node_max_bytes, settings.stream_node_max_entries)
        except ValueError:
            break
        done(b"%d-%d" % (id >> 64, id & SEQUENCE))


@command("XADD key [NOMKSTREAM] @6.2.0"
         " trim=[strategy=<MAXLEN | MINID @6.2.0> operator=[equal== | approximately=~] threshold"
         " [LIMIT count:integer] @6.2.0]"
         " id-selector=<auto-id=* | id> field value [field value ...]",
         WRITE | DENYOOM | FAST, since="5.0.0", tips=("nondeterministic_output",),
         keys="RW update # a full stream loses entries by it",
         complexity="O(1) for the entry, O(N) for N entries trimmed away",
         history=(("6.2.0", "NOMKSTREAM, MINID and LIMIT were added."),
                  ("7.0.0", "An id may leave its sequence open: `<ms>-*`.")), row=_xadd_row)  # fmt: skip
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
    stream = db.find_for_write(key)
    if type(stream) is not Stream:
        if stream is not None:
            raise Failure(WRONG_TYPE)
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
