"""RESP parsers under generated input: whole and byte by byte the same, nothing but ProtocolError, bounded memory.

`FUZZ_INPUTS` sets how many inputs the tests draw together (default 10,000; `make fuzz` draws 1,000,000).
"""

from __future__ import annotations

import os
import random
import time
import tracemalloc
from collections.abc import Callable, Iterable

import pytest

from protocol.resp.encoder import encode, encode_command
from protocol.resp.parser import OTHER, Parser, one_command_each
from protocol.resp.reader import Reader
from protocol.resp.shapes import Shapes
from protocol.resp.values import (
    NULL_ARRAY,
    Attributed,
    BigNumber,
    Failure,
    Members,
    ProtocolError,
    Push,
    Status,
    Verbatim,
)

INPUTS = int(os.environ.get("FUZZ_INPUTS", "10000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))

MIB = 1 << 20
READ_BYTES = 256 * 1024  # as much as the event loop reads at once

WORDS = [b"SET", b"k", b"", b"a\r\nb", b"\r\n", b"\0", b"$3\r\nabc", b"*1", b"value", b"x" * 300]
LARGE_WORDS = [b"y" * 5000, b"z" * 20_000, b"\r\n" * 9000, b"w" * 70_000]
ODD = [
    b"PING\r\n", b"\r\n", b"\n", b"GET a\n", b'SET k "a b\\x00\\n"\r\n', b"SET k 'it\\'s'\r\n", b"*0\r\n", b"*-1\r\n",
    b"*1\rX$4\rXPINGxx", b"*3\r\nx", b"*1\r\n$-1\r\n", b"*01\r\n", b"*-0\r\n", b"*+1\r\n", b"*2147483648\r\n",
    b"*2147483647\r\n", b"*99999999999999999999\r\n", b"*1\r\n$999999999999\r\n", b"*1\r\n$536870912\r\n", b"$3\r\n",
    b"*1\r\n\0$3\r\n", b'a"b', b'"a\r\n', b'"a"b\r\n', b"'a\r\n", b"*", b"*1\r", b"*11\r\n", b"*1\r\n$16385\r\n",
    b"P\0NG\r\n", b"a\vb\fc\r\n", b"*1\r\n:4\r\n",
]  # fmt: skip
LONG = [b"*" + b"1" * 70_000, b"P" * 70_000 + b"\r\n", b"*1\r\n$" + b"1" * 66_000, b"x" * 65_537, b"x" * 65_536 + b"\n"]

Outcome = tuple[list[list[bytes]], bytes | None, int]


def generated(source: random.Random, *, with_long: bool = True) -> bytes:
    """Commands, odd ones, broken ones, and noise, one after the other."""
    parts: list[bytes] = []
    for _ in range(source.randint(1, 6)):
        choice = source.random()
        if choice < 0.5:
            count = source.choice([1, 1, 2, 3, 3, 3, 11, 12])
            words = [source.choice(WORDS) for _ in range(count)]
            if with_long and source.random() < 0.02:
                words.append(source.choice(LARGE_WORDS))
            parts.append(encode_command(words))
        elif choice < 0.75:
            parts.append(source.choice(ODD))
        elif choice < 0.9:
            damaged = bytearray(encode_command([source.choice(WORDS) for _ in range(3)]))
            for _ in range(source.randint(1, 3)):
                damaged[source.randrange(len(damaged))] = source.choice(b"\r\n\0$*0129-:aZ\"' \xff")
            parts.append(bytes(damaged))
        elif choice < 0.99 or not with_long:
            parts.append(source.randbytes(source.randint(1, 60)))
        else:
            parts.append(source.choice(LONG))
    data = b"".join(parts)
    return data[: source.randint(1, len(data))] if source.random() < 0.2 else data


def pieces(source: random.Random, data: bytes) -> list[bytes]:
    cuts = sorted(source.sample(range(len(data) + 1), min(len(data), source.randint(0, 12))))
    ends = [*cuts, len(data)]
    return [data[start:end] for start, end in zip([0, *cuts], ends, strict=True) if end > start]


def parsed(chunks: Iterable[bytes], *, authenticated: bool = True) -> Outcome:
    parser = Parser(authenticated=authenticated)
    commands: list[list[bytes]] = []
    for chunk in chunks:
        found = parser.take(chunk)
        while found:
            commands += found
            found = parser.take() if not authenticated else []
        if parser.failure is not None:
            break
    return commands, parser.failure.encoded if parser.failure else None, 0 if parser.failure else parser.buffered


@pytest.mark.parametrize("authenticated", [True, False])
def test_parser_gives_the_same_however_the_bytes_are_cut(authenticated: bool) -> None:
    """A command would depend on how the network cut it."""
    source = random.Random(SEED)
    for number in range(INPUTS * 35 // 100):
        data = generated(source, with_long=number % 20 == 0)
        whole = parsed([data], authenticated=authenticated)
        cut = parsed(pieces(source, data), authenticated=authenticated)
        assert cut[:2] == whole[:2], (number, data[:500])
        if len(data) < 2000 or number % 500 == 0:
            single = parsed([data[at : at + 1] for at in range(len(data))], authenticated=authenticated)
            assert single[:2] == whole[:2], (number, data[:500])


def test_parser_finds_what_was_encoded() -> None:
    """An argument would arrive changed."""
    source = random.Random(SEED)
    counts = [1, 2, 3, 3, 3, 30, 30, 1100]
    for _ in range(INPUTS * 5 // 100):
        sent = [
            [source.choice(LARGE_WORDS if source.random() < 0.01 else WORDS) for _ in range(source.choice(counts))]
            for _ in range(source.randint(1, 5))
        ]
        data = b"".join(map(encode_command, sent))
        for chunks in ([data], pieces(source, data)):
            commands, failure, rest = parsed(chunks)
            assert (commands, failure, rest) == (sent, None, 0)


def test_one_command_each_is_what_the_parser_finds() -> None:
    """The way of its own that most commands take, many clients at once, would read what the parser reads otherwise."""
    source = random.Random(SEED)
    chunks = []
    for _ in range(INPUTS // 10):
        words = [source.choice(WORDS) for _ in range(source.choice([1, 2, 2, 3, 3, 4, 4, 5, 9, 40]))]
        data = encode_command(words)
        if source.random() < 0.4:
            at = source.randrange(len(data))
            data = data[:at] + source.choice([b"", b"\r\n", b"$", b"0", b"1", b"*"]) + data[at + source.randrange(2) :]
        elif source.random() < 0.2:
            data = generated(source, with_long=False) or b"x"
        chunks.append(data)
        if source.random() < 0.5:
            chunks += [data, data]  # what comes again in the same shape has a way of its own
    commands = one_command_each(chunks, Shapes())
    for data, argv in zip(chunks, commands, strict=True):
        if argv is not OTHER:
            assert parsed([data]) == ([argv], None, 0), data[:500]
    assert sum([argv is not OTHER for argv in commands]) > len(chunks) * 0.1


def value(source: random.Random, depth: int = 0) -> object:
    """Any reply there is."""
    scalars: list[Callable[[], object]] = [
        lambda: source.choice(WORDS), lambda: source.randint(-(2**63), 2**63 - 1), lambda: None,
        lambda: Status("OK"), lambda: Failure("ERR no"), lambda: source.choice([0.5, -2.0, float("inf"), 1e300]),
        lambda: source.random() < 0.5, lambda: BigNumber(10**30), lambda: Verbatim(b"text"), lambda: NULL_ARRAY,
    ]  # fmt: skip
    if depth > 4 or source.random() < 0.6:
        return source.choice(scalars)()
    items = [value(source, depth + 1) for _ in range(source.randint(0, 4))]
    kind = source.randrange(5)
    if kind == 0:
        return {b"%d" % number: item for number, item in enumerate(items)}
    if kind == 1:
        return Attributed({b"a": 1}, items)
    return (Members, Push, list)[kind - 2](items)


def read(chunks: Iterable[bytes]) -> tuple[list[object], str | None]:
    reader = Reader()
    replies: list[object] = []
    try:
        for chunk in chunks:
            replies += reader.take(chunk)
    except ProtocolError as error:
        return replies, str(error)
    return replies, None


def test_reader_reads_back_what_the_encoder_wrote() -> None:
    """A replica or a test would see another value than the one sent."""
    source = random.Random(SEED)
    for _ in range(INPUTS * 15 // 100):
        values = [value(source) for _ in range(source.randint(1, 4))]
        data = b"".join([encode(each, 3) for each in values])
        replies, failure = read([data])
        assert failure is None
        assert b"".join([encode(each, 3) for each in replies]) == data
        for chunks in (pieces(source, data), [data[at : at + 1] for at in range(len(data))]):
            again, failure = read(chunks)
            assert failure is None
            assert [encode(each, 3) for each in again] == [encode(each, 3) for each in replies]


ODD_REPLIES = [
    b"=3\r\nabc\r\n", b"*16385\r\n", b"%9000\r\n", b"*1\r\n" * 129, b"$-2\r\n", b"*-2\r\n",
    b"$20000\r\n" + b"x" * 20_000 + b"\r\n",
    b"!5\r\nERR x\r\n", b"$3\r\nabcXY", b"|1\r\n*0\r\n:1\r\n:2\r\n", b"+" + b"x" * 65_537 + b"\r\n",
    b"*-1\r\n", b"?\r\n",
    b"(12x\r\n", b",1.2.3\r\n", b",e\r\n", b":99999999999999999999\r\n", b"#x\r\n", b"%1\r\n*0\r\n:1\r\n",
    b"%2\r\n:1\r\n:2\r\n:1\r\n:3\r\n",
]  # fmt: skip


def test_reader_raises_nothing_but_protocol_errors() -> None:
    """A damaged reply would end a replica link with a traceback, or read differently by luck of the network."""
    source = random.Random(SEED)
    for number in range(INPUTS * 10 // 100):
        data = bytearray(encode(value(source), source.choice([2, 3])) * 2)
        for _ in range(source.randint(0, 4)):
            data[source.randrange(len(data))] = source.choice(b"\r\n$*:%~>|=!_#,(+-0129aZ\xff")
        if number % 10 == 0:
            data += source.choice(ODD_REPLIES)
        whole, failure = read([bytes(data)])
        cut, cut_failure = read([bytes(data[at : at + 1]) for at in range(len(data))])
        assert failure == cut_failure, (number, bytes(data))
        # In one piece an error hides the replies before it; byte by byte they were handed out already.
        if failure is None:
            assert repr(whole) == repr(cut), (number, bytes(data))


# What one frame – a command, a line, a reply, or a run of nothing at all – may cost that is 1 MiB long.
HOSTILE_PEAK_BYTES = 8 * MIB
HOSTILE_CPU_S = 0.050

HOSTILE = {
    "a count without arguments": b"*2147483647\r\n" * 1,
    "a size without bytes": b"*1\r\n$536870912\r\n",
    "many counts": b"*1\r\n*1\r\n" * (MIB // 8),
    "empty arguments": b"*1000000\r\n" + b"$0\r\n\r\n" * (MIB // 6),
    "arguments of two bytes": b"*1000000\r\n" + b"$2\r\nab\r\n" * (MIB // 8),
    "arguments that are line breaks": b"*1000000\r\n" + b"$2\r\n\r\n\r\n" * (MIB // 8),
    "sizes ended oddly": b"*1000000\r\n" + b"$1\rXaXX" * (MIB // 7),
    "blank lines": b"\r\n" * (MIB // 2),
    "blank lines of odd spaces": b"\v\n" * (MIB // 2),
    "lines of spaces": b"         \r\n" * (MIB // 11),
    "empty arrays": b"*0\r\n" * (MIB // 4),
    "null arrays": b"*-1\r\n" * (MIB // 5),
    "one long line": b"x" * MIB,
    "a line of many words": (b"a " * 32_000 + b"\r\n") * (MIB // 64_002),
    "a big argument that is not finished": b"*1\r\n$5000000\r\n" + b"x" * MIB,
    "quotes": b'"' * MIB,
    "a line of quoted words": b'"" ' * 21_000 + b"\r\n",
}

HOSTILE_REPLIES = {
    "a count without values": b"*2147483647\r\n",
    "a size without bytes": b"$536870912\r\n",
    "nested arrays": b"*1\r\n" * (MIB // 4),
    "nested attributes": b"|0\r\n" * (MIB // 4),
    "an array of small numbers": b"*262144\r\n" + b":1\r\n" * (MIB // 4),
    "an array of errors": b"*349525\r\n" + b"-\r\n" * (MIB // 3),
    "an array of errors in small arrays": b"*1000\r\n" + (b"*50\r\n" + b"-\r\n" * 50) * (MIB // 155),
    "an array of empty maps": b"*16384\r\n" + b"%0\r\n" * 16384,
    "big numbers": b"*262\r\n" + (b"(" + b"9" * 4000 + b"\r\n") * 262,
    "one long line": b"+" + b"x" * MIB,
    "a bulk that is not finished": b"$5000000\r\n" + b"x" * MIB,
}


def cost(run: Callable[[], object]) -> tuple[float, int]:
    """Seconds of CPU (the best of five: others share the machine, and its caches) and bytes at the peak."""
    elapsed = []
    for _ in range(5):
        started = time.process_time()
        run()
        elapsed.append(time.process_time() - started)
    tracemalloc.start()
    run()
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return min(elapsed), peak_bytes


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_mebibyte_costs_little(name: str) -> None:
    """One client could take the memory, or the time, of all the others."""
    data = HOSTILE[name]
    chunks = [data[at : at + READ_BYTES] for at in range(0, len(data), READ_BYTES)]

    def run() -> Parser:
        parser = Parser()
        for chunk in chunks:
            parser.take(chunk)
        return parser

    elapsed_s, peak_bytes = cost(run)
    assert peak_bytes < HOSTILE_PEAK_BYTES
    assert elapsed_s < HOSTILE_CPU_S
    failure = run().failure
    assert failure is None or failure.encoded.startswith(b"-ERR Protocol error: ")


@pytest.mark.parametrize("name", HOSTILE_REPLIES)
def test_a_hostile_mebibyte_of_a_reply_costs_little(name: str) -> None:
    """Whoever answers in a master's place could take the memory of the replica that asked."""
    data = HOSTILE_REPLIES[name]
    chunks = [data[at : at + READ_BYTES] for at in range(0, len(data), READ_BYTES)]
    elapsed_s, peak_bytes = cost(lambda: read(chunks))
    assert peak_bytes < HOSTILE_PEAK_BYTES
    assert elapsed_s < HOSTILE_CPU_S


def test_dripping_bytes_cost_no_more_than_their_number() -> None:
    """A client that sends byte by byte could make each byte cost a copy of everything before it."""
    argument = b"x" * 300_000
    data = encode_command([b"SET", b"k", argument])
    parser = Parser()
    started = time.process_time()
    commands = [command for at in range(len(data)) for command in parser.take(data[at : at + 1])]
    assert commands == [[b"SET", b"k", argument]]
    assert time.process_time() - started < 10
