"""What several families say and read alike, each once: error texts, tips, and how common arguments are read.

A text that only one command gives stands there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from miniredis.engine.call import SYNTAX_ERROR
from protocol.resp.numbers import INT64_MAX
from protocol.resp.values import Failure

if TYPE_CHECKING:
    from miniredis.engine.call import Call

NOT_POSITIVE: Final = "ERR value is out of range, must be positive"
OUT_OF_RANGE: Final = "ERR value is out of range"
BEYOND_LONG_MAX: Final = f"ERR value is out of range, value must between -{INT64_MAX} and {INT64_MAX}"
NO_SUCH_DB: Final = "ERR DB index is out of range"
NO_KEYS: Final = "ERR numkeys should be greater than 0"
TOO_MANY_KEYS: Final = "ERR Number of keys can't be greater than number of args"
NO_ELEMENTS: Final = "ERR count should be greater than 0"
NEGATIVE_LIMIT: Final = "ERR LIMIT can't be negative"
OVERFLOW: Final = "ERR increment or decrement would overflow"
NO_NUMBER: Final = "ERR increment would produce NaN or Infinity"

# For a client of several servers: whom it asks, and what it makes of the answers.
ALL_NODES: Final = ("request_policy:all_nodes", "response_policy:all_succeeded")
ALL_SHARDS: Final = ("request_policy:all_shards", "response_policy:all_succeeded")
SUM_OF_SHARDS: Final = ("request_policy:multi_shard", "response_policy:agg_sum")

# Milliseconds in the unit of an expiry option, and whether it counts from now.
EXPIRY_UNITS: Final = {b"EX": (1000, True), b"PX": (1, True), b"EXAT": (1000, False), b"PXAT": (1, False)}

# Repetitions that a random draw with a negative count may ask for: the reply is built in memory, and Redis, which has
# no such bound, would only fill its own until the system ends it.
RANDOM_REPETITIONS: Final = 10_000_000


def wrong_arity(call: Call) -> Failure:
    """Too few or too many words, where the syntax line leaves it to the command to find out."""
    return Failure(b"ERR wrong number of arguments for '%b' command" % call.argv[0].lower())


def wrong_subcommand(call: Call) -> Failure:
    """Older containers say this of a subcommand with a wrong number of words, too."""
    name, sub = call.argv[0].upper(), call.argv[1]
    return Failure(b"ERR unknown subcommand or wrong number of arguments for '%b'. Try %b HELP." % (sub, name))


def invalid_expiry(call: Call) -> Failure:
    """A time that is not positive, or beyond 64 bits of milliseconds."""
    return Failure(b"ERR invalid expire time in '%b' command" % call.argv[0].lower())


def at_least(call: Call, at: int, least: int, error: str) -> int:
    """The integer in argv[at]. Failure with this error: it is none, or below `least`."""
    number = call.integer(at, error)
    if number < least:
        raise Failure(error)
    return number


def instant_ms(call: Call, unit: bytes, at: int) -> int:
    """The amount in argv[at] of one of EXPIRY_UNITS, as milliseconds since the epoch."""
    scale, is_relative = EXPIRY_UNITS[unit]
    amount = call.integer(at)
    instant = amount * scale + (call.now if is_relative else 0)
    if amount <= 0 or instant > INT64_MAX:
        raise invalid_expiry(call)
    return instant


def timeout_ms(call: Call, at: int) -> int:
    """A timeout in whole milliseconds in argv[at], 0 for ever."""
    timeout = call.integer(at, "ERR timeout is not an integer or out of range")
    if timeout < 0:
        raise Failure("ERR timeout is negative")
    if timeout > INT64_MAX - call.now:
        raise Failure("ERR timeout is out of range")
    return timeout


def random_count(call: Call, at: int) -> int:
    """A count of random members: positive for different ones, negative where they may repeat."""
    count = call.integer(at)
    if count < -INT64_MAX:
        raise Failure(BEYOND_LONG_MAX)
    if count < -RANDOM_REPETITIONS:
        raise Failure(OUT_OF_RANGE)
    return count


def clipped(start: int, stop: int, length: int) -> tuple[int, int]:
    """Two places, both included and from the end when negative, as a half-open range within a length."""
    if start < 0:
        start = max(start + length, 0)
    if stop < 0:
        stop += length
    stop = min(stop, length - 1) + 1
    return (start, stop) if start < stop else (0, 0)


def first_of_several(call: Call, at: int, ends: tuple[bytes, bytes]) -> tuple[list[bytes], bytes, int]:
    """Keys, end and count of LMPOP, ZMPOP and their blocking forms, whose number of keys stands in argv[at]."""
    argv = call.argv
    where = at + 1 + at_least(call, at, 1, NO_KEYS)
    if where >= len(argv) or call.option(where) not in ends:
        raise Failure(SYNTAX_ERROR)
    count = 1
    if len(argv) > where + 1:
        if len(argv) == where + 2 or call.option(where + 1) != b"COUNT":
            raise Failure(SYNTAX_ERROR)
        count = at_least(call, where + 2, 1, NO_ELEMENTS)
        if len(argv) > where + 3:
            raise Failure(SYNTAX_ERROR)
    return argv[at + 1 : where], call.option(where), count
