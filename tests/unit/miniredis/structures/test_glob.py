"""Glob patterns, compiled and walked, against a literal reading of Redis' rules."""

from __future__ import annotations

import time
from random import Random

import pytest

from miniredis.structures.glob import COMPILED_MAX_BYTES, matcher, matches, walk


def reference(pattern: bytes, text: bytes) -> bool:
    """The rules by plain backtracking: slow, but easy to believe."""
    if not pattern:
        return not text
    if not text:
        return False
    if pattern[:1] == b"*":
        rest = pattern.lstrip(b"*")
        return not rest or any(reference(rest, text[at:]) for at in range(len(text)))
    if pattern[:1] == b"?":
        return tail(pattern[1:], text[1:])
    if pattern[:1] == b"[":
        fits, rest = one_of(pattern[1:], text[0])
        return fits and tail(rest, text[1:])
    if pattern[:1] == b"\\" and len(pattern) > 1:
        pattern = pattern[1:]
    return pattern[0] == text[0] and tail(pattern[1:], text[1:])


def tail(pattern: bytes, text: bytes) -> bool:
    return not pattern.strip(b"*") if not text else reference(pattern, text)


def one_of(rest: bytes, byte: int) -> tuple[bool, bytes]:
    negated = rest[:1] == b"^"
    rest = rest[1:] if negated else rest
    found = False
    while rest:
        if rest[:1] == b"\\" and len(rest) > 1:
            found |= rest[1] == byte
            rest = rest[2:]
        elif rest[:1] == b"]":
            rest = rest[1:]
            break
        elif len(rest) > 2 and rest[1:2] == b"-":
            found |= min(rest[0], rest[2]) <= byte <= max(rest[0], rest[2])
            rest = rest[3:]
        else:
            found |= rest[0] == byte
            rest = rest[1:]
    return found != negated, rest


def test_a_long_pattern_is_read_once() -> None:
    """A few kilobytes of brackets would hold the server for half a second a key."""
    fits = matcher(b"*[a-" * 900)
    started = time.process_time()
    assert all(fits(b"a" * 200 + b"%d" % number) for number in range(100))
    assert not any(fits(b"%d" % number + b"~" * 200) for number in range(100))
    assert matcher(b"[^" * 100_000)(b"x") == matches(b"[^" * 10, b"x")
    assert time.process_time() - started < 5


def test_stars_beyond_the_depth_of_redis() -> None:
    """KEYS with a pattern of thousands of stars would find what Redis does not."""
    assert matches(b"*a" * 1000 + b"*", b"a" * 1000)
    assert not matches(b"*a" * 1001, b"a" * 1001)
    assert not matches(b"*?" * 50_000, b"a" * 50_000)


def test_both_ways_agree_with_the_rules() -> None:
    """KEYS, SCAN MATCH or PSUBSCRIBE would choose other names than Redis."""
    random = Random(5)
    hits = 0
    for _ in range(40_000):
        pattern = bytes(random.choice(b"aab**?[]^-\\c") for _ in range(random.randrange(9)))
        text = bytes(random.choice(b"aabc-]") for _ in range(random.randrange(7)))
        expected = reference(pattern, text)
        hits += expected
        assert walk(pattern, text) == expected, (pattern, text)
        if pattern != b"*":  # which matches everything at its callers, even an empty key
            assert matches(pattern, text) == expected, (pattern, text)
    assert hits > 2000


def test_case_can_be_ignored() -> None:
    """CONFIG GET MAXMEM* would find nothing."""
    assert matches(b"MaxMem*", b"maxmemory-policy", ignore_case=True)
    assert matches(b"[A-C]x", b"bX", ignore_case=True)
    assert not matches(b"MaxMem*", b"maxmemory")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (b"a*" * 200 + b"b", b"a" * 100_000),
        (b"*a*b" * 100 + b"c", b"ab" * 20_000),
        (b"a*" * 20_000 + b"b", b"a" * 20_000),
        (b"[" * 500_000, b"[" * 500_000),
        (b"*?" * 250 + b"x", b"a" * 10_000),
    ],
    ids=["stars", "pairs", "too-long-to-compile", "brackets", "questions"],
)
def test_no_pattern_stops_the_server(pattern: bytes, text: bytes) -> None:
    """One KEYS with an evil pattern would hold everybody for minutes."""
    matches(pattern[:8], text[:8])
    began = time.process_time()
    matches(pattern, text)
    assert time.process_time() - began < 2


def test_plain_patterns_take_the_short_way() -> None:
    """Patterns that are a name or a prefix would cost a regular expression for each key."""
    assert matcher(b"plain")(b"plain")
    assert matcher(b"user:*")(b"user:1")
    assert not matcher(b"user:*")(b"use")
    long = b"x" * (COMPILED_MAX_BYTES + 1)
    assert matcher(long)(long)
    assert matcher(long + b"?")(long + b"!")
