"""What topics there are, making more of them, making them larger, removing them."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from minikafka.api.context import Context
from minikafka.api.registry import CONTROLLER, Operation, Resource, api
from minikafka.controller.topics import name_fault
from minikafka.metadata.image import NO_LEADER, Broker, Endpoint, Partition, Topic
from minikafka.metadata.records import METADATA_TOPIC
from protocol.kafka.errors import (
    NONE,
    InvalidRequest,
    InvalidTopicException,
    KafkaError,
    LeaderNotAvailable,
    ListenerNotFound,
    ReplicaNotAvailable,
    TopicAuthorizationFailed,
    TopicDeletionDisabled,
    UnknownServerError,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from protocol.kafka.messages.topics import (
    CreatableTopicResult,
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
    Cursor,
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
    MetadataRequest,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from protocol.kafka.schema import NO_UUID, each
from protocol.ops.slices import begun

OFFSETS_TOPIC = "__consumer_offsets"
TRANSACTIONS_TOPIC = "__transaction_state"
SHARE_TOPIC = "__share_group_state"
INTERNAL = frozenset((OFFSETS_TOPIC, TRANSACTIONS_TOPIC, SHARE_TOPIC))

NOT_ASKED = -(1 << 31)  # authorised operations nobody asked for
FIRST_WITH_DELETION_DISABLED = 3  # DeleteTopics version
TOPICS_A_STEP = 64  # looked at before others may have their turn
TOPICS_A_SLICE = 4096  # of which only the name and the rights are looked at, likewise
MAX_BEGUN = 100  # topics one Metadata request may have created; each takes part of a millisecond
TOPIC_OPERATIONS = (
    Operation.READ,
    Operation.WRITE,
    Operation.CREATE,
    Operation.DELETE,
    Operation.ALTER,
    Operation.DESCRIBE,
    Operation.DESCRIBE_CONFIGS,
    Operation.ALTER_CONFIGS,
)
CLUSTER_OPERATIONS = (
    Operation.CREATE,
    Operation.ALTER,
    Operation.DESCRIBE,
    Operation.CLUSTER_ACTION,
    Operation.DESCRIBE_CONFIGS,
    Operation.ALTER_CONFIGS,
    Operation.IDEMPOTENT_WRITE,
)

Source = TypeVar("Source")
Target = TypeVar("Target")


def after(future: Future[Source], answer: Callable[[Source], Target]) -> Future[Target]:
    """A Future of what `answer` makes of the first one's result; its error is passed on."""
    later: Future[Target] = future.get_loop().create_future()

    def arrived(done: Future[Source]) -> None:
        if later.done():
            return
        if done.cancelled():
            later.cancel()
        elif (error := done.exception()) is not None:
            later.set_exception(error)
        else:
            later.set_result(answer(done.result()))

    future.add_done_callback(arrived)
    return later


def operations(broker: Context, resource: Resource, wanted: Iterable[Operation], name: str) -> int:
    """The bits of the operations this client may do."""
    return sum(1 << operation for operation in wanted if broker.may(operation, resource, name))


def address(broker: Context, of: Broker, end: Endpoint) -> tuple[str, int]:
    """Where this client reaches a broker: what it registered; for this one, unless configured, where it was dialled."""
    if of.id == broker.node_id and broker.listener in broker.services.unadvertised:
        return broker.dialled
    return end.host, end.port


# ---- Metadata


