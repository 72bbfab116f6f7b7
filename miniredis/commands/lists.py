"""Lists: pushes and pops at both ends, places in the middle, and clients that wait for an element.

A blocking command is its plain sibling that may wait: it first tries, and only then blocks; the engine runs it again
from the start when one of its keys holds a list. So which key it is served from is decided anew each time, in the
order of its arguments. What it did is told to replicas and the AOF as the plain command (BLPOP → LPOP).

Law: an empty list is never left behind: whoever takes elements away drops the key with the last one.
"""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import (
    BEYOND_LONG_MAX,
    NOT_POSITIVE,
    at_least,
    clipped,
    first_of_several,
    wrong_arity,
)
from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import BLOCKING, DENYOOM, FAST, READONLY, WRITE, command
from miniredis.keyspace.db import WRONG_TYPE
from miniredis.keyspace.notify import LIST
from miniredis.structures.chunks import List
from protocol.resp.numbers import INT64_MAX
from protocol.resp.values import NULL_ARRAY, OK, Alike, Failure, Reply

ZERO_RANK: Final = (
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
    "or use negative to start from the end of the list"
)

HEAD: Final = b"LEFT"
TAIL: Final = b"RIGHT"

_SEVERAL: Final = (("4.0.0", "Takes several elements."),)
_FRACTIONS: Final = (("6.0.0", "The time may have a fraction."),)


def new_list(call: Call) -> List:
    """An empty list, by the settings of the moment."""
    return List(call.state.settings.list_compress_depth, call.state.list_plain_from)


# Pushing


@command(
    "LPUSH key element [element ...]",
    WRITE | DENYOOM | FAST,
    keys="RW insert",
    complexity="O(N), N new elements",
    history=(("2.4.0", "Takes several elements."),),
)
def lpush(call: Call) -> Reply:
    """Put elements before the first one; the list is made if there is none."""
    argv = call.argv
    db = call.db
    key = argv[1]
    values = db.find_for_write(key)
    if type(values) is not List:
        if values is not None:
            raise Failure(WRONG_TYPE)
        values = new_list(call)
        db.put(key, values)
    length = values.push_head(argv[2:], call.state.settings.list_max_listpack_size)
    db.changed(key, values, b"lpush", LIST, len(argv) - 2)
    return length


@command(
    "RPUSH key element [element ...]",
    WRITE | DENYOOM | FAST,
    keys="RW insert",
    complexity="O(N), N new elements",
    history=(("2.4.0", "Takes several elements."),),
)
def rpush(call: Call) -> Reply:
    """Put elements after the last one; the list is made if there is none."""
    argv = call.argv
    db = call.db
    key = argv[1]
    values = db.find_for_write(key)
    if type(values) is not List:
        if values is not None:
            raise Failure(WRONG_TYPE)
        values = new_list(call)
        db.put(key, values)
    length = values.push_tail(argv[2:], call.state.settings.list_max_listpack_size)
    db.changed(key, values, b"rpush", LIST, len(argv) - 2)
    return length


@command(
    "LPUSHX key element [element ...]", WRITE | DENYOOM | FAST, since="2.2.0", keys="RW insert",
    complexity="O(N), N new elements",
    history=_SEVERAL,
)  # fmt: skip
def lpushx(call: Call) -> Reply:
    """Put elements before the first one of a list that exists."""
    return lpush(call) if call.db.typed(call.argv[1], List, True) is not None else 0


@command(
    "RPUSHX key element [element ...]", WRITE | DENYOOM | FAST, since="2.2.0", keys="RW insert",
    complexity="O(N), N new elements",
    history=_SEVERAL,
)  # fmt: skip
def rpushx(call: Call) -> Reply:
    """Put elements after the last one of a list that exists."""
    return rpush(call) if call.db.typed(call.argv[1], List, True) is not None else 0


@command(
    "LINSERT key where=<BEFORE | AFTER> pivot element", WRITE | DENYOOM, since="2.2.0", keys="RW insert",
    complexity="O(N), N elements up to the pivot",
)  # fmt: skip
def linsert(call: Call) -> Reply:
    """Put an element beside the first one that equals the pivot."""
    _, key, where, pivot, element = call.argv
    where = where.upper()
    if where not in (b"BEFORE", b"AFTER"):
        raise Failure(SYNTAX_ERROR)
    values = call.db.typed(key, List, True)
    if values is None:
        return 0
    if not values.insert(pivot, element, where == b"AFTER", call.settings.list_max_listpack_size):
        return -1
    call.db.changed(key, values, b"linsert", LIST)
    return len(values)


