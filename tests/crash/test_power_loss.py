"""The power goes while a server writes its append-only file: what ours loses, and beside it what redis-server loses.

`CRASH_IMAGES=20000 make crash` loads so many images for each policy; `CRASH_REAL_IMAGES` bounds those that a process of
redis-server is started for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.crash.judge import AGAIN, LOST, REFUSED, Loader, Ours, Real, Tally
from tests.crash.recorded import Record, Recording, ours
from tests.crash.replay import Tree, images, kills
from tests.crash.workload import Load, play
from tests.peers.redis import real_binary

IMAGES: Final = int(os.environ.get("CRASH_IMAGES", "150"))
REAL_IMAGES: Final = min(IMAGES, int(os.environ.get("CRASH_REAL_IMAGES", "30")))
IMAGES_A_RUN: Final = 1000
# What `everysec` may lose: a second until the fsync begins, two while one hangs.
EVERYSEC_LOSS_S: Final = 3.0
LOADS: Final = {
    "always": Load(transactions=120, rest_s=0.0, a_rewrite=60),
    "everysec": Load(transactions=120, rest_s=0.06, a_rewrite=100),
    "no": Load(transactions=120, rest_s=0.02, a_rewrite=60),
}
POLICIES: Final = list(LOADS)
BY_OURS: Final = "redis-server's files, loaded by miniredis"
SYSTEMS = POSIX, JOURNAL = ("posix", "journal")


def recorded(command: Sequence[str], policy: str, seed: int) -> list[Record]:
    """What one run did; every change of its files is among it."""
    words = ["--appendonly", "yes", "--appendfsync", policy]
    with Recording(command, words) as recording:
        play(recording, seed, LOADS[policy])
        records = recording.end()
        tree = Tree()
        for record in records:
            tree.play(record)
        made, root = tree.everything(), Path(recording.directory)
        real = {f"/{path.relative_to(root)}": path.read_bytes() for path in root.rglob("*") if path.is_file()}
        assert made.files == real, "a change of a file was not recorded"
    return records


def crashed(command: Sequence[str], policy: str, loaders: dict[str, tuple[Loader, int]]) -> dict[str, list[Tally]]:
    """By name of a loader: so many images, of both kinds of file system, of runs of the same server."""
    tallies = {
        name: [Tally(f"{name} {policy} {system}", loader) for system in SYSTEMS]
        for name, (loader, _) in loaders.items()
    }
    left = max(count for _, count in loaders.values())
    seed = 0
    while left > 0:
        seed += 1
        left -= IMAGES_A_RUN
        records = recorded(command, policy, seed)
        for name, (_, count) in loaders.items():
            for system, tally in zip(SYSTEMS, tallies[name], strict=True):
                share = min(IMAGES_A_RUN // len(SYSTEMS), count // len(SYSTEMS) - tally.images)
                for image, promise in images(records, share, seed, is_journal=system == JOURNAL):
                    tally.take(image, promise)
    for tally in [each for of_a_loader in tallies.values() for each in of_a_loader]:
        print(f"\n{tally.report()}")
    return tallies


@pytest.mark.parametrize("policy", POLICIES)
def test_power_lost_while_ours_writes(policy: str) -> None:
    """What was acknowledged would be gone, a transaction torn, or a server would refuse its own files."""
    for tally in crashed(ours(), policy, {"miniredis": (Ours(), IMAGES)})["miniredis"]:
        counts = tally.counts.copy()
        if policy != "always":
            del counts[LOST]
        assert not counts, tally.report()
        if policy == "everysec":
            assert tally.oldest_s <= EVERYSEC_LOSS_S, tally.report()
        assert tally.acknowledged > 50 * tally.images, "too little was written to be lost"


@pytest.mark.parametrize("policy", ["always", "no"])
def test_ours_is_killed_after_an_answer(policy: str) -> None:
    """What was acknowledged would be gone though the machine went on: an answer left before what it tells was written.
    (With `everysec` a write may wait while an fsync takes long.)"""
    tally = Tally(f"miniredis {policy} killed", Ours())
    for image, promise in kills(recorded(ours(), policy, 1), IMAGES, 1):
        tally.take(image, promise)
    print(f"\n{tally.report()}")
    assert tally.images >= min(IMAGES, 100)
    assert not tally.counts, tally.report()


@pytest.mark.parametrize("policy", POLICIES)
def test_power_lost_while_redis_writes(policy: str) -> None:
    """What is printed beside would not be what redis-server does; and what ours makes of its files would, written on,
    lose what came after."""
    binary = real_binary()
    loader = Real(binary)
    try:
        loaders: dict[str, tuple[Loader, int]] = {"redis-server": (loader, REAL_IMAGES), BY_OURS: (Ours(), IMAGES)}
        tallies = crashed([binary], policy, loaders)
    finally:
        loader.close()
    for tally in [each for of_a_loader in tallies.values() for each in of_a_loader]:
        assert tally.counts[REFUSED] < tally.images, tally.report()
        if tally in tallies[BY_OURS]:
            assert not tally.counts[AGAIN + LOST], tally.report()


@pytest.mark.parametrize(("ignored", "expected"), [("file", LOST), ("directory", REFUSED)])
def test_a_disk_that_lies_is_noticed(ignored: str, expected: str) -> None:
    """The other tests here could not fail: with fsyncs that keep nothing, what was acknowledged has to be missing."""
    tally = Tally(f"a lie about each {ignored}", Ours())
    for image, promise in images(recorded(ours(), "always", 1), 60, 1, is_journal=False, ignored=[ignored]):
        tally.take(image, promise)
    assert tally.counts[expected], tally.report()
