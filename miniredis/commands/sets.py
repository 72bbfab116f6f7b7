"""Sets: SADD and all that follows from it.

What is combined (SINTER, SUNION, SDIFF) is built the way Redis builds it, because the way shows: in the order of a
small reply, and in the encoding of what a STORE form leaves behind.
"""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import (
    NEGATIVE_LIMIT,
    NO_KEYS,
    NOT_POSITIVE,
    TOO_MANY_KEYS,
    at_least,
    random_count,
)
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import DENYOOM, FAST, READONLY, WRITE, command
from miniredis.engine.scanning import choose, parse_cursor, scan_options
from miniredis.keyspace import notify
from miniredis.structures.sets import HASHTABLE, INTSET, LISTPACK, Set, integer_of
from protocol.resp.values import Failure, Members, Reply

# Members named in one SREM that stands for a SPOP with a count.
_SREM_MEMBERS: Final = 1024
# A SPOP that leaves less than a fifth of what it takes moves what stays, not what goes.
_SPOP_MOVE_FACTOR: Final = 5

_ALL_MEMBERS: Final = "O(N) for N members in all"
_SMALLEST: Final = "O(N*M) for M sets, the smallest of N members"


# ── members ────────────────────────────────────────────────────────────────────────────────────────────


@command("SADD key member [member ...]", WRITE | DENYOOM | FAST, since="1.0.0", keys="RW insert",
         complexity="O(1) for each member added",
         history=(("2.4.0", "Takes several members."),))  # fmt: skip
def sadd(call: Call) -> Reply:
    """Add members to a set, which is made if need be."""
    argv = call.argv
    key = argv[1]
    db = call.db
    limits = call.state.settings
    ours = db.typed(key, Set, write=True)
    if ours is None:
        ours = Set.fitting(argv[2], len(argv) - 2, limits)
        db.put(key, ours)
    else:
        ours.expect(len(argv) - 2, limits)
    if len(argv) == 3:
        added = 1 if ours.add(argv[2], limits) else 0
    else:
        added = ours.update(argv[2:], limits)
    if added:
        if ours.form == LISTPACK and ours.may_rest:
            db.keyspace.resting.add(ours)
        db.changed(key, ours, b"sadd", notify.SET, added)
    return added


@command("SREM key member [member ...]", WRITE | FAST, since="1.0.0", keys="RW delete",
         complexity="O(1) for each member removed",
         history=(("2.4.0", "Takes several members."),))  # fmt: skip
def srem(call: Call) -> Reply:
    """Remove members from a set; a set without members ceases to exist."""
    key = call.argv[1]
    ours = call.db.typed(key, Set, write=True)
    if ours is None:
        return 0
    removed = 0
    for member in call.argv[2:]:
        if ours.remove(member):
            removed += 1
            if not len(ours):
                break
    if removed:
        if ours.form == LISTPACK and ours.may_rest:
            call.db.keyspace.resting.add(ours)
        call.db.changed(key, ours, b"srem", notify.SET, removed)
        call.db.drop_if_empty(key, ours)
    return removed


@command("SMOVE source:key destination:key member", WRITE | FAST, since="1.0.0", keys="RW access delete | RW insert")
def smove(call: Call) -> Reply:
    """Move a member from one set to another."""
    _, source_key, target_key, member = call.argv
    db = call.db
    limits = call.state.settings
    raw_source = db.find_for_write(source_key)
    raw_target = db.find_for_write(target_key)
    if raw_source is None:
        return 0
    source = db.typed(source_key, Set, write=True)
    target = None if raw_target is None else db.typed(target_key, Set, write=True)
    assert source is not None
    if source is target:
        return 1 if member in source else 0
    if not source.remove(member):
        return 0
    db.changed(source_key, source, b"srem", notify.SET)
    db.drop_if_empty(source_key, source)
    if target is None:
        target = Set.fitting(member, 1, limits)
        db.put(target_key, target)
    if target.add(member, limits):
        db.changed(target_key, target, b"sadd", notify.SET)
    return 1


@command("SISMEMBER key member", READONLY | FAST, since="1.0.0", keys="RO")
def sismember(call: Call) -> Reply:
    """Tell whether something is a member of a set."""
    ours = call.db.typed(call.argv[1], Set)
    return 1 if ours is not None and call.argv[2] in ours else 0


@command("SMISMEMBER key member [member ...]", READONLY | FAST, since="6.2.0", keys="RO access",
         complexity="O(N) for N members asked about")  # fmt: skip
def smismember(call: Call) -> Reply:
    """Tell of each of several whether it is a member of a set."""
    ours = call.db.typed(call.argv[1], Set)
    if ours is None:
        return [0] * (len(call.argv) - 2)
    return [1 if member in ours else 0 for member in call.argv[2:]]


@command("SCARD key", READONLY | FAST, since="1.0.0", keys="RO")
def scard(call: Call) -> Reply:
    """Count the members of a set."""
    ours = call.db.typed(call.argv[1], Set)
    return 0 if ours is None else len(ours)