# Popping


@command(
    "LPOP key [count:integer @6.2.0]", WRITE | FAST, keys="RW access delete", complexity="O(N), N elements taken",
    history=(("6.2.0", "Takes a count."),),
)  # fmt: skip
def lpop(call: Call) -> Reply:
    """Take elements away from the front: one, or up to a count."""
    return pop_one_or_many(call, HEAD)


@command(
    "RPOP key [count:integer @6.2.0]", WRITE | FAST, keys="RW access delete", complexity="O(N), N elements taken",
    history=(("6.2.0", "Takes a count."),),
)  # fmt: skip
def rpop(call: Call) -> Reply:
    """Take elements away from the back: one, or up to a count."""
    return pop_one_or_many(call, TAIL)


@command(
    "LMPOP numkeys:integer key [key ...] where=<LEFT | RIGHT> [COUNT count:integer]", WRITE, since="7.0.0",
    keys="RW access delete", complexity="O(N+M), N keys, M elements taken",
)  # fmt: skip
def lmpop(call: Call) -> Reply:
    """Take elements away from the first of several lists that is there."""
    keys, end, count = first_of_several(call, 1, (HEAD, TAIL))
    popped = pop_from_first(call, keys, end, count)
    return NULL_ARRAY if popped is None else popped


# Moving from list to list


@command(
    "LMOVE source:key destination:key wherefrom=<LEFT | RIGHT> whereto=<LEFT | RIGHT>", WRITE | DENYOOM,
    since="6.2.0", keys="RW access delete | RW insert",
)  # fmt: skip
def lmove(call: Call) -> Reply:
    """Take an element away from one end of a list and put it at an end of another."""
    return move(call, list_end(call, 3), list_end(call, 4))


@command(
    "RPOPLPUSH source:key destination:key", WRITE | DENYOOM, since="1.2.0", keys="RW access delete | RW insert",
    deprecated=("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments"),
)  # fmt: skip
def rpoplpush(call: Call) -> Reply:
    """Take the last element of a list away and put it first in another."""
    return move(call, TAIL, HEAD)


# Blocking


@command(
    "BLPOP key [key ...] timeout:double", WRITE | BLOCKING, since="2.0.0", keys="RW access delete",
    complexity="O(N), N keys",
    history=_FRACTIONS,
)  # fmt: skip
def blpop(call: Call) -> Reply:
    """Take the first element of the first list that is there, waiting for one if need be."""
    return pop_one_blocking(call, HEAD)


@command(
    "BRPOP key [key ...] timeout:double", WRITE | BLOCKING, since="2.0.0", keys="RW access delete",
    complexity="O(N), N keys",
    history=_FRACTIONS,
)  # fmt: skip
def brpop(call: Call) -> Reply:
    """Take the last element of the first list that is there, waiting for one if need be."""
    return pop_one_blocking(call, TAIL)


@command(
    "BLMPOP timeout:double numkeys:integer key [key ...] where=<LEFT | RIGHT> [COUNT count:integer]", WRITE | BLOCKING,
    since="7.0.0", keys="RW access delete", complexity="O(N+M), N keys, M elements taken",
)  # fmt: skip
def blmpop(call: Call) -> Reply:
    """Take elements away from the first of several lists that is there, waiting for one if need be."""
    keys, end, count = first_of_several(call, 2, (HEAD, TAIL))
    timeout_ms = call.timeout_ms(1)
    popped = pop_from_first(call, keys, end, count)
    return call.block(keys, timeout_ms, List) if popped is None else popped


@command(
    "BLMOVE source:key destination:key wherefrom=<LEFT | RIGHT> whereto=<LEFT | RIGHT> timeout:double",
    WRITE | DENYOOM | BLOCKING, since="6.2.0", keys="RW access delete | RW insert",
)  # fmt: skip
def blmove(call: Call) -> Reply:
    """Take an element away from a list and put it into another, waiting for one if need be."""
    source, target = list_end(call, 3), list_end(call, 4)
    return move_blocking(call, source, target, 5, b"LMOVE")


@command(
    "BRPOPLPUSH source:key destination:key timeout:double", WRITE | DENYOOM | BLOCKING, since="2.2.0",
    keys="RW access delete | RW insert",
    deprecated=("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments"),
    history=_FRACTIONS,
)  # fmt: skip
def brpoplpush(call: Call) -> Reply:
    """Take the last element of a list away and put it first in another, waiting for one if need be."""
    return move_blocking(call, TAIL, HEAD, 3, b"RPOPLPUSH")


