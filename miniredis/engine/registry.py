"""The table of commands: each one declared beside its handler, everything else derived.

    @command("GETEX key [EX seconds:integer | PERSIST]", WRITE | FAST, since="6.2.0", keys="RW access update")
    def getex(call: Call) -> Reply:
        \"\"\"Return a string and, on the way, set or clear its time to live.\"\"\"

The syntax line gives arity, key positions and the argument tree; the docstring's first line is the summary; the module
is the group; flags and group give the ACL categories. What a syntax line cannot say stands beside it: what happens to
the keys (`keys`, one "RW access update # why" per key argument, joined by " | "), `since`, tips.

Law: a `Spec` is a fact and never changes; whoever counts calls keeps the counters himself (engine/observe.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from miniredis.engine import syntax
from protocol.resp.values import Reply, Status

if TYPE_CHECKING:
    from miniredis.engine.call import Call
    from miniredis.engine.rows import Row

Handler = Callable[["Call"], Reply]
RowHandler = Callable[["Row"], None]
History = tuple[tuple[str, str], ...]  # (version, what it changed about the command)

# Flags, by Redis' names. WRITE and READONLY decide propagation and what a replica refuses; the rest what guards refuse.
WRITE: Final = 1 << 0
READONLY: Final = 1 << 1
DENYOOM: Final = 1 << 2
ADMIN: Final = 1 << 4
PUBSUB: Final = 1 << 5
NOSCRIPT: Final = 1 << 6
BLOCKING: Final = 1 << 8
LOADING: Final = 1 << 9
STALE: Final = 1 << 10
SKIP_MONITOR: Final = 1 << 11
SKIP_SLOWLOG: Final = 1 << 12
ASKING: Final = 1 << 13
FAST: Final = 1 << 14
NO_AUTH: Final = 1 << 15
NO_ASYNC_LOADING: Final = 1 << 23
NO_MULTI: Final = 1 << 24
MOVABLE_KEYS: Final = 1 << 25
ALLOW_BUSY: Final = 1 << 26
NO_MANDATORY_KEYS: Final = 1 << 27
# Not shown to clients: guarded by enable-debug-command; touches keys the client did not name (no MULTI around their
# effects); handled although a transaction is open; allowed to a RESP2 subscriber.
PROTECTED: Final = 1 << 32
TOUCHES_ARBITRARY_KEYS: Final = 1 << 33
UNQUEUED: Final = 1 << 34
IN_SUBSCRIBER: Final = 1 << 35
# Also not shown: may be answered later although it does not block (engine/execute.py, outlast); takes part in
# replication without being a write itself.
OUTLASTS: Final = 1 << 36
MAY_REPLICATE: Final = 1 << 37
# And: refused while changes cannot be saved, to be heard by those who watch over the server.
HEALTH: Final = 1 << 39
# And: its client may have to wait for something else than a key.
WAITS: Final = 1 << 38

FLAG_NAMES: Final = {
    WRITE: b"write", READONLY: b"readonly", DENYOOM: b"denyoom", ADMIN: b"admin", PUBSUB: b"pubsub",
    NOSCRIPT: b"noscript", BLOCKING: b"blocking", LOADING: b"loading", STALE: b"stale", SKIP_MONITOR: b"skip_monitor",
    SKIP_SLOWLOG: b"skip_slowlog", ASKING: b"asking", FAST: b"fast", NO_AUTH: b"no_auth",
    NO_MANDATORY_KEYS: b"no_mandatory_keys", NO_ASYNC_LOADING: b"no_async_loading", NO_MULTI: b"no_multi",
    MOVABLE_KEYS: b"movablekeys", ALLOW_BUSY: b"allow_busy",
}  # fmt: skip

# In the order in which COMMAND INFO names them.
CATEGORIES: Final = (
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream",
    "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
    "vectorset",
)  # fmt: skip

_CATEGORY_OF_GROUP: Final = {
    "generic": "keyspace", "string": "string", "list": "list", "set": "set", "sorted-set": "sortedset", "hash": "hash",
    "pubsub": None, "transactions": "transaction", "connection": "connection", "server": None,
    "scripting": "scripting", "hyperloglog": "hyperloglog", "cluster": None, "geo": "geo", "stream": "stream",
    "bitmap": "bitmap", "replication": None, "vector_set": "vectorset",
}  # fmt: skip

_GROUP_OF_MODULE: Final = {
    "strings": "string", "lcs": "string", "keys": "generic", "lists": "list", "hashes": "hash", "sets": "set",
    "zsets": "sorted-set", "zset_ranges": "sorted-set", "zset_algebra": "sorted-set",
    "dump": "generic", "streams": "stream", "transactions": "transactions", "bitmaps": "bitmap", "config": "server",
    "acl": "server",
    "stream_groups": "stream", "stream_info": "stream", "stream_reading": "stream", "stream_claims": "stream",
    "replication": "server", "replicaof": "server", "persistence": "server", "memory": "server", "latency": "server",
    "modules": "server",
    "observe": "server", "command_docs": "server",
    "bitfields": "bitmap", "hash_expiry": "hash", "sorting": "generic",
    "info": "server", "debug": "server", "scripting": "scripting", "functions": "scripting", "clients": "connection",
    "vector_sets": "vector_set",
}  # fmt: skip

UNBOUNDED: Final = 1 << 31  # more words than the parser lets through


class KeySpec:
    """Where the keys of one key argument are and what happens to them, as COMMAND INFO tells it.

    `last` counts from `first` (negative: from the end of argv, as Redis' lastkey); with `keynum_index` >= 0 a word at
    that offset from `begin` says how many there are. `keyword` starts the search at a token instead of an index.
    """

    __slots__ = ("begin", "finder", "first_key", "flags", "keynum_index", "keyword", "last", "limit", "notes", "step")

    def __init__(
        self, begin: int, last: int = 0, step: int = 1, flags: str = "RO access", *,
        keyword: str | None = None, keynum_index: int = -1, first_key: int = 0, limit: int = 0, notes: str = "",
        finder: Callable[[list[bytes]], list[int]] | None = None,
    ) -> None:  # fmt: skip
        self.begin = begin
        self.last = last
        self.step = step
        self.flags = tuple(flags.split())
        self.keyword = keyword
        self.keynum_index = keynum_index
        self.first_key = first_key
        self.limit = limit
        self.notes = notes
        self.finder = finder  # where no rule of this kind can say it: COMMAND INFO calls that "unknown"

    def positions(self, argv: list[bytes]) -> list[int]:
        """Indices of the keys in these words. ValueError: the words do not say it properly."""
        if self.finder is not None:
            return self.finder(argv)
        begin = self._begin(argv)
        if begin < 0:
            return []
        if self.keynum_index >= 0:
            count = int(argv[begin + self.keynum_index])
            first = begin + self.first_key
            if count < 1 or first + (count - 1) * self.step >= len(argv):
                raise ValueError("numkeys")
            return list(range(first, first + count * self.step, self.step))
        last = begin + self.last if self.last >= 0 else len(argv) + self.last
        if self.last < 0 and self.limit > 1:
            last = begin + (len(argv) - begin) // self.limit + self.last
        return [at for at in range(begin, last + 1, self.step) if at < len(argv)]

    def _begin(self, argv: list[bytes]) -> int:
        if self.keyword is None:
            return self.begin if self.begin < len(argv) else -1
        wanted = self.keyword.encode()
        backwards = self.begin < 0
        places = range(len(argv) + self.begin, 0, -1) if backwards else range(self.begin, len(argv))
        for at in places:
            if argv[at].upper() == wanted:
                return at + 1 if at + 1 < len(argv) else -1
        return -1


class Spec:
    """One command or subcommand, or a container of subcommands."""

    __slots__ = (
        "__dict__", "acl_extra", "arity_given", "complexity", "deprecated", "flags", "group", "high", "history",
        "is_internal", "key_flags", "key_specs_given", "low",
        "module_order", "name", "run", "run_row", "since", "subcommands", "summary", "syntax", "tips",
    )  # fmt: skip

    def __init__(
        self, line: str, run: Handler | None, flags: int, *, since: str, group: str, summary: str, complexity: str,
        key_flags: str, key_specs: tuple[KeySpec, ...] | None, acl: tuple[str, ...], tips: tuple[str, ...],
        history: History = (), arity: int | None = None, deprecated: tuple[str, str] | None = None,
        is_internal: bool = False, run_row: RowHandler | None = None,
    ) -> None:  # fmt: skip
        self.syntax = syntax.parse(line)
        sub = self.syntax.subcommand
        # The name a client is told: lower case, subcommands glued with "|".
        self.name: bytes = (self.syntax.name if sub is None else f"{self.syntax.name}|{sub}").lower().encode()
        self.run = run
        self.run_row = run_row
        self.flags = flags
        self.since = since
        self.group = group
        self.summary = summary
        self.complexity = complexity
        self.key_flags = key_flags
        self.key_specs_given = key_specs
        self.acl_extra = acl
        self.tips = tips
        self.history = history
        self.deprecated = deprecated
        self.is_internal = is_internal
        self.subcommands: dict[bytes, Spec] = {}
        self.arity_given = arity
        self.low = abs(self.arity)
        self.high = self.arity if self.arity > 0 else UNBOUNDED
        if any(spec.keynum_index >= 0 or spec.keyword or spec.finder for spec in self.key_specs):
            self.flags |= MOVABLE_KEYS

    @cached_property
    def arity(self) -> int:
        """Redis' arity: exact, or minus the least number of words, the name included."""
        if self.arity_given is not None:
            return self.arity_given
        return -2 if self.run is None else self.syntax.arity

    @cached_property
    def key_specs(self) -> tuple[KeySpec, ...]:
        if self.key_specs_given is not None:
            return self.key_specs_given
        places = self.syntax.key_positions()
        flags = [part.strip() for part in self.key_flags.split("|")] if self.key_flags else []
        if not flags:
            flags = ["RO access" if self.flags & READONLY else "RW update"]
        specs = []
        for place, where in enumerate(places):
            word, _, notes = flags[min(place, len(flags) - 1)].partition("#")
            if where.is_counted:
                specs.append(KeySpec(where.first, 0, 1, word, keynum_index=0, first_key=1, notes=notes.strip()))
            else:
                specs.append(KeySpec(where.first, where.last, where.step, word, notes=notes.strip()))
        return tuple(specs)

    @cached_property
    def key_range(self) -> tuple[int, int, int]:
        """first, last and step as COMMAND told them before key specs: what those say in one range, else zeros."""
        plain = [spec for spec in self.key_specs if not (spec.keyword or spec.finder) and spec.keynum_index < 0]
        if not plain:
            return (0, 0, 0)
        first = plain[0]
        last = first.begin + first.last if first.last >= 0 else first.last
        for spec in plain[1:]:
            if spec.step != 1 or first.step != 1 or last < 0 or spec.begin != last + 1:
                break
            last = spec.begin + spec.last if spec.last >= 0 else spec.last
        return (first.begin, last, first.step)

    @cached_property
    def categories(self) -> frozenset[str]:
        """ACL categories without their @, from flags and group."""
        flags = self.flags
        if self.run is None:
            return frozenset({"slow"})  # a container is never called: Redis leaves it without a group's category
        found = set(self.acl_extra)
        category = _CATEGORY_OF_GROUP[self.group]
        if category and not found & {"list", "set", "sortedset", "connection"}:
            found.add(category)
        if flags & WRITE:
            found.add("write")
        if flags & READONLY and "scripting" not in found:
            found.add("read")
        if flags & ADMIN:
            found |= {"admin", "dangerous"}
        if flags & PUBSUB:
            found.add("pubsub")
        found.add("fast" if flags & FAST else "slow")
        if flags & BLOCKING:
            found.add("blocking")
        return frozenset(found)

    @property
    def category_names(self) -> list[str]:
        return sorted(self.categories, key=CATEGORIES.index)

    @property
    def flag_names(self) -> list[bytes]:
        return [name for bit, name in FLAG_NAMES.items() if self.flags & bit]

    def keys(self, argv: list[bytes]) -> list[tuple[int, tuple[str, ...]]]:
        """(index in argv, what happens to it) of every key of this call. ValueError: malformed."""
        found: list[tuple[int, tuple[str, ...]]] = []
        for spec in self.key_specs:
            if "not_key" not in spec.flags:
                found.extend((at, spec.flags) for at in spec.positions(argv))
        return found


_declared: list[Spec] = []  # filled while the command modules are imported, and never after


def command(
    line: str,
    flags: int = 0,
    *,
    since: str = "1.0.0",
    keys: str = "",
    key_specs: tuple[KeySpec, ...] | None = None,
    acl: tuple[str, ...] = (),
    tips: tuple[str, ...] = (),
    group: str | None = None,
    complexity: str = "O(1)",
    history: History = (),
    arity: int | None = None,
    deprecated: tuple[str, str] | None = None,
    is_internal: bool = False,
    row: RowHandler | None = None,
) -> Callable[[Handler], Handler]:
    """Declare the handler below as a command.

    `acl`: categories that group and flags do not give. `arity`: where it is not what the syntax line says.
    `deprecated`: since which version, and what to use instead. `is_internal`: a tool of whoever develops the server.
    `row`: how calls that come in a row are run in one loop (engine/rows.py).
    """

    def declare(run: Handler) -> Handler:
        module = run.__module__.rpartition(".")[2]
        summary = (run.__doc__ or "").strip().splitlines()[0] if run.__doc__ else ""
        assert summary, f"{line}: the docstring is the summary"
        _declared.append(
            Spec(
                line, run, flags, since=since, group=group or _GROUP_OF_MODULE.get(module, module), summary=summary,
                complexity=complexity, key_flags=keys, key_specs=key_specs, acl=acl, tips=tips,
                history=history, arity=arity, deprecated=deprecated, is_internal=is_internal, run_row=row,
            )
        )  # fmt: skip
        return run

    return declare


def container(
    name: str, *, since: str, group: str, summary: str, flags: int = 0, help_since: str = "5.0.0", help_flags: int = 0,
    has_help: bool = True,
) -> None:  # fmt: skip
    """Declare a command that is only the sum of its subcommands (`CONFIG`), and its HELP unless that is one of them."""
    if has_help:
        declare_help(name, since=help_since, group=group, flags=help_flags)
    _declared.append(
        Spec(
            name, None, flags, since=since, group=group, summary=summary, complexity="Depends on subcommand.",
            key_flags="", key_specs=(), acl=(), tips=(),
        )
    )  # fmt: skip


def declare_help(name: str, *, since: str = "5.0.0", group: str, flags: int = 0, acl: tuple[str, ...] = ()) -> None:
    """Declare `name HELP`, which is made from the declarations of the other subcommands."""
    _declared.append(
        Spec(
            f"{name}|HELP", _show_help, flags | LOADING | STALE, since=since, group=group,
            summary="Return a text about the subcommands.", complexity="O(1)", key_flags="", key_specs=(), acl=acl,
            tips=(),
        )
    )  # fmt: skip


def _show_help(call: Call) -> Reply:
    parent = call.state.table.find(call.argv[0])
    assert parent is not None
    name = parent.syntax.name
    lines = [f"{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    for sub in parent.subcommands.values():
        if sub.run is not _show_help:
            words = " ".join([argument.shown() for argument in sub.syntax.arguments])
            lines += [f"{sub.syntax.subcommand} {words}".rstrip(), f"    {sub.summary}"]
    lines += ["HELP", "    Print this help."]
    return [Status(line) for line in lines]


class CommandTable:
    """All commands by name: an exact hit for upper and lower case, any other spelling through `find`."""

    def __init__(self, specs: Iterable[Spec]) -> None:
        self.by_name: dict[bytes, Spec] = {}
        subcommands: list[Spec] = []
        for spec in specs:
            if spec.syntax.subcommand is None:
                assert spec.name not in self.by_name, f"{spec.name!r} is declared twice"
                self.by_name[spec.name] = spec
                spec.subcommands.clear()
            else:
                subcommands.append(spec)
        for spec in subcommands:
            parent = self.by_name[spec.name.split(b"|")[0]]
            parent.subcommands[spec.name.split(b"|")[1]] = spec
        self.exact: dict[bytes, Spec] = dict(self.by_name)
        self.exact.update({name.upper(): spec for name, spec in self.by_name.items()})

    def __len__(self) -> int:
        return len(self.by_name)

    def __iter__(self) -> Any:
        return iter(self.by_name.values())

    def everything(self) -> list[Spec]:
        """Commands and subcommands alike: whatever has a handler or a name of its own."""
        return [spec for top in self.by_name.values() for spec in (top, *top.subcommands.values())]

    def find(self, name: bytes) -> Spec | None:
        """By name in any case; `config|get` finds the subcommand."""
        spec = self.exact.get(name)
        if spec is not None:
            return spec
        top, _, sub = name.lower().partition(b"|")
        spec = self.by_name.get(top)
        return spec.subcommands.get(sub) if spec is not None and sub else spec

    def resolve(self, argv: list[bytes]) -> Spec | None:
        """The command these words call; a container itself when its subcommand is missing or unknown."""
        spec = self.find(argv[0])
        if spec is not None and spec.subcommands and len(argv) > 1:
            return spec.subcommands.get(argv[1].lower(), spec)
        return spec


def declared() -> CommandTable:
    """The table of what has been declared so far: import the command modules first."""
    return CommandTable(_declared)
