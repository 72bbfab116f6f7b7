"""Glob patterns as Redis matches them: KEYS, SCAN MATCH, PSUBSCRIBE, CONFIG GET, ACL.

    *  any run, also an empty one      ?  one byte      [ab] [a-z] [^a-z]  one byte of (not of) a class
    \\x  the byte x itself              anything else is itself; a pattern's last backslash is a backslash

Law: no pattern explodes. After a `*` the shortest run that lets the part up to the next star match is final: a longer
     one would only leave less for the rest. So a pattern becomes a regular expression of atomic groups (no
     backtracking into them), and one too long to compile is read once and walked by hand under a budget of steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_STAR, _QUESTION, _OPEN, _CLOSE, _BACKSLASH, _CARET, _DASH = b"*?[]\\^-"
_SPECIAL = frozenset(b"*?[\\")
_EVERY: Final = bytes(range(256))

# Compiling costs about a microsecond a byte: a longer pattern is an attack or a mistake, and walked instead.
COMPILED_MAX_BYTES: Final = 512
# Redis goes no deeper than this into stars that something follows: a pattern with more of them matches nothing.
MAX_STARS: Final = 1000
# A walk of so many steps takes some 30 ms; what has not matched by then does not.
MAX_STEPS: Final = 200_000

Matcher = Callable[[bytes], bool]


def matches(pattern: bytes, text: bytes, *, ignore_case: bool = False) -> bool:
    """Whether the whole text fits the pattern. For many texts, make a `matcher` once."""
    return matcher(pattern, ignore_case=ignore_case)(text)


def matcher(pattern: bytes, *, ignore_case: bool = False) -> Matcher:
    """A function that says of a text whether it fits."""
    if pattern == b"*":
        return lambda text: True
    if not ignore_case:
        if not _SPECIAL.intersection(pattern):
            return pattern.__eq__
        prefix = pattern[:-1]
        if pattern[-1] == _STAR and prefix and not _SPECIAL.intersection(prefix):
            return lambda text: text.startswith(prefix)
    if len(pattern) <= COMPILED_MAX_BYTES:
        expression = re.compile(_expression(pattern), re.DOTALL | (re.IGNORECASE if ignore_case else 0)).fullmatch
        # An empty text fits no pattern but the empty one, not even one of stars: Redis' loop never starts on it.
        return lambda text: expression(text) is not None and (bool(text) or not pattern)
    elements = _elements(pattern.lower() if ignore_case else pattern)
    if elements[:-1].count(None) > MAX_STARS:
        return lambda text: False
    if ignore_case:
        return lambda text: _walk(elements, text.lower())
    return lambda text: _walk(elements, text)


def _expression(pattern: bytes) -> bytes:
    """The pattern as a regular expression for `fullmatch`."""
    segments: list[bytes] = [b""]
    place = 0
    while place < len(pattern):
        byte = pattern[place]
        if byte == _STAR:
            place += 1
            segments.append(b"")
            continue
        if byte == _QUESTION:
            piece = b"."
            place += 1
        elif byte == _OPEN:
            piece, place = _class_expression(pattern, place + 1)
        else:
            if byte == _BACKSLASH and place + 1 < len(pattern):
                place += 1
            piece = re.escape(pattern[place : place + 1])
            place += 1
        segments[-1] += piece
    if len(segments) == 1:
        return segments[0]
    middle = b"".join(b"(?>.*?%b)" % segment for segment in segments[1:-1] if segment)
    return b"%b%b.*%b" % (segments[0], middle, segments[-1])


def _class_expression(pattern: bytes, place: int) -> tuple[bytes, int]:
    negated = pattern[place : place + 1] == b"^"
    members, place = _members(pattern, place + negated)
    if not members:
        return (b"." if negated else b"(?!)"), place
    listed = b"".join(b"\\x%02x" % byte for byte in sorted(members))
    return (b"[^%b]" if negated else b"[%b]") % listed, place


def _members(pattern: bytes, place: int) -> tuple[set[int], int]:
    """The bytes of a bracket class, and where it ends; one that is never closed reaches to the pattern's end."""
    size = len(pattern)
    found: set[int] = set()
    while place < size:
        element = pattern[place]
        if element == _BACKSLASH and place + 1 < size:
            place += 1
            found.add(pattern[place])
        elif element == _CLOSE:
            return found, place + 1
        elif place + 2 < size and pattern[place + 1] == _DASH:
            low, high = sorted((element, pattern[place + 2]))
            found.update(range(low, high + 1))
            place += 2
        else:
            found.add(element)
        place += 1
    return found, place


def walk(pattern: bytes, text: bytes) -> bool:
    """The same answer byte by byte, for patterns too long to compile."""
    return _walk(_elements(pattern), text)


def _elements(pattern: bytes) -> list[bytes | None]:
    """What each element of the pattern lets through: None for a star, else the bytes that fit one place."""
    elements: list[bytes | None] = []
    seen: dict[bytes, bytes] = {}
    place = 0
    while place < len(pattern):
        byte = pattern[place]
        place += 1
        if byte == _STAR:
            if elements[-1:] != [None]:
                elements.append(None)
        elif byte == _QUESTION:
            elements.append(_EVERY)
        elif byte == _OPEN:
            negated = pattern[place : place + 1] == b"^"
            members, place = _members(pattern, place + negated)
            fitting = bytes(members)
            if negated:
                fitting = _EVERY.translate(None, fitting)
            elements.append(seen.setdefault(fitting, fitting))  # many alike cost no more than one
        else:
            if byte == _BACKSLASH and place < len(pattern):
                byte = pattern[place]
                place += 1
            elements.append(_EVERY[byte : byte + 1])
    return elements


def _walk(elements: list[bytes | None], text: bytes) -> bool:
    if not text:
        return not elements
    at = place = 0
    star = -1  # the place after the latest star
    tried = 0  # where in the text the run of that star ends at present
    size = len(elements)
    steps = 0
    while at < len(text):
        steps += 1
        if steps > MAX_STEPS:
            return False
        fitting = elements[place] if place < size else b""
        if fitting is None:
            place += 1
            star = place
            tried = at
        elif text[at] in fitting:
            at += 1
            place += 1
        elif star < 0:
            return False
        else:
            tried += 1
            at = tried
            place = star
    return place == size or (place == size - 1 and elements[place] is None)
