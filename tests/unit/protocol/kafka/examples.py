"""Made-up messages of every class and version, and the form in which Kafka's own converters take them."""

from __future__ import annotations

import base64
import importlib
import pkgutil
import random
import re
from collections.abc import Iterator
from typing import Any

from protocol.kafka import messages
from protocol.kafka.codegen import Field
from protocol.kafka.records import build_batch
from protocol.kafka.schema import Message, Record, Request, Response, Struct

BASES = (Message, Record, Request, Response)

RANGES = {
    "i8": (-(2**7), 2**7 - 1),
    "i16": (-(2**15), 2**15 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "i64": (-(2**63), 2**63 - 1),
    "u16": (0, 2**16 - 1),
}
ALPHABET = "abcXYZ019-._ äß中😀\x00"


def message_classes() -> list[type[Message]]:
    """Every message there is, in a stable order."""
    found = []
    for module in pkgutil.iter_modules(messages.__path__):
        inside = importlib.import_module(f"{messages.__name__}.{module.name}")
        for value in vars(inside).values():
            if isinstance(value, type) and issubclass(value, Message) and value not in BASES:
                found.append(value)
    return sorted(found, key=lambda one: one.__name__)


def versions_of(kind: type[Message]) -> range:
    return range(kind.lowest, kind.highest + 1)


class Maker:
    """Makes values for one message at one version.

    `full`: nothing is at its default. `blank`: everything is. `mixed`: a coin decides, and lists have any length.
    """

    def __init__(self, version: int, style: str, seed: str) -> None:
        self.version = version
        self.style = style
        self.random = random.Random(seed)

    def make(self, kind: type[Struct]) -> Any:
        values = {row.name: self.value(kind, row) for row in kind.fields if row.is_in(self.version)}
        return kind(**values)

    def value(self, owner: type[Struct], row: Field) -> Any:
        is_plain = self.style == "blank" or (self.style == "mixed" and self.random.random() < 0.3)
        if is_plain:
            return self.plain(owner, row)
        if not row.is_list:
            return self.scalar(owner, row)
        length = self.random.choice((0, 1, 2, 3, 130)) if self.style == "mixed" else 2
        if length == 130 and row.is_struct:
            length = 3
        return [self.scalar(owner, row) for _ in range(length)]

    def plain(self, owner: type[Struct], row: Field) -> Any:
        if row.default is None and not row.may_be_null(self.version):
            if row.is_list:
                return []
            if row.is_struct:
                return None if row.tag is not None else self.make(owner.struct_of(row))
            return "" if row.kind == "str" else b""
        return list(row.default) if row.is_list and row.default is not None else row.default

    def scalar(self, owner: type[Struct], row: Field) -> Any:
        choose = self.random
        if row.is_struct:
            made = self.make(owner.struct_of(row))
            # Kafka leaves out a tagged struct that is all default; here None says that it is not there.
            return None if row.tag is not None and not row.is_list and made == type(made)() else made
        if row.kind in RANGES:
            low, high = RANGES[row.kind]
            return choose.choice([v for v in (low, high, choose.randint(low, high), 7) if v != row.default])
        if row.kind == "bool":
            return not row.default
        if row.kind == "f64":
            return choose.random() * 1e9
        if row.kind == "Uuid":
            return bytes([choose.randrange(1, 256)]) + choose.randbytes(15)
        if row.kind == "Records":
            return memoryview(build_batch([(choose.randrange(2**40), b"k", choose.randbytes(20))]))
        length = choose.choice((1, 5, 40, 200)) if self.style == "mixed" else 5
        if row.kind == "bytes":
            return choose.randbytes(length)
        return "".join(choose.choice(ALPHABET) for _ in range(length))


def make(kind: type[Message], version: int, style: str, seed: int = 0) -> Any:
    """A message of that version: the same one for the same arguments, on any machine."""
    return Maker(version, style, f"{kind.__name__} {version} {style} {seed}").make(kind)


def examples(styles: tuple[str, ...]) -> Iterator[tuple[type[Message], int, str]]:
    for kind in message_classes():
        for version in versions_of(kind):
            for style in styles:
                yield kind, version, style


def java_name(name: str) -> str:
    """A field's name in Kafka's JSON."""
    camel = re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)
    return camel.replace("kraft", "kRaft").replace("Kraft", "KRaft")


def to_json(struct: Struct, version: int) -> dict[str, Any]:
    """A struct in the form of Kafka's JSON converters. Tagged fields at their defaults are left out, as they do."""
    told: dict[str, Any] = {}
    for row in struct.fields:
        value = getattr(struct, row.name)
        if row.is_in(version) and (row.tag is None or value != row.default):
            told[java_name(row.name)] = _json_value(row, value, version)
    return told


def _json_value(row: Field, value: Any, version: int) -> Any:
    if value is None:
        return None
    if row.is_list:
        return [_json_scalar(row, one, version) for one in value]
    return _json_scalar(row, value, version)


def _json_scalar(row: Field, value: Any, version: int) -> Any:
    if row.is_struct:
        return to_json(value, version)
    if row.kind == "Uuid":
        return base64.urlsafe_b64encode(value).decode().rstrip("=")
    if row.kind in ("bytes", "Records"):
        return base64.b64encode(value).decode()
    return value
