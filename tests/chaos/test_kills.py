"""Servers that are killed in the middle of everything, and what of it is there afterwards.

make chaos        a minute and 30 kills of each kind, and the same for redis-server, side by side
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.kills import run
from tests.chaos.node import OURS
from tests.peers.redis import real_binary

SECONDS = float(os.environ.get("CHAOS_SECONDS", "4"))
IS_LONG = "CHAOS_SECONDS" in os.environ
SECONDS_A_KILL = 2.0


@pytest.mark.timeout(SECONDS * 6 + 200)
@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_killed_again_and_again(policy: str, tmp_path: Path) -> None:
    """A client would miss what it was told is written, or see what cannot have happened."""
    kills = round(SECONDS / SECONDS_A_KILL)
    report = run(OURS, tmp_path / "ours", policy, seconds=SECONDS, kills=kills)
    print(f"\nours, {policy}: {report}")
    assert report.anomalies == []
    assert len(report.starts) >= kills
    assert report.acknowledged > 2 * SECONDS
    if IS_LONG:
        theirs = run((real_binary(),), tmp_path / "theirs", policy, seconds=SECONDS, kills=kills)
        print(f"redis-server, {policy}: {theirs}")
