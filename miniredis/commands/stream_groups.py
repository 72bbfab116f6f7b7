"""Consumer groups: who was given which entries of a stream, and what is still to be acknowledged.

What others are told is never the reading but what came of it: XCLAIM with everything decided for each entry that was
given to somebody, XGROUP SETID where the group has moved on, XGROUP CREATECONSUMER where nothing else would tell of it.
"""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import wrong_subcommand
from miniredis.commands.streams import (
    ReadOptions,
    entries_reply,
    format_id,
    parse_bound,
    parse_end,
    parse_id,
    parse_read,
    parse_start,
    streams_reply,
)
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import BLOCKING, DENYOOM, FAST, READONLY, WRITE, KeySpec, command, container
from miniredis.keyspace import notify
from miniredis.keyspace.db import WRONG_TYPE
from miniredis.structures.stream import Stream
from miniredis.structures.stream_groups import UNKNOWN, Consumer, Group, Pending
from miniredis.structures.stream_node import MAX_ID
from protocol.resp.numbers import INT64_MAX
from protocol.resp.values import NULL_ARRAY, OK, Failure, Reply

# XAUTOCLAIM: entries claimed where nobody says how many, and how many are looked at for each one of them.
_AUTOCLAIM_COUNT: Final = 100
_AUTOCLAIM_LOOKS: Final = 10
_AUTOCLAIM_MOST: Final = INT64_MAX // 16
# Redis makes room for so many ids of 16 bytes beforehand, which fails where they are more than it may address.
_AUTOCLAIM_ROOM: Final = (1 << 47) // 16


def no_group(key: bytes, group: bytes, where: bytes = b"") -> Failure:
    return Failure(b"NOGROUP No such key '%b' or consumer group '%b'%b" % (_shown(key), _shown(group), where))


def no_such_group(key: bytes, group: bytes) -> Failure:
    return Failure(b"NOGROUP No such consumer group '%b' for key name '%b'" % (_shown(group), _shown(key)))


def _shown(word: bytes) -> bytes:
    """As C prints it: up to the first NUL."""
    return word.partition(b"\0")[0]


# ── XGROUP ─────────────────────────────────────────────────────────────────────────────────────────────

container("XGROUP", since="5.0.0", group="stream", summary="Manage consumer groups.")

_ENTRIESREAD_CAME: Final = (("7.0.0", "ENTRIESREAD was added."),)


def _stream_of(call: Call) -> Stream:
    """The stream at argv[2], which has to be there."""
    stream = call.db.typed(call.argv[2], Stream, True)
    if stream is None:
        raise Failure(
            "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the "
            "MKSTREAM option to create an empty stream automatically."
        )
    return stream


def _group_of(call: Call) -> Group:
    group = _stream_of(call).groups.get(call.argv[3])
    if group is None:
        raise no_such_group(call.argv[2], call.argv[3])
    return group


def _group_options(call: Call, *, creates: bool) -> tuple[bool, int]:
    """MKSTREAM and ENTRIESREAD of XGROUP CREATE and SETID."""
    argv = call.argv
    makes_stream, entries_read = False, UNKNOWN
    at = 5
    while at < len(argv):
        option = call.option(at)
        if creates and option == b"MKSTREAM":
            makes_stream = True
        elif option == b"ENTRIESREAD" and at + 1 < len(argv):
            at += 1
            entries_read = call.integer(at)
            if entries_read < 0 and entries_read != UNKNOWN:
                raise Failure("ERR value for ENTRIESREAD must be positive or -1")
        else:
            raise wrong_subcommand(call)
        at += 1
    return makes_stream, entries_read


def _tell(call: Call, event: bytes) -> None:
    """A change of a group: counted and told, though no WATCH of the key is to hear of it."""
    call.db.dirty += 1
    call.db.notify(notify.STREAM, event, call.argv[2])


@command("XGROUP|CREATE key group id-selector=<id | new-id=$> [MKSTREAM]"
         " [ENTRIESREAD entriesread:integer/entries-read]",
         WRITE | DENYOOM, since="5.0.0", group="stream", keys="RW insert", history=_ENTRIESREAD_CAME)  # fmt: skip
