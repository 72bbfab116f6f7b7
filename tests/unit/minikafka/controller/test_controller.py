"""The deciders of the controller: brokers come and go, topics are placed, producer ids are never given twice."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from minikafka import options
from minikafka.controller import brokers
from minikafka.controller.controller import TOPICS_A_TURN, Controller
from minikafka.controller.placement import place
from minikafka.controller.topics import TopicDefaults, name_fault, new_topic_id
from minikafka.metadata.configs import Configs, Tables, read_table
from minikafka.metadata.image import Broker, Delta, Image
from minikafka.metadata.records import bootstrap_records, from_value
from protocol.kafka.errors import (
    InconsistentClusterId,
    InvalidRegistration,
    InvalidReplicationFactor,
    PolicyViolation,
    RequestTimedOut,
    StaleBrokerEpoch,
)
from protocol.kafka.messages import metadata as m
from protocol.kafka.messages.brokers import BrokerHeartbeatRequest, BrokerRegistrationRequest
from protocol.kafka.messages.topics import CreatableTopic

TABLES = Tables(read_table(options.BROKER), read_table(options.TOPIC), read_table(options.GROUP))
DIRECTORY = b"\1" * 16


class FakeNode:
    """A log whose commits the test decides."""

    def __init__(self) -> None:
        self.end_offset = 10
        self.is_active = True
        self.written: list[list[bytes]] = []
        self.futures: list[asyncio.Future[int]] = []

    def append(self, values: list[bytes]) -> asyncio.Future[int]:
        self.written.append(values)
        self.end_offset += len(values)
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    def commit(self) -> None:
        for future in self.futures:
            if not future.done():
                future.set_result(0)

    @property
    def records(self) -> list[object]:
        return [from_value(value) for batch in self.written for value in batch]


def controller() -> tuple[Controller, FakeNode]:
    node, image = FakeNode(), Image()
    configs = Configs(TABLES, {}, image, 1)
    made = Controller(
        node,  # type: ignore[arg-type]
        "cluster",
        1,
        configs,
        TopicDefaults(1, 1),
        Random(7),
        asyncio.get_running_loop(),
    )
    made.write(bootstrap_records())
    return made, node


def registration(
    incarnation: bytes = b"i" * 16, previous: int = -1, directories: list[bytes] | None = None, cluster: str = "cluster"
) -> BrokerRegistrationRequest:
    return BrokerRegistrationRequest(
        broker_id=1,
        cluster_id=cluster,
        incarnation_id=incarnation,
        listeners=[],
        features=[],
        rack=None,
        log_dirs=[DIRECTORY] if directories is None else directories,
        previous_broker_epoch=previous,
    )


def beat(epoch: int, offset: int, shutdown: bool = False) -> BrokerHeartbeatRequest:
    return BrokerHeartbeatRequest(
        broker_id=1, broker_epoch=epoch, current_metadata_offset=offset, want_fence=False, want_shut_down=shutdown
    )


def enter(made: Controller, **given: object) -> int:
    """Register broker 1 and bring it into service; its epoch."""
    made.register_broker(registration(**given))  # type: ignore[arg-type]
    epoch = made.state.brokers[1].epoch
    made.heartbeat(beat(epoch, made.node.end_offset))
    return epoch


def topic(name: str, partitions: int = 1) -> CreatableTopic:
    return CreatableTopic(name=name, num_partitions=partitions, replication_factor=1, assignments=[], configs=[])


async def test_a_broker_registers_fenced_and_enters_when_it_has_caught_up() -> None:
    """Clients would be sent to a broker that does not know its partitions yet."""
    made, node = controller()
    start = node.end_offset
    made.register_broker(registration())
    broker = made.state.brokers[1]
    assert (broker.epoch, broker.is_fenced) == (start, True)
    behind = made.heartbeat(beat(start, start - 1))
    node.commit()
    assert (await behind).is_fenced
    caught_up = made.heartbeat(beat(start, start))
    node.commit()
    reply = await caught_up
    assert (reply.is_caught_up, reply.is_fenced) == (True, False)
    assert made.state.brokers[1].is_usable


async def test_bad_registrations_are_refused() -> None:
    """A broker of another cluster, or without a disk, would be given partitions."""
    made, _ = controller()
    with pytest.raises(InconsistentClusterId):
        made.register_broker(registration(cluster="other"))
    for directories in ([], [DIRECTORY, DIRECTORY], [bytes(15) + b"\2"]):
        with pytest.raises(InvalidRegistration):
            made.register_broker(registration(directories=directories))
    enter(made)
    with pytest.raises(StaleBrokerEpoch):
        made.heartbeat(beat(3, 99))


@pytest.mark.parametrize("was_clean", [True, False])
async def test_leader_epochs_grow_at_every_restart(was_clean: bool) -> None:
    """A client could not tell what was written before the restart from what came after (KIP-320)."""
    made, node = controller()
    epoch = enter(made)
    made.create_topics([topic("t")], {"t"}, validate_only=False)
    partition = made.state.topics["t"].partitions[0]
    assert (partition.leader, partition.leader_epoch) == (1, 0)
    if was_clean:
        first = made.heartbeat(beat(epoch, node.end_offset, shutdown=True))
        node.commit()
        assert not (await first).should_shut_down, "it still led something when it asked"
        assert (partition.leader, partition.isr, partition.elr) == (-1, [], [1])
        second = made.heartbeat(beat(epoch, node.end_offset, shutdown=True))
        node.commit()
        assert (await second).should_shut_down
        assert made.state.brokers[1].is_fenced
    enter(made, incarnation=b"j" * 16, previous=epoch if was_clean else -1)
    assert (partition.leader, partition.leader_epoch, partition.isr) == (1, 2, [1])
    assert partition.leader_recovery_state == (0 if was_clean else 1)
    assert made.state.brokers[1].epoch > epoch


async def test_replies_wait_for_the_commit_and_see_what_came_before() -> None:
    """A client would be told of a topic that a power cut undoes, or could create one twice."""
    made, node = controller()
    enter(made)
    node.commit()
    created = made.create_topics([topic("t")], {"t"}, validate_only=False)
    again = made.create_topics([topic("t")], {"t"}, validate_only=False)
    await asyncio.sleep(0)
    assert not created.done()
    assert not again.done(), "its refusal rests on what is not committed yet"
    node.commit()
    assert (await created)[0].error_code == 0
    assert (await again)[0].error_code == 36


async def test_a_lost_write_is_told() -> None:
    """A client would wait for ever."""
    made, node = controller()
    enter(made)
    created = made.create_topics([topic("t")], {"t"}, validate_only=False)
    node.futures[-1].set_exception(OSError("gone"))
    with pytest.raises(RequestTimedOut):
        await created


async def test_producer_ids_are_given_once_and_written_first() -> None:
    """Two producers with one id would take each other's batches for duplicates."""
    made, node = controller()
    enter(made)
    waiting = [made.next_producer_id() for _ in range(1500)]
    assert not any(isinstance(one, int) for one in waiting), "nothing is given out before its block is committed"
    for _ in range(6):
        node.commit()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    given = [await one for one in waiting if isinstance(one, asyncio.Future)]
    assert sorted(given) == list(range(1500))
    assert made.state.next_producer_id == 2000
    assert made.next_producer_id() == 1500
    blocks = [record for record in node.records if isinstance(record, m.ProducerIdsRecord)]
    assert [one.next_producer_id for one in blocks] == [1000, 2000]