# Places


@command("LLEN key", READONLY | FAST, keys="RO")
def llen(call: Call) -> Reply:
    """Count the elements."""
    values = call.db.typed(call.argv[1], List)
    return 0 if values is None else len(values)


@command("LINDEX key index:integer", READONLY, keys="RO access", complexity="O(N), N elements to the index")
def lindex(call: Call) -> Reply:
    """Read the element at a place, counted from the front, or with a negative index from the back."""
    values = call.db.typed(call.argv[1], List)
    if values is None:
        return None
    index = call.integer(2)
    return values.get(index + len(values) if index < 0 else index)


@command("LRANGE key start:integer stop:integer", READONLY, keys="RO access", complexity="O(S+N), start and length")
def lrange(call: Call) -> Reply:
    """Read the elements between two places, both included."""
    start, stop = call.integer(2), call.integer(3)
    values = call.db.typed(call.argv[1], List)
    if values is None:
        return []
    found = values.slice(*clipped(start, stop, len(values)))
    return Alike(found) if found and values.width >= 0 else found


@command(
    "LSET key index:integer element", WRITE | DENYOOM, keys="RW update", complexity="O(N), N elements to the index",
)  # fmt: skip
def lset(call: Call) -> Reply:
    """Replace the element at a place."""
    key = call.argv[1]
    values = call.db.typed(key, List, True)
    if values is None:
        raise Failure("ERR no such key")
    index = call.integer(2)
    place = index + len(values) if index < 0 else index
    if not values.set(place, call.argv[3], call.settings.list_max_listpack_size):
        raise Failure("ERR index out of range")
    call.db.changed(key, values, b"lset", LIST)
    return OK


@command("LTRIM key start:integer stop:integer", WRITE, keys="RW delete", complexity="O(N), N elements deleted")
def ltrim(call: Call) -> Reply:
    """Keep only the elements between two places, both included."""
    key = call.argv[1]
    start, stop = call.integer(2), call.integer(3)
    values = call.db.typed(key, List, True)
    if values is None:
        return OK
    start, stop = clipped(start, stop, len(values))
    trimmed = values.trim(start, stop, call.settings.list_max_listpack_size)
    # Touched and told even when nothing was cut off; only propagation asks how many went.
    call.db.changed(key, values, b"ltrim", LIST, trimmed)
    call.db.drop_if_empty(key, values)
    return OK


@command("LREM key count:integer element", WRITE, keys="RW delete", complexity="O(N), N elements")
def lrem(call: Call) -> Reply:
    """Delete elements that equal the one given: all, or some from the front or the back."""
    key = call.argv[1]
    count = long_integer(call, 2)
    values = call.db.typed(key, List, True)
    if values is None:
        return 0
    removed = values.remove(call.argv[3], count, call.settings.list_max_listpack_size)
    if removed:
        call.db.changed(key, values, b"lrem", LIST, removed)
        call.db.drop_if_empty(key, values)
    return removed


@command(
    "LPOS key element [RANK rank:integer] [COUNT num-matches:integer] [MAXLEN len:integer]", READONLY, since="6.0.6",
    keys="RO access", complexity="O(N), N elements compared",
)  # fmt: skip
def lpos(call: Call) -> Reply:
    """Find the places of the elements that equal the one given."""
    rank, count, max_length = position_options(call)
    values = call.db.typed(call.argv[1], List)
    if values is None:
        return None if count is None else []
    found = values.positions(call.argv[2], rank, 1 if count is None else count, max_length)
    if count is None:
        return found[0] if found else None
    return found


# What they share


def list_end(call: Call, at: int) -> bytes:
    """LEFT or RIGHT in argv[at]. Failure: it is neither."""
    word = call.argv[at].upper()
    if word not in (HEAD, TAIL):
        raise Failure(SYNTAX_ERROR)
    return word


def long_integer(call: Call, at: int) -> int:
    """A number whose negation is a number too."""
    number = call.integer(at)
    if number < -INT64_MAX:
        raise Failure(BEYOND_LONG_MAX)
    return number


def position_options(call: Call) -> tuple[int, int | None, int]:
    """RANK, COUNT (None: one place is wanted, not an array) and MAXLEN of LPOS."""
    rank, count, max_length = 1, None, 0
    last = len(call.argv) - 1
    at = 3
    while at <= last:
        word = call.option(at)
        if at == last:
            raise Failure(SYNTAX_ERROR)
        if word == b"RANK":
            rank = long_integer(call, at + 1)
            if rank == 0:
                raise Failure(ZERO_RANK)
        elif word == b"COUNT":
            count = at_least(call, at + 1, 0, "ERR COUNT can't be negative")
        elif word == b"MAXLEN":
            max_length = at_least(call, at + 1, 0, "ERR MAXLEN can't be negative")
        else:
            raise Failure(SYNTAX_ERROR)
        at += 2
    return rank, count, max_length


