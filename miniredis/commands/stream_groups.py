"""Consumer groups: who was given which entries of a stream, and what is still to be acknowledged.

What others are told is never the reading but what came of it: XCLAIM with everything decided for each entry that was
given to somebody, XGROUP SETID where the group has moved on, XGROUP CREATECONSUMER where nothing else would tell of it.
"""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import wrong_subcommand
from miniredis.commands.stream_reading import (
    ReadOptions,
    entries_reply,
    format_id,
    parse_bound,
    parse_id,
    parse_read,
    streams_reply,
)
from miniredis.engine.call import Call
from miniredis.engine.registry import BLOCKING, DENYOOM, WRITE, KeySpec, command, container
from miniredis.keyspace import notify
from miniredis.structures.stream import Stream
from miniredis.structures.stream_groups import UNKNOWN, Consumer, Group, Pending
from miniredis.structures.stream_node import MAX_ID
from protocol.resp.values import NULL_ARRAY, OK, Failure, Reply


def no_group(key: bytes, group: bytes, where: bytes = b"") -> Failure:
    """What XREADGROUP, XACK and their kin say where key or group is missing; `where` ends the sentence."""
    return Failure(b"NOGROUP No such key '%b' or consumer group '%b'%b" % (shown(key), shown(group), where))


def no_such_group(key: bytes, group: bytes) -> Failure:
    """What XGROUP and XINFO say."""
    return Failure(b"NOGROUP No such consumer group '%b' for key name '%b'" % (shown(group), shown(key)))


def shown(word: bytes) -> bytes:
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
        db.opened(key)
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


def create_consumer(call: Call, key: bytes, group: Group, name: bytes) -> Consumer:
    """A new consumer, with its event."""
    call.db.dirty += 1
    call.db.notify(notify.STREAM, b"xgroup-createconsumer", key)
    return group.create_consumer(name, call.now)


def _reader(call: Call, key: bytes, group: Group, options: ReadOptions) -> Consumer:
    consumer = group.consumers.get(options.consumer)
    if consumer is None:
        consumer = create_consumer(call, key, group, options.consumer)
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
                tell_claim(call, key, options.group, group, format_id(id), pending)
    tell_position(call, key, options.group, group)
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


def tell_claim(call: Call, key: bytes, group_name: bytes, group: Group, id: bytes, pending: Pending) -> None:
    """The effect of a delivery: XCLAIM with all that a replica could not know (Redis propagates the same)."""
    call.replicate(
        b"XCLAIM", key, group_name, pending.consumer.name, b"0", id, b"TIME", b"%d" % pending.delivery_time,
        b"RETRYCOUNT", b"%d" % pending.delivery_count, b"FORCE", b"JUSTID", b"LASTID", format_id(group.last_id),
    )  # fmt: skip


def tell_position(call: Call, key: bytes, group_name: bytes, group: Group) -> None:
    """The effect of a read on the group's position."""
    read = b"%d" % group.entries_read
    call.replicate(b"XGROUP", b"SETID", key, group_name, format_id(group.last_id), b"ENTRIESREAD", read)
