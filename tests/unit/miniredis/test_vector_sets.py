"""Vector sets, which no 7.4 can be asked about: as the pages, the sources and the tests of Redis 8 describe them.

VADD VSIM VREM VSETATTR VGETATTR VISMEMBER VCARD VDIM VEMB VRANDMEMBER VLINKS VINFO VRANGE
"""

from __future__ import annotations

import struct
from random import Random
from typing import Any

import pytest

from miniredis.engine.journal import TO_AOF
from miniredis.persist.rdb_format import sealed
from protocol.resp.encoder import encode
from protocol.resp.values import NULL_ARRAY, Failure, Status
from tests.unit.miniredis.world import Ear, World

WRONGTYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.fixture
def world() -> World:
    """Five points, as Redis' own introduction has them; and a key of another type."""
    world = World()
    for point in ("1 1 A", "-1 -1 B", "-1 1 C", "1 -1 D", "1 0 E"):
        assert world(f"VADD p VALUES 2 {point}") is True
    world("SET s text")
    return world


def words(world: World, *argv: bytes | str) -> Any:
    return world.engine.execute(
        world.client, [[word if isinstance(word, bytes) else word.encode() for word in argv]]
    )[0]  # fmt: skip


def failure(reply: Any) -> str:
    assert isinstance(reply, Failure)
    return reply.text.decode()


def test_points(world: World) -> None:
    """The introduction of Redis' documentation would read otherwise here."""
    assert world("TYPE p") == Status("vectorset")
    assert world("OBJECT ENCODING p") == b"raw"
    assert (world("VCARD p"), world("VDIM p"), world("VCARD none")) == (5, 2, 0)
    assert world("VEMB p A") == [0.9999999403953552, 0.9999999403953552]
    assert world("VEMB p B") == [-0.9999999403953552, -0.9999999403953552]
    assert world("VEMB p E") == [1.0, 0.0]
    assert world("VSIM p VALUES 2 0.9 0.1") == [b"E", b"A", b"D", b"C", b"B"]
    assert world("VSIM p ELE A COUNT 2") == [b"A", b"E"]
    scores = world("VSIM p ELE A WITHSCORES")
    assert list(scores) == [b"A", b"E", b"C", b"D", b"B"]
    assert [round(score, 4) for score in scores.values()] == [1.0, 0.8536, 0.5, 0.5, 0.0]
    assert world("VSIM p ELE A TRUTH NOTHREAD WITHSCORES") == scores
    assert world("VADD p VALUES 2 0 1 E CAS") is False
    assert world("VEMB p E") == [0.0, 1.0]
    assert world("VCARD p") == 5
    assert world("SCAN 0 TYPE vectorset") == [b"0", [b"p"]]


def test_what_is_stored(world: World) -> None:
    """VEMB RAW would not show what lies there: floats, bytes or bits, with the length and the range."""
    blob = struct.pack("<3f", 3.0, 0.0, -4.0)
    for option, name, raw in (
        ("NOQUANT", "f32", struct.pack("<3f", 0.6, 0, -0.8)), ("Q8", "int8", bytes([95, 0, 0x81])),
        ("BIN", "bin", b"\x01" + bytes(7)),
    ):  # fmt: skip
        assert words(world, "VADD", option, "FP32", blob, "e", option) is True
        reply = words(world, "VEMB", option, "e", "RAW")
        assert reply[:3] == [Status(name), raw, 5.0]
        assert reply[3:] == ([pytest.approx(0.8)] if option == "Q8" else [])
    assert world("VEMB NOQUANT e") == pytest.approx([3, 0, -4], abs=1e-6)
    assert world("VEMB Q8 e") == pytest.approx([3, 0, -4], abs=0.02)
    assert world("VEMB BIN e") == [1.0, -1.0, -1.0]
    assert (world("VEMB BIN none"), world("VEMB none e")) == (None, None)
    assert failure(world("VEMB BIN e RAWER")) == "ERR invalid option"


def test_attributes(world: World) -> None:
    """Attributes would be lost, or outlive their element."""
    assert world("VGETATTR p A") is None
    assert world('VSETATTR p A {"n":1}') is True
    assert world("VSETATTR p none x") is False
    assert world("VSETATTR none A x") is False
    assert world("VGETATTR p A") == b'{"n":1}'
    world("VADD p VALUES 2 1 2 A")
    assert world("VGETATTR p A") == b'{"n":1}'
    world('VADD p VALUES 2 1 2 A SETATTR {"n":2}')
    assert world("VSIM p ELE A FILTER .n==2") == [b"A"]
    assert world("VSIM p ELE A FILTER .n==2 FILTER-EF 100 TRUTH") == [b"A"]
    assert world("VINFO p")[Status("attributes-count")] == 1
    assert words(world, "VADD", "p", "VALUES", "2", "1", "2", "A", "SETATTR", "") is False
    assert world("VGETATTR p A") is None
    world("VSETATTR p B yes")
    world("VREM p B")
    world("VADD p VALUES 2 -1 -1 B")
    assert world("VGETATTR p B") is None
    assert failure(words(world, "VSIM", "p", "ELE", "A", "FILTER", ".n > 1 and @x")) == (
        "ERR syntax error in FILTER expression near: @x"
    )