@command("SMEMBERS key", READONLY, since="1.0.0", keys="RO access", tips=("nondeterministic_output_order",),
         complexity="O(N) for N members")  # fmt: skip
def smembers(call: Call) -> Reply:
    """Return all members of a set."""
    ours = call.db.typed(call.argv[1], Set)
    return Members() if ours is None else Members(ours.members())


@command("SSCAN key cursor:integer [MATCH pattern] [COUNT count:integer]", READONLY, since="2.8.0", keys="RO access",
         tips=("nondeterministic_output",), complexity="O(1) a call, O(N) for the whole walk")  # fmt: skip
def sscan(call: Call) -> Reply:
    """Walk through the members of a set, a page at a time."""
    cursor = parse_cursor(call.argv[2])
    ours = call.db.typed(call.argv[1], Set)
    if ours is None:
        return [b"0", []]
    options = scan_options(call.argv, 3)
    cursor, page = ours.scan(cursor, options.count)
    return [b"%d" % cursor, choose(page, options.pattern)]


# ── chance ─────────────────────────────────────────────────────────────────────────────────────────────


@command("SPOP key [count:integer] @3.2.0", WRITE | FAST, since="1.0.0", keys="RW access delete",
         tips=("nondeterministic_output",), complexity="O(1), or O(N) for N members taken",
         history=(("3.2.0", "Takes a count."),))  # fmt: skip
def spop(call: Call) -> Reply:
    """Take members at random out of a set."""
    argv = call.argv
    if len(argv) > 3:
        raise Failure(SYNTAX_ERROR)
    if len(argv) == 3:
        return _spop_count(call)
    key = argv[1]
    db = call.db
    ours = db.typed(key, Set, write=True)
    if ours is None:
        return None
    member = ours.pop(call.random)
    if call.state.journal.is_heard:
        call.replicate(b"SREM", key, member)
    db.changed(key, ours, b"spop", notify.SET)
    if not len(ours):
        db.drop_if_empty(key, ours)
    return member


def _spop_count(call: Call) -> Reply:
    key = call.argv[1]
    count = at_least(call, 2, 0, NOT_POSITIVE)
    db = call.db
    ours = db.typed(key, Set, write=True)
    if ours is None or count == 0:
        return Members()
    size = len(ours)
    if count >= size:
        members = ours.members()
        db.changed(key, ours, b"spop", notify.SET, size)
        db.delete(key)
        db.notify(notify.GENERIC, b"del", key)
        call.replicate(b"UNLINK" if call.settings.lazyfree_lazy_server_del else b"DEL", key)
        return Members(members)
    members = ours.sample(count, call.random)
    for member in members:
        ours.remove(member)
    if (size - count) * _SPOP_MOVE_FACTOR <= count and ours.form == HASHTABLE:
        # Redis builds such a remainder anew, so it may have become small enough for a listpack.
        rest = Set(LISTPACK)
        rest.update(ours, call.state.settings)
        db.replace(key, rest)
    for start in range(0, count, _SREM_MEMBERS):
        call.replicate(b"SREM", key, *members[start : start + _SREM_MEMBERS])
    db.changed(key, ours, b"spop", notify.SET, count)
    return Members(members)


@command("SRANDMEMBER key [count:integer] @2.6.0", READONLY, since="1.0.0", keys="RO access",
         tips=("nondeterministic_output",), complexity="O(1), or O(N) for a count of N",
         history=(("2.6.0", "Takes a count, positive or negative."),))  # fmt: skip
def srandmember(call: Call) -> Reply:
    """Return members of a set at random, leaving it as it is."""
    argv = call.argv
    if len(argv) > 3:
        raise Failure(SYNTAX_ERROR)
    if len(argv) == 2:
        ours = call.db.typed(argv[1], Set)
        return None if ours is None else ours.random(call.random)
    count = random_count(call, 2)
    ours = call.db.typed(argv[1], Set)
    if ours is None or count == 0:
        return []
    if count < 0:
        return [ours.random(call.random) for _ in range(-count)]
    return ours.sample(count, call.random)


# ── combining ──────────────────────────────────────────────────────────────────────────────────────────


@command("SINTER key [key ...]", READONLY, since="1.0.0", keys="RO access", tips=("nondeterministic_output_order",),
         complexity=_SMALLEST)  # fmt: skip
def sinter(call: Call) -> Reply:
    """Return the members that several sets have in common."""
    sources = _intersectable(call, call.argv[1:])
    return Members(_common(sources)) if sources else Members()


@command("SINTERCARD numkeys:integer key [key ...] [LIMIT limit:integer]", READONLY, since="7.0.0", keys="RO access",
         complexity=_SMALLEST)  # fmt: skip
def sintercard(call: Call) -> Reply:
    """Count the members that several sets have in common."""
    argv = call.argv
    numkeys, limit = cardinality_arguments(call)
    sources = _intersectable(call, argv[2 : 2 + numkeys])
    if not sources:
        return 0
    return len(_common(sources, limit))


