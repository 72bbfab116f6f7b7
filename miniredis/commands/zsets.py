"""Sorted sets: single members, ends, chance and scanning. Ranges are in zset_ranges, combinations in zset_algebra."""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import NOT_POSITIVE, OUT_OF_RANGE, at_least, first_of_several, random_count, wrong_arity
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import BLOCKING, DENYOOM, FAST, READONLY, WRITE, command
from miniredis.engine.rows import Row
from miniredis.engine.scanning import parse_cursor, scan_options
from miniredis.keyspace import notify
from miniredis.keyspace.db import WRONG_TYPE
from miniredis.keyspace.value import Value
from miniredis.structures.glob import matches
from miniredis.structures.zset import ADDED, UNCHANGED, Entry, SortedSet
from protocol.resp.numbers import INT64_MAX, format_double, format_double_17
from protocol.resp.values import NULL_ARRAY, Failure, Pairs, Reply

NOT_A_NUMBER: Final = "ERR resulting score is not a number (NaN)"

# Options of ZADD, one bit each.
_NX: Final = 1
_XX: Final = 2
_GT: Final = 4
_LT: Final = 8
_CH: Final = 16
_INCR: Final = 32
_OPTIONS: Final = {b"NX": _NX, b"XX": _XX, b"GT": _GT, b"LT": _LT, b"CH": _CH, b"INCR": _INCR}


# ── adding and removing ────────────────────────────────────────────────────────────────────────────────


def _zadd_row(row: Row) -> None:
    """Each one member of the same large sorted set."""
    calls, idle = row.calls, row.idle
    first = calls[0]
    if len(first) != 4:
        return
    key, text = first[1:3]
    zset = row.db.peek(key)
    if type(zset) is not SortedSet or zset.is_small or not _is_plain_score(text):
        return
    row.db.find_for_write(key)
    score = float(text)
    put, done = zset.put_large, row.replies.append
    for _, other, score_text, member in calls:
        if other != key:
            break
        if score_text != text:
            if not _is_plain_score(score_text):
                break
            text = score_text
            score = float(text)
        outcome = put(member, score)
        if outcome == UNCHANGED:
            idle.append(len(row.replies))
        done(1 if outcome == ADDED else 0)


def _is_plain_score(text: bytes) -> bool:
    """Digits; more of them might be more than a double holds."""
    return text.isdigit() and len(text) < 300


@command("ZADD key condition=[NX | XX] @3.0.2 comparison=[GT | LT] @6.2.0 [change=CH] @3.0.2 [increment=INCR] @3.0.2 "
         "score:double member [score:double member ...]", WRITE | DENYOOM | FAST, since="1.2.0", keys="RW update",
         complexity="O(log(N)) for each member",
         history=(("2.4.0", "Takes several members."), ("3.0.2", "Has XX, NX, CH and INCR."),
                  ("6.2.0", "Has GT and LT.")), row=_zadd_row)  # fmt: skip
def zadd(call: Call) -> Reply:
    """Add members to a sorted set or change their scores."""
    argv = call.argv
    if len(argv) != 4:
        return _zadd(call, 0)
    text = argv[2]
    if _is_plain_score(text):
        score = float(text)
    elif text[:1].isalpha():
        return _zadd(call, 0)
    else:
        score = call.float(2)
    key = argv[1]
    db = call.db
    zset = db.find_for_write(key)
    if type(zset) is SortedSet and not zset.is_small:
        outcome = zset.put_large(argv[3], score)
    else:
        zset = _zset_to_add_to(call, zset)
        outcome = zset.put(argv[3], score, call.state.settings)
        if zset.may_rest:
            db.keyspace.resting.add(zset)
    if outcome:
        db.changed(key, zset, b"zadd", notify.ZSET)
        return 1 if outcome == ADDED else 0
    return 0


def changed(call: Call, key: bytes, zset: SortedSet, event: bytes, n: int = 1) -> None:
    """After so many changes of a sorted set in place."""
    call.db.changed(key, zset, event, notify.ZSET, n)
    if zset.may_rest:
        call.db.keyspace.resting.add(zset)


def _zset_to_add_to(call: Call, found: Value | None) -> SortedSet:
    """What was found under the key, or a new sorted set under it, in the form for one member more."""
    limits = call.state.settings
    if found is None:
        zset = SortedSet.fitting(1, len(call.argv[3]), limits)
        call.db.put(call.argv[1], zset)
        return zset
    if type(found) is not SortedSet:
        raise Failure(WRONG_TYPE)
    found.expect(1, limits)
    return found


@command("ZINCRBY key increment:integer member", WRITE | DENYOOM | FAST, since="1.2.0", keys="RW access update",
         complexity="O(log(N))")  # fmt: skip
