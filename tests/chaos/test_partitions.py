"""A primary and its replicas that are cut off from each other, and what of all that was acknowledged is left.

make chaos        a minute of each kind, and with real servers among them
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.network import Network, needed, network
from tests.chaos.node import OURS
from tests.chaos.partitions import HOSTS, Report, Rig
from tests.peers.redis import binary_74, real_binary

SECONDS = float(os.environ.get("CHAOS_SECONDS", "8"))
IS_LONG = "CHAOS_SECONDS" in os.environ
TIMEOUT_S = SECONDS + 240


@pytest.fixture
def hosts() -> Iterator[Network]:
    needed()
    with network(*HOSTS) as made:
        yield made


def judged(report: Report) -> None:
    print(f"\n{report}")
    assert report.anomalies == []
    assert report.acknowledged > 2 * SECONDS


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize(
    ("policy", "replicas"), [("everysec", 1), ("always", 2)] if IS_LONG else [("always", 1)]
)  # fmt: skip
def test_ours(hosts: Network, policy: str, replicas: int, tmp_path: Path) -> None:
    """What WAITAOF said is on so many replicas would be gone when one of them has become the primary."""
    rig = Rig(hosts, [OURS] * 3, tmp_path, policy=policy, promise="WAITAOF", replicas=replicas, seed=replicas)
    judged(rig.run(SECONDS))


@pytest.mark.skipif(not IS_LONG, reason="CHAOS_SECONDS asks for the long run: make chaos")
@pytest.mark.timeout(TIMEOUT_S)
def test_beside_redis(hosts: Network, tmp_path: Path) -> None:
    """Ours would lose, as replica or as primary of a real server, what WAIT said it has."""
    commands = [OURS, (real_binary(),), OURS]
    judged(Rig(hosts, commands, tmp_path, policy="always", promise="WAIT", replicas=1, seed=3).run(SECONDS))


@pytest.mark.skipif(not IS_LONG, reason="CHAOS_SECONDS asks for the long run: make chaos")
@pytest.mark.timeout(TIMEOUT_S)
def test_beside_redis_74(hosts: Network, tmp_path: Path) -> None:
    """Ours would lose, as replica or as primary of a 7.4, what WAITAOF said it has."""
    binary = binary_74()
    if binary is None:
        pytest.skip("REDIS_SERVER_74 names no redis-server 7.4.1")
    commands = [(binary,), OURS, OURS]
    judged(Rig(hosts, commands, tmp_path, policy="always", promise="WAITAOF", replicas=1, seed=4).run(SECONDS))
