"""Stores with replicas under faults: many seeds, each with hundreds of acknowledged writes, and bugs to be found.

SEEDS=1-300     which seeds; few by default
PLANTED=all     every bug of planted.py, with a table of how many seeds each took; by default a few
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.sim.planted import BUGS, ROOT, source

SEEDS = os.environ.get("SEEDS", "1-6")
# Seeds that once found something, in the product or in what is asked of it.
FOUND = (31, 131, 223)
# Of the bugs, those that the first seeds find: what is looked for where nobody asks for all.
QUICK = ("answers leave before the fsync", "a rewrite keeps the increments before it", "a relative time is passed on")
MOST_SEEDS = "1-60"
SUITE_S = 3600


def seeds(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.sim.seeds", *arguments], cwd=ROOT, capture_output=True, text=True,
        timeout=SUITE_S, check=False,
    )  # fmt: skip


@pytest.mark.timeout(SUITE_S)
@pytest.mark.parametrize("which", [SEEDS, *map(str, FOUND)])
def test_nothing_acknowledged_is_lost(which: str) -> None:
    """One of J1 to J8 (invariants.py) would not hold after some crash, cut link or change of roles."""
    ended = seeds(which)
    print(ended.stdout[-4000:])
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]


def test_a_seed_decides_everything() -> None:
    """A failure could not be played again."""
    traces = [re.findall(r"trace (\w+)", seeds("3").stdout) for _ in range(2)]
    assert traces[0]
    assert traces[0] == traces[1]


def test_bugs_can_be_planted() -> None:
    """What is to be found would not be there."""
    gone = [name for name, bug in BUGS.items() for each in bug if source(each.module).count(each.anchor) != 1]
    assert not gone


@pytest.mark.timeout(SUITE_S)
@pytest.mark.parametrize("name", BUGS if os.environ.get("PLANTED") == "all" else QUICK)
def test_a_planted_bug_is_found(name: str) -> None:
    """The invariants would hold of servers that are wrong."""
    ended = seeds("--planted", name, MOST_SEEDS)
    found = re.search(r"^(\d+) seeds, 1 failed", ended.stdout, re.MULTILINE)
    first = ended.stdout.partition("\n")[0]
    assert found, f"{name}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}"
    print(f"\n{found[1]:>3} seeds  {name}: {first[:100]}")
