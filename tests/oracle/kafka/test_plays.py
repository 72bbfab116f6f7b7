"""Every play in every version: what real Kafka answers and what we answer is the same."""

from __future__ import annotations

import pytest

from tests.oracle.kafka import plays_configs, plays_records, plays_topics, plays_walked  # noqa: F401  each enters its plays
from tests.oracle.kafka.play import PLAYS, Play, contrast
from tests.peers.kafka import Broker

CASES = [(one, version) for one in PLAYS for version in one.versions]


@pytest.mark.peer
@pytest.mark.parametrize(("one", "version"), CASES, ids=[f"{one.name}-v{version}" for one, version in CASES])
def test_play(one: Play, version: int, stages: tuple[Broker, Broker]) -> None:
    """Clients would be told something else than Kafka tells them."""
    found = contrast(one, version, stages)
    assert not found, "\n".join(found)
