"""Thousands of sessions behind one timer: they must fire once, when due, and cost nothing while put off."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from minikafka.coordinator.timers import Timers


class Clock:
    """The two calls of an event loop that timers need, with a clock that jumps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.handles: list[Handle] = []
        self.calls = 0

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, callback: Callable[[], None]) -> Handle:
        self.calls += 1
        handle = Handle(at, callback, self.handles)
        self.handles.append(handle)
        return handle

    def run_until(self, at: float) -> None:
        while self.handles and min(handle.at for handle in self.handles) <= at:
            handle = min(self.handles, key=lambda each: each.at)
            self.handles.remove(handle)
            self.now = max(self.now, handle.at)
            handle.callback()
        self.now = at


class Handle:
    def __init__(self, at: float, callback: Callable[[], None], handles: list[Handle]) -> None:
        self.at = at
        self.callback = callback
        self.handles = handles

    def cancel(self) -> None:
        self.handles.remove(self)


def stage() -> tuple[Any, Timers[str], list[tuple[str, float]]]:
    clock: Any = Clock()
    fired: list[tuple[str, float]] = []
    timers: Timers[str] = Timers(clock, lambda key: fired.append((key, round(clock.now - 100, 3))))
    return clock, timers, fired


def test_fires_in_order_and_once() -> None:
    """Sessions end in the wrong order, or twice."""
    clock, timers, fired = stage()
    timers.set("b", 2000)
    timers.set("a", 1000)
    timers.set("c", 2000)
    clock.run_until(110)
    assert fired == [("a", 1.0), ("b", 2.0), ("c", 2.0)]
    assert len(timers) == 0
    assert not clock.handles


def test_later_earlier_cancelled() -> None:
    """A heartbeat does not put the session off, or a shorter timeout is ignored, or the dead still fire."""
    clock, timers, fired = stage()
    timers.set("later", 1000)
    timers.set("earlier", 5000)
    timers.set("gone", 1500)
    clock.run_until(100.5)
    timers.set("later", 3000)
    timers.set("earlier", 1000)
    timers.cancel("gone")
    clock.run_until(110)
    assert fired == [("earlier", 1.5), ("later", 3.5)]


def test_cancelled_and_set_again_fires_once() -> None:
    """A member that leaves and comes back under its key inherits the old deadline."""
    clock, timers, fired = stage()
    timers.set("a", 1000)
    timers.cancel("a")
    timers.set("a", 4000)
    timers.set("a", 500)
    timers.cancel("a")
    timers.set("a", 2000)
    clock.run_until(110)
    assert fired == [("a", 2.0)]


def test_setting_from_a_firing_key() -> None:
    """A timer that is set while another fires is lost."""
    clock: Any = Clock()
    fired: list[tuple[str, float]] = []

    def fire(key: str) -> None:
        fired.append((key, clock.now - 100))
        if len(fired) < 3:
            timers.set(key, 1000)

    timers: Timers[str] = Timers(clock, fire)
    timers.set("again", 1000)
    clock.run_until(110)
    assert fired == [("again", 1.0), ("again", 2.0), ("again", 3.0)]


def test_cleared_fires_nothing() -> None:
    """A shard that is given up goes on ending sessions."""
    clock, timers, fired = stage()
    timers.set("a", 1000)
    timers.clear()
    clock.run_until(110)
    assert fired == []


def test_heartbeats_cost_no_timers() -> None:
    """Every heartbeat of thousands of members arms the loop anew."""
    clock, timers, fired = stage()
    for second in range(30):
        for member in range(1000):
            timers.set(f"m{member}", 10_000)
        clock.run_until(100 + second + 1)
    assert fired == []
    assert clock.calls <= 5


def test_as_a_plain_list_of_deadlines_would() -> None:
    """Some order of setting and cancelling makes a key fire at another time than it was last set to."""
    random = Random(3)
    clock, timers, fired = stage()
    deadlines: dict[str, float] = {}
    expected: list[tuple[str, float]] = []
    for step in range(5000):
        key = f"k{random.randrange(20)}"
        if random.random() < 0.2:
            timers.cancel(key)
            deadlines.pop(key, None)
        else:
            delay_ms = random.randrange(1, 3000)
            timers.set(key, delay_ms)
            deadlines[key] = clock.now + delay_ms / 1000
        until = 100 + step * 0.05
        due = sorted((at, each) for each, at in deadlines.items() if at <= until)
        for at, each in due:
            expected.append((each, round(at - 100, 3)))
            del deadlines[each]
        clock.run_until(until)
    assert sorted(fired) == sorted(expected)


def test_a_failure_stops_no_other_key() -> None:
    """One group's fault would keep every other session of its shard from ending."""
    clock: Any = Clock()
    fired: list[str] = []

    def fire(key: str) -> None:
        if key == "bad":
            raise AssertionError(key)
        fired.append(key)

    timers: Timers[str] = Timers(clock, fire)
    for key in ("bad", "b", "c"):
        timers.set(key, 1000 if key != "c" else 2000)
    with pytest.raises(AssertionError):
        clock.run_until(105)
    clock.run_until(110)
    assert fired == ["b", "c"]