@api(MetadataRequest, 0, 13)
def metadata(broker: Context, request: MetadataRequest) -> MetadataResponse:
    """Brokers and topics as this broker knows them; unknown topics may be created (the client asks again)."""
    version = broker.api_version
    _check_metadata_request(request, version)
    alive = dict(_alive(broker))
    view = View(broker, alive, version)
    wants_all = request.topics is None or (version == 0 and not request.topics)
    wanted: dict[Topic | str | bytes, None]  # asked for twice is told once
    if wants_all:
        wanted = dict.fromkeys(
            topic for name, topic in broker.image.topics.items() if broker.may(Operation.DESCRIBE, Resource.TOPIC, name)
        )
    elif any(one.topic_id != NO_UUID for one in request.topics or ()):
        # Where ids are given, Kafka does not look at names that come without one.
        wanted = dict.fromkeys(one.topic_id for one in request.topics or () if one.topic_id != NO_UUID)
    else:
        wanted = dict.fromkeys(NO_UUID if one.name is None else one.name for one in request.topics or ())

    def told(asked: Topic | str | bytes) -> MetadataResponseTopic:
        entry = view.topic(asked) if isinstance(asked, Topic) else view.asked(asked, request)
        is_told = entry.name is not None and entry.error_code != TopicAuthorizationFailed.code
        if is_told and request.include_topic_authorized_operations:
            entry.topic_authorized_operations = operations(broker, Resource.TOPIC, TOPIC_OPERATIONS, entry.name or "")
        return entry

    response = MetadataResponse(
        brokers=[
            MetadataResponseBroker(node_id=number, host=host, port=port, rack=broker.image.brokers[number].rack)
            for number, (host, port) in alive.items()
        ],
        cluster_id=broker.cluster_id,
        controller_id=any_of(broker, alive),
        topics=each(list(wanted), told),
    )
    if request.include_cluster_authorized_operations and broker.may(Operation.DESCRIBE, Resource.CLUSTER):
        response.cluster_authorized_operations = cluster_operations(broker)
    return response


def cluster_operations(broker: Context) -> int:
    """The bits of what this client may do to the cluster."""
    return operations(broker, Resource.CLUSTER, CLUSTER_OPERATIONS, "kafka-cluster")


def _check_metadata_request(request: MetadataRequest, version: int) -> None:
    if version >= 12:
        return
    for one in request.topics or ():
        if one.name is None:
            raise InvalidRequest(f"Topic name can not be null for version {version}")
        if one.topic_id != NO_UUID:
            raise InvalidRequest(f"Topic IDs are not supported in requests for version {version}")


def _alive(broker: Context) -> Iterable[tuple[int, tuple[str, int]]]:
    for one, end in broker.image.alive_brokers(broker.listener):
        yield one.id, address(broker, one, end)


def any_of(broker: Context, alive: dict[int, Any]) -> int:
    """Who is told to be the controller: clients send admin requests there, and any broker forwards them."""
    return broker.random.choice(list(alive)) if alive else -1


class View:
    """Topics as one request sees them: the brokers alive, and what its version can be told."""

    def __init__(self, broker: Context, alive: dict[int, Any], version: int) -> None:
        self.broker = broker
        self.alive = alive
        self.version = version
        self.begun = 0  # how many topics it has had created

    def asked(self, name: str | bytes, request: MetadataRequest) -> MetadataResponseTopic:
        """One topic that was asked for by name or id."""
        broker = self.broker
        if isinstance(name, bytes):
            topic = broker.image.topics_by_id.get(name)
            if topic is None:
                return MetadataResponseTopic(
                    error_code=UnknownTopicId.code, name=None, topic_id=name, is_internal=False, partitions=[]
                )
            if not broker.may(Operation.DESCRIBE, Resource.TOPIC, topic.name):
                return self.refused(None, TopicAuthorizationFailed.code, name)
            return self.topic(topic)
        if not broker.may(Operation.DESCRIBE, Resource.TOPIC, name):
            return self.refused(name, TopicAuthorizationFailed.code)
        topic = broker.image.topics.get(name)
        if topic is not None:
            return self.topic(topic)
        return self.refused(name, self.missing(name, request))

    def missing(self, name: str, request: MetadataRequest) -> int:
        """The error of a topic that is not there; it is created in passing when everybody wants that."""
        broker = self.broker
        if name_fault(name) is not None:
            return InvalidTopicException.code
        if self.version >= 4 and not request.allow_auto_topic_creation:
            return UnknownTopicOrPartition.code
        if not broker.services.auto_create_topics or name == METADATA_TOPIC:
            return UnknownTopicOrPartition.code
        if not broker.may(Operation.CREATE, Resource.CLUSTER) and not broker.may(
            Operation.CREATE, Resource.TOPIC, name
        ):
            return TopicAuthorizationFailed.code
        if self.begun == MAX_BEGUN:
            return UnknownTopicOrPartition.code  # its turn comes when the client asks again
        self.begun += 1
        try:
            auto_create(broker, name)
        except KafkaError as error:
            return error.code
        return UnknownTopicOrPartition.code

    def refused(self, name: str | None, code: int, topic_id: bytes = NO_UUID) -> MetadataResponseTopic:
        return MetadataResponseTopic(
            error_code=code, name=name, topic_id=topic_id, is_internal=name in INTERNAL, partitions=[]
        )

    def topic(self, topic: Topic) -> MetadataResponseTopic:
        return MetadataResponseTopic(
            name=topic.name,
            topic_id=topic.id,
            is_internal=topic.name in INTERNAL,
            partitions=[self.partition(one) for one in topic.partitions.values()],
        )

    def partition(self, one: Partition) -> MetadataResponsePartition:
        alive, version = self.alive, self.version
        replicas, isr, code, leader = one.replicas, one.isr, NONE, one.leader
        offline = [number for number in replicas if number not in alive]
        if version == 0:  # the first version knows no offline replicas: they are left out and flagged
            replicas = [number for number in replicas if number in alive]
            isr = [number for number in isr if number in alive]
            if len(replicas) < len(one.replicas) or len(isr) < len(one.isr):
                code = ReplicaNotAvailable.code
        if leader not in alive:
            known = self.broker.image.brokers.get(leader)
            code = LeaderNotAvailable.code
            if version >= 6 and known is not None and not known.is_fenced:
                code = ListenerNotFound.code
            leader = NO_LEADER
        return MetadataResponsePartition(
            error_code=code,
            partition_index=one.index,
            leader_id=leader,
            leader_epoch=one.leader_epoch,
            replica_nodes=replicas,
            isr_nodes=isr,
            offline_replicas=offline,
        )


