"""SORT: the elements of a list, a set or a sorted set in another order, or what other keys hold for them.

A pattern names a key for each element: its first `*` becomes the element, and what follows `->` is a field of the hash
there. `#` is the element itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from miniredis.commands.lists import new_list
from miniredis.engine.call import SYNTAX_ERROR, Call, Origin
from miniredis.engine.registry import DENYOOM, READONLY, WRITE, KeySpec, command
from miniredis.keyspace import notify
from miniredis.keyspace.db import WRONG_TYPE, Db
from miniredis.keyspace.value import is_string, string_bytes
from miniredis.structures.chunks import List
from miniredis.structures.hash import Hash
from miniredis.structures.partial_sort import partial_order
from miniredis.structures.sets import Set
from miniredis.structures.zset import SortedSet
from protocol.resp.numbers import parse_float
from protocol.resp.values import Failure, Reply

_OPTIONS: Final = (
    "[BY by-pattern:pattern/pattern] [LIMIT offset:integer count:integer] [GET= get-pattern:pattern/pattern ...] "
    "order=[ASC | DESC] sorting=[ALPHA]"
)
_WORDS: Final = {b"LIMIT": 3, b"GET": 2, b"BY": 2, b"STORE": 2}  # how many, the option itself included
_SPACES: Final = b" \t\n\v\f\r"
_PATTERNS: Final = "The names of the keys of BY and GET come from the elements that are sorted."
_COMPLEXITY: Final = "O(N+M*log(M)), N elements, M of them returned"


def stored_key(argv: list[bytes]) -> list[int]:
    """Where the key of STORE is: the last one counts."""
    found: list[int] = []
    at = 2
    while at < len(argv):
        word = argv[at].upper()
        if word == b"STORE" and at + 1 < len(argv):
            found = [at + 1]
        at += _WORDS.get(word, 1)
    return found


def no_keys(argv: list[bytes]) -> list[int]:
    """None that could be known before the elements are read."""
    return []


_SOURCE: Final = KeySpec(1)
_PATTERN_KEYS: Final = KeySpec(0, notes=_PATTERNS, finder=no_keys)


@command(
    f"SORT key {_OPTIONS} [STORE destination:key]", WRITE | DENYOOM, acl=("set", "sortedset", "list", "dangerous"),
    key_specs=(_SOURCE, _PATTERN_KEYS,
               KeySpec(0, flags="OW update", notes="STORE may stand anywhere, and more than once.", finder=stored_key)),
    complexity=_COMPLEXITY,
)  # fmt: skip
def sort(call: Call) -> Reply:
    """Sort a list, a set or a sorted set; return the elements, or what other keys hold for them, or store that."""
    return _Sort(call, may_store=True).answer()


@command(
    f"SORT_RO key {_OPTIONS}", READONLY, since="7.0.0", acl=("set", "sortedset", "list", "dangerous"),
    key_specs=(_SOURCE, _PATTERN_KEYS), complexity=_COMPLEXITY,
)  # fmt: skip
def sort_ro(call: Call) -> Reply:
    """Sort a list, a set or a sorted set; return the elements, or what other keys hold for them."""
    return _Sort(call, may_store=False).answer()


class _Sort:
    """The options of one call, and what they ask for."""

    __slots__ = ("by", "call", "count", "is_alpha", "is_descending", "is_sorted", "offset", "patterns", "target")

    def __init__(self, call: Call, may_store: bool) -> None:
        self.call = call
        self.by: bytes | None = None
        self.patterns: list[bytes] = []
        self.offset = 0
        self.count = -1
        self.is_descending = False
        self.is_alpha = False
        self.is_sorted = True
        self.target: bytes | None = None
        self._read(may_store)

    def _read(self, may_store: bool) -> None:
        call, argv = self.call, self.call.argv
        at = 2
        while at < len(argv):
            option = call.option(at)
            words = _WORDS.get(option, 1)
            if at + words > len(argv) or (option == b"STORE" and not may_store):
                raise Failure(SYNTAX_ERROR)
            if option in (b"ASC", b"DESC"):
                self.is_descending = option == b"DESC"
            elif option == b"ALPHA":
                self.is_alpha = True
            elif option == b"LIMIT":
                self.offset, self.count = call.integer(at + 1), call.integer(at + 2)
            elif option == b"STORE":
                self.target = argv[at + 1]
            elif option == b"BY":
                self.by = argv[at + 1]
                self.is_sorted = self.is_sorted and b"*" in self.by
            elif option == b"GET":
                self.patterns.append(argv[at + 1])
            else:
                raise Failure(SYNTAX_ERROR)
            at += words

    def answer(self) -> Reply:
        elements = self._elements()
        start, end = self._limits(len(elements))
        found: list[bytes | None] = list(elements[start:end])
        if self.patterns:
            lookups = [_lookup(self.call.db, pattern) for pattern in self.patterns]
            found = [look(element) for element in elements[start:end] for look in lookups]
        return found if self.target is None else self._store(self.target, [value or b"" for value in found])

    def _limits(self, size: int) -> tuple[int, int]:
        start = min(max(self.offset, 0), size)
        return start, size if self.count < 0 else min(start + self.count, size)

    def _elements(self) -> list[bytes]:
        """All of them, in the order asked for."""
        value: Any = self.call.db.find(self.call.argv[1])
        if value is None:
            return []
        if type(value) is SortedSet:
            self.call.db.opened(self.call.argv[1])
            value.leave_listpack()  # as there: who sorts a packed one unpacks it for good
            elements = value.members(0, len(value))
        elif type(value) is List:
            elements = list(value)
        elif type(value) is Set:
            elements = list(value)
            if not self.is_sorted and (self.target is not None or self.call.origin is Origin.SCRIPT):
                # Others must come to the same order, which a set has not.
                self.is_sorted = self.is_alpha = True
                self.by = None
            if not self.is_sorted:
                return elements
        else:
            raise Failure(WRONG_TYPE)
        if self.is_sorted:
            return self._sorted(elements)
        return elements[::-1] if self.is_descending else elements

    def _sorted(self, elements: list[bytes]) -> list[bytes]:
        start, end = self._limits(len(elements))
        weights: list[bytes | None] = list(elements)
        if self.by is not None:
            weights = list(map(_lookup(self.call.db, self.by), elements))
        if self.is_alpha:
            # What has no weight comes first.
            texts = [(weight is not None, weight or b"") for weight in weights]
            if self.by is not None and (start, end) != (0, len(elements)):
                return self._part(elements, texts, start, end)
            order = sorted(range(len(elements)), key=texts.__getitem__, reverse=self.is_descending)
        else:
            try:
                scores = [(_score(weight), element) for weight, element in zip(weights, elements, strict=True)]
            except ValueError:
                raise Failure("ERR One or more scores can't be converted into double") from None
            order = sorted(range(len(elements)), key=scores.__getitem__, reverse=self.is_descending)
        return [elements[at] for at in order]

    def _part(self, elements: list[bytes], texts: list[tuple[bool, bytes]], start: int, end: int) -> list[bytes]:
        """In the order that Redis leaves where not all is wanted: equal texts stand otherwise there."""
        sign = -1 if self.is_descending else 1
        ranks = {text: sign * rank for rank, text in enumerate(sorted(set(texts)))}
        return [elements[at] for at in partial_order([ranks[text] for text in texts], start, end - 1)]

    def _store(self, key: bytes, values: list[bytes]) -> int:
        call = self.call
        db = call.db
        db.expire_if_due(key)
        if not values:
            if db.delete(key):
                db.notify(notify.GENERIC, b"del", key)
                db.dirty += 1
            return 0
        stored = new_list(call)
        stored.push_tail(values, call.state.settings.list_max_listpack_size)
        db.put(key, stored)
        db.changed(key, stored, b"sortstore", notify.LIST, len(values))
        return len(values)


def _score(weight: bytes | None) -> float:
    """A weight as strtod reads it: with spaces before it, and nothing is 0. ValueError: it is no number."""
    if not weight:
        return 0.0
    if weight.isdigit() and len(weight) < 16:
        return float(weight)
    text, ended, _ = weight.partition(b"\0")
    number = text.lstrip(_SPACES)
    return 0.0 if ended and not text else parse_float(number)


def _lookup(db: Db, pattern: bytes) -> Callable[[bytes], bytes | None]:
    """What a pattern finds for an element."""
    if pattern == b"#":
        return bytes
    before, star, after = pattern.partition(b"*")
    if not star:
        return _nothing
    at = after.find(b"->")
    if at >= 0 and at + 2 < len(after):
        return _FieldLookup(db, before, after[:at], after[at + 2 :])
    return _StringLookup(db, before, after)


def _nothing(element: bytes) -> None:
    return None


class _StringLookup:
    __slots__ = ("after", "before", "db")

    def __init__(self, db: Db, before: bytes, after: bytes) -> None:
        self.db = db
        self.before = before
        self.after = after

    def __call__(self, element: bytes) -> bytes | None:
        value: Any = self.db.find(self.before + element + self.after)
        return string_bytes(value) if value is not None and is_string(value) else None


class _FieldLookup:
    __slots__ = ("after", "before", "db", "field")

    def __init__(self, db: Db, before: bytes, after: bytes, field: bytes) -> None:
        self.db = db
        self.before = before
        self.after = after
        self.field = field

    def __call__(self, element: bytes) -> bytes | None:
        value: Any = self.db.find(self.before + element + self.after)
        return value.get(self.field) if type(value) is Hash else None
