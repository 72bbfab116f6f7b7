"""The life of a group, played in every version to Apache Kafka 4.3.1 and to us: what the two say must be the same.

What differs by nature is evened out: member ids become the order in which they were heard of, the brokers' address and
the times become words, and lists that Kafka fills from a hash map are sorted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from protocol.kafka.messages import groups as m
from protocol.kafka.messages.topics import CreatableTopic, CreateTopicsRequest, MetadataRequest, MetadataRequestTopic
from protocol.kafka.messages.transactions import InitProducerIdRequest
from protocol.kafka.schema import Request
from tests.oracle.kafka.wire import Wire, plain
from tests.peers.kafka import Broker

MEMBER_ID = re.compile(r"[\w.-]*-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NO_ID = bytes(16)
READY_S = 60.0
TOPICS = ("t", "u")
UNKNOWN_ID = b"no such topic id"
SORT_KEYS = ("member_id", "group_id", "name", "topic_id", "partition_index", "group_instance_id")

RANGES: dict[type[Request], tuple[int, int]] = {
    m.FindCoordinatorRequest: (0, 6),
    m.JoinGroupRequest: (0, 9),
    m.SyncGroupRequest: (0, 5),
    m.HeartbeatRequest: (0, 4),
    m.LeaveGroupRequest: (0, 5),
    m.OffsetCommitRequest: (2, 10),
    m.OffsetFetchRequest: (1, 10),
    m.DescribeGroupsRequest: (0, 6),
    m.ListGroupsRequest: (0, 5),
    m.DeleteGroupsRequest: (0, 2),
    m.OffsetDeleteRequest: (0, 0),
    InitProducerIdRequest: (0, 5),
}
SHORT_SESSION_MS = 6_000  # group.min.session.timeout.ms
SESSION_MS = 60_000  # longer than anything here waits: nobody is thrown out because a machine is slow


@pytest.fixture(scope="module")
def brokers(stages: tuple[Broker, Broker]) -> tuple[Broker, Broker]:
    for broker in stages:
        prepare(broker)
    return stages


def prepare(broker: Broker) -> None:
    """Topics, and a coordinator that answers."""
    with Wire(broker.port) as wire:
        topics = [CreatableTopic(name=name, num_partitions=2, replication_factor=1) for name in TOPICS]
        wire.ask(CreateTopicsRequest(topics=topics, timeout_ms=10_000), 5)
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            found = wire.ask(m.FindCoordinatorRequest(key="any", key_type=0), 1)
            if found.error_code == 0:
                fetched = [
                    wire.ask(m.OffsetFetchRequest(group_id=f"probe-{n}", topics=None), 5).error_code for n in range(20)
                ]
                producer = wire.ask(InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000), 0)
                if not any(fetched) and producer.error_code == 0:
                    return
            time.sleep(0.05)
        pytest.fail(f"{broker.kind}: no coordinator in {READY_S:.0f} s:\n{broker.log()}")


class Play:
    """One life of a group on one broker; what was said goes to `script`."""

    def __init__(self, broker: Broker, version: int) -> None:
        self.broker = broker
        self.version = version
        self.group = f"life-{version}"
        self.wires: dict[str, Wire] = {}
        self.names: dict[str, str] = {}
        self.script: list[Any] = []
        self.ids = self._topic_ids()

    def _topic_ids(self) -> dict[str, bytes]:
        asked = [MetadataRequestTopic(topic_id=NO_ID, name=name) for name in TOPICS]
        answer = self.wire("admin").ask(MetadataRequest(topics=asked), 12)
        return {topic.name: topic.topic_id for topic in answer.topics}

    def wire(self, who: str) -> Wire:
        if who not in self.wires:
            self.wires[who] = Wire(self.broker.port, client_id=who)
        return self.wires[who]

    def close(self) -> None:
        for wire in self.wires.values():
            wire.socket.close()

    def of(self, kind: type[Request]) -> int:
        low, high = RANGES[kind]
        return min(max(self.version, low), high)

    def ask(self, label: str, request: Request, who: str = "a") -> Any:
        self.send(request, who)
        return self.receive(label, request, who)

    def send(self, request: Request, who: str) -> None:
        self.wire(who).send(request, self.of(type(request)))

    def receive(self, label: str, request: Request, who: str) -> Any:
        try:
            reply = self.wire(who).receive()
        except ConnectionError:
            self.wires.pop(who).socket.close()
            self.script.append((label, "hung up"))
            return None
        self.script.append((label, self.even(plain(reply, self.of(type(request))))))
        return reply

    def even(self, value: Any, key: str = "") -> Any:
        """A reply without what cannot be equal."""
        if isinstance(value, dict):
            return {name: self.even(each, name) for name, each in value.items()}
        if isinstance(value, list):
            lines = [self.even(each, key) for each in value]
            if lines and isinstance(lines[0], dict):
                lines.sort(key=lambda line: [str(line.get(name)) for name in SORT_KEYS])
            return lines
        if isinstance(value, str):
            return MEMBER_ID.sub(lambda match: self.name_of(match[0]), value)
        if isinstance(value, bytes):
            for name, topic_id in self.ids.items():
                if value == topic_id:
                    return f"id of {name}"
        if key in ("port", "producer_id") and value != -1:
            return key
        return value

    def name_of(self, member_id: str) -> str:
        return self.names.setdefault(member_id, f"member {len(self.names)}")

    def await_members(self, count: int, group: str | None = None) -> None:
        """Go on when so many are in the group: what was sent on several connections arrives in any order."""
        deadline = time.monotonic() + READY_S
        while True:
            (described,) = self.wire("admin").ask(self.describe(group or self.group), 5).groups
            if len(described.members) == count:
                return
            assert time.monotonic() < deadline, described
            time.sleep(0.01)

    # ---- requests in short

    def join(self, member_id: str = "", group: str | None = None, **more: Any) -> m.JoinGroupRequest:
        topics = b"\0\1\0\1t"
        metadata = b"\0\0" + (1).to_bytes(4, "big") + topics[2:4] + b"t" + b"\xff\xff\xff\xff"
        protocols = more.pop("protocols", ["range", "roundrobin"])
        return m.JoinGroupRequest(
            group_id=self.group if group is None else group,
            session_timeout_ms=more.pop("session", SESSION_MS),
            rebalance_timeout_ms=SESSION_MS,
            member_id=member_id,
            protocol_type=more.pop("protocol_type", "consumer"),
            protocols=[m.JoinGroupRequestProtocol(name=name, metadata=metadata) for name in protocols],
            **more,
        )

    def enter(self, who: str, **more: Any) -> m.JoinGroupRequest:
        """Send the JoinGroup that takes `who` in: the second one where the first only gives out an id."""
        request = self.join(**more)
        if self.of(m.JoinGroupRequest) >= 4 and "group_instance_id" not in more:
            first = self.ask(f"{who} asks to join", request, who)
            request = self.join(first.member_id, **more)
        self.send(request, who)
        return request

    def sync(self, member_id: str, generation: int, assignments: Any = (), **more: Any) -> m.SyncGroupRequest:
        return m.SyncGroupRequest(
            group_id=more.pop("group", self.group),
            generation_id=generation,
            member_id=member_id,
            protocol_type=more.pop("protocol_type", "consumer"),
            protocol_name=more.pop("protocol_name", "range"),
            assignments=[m.SyncGroupRequestAssignment(member_id=one, assignment=what) for one, what in assignments],
            **more,
        )

    def beat(self, member_id: str, generation: int, group: str | None = None, **more: Any) -> m.HeartbeatRequest:
        group_id = self.group if group is None else group
        return m.HeartbeatRequest(group_id=group_id, generation_id=generation, member_id=member_id, **more)

    def commit(self, member_id: str, generation: int, *wanted: Any, **more: Any) -> m.OffsetCommitRequest:
        topics: dict[str, list[Any]] = {}
        for topic, partition, offset, metadata in wanted:
            topics.setdefault(topic, []).append(
                m.OffsetCommitRequestPartition(
                    partition_index=partition, committed_offset=offset, committed_metadata=metadata
                )
            )
        return m.OffsetCommitRequest(
            group_id=more.pop("group", self.group),
            generation_id_or_member_epoch=generation,
            member_id=member_id,
            topics=[
                m.OffsetCommitRequestTopic(name=name, topic_id=self.ids.get(name, UNKNOWN_ID), partitions=partitions)
                for name, partitions in topics.items()
            ],
            **more,
        )

    def fetch(self, *groups: tuple[str, dict[str, list[int]] | None], stable: bool = False) -> m.OffsetFetchRequest:
        if self.of(m.OffsetFetchRequest) < 8:
            group_id, wanted = groups[0]
            topics = None
            if wanted is not None:
                topics = [m.OffsetFetchRequestTopic(name=n, partition_indexes=p) for n, p in wanted.items()]
            return m.OffsetFetchRequest(group_id=group_id, topics=topics, require_stable=stable)
        asked = []
        for group_id, wanted in groups:
            many = None
            if wanted is not None:
                many = [
                    m.OffsetFetchRequestTopics(name=n, topic_id=self.ids.get(n, UNKNOWN_ID), partition_indexes=p)
                    for n, p in wanted.items()
                ]
            asked.append(m.OffsetFetchRequestGroup(group_id=group_id, topics=many))
        return m.OffsetFetchRequest(groups=asked, require_stable=stable)

    def leave(self, *members: tuple[str, str | None], group: str | None = None) -> m.LeaveGroupRequest:
        return m.LeaveGroupRequest(
            group_id=self.group if group is None else group,
            member_id=members[0][0],
            members=[m.MemberIdentity(member_id=one, group_instance_id=instance) for one, instance in members],
        )

    def describe(self, *groups: str, rights: bool = False) -> m.DescribeGroupsRequest:
        return m.DescribeGroupsRequest(groups=list(groups) or [self.group], include_authorized_operations=rights)

    def listed(self, label: str, states: list[str], types: list[str]) -> None:
        """ListGroups, but only of this play's groups: others are other versions' business."""
        request = m.ListGroupsRequest(states_filter=states, types_filter=types)
        reply = self.wire("a").ask(request, self.of(m.ListGroupsRequest))
        reply.groups = [group for group in reply.groups if group.group_id.startswith(self.group)]
        self.script.append((label, self.even(plain(reply, self.of(m.ListGroupsRequest)))))


def coordinators(play: Play) -> None:
    """Who coordinates what, asked singly and together."""
    if play.of(m.FindCoordinatorRequest) < 4:
        play.ask("coordinator", m.FindCoordinatorRequest(key=play.group, key_type=0))
        play.ask("coordinator of nothing", m.FindCoordinatorRequest(key="", key_type=0))
    else:
        asked = m.FindCoordinatorRequest(key_type=0, coordinator_keys=[play.group, "other", ""])
        play.ask("coordinators", asked)
        play.ask("no coordinators", m.FindCoordinatorRequest(key_type=0, coordinator_keys=[]))


def refusals(play: Play) -> None:
    """What is refused before there is a group."""
    none = f"{play.group}-none"
    play.ask("session too short", play.join(session=SHORT_SESSION_MS - 1))
    play.ask("session too long", play.join(session=1_800_001))
    play.ask("join without a group", play.join(group=""))
    play.ask("join as somebody", play.join("made-up", group=none))
    play.ask("join without a protocol", play.join(group=f"{play.group}-bare", protocols=[]))
    play.ask("join without a type", play.join(group=f"{play.group}-bare", protocol_type=""))
    play.ask("sync without a group", play.sync("x", 1, group=""))
    play.ask("sync with an unknown group", play.sync("x", 1, group=none))
    if play.of(m.SyncGroupRequest) >= 5:
        play.ask("sync without a protocol", play.sync("x", 1, protocol_name=None))
    play.ask("heartbeat without a group", play.beat("x", 1, group=""))
    play.ask("heartbeat in an unknown group", play.beat("x", 1, group=none))
    play.ask("leave without a group", play.leave(("x", None), group=""))
    play.ask("leave an unknown group", play.leave(("x", None), group=none))
    play.ask("commit in an unknown generation", play.commit("x", 3, ("t", 0, 1, ""), group=none))
    play.ask("fetch of an unknown group", play.fetch((none, {"t": [0, 1]})))
    play.ask("fetch all of an unknown group", play.fetch((none, None if play.version > 1 else {"t": [0]})))
    play.ask("describe an unknown group", play.describe(none))
    play.ask("delete an unknown group", m.DeleteGroupsRequest(groups_names=[none]))
    delete = m.OffsetDeleteRequest(
        group_id=none,
        topics=[m.OffsetDeleteRequestTopic(name="t", partitions=[m.OffsetDeleteRequestPartition(partition_index=0)])],
    )
    play.ask("delete offsets of an unknown group", delete)


def membership(play: Play) -> tuple[str, str, int]:
    """Two members, two generations, every way to be wrong about them."""
    joined = play.receive("a joins", play.enter("a"), "a")
    one, generation = joined.member_id, joined.generation_id
    play.ask("sync too early", play.sync(one, generation - 1))
    play.ask("sync as nobody", play.sync("nobody", generation))
    if play.of(m.SyncGroupRequest) >= 5:
        play.ask("sync with another protocol", play.sync(one, generation, protocol_name="sticky"))
        play.ask("sync with another type", play.sync(one, generation, protocol_type="connect"))
    play.ask("heartbeat before the sync", play.beat(one, generation))
    play.ask("commit before the sync", play.commit(one, generation, ("t", 0, 1, "")))
    play.ask("describe before the sync", play.describe())
    play.ask("a syncs", play.sync(one, generation, [(one, b"all of it")]))
    play.ask("a syncs again", play.sync(one, generation))
    play.ask("heartbeat", play.beat(one, generation))
    play.ask("heartbeat of a former generation", play.beat(one, generation - 1))
    play.ask("heartbeat of nobody", play.beat("nobody", generation))
    play.ask("join with another type", play.join(protocol_type="connect"), "c")
    play.ask("join with other protocols", play.join(protocols=["sticky"]), "c")
    play.ask("describe", play.describe(play.group, rights=True))
    play.listed("list", [], [])
    play.listed("list stable", ["stable"], ["Classic"])
    play.listed("list empty", ["Empty", "Dead"], [])
    play.listed("list consumer", [], ["consumer"])

    second = play.enter("b")
    play.await_members(2)
    play.ask("heartbeat in a rebalance", play.beat(one, generation))
    play.ask("sync in a rebalance", play.sync(one, generation))
    play.ask("commit in a rebalance", play.commit(one, generation, ("t", 0, 4, "in a rebalance")))
    play.ask("describe in a rebalance", play.describe())
    first = play.join(one)
    play.send(first, "a")
    joined = play.receive("a joins again", first, "a")
    other = play.receive("b joins", second, "b")
    two, generation = other.member_id, other.generation_id
    follower = play.sync(two, generation)
    play.send(follower, "b")
    play.ask("a hands in", play.sync(one, generation, [(one, b"one half"), (two, b"other half")]))
    play.receive("b gets its half", follower, "b")
    play.ask("b joins again unchanged", play.join(two), "b")
    play.ask("describe both", play.describe(play.group, f"{play.group}-none"))
    return one, two, generation


def offsets(play: Play, one: str, generation: int) -> None:
    """Commits and fetches, right and wrong."""
    group = play.group
    play.ask("commit", play.commit(one, generation, ("t", 0, 5, "meta ü"), ("t", 1, 6, None), ("u", 0, 7, "")))
    play.ask("commit in a former generation", play.commit(one, generation - 1, ("t", 0, 9, "")))
    play.ask("commit as nobody", play.commit("nobody", generation, ("t", 0, 9, "")))
    play.ask("commit without a member", play.commit("", -1, ("t", 0, 9, "")))
    play.ask(
        "commit where nothing is",
        play.commit(one, generation, ("t", 7, 1, ""), ("nowhere", 0, 1, ""), ("t", 0, 8, "kept"), ("u", -1, 1, "")),
    )
    play.ask("commit nowhere", play.commit(one, generation, ("nowhere", 0, 1, "")))
    play.ask("commit nothing", play.commit(one, generation))
    play.ask("metadata at its limit", play.commit(one, generation, ("u", 0, 3, "x" * 4096), ("u", 1, 3, "x" * 4097)))
    play.ask("fetch", play.fetch((group, {"t": [0, 1, 7], "u": [0, 1]})))
    play.ask("fetch nothing", play.fetch((group, {})))
    play.ask("fetch elsewhere", play.fetch((group, {"nowhere": [0], "u": [5]})))
    if play.of(m.OffsetFetchRequest) >= 2:
        play.ask("fetch all", play.fetch((group, None)))
    if play.of(m.OffsetFetchRequest) >= 7:
        play.ask("fetch what is stable", play.fetch((group, {"t": [0]}), stable=True))
    if play.of(m.OffsetFetchRequest) >= 8:
        play.ask(
            "fetch of several", play.fetch((group, {"t": [0]}), (f"{group}-none", None), (f"{group}-x", {"t": [0]}))
        )

    simple = f"{group}-simple"
    play.ask("simple commit", play.commit("", -1, ("t", 0, 3, "s"), ("u", 1, 4, ""), group=simple))
    play.ask("describe a simple group", play.describe(simple))
    play.ask("simple fetch", play.fetch((simple, {"t": [0, 1], "u": [1]})))
    play.ask("commit in a group without a name", play.commit("", -1, ("t", 0, 3, ""), group=""))
    play.listed("list two", [], [])
    delete = m.OffsetDeleteRequest(
        group_id=group,
        topics=[
            m.OffsetDeleteRequestTopic(
                name=name, partitions=[m.OffsetDeleteRequestPartition(partition_index=n) for n in range(3)]
            )
            for name in ("t", "u", "nowhere")
        ],
    )
    play.ask("delete offsets, some subscribed", delete)
    if play.of(m.OffsetFetchRequest) >= 2:
        play.ask("fetch what is left", play.fetch((group, None)))
    play.ask("delete groups", m.DeleteGroupsRequest(groups_names=[group, simple, f"{group}-none", group]))


def farewell(play: Play, one: str, two: str, generation: int) -> None:
    """Leaving, being removed, and a group that is no more."""
    play.ask("leave as nobody", play.leave(("nobody", None)))
    play.ask("b leaves", play.leave((two, None)), "b")
    play.ask("b is gone", play.beat(two, generation), "b")
    rejoined = play.ask("a joins alone", play.join(one))
    play.ask("a syncs alone", play.sync(one, rejoined.generation_id, [(one, b"all again")]))
    if play.of(m.LeaveGroupRequest) >= 3:
        play.ask("all leave", play.leave((one, None), ("nobody", None), ("", "no instance"), ("", None)))
    else:
        play.ask("a leaves", play.leave((one, None)))
    play.ask("describe the empty", play.describe())
    play.listed("list the empty", ["empty"], ["classic"])
    play.ask("rejoin the empty", play.join(one))
    play.ask("heartbeat in the empty", play.beat(one, rejoined.generation_id + 1))
    play.ask("commit in the empty", play.commit("", -1, ("t", 0, 77, "after")))
    play.ask("delete it", m.DeleteGroupsRequest(groups_names=[play.group]))
    play.ask("describe the deleted", play.describe())
    play.ask("fetch from the deleted", play.fetch((play.group, {"t": [0]})))


def static_members(play: Play) -> None:
    """KIP-345: known by an instance id, replaced without a rebalance."""
    group = f"{play.group}-static"

    def join(instance: str, member_id: str = "", **more: Any) -> m.JoinGroupRequest:
        return play.join(member_id, group=group, group_instance_id=instance, **more)

    joined = play.ask("static a joins", join("A"))
    one, generation = joined.member_id, joined.generation_id
    play.ask("static a syncs", play.sync(one, generation, [(one, b"mine")], group=group, group_instance_id="A"))
    again = play.ask("static a comes back without its id", join("A"))
    play.ask("its former self beats", play.beat(one, generation, group=group, group_instance_id="A"))
    play.ask("its former self syncs", play.sync(one, generation, group=group, group_instance_id="A"))
    play.ask("its former self joins", join("A", one))
    play.ask(
        "its former self commits", play.commit(one, generation, ("t", 0, 1, ""), group=group, group_instance_id="A")
    )
    play.ask("another instance beats", play.beat(again.member_id, generation, group=group, group_instance_id="B"))
    play.ask("it beats", play.beat(again.member_id, again.generation_id, group=group, group_instance_id="A"))
    play.ask("it syncs", play.sync(again.member_id, again.generation_id, group=group, group_instance_id="A"))
    play.ask("describe static", play.describe(group))
    if play.of(m.LeaveGroupRequest) >= 3:
        play.ask("its former self leaves", play.leave((one, "A"), group=group))
        play.ask("removed by an administrator", play.leave(("", "A"), ("", "B"), group=group))
        play.ask("describe static, empty", play.describe(group))


def too_many(play: Play) -> None:
    """group.max.size."""
    group = f"{play.group}-full"
    pending = [play.enter(f"full-{n}", group=group) for n in range(1)]
    joined = play.receive("the first joins", pending[0], "full-0")
    play.ask("the first syncs", play.sync(joined.member_id, joined.generation_id, group=group), "full-0")
    requests = {n: play.enter(f"full-{n}", group=group) for n in (1, 2)}
    play.await_members(3, group)  # were the first back before the last is in, there would be a generation of two
    again = play.join(joined.member_id, group=group)
    play.send(again, "full-0")
    for n, request in (*requests.items(), (0, again)):  # the leader last: it hears of ids in any order
        play.receive(f"member {n}", request, f"full-{n}")
    play.ask("the fourth", play.join(group=group), "full-3")


def producer_ids(play: Play) -> None:
    """Idempotent producers, and ids that are only half given."""
    plain_request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000)
    play.ask("producer id", plain_request)
    play.ask("another", plain_request)
    if play.of(InitProducerIdRequest) >= 3:
        half = {"transactional_id": None, "transaction_timeout_ms": 60_000}
        play.ask("known producer", InitProducerIdRequest(producer_id=5, producer_epoch=3, **half))
        play.ask("without its epoch", InitProducerIdRequest(producer_id=5, producer_epoch=-1, **half))
        play.ask("without its id", InitProducerIdRequest(producer_id=-1, producer_epoch=3, **half))
    play.ask("empty id", InitProducerIdRequest(transactional_id="", transaction_timeout_ms=60_000))


def life(play: Play) -> None:
    coordinators(play)
    refusals(play)
    one, two, generation = membership(play)
    offsets(play, one, generation)
    farewell(play, one, two, generation)
    if play.of(m.JoinGroupRequest) >= 5:
        static_members(play)
    too_many(play)
    producer_ids(play)


def compare(brokers: tuple[Broker, Broker], version: int, scene: Callable[[Play], Any]) -> None:
    plays = [Play(broker, version) for broker in brokers]
    for play in plays:
        try:
            scene(play)
        finally:
            play.close()
    real, ours = (play.script for play in plays)
    assert [label for label, _ in ours] == [label for label, _ in real]
    differing = [
        f"{label}\n  Kafka: {expected}\n  ours:  {got}"
        for (label, expected), (_, got) in zip(real, ours, strict=True)
        if expected != got
    ]
    assert not differing, "\n".join(differing)


@pytest.mark.parametrize("version", range(11))
def test_life_of_a_group(brokers: tuple[Broker, Broker], version: int) -> None:
    """A client of that version hears something of its group that Kafka would not have said."""
    compare(brokers, version, life)
