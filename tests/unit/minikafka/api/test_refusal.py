"""A request that failed as a whole is answered in the shape of its own reply, whatever API and version it is of."""

from __future__ import annotations

from typing import Any

import pytest

from minikafka.api.everything import table
from minikafka.api.refusal import refusal
from protocol.kafka.codegen import resolve
from protocol.kafka.errors import ClusterAuthorizationFailed, InvalidRequest
from protocol.kafka.messages import configs as c
from protocol.kafka.messages import produce as p
from protocol.kafka.messages import topics as t
from protocol.kafka.schema import Message, Struct

EVERY_VERSION = [(row, version) for row in table().values() for version in range(row.low, row.high + 1)]

# Replies without a place for an error when they have no entries of their own.
SILENT = {"DescribeTopicPartitions"}


def filled(kind: type[Struct], version: int) -> Any:
    """An instance whose lists have one entry each."""
    made = kind()
    for row in kind.fields:
        if row.is_list and row.is_in(version):
            if row.is_struct:
                setattr(made, row.name, [filled(resolve(kind, row.kind), version)])
            else:
                setattr(made, row.name, [{"str": "x", "bytes": b"x", "Uuid": b"i" * 16}.get(row.kind, 7)])
    return made


def codes(value: Any) -> list[int]:
    """Every error code in a message."""
    if isinstance(value, Message | Struct):
        own = [value.error_code] if hasattr(value, "error_code") else []
        return own + [code for row in value.fields for code in codes(getattr(value, row.name))]
    return [code for one in value for code in codes(one)] if isinstance(value, list) else []


@pytest.mark.parametrize(("row", "version"), EVERY_VERSION, ids=lambda value: getattr(value, "name", str(value)))
def test_every_api_can_be_refused(row: Any, version: int) -> None:
    """A failure would break the connection, or look like a success."""
    if row.name in SILENT:
        return
    request = filled(row.schema, version)
    reply = refusal(request, version, ClusterAuthorizationFailed())
    decoded = row.schema.reply.decode(version, reply.encode(version))
    assert 31 in codes(decoded), decoded
    assert set(codes(decoded)) <= {31, 0}


def test_entries_are_told_by_name() -> None:
    """A client could not tell which of its topics the error is about."""
    request = p.ProduceRequest(
        transactional_id=None,
        acks=1,
        timeout_ms=1,
        topic_data=[p.TopicProduceData(name="t", partition_data=[p.PartitionProduceData(index=3, records=None)])],
    )
    reply: Any = refusal(request, 9, InvalidRequest())
    assert reply.responses[0].name == "t"
    assert [(one.index, one.error_code) for one in reply.responses[0].partition_responses] == [(3, 42)]
    names = t.DeleteTopicsRequest(topic_names=["a", "b"], timeout_ms=1)
    assert [(one.name, one.error_code) for one in refusal(names, 3, InvalidRequest()).responses] == [  # type: ignore[attr-defined]
        ("a", 42),
        ("b", 42),
    ]
    resource = c.DescribeConfigsResource(resource_type=4, resource_name="1", configuration_keys=None)
    found: Any = refusal(c.DescribeConfigsRequest(resources=[resource]), 4, InvalidRequest("no"))
    assert (found.results[0].resource_type, found.results[0].resource_name) == (4, "1")
    assert found.results[0].error_message == "no"
