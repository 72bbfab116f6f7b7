"""What SCAN, SSCAN, HSCAN and ZSCAN share: the cursor, the options and the pattern filter.

The order in which Redis finds fault: the cursor, then the key and its type, then the options from left to right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from miniredis.structures.glob import matches
from protocol.resp.numbers import parse_int
from protocol.resp.values import Failure

DEFAULT_COUNT: Final = 10
CURSOR_MASK: Final = (1 << 64) - 1
# What strtoull reads where the strict rule has failed: spaces before, a sign, zeros in front.
_LENIENT: Final = re.compile(rb"[ \t\n\v\f\r]*([+-]?)([0-9]+)")


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What follows the cursor of SCAN and its kin."""

    count: int = DEFAULT_COUNT
    pattern: bytes | None = None  # None also for "*", which filters nothing
    type_name: bytes | None = None
    no_values: bool = False


def parse_cursor(text: bytes) -> int:
    """A cursor of 64 bits without sign, as leniently as Redis reads it."""
    try:
        cursor = parse_int(text)
    except ValueError:
        found = _LENIENT.fullmatch(text.partition(b"\0")[0])
        if found is None or len(found[2].lstrip(b"0")) > 20 or int(found[2]) > CURSOR_MASK:
            raise Failure("ERR invalid cursor") from None
        return (-int(found[2]) if found[1] == b"-" else int(found[2])) & CURSOR_MASK
    if cursor < 0:
        raise Failure("ERR invalid cursor")
    return cursor


def scan_options(
    argv: list[bytes], first: int, *, allows_type: bool = False, allows_novalues: bool = False
) -> ScanOptions:
    """The options from argv[first] on. Failure as Redis words it."""
    count, pattern, type_name, no_values = DEFAULT_COUNT, None, None, False
    at = first
    while at < len(argv):
        word = argv[at].upper()
        has_value = at + 1 < len(argv)
        if word == b"COUNT" and has_value:
            try:
                count = parse_int(argv[at + 1])
            except ValueError:
                raise Failure("ERR value is not an integer or out of range") from None
            if count < 1:
                raise Failure("ERR syntax error")
            at += 2
        elif word == b"MATCH" and has_value:
            pattern = argv[at + 1] if argv[at + 1] != b"*" else None
            at += 2
        elif word == b"TYPE" and has_value and allows_type:
            type_name = argv[at + 1]
            at += 2
        elif word == b"NOVALUES":
            if not allows_novalues:
                raise Failure("ERR NOVALUES option can only be used in HSCAN")
            no_values = True
            at += 1
        else:
            raise Failure("ERR syntax error")
    return ScanOptions(count, pattern, type_name, no_values)


def choose(names: Iterable[bytes], pattern: bytes | None) -> list[bytes]:
    """The names that match, in their order."""
    return list(names) if pattern is None else [name for name in names if matches(pattern, name)]