def zincrby(call: Call) -> Reply:
    """Add to the score of a member."""
    argv = call.argv
    if argv[2][:1].isalpha():
        return _zadd(call, _INCR)
    score = call.float(2)
    zset = call.db.typed(argv[1], SortedSet, write=True)
    old = None if zset is None else zset.score(argv[3])
    if zset is None or old is None:
        return _zadd(call, _INCR)
    score += old
    if score != score:
        raise Failure(NOT_A_NUMBER)
    zset.expect(1, call.state.settings)
    if zset.put(argv[3], score, call.state.settings):
        changed(call, argv[1], zset, b"zincr")
    return score


def _zadd(call: Call, options: int) -> Reply:
    """ZADD with everything it can be told. ZINCRBY is one of its forms, down to the options it would take."""
    argv = call.argv
    at = 2
    while at < len(argv) and (option := _OPTIONS.get(argv[at].upper())):
        options |= option
        at += 1
    count = (len(argv) - at) // 2
    _refuse_zadd(options, len(argv) - at)
    scores = [call.float(place) for place in range(at, len(argv), 2)]
    members = argv[at + 1 :: 2]

    key = argv[1]
    db = call.db
    limits = call.state.settings
    zset = db.typed(key, SortedSet, write=True)
    if zset is None:
        if options & _XX:
            return None if options & _INCR else 0
        zset = SortedSet.fitting(count, len(members[0]), limits)
        db.put(key, zset)
    else:
        zset.expect(count, limits)

    added = updated = 0
    result: float | None = None
    for member, score in zip(members, scores, strict=True):
        old = zset.score(member)
        if old is None:
            if options & _XX:
                continue
        else:
            if options & _NX:
                continue
            if options & _INCR:
                score += old
                if score != score:
                    raise Failure(NOT_A_NUMBER)
            if (options & _GT and score <= old) or (options & _LT and score >= old):
                continue
        outcome = zset.put(member, score, limits)
        if outcome == ADDED:
            added += 1
        elif outcome:
            updated += 1
        result = score
    if added or updated:
        changed(call, key, zset, b"zincr" if options & _INCR else b"zadd", added + updated)
    if options & _INCR:
        return result
    return added + updated if options & _CH else added


def _refuse_zadd(options: int, words: int) -> None:
    """Options and numbers of words that do not go together."""
    if words % 2 or not words:
        raise Failure(SYNTAX_ERROR)
    if options & _NX and options & _XX:
        raise Failure("ERR XX and NX options at the same time are not compatible")
    if bool(options & _NX) + bool(options & _GT) + bool(options & _LT) > 1:
        raise Failure("ERR GT, LT, and/or NX options at the same time are not compatible")
    if options & _INCR and words > 2:
        raise Failure("ERR INCR option supports a single increment-element pair")


@command("ZREM key member [member ...]", WRITE | FAST, since="1.2.0", keys="RW delete",
         complexity="O(log(N)) for each member",
         history=(("2.4.0", "Takes several members."),))  # fmt: skip
def zrem(call: Call) -> Reply:
    """Remove members from a sorted set."""
    key = call.argv[1]
    zset = call.db.typed(key, SortedSet, write=True)
    if zset is None:
        return 0
    removed = 0
    for member in call.argv[2:]:
        if zset.remove(member):
            removed += 1
    if removed:
        changed(call, key, zset, b"zrem", removed)
        call.db.drop_if_empty(key, zset)
    return removed


# ── asking ─────────────────────────────────────────────────────────────────────────────────────────────


@command("ZCARD key", READONLY | FAST, since="1.2.0", keys="RO")
def zcard(call: Call) -> Reply:
    """Count the members of a sorted set."""
    zset = call.db.typed(call.argv[1], SortedSet)
    return 0 if zset is None else len(zset)


@command("ZSCORE key member", READONLY | FAST, since="1.2.0", keys="RO access")
def zscore(call: Call) -> Reply:
    """Return the score of a member."""
    zset = call.db.typed(call.argv[1], SortedSet)
    return None if zset is None else zset.score(call.argv[2])


@command("ZMSCORE key member [member ...]", READONLY | FAST, since="6.2.0", keys="RO access",
         complexity="O(N) for N members asked about")  # fmt: skip
def zmscore(call: Call) -> Reply:
    """Return the scores of several members."""
    zset = call.db.typed(call.argv[1], SortedSet)
    if zset is None:
        return [None] * (len(call.argv) - 2)
    return [zset.score(member) for member in call.argv[2:]]


@command("ZRANK key member [WITHSCORE]", READONLY | FAST, since="2.0.0", keys="RO access", complexity="O(log(N))",
         history=(("7.2.0", "Has WITHSCORE."),))  # fmt: skip
def zrank(call: Call) -> Reply:
    """Tell how many members come before this one."""
    return _rank(call, is_reverse=False)