def xgroup_create(call: Call) -> Reply:
    """Create a consumer group that has read up to an id."""
    argv = call.argv
    makes_stream, entries_read = _group_options(call, creates=True)
    stream = call.db.typed(argv[2], Stream, True) if makes_stream else _stream_of(call)
    if len(argv) > 8:
        raise wrong_subcommand(call)
    if argv[4] == b"$":
        last_id = stream.last_id if stream is not None else 0
    else:
        last_id = parse_id(argv[4])
    if stream is None:
        stream = Stream()
        call.db.put(argv[2], stream)
    if argv[3] in stream.groups:
        raise Failure("BUSYGROUP Consumer Group name already exists")
    stream.groups[argv[3]] = Group(last_id, entries_read)
    _tell(call, b"xgroup-create")
    return OK


@command("XGROUP|SETID key group id-selector=<id | new-id=$> [ENTRIESREAD entriesread:integer/entries-read]", WRITE,
         since="5.0.0", group="stream", keys="RW update", history=_ENTRIESREAD_CAME)  # fmt: skip
def xgroup_setid(call: Call) -> Reply:
    """Set the id up to which a consumer group has read."""
    argv = call.argv
    _, entries_read = _group_options(call, creates=False)
    stream = _stream_of(call)
    group = _group_of(call)
    if len(argv) not in (5, 7):
        raise wrong_subcommand(call)
    group.last_id = stream.last_id if argv[4] == b"$" else parse_bound(argv[4], 0)
    group.entries_read = entries_read
    _tell(call, b"xgroup-setid")
    return OK


@command("XGROUP|DESTROY key group", WRITE, since="5.0.0", group="stream", keys="RW delete",
         complexity="O(N) for N entries that wait for their acknowledgement")  # fmt: skip
def xgroup_destroy(call: Call) -> Reply:
    """Remove a consumer group; return how many there were."""
    if _stream_of(call).groups.pop(call.argv[3], None) is None:
        return 0
    _tell(call, b"xgroup-destroy")
    call.db.wake(call.argv[2])  # its readers are to hear that it is gone
    return 1


@command("XGROUP|CREATECONSUMER key group consumer", WRITE | DENYOOM, since="6.2.0", group="stream", keys="RW insert")
def xgroup_createconsumer(call: Call) -> Reply:
    """Create a consumer in a group; return whether there was none of that name."""
    group = _group_of(call)
    name = call.argv[4]
    if name in group.consumers:
        return 0
    group.create_consumer(name, call.now)
    _tell(call, b"xgroup-createconsumer")
    return 1


@command("XGROUP|DELCONSUMER key group consumer", WRITE, since="5.0.0", group="stream", keys="RW delete",
         complexity="O(N) for N entries it was given")  # fmt: skip
def xgroup_delconsumer(call: Call) -> Reply:
    """Remove a consumer; return how many entries it has not acknowledged."""
    group = _group_of(call)
    if call.argv[4] not in group.consumers:
        return 0
    count = group.delete_consumer(call.argv[4])
    _tell(call, b"xgroup-delconsumer")
    return count


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────


@command("XREADGROUP group-block=<GROUP group consumer> [COUNT count:integer] [BLOCK milliseconds:integer] [NOACK]"
         " STREAMS <key [key ...] id [id ...]>",
         WRITE | BLOCKING, since="5.0.0", complexity="O(N) for N entries returned",
         key_specs=(KeySpec(4, -1, 1, "RO access", keyword="STREAMS", limit=2),))  # fmt: skip
def xreadgroup(call: Call) -> Reply:
    """Return entries that nobody of the group was given, or again those that a consumer has not acknowledged."""
    options = parse_read(call, in_group=True)
    if options.group is None:
        raise Failure("ERR Missing GROUP option for XREADGROUP")
    argv, db = call.argv, call.db
    wanted: list[tuple[bytes, Group, int]] = []
    for key, text in zip(options.keys, argv[options.ids_at :], strict=True):
        stream = db.typed(key, Stream)
        group = stream.groups.get(options.group) if stream is not None else None
        if group is None:
            raise no_group(key, options.group, b" in XREADGROUP with GROUP option")
        wanted.append((key, group, _last_given(text)))
    call.replicate_nothing()
    found: list[tuple[bytes, list[Reply]]] = []
    for key, group, last_given in wanted:
        stream = db.typed(key, Stream)
        assert stream is not None
        consumer = _reader(call, key, group, options)
        consumer.seen_time = call.now
        if last_given != MAX_ID:
            found.append((key, _given_before(call, stream, group, consumer, last_given + 1, options.count)))
        elif stream.top_id > group.last_id:
            found.append((key, _give(call, key, stream, group, consumer, options)))
    if found:
        return streams_reply(call, found)
    if options.timeout_ms is None:
        return NULL_ARRAY
    return call.block(options.keys, options.timeout_ms, Stream, on_deletion=True)


