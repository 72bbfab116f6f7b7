"""Values as RESP2 and RESP3, and back."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.resp.encoder import encode, encode_command
from protocol.resp.reader import MAX_DEPTH, Reader
from protocol.resp.values import (
    BLOCKED,
    NOTHING,
    NULL_ARRAY,
    OK,
    Alike,
    Attributed,
    BigNumber,
    Failure,
    Many,
    Members,
    Pairs,
    ProtocolError,
    Push,
    Status,
    Verbatim,
)


class Named(Failure):
    """An error with a class of its own."""


@pytest.mark.parametrize(
    ("value", "resp2", "resp3"),
    [
        (b"abc", b"$3\r\nabc\r\n", None),
        (b"", b"$0\r\n\r\n", None),
        (b"x" * 2000, b"$2000\r\n" + b"x" * 2000 + b"\r\n", None),
        (Alike([b"abc", b"def"]), b"*2\r\n$3\r\nabc\r\n$3\r\ndef\r\n", None),
        ([Alike([b""]), 1], b"*2\r\n*1\r\n$0\r\n\r\n:1\r\n", None),
        (5, b":5\r\n", None),
        (-5, b":-5\r\n", None),
        (2000, b":2000\r\n", None),
        (None, b"$-1\r\n", b"_\r\n"),
        (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
        (OK, b"+OK\r\n", None),
        (Status("a\r\nb"), b"+a  b\r\n", None),
        (Failure("ERR a\r\nb\n"), b"-ERR a  b\r\n", None),
        (Named("X y"), b"-X y\r\n", None),
        (True, b":1\r\n", b"#t\r\n"),
        (False, b":0\r\n", b"#f\r\n"),
        (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
        (float("-inf"), b"$4\r\n-inf\r\n", b",-inf\r\n"),
        ([1, None, [b"b"]], b"*3\r\n:1\r\n$-1\r\n*1\r\n$1\r\nb\r\n", b"*3\r\n:1\r\n_\r\n*1\r\n$1\r\nb\r\n"),
        ([b"ab", b"cd"], b"*2\r\n$2\r\nab\r\n$2\r\ncd\r\n", None),
        ([b"", b"cd", b"a"], b"*3\r\n$0\r\n\r\n$2\r\ncd\r\n$1\r\na\r\n", None),
        ([b"a", b"y" * 1024], b"*2\r\n$1\r\na\r\n$1024\r\n" + b"y" * 1024 + b"\r\n", None),
        ([b"ab", 1.5], b"*2\r\n$2\r\nab\r\n$3\r\n1.5\r\n", b"*2\r\n$2\r\nab\r\n,1.5\r\n"),
        ([b"y" * 1024, 7.0], b"*2\r\n$1024\r\n" + b"y" * 1024 + b"\r\n$1\r\n7\r\n",
         b"*2\r\n$1024\r\n" + b"y" * 1024 + b"\r\n,7\r\n"),
        ([b"a", 1.5, b"b", 2.0], b"*4\r\n$1\r\na\r\n$3\r\n1.5\r\n$1\r\nb\r\n$1\r\n2\r\n",
         b"*4\r\n$1\r\na\r\n,1.5\r\n$1\r\nb\r\n,2\r\n"),
        ([b"a", None], b"*2\r\n$1\r\na\r\n$-1\r\n", b"*2\r\n$1\r\na\r\n_\r\n"),
        ([b"a", [b"b"]], b"*2\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n", None),
        ([b"a", OK, Members([b"b"])], b"*3\r\n$1\r\na\r\n+OK\r\n*1\r\n$1\r\nb\r\n",
         b"*3\r\n$1\r\na\r\n+OK\r\n~1\r\n$1\r\nb\r\n"),
        ((b"a", 1), b"*2\r\n$1\r\na\r\n:1\r\n", None),
        ([], b"*0\r\n", None),
        ({b"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
        ({b"a"}, b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"),
        (Members([b"b", b"a"]), b"*2\r\n$1\r\nb\r\n$1\r\na\r\n", b"~2\r\n$1\r\nb\r\n$1\r\na\r\n"),
        (Push([b"m"]), b"*1\r\n$1\r\nm\r\n", b">1\r\n$1\r\nm\r\n"),
        (Pairs([(b"a", 1.5)]), b"*2\r\n$1\r\na\r\n$3\r\n1.5\r\n", b"*1\r\n*2\r\n$1\r\na\r\n,1.5\r\n"),
        (Verbatim(b"hi"), b"$2\r\nhi\r\n", b"=6\r\ntxt:hi\r\n"),
        (BigNumber(12), b"$2\r\n12\r\n", b"(12\r\n"),
        (Attributed({b"a": 1}, 2), b":2\r\n", b"|1\r\n$1\r\na\r\n:1\r\n:2\r\n"),
        (Many([1, b"a"]), b":1\r\n$1\r\na\r\n", None),
        (NOTHING, b"", None),
    ],
)  # fmt: skip
def test_values(value: Any, resp2: bytes, resp3: bytes | None) -> None:
    """A client would read another reply than the command gave."""
    assert encode(value, 2) == resp2
    assert encode(value, 3) == (resp2 if resp3 is None else resp3)


def test_what_is_no_reply_is_a_fault_of_ours() -> None:
    """Text or a forgotten wait would go out as something else."""
    with pytest.raises(TypeError):
        encode("text", 2)
    with pytest.raises(AssertionError):
        encode(BLOCKED, 2)


def test_commands() -> None:
    """The journal would hold other words than were run."""
    assert encode_command([b"SET", b"", b"v"]) == b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$1\r\nv\r\n"


def test_failures_have_codes() -> None:
    """INFO errorstats would count under another name."""
    assert Failure("WRONGTYPE Operation").code == b"WRONGTYPE"
    assert Failure("ERR x") == Failure(b"ERR x")


@pytest.mark.parametrize(
    "data",
    [
        b":abc\r\n", b":99999999999999999999\r\n", b"$-2\r\n", b"$x\r\n", b"*-2\r\n", b"%-1\r\n", b"?\r\n", b"#x\r\n",
        b",abc\r\n", b",1_0\r\n", b"(1x\r\n", b"_x\r\n", b"$1\r\nabc\r\n", b"=2\r\nab\r\n", b"$536870913\r\n",
        b"*1\r\n" * (MAX_DEPTH + 1), b"+" + b"x" * 70_000, b"|1\r\n*0\r\n:1\r\n",
    ],
)  # fmt: skip
def test_reader_refuses(data: bytes) -> None:
    """A link to a broken server would go on with wrong values, or end in a traceback."""
    with pytest.raises(ProtocolError):
        Reader().take(data)


def test_reader_reads_both_nulls_and_odd_maps() -> None:
    """A replica would take one null for another, or fail on a map it cannot hash."""
    assert Reader().take(b"$-1\r\n*-1\r\n_\r\n") == [None, NULL_ARRAY, None]
    assert Reader().take(b"%1\r\n*0\r\n:1\r\n") == [Pairs([([], 1)])]
    assert Reader().take(b"!5\r\nERR x\r\n") == [Failure("ERR x")]


def test_reader_gathers_a_big_bulk() -> None:
    """Each read of a snapshot would copy all that came before it."""
    reader = Reader()
    data = b"$300000\r\n" + b"x" * 300_000 + b"\r\n:1\r\n"
    found = [reply for at in range(0, len(data), 7000) for reply in reader.take(data[at : at + 7000])]
    assert found == [b"x" * 300_000, 1]
