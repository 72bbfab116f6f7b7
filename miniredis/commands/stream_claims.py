"""What a group has given to its consumers: acknowledged, given to somebody else, told.

What others are told of a claim is XCLAIM with everything decided, as of the reading (stream_groups.py).
"""

from __future__ import annotations

from typing import Final

from miniredis.commands.stream_groups import create_consumer, no_group, shown, tell_claim, tell_position
from miniredis.commands.stream_reading import entries_reply, format_id, parse_end, parse_id, parse_start
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import FAST, READONLY, WRITE, command
from miniredis.keyspace.db import WRONG_TYPE
from miniredis.structures.stream import Stream
from miniredis.structures.stream_groups import Group, Pending
from protocol.resp.numbers import INT64_MAX
from protocol.resp.values import NULL_ARRAY, Failure, Reply

# XAUTOCLAIM: entries claimed where nobody says how many, and how many are looked at for each one of them.
_AUTOCLAIM_COUNT: Final = 100
_AUTOCLAIM_LOOKS: Final = 10
_AUTOCLAIM_MOST: Final = INT64_MAX // 16
# Redis makes room for so many ids of 16 bytes beforehand, which fails where they are more than it may address.
_AUTOCLAIM_ROOM: Final = (1 << 47) // 16


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
    call.db.opened(argv[1])
    count = sum([group.acknowledge(id) for id in ids])
    call.db.dirty += count
    return count


class ClaimOptions:
    """What stands behind the ids of XCLAIM, times in ms since the epoch."""

    __slots__ = ("creates", "delivery_time", "is_brief", "last_id", "retry_count")

    def __init__(self, now: int) -> None:
        self.delivery_time = now
        self.retry_count = -1  # below 0: one more than it was
        self.creates = False  # FORCE
        self.is_brief = False  # JUSTID
        self.last_id = 0

    def deliveries(self, pending: Pending | None) -> int:
        """How often the entry will have been given to somebody."""
        if self.retry_count >= 0:
            return self.retry_count
        return (1 if pending is None else pending.delivery_count) + (not self.is_brief)


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
            raise Failure(b"ERR Unrecognized XCLAIM option '%b'" % shown(argv[at]))
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
    call.db.opened(key)
    least_idle_ms = _idle_ms(call, "XCLAIM")
    ids = _ids_from(argv, 5)
    options = _claim_options(call, 5 + len(ids))
    call.replicate_nothing()
    has_moved = options.last_id > group.last_id
    group.last_id = max(group.last_id, options.last_id)
    consumer = group.consumers.get(argv[3]) or create_consumer(call, key, group, argv[3])
    consumer.seen_time = call.now
    found: list[Reply] = []
    for text, id in zip(argv[5:], ids, strict=False):
        pending = group.pending.get(id)
        if id not in stream:
            if pending is not None:
                _forget(call, key, group, id, text, pending)
                has_moved = False
            continue
        if not (options.creates if pending is None else _is_idle(call, pending, least_idle_ms)):
            continue
        pending = group.deliver(id, consumer, options.delivery_time, options.deliveries(pending))
        consumer.active_time = call.now
        found += [format_id(id)] if options.is_brief else entries_reply(stream.range(id, id, 1))
        tell_claim(call, key, argv[2], group, text, pending)
        call.db.dirty += 1
        has_moved = False  # a claim tells of it
    if has_moved:
        tell_position(call, key, argv[2], group)
        call.db.dirty += 1
    return found


def _is_idle(call: Call, pending: Pending, least_ms: int) -> bool:
    return not least_ms or call.now - pending.delivery_time >= least_ms


def _forget(call: Call, key: bytes, group: Group, id: int, text: bytes, pending: Pending) -> None:
    """An entry that was given to somebody is no longer in the stream: nobody can acknowledge it for good."""
    tell_claim(call, key, call.argv[2], group, text, pending)
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
    call.db.opened(key)
    if count > _AUTOCLAIM_ROOM:
        raise Failure("ERR Insufficient memory, failed allocating transient memory, COUNT too high.")
    call.replicate_nothing()
    consumer = group.consumers.get(argv[3]) or create_consumer(call, key, group, argv[3])
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
        elif _is_idle(call, pending, least_idle_ms):
            pending = group.deliver(id, consumer, call.now, pending.delivery_count + (not is_brief))
            consumer.active_time = call.now
            found += [text] if is_brief else entries_reply(stream.range(id, id, 1))
            tell_claim(call, key, argv[2], group, text, pending)
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