def _last_given(text: bytes) -> int:
    """The id behind which a consumer's own entries begin; the highest of all for `>`, new ones."""
    if text == b">":
        return MAX_ID
    if text in (b"$", b"+"):
        raise Failure(
            b"ERR The %b ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer"
            b" by specifying a proper ID, or use the > ID to get new messages. The %b ID would just return an empty"
            b" result set." % (text, text)
        )
    return parse_id(text)


def _create_consumer(call: Call, key: bytes, group: Group, name: bytes) -> Consumer:
    call.db.dirty += 1
    call.db.notify(notify.STREAM, b"xgroup-createconsumer", key)
    return group.create_consumer(name, call.now)


def _reader(call: Call, key: bytes, group: Group, options: ReadOptions) -> Consumer:
    consumer = group.consumers.get(options.consumer)
    if consumer is None:
        consumer = _create_consumer(call, key, group, options.consumer)
        if options.is_acknowledged:
            assert options.group is not None
            call.replicate(b"XGROUP", b"CREATECONSUMER", key, options.group, options.consumer)
    return consumer


def _give(call: Call, key: bytes, stream: Stream, group: Group, consumer: Consumer,
          options: ReadOptions) -> list[Reply]:  # fmt: skip
    """New entries for a consumer, which from now on are its to acknowledge."""
    assert options.group is not None
    entries = stream.range(group.last_id + 1, MAX_ID, options.count)
    is_heard = call.state.journal.is_heard
    now = call.now
    for id, _ in entries:
        if group.entries_read != UNKNOWN and not stream.has_deleted_after(id):
            group.entries_read += 1
        elif stream.entries_added:
            group.entries_read = stream.entries_until(id)
        group.last_id = id
        if not options.is_acknowledged:
            pending = group.deliver(id, consumer, now, 1)
            consumer.active_time = now
            if is_heard:
                _tell_claim(call, key, options.group, group, format_id(id), pending)
    _tell_position(call, key, options.group, group)
    call.db.dirty += 1
    return entries_reply(entries)


def _given_before(call: Call, stream: Stream, group: Group, consumer: Consumer, start: int,
                  count: int) -> list[Reply]:  # fmt: skip
    """What a consumer was given and has not acknowledged, once more. A deleted entry has no fields."""
    found: list[Reply] = []
    for id in consumer.ids.after(start):
        if count and len(found) == count:
            break
        entries = stream.range(id, id, 1)
        if entries:
            found += entries_reply(entries)
            pending = group.pending[id]
            pending.delivery_time = call.now
            pending.delivery_count += 1
        else:
            found.append([format_id(id), NULL_ARRAY])
    return found


def _tell_claim(call: Call, key: bytes, group_name: bytes, group: Group, id: bytes, pending: Pending) -> None:
    call.replicate(
        b"XCLAIM", key, group_name, pending.consumer.name, b"0", id, b"TIME", b"%d" % pending.delivery_time,
        b"RETRYCOUNT", b"%d" % pending.delivery_count, b"FORCE", b"JUSTID", b"LASTID", format_id(group.last_id),
    )  # fmt: skip


def _tell_position(call: Call, key: bytes, group_name: bytes, group: Group) -> None:
    read = b"%d" % group.entries_read
    call.replicate(b"XGROUP", b"SETID", key, group_name, format_id(group.last_id), b"ENTRIESREAD", read)


# ── acknowledging and claiming ─────────────────────────────────────────────────────────────────────────


@command("XACK key group id [id ...]", WRITE | FAST, since="5.0.0", keys="RW update", complexity="O(1) for each id")
def xack(call: Call) -> Reply:
    """Acknowledge entries; return how many of them had been given to somebody."""
    argv = call.argv
    stream = call.db.typed(argv[1], Stream)
    group = stream.groups.get(argv[2]) if stream is not None else None
    if group is None:
        return 0
    ids = [parse_id(text) for text in argv[3:]]
    count = sum([group.acknowledge(id) for id in ids])
    call.db.dirty += count
    return count


class ClaimOptions:
    """What follows the ids of XCLAIM, times in ms since the epoch."""

    __slots__ = ("creates", "delivery_time", "is_brief", "last_id", "retry_count")

    def __init__(self, now: int) -> None:
        self.delivery_time = now
        self.retry_count = -1  # below 0: one more than it was
        self.creates = False  # FORCE
        self.is_brief = False  # JUSTID
        self.last_id = 0