@pytest.mark.parametrize("resp", [2, 3])
def test_replies(world: World, resp: int) -> None:
    """Clients of one protocol or the other could not read what a search answers."""
    world("VSETATTR p A x")
    world(f"HELLO {resp}")
    plain = b"*1\r\n$1\r\nA\r\n"
    assert encode(world("VSIM p ELE A COUNT 1"), resp) == plain
    world("VADD q VALUES 1 1 A NOQUANT SETATTR x")
    both = encode(world("VSIM q ELE A WITHSCORES WITHATTRIBS"), resp)
    scored = encode(world("VSIM q ELE A WITHSCORES"), resp)
    noted = encode(world("VSIM q ELE A WITHATTRIBS"), resp)
    added = encode(world("VADD q VALUES 1 -1 B NOQUANT"), resp)
    linked = encode(world("VLINKS q A WITHSCORES")[-1:], resp)
    if resp == 2:
        assert both == b"*3\r\n$1\r\nA\r\n$1\r\n1\r\n$1\r\nx\r\n"
        assert scored == b"*2\r\n$1\r\nA\r\n$1\r\n1\r\n"
        assert noted == b"*2\r\n$1\r\nA\r\n$1\r\nx\r\n"
        assert added == b":1\r\n"
        assert linked == b"*1\r\n*2\r\n$1\r\nB\r\n$1\r\n0\r\n"
    else:
        assert both == b"%1\r\n$1\r\nA\r\n*2\r\n,1\r\n$1\r\nx\r\n"
        assert scored == b"%1\r\n$1\r\nA\r\n,1\r\n"
        assert noted == b"%1\r\n$1\r\nA\r\n$1\r\nx\r\n"
        assert added == b"#t\r\n"
        assert linked == b"*1\r\n%1\r\n$1\r\nB\r\n,0\r\n"


def test_search_options(world: World) -> None:
    """COUNT, EPSILON, EF would be taken and not heeded."""
    assert world("VSIM none ELE A") == []
    assert world("VSIM p ELE A EPSILON 0.2") == [b"A", b"E"]
    assert world("VSIM p ELE A EF 1 COUNT 3")[:2] == [b"A", b"E"]
    assert len(world("VSIM p ELE A EF 1 COUNT 3")) == 3
    for option, error in (
        ("COUNT 0", "ERR invalid COUNT"), ("COUNT x", "ERR invalid COUNT"), ("EPSILON 0", "ERR invalid EPSILON"),
        ("EF 0", "ERR invalid EF"), ("EF x", "ERR invalid EF"), ("FILTER-EF 0", "ERR invalid FILTER-EF"),
        ("NOPE", "ERR syntax error in VSIM command"), ("COUNT", "ERR syntax error in VSIM command"),
    ):  # fmt: skip
        assert failure(world(f"VSIM p ELE A {option}")) == error
    assert failure(world("VSIM p ELE none")) == "ERR element not found in set"
    assert failure(world("VSIM p VALUES 3 1 1 1")) == "ERR Vector dimension mismatch - got 3 but set has 2"
    assert failure(world("VSIM s ELE A")) == WRONGTYPE


@pytest.mark.parametrize(
    "vector",
    ["VALUES 0 e", "VALUES 2 1 e", "VALUES 2 1 x e", "VALUES -1 1 e", "VALUES 65537 1 e", "VALUES x 1 e", "FP16 abcd e",
     "FP32 abc e", "REDUCE 0 VALUES 2 1 1 e", "REDUCE 3 VALUES 2 1 1 e", "REDUCE x VALUES 2 1 1 e", "VALUES 2 nan 1 e",
     "VALUES 2 inf 1 e", "VALUES 2 1e300 1 e"],
)  # fmt: skip
def test_no_vector(world: World, vector: str) -> None:
    """What is no vector would be stored, or end the connection."""
    assert failure(world(f"VADD p {vector}")) == "ERR invalid vector specification"
    if "REDUCE" not in vector:
        assert failure(world(f"VSIM p {vector.removesuffix(' e')}")) == "ERR invalid vector specification"


