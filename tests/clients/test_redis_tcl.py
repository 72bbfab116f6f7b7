r"""Redis's own tests, played to ours. They are in its repository, which nothing here brings along:

    git clone --branch 7.4.1 https://github.com/redis/redis && make -C redis
    REDIS_TCL=redis python -m pytest -n0 -s tests/clients/test_redis_tcl.py                  all
    REDIS_TCL=redis python -m pytest -n0 -s tests/clients/test_redis_tcl.py -k spawned       files, replicas, restarts

Each unit runs alone. `test_unit` gives it a fresh server of ours; what needs files and replicas is left out there.
`test_spawned_unit` lets the suite start, stop and kill as many as it likes, with ours in the place of redis-server.
What a real 7.4.1 passes, and what ours does not and why, is in tests/golden/redis-7.4.1-tcl.json and in
tests/golden/redis-7.4.1-tcl-spawned.json; at the end each way tells one figure. The spawned suite takes 25 minutes
in one lane. In two, each unit told as it ends, it takes 13:

    grep -o '"[a-z]*/[^"]*": [0-9]*,\?$' tests/golden/redis-7.4.1-tcl-spawned.json | cut -d'"' -f2 |
    REDIS_TCL=redis xargs -P 2 --process-slot-var=REDIS_TCL_LANE -I UNIT python -m pytest -n0 -s \
        'tests/clients/test_redis_tcl.py::test_spawned_unit[UNIT]' | tee log
    grep ' of ' log | awk '/^  [a-z]/ {passed += $2; all += $4} END {print passed, "of", all}'
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.peers.redis import ROOT, our_server

CHECKOUT = os.environ.get("REDIS_TCL", "")
pytestmark = [
    pytest.mark.skipif(not CHECKOUT, reason="REDIS_TCL names no checkout of redis 7.4.1 that has been built"),
    pytest.mark.slow,
]


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / name).read_text())
    return found


GOLDEN = golden("redis-7.4.1-tcl.json")
SPAWNED = golden("redis-7.4.1-tcl-spawned.json")
# Of the spawned suite, how much of what a real server passes is to pass here.
LEAST_SHARE = 0.95
# Of one unit: scripting loads 50,000 libraries, replication-psync breaks a link 60 times.
LIMIT_S = 900
# Where the suite looks for free ports of its own; of several that run at once each in another lane.
PORTS = ("--baseport", str(23111 + 600 * int(os.environ.get("REDIS_TCL_LANE", "0"))), "--portcount", "500")


def copied(place: Path) -> Path:
    """A suite to run: it writes beside its tests."""
    source = Path(CHECKOUT).resolve()
    skipped = shutil.ignore_patterns("tmp", "*.o", "*.so")
    shutil.copytree(source / "tests", place / "tests", symlinks=True, ignore=skipped)
    (place / "tests" / "tmp").mkdir(exist_ok=True)
    for name in ("runtest", "redis.conf"):
        shutil.copy(source / name, place / name)
    return place


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = copied(tmp_path_factory.mktemp("redis-tcl"))
    (place / "src").symlink_to(Path(CHECKOUT).resolve() / "src")
    return place


@pytest.fixture(scope="module")
def spawning_suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose redis-server is ours."""
    place = copied(tmp_path_factory.mktemp("redis-tcl"))
    (place / "src").mkdir()
    for name in ("redis-cli", "redis-benchmark", "redis-check-aof", "redis-check-rdb"):
        (place / "src" / name).symlink_to(Path(CHECKOUT).resolve() / "src" / name)
    server = place / "src" / "redis-server"
    server.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m miniredis "$@"\n')
    server.chmod(0o755)
    return place


