"""The quorum's machines under faults, seed by seed; and bugs planted in them, which have to be found.

QUORUM_SEEDS=10000 pytest tests/sim/test_quorum.py        the full size; a failure names its seed
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.sim.planted_quorum import BUGS, mutant
from tests.sim.quorum import play

SEEDS = int(os.environ.get("QUORUM_SEEDS", "120"))
SEEDS_TO_FIND = 300  # a planted bug in


def test_no_seed_breaks_the_quorum() -> None:
    """Two leaders in an epoch, a vote given twice, something committed that is lost or another later."""
    seen: Counter[str] = Counter()
    for seed in range(1, SEEDS + 1):
        seen.update(play(seed).seen)
    assert seen["epochs"] > 2 * SEEDS, "there are elections in it"
    assert min(seen[what] for what in ("crashes", "partitions", "committed")) > 2 * SEEDS
    assert seen["FetchSnapshot"] > 0


def test_a_seed_is_one_run() -> None:
    """A failure that cannot be run again cannot be mended."""
    for seed in (3, 4):
        first, second = play(seed), play(seed)
        assert (first.seen, first.committed, first.leaders) == (second.seen, second.committed, second.leaders)


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    """The simulation looks away where it matters."""
    made = mutant(name)
    for seed in range(1, SEEDS_TO_FIND + 1):
        try:
            play(seed, made)
        except AssertionError:
            return
    raise AssertionError(f"{SEEDS_TO_FIND} seeds, and none sees that {name}")