@pytest.mark.parametrize(
    ("rest", "error"),
    [
        ("p VALUES 2 1 1 e NOPE", "ERR invalid option after element"),
        ("p VALUES 2 1 1 e EF 0", "ERR invalid EF"),
        ("p VALUES 2 1 1 e M 3", "ERR invalid M"),
        ("p VALUES 2 1 1 e M 4097", "ERR invalid M"),
        ("p VALUES 2 1 1 e M 32", "ERR asked M value mismatch with existing vector set"),
        ("p VALUES 2 1 1 e NOQUANT", "ERR asked quantization mismatch with existing vector set"),
        ("p VALUES 2 1 1 e BIN", "ERR asked quantization mismatch with existing vector set"),
        ("p VALUES 1 1 e", "ERR Vector dimension mismatch - got 1 but set has 2"),
        ("p REDUCE 2 VALUES 2 1 1 e", "ERR cannot add projection to existing set without projection"),
        ("p VALUES 2 1 1", "ERR wrong number of arguments for 'VADD' command"),
        ("s VALUES 2 1 1 e", WRONGTYPE),
        ("r VALUES 4 1 1 1 1 e", "ERR Vector dimension mismatch - got 4 but set has 2"),
        ("r REDUCE 2 VALUES 3 1 1 1 e", "ERR Input dimension mismatch for projection - got 3 but projection expects 4"),
    ],
)
def test_faults(world: World, rest: str, error: str) -> None:
    """Sets would take vectors of another kind than they are of, or say otherwise what is wrong."""
    world("VADD r REDUCE 2 VALUES 4 1 2 3 4 a EF 10 M 16 Q8")
    assert failure(world(f"VADD {rest}")) == error
    assert world("VCARD p") == 5


def test_projected(world: World) -> None:
    """REDUCE: vectors of the size clients send, and of the size kept, would not both be asked for."""
    assert world("VADD r REDUCE 2 VALUES 4 1 2 3 4 a NOQUANT") is True
    assert world("VADD r REDUCE 2 VALUES 4 4 3 2 1 b NOQUANT") is True
    assert world("VEMB r a") == pytest.approx([5, -1], abs=1e-6)
    assert (world("VDIM r"), world("VINFO r")[Status("projection-input-dim")]) == (2, 4)
    assert world("VSIM r VALUES 4 4 3 2 1 COUNT 1") == [b"b"]
    assert world("VSIM r VALUES 2 5 -1 COUNT 1") == [b"a"]
    assert failure(world("VSIM r VALUES 3 1 1 1")) == (
        "ERR Input dimension mismatch for projection - got 3 but projection expects 4"
    )


def test_members(world: World) -> None:
    """VISMEMBER, VRANDMEMBER, VRANGE and VREM would know of other elements than there are."""
    assert (world("VISMEMBER p A"), world("VISMEMBER p Z"), world("VISMEMBER none A")) == (True, False, False)
    assert world("VRANDMEMBER p") in [b"A", b"B", b"C", b"D", b"E"]
    assert sorted(world("VRANDMEMBER p 9")) == [b"A", b"B", b"C", b"D", b"E"]
    assert len(set(world("VRANDMEMBER p 3"))) == 3
    assert len(world("VRANDMEMBER p -20")) == 20
    assert (world("VRANDMEMBER p 0"), world("VRANDMEMBER none"), world("VRANDMEMBER none 2")) == ([], None, [])
    assert failure(world("VRANDMEMBER p x")) == "ERR COUNT value is not an integer"
    assert failure(world("VRANDMEMBER p -99999999999")) == "ERR value is out of range"
    assert world("VRANGE p - +") == [b"A", b"B", b"C", b"D", b"E"]
    assert world("VRANGE p [B (D") == [b"B", b"C"]
    assert world("VRANGE p (B + 2") == [b"C", b"D"]
    assert world("VRANGE none - +") == []
    assert failure(world("VRANGE p B +")) == "ERR invalid start range format"
    assert failure(world("VRANGE p - D")) == "ERR invalid end range format"
    assert failure(world("VRANGE p + -")) == "ERR '-' can only be used as first argument, '+' only as second"
    assert failure(world("VRANGE p - + x")) == "ERR invalid COUNT value"
    for element in "ABCDE":
        assert world(f"VREM p {element}") is True
        assert world(f"VREM p {element}") is False
    assert world("EXISTS p") == 0
    assert failure(world("VREM s A")) == WRONGTYPE


