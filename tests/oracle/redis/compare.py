"""When two replies to the same command are the same.

Equal bytes, except where Redis itself leaves the answer open (order, chance, time) and in `KNOWN`, the differences
between Redis 7.0.15 and the 7.4.1 we claim.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.oracle.redis.wire import Reply

# The order of the elements is nobody's promise. The number: how many replies make one element.
UNORDERED = {
    b"SMEMBERS": 1, b"SUNION": 1, b"SINTER": 1, b"SDIFF": 1, b"KEYS": 1, b"HKEYS": 1, b"HVALS": 1, b"HGETALL": 2,
}  # fmt: skip
SCANS = {b"SCAN": 1, b"SSCAN": 1, b"HSCAN": 2, b"ZSCAN": 2}
# A matter of chance: only the shape is compared.
RANDOM = {b"SPOP", b"SRANDMEMBER", b"HRANDFIELD", b"ZRANDMEMBER", b"RANDOMKEY"}
# A matter of time: (command, how far apart the two servers may be).
TIMES = {b"TTL": 2, b"PTTL": 2000, b"EXPIRETIME": 2, b"PEXPIRETIME": 2000}
FIELD_TIMES = {b"HTTL": 2, b"HPTTL": 2000, b"HEXPIRETIME": 2, b"HPEXPIRETIME": 2000}

SCRIPTS = (b"EVAL", b"EVAL_RO")

# (what differs between 7.0.15 and 7.4.1 and why, does this reply of 7.0 stand for this reply of ours?)
KNOWN: list[tuple[str, Callable[[list[bytes], Reply, Reply], bool]]] = []


def known(reason: str) -> Callable[[Callable[[list[bytes], Reply, Reply], bool]], Callable[..., bool]]:
    def add(test: Callable[[list[bytes], Reply, Reply], bool]) -> Callable[..., bool]:
        KNOWN.append((reason, test))
        return test

    return add


@known("7.2 prints the shortest digits that read back as the same double, 7.0 seventeen")
def _digits(argv: list[bytes], theirs: Reply, ours: Reply) -> bool:
    return _as_floats(theirs) == _as_floats(ours)


@known("7.2 says 'timeout is out of range' where 7.0 overflowed into 'timeout is negative'")
def _timeout(argv: list[bytes], theirs: Reply, ours: Reply) -> bool:
    return b"timeout is" in _text(theirs) and _text(ours) == b"ERR timeout is out of range"


@known("ZRANK and ZREVRANK have WITHSCORE since 7.2, HSCAN has NOVALUES since 7.4")
def _new_option(argv: list[bytes], theirs: Reply, ours: Reply) -> bool:
    name, words = argv[0].upper(), {word.upper() for word in argv}
    if name in (b"ZRANK", b"ZREVRANK"):
        return len(argv) > 3 and _text(theirs).startswith(b"ERR wrong number of arguments")
    return name == b"HSCAN" and b"NOVALUES" in words and _text(theirs) == b"ERR syntax error"


@known("7.4 refuses a negative cursor")
def _cursor(argv: list[bytes], theirs: Reply, ours: Reply) -> bool:
    return argv[0].upper() in SCANS and _text(ours) == b"ERR invalid cursor" and any(word[:1] == b"-" for word in argv)


@known("7.2 refuses a count that has no positive counterpart")
def _least_long(argv: list[bytes], theirs: Reply, ours: Reply) -> bool:
    return b"-9223372036854775808" in argv and _text(ours).startswith(b"ERR value is out of range, value must between")


@known("7.4 reads the words of BITCOUNT and BITPOS before it looks at the key")
def _range_of_bits(argv: list[bytes], theirs: Reply, ours: Reply) -> bool:
    return argv[0].upper() in (b"BITCOUNT", b"BITPOS") and ours.is_error


@known("7.4 gives XREAD the last entry for '+'")
def _last_entry(argv: list[bytes], theirs: Reply, ours: Reply) -> bool:
    return argv[0].upper() == b"XREAD" and b"+" in argv and _text(theirs).startswith(b"ERR Invalid stream ID")


@known("7.0 named XREAD in capitals where its streams and ids do not match")
def _unbalanced(argv: list[bytes], theirs: Reply, ours: Reply) -> bool:
    return _text(theirs).startswith(b"ERR Unbalanced") and _text(ours).startswith(b"ERR Unbalanced")


def _text(reply: Reply) -> bytes:
    return reply.value if isinstance(reply.value, bytes) else b""


def _as_floats(reply: Reply) -> Any:
    if isinstance(reply.value, list):
        return (reply.kind, [_as_floats(part) for part in reply.value])
    if reply.kind in ("$", ","):
        try:
            return (reply.kind, float(reply.value))
        except ValueError:
            pass
    return reply


def shape(reply: Reply) -> Any:
    if isinstance(reply.value, list):
        return (reply.kind, [shape(part) for part in reply.value])
    return reply.kind if reply.kind != "-" else reply


def normal(argv: list[bytes], reply: Reply) -> Any:
    """The reply without what is open: two servers that agree give equal ones."""
    name = argv[0].upper()
    if reply.is_error:
        return reply
    if name in (b"XPENDING", b"XINFO"):
        return _timeless(reply)
    if name in RANDOM:
        return shape(reply)
    if name in SCANS and isinstance(reply.value, list) and len(reply.value) == 2:
        width = 1 if any(word.upper() == b"NOVALUES" for word in argv) else SCANS[name]
        return (reply.kind, reply.value[0], _sorted(reply.value[1], width))
    if name in (b"SORT", b"SORT_RO") and isinstance(reply.value, list) and _is_unsorted(argv):
        return (reply.kind, _sorted(reply, 1))
    if name in UNORDERED and isinstance(reply.value, list):
        return (reply.kind, _sorted(reply, UNORDERED[name]))
    return reply


def _is_unsorted(argv: list[bytes]) -> bool:
    """SORT BY a word without '*' leaves what is there as it lies: a set in any order, and a set may have any name."""
    before = [word.upper() for word in argv[:-1]]
    return b"BY" in before and b"*" not in argv[before.index(b"BY") + 1]


# Behind these words of XINFO stands an instant, or how long ago it was.
_TIMES_OF_CONSUMERS = (b"seen-time", b"active-time", b"idle", b"inactive")
_INSTANT_FROM = 1_000_000_000_000


def _timeless(reply: Reply) -> Any:
    """XINFO and XPENDING without the instants in them, and without how long ago they were."""
    parts = reply.value
    if not isinstance(parts, list):
        return ":" if reply.kind == ":" and reply.value > _INSTANT_FROM else reply
    found = [_timeless(part) for part in parts]
    for at in range(1, len(parts)):
        if parts[at - 1].kind == "$" and parts[at - 1].value in _TIMES_OF_CONSUMERS:
            found[at] = ":"
    if [part.kind for part in parts] == ["$", "$", ":", ":"]:
        found[2] = ":"  # a pending entry: id, consumer, idle, deliveries
    return (reply.kind, found)


def _is_part_of_scan(theirs: Reply, ours: Reply) -> bool:
    """Whether one of the two has not come to the end yet: how much a step returns is open."""
    pages = [reply.value for reply in (theirs, ours)]
    if not all(isinstance(page, list) and len(page) == 2 and page[0].kind == "$" for page in pages):
        return False
    return any(page[0].value != b"0" for page in pages)


def _sorted(reply: Reply, width: int) -> Any:
    parts = reply.value
    return (reply.kind, sorted((parts[at : at + width] for at in range(0, len(parts), width)), key=str))


def same(argv: list[bytes], theirs: Reply, ours: Reply, is_old: bool) -> bool:
    """Whether ours may stand for theirs. `is_old`: the reference is 7.0 and the table of differences holds."""
    if theirs == ours:
        return True
    if argv[0] in SCRIPTS:
        argv = argv[3:]
    name = argv[0].upper()
    if name in TIMES and theirs.kind == ours.kind == ":" and theirs.value > 0:
        return abs(theirs.value - ours.value) <= TIMES[name]
    if name in FIELD_TIMES and isinstance(theirs.value, list) and isinstance(ours.value, list):
        pairs = zip(theirs.value, ours.value, strict=False)
        return len(theirs.value) == len(ours.value) and all(near(a, b, FIELD_TIMES[name]) for a, b in pairs)
    if normal(argv, theirs) == normal(argv, ours):
        return True
    if name in SCANS and _is_part_of_scan(theirs, ours):
        return True
    return is_old and any(test(argv, theirs, ours) for _, test in KNOWN)


def near(theirs: Reply, ours: Reply, bound: int) -> bool:
    """Whether two times are as good as equal; what is no time (below 0) has to be."""
    return theirs == ours or (min(theirs.value, ours.value) > 0 and abs(theirs.value - ours.value) <= bound)


def same_transaction(queued: list[list[bytes]], theirs: Reply, ours: Reply, is_old: bool) -> bool:
    """EXEC's array: each reply compared as its command's."""
    if theirs == ours:
        return True
    if not isinstance(theirs.value, list) or not isinstance(ours.value, list):
        return False
    if len(theirs.value) != len(ours.value) or len(theirs.value) != len(queued):
        return False
    return all(same(argv, a, b, is_old) for argv, a, b in zip(queued, theirs.value, ours.value, strict=True))