def auto_create(broker: Context, name: str) -> None:
    """Begin to create a topic that somebody wants to use."""
    services = broker.services
    settings = services.internal_topics.get(name)
    if settings is not None:
        future = broker.controller.create_internal_topic(name, *settings)
    else:
        future = broker.controller.create_on_demand(name, -1, -1, {})
    future.add_done_callback(_look_at)


def _look_at(done: Future[None]) -> None:
    if not done.cancelled():
        done.exception()  # the client asks again and is told then


# ---- DescribeTopicPartitions


@api(DescribeTopicPartitionsRequest, 0, 0)
def describe_topic_partitions(
    broker: Context, request: DescribeTopicPartitionsRequest
) -> Generator[None, None, DescribeTopicPartitionsResponse]:
    """Topics by name, page by page (KIP-966): a page ends after so many partitions and names where to go on."""
    cursor = request.cursor
    start = cursor.topic_name if cursor is not None else ""
    wants_all = not request.topics
    names = {
        name for name in (broker.image.topics if wants_all else (one.name for one in request.topics)) if name >= start
    }
    if "" in names:
        raise UnknownServerError()  # what Kafka 4.3 makes of a topic without a name
    if cursor is not None and not wants_all and cursor.topic_name not in names:
        raise InvalidRequest(
            f"DescribeTopicPartitionsRequest topic list should contain the cursor topic: {cursor.topic_name}"
        )
    if cursor is not None and cursor.partition_index < 0:
        raise InvalidRequest(f"DescribeTopicPartitionsRequest cursor partition must be valid: {cursor}")
    left = max(1, min(broker.configs.broker("max.request.partition.size.limit"), request.response_partition_limit))
    view = View(broker, dict(_alive(broker)), broker.api_version)
    response = DescribeTopicPartitionsResponse(topics=[])
    for at, name in enumerate(sorted(names)):
        if at % TOPICS_A_STEP == TOPICS_A_STEP - 1:
            yield
        if not broker.may(Operation.DESCRIBE, Resource.TOPIC, name):
            if not wants_all:
                response.topics.append(_described(name, NO_UUID, TopicAuthorizationFailed.code))
            continue
        topic = broker.image.topics.get(name)
        if topic is None:
            if wants_all:
                continue  # it was deleted meanwhile
            code = InvalidTopicException.code if name_fault(name) is not None else UnknownTopicOrPartition.code
            absent = _described(name, NO_UUID, code)
            absent.topic_authorized_operations = operations(broker, Resource.TOPIC, TOPIC_OPERATIONS, name)
            response.topics.append(absent)
            continue
        first = cursor.partition_index if cursor is not None and name == start else 0
        entry = _described(name, topic.id, NONE)
        entry.topic_authorized_operations = operations(broker, Resource.TOPIC, TOPIC_OPERATIONS, name)
        if left == 0:
            response.next_cursor = Cursor(topic_name=name, partition_index=first)
            break
        response.topics.append(entry)
        page = sorted(index for index in topic.partitions if index >= first)
        entry.partitions = [_described_partition(view, topic.partitions[index]) for index in page[:left]]
        if len(page) > left:
            response.next_cursor = Cursor(topic_name=name, partition_index=page[left])
            break
        left -= len(page)
    return response