def test_the_graph_is_shown(world: World) -> None:
    """VLINKS and VINFO would tell of another graph than is searched."""
    layers = world("VLINKS p A")
    assert sorted(layers[-1]) == [b"B", b"C", b"D", b"E"]
    assert world("VLINKS p none") is None
    assert world("VLINKS none A") is None
    assert failure(world("VLINKS p A SCORES")) == "ERR wrong number of arguments for 'VLINKS' command"
    info = {key.text: value for key, value in world("VINFO p").items()}
    assert list(info) == [
        b"quant-type", b"hnsw-m", b"vector-dim", b"projection-input-dim", b"size", b"max-level", b"attributes-count",
        b"vset-uid", b"hnsw-max-node-uid",
    ]  # fmt: skip
    assert (info[b"quant-type"], info[b"hnsw-m"], info[b"size"]) == (Status("int8"), 16, 5)
    assert world("VINFO none") is NULL_ARRAY
    assert failure(world("VDIM none")) == "ERR key does not exist"


def test_what_others_are_told(world: World) -> None:
    """A replica, or a restart, would not have what this server has; a new vector of an old element included."""
    ear = Ear(TO_AOF)
    world.state.journal.attach(ear)
    for line, is_told in (
        ("VADD p VALUES 2 1 3 A", True), ("VADD p VALUES 2 1 3 F CAS", True), ("VSETATTR p F x", True),
        ("VREM p F", True), ("VREM p F", False), ("VSETATTR p F x", False), ("VSIM p ELE A", False),
    ):  # fmt: skip
        ear.data = b""
        world(line)
        assert bool(ear.data) is is_told, line
        assert not is_told or line.split()[0].encode() in ear.data


def test_keys_of_vector_sets(world: World) -> None:
    """A replica that is a real server would refuse the COPY that we took, and have other data from then on."""
    assert failure(world("COPY p q")) == "ERR not supported for this module key"
    assert world("RENAME p r") == Status("OK")
    assert world("VSIM r ELE A COUNT 1") == [b"A"]
    assert world("DEL r p") == 1


def test_it_travels() -> None:
    """DUMP, RESTORE, RDB files: a vector set would come back as another one, or without what it is searched by."""
    random = Random(8)
    for option in ("NOQUANT", "Q8", "BIN", "REDUCED"):
        world = World()
        for number in range(40):
            numbers = " ".join([str(random.gauss(0, 1)) for _ in range(8)])
            start, end = ("REDUCE 4 ", "Q8") if option == "REDUCED" else ("", option)
            world(f"VADD v {start}VALUES 8 {numbers} e{number} {end} M 8 EF 20" + (" SETATTR x" if number % 3 else ""))
        payload = world("DUMP v")
        assert words(world, "RESTORE", "w", "0", payload) == Status("OK")
        assert world("DUMP w") == payload
        for number in range(0, 40, 7):
            for line in ("VSIM {} ELE e{} WITHSCORES WITHATTRIBS EF 50", "VLINKS {} e{}", "VEMB {} e{} RAW"):
                assert world(line.format("v", number)) == world(line.format("w", number))
        world("VADD w VALUES 8 1 2 3 4 5 6 7 8 new M 8 " + option) if option != "REDUCED" else None
        damaged(world, payload[:-10])


def damaged(world: World, body: bytes) -> None:
    """Every payload with one byte changed is refused, or makes a set that can be used."""
    random = Random(9)
    for _ in range(60):
        at = random.randrange(1, len(body))
        changed = body[:at] + bytes([random.randrange(256)]) + body[at + 1 :]
        reply = words(world, "RESTORE", "x", "0", sealed(changed, 11), "REPLACE")
        if reply == Status("OK"):
            element = world("VRANDMEMBER x")
            assert isinstance(words(world, "VSIM", "x", "ELE", element, "WITHSCORES"), dict)
            assert words(world, "VREM", "x", element) is True
        else:
            assert failure(reply) == "ERR Bad data format"


def test_a_range_that_the_format_has_not_is_not_looked_at() -> None:
    """Redis 8.0 leaves chance bytes there: about every large set of floats or bits of a real server was refused."""
    for option in ("NOQUANT", "BIN"):
        for range_ in (-2.3e-33, float("nan"), 1.5):
            world = World()
            world(f"VADD v VALUES 2 3 4 a {option}")
            body = world("DUMP v")[:-10]
            assert body.endswith(b"\x02\x80" + struct.pack(">f", 5.0) + b"\0")
            changed = body[:-6] + b"\x81" + struct.pack(">ff", range_, 5.0) + b"\0"
            assert words(world, "RESTORE", "x", "0", sealed(changed, 12)) == Status("OK")
            assert world("DUMP x") == world("DUMP v")
