"""What a client must not be able to do to the others: a whole broker, and requests no honest client sends."""

from __future__ import annotations

import asyncio
from pathlib import Path

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
