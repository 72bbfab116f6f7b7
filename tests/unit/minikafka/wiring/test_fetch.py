"""Fetch through a whole broker: who waits, and who is answered at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minikafka.broker import Broker
from protocol.kafka.errors import OffsetOutOfRange
from protocol.kafka.messages.produce import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from tests.unit.minikafka.log import batch
from tests.unit.minikafka.wiring.test_broker import Client, broker, create

LONG_MS = 60_000  # a fetch that waits is not answered within the test
VERSION = 12


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Broker]:
    started = broker(tmp_path)
    await started.start()
    yield started
    await started.stop()


def request(offset: int, last_epoch: int) -> FetchRequest:
    asked = FetchPartition(partition=0, fetch_offset=offset, last_fetched_epoch=last_epoch, partition_max_bytes=1000)
    return FetchRequest(
        replica_id=-1,
        max_wait_ms=LONG_MS,
        min_bytes=1,
        session_epoch=-1,
        topics=[FetchTopic(topic="t", partitions=[asked])],
        forgotten_topics_data=[],
        rack_id="",
    )


async def test_a_reader_that_tells_its_last_epoch_waits_as_well(one: Broker) -> None:
    """A consumer that names the epoch it read last (kafka-python) would be answered without records, again and again:
    hundreds of requests a second from every idle one."""
    async with Client(one) as client:
        await create(client, "t")
        partition = one.replicas.partition("t", 0)
        partition.append_as_leader(batch(1))
        waiting = asyncio.ensure_future(client.ask(request(1, partition.leader_epoch), VERSION))
        while not partition.watchers:
            assert not waiting.done()
            await asyncio.sleep(0)
        partition.append_as_leader(batch(1))
        reply = await waiting
        assert isinstance(reply, FetchResponse)
        assert reply.responses[0].partitions[0].records
        assert reply.responses[0].partitions[0].diverging_epoch is None


async def test_a_reader_whose_log_is_another_is_told_at_once(one: Broker) -> None:
    """A reader that holds records which were lost would wait for more of them."""
    async with Client(one) as client:
        await create(client, "t")
        partition = one.replicas.partition("t", 0)
        partition.append_as_leader(batch(1))
        first_epoch = partition.leader_epoch
        partition.leader_epoch += 1
        partition.append_as_leader(batch(1))
        reply = await client.ask(request(2, first_epoch), VERSION)
        assert isinstance(reply, FetchResponse)
        leaves = reply.responses[0].partitions[0].diverging_epoch
        assert leaves is not None
        assert (leaves.epoch, leaves.end_offset) == (first_epoch, 1)
        unknown = await client.ask(request(2, first_epoch + 9), VERSION)
        assert isinstance(unknown, FetchResponse)
        assert unknown.responses[0].partitions[0].error_code == OffsetOutOfRange.code
