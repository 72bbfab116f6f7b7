"""Long work in slices: what would keep the loop to itself does a few milliseconds of it in each turn.

    work: a generator that yields where it may be interrupted; what it is worked for it does itself, at its end

Law 1: one slice in a turn of the loop, however many there are who have long work: each gets its own in turn.
Law 2: work nobody waits for any more is closed before its next slice.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Generator, Iterator
from typing import Protocol, TypeVar

__all__ = ["Owner", "Places", "Slices", "Work", "at_once", "begun", "taken"]

SLICE_S = 0.005
PLACES = 4  # works that may be amid what takes much memory

Work = Generator[None, None, None]
Result = TypeVar("Result")
Item = TypeVar("Item")


def at_once(work: Generator[None, None, Result]) -> Result:
    """What comes of work that is short: it is done now, without its stops."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: Result = done.value
            return result


def begun(work: Generator[None, None, Result]) -> Result | Generator[None, None, Result]:
    """What comes of work, if that is there before its first stop; else the work, to be gone on with."""
    try:
        next(work)
    except StopIteration as done:
        result: Result = done.value
        return result
    return work


def taken(items: list[Item]) -> Iterator[Item]:
    """The items in their order, each let go of when it is come to, so that it is not held beside what is made of it."""
    items.reverse()
    while items:
        yield items.pop()


class Owner(Protocol):
    """Who waits for the work."""

    @property
    def is_over(self) -> bool: ...


class Places:
    """So many works at a time may be amid what takes much memory; the others wait."""

    __slots__ = ("_free", "is_waited_for")

    def __init__(self, count: int) -> None:
        self._free = count
        self.is_waited_for = False

    def take(self) -> Generator[None, None, None]:
        """Come in, perhaps later. Whoever is in has to `give_back`, also when it is closed."""
        while not self._free:
            self.is_waited_for = True
            yield
        self._free -= 1

    def give_back(self) -> None:
        self._free += 1


class Slices:
    """The long works of one loop."""

    __slots__ = ("_due", "_loop", "_waiting", "places")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.places = Places(PLACES)
        self._loop = loop
        self._waiting: deque[tuple[Work, Owner]] = deque()
        self._due = False

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self, work: Work, owner: Owner) -> None:
        """Do the first slice now, if nobody else has one in this turn, and the others in turns to come. An exception
        of the work's ends it and goes to the loop's handler, or to the caller."""
        self._waiting.append((work, owner))
        if not self._due:
            self._go_on()

    def _go_on(self) -> None:
        self._due = True
        waiting = self._waiting
        work, owner = waiting.popleft()
        is_done = True
        try:
            is_done = self._slice(work, owner)
        finally:
            if not is_done:
                waiting.append((work, owner))
            if waiting:
                self._loop.call_soon(self._go_on)
            else:
                self._due = False

    def _slice(self, work: Work, owner: Owner) -> bool:
        """Whether the work is done."""
        now = self._loop.time
        end = now() + SLICE_S
        while not owner.is_over:
            try:
                next(work)
            except StopIteration:
                return True
            if self.places.is_waited_for:  # it can do nothing before others have
                self.places.is_waited_for = False
                return False
            if now() >= end:
                return False
        work.close()
        return True