class Figures:
    """What was passed of each unit, and what a real server passes; told at the end."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.units: dict[str, int] = about["passed_by_7.4.1"]
        self.exceptions: list[dict[str, Any]] = about["exceptions"]
        self.cuts: list[dict[str, str]] = about.get("cuts", [])
        self.varying: list[str] = about.get("varying", [])
        self.passed: dict[str, int] = {}

    def told(self) -> str:
        lines = [f"\n  {unit:42} {count:4} of {self.units[unit]}" for unit, count in self.passed.items()]
        most = sum(self.units[unit] for unit in self.passed)
        return f"\n{''.join(lines)}\n  {sum(self.passed.values())} passed of {most}"

    def _cut(self, unit: str, suite: Path) -> None:
        """What stands outside of any test, and so has no name to be left out by, but would end the unit."""
        path = suite / "tests" / f"{unit}.tcl"
        for each in self.cuts:
            if each["unit"] == unit:
                script = path.read_text(errors="surrogateescape")
                assert script.count(each["text"]) == 1
                path.write_text(script.replace(each["text"], ""), errors="surrogateescape")

    def play(self, unit: str, suite: Path, arguments: Sequence[str]) -> None:
        """Run one unit, less what would end it: it passes what is expected, and fails no more."""
        self._cut(unit, suite)
        exceptions = [each for each in self.exceptions if each["unit"] == unit]
        left_out = [word for each in exceptions if each["ends_unit"] for word in ("--skiptest", each["test"])]
        words = ["./runtest", *arguments, *PORTS, "--single", unit, *left_out]
        done = subprocess.run(
            words, cwd=suite, capture_output=True, text=True, errors="replace", timeout=LIMIT_S, check=False
        )
        log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
        names = re.findall(r"^\[ok\]: (.*) \(\d+ ms\)$", log, re.M)
        self.passed[unit] = len(set(names) if unit in self.varying else names)
        failed = re.findall(r"^\[(?:err|exception)\]:? (.*)", log, re.M)
        expected = [each["test"] for each in exceptions if not each["ends_unit"]]
        assert [line for line in failed if not any(line.startswith(name) for name in expected)] == [], log[-3000:]
        assert self.passed[unit] == self.units[unit] - sum(each["passes"] for each in exceptions), log[-3000:]


@pytest.fixture(scope="module")
def figures() -> Iterator[Figures]:
    found = Figures(GOLDEN)
    yield found
    print(found.told())


@pytest.fixture(scope="module")
def spawned_figures() -> Iterator[Figures]:
    found = Figures(SPAWNED)
    yield found
    print(found.told())


@pytest.mark.timeout(LIMIT_S + 30)
@pytest.mark.parametrize("unit", GOLDEN["passed_by_7.4.1"])
def test_unit(unit: str, suite: Path, tmp_path: Path, figures: Figures) -> None:
    """What a real server passes, this one would not; or an exception that is listed would not be one any more."""
    directives = ("--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--dir", str(tmp_path))
    with our_server(*directives) as server:
        tags = ("--tags", "-slow -needs:repl -needs:save")
        figures.play(unit, suite, ["--host", "127.0.0.1", "--port", str(server.port), *tags])


@pytest.mark.timeout(LIMIT_S + 30)
@pytest.mark.parametrize("unit", SPAWNED["passed_by_7.4.1"])
def test_spawned_unit(unit: str, spawning_suite: Path, spawned_figures: Figures) -> None:
    """As `test_unit`, of what it leaves out: files, replicas, restarts, signals, the tools."""
    spawned_figures.play(unit, spawning_suite, ["--clients", "1", "--tags", "-slow -cluster"])


@pytest.mark.parametrize(("about", "most"), [(GOLDEN, 0.02), (SPAWNED, 1 - LEAST_SHARE)], ids=["external", "spawned"])
def test_every_exception_has_a_reason(about: dict[str, Any], most: float) -> None:
    """Failures could be waved through."""
    units: dict[str, int] = about["passed_by_7.4.1"]
    assert all(each["reason"] and each["unit"] in units for each in about["exceptions"])
    assert sum(each["passes"] for each in about["exceptions"]) <= most * sum(units.values())
