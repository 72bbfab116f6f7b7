"""The short way of many chunks, beside the parser that knows every way."""

from __future__ import annotations

from random import Random

from protocol.resp.encoder import encode_command
from protocol.resp.parser import OTHER, Parser, one_command_each
from protocol.resp.shapes import SHAPES_MOST, Shapes

PIECES = (b"", b"a", b"\r\n", b"\r", b"$1\r\nx", b"*1", b"key:000000000001", b"v" * 100, b"w" * 4097, b"\0")


INLINE = (b"PING", b"GET a", b"set a\tb  c", b" GET a", b"*1", b"1", b"ECHO 'a b'", b"E a\0b", b"a\vb", b"a\rb", b"\nb")


def chunk(random: Random) -> bytes:
    if random.random() < 0.2:
        return random.choice(INLINE) + random.choice((b"\r\n", b"\r\n", b"\n", b"\r\n\r\n", b"\r\nPING\r\n", b""))
    data = encode_command([random.choice(PIECES) for _ in range(random.randint(1, random.choice((10, 40))))])
    match random.randrange(6):
        case 0:
            return data + encode_command([b"PING"])
        case 1:
            at = random.randrange(len(data))
            return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        case 2:
            return data[: random.randrange(1, len(data) + 1)]
        case _:
            return data


def test_what_is_cut_the_short_way_is_what_the_parser_reads() -> None:
    """A command with other words than were sent would be run, of a client whose bytes are anything but plain."""
    random = Random(5)
    chunks = [chunk(random) for _ in range(20_000)]
    short = 0
    for data, argv in zip(chunks, one_command_each(chunks, Shapes()), strict=True):
        if argv is not OTHER:
            parser = Parser()
            assert parser.take(data) == [argv], data
            assert parser.is_plain
            short += 1
    assert short > 1500


def test_what_clients_send_most_is_cut_the_short_way() -> None:
    """Everything would still be right, and slow."""
    for count in range(1, 33):
        argv = [b"word%d" % at for at in range(count)]
        assert one_command_each([encode_command(argv)], Shapes()) == [argv]
    assert one_command_each([b"PING\r\n", b"get  a\r\n"], Shapes()) == [[b"PING"], [b"get", b"a"]]


def test_a_known_shape_is_what_the_parser_reads() -> None:
    """Of a client whose bytes are as long as those of another, words would be cut where the other's were."""
    random = Random(6)
    shapes = Shapes()
    sent = [b"MSET", *[b"k%d" % at for at in range(4)], b"", b"v" * 300]
    data = encode_command(sent)
    assert one_command_each([data] * 3, shapes) == [sent] * 3
    assert len(data) in shapes.known
    held = [word[::-1].replace(b"vv", b"\r\n") for word in sent]  # line breaks where they do no harm
    assert one_command_each([encode_command(held)], shapes) == [held]
    chunks = [data[:at] + bytes([byte]) + data[at + 1 :] for at in range(len(data)) for byte in b"\r\n$*0159k"]
    for _ in range(500):  # the same length in other words
        words = [bytes(random.randrange(60)) for _ in sent]
        rest = len(data) - len(encode_command([*words, b""]))
        chunks += [encode_command([*words, bytes(rest - digits)]) for digits in range(4) if rest >= digits]
    commands = one_command_each(chunks, shapes)
    for chunk, argv in zip(chunks, commands, strict=True):
        plain, knowing = Parser(), Parser(shapes=shapes)
        found = plain.take(chunk)
        assert (knowing.take(chunk), knowing.buffered, knowing.is_plain) == (found, plain.buffered, plain.is_plain)
        assert argv is OTHER or found == [argv], chunk
    assert len(commands) - commands.count(OTHER) > 300


def test_few_shapes_are_known_at_a_time() -> None:
    """A client that sends every length twice would fill the memory."""
    shapes = Shapes()
    for size in range(200):
        argv = [b"a", b"b", b"c", b"d", bytes(size)]
        assert one_command_each([encode_command(argv)] * 3, shapes) == [argv] * 3
        assert len(shapes.known) <= SHAPES_MOST
    parser = Parser(shapes=shapes)
    shapes.known.clear()
    for _ in range(3):
        assert parser.take(encode_command(argv)) == [argv]
    assert list(shapes.known) == [len(encode_command(argv))]


def test_a_parser_knows_when_the_next_chunk_is_plain() -> None:
    """The end of a long argument that looks like a command would be run as one."""
    parser = Parser()
    states = []
    for data in (
        b"PING\r\n",
        b"*2\r\n$4\r\nECHO\r\n",
        b"$9\r\n*1\r\n",
        b"$1\r\na\r\n",
        b"PI",
        b"NG\r\n",
        b"*x\r\n",
        b"",
    ):
        parser.take(data)
        states.append(parser.is_plain)
    assert states == [True, False, False, True, False, True, False, False]
    stranger = Parser(authenticated=False)
    stranger.take(b"PING\r\n")
    assert not stranger.is_plain
