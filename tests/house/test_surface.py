"""Nothing is offered that is not played to the real server and to ours."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import miniredis.commands  # noqa: F401  declares them
from miniredis.engine.registry import Spec, declared
from miniredis.engine.syntax import Argument
from tests.oracle.redis.runner import scripts

TABLE = declared()


@cache
def played() -> dict[bytes, list[list[bytes]]]:
    """Every call in every script, by the command or subcommand it calls."""
    calls: dict[bytes, list[list[bytes]]] = {}
    for script in scripts():
        for argv in script.commands():
            spec = TABLE.resolve(argv) if argv else None
            if spec is not None:
                calls.setdefault(spec.name, []).append(argv)
    return calls


def tokens(arguments: list[Argument]) -> Iterator[str]:
    for argument in arguments:
        if argument.token:
            yield argument.token
        yield from tokens(argument.arguments)


# What ends or changes the server that a script shares with others is tested alone, where the file says.
ALONE = {b"shutdown": "tests/unit/miniredis", b"monitor": "tests/oracle/redis"}


UNIT_TESTS = Path(__file__).parents[1] / "unit" / "miniredis"


def is_newer(spec: Spec) -> bool:
    """Whether no real server here knows it: it is newer than 7.4."""
    return int(spec.since.split(".")[0]) >= 8


def callable_specs() -> list[Spec]:
    specs = [spec for spec in TABLE.everything() if spec.run is not None and spec.name not in ALONE]
    return [spec for spec in specs if not is_newer(spec)]


def test_newer_commands_have_unit_tests() -> None:
    """A command that no real server here knows would be tested by nobody."""
    tests = "\n".join(path.read_text() for path in UNIT_TESTS.rglob("test_*.py"))
    names = [spec.name.decode().upper().replace("|", " ") for spec in TABLE.everything() if is_newer(spec)]
    assert [name for name in names if name not in tests] == []


@pytest.mark.parametrize("spec", callable_specs(), ids=lambda spec: spec.name.decode())
def test_every_command_is_played_to_the_real_server(spec: Spec) -> None:
    """A command, an option or an arity error that no script plays may differ from Redis without anybody noticing."""
    calls = played().get(spec.name, [])
    assert calls, f"no script in tests/oracle/redis calls {spec.name.decode()}"
    words = {word.upper() for argv in calls for word in argv}
    unplayed = [token for token in tokens(spec.syntax.arguments) if token != '""' and token.encode() not in words]
    assert not unplayed, f"no script plays {unplayed} of {spec.name.decode()}"
    arity = spec.arity
    own_words = 2 if b"|" in spec.name else 1
    if arity > 0 or -arity > own_words:
        wrong = [argv for argv in calls if (len(argv) != arity if arity > 0 else len(argv) < -arity)]
        assert wrong, f"no script calls {spec.name.decode()} with a wrong number of arguments"
