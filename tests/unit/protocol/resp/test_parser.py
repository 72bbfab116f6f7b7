"""Commands out of bytes: the two forms, the limits, the error texts, and what a big argument costs."""

from __future__ import annotations

from random import Random

import pytest

from protocol.resp.encoder import encode_command
from protocol.resp.inline import Unbalanced, split_arguments
from protocol.resp.parser import Parser

ERROR = b"-ERR Protocol error: "


def failure(data: bytes, **options: object) -> bytes:
    parser = Parser(**options)  # type: ignore[arg-type]
    parser.take(data)
    assert parser.failure is not None
    return parser.failure.encoded


@pytest.mark.parametrize(
    ("data", "commands"),
    [
        (b"*1\r\n$4\r\nPING\r\n", [[b"PING"]]),
        (b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", [[b"ECHO", b""]]),
        (b"*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n", [[b"ECHO", b"\r\n\r\n"]]),
        (b"PING\r\n", [[b"PING"]]),
        (b"PING\n", [[b"PING"]]),
        (b"  SET  k\tv \r\n", [[b"SET", b"k", b"v"]]),
        (b"\r\n\n*0\r\n*-5\r\n   \r\nPING\r\n", [[b"PING"]]),
        (b'SET k "a \\x41\\n"\r\n', [[b"SET", b"k", b"a A\n"]]),
        (b"*1\rX$4\rXPINGxx*1\r\n$4\r\nPING\r\n", [[b"PING"], [b"PING"]]),
        (
            encode_command([b"MSET", *[b"%d" % at for at in range(3000)]]),
            [[b"MSET", *[b"%d" % n for n in range(3000)]]],
        ),
        (encode_command([b"SET", b"k", b"v" * 5000]) * 3, [[b"SET", b"k", b"v" * 5000]] * 3),
        (encode_command([b"SET", b"k", b"v" * 200_000]) * 2, [[b"SET", b"k", b"v" * 200_000]] * 2),
    ],
)
def test_commands(data: bytes, commands: list[list[bytes]]) -> None:
    """A client's command would be read as another one."""
    parser = Parser()
    assert parser.take(data) == commands
    assert parser.failure is None
    assert not parser.is_amid_command


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"*x\r\n", b"invalid multibulk length"),
        (b"*01\r\n", b"invalid multibulk length"),
        (b"*-0\r\n", b"invalid multibulk length"),
        (b"*2147483648\r\n", b"invalid multibulk length"),
        (b"*1\r\nPING\r\n", b"expected '$', got 'P'"),
        (b"*1\r\n\r\n", b"expected '$', got '\r'"),
        (b"*1\r\n$-1\r\n", b"invalid bulk length"),
        (b"*1\r\n$536870913\r\n", b"invalid bulk length"),
        (b"*1\r\n$1x\r\n", b"invalid bulk length"),
        (b"*" + b"1" * 65_537, b"too big mbulk count string"),
        (b"*1\r\n$" + b"1" * 65_537, b"too big bulk count string"),
        (b"x" * 65_537, b"too big inline request"),
        (b'SET "a\r\n', b"unbalanced quotes in request"),
        (b'SET "a"b\r\n', b"unbalanced quotes in request"),
    ],
)
def test_errors_in_the_words_of_redis(data: bytes, text: bytes) -> None:
    """A client that breaks the protocol would be told something else than Redis tells it."""
    assert failure(data) == ERROR + text + b"\r\n"


def test_limits_before_login() -> None:
    """Somebody without a password could make the server hold large requests."""
    assert failure(b"*11\r\n", authenticated=False) == ERROR + b"unauthenticated multibulk length\r\n"
    assert failure(b"*1\r\n$16385\r\n", authenticated=False) == ERROR + b"unauthenticated bulk length\r\n"
    parser = Parser(authenticated=False)
    assert parser.take(encode_command([b"AUTH", b"x" * 16384]) + b"*11\r\n") == [[b"AUTH", b"x" * 16384]]
    parser.authenticated = True
    assert parser.take() == []
    assert parser.failure is None


def test_one_command_at_a_time_before_login() -> None:
    """The commands behind AUTH would be read under the limits of a stranger."""
    parser = Parser(authenticated=False)
    assert parser.take(b"AUTH a\r\nPING\r\nPING\r\n") == [[b"AUTH", b"a"]]
    assert parser.take() == [[b"PING"]]
    assert parser.take() == [[b"PING"]]
    assert parser.take() == []