async def test_a_topic_wanted_twice_is_created_once() -> None:
    """Two clients that ask for the same new topic would get an error, or two topics."""
    made, node = controller()
    enter(made)
    first = made.create_internal_topic("__consumer_offsets", 50, 3, {"cleanup.policy": "compact"})
    assert made.create_internal_topic("__consumer_offsets", 50, 3, {}) is first
    node.commit()
    await first
    created = made.state.topics["__consumer_offsets"]
    assert len(created.partitions) == 50
    assert created.partitions[0].replicas == [1], "one broker cannot hold three replicas"
    third = made.create_internal_topic("__consumer_offsets", 50, 3, {})
    node.commit()
    await third


async def test_many_new_topics_are_made_in_turns() -> None:
    """One CreateTopics of thousands would keep every other client of the broker waiting for a fifth of a second, be
    answered before all of it is written, or pass Kafka's bound on one request in parts."""
    made, node = controller()
    enter(made)
    node.commit()
    count = 2 * TOPICS_A_TURN + 1
    names = [f"topic-{number}" for number in range(count)]
    before = len(node.written)
    answer = made.create_topics([topic(name) for name in [*names[:-1], "no good/"]], set(), validate_only=False)
    assert len(made.state.topics) == TOPICS_A_TURN
    other = made.create_topics([topic(names[-1])], set(), validate_only=False)
    while len(made.state.topics) < count:
        assert not answer.done()
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not answer.done()
    node.commit()
    results = await answer
    assert [result.name for result in results] == [*names[:-1], "no good/"]
    assert [bool(result.error_code) for result in results] == [False] * (count - 1) + [True]
    assert not (await other)[0].error_code
    assert len(node.written) - before == 3
    too_many = [topic(f"more-{number}", 5) for number in range(2000)]
    with pytest.raises(PolicyViolation):
        await made.create_topics(too_many, set(), validate_only=False)
    assert len(made.state.topics) == count
    mostly_there = [*too_many[:100], *(topic(name, 5) for name in names[:-1] for _ in range(9))]
    answer = made.create_topics(mostly_there, set(), validate_only=True)
    node.commit()
    assert sum(not result.error_code for result in await answer) == 100, "what is refused by itself does not count"
    assert len(made.state.topics) == count


