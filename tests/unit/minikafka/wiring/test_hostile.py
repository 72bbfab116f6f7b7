"""What a client must not be able to do to the others: a whole broker, and requests no honest client sends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from protocol.kafka.messages import configs as c
from protocol.kafka.messages import topics as t
from protocol.kafka.schema import Request
from tests.unit.minikafka.wiring.test_broker import Broker, Client, broker, running  # noqa: F401

NAMES = 250


def metadata_of(names: list[str]) -> Request:
    asked = [t.MetadataRequestTopic(name=name) for name in names]
    return t.MetadataRequest(topics=asked, allow_auto_topic_creation=True)


async def test_one_metadata_request_creates_a_hundred_topics_at_most(
    tmp_path: Path,
    running: list[Broker],  # noqa: F811
) -> None:
    """Anybody could stop the broker for seconds by asking for thousands of names; the others come when asked again."""
    one = broker(tmp_path)
    running.append(one)
    await one.start()
    names = [f"a_{number}.b" for number in range(NAMES)]
    async with Client(one) as client:
        seen = []
        for _ in range(3):
            await client.ask(metadata_of(names), 12)
            while one.controller.being_created:
                await asyncio.sleep(0.001)
            seen.append(len(one.image.topics))
    assert seen == [100, 200, NAMES]


async def test_a_request_for_the_same_configs_again_and_again_is_no_request(
    tmp_path: Path,
    running: list[Broker],  # noqa: F811
) -> None:
    """200 KB that name the broker 25,000 times would keep all others waiting for a minute, and make eight million
    configs of it."""
    one = broker(tmp_path)
    running.append(one)
    await one.start()
    async with Client(one) as client:
        resource = c.DescribeConfigsResource(resource_type=4, resource_name="1")
        told = await client.ask(c.DescribeConfigsRequest(resources=[resource] * 2), 4)
        assert [len(result.configs) > 300 for result in told.results] == [True, True]
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.ask(c.DescribeConfigsRequest(resources=[resource] * 25_000), 4)
    async with Client(one) as client:
        await client.ask(metadata_of(["still-there"]), 12)