def _described(name: str, topic_id: bytes, code: int) -> DescribeTopicPartitionsResponseTopic:
    return DescribeTopicPartitionsResponseTopic(
        error_code=code, name=name, topic_id=topic_id, is_internal=name in INTERNAL, partitions=[]
    )


def _described_partition(view: View, partition: Partition) -> DescribeTopicPartitionsResponsePartition:
    seen = view.partition(partition)
    return DescribeTopicPartitionsResponsePartition(
        error_code=seen.error_code,
        partition_index=seen.partition_index,
        leader_id=seen.leader_id,
        leader_epoch=seen.leader_epoch,
        replica_nodes=seen.replica_nodes,
        isr_nodes=seen.isr_nodes,
        eligible_leader_replicas=partition.elr,
        last_known_elr=partition.last_known_elr,
        offline_replicas=seen.offline_replicas,
    )


# ---- CreateTopics, CreatePartitions, DeleteTopics


@api(CreateTopicsRequest, 2, 7, at=CONTROLLER)
def create_topics(broker: Context, request: CreateTopicsRequest) -> Future[CreateTopicsResponse]:
    """New topics. What was asked twice, or may not be asked, is refused by itself."""
    names = [one.name for one in request.topics]
    twice = _repeated(names)
    may_create_any = broker.may(Operation.CREATE, Resource.CLUSTER)
    refused: list[CreatableTopicResult] = [
        CreatableTopicResult(name=name, error_code=InvalidRequest.code, error_message="Duplicate topic name.")
        for name in twice
    ]
    wanted = []
    for one in request.topics:
        name = one.name
        if name in twice:
            continue
        if name == METADATA_TOPIC:
            refused.append(
                CreatableTopicResult(
                    name=name,
                    error_code=InvalidRequest.code,
                    error_message=f"Creation of internal topic {METADATA_TOPIC} is prohibited.",
                )
            )
        elif not may_create_any and not broker.may(Operation.CREATE, Resource.TOPIC, name):
            refused.append(
                CreatableTopicResult(
                    name=name, error_code=TopicAuthorizationFailed.code, error_message="Authorization failed."
                )
            )
        else:
            wanted.append(one)
    describable = {name for name in names if broker.may(Operation.DESCRIBE_CONFIGS, Resource.TOPIC, name)}
    created = broker.controller.create_topics(wanted, describable, validate_only=request.validate_only)
    return after(created, lambda results: CreateTopicsResponse(topics=[*results, *refused]))


Name = TypeVar("Name", str, bytes)


def _repeated(names: Iterable[Name]) -> dict[Name, None]:
    """The names that come more than once, in the order in which that shows."""
    seen: set[Name] = set()
    twice: dict[Name, None] = {}
    for name in names:
        if name in seen:
            twice[name] = None
        seen.add(name)
    return twice


@api(CreatePartitionsRequest, 0, 3, at=CONTROLLER)
def create_partitions(broker: Context, request: CreatePartitionsRequest) -> Any:
    """More partitions for topics that are there."""
    return begun(_growing(broker, request))


def _growing(
    broker: Context, request: CreatePartitionsRequest
) -> Generator[None, None, Future[CreatePartitionsResponse]]:
    twice = _repeated(one.name for one in request.topics)
    refused = [
        CreatePartitionsTopicResult(name=name, error_code=InvalidRequest.code, error_message="Duplicate topic name.")
        for name in twice
    ]
    wanted = []
    for at, one in enumerate(request.topics):
        if at % TOPICS_A_SLICE == TOPICS_A_SLICE - 1:
            yield
        if one.name in twice:
            continue
        if broker.may(Operation.ALTER, Resource.TOPIC, one.name):
            wanted.append(one)
        else:
            refused.append(CreatePartitionsTopicResult(name=one.name, error_code=TopicAuthorizationFailed.code))
    grown = broker.controller.create_partitions(wanted, validate_only=request.validate_only)
    return after(grown, lambda results: CreatePartitionsResponse(results=[*refused, *results]))


