"""Codegen: a field table and a version become the flat source of a decoder and an encoder.

No loop over fields runs per message: the loop runs here, once per class and version, and leaves straight code behind.
Runs of fixed-size fields become one `struct` call, into which the length of the string behind them is drawn as well.

    decoders.py    decode(data, position, budget) -> message
    encoders.py    encode(message, out) -> [buffer, …]
    here           the field table, the constructor, and what the two have in common

Each comes in two forms: plain, and in slices, as a generator that stops after every so many elements.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any

__all__ = [
    "FIXED",
    "SLICE_ELEMENTS",
    "Field",
    "Writer",
    "build_constructor",
    "parse_annotation",
    "plain_default",
    "resolve",
    "split_tags",
]

FIXED = {"i8": "b", "i16": "h", "i32": "i", "i64": "q", "u16": "H", "f64": "d", "bool": "?", "Uuid": "16s"}

SLICE_ELEMENTS = 128  # decoded or encoded between two stops: about half a millisecond


@dataclass(slots=True)
class Field:
    """One row of a field table. See `schema.field` for the words."""

    since: int = 0
    until: int | None = None
    default: Any = None
    nullable: int | None = None
    tag: int | None = None
    name: str = ""
    kind: str = ""  # a word of FIXED, str, bytes, Records or the name of a struct
    is_list: bool = False
    is_optional: bool = False

    def is_in(self, version: int) -> bool:
        """Whether that version carries it."""
        return self.since <= version and (self.until is None or version <= self.until)

    @property
    def is_struct(self) -> bool:
        """Whether it is one struct or a list of them."""
        return self.kind not in FIXED and self.kind not in ("str", "bytes", "Records")

    def may_be_null(self, version: int) -> bool:
        """Whether that version may carry null. A tagged struct is absent instead, unless the table says otherwise."""
        if self.nullable is not None:
            return version >= self.nullable
        return self.is_optional and not (self.tag is not None and self.is_struct and not self.is_list)


def parse_annotation(text: str) -> tuple[str, bool, bool]:
    """(kind, is a list, may be None) of an annotation such as `list[Topic] | None`."""
    match = re.fullmatch(r"(?:list\[(\w+)\]|(\w+))( \| None)?", text)
    if match is None:
        raise TypeError(f"{text!r} is not an annotation of a message field")
    return match[1] or match[2], match[1] is not None, match[3] is not None


def plain_default(row: Field) -> Any:
    """What a field holds when nothing is said: None where allowed, else zero or empty."""
    if row.is_list and not row.is_optional:
        return []
    if row.is_optional or row.is_struct:
        return None
    return {"bool": False, "f64": 0.0, "str": "", "bytes": b"", "Records": b"", "Uuid": bytes(16)}.get(row.kind, 0)


def build_constructor(owner: Any) -> Callable[..., None]:
    """`__init__` with one keyword argument a field."""
    lines, signature = [], []
    scope: dict[str, Any] = {"unsaid": object()}  # None is a value of a list that may be null
    for row in owner.fields:
        if row.default == [] and row.is_list:
            signature.append(f"{row.name}=unsaid")
            lines.append(f"    self.{row.name} = [] if {row.name} is unsaid else {row.name}")
            continue
        signature.append(f"{row.name}={row.default!r}")
        lines.append(f"    self.{row.name} = {row.name}")
    star = ", *, " if signature else ""
    source = f"def __init__(self{star}{', '.join(signature)}):\n" + ("\n".join(lines) or "    pass") + "\n"
    exec(compile(source, f"<{owner.__name__}>", "exec"), scope)
    constructor: Callable[..., None] = scope["__init__"]
    return constructor


def resolve(owner: Any, name: str) -> Any:
    """The struct class that a field of `owner` names."""
    return getattr(sys.modules[owner.__module__], name)


def split_tags(owner: Any, version: int) -> tuple[list[Field], list[Field]]:
    """The fields of that version in wire order, and its tagged ones by tag."""
    present = [row for row in owner.fields if row.is_in(version)]
    tagged = [row for row in present if row.tag is not None]
    return [row for row in present if row.tag is None], sorted(tagged, key=lambda row: row.tag or 0)


@dataclass(slots=True)
class Writer:
    """Source lines at an indentation, and the globals they will see."""

    owner: Any
    version: int
    is_flexible: bool
    lines: list[str] = attribute(default_factory=list)
    scope: dict[str, Any] = attribute(default_factory=dict)
    depth: int = 1
    pending: list[tuple[str, str]] = attribute(default_factory=list)  # fixed-size fields in hand: (what, format)
    names: int = 0
    is_slicing: bool = False  # stops every so many elements

    def line(self, text: str) -> None:
        """One line of source."""
        self.lines.append("    " * self.depth + text)

    def fresh(self, stem: str) -> str:
        """A name nothing else uses."""
        self.names += 1
        return f"{stem}{self.names}"

    def constant(self, stem: str, value: Any) -> str:
        """A global of the generated function."""
        name = f"{stem}_{getattr(value, '__name__', len(self.scope))}"
        self.scope[name] = value
        return name

    def stop_now_and_then(self) -> None:
        """The end of an element: where slices are asked for, the place to stop."""
        if self.is_slicing:
            self.line("left -= 1")
            self.line("if left <= 0:")
            self.line(f"    left = {SLICE_ELEMENTS}")
            self.line("    yield")

    def compiled(self, name: str, source: str) -> Any:
        """Run the source and hand out the function it defines."""
        exec(compile(source, f"<{name} {self.owner.__name__} v{self.version}>", "exec"), self.scope)
        return self.scope[name]
