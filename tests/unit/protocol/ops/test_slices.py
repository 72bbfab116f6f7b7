"""Long work in slices of the loop."""

import asyncio
from collections.abc import Generator

from protocol.ops import slices
from protocol.ops.slices import Slices, Work, at_once, begun, taken


class Client:
    is_over = False


class Slow:
    """A loop whose clock goes on by two milliseconds whenever somebody looks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.call_soon = loop.call_soon
        self.now = 0.0

    def time(self) -> float:
        self.now += 0.002
        return self.now


def counting(name: str, steps: int, done: list[str]) -> Work:
    for _ in range(steps):
        yield
    done.append(name)


async def test_others_have_their_turn_between_two_slices() -> None:
    """One client's long request would hold up everybody."""
    works = Slices(Slow(asyncio.get_running_loop()))  # type: ignore[arg-type]
    done: list[str] = []
    works.start(counting("long", 300, done), Client())
    works.start(counting("short", 1, done), Client())
    turns = 0
    while len(works):
        await asyncio.sleep(0)
        turns += 1
    assert done == ["short", "long"]
    assert turns > 50


async def test_what_is_short_is_done_at_once() -> None:
    """Every request of some size would wait for another turn of the loop."""
    works = Slices(asyncio.get_running_loop())
    done: list[str] = []
    works.start(counting("short", 3, done), Client())
    assert done == ["short"]


async def test_nothing_is_done_for_who_is_gone() -> None:
    """A client that hangs up again and again would leave its work behind."""
    works = Slices(Slow(asyncio.get_running_loop()))  # type: ignore[arg-type]
    done: list[str] = []
    client = Client()
    closed = []

    def work() -> Work:
        try:
            yield from counting("gone", 300, done)
        finally:
            closed.append(True)

    works.start(work(), client)
    client.is_over = True
    await asyncio.sleep(0)
    assert (done, closed, len(works)) == ([], [True], 0)


async def test_a_work_that_fails_stops_no_other() -> None:
    """One fault would hold up all long requests for ever."""
    works = Slices(Slow(asyncio.get_running_loop()))  # type: ignore[arg-type]
    done: list[str] = []
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context["exception"])))

    def failing() -> Work:
        yield from counting("", 5, [])
        raise ValueError("as it must be seen")

    works.start(counting("other", 20, done), Client())
    works.start(failing(), Client())
    while len(works):
        await asyncio.sleep(0)
    assert done == ["other"]
    assert told == ["as it must be seen"]
    assert slices.SLICE_S < 0.05


def two_stops() -> Generator[None, None, str]:
    yield
    yield
    return "done"


def no_stop() -> Generator[None, None, str]:
    if False:
        yield
    return "done"


def test_short_work_is_done_at_once() -> None:
    """What takes no second slice would be put by and answered a turn later; or what takes one, cut short."""
    assert begun(no_stop()) == "done"
    work = begun(two_stops())
    assert not isinstance(work, str)
    assert at_once(work) == at_once(two_stops()) == "done"


def test_what_is_taken_is_let_go_of() -> None:
    """A long request would be held beside all that is made of it."""
    items = [1, 2, 3]
    seen = [(item, len(items)) for item in taken(items)]
    assert seen == [(1, 2), (2, 1), (3, 0)]