def _claim_options(call: Call, at: int) -> ClaimOptions:
    argv, now = call.argv, call.now
    options = ClaimOptions(now)
    time = -1
    last = len(argv) - 1
    while at <= last:
        option = call.option(at)
        if option == b"FORCE":
            options.creates = True
        elif option == b"JUSTID":
            options.is_brief = True
        elif option in (b"IDLE", b"TIME", b"RETRYCOUNT") and at < last:
            at += 1
            number = call.integer(at, f"ERR Invalid {option.decode()} option argument for XCLAIM")
            if option == b"RETRYCOUNT":
                options.retry_count = number
            else:
                time = number if option == b"TIME" else now - number
        elif option == b"LASTID" and at < last:
            at += 1
            options.last_id = parse_id(argv[at])
        else:
            raise Failure(b"ERR Unrecognized XCLAIM option '%b'" % _shown(argv[at]))
        at += 1
    # A time to come, or before all time, is taken for now: clients reckon with clocks of their own.
    if 0 <= time <= now:
        options.delivery_time = time
    return options


def _ids_from(argv: list[bytes], at: int) -> list[int]:
    """Ids up to the first word that is none."""
    ids: list[int] = []
    for text in argv[at:]:
        try:
            ids.append(parse_id(text))
        except Failure:
            break
    return ids


def _idle_ms(call: Call, name: str) -> int:
    return max(call.integer(4, f"ERR Invalid min-idle-time argument for {name}"), 0)


@command("XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms:integer]"
         " [TIME unix-time-milliseconds:unix-time] [RETRYCOUNT count:integer] [FORCE] [JUSTID] [LASTID lastid]",
         WRITE | FAST, since="5.0.0", keys="RW update", tips=("nondeterministic_output",),
         complexity="O(log N) for each id, N entries waiting for their acknowledgement")  # fmt: skip
def xclaim(call: Call) -> Reply:
    """Give entries that another consumer has not acknowledged to this one."""
    argv = call.argv
    key = argv[1]
    stream = call.db.typed(key, Stream)
    group = stream.groups.get(argv[2]) if stream is not None else None
    if stream is None or group is None:
        raise no_group(key, argv[2])
    least_idle_ms = _idle_ms(call, "XCLAIM")
    ids = _ids_from(argv, 5)
    options = _claim_options(call, 5 + len(ids))
    call.replicate_nothing()
    has_moved = options.last_id > group.last_id
    group.last_id = max(group.last_id, options.last_id)
    consumer = group.consumers.get(argv[3]) or _create_consumer(call, key, group, argv[3])
    consumer.seen_time = call.now
    found: list[Reply] = []
    for text, id in zip(argv[5:], ids, strict=False):
        pending = group.pending.get(id)
        if id not in stream:
            if pending is not None:
                _forget(call, key, group, id, text, pending)
                has_moved = False
            continue
        if pending is None:
            if not options.creates:
                continue
            count = 1
        else:
            if least_idle_ms and call.now - pending.delivery_time < least_idle_ms:
                continue
            count = pending.delivery_count
        count = options.retry_count if options.retry_count >= 0 else count + (not options.is_brief)
        pending = group.deliver(id, consumer, options.delivery_time, count)
        consumer.active_time = call.now
        found += [format_id(id)] if options.is_brief else entries_reply(stream.range(id, id, 1))
        _tell_claim(call, key, argv[2], group, text, pending)
        call.db.dirty += 1
        has_moved = False  # a claim tells of it
    if has_moved:
        _tell_position(call, key, argv[2], group)
        call.db.dirty += 1
    return found


def _forget(call: Call, key: bytes, group: Group, id: int, text: bytes, pending: Pending) -> None:
    """An entry that was given to somebody is no longer in the stream: nobody can acknowledge it for good."""
    _tell_claim(call, key, call.argv[2], group, text, pending)
    group.acknowledge(id)
    call.db.dirty += 1


@command("XAUTOCLAIM key group consumer min-idle-time start [COUNT count:integer] [JUSTID]",
         WRITE | FAST, since="6.2.0", keys="RW delete", tips=("nondeterministic_output",),
         complexity="O(1) with the usual count",
         history=(("7.0.0", "Entries that are gone are no longer claimed but named in a third element."),))  # fmt: skip