@command("SINTERSTORE destination:key key [key ...]", WRITE | DENYOOM, since="1.0.0", keys="OW update | RO access",
         complexity=_SMALLEST)  # fmt: skip
def sinterstore(call: Call) -> Reply:
    """Store the members that several sets have in common."""
    sources = _intersectable(call, call.argv[2:])
    if not sources:
        return _store(call, call.argv[1], Set(), b"sinterstore")
    limits = call.state.settings
    members = _common(sources)
    result = Set(INTSET if sources[0].form == INTSET else LISTPACK)
    result.update(members, limits)
    if all(integer_of(member) is not None for member in members):
        result.become_intset(limits)
    return _store(call, call.argv[1], result, b"sinterstore")


@command("SUNION key [key ...]", READONLY, since="1.0.0", keys="RO access", tips=("nondeterministic_output_order",),
         complexity=_ALL_MEMBERS)  # fmt: skip
def sunion(call: Call) -> Reply:
    """Return the members of several sets together."""
    return Members(_united(call, call.argv[1:]).members())


@command("SUNIONSTORE destination:key key [key ...]", WRITE | DENYOOM, since="1.0.0", keys="OW update | RO access",
         complexity=_ALL_MEMBERS)  # fmt: skip
def sunionstore(call: Call) -> Reply:
    """Store the members of several sets together."""
    return _store(call, call.argv[1], _united(call, call.argv[2:]), b"sunionstore")


@command("SDIFF key [key ...]", READONLY, since="1.0.0", keys="RO access", tips=("nondeterministic_output_order",),
         complexity=_ALL_MEMBERS)  # fmt: skip
def sdiff(call: Call) -> Reply:
    """Return the members of the first set that no other has."""
    return Members(_difference(call, call.argv[1:]).members())


@command("SDIFFSTORE destination:key key [key ...]", WRITE | DENYOOM, since="1.0.0", keys="OW update | RO access",
         complexity=_ALL_MEMBERS)  # fmt: skip
def sdiffstore(call: Call) -> Reply:
    """Store the members of the first set that no other has."""
    return _store(call, call.argv[1], _difference(call, call.argv[2:]), b"sdiffstore")


def cardinality_arguments(call: Call) -> tuple[int, int]:
    """numkeys and LIMIT of SINTERCARD: how many keys follow, and where to stop counting (0: nowhere)."""
    argv = call.argv
    numkeys = at_least(call, 1, 1, NO_KEYS)
    if numkeys > len(argv) - 2:
        raise Failure(TOO_MANY_KEYS)
    limit = 0
    at = 2 + numkeys
    while at < len(argv):
        if call.option(at) != b"LIMIT" or at + 1 == len(argv):
            raise Failure(SYNTAX_ERROR)
        limit = at_least(call, at + 1, 0, NEGATIVE_LIMIT)
        at += 2
    return numkeys, limit


def _intersectable(call: Call, keys: list[bytes]) -> list[Set]:
    """The sets, smallest first; none at all if one is missing, for then nothing is common to all."""
    found = [call.db.typed(key, Set) for key in keys]
    sources = [ours for ours in found if ours is not None]
    if len(sources) < len(found):
        return []
    sources.sort(key=len)
    return sources


def _common(sources: list[Set], limit: int = 0) -> list[bytes]:
    """The members of the first set that are in all others, in its order; no more than `limit` unless it is 0."""
    first = sources[0]
    members = first.members()
    for other in sources[1:]:
        if other is not first:
            members = [member for member in members if member in other]
    return members[:limit] if limit else members


def _united(call: Call, keys: list[bytes]) -> Set:
    limits = call.state.settings
    result = Set()
    for ours in [call.db.typed(key, Set) for key in keys]:
        if ours is not None:
            result.update(ours, limits)
    return result


def _difference(call: Call, keys: list[bytes]) -> Set:
    limits = call.state.settings
    found = [call.db.typed(key, Set) for key in keys]
    first = found[0]
    result = Set()
    if first is None:
        return result
    others = [ours for ours in found[1:] if ours is not None]
    if any(ours is first for ours in others):
        return result
    # Redis asks the others about each member of the first, or, if that is more work, takes the members of the
    # others out of a copy of the first. The members are the same, but the copy may end in another encoding.
    asking = len(first) * (1 + len(others)) // 2
    taking = len(first) + sum(map(len, others))
    if asking <= taking:
        members = first.members()
        for ours in others:
            members = [member for member in members if member not in ours]
        result.update(members, limits)
        return result
    result.update(first, limits)
    for ours in others:
        for member in ours:
            result.remove(member)
        if not len(result):
            break
    return result


def _store(call: Call, key: bytes, result: Set, event: bytes) -> int:
    """Put the result where it is wanted; an empty one only deletes what was there."""
    db = call.db
    if not len(result):
        if db.delete(key):
            db.notify(notify.GENERIC, b"del", key)
            db.dirty += 1
        return 0
    db.put(key, result)
    if result.form == LISTPACK and result.may_rest:
        db.keyspace.resting.add(result)
    db.changed(key, result, event, notify.SET)
    return len(result)
