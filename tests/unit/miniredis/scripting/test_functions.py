"""Libraries of functions: whole or not at all, in an interpreter that may have to be made anew."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from miniredis.persist.rdb_format import COMMON_VERSION, sealed, string
from protocol.resp.values import Failure, Status
from tests.unit.miniredis.world import World

OK = Status("OK")


@pytest.fixture
def world() -> World:
    world = World()
    world.state.config = {"rdbcompression": True}
    return world


def run(world: World, *words: object) -> Any:
    argv = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return world.engine.execute(world.client, [argv])[0]


def library(name: str, *functions: str) -> str:
    registered = "\n".join(f"redis.register_function('{one}', function() n = n + 1 return n end)" for one in functions)
    return f"#!lua name={name}\nlocal n = 0\n{registered}"


def payload(*codes: str) -> bytes:
    return sealed(b"".join(b"\xf5" + string(code.encode(), True) for code in codes), COMMON_VERSION)


def names(world: World) -> list[bytes]:
    return sorted(world.engine.scripts.functions.by_name)


def test_a_library_is_loaded_whole_or_not_at_all(world: World) -> None:
    """A library that failed leaves functions behind, or takes the one away that it was to replace."""
    assert run(world, "FUNCTION", "LOAD", library("a", "f", "g")) == b"a"
    assert run(world, "FUNCTION", "LOAD", library("b", "h")) == b"b"
    for refused in (library("b", "h", "F"), "#!lua name=b\nerror()", "#!lua name=b\nlocal x", library("c", "G")):
        assert isinstance(run(world, "FUNCTION", "LOAD", "REPLACE", refused), Failure)
    assert [run(world, "FCALL", name, 0) for name in ("f", "g", "h", "f")] == [1, 2, 1, 3]
    assert run(world, "FUNCTION", "LOAD", "REPLACE", library("b", "i")) == b"b"
    assert isinstance(run(world, "FCALL", "h", 0), Failure)
    assert names(world) == [b"a", b"b"]


def test_a_payload_is_restored_whole_or_not_at_all(world: World) -> None:
    """FUNCTION RESTORE keeps the first half of a payload whose second half is refused."""
    run(world, "FUNCTION", "LOAD", library("a", "f"))
    for codes in (
        [library("b", "g"), library("b", "h")], [library("b", "g"), library("c", "G")], [library("b", "g"), "x"],
        [library("b", "g"), library("c", "f")],
    ):  # fmt: skip
        assert isinstance(run(world, "FUNCTION", "RESTORE", payload(*codes), "REPLACE"), Failure)
        assert names(world) == [b"a"]
    assert run(world, "FUNCTION", "RESTORE", payload(library("a", "g"), library("b", "h")), "REPLACE") == OK
    dumped = run(world, "FUNCTION", "DUMP")
    assert run(world, "FUNCTION", "FLUSH") == OK
    assert run(world, "FUNCTION", "RESTORE", dumped) == OK
    assert names(world) == [b"a", b"b"]
    assert run(world, "FUNCTION", "DUMP") == dumped


def test_damaged_payloads_are_refused(world: World) -> None:
    """Bytes that lie about their lengths end the server, or load what nobody wrote."""
    choose = Random(1)
    good = b"\xf5" + string(library("a", "f" * 30).encode(), True)
    loaded = 0
    for _ in range(2000):
        at = choose.randrange(len(good))
        body = good[:at] + choose.randbytes(choose.randrange(3)) + good[at + choose.randrange(3) :]
        answer = run(world, "FUNCTION", "RESTORE", sealed(body, COMMON_VERSION), "REPLACE")
        assert answer == OK or isinstance(answer, Failure)
        loaded += answer == OK
    assert 0 < loaded < 1000


def test_libraries_outlive_their_interpreter(world: World) -> None:
    """After one function was killed, the others are gone."""
    run(world, "FUNCTION", "LOAD", library("a", "f"))
    run(world, "FUNCTION", "LOAD", library("b", "g"))
    assert [run(world, "FCALL", "f", 0), run(world, "FCALL", "f", 0), run(world, "FCALL", "g", 0)] == [1, 2, 1]
    world.engine.scripts.functions.sandbox.is_spent = True
    assert [run(world, "FCALL", "f", 0), run(world, "FCALL", "g", 0), run(world, "FCALL", "f", 0)] == [1, 1, 2]
