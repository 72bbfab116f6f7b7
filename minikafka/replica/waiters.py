"""Who waits for one partition to get somewhere, and until when.

Two kinds wait. A producer with acks=all waits for its last offset to be committed: a Future in `Waiters`, released in
the order of the offsets. A parked fetch waits for anything new in any of its partitions: a `Parked`, which each of them
tells of progress and which looks for itself whether it has enough.

Law 1: nobody polls. A waiter is woken by what it waits for or by its deadline, one timer of the loop each.
Law 2: a waiter that is gone (answered, timed out, its client lost) is forgotten by everything that knew it.
Law 3: waking happens after the change is complete: in the loop's next callback, once for all changes of this one.
"""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush

from protocol.kafka.errors import KafkaError, RequestTimedOut

__all__ = ["Parked", "Waiters"]


class Waiter:
    """One Future, the offset it waits for and its timer."""

    __slots__ = ("future", "offset", "order", "timer")

    def __init__(self, offset: int, order: int, future: "asyncio.Future[int]") -> None:
        self.offset = offset
        self.order = order
        self.future = future
        self.timer: asyncio.TimerHandle | None = None

    def __lt__(self, other: "Waiter") -> bool:
        return (self.offset, self.order) < (other.offset, other.order)


class Waiters:
    """Waiters for one rising offset."""

    __slots__ = ("_count", "_heap", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[Waiter] = []
        self._count = 0

    def __len__(self) -> int:
        return sum(not waiter.future.done() for waiter in self._heap)

    def until(self, offset: int, deadline: float) -> "asyncio.Future[int]":
        """A Future that gets the offset reached once that is at least `offset`, or RequestTimedOut at `deadline`
        (loop time, seconds)."""
        self._count += 1
        waiter = Waiter(offset, self._count, self._loop.create_future())
        waiter.timer = self._loop.call_at(deadline, self._expire, waiter)
        waiter.future.add_done_callback(lambda _: self._settle(waiter))
        heappush(self._heap, waiter)
        return waiter.future

    def _expire(self, waiter: Waiter) -> None:
        if not waiter.future.done():
            waiter.future.set_exception(RequestTimedOut())

    def _settle(self, waiter: Waiter) -> None:
        if waiter.timer is not None:
            waiter.timer.cancel()
        heap = self._heap
        while heap and heap[0].future.done():
            heappop(heap)

    def release(self, offset: int) -> None:
        """Everything below `offset` is there."""
        heap = self._heap
        while heap and heap[0].offset <= offset:
            waiter = heappop(heap)
            if not waiter.future.done():
                waiter.future.set_result(offset)

    def fail(self, error: Callable[[], KafkaError]) -> None:
        """What was waited for will not come: leadership is lost, the partition is gone."""
        waiting, self._heap = self._heap, []
        for waiter in waiting:
            if not waiter.future.done():
                waiter.future.set_exception(error())


def _answered(is_time_up: bool) -> bool:
    return True


class Parked:
    """A fetch that waits for its partitions. `look` is asked after progress whether it can be answered now, and does so
    itself; it is told when time is up."""

    __slots__ = ("_is_due", "_look", "_loop", "_timer", "_watched", "is_done")

    def __init__(self, loop: asyncio.AbstractEventLoop, deadline: float, look: Callable[[bool], bool]) -> None:
        self._loop = loop
        self._look = look  # look(time is up) -> answered
        self._watched: list[dict[Parked, None]] = []
        self._is_due = False
        self.is_done = False
        self._timer = loop.call_at(deadline, self._look_now, True)

    def watch(self, watchers: "dict[Parked, None]") -> None:
        """Be told of progress by the owner of `watchers`."""
        watchers[self] = None
        self._watched.append(watchers)

    def wake(self) -> None:
        """Something moved: look in the next callback, if that is not coming already."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._look_now, False)

    def _look_now(self, is_time_up: bool) -> None:
        self._is_due = False
        if not self.is_done and (self._look(is_time_up) or is_time_up):
            self.finish()

    def finish(self) -> None:
        """Nobody has to tell it anything any more."""
        if not self.is_done:
            self.is_done = True
            self._timer.cancel()
            for watchers in self._watched:
                watchers.pop(self, None)
            self._watched.clear()
            self._look = _answered  # lets go of the fetch, which knows us