def xautoclaim(call: Call) -> Reply:
    """Give the next entries that somebody has not acknowledged for long to this consumer."""
    argv = call.argv
    key = argv[1]
    stream = call.db.find(key)
    least_idle_ms = _idle_ms(call, "XAUTOCLAIM")
    start = parse_start(argv[5])
    count, is_brief = _autoclaim_options(call)
    if stream is not None and not isinstance(stream, Stream):
        raise Failure(WRONG_TYPE)
    group = stream.groups.get(argv[2]) if stream is not None else None
    if stream is None or group is None:
        raise no_group(key, argv[2])
    if count > _AUTOCLAIM_ROOM:
        raise Failure("ERR Insufficient memory, failed allocating transient memory, COUNT too high.")
    call.replicate_nothing()
    consumer = group.consumers.get(argv[3]) or _create_consumer(call, key, group, argv[3])
    consumer.seen_time = call.now
    looks = count * _AUTOCLAIM_LOOKS
    found: list[Reply] = []
    deleted: list[Reply] = []
    ids = group.pending.ids.after(start)
    cursor = next(ids, 0)
    while cursor and looks and len(found) + len(deleted) < count:
        looks -= 1
        id, text = cursor, format_id(cursor)
        pending = group.pending[id]
        if id not in stream:
            _forget(call, key, group, id, text, pending)
            deleted.append(text)
        elif not least_idle_ms or call.now - pending.delivery_time >= least_idle_ms:
            pending = group.deliver(id, consumer, call.now, pending.delivery_count + (not is_brief))
            consumer.active_time = call.now
            found += [text] if is_brief else entries_reply(stream.range(id, id, 1))
            _tell_claim(call, key, argv[2], group, text, pending)
            call.db.dirty += 1
        cursor = next(ids, 0)
    return [format_id(cursor), found, deleted]


def _autoclaim_options(call: Call) -> tuple[int, bool]:
    count, is_brief = _AUTOCLAIM_COUNT, False
    at = 6
    while at < len(call.argv):
        option = call.option(at)
        if option == b"COUNT" and at + 1 < len(call.argv):
            at += 1
            count = call.integer(at, "ERR COUNT must be > 0")
            if not 1 <= count <= _AUTOCLAIM_MOST:
                raise Failure("ERR COUNT must be > 0")
        elif option == b"JUSTID":
            is_brief = True
        else:
            raise Failure(SYNTAX_ERROR)
        at += 1
    return count, is_brief


# ── what waits ─────────────────────────────────────────────────────────────────────────────────────────


@command("XPENDING key group filters=[[IDLE min-idle-time:integer] @6.2.0 start end count:integer [consumer]]",
         READONLY, since="5.0.0", keys="RO access", tips=("nondeterministic_output",),
         complexity="O(N) for N entries returned, or for N consumers without a range",
         history=(("6.2.0", "IDLE was added, and `(` leaves out the end behind it."),))  # fmt: skip
def xpending(call: Call) -> Reply:
    """Tell what was given to consumers and waits for their acknowledgement."""
    argv = call.argv
    if len(argv) != 3 and not 6 <= len(argv) <= 9:
        raise Failure(SYNTAX_ERROR)
    least_idle_ms, at = 0, 3
    if len(argv) > 3 and call.option(3) == b"IDLE":
        least_idle_ms, at = call.integer(4), 5
        if len(argv) < 8:
            raise Failure(SYNTAX_ERROR)
    count = start = end = 0
    if len(argv) > 3:
        count, start, end = max(call.integer(at + 2), 0), parse_start(argv[at]), parse_end(argv[at + 1])
    stream = call.db.typed(argv[1], Stream)
    group = stream.groups.get(argv[2]) if stream is not None else None
    if group is None:
        raise no_group(argv[1], argv[2])
    if len(argv) == 3:
        return _pending_in_short(group)
    ids = group.pending.ids
    if at + 3 < len(argv):
        consumer = group.consumers.get(argv[at + 3])
        if consumer is None:
            return []
        ids = consumer.ids
    found: list[Reply] = []
    for id in ids.after(start):
        if id > end or len(found) == count:
            break
        pending = group.pending[id]
        idle_ms = call.now - pending.delivery_time
        if not least_idle_ms or idle_ms >= least_idle_ms:
            found.append([format_id(id), pending.consumer.name, max(idle_ms, 0), pending.delivery_count])
    return found


def _pending_in_short(group: Group) -> Reply:
    ids = group.pending.ids
    if not len(ids):
        return [0, None, None, NULL_ARRAY]
    owners: list[Reply] = [
        [consumer.name, b"%d" % len(consumer.ids)] for consumer in group.sorted_consumers() if len(consumer.ids)
    ]
    return [len(ids), format_id(ids.first), format_id(ids.last), owners]