def registered(number: int, rack: str | None = None, fenced: bool = False) -> Broker:
    return Broker(
        m.RegisterBrokerRecord(
            broker_id=number,
            incarnation_id=bytes(16),
            broker_epoch=1,
            end_points=[],
            features=[],
            rack=rack,
            fenced=fenced,
        )
    )


def test_replicas_are_spread() -> None:
    """One broker would lead everything, or a partition would lose all replicas with one rack."""
    six = [registered(number, rack="ab"[number % 2]) for number in range(6)]
    placed = place(six, 60, 2, Random(1))
    leaders = [replicas[0] for replicas in placed]
    assert all(leaders.count(number) == 10 for number in range(6))
    assert all({one % 2 for one in replicas} == {0, 1} for replicas in placed), "one replica in each rack"
    assert all(len(set(replicas)) == 3 for replicas in place(six, 60, 3, Random(2)))


def test_fenced_brokers_come_last() -> None:
    """A new topic would wait for a broker that is down."""
    brokers_ = [registered(1), registered(2, fenced=True), registered(3)]
    assert all(2 not in replicas for replicas in place(brokers_, 20, 2, Random(1)))
    assert all(replicas[0] != 2 for replicas in place(brokers_, 20, 3, Random(1)))
    with pytest.raises(InvalidReplicationFactor, match="All brokers are currently fenced"):
        place([registered(1, fenced=True)], 1, 1, Random(1))


def test_topic_ids_are_random_uuids() -> None:
    """Tools would take an id for an option, or for one with a meaning of its own."""
    random, state = Random(3), Image()
    for _ in range(200):
        made = new_topic_id(random, state)
        assert made[6] >> 4 == 4
        assert made[8] >> 6 == 2
        assert made[0] >> 2 != 62


@pytest.mark.parametrize(("name", "is_fine"), [("a", True), ("a" * 249, True), ("A.b_c-9", True), ("a" * 250, False),
                                               ("", False), (".", False), ("..", False), ("a/b", False), ("é", False),
                                               ("a\n", False), ("a b", False)])  # fmt: skip
def test_topic_names(name: str, is_fine: bool) -> None:
    """A name would escape the data directory or break a tool."""
    assert (name_fault(name) is None) is is_fine


def test_an_unknown_broker_gets_no_producer_ids() -> None:
    """A broker that was replaced would go on giving out ids."""
    state, delta = Image(), Delta()
    state.apply(
        m.RegisterBrokerRecord(
            broker_id=1, incarnation_id=bytes(16), broker_epoch=4, end_points=[], features=[], rack=None
        ),
        delta,
    )
    request = brokers.AllocateProducerIdsRequest(broker_id=1, broker_epoch=3)
    with pytest.raises(StaleBrokerEpoch):
        brokers.allocate_producer_ids(state, request)
