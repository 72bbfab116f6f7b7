"""Deleting entries of a stream with an eye on the groups that were given them: XDELEX and XACKDEL, new in Redis 8.2.

What becomes of a deleted entry in the lists of its groups: it stays there (KEEPREF), it goes there too (DELREF), or it
is not deleted while any group has it there or has yet to be given it (ACKED).
"""

from __future__ import annotations

from typing import Final

from miniredis.commands.stream_reading import parse_id
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import FAST, WRITE, command
from miniredis.keyspace import notify
from miniredis.structures.stream import Stream
from protocol.resp.numbers import parse_int
from protocol.resp.values import Failure, Reply

# What became of an id.
NOT_THERE: Final = -1
DELETED: Final = 1
STILL_WANTED: Final = 2

_POLICIES: Final = (b"KEEPREF", b"DELREF", b"ACKED")


def _parse(call: Call, at: int) -> tuple[bytes, list[int]]:
    """The policy and the ids: `[policy] IDS numids id [id ...]`, in either order."""
    argv = call.argv
    policy = b""
    texts: list[bytes] = []
    while at < len(argv):
        word = call.option(at)
        if word in _POLICIES and not policy:
            policy = word
            at += 1
        elif word == b"IDS" and at + 1 < len(argv):
            count = _count(argv[at + 1])
            texts = argv[at + 2 : at + 2 + count]
            if len(texts) < count:
                raise Failure("ERR The `numids` parameter must match the number of arguments")
            at += 2 + count
        else:
            raise Failure(SYNTAX_ERROR)
    if not texts:
        raise Failure("ERR IDS option is required")
    return policy or b"KEEPREF", [parse_id(text) for text in texts]


def _count(text: bytes) -> int:
    try:
        count = parse_int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise Failure("ERR Number of IDs must be a positive integer")
    return count


def _is_wanted(stream: Stream, id: int) -> bool:
    """Whether a group waits for this entry's acknowledgement, or has yet to be given it."""
    return any(group.last_id < id or group.pending.get(id) is not None for group in stream.groups.values())


def _forget(stream: Stream, id: int) -> int:
    """Take an entry out of the lists of all groups; of how many."""
    return sum([group.acknowledge(id) for group in stream.groups.values()])


@command("XDELEX key condition=[KEEPREF | DELREF | ACKED] IDS <numids:integer id [id ...]>", WRITE | FAST,
         since="8.2.0", group="stream", keys="RW delete", complexity="O(1) for each id and group")  # fmt: skip
def xdelex(call: Call) -> Reply:
    """Delete entries of a stream with what groups know of them, or only those that no group wants."""
    key = call.argv[1]
    policy, ids = _parse(call, 2)
    stream = call.db.typed(key, Stream, True)
    if stream is None:
        return [NOT_THERE] * len(ids)
    outcome: list[Reply] = []
    deleted = forgotten = 0
    for id in ids:
        if policy == b"DELREF":
            forgotten += _forget(stream, id)
        if policy == b"ACKED" and id in stream and _is_wanted(stream, id):
            outcome.append(STILL_WANTED)
            continue
        count = stream.delete([id])
        deleted += count
        outcome.append(DELETED if count else NOT_THERE)
    _conclude(call, key, stream, deleted, forgotten)
    return outcome


@command("XACKDEL key group condition=[KEEPREF | DELREF | ACKED] IDS <numids:integer id [id ...]>", WRITE | FAST,
         since="8.2.0", group="stream", keys="RW update delete", complexity="O(1) for each id and group")  # fmt: skip
def xackdel(call: Call) -> Reply:
    """Acknowledge entries for a group, and delete them, or only those that no other group wants."""
    key = call.argv[1]
    policy, ids = _parse(call, 3)
    stream = call.db.typed(key, Stream, True)
    group = stream.groups.get(call.argv[2]) if stream is not None else None
    if stream is None or group is None:
        return [NOT_THERE] * len(ids)
    outcome: list[Reply] = []
    deleted = acknowledged = 0
    for id in ids:
        if not group.acknowledge(id):
            outcome.append(NOT_THERE)
            continue
        acknowledged += 1
        if policy == b"DELREF":
            _forget(stream, id)
        if policy == b"ACKED" and _is_wanted(stream, id):
            outcome.append(STILL_WANTED)
            continue
        deleted += stream.delete([id])
        outcome.append(DELETED)
    _conclude(call, key, stream, deleted, acknowledged)
    return outcome


def _conclude(call: Call, key: bytes, stream: Stream, deleted: int, forgotten: int) -> None:
    call.db.dirty += forgotten
    if deleted:
        call.db.changed(key, stream, b"xdel", notify.STREAM, deleted)