def pop_one_or_many(call: Call, end: bytes) -> Reply:
    """LPOP and RPOP: an element, or with a count an array."""
    argv = call.argv
    db = call.db
    key = argv[1]
    if len(argv) == 2:
        values = db.typed(key, List, True)
        return None if values is None else pop_one(call, key, values, end)
    if len(argv) > 3:
        raise wrong_arity(call)
    count = at_least(call, 2, 0, NOT_POSITIVE)
    values = db.typed(key, List, True)
    if values is None:
        return NULL_ARRAY
    return pop_many(call, key, values, end, count) if count else []


def pop_one(call: Call, key: bytes, values: List, end: bytes) -> bytes:
    """Take the element at an end; the key goes with the last one."""
    limit = call.state.settings.list_max_listpack_size
    if end is HEAD:
        element = values.pop_head(limit)
        call.db.changed(key, values, b"lpop", LIST)
    else:
        element = values.pop_tail(limit)
        call.db.changed(key, values, b"rpop", LIST)
    if not len(values):
        call.db.drop_if_empty(key, values)
    return element


def pop_many(call: Call, key: bytes, values: List, end: bytes, count: int) -> list[bytes]:
    """Take up to `count` elements from an end, outermost first; the key goes with the last one."""
    limit = call.state.settings.list_max_listpack_size
    at_head = end == HEAD
    taken = values.take_head(count, limit) if at_head else values.take_tail(count, limit)
    call.db.changed(key, values, b"lpop" if at_head else b"rpop", LIST, len(taken))
    call.db.drop_if_empty(key, values)
    return taken


def pop_from_first(call: Call, keys: list[bytes], end: bytes, count: int) -> Reply:
    """[key, elements] from the first of these keys that holds a list; None when none does."""
    for key in keys:
        values = call.db.typed(key, List, True)
        if values is not None:
            taken = pop_many(call, key, values, end, count)
            call.replicate(b"LPOP" if end == HEAD else b"RPOP", key, b"%d" % len(taken))
            return [key, taken]
    return None


def pop_one_blocking(call: Call, end: bytes) -> Reply:
    """BLPOP and BRPOP: [key, element] as soon as one of the keys holds a list."""
    keys = call.argv[1:-1]
    timeout_ms = call.timeout_ms(len(call.argv) - 1)
    for key in keys:
        values = call.db.typed(key, List, True)
        if values is not None:
            element = pop_one(call, key, values, end)
            call.replicate(b"LPOP" if end is HEAD else b"RPOP", key)
            return [key, element]
    return call.block(keys, timeout_ms, List)


def move(call: Call, source_end: bytes, target_end: bytes) -> Reply:
    """Take one element from an end of the list at argv[1] to an end of the one at argv[2]; None without the first."""
    db = call.db
    source_key, target_key = call.argv[1:3]
    source = db.typed(source_key, List, True)
    if source is None:
        return None
    target = db.typed(target_key, List, True)
    limit = call.settings.list_max_listpack_size
    # A list that only turns round is not smaller in between: it may convert when the element has arrived.
    element = source.pop_head(None) if source_end == HEAD else source.pop_tail(None)
    if target is None:
        target = new_list(call)
        db.put(target_key, target)
    if target_end == HEAD:
        target.push_head((element,), limit)
    else:
        target.push_tail((element,), limit)
    source.shrink(limit)
    db.changed(target_key, target, b"lpush" if target_end == HEAD else b"rpush", LIST, 0)
    db.changed(source_key, source, b"lpop" if source_end == HEAD else b"rpop", LIST)
    db.drop_if_empty(source_key, source)
    return element


def move_blocking(call: Call, source_end: bytes, target_end: bytes, timeout_at: int, plain_name: bytes) -> Reply:
    """`move`, or wait for a list at argv[1]; told to others as the plain command, without the timeout."""
    timeout_ms = call.timeout_ms(timeout_at)
    if call.db.typed(call.argv[1], List, True) is None:
        return call.block(call.argv[1:2], timeout_ms, List, otherwise=None)
    element = move(call, source_end, target_end)
    call.replicate(plain_name, *call.argv[1:timeout_at])
    return element
