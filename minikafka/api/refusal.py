"""A whole request that failed, told in the words of its own reply.

Every reply schema has its own places for an error code: at the top, or in each topic, partition or group it answers.
`refusal` finds them in the field tables: a code at the top is set there and nothing else is filled in; otherwise the
reply's list is built from the request's list, entry by entry, the names and numbers that identify an entry copied and
the code set in the innermost place that has one. That is what the getErrorResponse methods of Kafka's request classes
do one by one.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from protocol.kafka.codegen import Field, resolve
from protocol.kafka.errors import KafkaError
from protocol.kafka.schema import Request, Response, Struct
from protocol.ops.slices import at_once

ERROR_CODE = "error_code"
ERROR_MESSAGE = "error_message"

# The same thing goes by several names on the two sides.
IDENTITIES = (
    ("name", "topic", "topic_name"),
    ("topic_id",),
    ("partition", "partition_index", "partition_id", "index"),
    ("group_id", "group"),
    ("key",),
    ("resource_type",),
    ("resource_name",),
    ("transactional_id",),
)


ENTRIES_A_SLICE = 64


def refusal(request: Request, version: int, error: KafkaError) -> Response:
    """The reply that says `error` for all that `request` asked."""
    return at_once(refusal_in_slices(request, version, error))


def refusal_in_slices(request: Request, version: int, error: KafkaError) -> Generator[None, None, Response]:
    """As `refusal`, with a stop after every so many of the entries a request may have."""
    reply = request.reply()
    if _has_code(reply, version):
        _mark(reply, error)
    else:
        yield from _fill(reply, request, version, error)
    return reply


def _has_code(target: Struct, version: int) -> bool:
    return any(row.name == ERROR_CODE and row.is_in(version) for row in target.fields)


def _mark(target: Any, error: KafkaError) -> None:
    for row in target.fields:
        if row.name == ERROR_CODE:
            target.error_code = error.code
        elif row.name == ERROR_MESSAGE:
            target.error_message = str(error)


def _fill(target: Any, source: Struct, version: int, error: KafkaError) -> Generator[None, None, None]:
    """Give the list of structs in `target` an entry for each entry of the list in `source` that it answers."""
    asked = [row for row in source.fields if row.is_list and row.is_in(version) and getattr(source, row.name)]
    for row in target.fields:
        if not asked or not (row.is_list and row.is_struct and row.is_in(version)) or row.tag is not None:
            continue
        answered = next((other for other in asked if other.name == row.name), asked[0])
        kind = resolve(type(target), row.kind)
        entries = []
        for at, one in enumerate(getattr(source, answered.name)):
            entry = yield from _entry(kind, one, version, error)
            if entry is not None:
                entries.append(entry)
            if at % ENTRIES_A_SLICE == ENTRIES_A_SLICE - 1:
                yield
        if entries:
            setattr(target, row.name, entries)
            return


def _entry(kind: type[Struct], asked: Any, version: int, error: KafkaError) -> Generator[None, None, Any]:
    """One entry of the reply; None when this list is not the one that answers (it has no place for an error)."""
    entry = kind()
    if isinstance(asked, Struct):
        for row in kind.fields:
            value = _identity(asked, row)
            if value is not None:
                setattr(entry, row.name, value)
        if _has_code(entry, version):
            _mark(entry, error)
        else:
            yield from _fill(entry, asked, version, error)
            if not any(row.is_list and getattr(entry, row.name) for row in kind.fields):
                return None
        return entry
    for row in kind.fields:  # a bare name or number is what the entry is called
        if row.name != ERROR_CODE and not row.is_list and type(getattr(entry, row.name)) in (type(asked), type(None)):
            setattr(entry, row.name, asked)
            break
    if not _has_code(entry, version):
        return None
    _mark(entry, error)
    return entry


def _identity(asked: Struct, row: Field) -> Any:
    for names in IDENTITIES:
        if row.name in names:
            for other in asked.fields:
                if other.name in names and not other.is_list:
                    return getattr(asked, other.name)
    return None
