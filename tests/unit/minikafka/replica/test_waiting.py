"""Waiters and parked fetches."""

import asyncio
import gc

import pytest

from minikafka.replica.waiters import Parked, Waiters
from protocol.kafka.errors import NotLeaderOrFollower, RequestTimedOut


async def test_released_in_the_order_of_offsets() -> None:
    """An acks=all producer would be answered before its batch is committed, or never."""
    loop = asyncio.get_running_loop()
    waiters = Waiters(loop)
    waiting = [waiters.until(offset, loop.time() + 60) for offset in (5, 3, 9, 5)]
    waiters.release(4)
    assert [future.done() for future in waiting] == [False, True, False, False]
    waiters.release(5)
    assert [future.result() for future in waiting if future.done()] == [5, 4, 5]
    waiters.fail(NotLeaderOrFollower)
    with pytest.raises(NotLeaderOrFollower):
        await waiting[2]
    assert len(waiters) == 0


async def test_deadlines_and_lost_clients() -> None:
    """A waiter would outlive its deadline or its client and stay in memory."""
    loop = asyncio.get_running_loop()
    waiters = Waiters(loop)
    waiting = waiters.until(5, loop.time() + 0.01)
    lost = waiters.until(3, loop.time() + 60)
    lost.cancel()
    with pytest.raises(RequestTimedOut):
        await waiting
    await asyncio.sleep(0)
    assert len(waiters) == 0
    assert not waiters._heap
    waiters.release(10)


async def test_a_parked_fetch_looks_once_for_many_wakes() -> None:
    """A fetch on many busy partitions would be looked at for every append."""
    loop = asyncio.get_running_loop()
    looks: list[bool] = []
    first: dict[Parked, None] = {}
    second: dict[Parked, None] = {}

    def look(is_time_up: bool) -> bool:
        looks.append(is_time_up)
        return len(looks) == 2

    parked = Parked(loop, loop.time() + 60, look)
    parked.watch(first)
    parked.watch(second)
    for _ in range(5):
        for each in (*first, *second):
            each.wake()
    assert looks == []
    await asyncio.sleep(0)
    assert looks == [False]
    parked.wake()
    await asyncio.sleep(0)
    assert looks == [False, False]
    assert parked.is_done
    assert not first
    assert not second


async def test_time_is_up() -> None:
    """A consumer would wait longer than it asked to."""
    loop = asyncio.get_running_loop()
    answered = loop.create_future()

    def look(is_time_up: bool) -> bool:
        answered.set_result(is_time_up)
        return True

    watchers: dict[Parked, None] = {}
    Parked(loop, loop.time() + 0.01, look).watch(watchers)
    assert await answered is True
    assert not watchers


async def test_no_cycles_are_left_behind() -> None:
    """Every waited request would be garbage for the collector, whose runs are pauses."""
    loop = asyncio.get_running_loop()
    waiters = Waiters(loop)
    gc.collect()
    gc.disable()
    try:
        for offset in range(200):
            waiting = waiters.until(offset, loop.time() + 60)
            waiters.release(offset)
            await waiting
            watchers: dict[Parked, None] = {}
            parked = Parked(loop, loop.time() + 60, lambda _: True)
            parked.watch(watchers)
            parked.wake()
            await asyncio.sleep(0)
        del waiting, parked, watchers
        assert gc.collect() < 20
    finally:
        gc.enable()
