"""How many connections a broker takes, and what becomes of those beyond."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from protocol.kafka.messages.versions import ApiVersionsRequest
from tests.unit.minikafka.wiring.test_broker import Broker, Client, broker, running  # noqa: F401

PATIENCE_S = 10.0


async def started(tmp_path: Path, running: list[Broker], **given: str) -> Broker:  # noqa: F811
    one = broker(tmp_path, **given)
    running.append(one)
    await one.start()
    return one


async def is_served(client: Client) -> bool:
    try:
        await client.ask(ApiVersionsRequest(client_software_name="c", client_software_version="1"), 3)
    except (ConnectionError, asyncio.IncompleteReadError):
        return False
    return True


async def until_in(one: Broker, count: int) -> None:
    """Wait until as many connections are there as should be, waiting or not."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while sum(len(listener.connections) for listener in one.listeners) != count:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.001)


async def test_who_comes_beyond_the_limit_waits_for_a_place(
    tmp_path: Path,
    running: list[Broker],  # noqa: F811
) -> None:
    """A client that finds the broker full would be thrown out where Kafka lets it wait; or wait for ever."""
    one = await started(tmp_path, running, max_connections="2")
    async with Client(one) as first, Client(one) as second:
        assert await is_served(first)
        assert await is_served(second)
        async with Client(one) as third, Client(one) as fourth:
            await until_in(one, 4)
            asking = [asyncio.ensure_future(is_served(client)) for client in (third, fourth)]
            assert await is_served(first)
            await asyncio.sleep(0)
            assert not any(asked.done() for asked in asking)
            first.writer.close()
            assert await asyncio.wait_for(asking[0], PATIENCE_S)
            assert not asking[1].done(), "one place, and the other came first"
            second.writer.close()
            assert await asyncio.wait_for(asking[1], PATIENCE_S)


async def test_who_waits_may_go_again(tmp_path: Path, running: list[Broker]) -> None:  # noqa: F811
    """A place would be kept for somebody who is not there any more."""
    one = await started(tmp_path, running, max_connections="1")
    async with Client(one) as first:
        assert await is_served(first)
        async with Client(one):
            await until_in(one, 2)
        async with Client(one) as third:
            await until_in(one, 3)
            asked = asyncio.ensure_future(is_served(third))
            first.writer.close()
            assert await asyncio.wait_for(asked, PATIENCE_S)


async def test_no_more_wait_than_the_backlog_is_long(tmp_path: Path, running: list[Broker]) -> None:  # noqa: F811
    """Waiting connections would use up the descriptors that the broker's files need."""
    one = await started(tmp_path, running, max_connections="1", socket_listen_backlog_size="1")
    async with Client(one) as first:
        assert await is_served(first)
        async with Client(one):
            await until_in(one, 2)
            async with Client(one) as third:
                assert not await is_served(third)


async def test_an_address_has_its_own_limit(tmp_path: Path, running: list[Broker]) -> None:  # noqa: F811
    """One host could take every place there is."""
    one = await started(tmp_path, running, max_connections_per_ip="1")
    async with Client(one) as first:
        assert await is_served(first)
        async with Client(one) as second:
            assert not await is_served(second)
    await until_in(one, 0)
    async with Client(one) as third:
        assert await is_served(third)


@pytest.mark.parametrize("name", ["", "INSIDE"])
async def test_other_brokers_are_always_let_in(
    name: str,
    tmp_path: Path,
    running: list[Broker],  # noqa: F811
) -> None:
    """Clients could keep the brokers of a cluster from one another."""
    inside = name or "PLAINTEXT"
    given = {"inter_broker_listener_name": name} if name else {}
    one = await started(
        tmp_path,
        running,
        listeners=f"{inside}://127.0.0.1:0,OUTSIDE://127.0.0.1:0",
        listener_security_protocol_map=f"{inside}:PLAINTEXT,OUTSIDE:PLAINTEXT",
        max_connections="1",
        **given,
    )
    async with Client(one, 1) as client:
        await until_in(one, 1)
        async with Client(one, 0) as other_broker:
            assert await is_served(other_broker)
            assert not await is_served(client), "the one that did nothing for the longest time goes"
