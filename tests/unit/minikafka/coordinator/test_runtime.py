"""The shell around the group machines: what is answered when, and what happens when the log says no."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from minikafka.coordinator.groups import Groups
from minikafka.coordinator.members import Caller, GroupSettings
from minikafka.coordinator.records import decode, encode
from minikafka.coordinator.runtime import GROUP_TOPIC, Runtime, Shard
from protocol.kafka import errors
from protocol.kafka.batch import iterate
from protocol.kafka.messages import groups as messages
from protocol.kafka.messages.stored import (
    GroupMetadataKey,
    GroupMetadataValue,
    LegacyOffsetCommitKey,
    LegacyOffsetCommitValue,
    MemberMetadata,
    OffsetCommitKey,
    OffsetCommitValue,
)
from protocol.kafka.primitives import ProtocolError
from protocol.kafka.records import COMMIT, build_batch, build_end_marker, read_records
from tests.unit.minikafka.log import to_list

CALLER = Caller("c", "/127.0.0.1", 9)


class Journal:
    """A partition in memory whose high watermark moves when it is told to, and whose appends fail when they shall."""

    def __init__(self) -> None:
        self.batches: list[bytes] = []
        self.log_start_offset = self.log_end_offset = self.high_watermark = 0
        self.config = SimpleNamespace(max_batch_bytes=100_000)
        self.is_replicated = False
        self.refusal: type[errors.KafkaError] | None = None
        self.waiting: list[tuple[int, float, asyncio.Future[int]]] = []
        self.is_cold = False
        self.reads = 0

    @property
    def log(self) -> Journal:
        return self

    def append_as_coordinator(self, batch: bytes) -> Any:
        if self.refusal is not None:
            raise self.refusal()
        first = self.log_end_offset
        self.add(batch)
        if not self.is_replicated:
            self.high_watermark = self.log_end_offset
        return SimpleNamespace(first_offset=first, last_offset=self.log_end_offset - 1)

    def add(self, batch: bytes) -> None:
        stamped = self.log_end_offset.to_bytes(8, "big") + batch[8:]
        self.batches.append(stamped)
        self.log_end_offset = next(iterate(stamped))[0].last_offset + 1

    def await_offset(self, offset: int, deadline: float) -> asyncio.Future[int] | None:
        if offset <= self.high_watermark:
            return None
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.waiting.append((offset, deadline, future))
        return future

    def commit(self, offset: int) -> None:
        self.high_watermark = offset
        for wanted, _, future in self.waiting:
            if wanted <= offset and not future.done():
                future.set_result(offset)

    def read(self, position: int, max_bytes: int, *, up_to: int, at_least_one: bool) -> Any:
        self.reads += 1
        for batch in self.batches:
            header, _ = next(iterate(batch))
            if header.last_offset >= position:
                chunk = SimpleNamespace(records=batch, next_offset=header.last_offset + 1)
                if not self.is_cold:
                    return chunk
                future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_soon(future.set_result, chunk)
                return future
        return SimpleNamespace(records=b"", next_offset=up_to)


class World:
    def __init__(self, **settings: int) -> None:
        self.journal = Journal()
        self.created: list[Any] = []
        self.lines: list[str] = []
        self.runtime = Runtime(
            asyncio.get_running_loop(),
            SimpleNamespace(wall_ms=lambda: 1_000_000),  # type: ignore[arg-type]
            Random(1),
            GroupSettings(partitions=1, **settings),
            7,
            lambda topic, index: self.journal,  # type: ignore[arg-type,return-value]
            self.create,
            to_list(self.lines),
        )

    def create(self, name: str, partitions: int, replication_factor: int, configs: dict[str, str]) -> Any:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.created.append((name, partitions, replication_factor, configs, future))
        return future

    def lead(self, broker_id: int = 7) -> None:
        partition = SimpleNamespace(leader=broker_id)
        delta: Any = SimpleNamespace(deleted={}, partitions={(GROUP_TOPIC, 0): partition})
        image: Any = SimpleNamespace(topics={GROUP_TOPIC: SimpleNamespace(partitions={0: partition})})
        self.runtime.apply(delta, image)

    def shard(self) -> Shard:
        return self.runtime.shards[0]

    def commit(self, offset: int, group: str = "g", metadata: str = "", count: int = 1) -> Any:
        partitions = [
            messages.OffsetCommitRequestPartition(
                partition_index=index, committed_offset=offset, committed_metadata=metadata
            )
            for index in range(count)
        ]
        request = messages.OffsetCommitRequest(
            group_id=group,
            member_id="",
            topics=[messages.OffsetCommitRequestTopic(name="t", partitions=partitions)],
        )
        return self.runtime.ask(group, Groups.commit_offsets, request, CALLER, lambda code: code)

    def fetch(self, group: str = "g") -> Any:
        topics = [messages.OffsetFetchRequestTopics(name="t", partition_indexes=[0])]
        asked = (messages.OffsetFetchRequestGroup(group_id=group, topics=topics), False)
        return self.runtime.ask(group, Groups.fetch_offsets, asked, CALLER, lambda code: code)

    def join(self, member_id: str = "", version: int = 3) -> Any:
        request = messages.JoinGroupRequest(
            group_id="g",
            session_timeout_ms=10_000,
            rebalance_timeout_ms=10_000,
            member_id=member_id,
            protocol_type="consumer",
            protocols=[messages.JoinGroupRequestProtocol(name="range", metadata=b"m")],
        )
        return self.runtime.ask("g", Groups.join, request, Caller("c", "/h", version), lambda code: code)


def looped(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **options: Any) -> None:
        async def limited() -> None:
            await asyncio.wait_for(test(*args, **options), 10)

        asyncio.run(limited())

    return run


def fetched(response: Any) -> int:
    offset: int = response.topics[0].partitions[0].committed_offset
    return offset


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@looped
async def test_answers_at_once_when_committed_at_once() -> None:
    """With one replica every commit costs a Future and a turn of the loop."""
    world = World()
    assert world.commit(5) == errors.NotCoordinator.code
    world.lead()
    assert world.commit(5).topics[0].partitions[0].error_code == 0
    assert fetched(world.fetch()) == 5


@looped
async def test_holds_replies_until_committed() -> None:
    """A commit is acknowledged, or shown to others, that a failing broker may still take back."""
    world = World()
    world.lead()
    world.journal.is_replicated = True
    first, second, read = world.commit(5), world.commit(6), world.fetch()
    await turn()
    assert [f.done() for f in (first, second, read)] == [False, False, False]
    world.journal.commit(1)
    await turn()
    assert [f.done() for f in (first, second, read)] == [True, False, False]
    world.journal.commit(2)
    assert fetched(await read) == 6
    assert (await second).topics[0].partitions[0].error_code == 0


@looped
async def test_commit_that_takes_too_long() -> None:
    """A client waits for ever for a follower that is gone."""
    world = World(commit_timeout_ms=1)
    world.lead()
    world.journal.is_replicated = True
    first, second = world.commit(5), world.commit(6)
    offset, deadline, future = world.journal.waiting[0]
    assert offset == 1
    assert deadline <= asyncio.get_running_loop().time() + 0.002
    future.set_exception(errors.RequestTimedOut())
    assert await first == errors.CoordinatorNotAvailable.code
    assert not second.done()
    world.journal.commit(2)
    assert (await second).topics[0].partitions[0].error_code == 0


@looped
async def test_batch_too_large_changes_nothing() -> None:
    """One oversized commit costs its whole shard, or is half done."""
    world = World()
    world.lead()
    world.commit(5)
    shard = world.shard().machine
    assert world.commit(6, metadata="x" * 4000, count=30) == errors.UnknownServerError.code
    assert world.shard().machine is shard
    assert fetched(world.fetch()) == 5
    assert len(world.journal.batches) == 1


@looped
async def test_failed_append_throws_the_memory_away() -> None:
    """A group goes on in a state that no log knows of."""
    world = World(initial_rebalance_delay_ms=0)
    world.lead()
    world.commit(5)
    joining = world.join()
    await asyncio.sleep(0.01)
    response = await joining
    request = messages.SyncGroupRequest(
        group_id="g",
        generation_id=1,
        member_id=response.member_id,
        assignments=[messages.SyncGroupRequestAssignment(member_id=response.member_id, assignment=b"a")],
    )
    world.journal.refusal = errors.NotLeaderOrFollower
    assert world.runtime.ask("g", Groups.sync, request, CALLER, lambda code: code) == errors.NotCoordinator.code
    # Nothing of that generation was ever written: the group as the log has it has no members.
    world.journal.refusal = None
    await turn()
    (group,) = world.shard().machine.groups.values()
    assert (group.describe().group_state, group.generation) == ("Empty", 0)
    assert fetched(world.fetch()) == 5


@looped
async def test_others_waiting_in_a_shard_that_is_thrown_away() -> None:
    """A consumer waits for a rebalance that nobody remembers."""
    world = World()
    world.lead()
    parked = world.join()
    world.journal.refusal = errors.NotEnoughReplicas
    request = world.runtime.ask
    asked = messages.JoinGroupRequest(
        group_id="other",
        session_timeout_ms=10_000,
        rebalance_timeout_ms=10_000,
        member_id="",
        protocol_type="consumer",
        protocols=[messages.JoinGroupRequestProtocol(name="range", metadata=b"m")],
    )
    assert request("other", Groups.join, asked, CALLER, lambda code: code) == errors.CoordinatorNotAvailable.code
    assert (await parked).error_code == errors.NotCoordinator.code


@looped
async def test_refused_write_is_told_and_the_shard_comes_back() -> None:
    """Whoever caused the write hears nothing, or the shard stays dead."""
    world = World()
    world.lead()
    world.journal.refusal = errors.KafkaStorageError
    assert world.join(version=4) == errors.NotCoordinator.code
    world.journal.refusal = None
    await turn()
    assert world.commit(5).topics[0].partitions[0].error_code == 0


@looped
async def test_parked_requests_are_answered_when_leadership_goes() -> None:
    """A consumer waits in vain for a coordinator that moved."""
    world = World()
    world.lead()
    parked = world.join()
    assert not parked.done()
    world.lead(broker_id=8)
    assert (await parked).error_code == errors.NotCoordinator.code
    assert world.commit(5) == errors.NotCoordinator.code


@looped
async def test_client_that_hung_up() -> None:
    """A reply to somebody who is gone breaks the shard for all others."""
    world = World(initial_rebalance_delay_ms=1)
    world.lead()
    parked = world.join()
    parked.cancel()
    await asyncio.sleep(0.05)
    assert world.commit(5) == errors.UnknownMemberId.code  # it is still a member: only its session ends that
    assert world.shard().machine.groups["g"].generation == 1


@pytest.mark.parametrize("is_cold", [False, True])
@looped
async def test_loads_what_a_former_leader_wrote(is_cold: bool) -> None:
    """A restarted broker has forgotten groups, or takes deleted ones and aborted offsets for real."""
    world = World()
    journal = world.journal
    journal.is_cold = is_cold

    def write(*records: Any, attributes: int = 0, producer_id: int = -1) -> None:
        encoded = [(5, *encode(key, value)) for key, value in records]
        journal.add(build_batch(encoded, attributes=attributes, producer_id=producer_id))

    def offset(partition: int, value: int | None) -> Any:
        key = OffsetCommitKey(group="g", topic="t", partition=partition)
        return key, None if value is None else OffsetCommitValue(offset=value, metadata="m", commit_timestamp=5)

    write(offset(0, 1), offset(1, 1))
    write(offset(0, 2))
    write(offset(1, None), (GroupMetadataKey(group="gone"), group_value()))
    write((GroupMetadataKey(group="gone"), None))
    write(offset(2, 9), attributes=0x10, producer_id=4000)
    journal.add(build_end_marker(COMMIT, producer_id=4000, producer_epoch=0, coordinator_epoch=0, timestamp_ms=5))
    write(offset(3, 9), attributes=0x10, producer_id=4001)
    journal.add(build_batch([(5, b"\x00\x63unknown", b"\x00\x00?"), (5, None, b"?")]))
    write((GroupMetadataKey(group="g"), group_value()))
    world.lead()
    assert world.commit(5) == errors.CoordinatorLoadInProgress.code
    while not world.shard().is_loaded:
        await asyncio.sleep(0)
    machine = world.shard().machine
    assert sorted(machine.groups) == ["g"]
    assert {p: c.offset for p, c in machine.offsets.topics("g")["t"].items()} == {0: 2, 2: 9}
    assert machine.offsets.is_pending("g", "t", 3)
    assert machine.groups["g"].describe().members[0].member_assignment == b"assigned"
    assert len(world.shard().timers) == 2  # the member's session, and the watch over retention


def group_value() -> GroupMetadataValue:
    member = MemberMetadata(
        member_id="m",
        client_id="c",
        client_host="/h",
        session_timeout=10_000,
        subscription=b"s",
        assignment=b"assigned",
    )
    return GroupMetadataValue(protocol_type="consumer", generation=3, protocol="range", leader="m", members=[member])


@looped
async def test_unreadable_log_is_not_coordinated() -> None:
    """A shard whose log is damaged answers as if its groups had never been."""
    world = World()
    world.journal.add(build_batch([(5, b"\x00\x01\x00\x09x", b"\x00\x03")]))
    world.lead()
    await turn()
    assert world.commit(5) == errors.NotCoordinator.code


@looped
async def test_topic_is_asked_for_once() -> None:
    """Every client that looks for a coordinator creates the topic again; or a small cluster never gets one."""
    world = World()
    world.runtime.want_topic(0)
    world.runtime.want_topic(1)
    world.runtime.want_topic(1)
    ((name, partitions, factor, configs, future),) = world.created
    assert (name, partitions, factor) == (GROUP_TOPIC, 1, 1)
    assert configs == {"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"}
    future.set_exception(errors.RequestTimedOut())
    await turn()
    world.runtime.want_topic(5)
    assert world.created[1][2] == 3


def test_records_are_kafkas_bytes() -> None:
    """A real coordinator, or `dump-log --offsets-decoder`, cannot read what we committed."""
    key, value = encode(
        OffsetCommitKey(group="g", topic="t", partition=3),
        OffsetCommitValue(offset=5, leader_epoch=2, metadata="m", commit_timestamp=7),
    )
    assert key.hex() == "000100016700017400000003"
    assert value is not None
    assert value.hex() == "0004000000000000000500000002026d000000000000000700"
    _, old = encode(
        OffsetCommitKey(group="g", topic="t", partition=3),
        OffsetCommitValue(offset=5, metadata="m", commit_timestamp=7, expire_timestamp=9),
    )
    assert old is not None
    assert old.hex() == "0001000000000000000500016d00000000000000070000000000000009"
    key, value = encode(GroupMetadataKey(group="g"), group_value())
    assert key.hex() == "0002000167"
    assert value is not None
    assert value[:2].hex() == "0003"
    assert decode(key, value) == (GroupMetadataKey(group="g"), group_value())
    assert encode(GroupMetadataKey(group="g"), None)[1] is None


def test_legacy_offsets_are_understood() -> None:
    """Offsets from a cluster of the first days are lost on the way."""
    key = LegacyOffsetCommitKey(group="g", topic="t", partition=1)
    value = LegacyOffsetCommitValue(offset=4, metadata="m", commit_timestamp=2)
    decoded = decode(b"\0\0" + key.encode(0), b"\0\0" + value.encode(0))
    assert decoded is not None
    assert (decoded[0].partition, decoded[1].offset) == (1, 4)
    with pytest.raises(ProtocolError):
        decode(b"\0\0" + key.encode(0), b"\0")


@looped
async def test_one_decision_is_one_batch() -> None:
    """A commit of several partitions can be found half written after a crash."""
    world = World()
    world.lead()
    world.commit(5, count=4)
    (batch,) = world.journal.batches
    assert [record.offset for record in read_records(batch)] == [0, 1, 2, 3]