@command("ZREVRANK key member [WITHSCORE]", READONLY | FAST, since="2.0.0", keys="RO access", complexity="O(log(N))",
         history=(("7.2.0", "Has WITHSCORE."),))  # fmt: skip
def zrevrank(call: Call) -> Reply:
    """Tell how many members come after this one."""
    return _rank(call, is_reverse=True)


def _rank(call: Call, is_reverse: bool) -> Reply:
    argv = call.argv
    if len(argv) > 4:
        raise wrong_arity(call)
    with_score = len(argv) == 4
    if with_score and call.option(3) != b"WITHSCORE":
        raise Failure(SYNTAX_ERROR)
    zset = call.db.typed(argv[1], SortedSet)
    rank = None if zset is None else zset.rank(argv[2])
    if zset is None or rank is None:
        return NULL_ARRAY if with_score else None
    if is_reverse:
        rank = len(zset) - 1 - rank
    return [rank, zset.score(argv[2])] if with_score else rank


@command("ZSCAN key cursor:integer [MATCH pattern] [COUNT count:integer]", READONLY, since="2.8.0", keys="RO access",
         tips=("nondeterministic_output",), complexity="O(1) a call, O(N) for the whole walk")  # fmt: skip
def zscan(call: Call) -> Reply:
    """Walk through the members and scores of a sorted set, a page at a time."""
    cursor = parse_cursor(call.argv[2])
    zset = call.db.typed(call.argv[1], SortedSet)
    if zset is None:
        return [b"0", []]
    options = scan_options(call.argv, 3)
    # What Redis keeps in a listpack is printed already; the scores of a skip list it prints here, in another way.
    form = format_double if zset.is_small else format_double_17
    cursor, page = zset.scan(cursor, options.count)
    found: list[bytes] = []
    for score, member in page:
        if options.pattern is None or matches(options.pattern, member):
            found += (member, form(score))
    return [b"%d" % cursor, found]


@command("ZRANDMEMBER key options=[count:integer [WITHSCORES]]", READONLY, since="6.2.0", keys="RO access",
         tips=("nondeterministic_output",), complexity="O(N) for a count of N")  # fmt: skip
def zrandmember(call: Call) -> Reply:
    """Return members of a sorted set at random."""
    argv = call.argv
    if len(argv) == 2:
        zset = call.db.typed(argv[1], SortedSet)
        return None if zset is None else zset.random(call.random)[1]
    count = random_count(call, 2)
    if len(argv) > 4 or (len(argv) == 4 and call.option(3) != b"WITHSCORES"):
        raise Failure(SYNTAX_ERROR)
    with_scores = len(argv) == 4
    if with_scores and abs(count) > INT64_MAX // 2:
        raise Failure(OUT_OF_RANGE)
    zset = call.db.typed(argv[1], SortedSet)
    if zset is None or count == 0:
        return []
    return entries_reply(_random_entries(call, zset, count), with_scores)


def _random_entries(call: Call, zset: SortedSet, count: int) -> list[Entry]:
    random = call.random
    size = len(zset)
    if count < 0:
        return [zset.random(random) for _ in range(-count)]
    if count >= size:
        return zset.slice(0, size)[::-1] if count > 1 else zset.slice(0, size)
    if zset.is_small or count * 3 > size:
        entries = zset.slice(0, size)
        return [entries[rank] for rank in sorted(random.sample(range(size), count))]
    chosen: dict[Entry, None] = {}
    while len(chosen) < count:
        chosen[zset.random(random)] = None
    return list(chosen)


def entries_reply(entries: list[Entry], with_scores: bool) -> Reply:
    """Members, or members and scores: flat in RESP2, in pairs in RESP3."""
    if with_scores:
        return Pairs([(member, score) for score, member in entries])
    return [member for _, member in entries]


# ── taking from the ends ───────────────────────────────────────────────────────────────────────────────


def _zpopmin_row(row: Row) -> None:
    """Each the one least entry of the same large sorted set, of which some are left."""
    calls = row.calls
    key = calls[0][1]
    zset = row.db.peek(key)
    if len(calls[0]) != 2 or type(zset) is not SortedSet or zset.is_small:
        return
    count = 0
    for _, other in calls:
        if other != key:
            break
        count += 1
    if count < len(zset):
        row.db.find_for_write(key)
        row.replies += [[member, score] for score, member in zset.pop(count, from_greatest=False)]


@command("ZPOPMIN key [count:integer]", WRITE | FAST, since="5.0.0", keys="RW access delete",
         complexity="O(log(N)*M) for M members taken", row=_zpopmin_row)  # fmt: skip
def zpopmin(call: Call) -> Reply:
    """Take the members of the lowest scores."""
    return _zpop(call, from_greatest=False)


