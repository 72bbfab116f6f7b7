"""Broken if a number is read or printed otherwise than by Redis 7.4."""

from __future__ import annotations

import struct
from fractions import Fraction
from math import copysign, inf
from pathlib import Path
from random import Random

import pytest

from protocol.resp import numbers
from protocol.resp.numbers import (
    INT64_MAX,
    LongDouble,
    add_long_doubles,
    format_double,
    format_double_17,
    format_long_double,
    parse_bound,
    parse_float,
    parse_int,
    parse_long_double,
    parse_timeout_ms,
)

GOLDEN = Path(__file__).parents[3] / "golden"


def golden(name: str) -> list[list[bytes]]:
    """Lines that a real Redis 7.4.1 answered: words apart by tabs, ␠ for a space and ∅ for nothing."""
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    return [[word.replace("␠", " ").replace("∅", "").encode("latin-1") for word in line.split("\t")] for line in lines]


def test_doubles_print_as_in_redis() -> None:
    """ZSCORE prints other digits, or ZADD takes or refuses other texts."""
    for text, printed in golden("redis-7.4.1-doubles.txt"):
        try:
            ours = format_double(parse_float(text))
        except ValueError:
            ours = b"refused"
        assert ours == printed, text


def test_long_doubles_add_as_in_redis() -> None:
    """INCRBYFLOAT answers another sum."""
    for left, right, printed in golden("redis-7.4.1-long-doubles.txt"):
        try:
            ours = format_long_double(add_long_doubles(parse_long_double(left), parse_long_double(right)))
        except ValueError:
            ours = b"refused"
        assert ours == printed, (left, right)


def test_every_double_reads_back() -> None:
    """A score changes when it is printed and read again: in an AOF, on a replica, in a client."""
    rng = Random(1)
    for _ in range(20_000):
        value = struct.unpack("<d", rng.randbytes(8))[0]
        if value == value and abs(value) != inf:
            text = format_double(value)
            assert float(text) == value
            if value == value // 1 and abs(value) <= 2**62:
                continue  # printed as an integer, with all its digits
            # Grisu2 is not always the shortest, but never longer than seventeen digits.
            digits = text.lstrip(b"-").partition(b"e")[0].replace(b".", b"").strip(b"0")
            assert len(digits) <= 17


def test_the_powers_of_ten_are_rounded_to_nearest() -> None:
    """One wrong bit in a cached power prints a wrong digit now and then."""
    for index, (fraction, exponent) in enumerate(numbers._CACHED_POWERS):
        exact = Fraction(10) ** (-348 + 8 * index)
        assert fraction.bit_length() == 64
        assert abs(exact / Fraction(2) ** exponent - fraction) <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0", 0),
        (b"-1", -1),
        (b"9223372036854775807", INT64_MAX),
        (b"-9223372036854775808", -INT64_MAX - 1),
        (b"1000000000000000000", 10**18),
    ],
)
def test_integers(text: bytes, value: int) -> None:
    """An integer is misread."""
    assert parse_int(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"-",
        b"+1",
        b"01",
        b"-0",
        b"-01",
        b" 1",
        b"1 ",
        b"1.0",
        b"1e3",
        b"1_0",
        b"0x1",
        b"--1",
        b"\xd9\xa1",
        b"9223372036854775808",
        b"-9223372036854775809",
        b"1" * 21,
        b"1" * 5000,
        b"1\0",
    ],
)
def test_what_is_no_integer(text: bytes) -> None:
    """INCR takes a text that Redis refuses."""
    with pytest.raises(ValueError):
        parse_int(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"", 0.0),
        (b" 1", 1.0),
        (b"1e400", inf),
        (b"-1e400", -inf),
        (b"-inf", -inf),
        (b"0x10", 16.0),
        (b"5\0x", 5.0),
        (b"1e-400", 0.0),
        (b"+inf", inf),
        (b"0x1p9999", inf),
    ],
)
def test_the_ends_of_score_ranges_are_read_leniently(text: bytes, value: float) -> None:
    """ZRANGEBYSCORE refuses a bound that Redis takes."""
    assert parse_bound(text) == value


@pytest.mark.parametrize("text", [b"nan", b"x", b"1 ", b" ", b"1_0", b"(", b"0x", b"--1", b"1e"])
def test_what_is_no_end_of_a_score_range(text: bytes) -> None:
    """ZRANGEBYSCORE takes a bound that Redis refuses."""
    with pytest.raises(ValueError):
        parse_bound(text)


def test_infinite_and_negative_zero() -> None:
    """The doubles that are not digits print wrongly."""
    assert [format_double(value) for value in (inf, -inf, 0.0, -0.0, float("nan"))] == [
        b"inf",
        b"-inf",
        b"0",
        b"-0",
        b"nan",
    ]
    assert [format_double_17(value) for value in (0.1, 1e20, inf, -0.0)] == [
        b"0.10000000000000001",
        b"1e+20",
        b"inf",
        b"-0",
    ]
    assert copysign(1, parse_float(b"-0")) == -1


def test_long_doubles_against_fractions() -> None:
    """A long double is not rounded to the nearest of 64 bits."""
    rng = Random(9)
    for _ in range(3000):
        digits, decimals = rng.randrange(10 ** rng.randrange(1, 40)), rng.randrange(0, 40)
        text = b"%d" % digits
        text = text[:-decimals] + b"." + text[-decimals:] if 0 < decimals < len(text) else text
        exact = Fraction(text.decode())
        parsed = parse_long_double(text)
        assert abs(parsed.mantissa).bit_length() <= 64
        value = parsed.mantissa * Fraction(2) ** parsed.exponent
        if exact:
            assert abs(value - exact) <= exact * Fraction(1, 2**64)


def test_long_doubles_at_their_limits() -> None:
    """The largest and smallest long doubles, and those beyond, are not what x87 has."""
    assert len(format_long_double(parse_long_double(b"1e4932"))) == 4933
    assert parse_long_double(b"3.7e-4951") == LongDouble(1, -16445)
    assert parse_long_double(b"-inf").infinite == -1
    for text in (
        b"1.2e4932",
        b"1e-4960",
        b"1e99999999999999999999",
        b"1e-99999999999999999999",
        b"nan",
        b"1" * 5120,
        b"",
    ):
        with pytest.raises(ValueError):
            parse_long_double(text)
    with pytest.raises(ValueError):
        add_long_doubles(parse_long_double(b"1.1e4932"), parse_long_double(b"1.1e4932"))
    with pytest.raises(ValueError):
        add_long_doubles(parse_long_double(b"inf"), parse_long_double(b"1"))
    assert len(format_long_double(parse_long_double(b"9" * 4900))) >= 4900


def test_timeouts_are_rounded_up_to_milliseconds() -> None:
    """BLPOP with 0.0001 waits for ever, or a long timeout is refused."""
    texts = (b"0", b"0.0001", b"1.5", b"0.1", b"-0.0001", b"-1", b"-inf", b"1e-4950")
    assert [parse_timeout_ms(text) for text in texts] == [
        0, 1, 1500, 100, 0, -1000, -INT64_MAX - 1, 1,
    ]  # fmt: skip
    for text in (b"1e16", b"inf", b"1e4932"):
        with pytest.raises(OverflowError):
            parse_timeout_ms(text)
    for text in (b"x", b"", b" 1", b"nan"):
        with pytest.raises(ValueError):
            parse_timeout_ms(text)
