"""Broken if a server that nobody asks anything stops for long to look for garbage."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from miniredis.idleness import COMMANDS_BEFORE_COLLECTION, IDLE_BEFORE_COLLECTION_S, REFERENCES_MOST, Idleness
from protocol.ops.logs import Logger
from protocol.ops.process import Process
from tests.unit.miniredis.world import World


class Still(Process):
    def release_memory(self) -> None:
        """The test's memory is not the server's."""


@pytest.fixture
def world() -> Iterator[World]:
    """What the test runner has made, and the world itself, is not looked at."""
    made = World()
    gc.collect()
    gc.freeze()
    yield made
    gc.unfreeze()


def idle_after_work(world: World) -> None:
    loop = asyncio.new_event_loop()
    idleness = Idleness(world.state, Still(), Logger(lambda level, line: line), loop)
    now = loop.time()
    world.state.observer.commands[0].calls = COMMANDS_BEFORE_COLLECTION + 1
    idleness.watch(now)
    idleness.watch(now + 2 * IDLE_BEFORE_COLLECTION_S)
    loop.close()


def test_large_lists_are_not_walked_through(world: World) -> None:
    """The rosters of one hash of five million fields are a few hundred lists: 200 ms to follow what they hold."""
    held = [[b"name"] * (REFERENCES_MOST // 10) for _ in range(11)]
    before = gc.get_freeze_count()
    idle_after_work(world)
    assert gc.get_freeze_count() - before >= len(held)


def test_garbage_is_collected(world: World) -> None:
    """Cycles that something left all the same would never be freed."""
    before = gc.get_freeze_count()
    collections = gc.get_stats()[2]["collections"]
    idle_after_work(world)
    assert gc.get_stats()[2]["collections"] == collections + 1
    assert gc.get_freeze_count() <= before