@command("ZPOPMAX key [count:integer]", WRITE | FAST, since="5.0.0", keys="RW access delete",
         complexity="O(log(N)*M) for M members taken")  # fmt: skip
def zpopmax(call: Call) -> Reply:
    """Take the members of the highest scores."""
    return _zpop(call, from_greatest=True)


def _zpop(call: Call, from_greatest: bool) -> Reply:
    argv = call.argv
    if len(argv) == 2:
        zset = call.db.find_for_write(argv[1])
        if type(zset) is SortedSet:
            score, member = _take_one(call, argv[1], zset, from_greatest)
            return [member, score]
        if zset is None:
            return []
        raise Failure(WRONG_TYPE)
    if len(argv) > 3:
        raise Failure(SYNTAX_ERROR)
    count = at_least(call, 2, 0, NOT_POSITIVE)
    zset = call.db.typed(argv[1], SortedSet, write=True)
    if zset is None or count == 0:
        return []
    return entries_reply(_take(call, argv[1], zset, count, from_greatest), with_scores=True)


def _take_one(call: Call, key: bytes, zset: SortedSet, from_greatest: bool) -> Entry:
    entry = zset.pop_one(from_greatest)
    changed(call, key, zset, b"zpopmax" if from_greatest else b"zpopmin")
    if not len(zset):
        call.db.drop_if_empty(key, zset)
    return entry


def _take(call: Call, key: bytes, zset: SortedSet, count: int, from_greatest: bool) -> list[Entry]:
    taken = zset.pop(count, from_greatest)
    changed(call, key, zset, b"zpopmax" if from_greatest else b"zpopmin", len(taken))
    call.db.drop_if_empty(key, zset)
    return taken


@command("BZPOPMIN key [key ...] timeout:double", WRITE | FAST | BLOCKING, since="5.0.0", keys="RW access delete",
         complexity="O(log(N))",
         history=(("6.0.0", "The timeout may have a fraction."),))  # fmt: skip
def bzpopmin(call: Call) -> Reply:
    """Take the member of the lowest score from one of several sorted sets, waiting for one if all are empty."""
    return _bzpop(call, from_greatest=False)


@command("BZPOPMAX key [key ...] timeout:double", WRITE | FAST | BLOCKING, since="5.0.0", keys="RW access delete",
         complexity="O(log(N))",
         history=(("6.0.0", "The timeout may have a fraction."),))  # fmt: skip
def bzpopmax(call: Call) -> Reply:
    """Take the member of the highest score from one of several sorted sets, waiting for one if all are empty."""
    return _bzpop(call, from_greatest=True)


def _bzpop(call: Call, from_greatest: bool) -> Reply:
    keys = call.argv[1:-1]
    timeout_ms = call.timeout_ms(len(call.argv) - 1)
    for key in keys:
        zset = call.db.typed(key, SortedSet, write=True)
        if zset is not None:
            score, member = _take_one(call, key, zset, from_greatest)
            call.replicate(b"ZPOPMAX" if from_greatest else b"ZPOPMIN", key)
            return [key, member, score]
    return call.block(keys, timeout_ms, SortedSet)


@command("ZMPOP numkeys:integer key [key ...] where=<MIN | MAX> [COUNT count:integer]", WRITE, since="7.0.0",
         keys="RW access delete", complexity="O(K) + O(M*log(N)) for K keys and M members taken")  # fmt: skip
def zmpop(call: Call) -> Reply:
    """Take the members of the lowest or highest scores from the first of several sorted sets that is not empty."""
    keys, end, count = first_of_several(call, 1, (b"MIN", b"MAX"))
    taken = _zmpop(call, keys, end == b"MAX", count)
    return NULL_ARRAY if taken is None else taken


@command("BZMPOP timeout:double numkeys:integer key [key ...] where=<MIN | MAX> [COUNT count:integer]",
         WRITE | BLOCKING, since="7.0.0", keys="RW access delete",
         complexity="O(K) + O(M*log(N)) for K keys and M members taken")  # fmt: skip
def bzmpop(call: Call) -> Reply:
    """Take members from the first of several sorted sets that is not empty, waiting for one if all are."""
    keys, end, count = first_of_several(call, 2, (b"MIN", b"MAX"))
    timeout_ms = call.timeout_ms(1)
    taken = _zmpop(call, keys, end == b"MAX", count)
    return call.block(keys, timeout_ms, SortedSet) if taken is None else taken


def _zmpop(call: Call, keys: list[bytes], from_greatest: bool, count: int) -> Reply:
    for key in keys:
        zset = call.db.typed(key, SortedSet, write=True)
        if zset is not None:
            taken = _take(call, key, zset, count, from_greatest)
            call.replicate(b"ZPOPMAX" if from_greatest else b"ZPOPMIN", key, b"%d" % len(taken))
            return [key, [[member, score] for score, member in taken]]
    return None
