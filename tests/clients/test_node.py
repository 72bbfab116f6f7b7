"""node-redis, ioredis and BullMQ, whose scripts are the largest there are, cannot tell us from redis-server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.redis import Server, missing, our_server, real_server

pytestmark = pytest.mark.peer

NODE = Path(__file__).parent / "node"
INSTALL_DEADLINE_S = 300
STORY_DEADLINE_S = 120
LEAST_CALLS = 150
LEAST_STEPS = 95  # of BullMQ's story


@pytest.fixture(scope="module")
def packages() -> Path:
    """A folder outside of the tree with the npm packages the stories import, installed once per list of versions."""
    if not shutil.which("node") or not shutil.which("npm"):
        missing("no node or npm: apt-get install nodejs npm")
    wanted = (NODE / "package.json").read_text()
    versions = "-".join(f"{name}{version}" for name, version in sorted(json.loads(wanted)["dependencies"].items()))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minikafka-tests" / versions
    if not (cache / "installed").exists():
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "package.json").write_text(wanted)
        found = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--silent"],
            cwd=cache, capture_output=True, text=True, timeout=INSTALL_DEADLINE_S, check=False,
        )  # fmt: skip
        if found.returncode:
            missing(f"npm cannot install the clients: {found.stderr[-300:]}")
        (cache / "installed").touch()
    for story in NODE.glob("*.mjs"):
        shutil.copy(story, cache)
    return cache


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with real_server() as theirs, our_server() as ours:
        yield theirs, ours


def play(packages: Path, story: str, *arguments: object) -> list[str]:
    """The lines a story writes: one a call."""
    found = subprocess.run(
        ["node", story, *map(str, arguments)], cwd=packages, capture_output=True, text=True,
        timeout=STORY_DEADLINE_S, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-2000:]
    return found.stdout.splitlines()


def assert_same(theirs: list[str], ours: list[str], least: int = LEAST_CALLS) -> None:
    assert len(theirs) >= least
    differences = [f"real {a}\nours {b}" for a, b in zip(theirs, ours, strict=True) if a != b]
    assert not differences, "\n".join(differences[:20])


def test_ioredis(packages: Path, servers: tuple[Server, Server]) -> None:
    """Some call of ioredis returns something else than from Redis."""
    theirs, ours = (play(packages, "ioredis.mjs", server.port) for server in servers)
    assert_same(theirs, ours)


@pytest.mark.parametrize("protocol", [2, 3])
def test_node_redis(packages: Path, servers: tuple[Server, Server], protocol: int) -> None:
    """Some call of node-redis returns something else than from Redis."""
    theirs, ours = (play(packages, "node_redis.mjs", server.port, protocol) for server in servers)
    assert_same(theirs, ours)


def test_bullmq(packages: Path, servers: tuple[Server, Server]) -> None:
    """A queue loses a job, runs one twice or out of turn: one of BullMQ's scripts does something else than on Redis."""
    theirs, ours = (play(packages, "bullmq.mjs", server.port) for server in servers)
    assert not [line for line in theirs if '"error"' in line]
    assert_same(theirs, ours, LEAST_STEPS)