@api(DeleteTopicsRequest, 1, 6, at=CONTROLLER)
def delete_topics(broker: Context, request: DeleteTopicsRequest) -> Generator[None, None, Any]:
    """Remove topics, by name or, from v6 on, by id."""
    if not broker.configs.broker("delete.topic.enable"):
        return _deletion_disabled(request, broker.api_version)
    results: list[DeletableTopicResult] = []
    chosen = yield from _chosen_topics(broker, request, results)
    deleted = broker.controller.delete_topics(list(chosen))

    def answer(errors: dict[bytes, KafkaError | None]) -> DeleteTopicsResponse:
        for topic_id, error in errors.items():
            results.append(_deleted(chosen[topic_id], topic_id, error))
        return DeleteTopicsResponse(responses=results)

    return after(deleted, answer)


def _deletion_disabled(request: DeleteTopicsRequest, version: int) -> DeleteTopicsResponse:
    code = InvalidRequest.code if version < FIRST_WITH_DELETION_DISABLED else TopicDeletionDisabled.code
    asked = [*((name, NO_UUID) for name in request.topic_names), *((one.name, one.topic_id) for one in request.topics)]
    return DeleteTopicsResponse(
        responses=each(asked, lambda one: DeletableTopicResult(name=one[0], topic_id=one[1], error_code=code))
    )


def _deleted(name: str | None, topic_id: bytes, error: KafkaError | None) -> DeletableTopicResult:
    if error is None:
        return DeletableTopicResult(name=name, topic_id=topic_id)
    return DeletableTopicResult(name=name, topic_id=topic_id, error_code=error.code, error_message=str(error))


def _chosen_topics(
    broker: Context, request: DeleteTopicsRequest, results: list[DeletableTopicResult]
) -> Generator[None, None, dict[bytes, str]]:
    """The topics to delete, id to name; what cannot be deleted is told in `results`."""
    names: list[str] = list(request.topic_names)
    ids: list[bytes] = []
    for one in request.topics:
        if one.name is not None and one.topic_id != NO_UUID:
            results.append(
                _deleted(one.name, one.topic_id, InvalidRequest("You may not specify both topic name and topic id."))
            )
        elif one.name is not None:
            names.append(one.name)
        elif one.topic_id == NO_UUID:
            results.append(_deleted(None, NO_UUID, InvalidRequest("Neither topic name nor id were specified.")))
        else:
            ids.append(one.topic_id)
    twice_named = _repeated(names)
    twice_given = _repeated(ids)
    results += [_deleted(name, NO_UUID, InvalidRequest("Duplicate topic name.")) for name in twice_named]
    results += [_deleted(None, topic_id, InvalidRequest("Duplicate topic id.")) for topic_id in twice_given]
    chosen: dict[bytes, str] = {}
    state = broker.controller.state
    for at, topic_id in enumerate(ids):
        if at % TOPICS_A_STEP == TOPICS_A_STEP - 1:
            yield
        if topic_id in twice_given:
            continue
        topic = state.topics_by_id.get(topic_id)
        if topic is None:
            results.append(_deleted(None, topic_id, UnknownTopicId()))
        elif broker.may(Operation.DELETE, Resource.TOPIC, topic.name):
            chosen[topic_id] = topic.name
        else:
            shown = topic.name if broker.may(Operation.DESCRIBE, Resource.TOPIC, topic.name) else None
            results.append(_deleted(shown, topic_id, TopicAuthorizationFailed()))
    for at, name in enumerate(names):
        if at % TOPICS_A_STEP == TOPICS_A_STEP - 1:
            yield
        if name in twice_named:
            continue
        topic = state.topics.get(name)
        if not broker.may(Operation.DESCRIBE, Resource.TOPIC, name):
            results.append(_deleted(name, NO_UUID, TopicAuthorizationFailed()))
        elif topic is None:
            results.append(_deleted(name, NO_UUID, UnknownTopicOrPartition()))
        elif not broker.may(Operation.DELETE, Resource.TOPIC, name):
            results.append(_deleted(name, NO_UUID, TopicAuthorizationFailed()))
        elif topic.id in twice_given or topic.id in chosen:
            chosen.pop(topic.id, None)
            results.append(
                _deleted(
                    name, topic.id, InvalidRequest("The provided topic name maps to an ID that was already supplied.")
                )
            )
        else:
            chosen[topic.id] = name
    return chosen
