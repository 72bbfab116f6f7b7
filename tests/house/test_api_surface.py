"""No API version is offered that is not played to Apache Kafka and to ours, and none that has no bytes of Kafka's."""

from __future__ import annotations

import pytest

import minikafka.api.everything  # noqa: F401  declares them
from minikafka.api.registry import Api, table
from protocol.kafka.schema import Request
from tests.oracle.kafka import plays_configs, plays_records, plays_topics  # noqa: F401  each enters its plays
from tests.oracle.kafka.play import PLAYS
from tests.oracle.kafka.test_groups import RANGES
from tests.unit.protocol.kafka.examples import examples

ROWS = list(table().values())


def played() -> set[tuple[type[Request], int]]:
    """Every request and version that some play or the life of a group asks."""
    found = {(one.request, version) for one in PLAYS for version in one.versions}
    return found | {(kind, version) for kind, (low, high) in RANGES.items() for version in range(low, high + 1)}


# Asked by members of a quorum only, of one another: compared with what Kafka's sent (tests/unit/minikafka/raft/
# test_wire.py); DescribeQuorum is read by Kafka's own tool (tests/clients/test_kafka_quorum.py).
AMONG_MEMBERS = {"Vote", "BeginQuorumEpoch", "EndQuorumEpoch", "FetchSnapshot", "DescribeQuorum"}


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in AMONG_MEMBERS], ids=lambda row: row.name)
def test_every_version_is_played_to_kafka(row: Api) -> None:
    """An answer may differ from Kafka's without anybody noticing."""
    missing = [version for version in range(row.low, row.high + 1) if (row.schema, version) not in played()]
    assert not missing, f"no play in tests/oracle/kafka asks {row.name} in versions {missing}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_version_is_compared_with_kafkas_codec(row: Api) -> None:
    """A message of that version may be read or written otherwise than Kafka does."""
    compared = {(kind, version) for kind, version, _ in examples(("full",))}
    for version in range(row.low, row.high + 1):
        assert (row.schema, version) in compared
        assert (row.schema.reply, version) in compared
