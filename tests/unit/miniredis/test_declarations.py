"""What the syntax lines say is what Redis 7.4.1 says of its commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import miniredis.commands  # noqa: F401  for what it declares
from miniredis.commands.command_docs import documented
from miniredis.engine.registry import KeySpec, Spec, declared

GOLDEN = Path(__file__).parents[2] / "golden" / "redis-7.4.1-commands.json"
REAL: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text())
OURS = {spec.name.decode(): spec for spec in declared().everything() if spec.name.decode() in REAL}


def test_no_command_is_invented() -> None:
    """A client would see a command that no Redis has: what no 7.4 has, says which 8.x brought it."""
    unknown = [spec for spec in declared().everything() if spec.name.decode() not in REAL]
    assert [spec.name for spec in unknown if int(spec.since.split(".")[0]) < 8] == []


@pytest.mark.parametrize("name", sorted(OURS))
def test_facts_equal_those_of_the_real_server(name: str) -> None:
    """COMMAND INFO, key extraction or ACL categories of this command would differ from Redis'."""
    ours, real = OURS[name], REAL[name]
    assert ours.arity == real["arity"], "arity"
    assert ours.group == real["group"], "group"
    assert ours.since == real["since"], "since"
    assert sorted(flag.decode() for flag in ours.flag_names) == real["flags"]
    assert sorted("@" + category for category in ours.category_names) == real["acl"]
    assert list(ours.key_range) == [real["first"], real["last"], real["step"]]
    assert [_told(spec) for spec in ours.key_specs] == [_recorded(spec) for spec in real["key_specs"]]
    assert sorted(ours.tips) == sorted(real["tips"])


def _told(spec: KeySpec) -> Any:
    if spec.finder is not None:
        return "unknown", spec.flags
    begin = ("keyword", spec.keyword, spec.begin) if spec.keyword else ("index", spec.begin)
    if spec.keynum_index >= 0:
        return begin, ("keynum", spec.first_key, spec.keynum_index, spec.step), spec.flags
    return begin, ("range", spec.last, spec.step, spec.limit), spec.flags


def _recorded(spec: dict[str, Any]) -> Any:
    if spec["begin_search"]["type"] == "unknown":
        return "unknown", tuple(spec["flags"])
    where = spec["begin_search"]["spec"]
    begin = ("keyword", where["keyword"], where["startfrom"]) if "keyword" in where else ("index", where["index"])
    find = spec["find_keys"]["spec"]
    if spec["find_keys"]["type"] == "keynum":
        return begin, ("keynum", find["firstkey"], find["keynumidx"], find["keystep"]), tuple(spec["flags"])
    return begin, ("range", find["lastkey"], find["keystep"], find["limit"]), tuple(spec["flags"])


@pytest.mark.parametrize("name", sorted(name for name, spec in OURS.items() if spec.run))
def test_arguments_have_the_real_servers_shape(name: str) -> None:
    """COMMAND DOCS, and with it the hints of redis-cli, would show other arguments."""
    spec: Spec = OURS[name]
    real = REAL[name].get("arguments", [])
    assert [_shape(argument) for argument in spec.syntax.arguments] == [_recorded_shape(argument) for argument in real]


def _shape(argument: Any) -> Any:
    flags = {"optional": argument.is_optional, "multiple": argument.is_multiple,
             "multiple_token": argument.repeats_token}  # fmt: skip
    inner = [_shape(part) for part in argument.arguments]
    return (argument.name, argument.type, argument.token, sorted(flag for flag, on in flags.items() if on), inner)


def _recorded_shape(argument: dict[str, Any]) -> Any:
    inner = [_recorded_shape(part) for part in argument.get("arguments", [])]
    return (argument["name"], argument["type"], argument.get("token"), sorted(argument.get("flags", [])), inner)


@pytest.mark.parametrize("name", sorted(OURS))
def test_docs_have_the_real_servers_facts(name: str) -> None:
    """redis-cli's hints and help, and tools that warn of old commands, would show something else."""
    spec, real = OURS[name], REAL[name]
    ours = documented(spec)
    assert [version.decode() for version, _ in ours.get(b"history", [])] == real.get("history", [])
    assert [flag.text.decode() for flag in ours.get(b"doc_flags", [])] == real.get("doc_flags", [])
    for field in ("deprecated_since", "replaced_by"):
        assert ours.get(field.encode(), b"").decode() == real.get(field, "")
    assert (b"complexity" in ours) == (name not in WITHOUT_COMPLEXITY)
    told = ours.get(b"arguments", [])
    assert [_shown(argument) for argument in told] == [_recorded_shown(each) for each in real.get("arguments", [])]


# Redis says nothing of what these cost.
WITHOUT_COMPLEXITY = {"lolwut", "monitor", "psync", "sync", "xread"}
_SHOWN = ("name", "display_text", "since", "deprecated_since", "key_spec_index")


def _shown(argument: dict[bytes, Any]) -> Any:
    """What redis-cli shows of an argument, and with which versions."""
    facts = {field: argument[field.encode()] for field in _SHOWN if field.encode() in argument}
    words = {field: fact.decode() if isinstance(fact, bytes) else fact for field, fact in facts.items()}
    inner = [_shown(part) for part in argument.get(b"arguments", [])]
    return words, inner


def _recorded_shown(argument: dict[str, Any]) -> Any:
    words = {field: argument[field] for field in _SHOWN if field in argument}
    inner = [_recorded_shown(part) for part in argument.get("arguments", [])]
    return words, inner


DATA_GROUPS = {
    "generic", "string", "bitmap", "list", "hash", "set", "sorted-set", "stream", "hyperloglog", "geo",
}  # fmt: skip
NEW_IN_8_0 = {
    "hgetdel", "hgetex", "hsetex",
    "vadd", "vcard", "vdim", "vemb", "vgetattr", "vinfo", "vlinks", "vrandmember", "vrem", "vsetattr", "vsim",
}  # fmt: skip


def test_an_empty_token_is_told_too() -> None:
    """redis-cli's hint for MIGRATE would not show that the key may be the empty string."""
    told = documented(OURS["migrate"])[b"arguments"][2][b"arguments"][1]
    assert told[b"token"] == b""


def test_every_data_command_of_8_0_is_there() -> None:
    """A client of Redis 8.0 would be told that a command is unknown."""
    wanted = {name for name, real in REAL.items() if real["group"] in DATA_GROUPS and not _is_container(name)}
    wanted = (wanted | NEW_IN_8_0) - {"wait", "waitaof"}
    assert len(wanted) == 211
    built = {spec.name.decode() for spec in declared().everything() if spec.run is not None}
    assert wanted - built == set()


def _is_container(name: str) -> bool:
    return any(other.startswith(name + "|") for other in REAL)
