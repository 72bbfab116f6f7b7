"""Redis's own tests, played to ours. They are in its repository, which nothing here brings along:

    git clone --branch 7.4.1 https://github.com/redis/redis && make -C redis
    REDIS_TCL=redis python -m pytest -n0 -s tests/clients/test_redis_tcl.py

Each unit runs against a fresh server, one after the other. What a real 7.4.1 passes there, and what ours does not and
why, is in tests/golden/redis-7.4.1-tcl.json; the last test tells one figure.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.redis import our_server

CHECKOUT = os.environ.get("REDIS_TCL", "")
pytestmark = [
    pytest.mark.skipif(not CHECKOUT, reason="REDIS_TCL names no checkout of redis 7.4.1 that has been built"),
    pytest.mark.slow,
]

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "redis-7.4.1-tcl.json").read_text())
UNITS: dict[str, int] = GOLDEN["passed_by_7.4.1"]
TAGS = "-slow -needs:repl -needs:save"
# Of one unit: scripting loads 50,000 libraries, which takes minutes on a busy machine.
LIMIT_S = 900
# Where the suite looks for free ports of its own.
PORTS = ("--baseport", "23111", "--portcount", "500")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to run in: the suite writes beside its tests."""
    place = tmp_path_factory.mktemp("redis-tcl")
    source = Path(CHECKOUT).resolve()
    skipped = shutil.ignore_patterns("tmp", "*.o", "*.so")
    shutil.copytree(source / "tests", place / "tests", symlinks=True, ignore=skipped)
    (place / "tests" / "tmp").mkdir(exist_ok=True)
    for name in ("runtest", "redis.conf"):
        shutil.copy(source / name, place / name)
    (place / "src").symlink_to(source / "src")
    return place


@pytest.fixture(scope="module")
def passed() -> Iterator[dict[str, int]]:
    """By unit; told at the end."""
    found: dict[str, int] = {}
    yield found
    told = "".join([f"\n  {unit:32} {count:4} of {UNITS[unit]}" for unit, count in found.items()])
    print(f"\n{told}\n  {sum(found.values())} passed of {sum(UNITS[unit] for unit in found)}")


@pytest.mark.timeout(LIMIT_S + 30)
@pytest.mark.parametrize("unit", UNITS)
def test_unit(unit: str, suite: Path, tmp_path: Path, passed: dict[str, int]) -> None:
    """What a real server passes, this one would not; or an exception that is listed would not be one any more."""
    exceptions = [each for each in GOLDEN["exceptions"] if each["unit"] == unit]
    left_out = [word for each in exceptions if each["ends_unit"] for word in ("--skiptest", each["test"])]
    directives = ("--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--dir", str(tmp_path))
    with our_server(*directives) as server:
        done = subprocess.run(
            ["./runtest", "--host", "127.0.0.1", "--port", str(server.port), *PORTS, "--single", unit, "--tags", TAGS,
             *left_out], cwd=suite, capture_output=True, text=True, errors="replace", timeout=LIMIT_S,
        )  # fmt: skip
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    passed[unit] = len(re.findall(r"^\[ok\]", log, re.M))
    failed = re.findall(r"^\[(?:err|exception)\]:? (.*)", log, re.M)
    expected = [each["test"] for each in exceptions if not each["ends_unit"]]
    assert [line for line in failed if not any(line.startswith(name) for name in expected)] == [], log[-3000:]
    assert passed[unit] == UNITS[unit] - sum(each["passes"] for each in exceptions), log[-3000:]


def test_every_exception_has_a_reason() -> None:
    """Failures could be waved through."""
    assert all(each["reason"] and each["unit"] in UNITS for each in GOLDEN["exceptions"])
    excepted = sum(each["passes"] for each in GOLDEN["exceptions"])
    assert sum(UNITS.values()) - excepted >= 1900
