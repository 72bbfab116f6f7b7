"""Keyspace events: their classes, and the letters of `notify-keyspace-events`.

A change is remembered as a fact (class, event, db index, key) in the order it happened; the engine publishes the facts
after the command, first `__keyspace@<db>__:<key>` <- event, then `__keyevent@<db>__:<event>` <- key.
"""

from __future__ import annotations

from typing import Final

KEYSPACE: Final = 1 << 0
KEYEVENT: Final = 1 << 1
GENERIC: Final = 1 << 2
STRING: Final = 1 << 3
LIST: Final = 1 << 4
SET: Final = 1 << 5
HASH: Final = 1 << 6
ZSET: Final = 1 << 7
EXPIRED: Final = 1 << 8
EVICTED: Final = 1 << 9
STREAM: Final = 1 << 10
KEY_MISS: Final = 1 << 11
MODULE: Final = 1 << 13
NEW: Final = 1 << 14
ALL: Final = GENERIC | STRING | LIST | SET | HASH | ZSET | EXPIRED | EVICTED | STREAM | MODULE  # "A": neither m nor n

_LETTERS: Final = {
    "A": ALL, "g": GENERIC, "$": STRING, "l": LIST, "s": SET, "h": HASH, "z": ZSET, "x": EXPIRED, "e": EVICTED,
    "t": STREAM, "d": MODULE, "n": NEW, "K": KEYSPACE, "E": KEYEVENT, "m": KEY_MISS,
}  # fmt: skip


def parse_classes(letters: str) -> int:
    """The mask of a `notify-keyspace-events` value. ValueError for a letter that means nothing."""
    mask = 0
    for letter in letters:
        if letter not in _LETTERS:
            raise ValueError(letter)
        mask |= _LETTERS[letter]
    return mask


def format_classes(mask: int) -> str:
    """The value as CONFIG GET shows it: "KEA" comes back as "AKE", and beside "A" the "n" is not shown."""
    shown = ""
    if mask & ALL == ALL:
        shown = "A"
        mask &= ~(ALL | NEW)
    return shown + "".join(letter for letter, bit in _LETTERS.items() if letter != "A" and mask & bit)
