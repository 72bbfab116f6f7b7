"""COMMAND: what the server can do, told from the declarations.

The answers of INFO and DOCS for everything are large and never change: each server makes them when first asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Any, Final

from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.registry import LOADING, NO_MANDATORY_KEYS, STALE, KeySpec, Spec, command, declare_help
from miniredis.engine.syntax import BLOCK, ONEOF, Argument
from miniredis.structures.glob import matches
from protocol.resp.values import Failure, Members, Reply, Status

_ANY_TIME: Final = LOADING | STALE
_UNORDERED: Final = ("nondeterministic_output_order",)

declare_help("COMMAND", group="server", acl=("connection",))


@command("COMMAND", _ANY_TIME, since="2.8.13", acl=("connection",), tips=_UNORDERED, arity=-1,
         complexity="O(N) where N is the number of commands")  # fmt: skip
def command_(call: Call) -> Reply:
    """Describe all commands."""
    return [_info(spec) for spec in call.state.table]


@command("COMMAND|COUNT", _ANY_TIME, since="2.8.13", acl=("connection",))
def command_count(call: Call) -> Reply:
    """Count the commands."""
    return len(call.state.table)


@command("COMMAND|INFO [command-name [command-name ...]]", _ANY_TIME, since="2.8.13", acl=("connection",),
         tips=_UNORDERED, complexity="O(N) where N is the number of commands",
         history=(("7.0.0", "Without a name it tells about all commands."),))  # fmt: skip
def command_info(call: Call) -> Reply:
    """Describe the named commands, or all: arity, flags, keys, categories."""
    table = call.state.table
    if len(call.argv) == 2:
        return [_info(spec) for spec in table]
    found = [table.find(name) for name in call.argv[2:]]
    return [_info(spec) if spec is not None else None for spec in found]


def _info(spec: Spec) -> Reply:
    first, last, step = spec.key_range
    return [
        spec.name,
        spec.arity,
        Members([Status(name) for name in spec.flag_names]),
        first,
        last,
        step,
        Members([Status("@" + category) for category in spec.category_names]),
        Members([tip.encode() for tip in spec.tips]),
        Members([_key_spec(key_spec) for key_spec in spec.key_specs]),
        [_info(sub) for sub in spec.subcommands.values()] if spec.subcommands else Members(),
    ]


def _key_spec(spec: KeySpec) -> dict[bytes, Any]:
    told: dict[bytes, Any] = {}
    if spec.notes:
        told[b"notes"] = spec.notes.encode()
    told[b"flags"] = Members([Status(flag) for flag in spec.flags])
    if spec.finder is not None:
        unknown = {b"type": b"unknown", b"spec": {}}
        return {**told, b"begin_search": unknown, b"find_keys": unknown}
    if spec.keyword is not None:
        begin: dict[bytes, Any] = {b"keyword": spec.keyword.encode(), b"startfrom": spec.begin}
        told[b"begin_search"] = {b"type": b"keyword", b"spec": begin}
    else:
        told[b"begin_search"] = {b"type": b"index", b"spec": {b"index": spec.begin}}
    if spec.keynum_index >= 0:
        find = {b"keynumidx": spec.keynum_index, b"firstkey": spec.first_key, b"keystep": spec.step}
        told[b"find_keys"] = {b"type": b"keynum", b"spec": find}
    else:
        find = {b"lastkey": spec.last, b"keystep": spec.step, b"limit": spec.limit}
        told[b"find_keys"] = {b"type": b"range", b"spec": find}
    return told


@command("COMMAND|DOCS [command-name [command-name ...]]", _ANY_TIME, since="7.0.0", acl=("connection",),
         tips=_UNORDERED, complexity="O(N) where N is the number of commands")  # fmt: skip
def command_docs(call: Call) -> Reply:
    """Describe the named commands, or all, for people: summary, history, arguments."""
    table = call.state.table
    if len(call.argv) == 2:
        specs: Iterable[Spec | None] = table
    else:
        specs = [table.find(name) for name in call.argv[2:]]
    return {spec.name: documented(spec) for spec in specs if spec is not None}


def documented(spec: Spec) -> dict[bytes, Any]:
    """The answer of COMMAND DOCS about one command."""
    told: dict[bytes, Any] = {
        b"summary": spec.summary.encode(),
        b"since": spec.since.encode(),
        b"group": spec.group.encode(),
    }
    if spec.complexity:
        told[b"complexity"] = spec.complexity.encode()
    if spec.deprecated is not None:
        told[b"doc_flags"] = Members([Status("deprecated")])
        since, instead = spec.deprecated
        told[b"deprecated_since"] = since.encode()
        told[b"replaced_by"] = instead.encode()
    elif spec.is_internal:
        told[b"doc_flags"] = Members([Status("syscmd")])
    if spec.history:
        told[b"history"] = [[version.encode(), text.encode()] for version, text in spec.history]
    if spec.syntax.arguments:
        # One key spec may cover several key arguments: then those that follow have the last one's.
        # A pattern that names keys has the first of those that are found otherwise.
        places = list(range(len(spec.key_specs)))
        pattern = next((at for at in places if spec.key_specs[at].finder), None)
        if pattern is not None:
            places.remove(pattern)
        keys = chain(places, repeat(places[-1])) if places else iter(())
        told[b"arguments"] = [_argument(argument, keys, pattern) for argument in spec.syntax.arguments]
    if spec.subcommands:
        told[b"subcommands"] = {sub.name: documented(sub) for sub in spec.subcommands.values()}
    return told


def _argument(argument: Argument, keys: Iterator[int], pattern: int | None) -> dict[bytes, Any]:
    told: dict[bytes, Any] = {b"name": argument.name.encode(), b"type": argument.type.encode()}
    is_inner = argument.type in (BLOCK, ONEOF)
    if not is_inner:
        told[b"display_text"] = (argument.display or argument.name).encode()
    if argument.type in ("key", "pattern"):
        index = next(keys, None) if argument.type == "key" else pattern
        if index is not None:
            told[b"key_spec_index"] = index
    if argument.token is not None:  # the empty string is one, of MIGRATE
        told[b"token"] = argument.token.encode()
    if argument.since:
        told[b"since"] = argument.since.encode()
    if argument.deprecated_since:
        told[b"deprecated_since"] = argument.deprecated_since.encode()
    flags = [
        name
        for name, applies in (
            (b"optional", argument.is_optional),
            (b"multiple", argument.is_multiple),
            (b"multiple_token", argument.repeats_token),
        )
        if applies
    ]
    if flags:
        told[b"flags"] = Members([Status(flag) for flag in flags])
    if is_inner:
        told[b"arguments"] = [_argument(inner, keys, pattern) for inner in argument.arguments]
    return told


@command("COMMAND|LIST filterby=[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]", _ANY_TIME,
         since="7.0.0", acl=("connection",), tips=_UNORDERED,
         complexity="O(N) where N is the number of commands")  # fmt: skip
def command_list(call: Call) -> Reply:
    """Name the commands: all, or those of a category or fitting a pattern."""
    argv = call.argv
    accepts: Callable[[Spec], bool] = lambda spec: True  # noqa: E731
    if len(argv) > 2:
        if len(argv) != 5 or call.option(2) != b"FILTERBY":
            raise Failure(SYNTAX_ERROR)
        accepts = _filter(call.option(3), argv[4])
    found = [spec for spec in call.state.table.everything() if accepts(spec)]
    return [spec.name for spec in found]


def _filter(kind: bytes, word: bytes) -> Callable[[Spec], bool]:
    if kind == b"MODULE":
        return lambda spec: False  # there are no modules
    if kind == b"ACLCAT":
        category = word.decode("utf-8", "replace").lower()
        return lambda spec: category in spec.categories
    if kind == b"PATTERN":
        return lambda spec: matches(word, spec.name, ignore_case=True)
    raise Failure(SYNTAX_ERROR)


@command("COMMAND|GETKEYS command [arg [arg ...]]", _ANY_TIME, since="2.8.13", acl=("connection",),
         complexity="O(N) where N is the number of arguments to the command")  # fmt: skip
def command_getkeys(call: Call) -> Reply:
    """Tell which words of a call are keys."""
    return [call.argv[at + 2] for at, _ in _keys(call)]


@command("COMMAND|GETKEYSANDFLAGS command [arg [arg ...]]", _ANY_TIME, since="7.0.0", acl=("connection",),
         complexity="O(N) where N is the number of arguments to the command")  # fmt: skip
def command_getkeysandflags(call: Call) -> Reply:
    """Tell which words of a call are keys, and what happens to them."""
    return [[call.argv[at + 2], Members([Status(flag) for flag in flags])] for at, flags in _keys(call)]


def _keys(call: Call) -> list[tuple[int, tuple[str, ...]]]:
    words = call.argv[2:]
    spec = call.state.table.resolve(words)
    if spec is None or (spec.run is None and len(words) > 1):
        raise Failure("ERR Invalid command specified")
    if all("not_key" in each.flags for each in spec.key_specs):
        raise Failure("ERR The command has no key arguments")
    if not spec.low <= len(words) <= spec.high:
        raise Failure("ERR Invalid number of arguments specified for command")
    try:
        found = _found(spec, words)
    except ValueError:
        found = []
    if not found and not spec.flags & NO_MANDATORY_KEYS:
        raise Failure("ERR Invalid arguments specified for command")
    variable = _VARIABLE.get(spec.name)
    return [(at, variable(words)) for at, _ in found] if variable is not None else found


def _found(spec: Spec, words: list[bytes]) -> list[tuple[int, tuple[str, ...]]]:
    if spec.name != b"migrate":
        return spec.keys(words)
    return [(at, spec.key_specs[0].flags) for at in _places_of_migrate(words)]


def _places_of_migrate(words: list[bytes]) -> list[int]:
    """The key, or those behind KEYS, which wants an empty one; a password may be called KEYS."""
    at = 6
    while at < len(words):
        word = words[at].upper()
        if word == b"KEYS":
            return [] if words[3] else list(range(at + 1, len(words)))
        at += {b"AUTH": 2, b"AUTH2": 3}.get(word, 1)
    return [3]


def _flags_of_set(words: list[bytes]) -> tuple[str, ...]:
    reads = any(word.upper() == b"GET" for word in words[3:])
    return ("RW", "access", "update") if reads else ("OW", "update")


def _flags_of_bitfield(words: list[bytes]) -> tuple[str, ...]:
    at = 2
    while at < len(words):
        size = {b"GET": 3, b"OVERFLOW": 2}.get(words[at].upper(), 0)
        if not size or at + size > len(words):
            return ("RW", "access", "update")
        at += size
    return ("RO", "access")


# What happens to the keys of these depends on the other words: "variable_flags".
_VARIABLE: Final[dict[bytes, Callable[[list[bytes]], tuple[str, ...]]]] = {
    b"bitfield": _flags_of_bitfield, b"set": _flags_of_set,
}  # fmt: skip