def test_what_comes_before_an_error_is_run_and_nothing_after_it() -> None:
    """A good command would be lost, or one behind the error run."""
    parser = Parser()
    assert parser.take(b"*1\r\n$4\r\nPING\r\n*x\r\n*1\r\n$4\r\nPING\r\n") == [[b"PING"]]
    assert parser.failure is not None
    assert parser.take(b"PING\r\n") == []
    assert parser.buffered == 0


def test_a_big_argument_is_bounded_by_the_query_buffer() -> None:
    """The directive client-query-buffer-limit would not hold."""
    parser = Parser(max_buffer=100_000)
    parser.take(b"*2\r\n$3\r\nSET\r\n$200000\r\n" + b"x" * 90_000)
    assert parser.failure is None
    assert parser.buffered == 90_000
    parser.take(b"x" * 20_000)
    assert parser.failure is not None
    assert parser.failure.is_silent
    assert parser.failure.encoded == b""


def test_arguments_of_a_command_under_way_wait_in_place() -> None:
    """A command that arrives in many reads would be read anew each time."""
    words = [b"RPUSH", b"l", *[b"element:%d" % number for number in range(20_000)]]
    data = encode_command(words)
    parser = Parser()
    found = [command for at in range(0, len(data), 1000) for command in parser.take(data[at : at + 1000])]
    assert found == [words]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", []),
        (b"   ", []),
        (b"a b", [b"a", b"b"]),
        (b"'a b' \"c d\"", [b"a b", b"c d"]),
        (b'"\\x41\\xfg\\n\\r\\t\\b\\a\\q"', [b"Axfg\n\r\t\b\aq"]),
        (b"'it\\'s \\n'", [b"it's \\n"]),
        (b'a"b c"', [b"ab c"]),
        (b"a\vb\fc \v d", [b"a\vb\fc", b"d"]),
        (b'a "" b', [b"a", b"", b"b"]),
        (b"a\0b c", [b"a"]),
    ],
)
def test_quoting(line: bytes, words: list[bytes]) -> None:
    """A line of redis.conf or of a terminal would be cut otherwise than by Redis."""
    assert split_arguments(line) == words


@pytest.mark.parametrize("line", [b'"a', b"'a", b'"a"b', b"'a'b", b'"a\\"', b'a "'])
def test_unbalanced_quotes(line: bytes) -> None:
    """A line with a forgotten quote would be taken."""
    with pytest.raises(Unbalanced):
        split_arguments(line)


@pytest.mark.parametrize("cut", [1000, 65_000, 66_000, 70_002])
def test_an_inline_command_beyond_its_bound_is_refused_however_it_comes(cut: int) -> None:
    """Whether a line of 70,000 bytes is a command would depend on how the network cut it."""
    data = b"P" * 70_000 + b"\r\n"
    parser = Parser()
    assert parser.take(data[:cut]) + parser.take(data[cut:]) == []
    assert parser.failure is not None
    assert parser.failure.encoded == b"-ERR Protocol error: too big inline request\r\n"


def test_the_longest_inline_command_is_taken() -> None:
    """A line that Redis takes would be refused."""
    line = b"P" * (64 * 1024 - 1)
    assert Parser().take(line + b"\r\n") == [[line]]


@pytest.mark.parametrize("seed", range(5))
def test_where_the_last_complete_command_ends(seed: int) -> None:
    """A replica would pass on, and count, bytes of a command that it has not applied."""
    chance = Random(seed)
    commands = [
        [chance.randbytes(chance.choice([0, 1, 5, 20, 20_000, 70_000])) for _ in range(chance.randint(1, 6))]
        for _ in range(20)
    ]
    ends = [0]
    for argv in commands:
        ends.append(ends[-1] + len(encode_command(argv)))
    data = b"".join(map(encode_command, commands))
    parser = Parser()
    position = count = 0
    while position < len(data):
        size = chance.choice([1, 7, 50, 1000, 100_000])
        count += len(parser.take(data[position : position + size]))
        position = min(len(data), position + size)
        assert position - parser.amid_bytes == ends[count]
