"""A whole request that failed, told in the words of its own reply.

Every reply schema has its own places for an error code: at the top, or in each topic, partition or group it answers.
`refusal` finds them in the field tables: a code at the top is set there and nothing else is filled in; otherwise the
reply's list is built from the request's list, entry by entry, the names and numbers that identify an entry copied and
the code set in the innermost place that has one. That is what the getErrorResponse methods of Kafka's request classes
do one by one.
"""

from __future__ import annotations

from typing import Any

from protocol.kafka.errors import KafkaError
from protocol.kafka.schema import Request, Response, Struct

ERROR_CODE = "error_code"
ERROR_MESSAGE = "error_message"

# What identifies the same thing on both sides under different names.
IDENTITIES = (
    "name",
    "topic",
    "topic_name",
    "topic_id",
    "group_id",
    "group",
    "partition",
    "partition_index",
    "index",
    "key",
    "resource_type",
    "resource_name",
    "transactional_id",
)


def refusal(request: Request, version: int, error: KafkaError) -> Response:
    """The reply that says `error` for all that `request` asked."""
    kind = request.reply
    reply = kind()
    if _has(kind, ERROR_CODE, version):
        _mark(reply, error)
        return reply
    _fill(reply, request, version, error)
    return reply


def _has(kind: type[Struct], name: str, version: int) -> bool:
    return any(row.name == name and _carries(row, version) for row in kind.fields)


def _carries(row: Any, version: int) -> bool:
    return bool(row.since <= version and (row.until is None or version <= row.until))


def _mark(target: Any, error: KafkaError) -> None:
    for row in target.fields:
        if row.name == ERROR_CODE:
            target.error_code = error.code
        elif row.name == ERROR_MESSAGE and str(error):
            target.error_message = str(error)


def _fill(target: Any, source: Any, version: int, error: KafkaError) -> None:
    """Give each list of structs in `target` the entries of the list in `source` that it answers."""
    asked = [row for row in source.fields if row.is_list and _carries(row, version) and getattr(source, row.name)]
    for row in target.fields:
        if not row.is_list or not _carries(row, version) or not _is_struct(row.kind):
            continue
        named = [other for other in asked if other.name == row.name] or asked
        if named:
            entries = getattr(source, named[0].name)
            setattr(target, row.name, [_entry(row.kind, entry, version, error) for entry in entries])
            return


def _entry(kind: type[Struct], asked: Any, version: int, error: KafkaError) -> Any:
    entry = kind()
    if isinstance(asked, Struct):
        given = {row.name: getattr(asked, row.name) for row in asked.fields if row.name in IDENTITIES}
        own = [row for row in kind.fields if row.name in IDENTITIES]
        for row in own:
            if row.name in given:
                setattr(entry, row.name, given[row.name])
            else:
                _match(entry, row, given)
        if _has(kind, ERROR_CODE, version):
            _mark(entry, error)
        else:
            _fill(entry, asked, version, error)
        return entry
    for row in kind.fields:  # a bare name or number: it is what the entry is called
        if row.name != ERROR_CODE and not row.is_list and isinstance(asked, type(getattr(entry, row.name))):
            setattr(entry, row.name, asked)
            break
    _mark(entry, error)
    return entry


def _match(entry: Any, row: Any, given: dict[str, Any]) -> None:
    """The same thing under another name: topic and name, partition and index."""
    for names in (("name", "topic", "topic_name"), ("partition", "partition_index", "index"), ("group_id", "group")):
        if row.name in names:
            for name in names:
                if name in given:
                    setattr(entry, row.name, given[name])
                    return


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)
