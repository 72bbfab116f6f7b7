"""Partitions that come by the thousand: made a few a turn, and at once for whoever asks."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from minikafka.config import settings_of
from minikafka.log.config import LogConfig
from minikafka.log.store import Store
from minikafka.metadata.configs import Configs
from minikafka.metadata.image import Delta, Image
from minikafka.replica.manager import MADE_A_TURN, Manager
from protocol.disk.files import Disk
from protocol.kafka.errors import UnknownTopicOrPartition
from protocol.kafka.messages.metadata import PartitionRecord, RemoveTopicRecord, TopicRecord
from protocol.ops.clock import Clock
from tests.unit.minikafka.log import to_list

MANY = 5 * MADE_A_TURN
TOPIC_ID = bytes(range(16))


def agree(image: Image, topic_id: bytes = TOPIC_ID, name: str = "many", count: int = MANY) -> Delta:
    """A topic of so many partitions, all led by broker 1."""
    delta = Delta()
    image.apply(TopicRecord(name=name, topic_id=topic_id), delta)
    for index in range(count):
        record = PartitionRecord(
            partition_id=index, topic_id=topic_id, replicas=[1], isr=[1], removing_replicas=[], adding_replicas=[],
            leader=1, leader_epoch=0, partition_epoch=0, directories=[bytes(16)],
        )  # fmt: skip
        image.apply(record, delta)
    return delta


@pytest.fixture
async def manager(tmp_path: Path) -> Manager:
    settings = settings_of({"log.dirs": str(tmp_path)})
    loop, image = asyncio.get_running_loop(), Image()
    configs = Configs(settings.tables, settings.static, image, 1)
    store = Store(Disk(), str(tmp_path), loop=loop, clock=Clock(), random=random.Random(1), log=to_list())
    store.open()

    def values(topic: str) -> dict[str, object]:
        own = {"log.message.deep.validation": False, "producer.id.expiration.ms": 86_400_000}
        return {**configs.topic(topic), **own}

    return Manager(store, 1, topic_values=values, loop=loop, clock=Clock(), random=random.Random(1), log=to_list())


async def test_before_service_all_partitions_that_lie_there_are_opened(manager: Manager) -> None:
    """A broker would go into service without the partitions it leads, and put their directories aside as strays; or be
    minutes late because of partitions that were never made."""
    made = 3
    for index in range(made):
        manager.store.open_log("many", index, LogConfig(), topic_id=TOPIC_ID).close(clean=True)
    manager.store.logs.clear()
    image = Image()
    manager.apply(agree(image), image)
    manager.put_aside_strays(image)
    assert sorted(index for _, index in manager.partitions) == list(range(made))
    manager.start()
    assert made < len(manager.partitions) <= made + MADE_A_TURN
    assert manager.partition("many", MANY - 1).is_leader
    while len(manager.partitions) < MANY:
        await asyncio.sleep(0)
    manager.close()


async def test_in_service_other_clients_have_their_turn(manager: Manager) -> None:
    """One CreateTopics of ten thousand partitions would keep every other client waiting for ten seconds."""
    manager.start()
    image = Image()
    manager.apply(agree(image), image)
    assert 0 < len(manager.partitions) <= MADE_A_TURN
    last = manager.partition("many", MANY - 1)
    assert last.is_leader, "whoever looks for a partition finds it, made or not"
    turns = 0
    while len(manager.partitions) < MANY:
        before = len(manager.partitions)
        await asyncio.sleep(0)
        assert len(manager.partitions) - before <= MADE_A_TURN
        turns += 1
    assert turns >= MANY // MADE_A_TURN - 2
    assert manager.partition("many", MANY - 1) is last
    manager.close()


async def test_many_small_topics_are_one_large_one(manager: Manager) -> None:
    """A hundred topics that are agreed on in one turn would be made in that turn."""
    manager.start()
    image = Image()
    for number in range(MANY):
        manager.apply(agree(image, number.to_bytes(16), f"topic-{number}", 4), image)
    assert len(manager.partitions) <= MADE_A_TURN
    while len(manager.partitions) < 4 * MANY:
        await asyncio.sleep(0)
    manager.close()


async def test_a_topic_deleted_before_it_is_made_is_never_made(manager: Manager, tmp_path: Path) -> None:
    """Directories of a deleted topic would appear after its deletion, and its successor's partitions be lost."""
    manager.start()
    image = Image()
    manager.apply(agree(image), image)
    gone = Delta()
    image.apply(RemoveTopicRecord(topic_id=TOPIC_ID), gone)
    manager.apply(gone, image)
    assert not manager.partitions
    with pytest.raises(UnknownTopicOrPartition):
        manager.partition("many", MANY - 1)
    successor = bytes(reversed(TOPIC_ID))
    manager.apply(agree(image, successor), image)
    while len(manager.partitions) < MANY:
        await asyncio.sleep(0)
    assert {partition.topic_id for partition in manager.partitions.values()} == {successor}
    manager.close()
