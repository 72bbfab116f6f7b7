"""XINFO: what a stream, its groups and their consumers look like from inside."""

from __future__ import annotations

from itertools import islice

from miniredis.commands.shared import wrong_subcommand
from miniredis.commands.stream_groups import no_such_group
from miniredis.commands.stream_reading import entries_reply, format_id
from miniredis.engine.call import NO_SUCH_KEY, Call
from miniredis.engine.registry import READONLY, command, container
from miniredis.structures.stream import Stream
from miniredis.structures.stream_groups import NEVER, UNKNOWN, Consumer, Group
from miniredis.structures.stream_node import MAX_ID
from protocol.resp.values import Failure, Reply

# Entries, and pending entries of each group and consumer, that XINFO STREAM FULL shows where nobody says how many.
_FULL_COUNT = 10

container("XINFO", since="5.0.0", group="stream", summary="Look into a stream.")


def _stream_of(call: Call) -> Stream:
    stream = call.db.typed(call.argv[2], Stream)
    if stream is None:
        raise Failure(NO_SUCH_KEY)
    return stream


@command("XINFO|STREAM key full-block=[FULL [COUNT count:integer]]", READONLY, since="5.0.0", group="stream",
         keys="RO access", complexity="O(1), and O(N) for N entries shown",
         history=(("6.0.0", "FULL was added."), ("7.0.0", "Ids and counts that the lag of groups follows from."),
                  ("7.2.0", "`active-time`, and `seen-time` means any attempt.")))  # fmt: skip
def xinfo_stream(call: Call) -> Reply:
    """Tell about a stream; with FULL, about all that is in it."""
    stream = _stream_of(call)
    count = _full_count(call)
    told: dict[bytes, Reply] = {
        b"length": len(stream),
        b"radix-tree-keys": stream.node_count,
        b"radix-tree-nodes": stream.tree_nodes,
        b"last-generated-id": format_id(stream.last_id),
        b"max-deleted-entry-id": format_id(stream.max_deleted_id),
        b"entries-added": stream.entries_added,
        b"recorded-first-entry-id": format_id(stream.first_id),
    }
    if count is None:
        told[b"groups"] = len(stream.groups)
        first, last = stream.range(0, MAX_ID, 1), stream.range_back(0, MAX_ID, 1)
        told[b"first-entry"] = entries_reply(first)[0] if first else None
        told[b"last-entry"] = entries_reply(last)[0] if last else None
    else:
        told[b"entries"] = entries_reply(stream.range(0, MAX_ID, count))
        told[b"groups"] = [_full_group(stream, name, count) for name in sorted(stream.groups)]
    return told


def _full_count(call: Call) -> int | None:
    """How much of everything FULL shows, 0 for all; None without FULL."""
    words = call.argv[3:]
    if not words:
        return None
    if len(words) not in (1, 3) or words[0].upper() != b"FULL":
        raise wrong_subcommand(call)
    if len(words) == 1:
        return _FULL_COUNT
    if words[1].upper() != b"COUNT":
        raise wrong_subcommand(call)
    count = call.integer(5)
    return count if count >= 0 else _FULL_COUNT


def _full_group(stream: Stream, name: bytes, count: int) -> Reply:
    group = stream.groups[name]
    shown = islice(group.pending.items(), count or None)
    return {
        b"name": name,
        b"last-delivered-id": format_id(group.last_id),
        b"entries-read": None if group.entries_read == UNKNOWN else group.entries_read,
        b"lag": stream.lag(group),
        b"pel-count": len(group.pending),
        b"pending": [
            [format_id(id), pending.consumer.name, pending.delivery_time, pending.delivery_count]
            for id, pending in shown
        ],
        b"consumers": [_full_consumer(group, consumer, count) for consumer in group.sorted_consumers()],
    }


def _full_consumer(group: Group, consumer: Consumer, count: int) -> Reply:
    shown = [(id, group.pending[id]) for id in islice(consumer.ids, count or None)]
    return {
        b"name": consumer.name,
        b"seen-time": consumer.seen_time,
        b"active-time": consumer.active_time,
        b"pel-count": len(consumer.ids),
        b"pending": [[format_id(id), pending.delivery_time, pending.delivery_count] for id, pending in shown],
    }


@command("XINFO|GROUPS key", READONLY, since="5.0.0", group="stream", keys="RO access", complexity="O(N) for N groups",
         history=(("7.0.0", "`entries-read` and `lag` were added."),))  # fmt: skip
def xinfo_groups(call: Call) -> Reply:
    """List the groups of a stream and how far each has read."""
    stream = _stream_of(call)
    return [
        {
            b"name": name,
            b"consumers": len(group.consumers),
            b"pending": len(group.pending),
            b"last-delivered-id": format_id(group.last_id),
            b"entries-read": None if group.entries_read == UNKNOWN else group.entries_read,
            b"lag": stream.lag(group),
        }
        for name, group in sorted(stream.groups.items())
    ]


@command("XINFO|CONSUMERS key group", READONLY, since="5.0.0", group="stream", keys="RO access",
         tips=("nondeterministic_output",), complexity="O(N) for N consumers",
         history=(("7.2.0", "`inactive` was added, and `idle` means any attempt."),))  # fmt: skip
def xinfo_consumers(call: Call) -> Reply:
    """List the consumers of a group and how busy each is."""
    group = _stream_of(call).groups.get(call.argv[3])
    if group is None:
        raise no_such_group(call.argv[2], call.argv[3])
    now = call.now
    return [
        {
            b"name": consumer.name,
            b"pending": len(consumer.ids),
            b"idle": max(now - consumer.seen_time, 0),
            b"inactive": NEVER if consumer.active_time == NEVER else now - consumer.active_time,
        }
        for consumer in group.sorted_consumers()
    ]
