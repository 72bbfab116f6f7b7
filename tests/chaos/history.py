"""What clients did and saw, as the checker judges it: transactions of appends to lists and of reads of whole lists.

A value is appended to a list once in the whole history, so whoever reads a list knows who wrote each of its values, and
in which order. One line of a file is one transaction:

    [process, outcome, began, ended, [["append", key, value, length after it | null] | ["read", key, [value …]] …]]

Instants are seconds of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Outcome(StrEnum):
    """Acknowledged as the history's promise asks; refused, so that nothing of it may ever be seen; nobody knows."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Append(NamedTuple):
    key: str
    value: int
    length: int | None = None  # of the list after it, as the server told it


class Read(NamedTuple):
    key: str
    values: tuple[int, ...]


Operation = Append | Read


class Transaction(NamedTuple):
    process: int
    outcome: Outcome
    began: float
    ended: float
    operations: tuple[Operation, ...]


class Window(NamedTuple):
    """From when until when an acknowledgement promised nothing."""

    began: float
    ended: float


def weaken(history: Iterable[Transaction], windows: Iterable[Window]) -> list[Transaction]:
    """The history without the promises of those windows: what ended within one may have happened or not. Of a read-only
    transaction nothing is left, of others what they append."""
    kept = []
    doubtful = list(windows)
    for each in history:
        if each.outcome is Outcome.OK and any(window.began <= each.ended <= window.ended for window in doubtful):
            each = each._replace(outcome=Outcome.UNKNOWN)
        kept.append(each)
    return kept


def dump(history: Iterable[Transaction], path: Path) -> None:
    with path.open("w") as file:
        for each in history:
            operations = [
                ["append", *operation] if isinstance(operation, Append) else ["read", *operation]
                for operation in each.operations
            ]
            line = [each.process, each.outcome, each.began, each.ended, operations]
            file.write(json.dumps(line, separators=(",", ":")) + "\n")


def load(path: Path) -> Iterator[Transaction]:
    with path.open() as file:
        for line in file:
            process, outcome, began, ended, operations = json.loads(line)
            yield Transaction(process, Outcome(outcome), began, ended, tuple(map(_operation, operations)))


def _operation(words: list[object]) -> Operation:
    kind, *rest = words
    if kind == "append":
        key, value, length = rest
        return Append(key, value, length)  # type: ignore[arg-type]
    key, values = rest
    return Read(key, tuple(values))  # type: ignore[arg-type]
