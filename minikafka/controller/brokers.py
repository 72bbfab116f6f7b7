"""Who is a broker of this cluster, and when it is in service: registration, heartbeats, producer ids.

register      → RegisterBroker, fenced; first, if it is another process than the last one with that id, what that
                one led or followed is taken from it (cleanly or not)
heartbeat     → caught up and willing:  BrokerRegistrationChange {fenced -1} and leaders for who had none
                wants to shut down:     BrokerRegistrationChange {inControlledShutdown 1} and its leaderships move,
                                        then {fenced 1}
Pure: state and request in, Outcome out. Records and their order are those of Kafka's controller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from minikafka.controller.outcome import Outcome
from minikafka.controller.partitions import change
from minikafka.metadata.image import NO_LEADER, Broker, Image, Partition
from minikafka.metadata.records import BROKER_CONFIG, LOST_DIRECTORY, TOPIC_CONFIG, UNASSIGNED_DIRECTORY
from protocol.kafka.errors import BrokerIdNotRegistered, InconsistentClusterId, InvalidRegistration, StaleBrokerEpoch
from protocol.kafka.messages.brokers import (
    BrokerHeartbeatRequest,
    BrokerHeartbeatResponse,
    BrokerRegistrationRequest,
    BrokerRegistrationResponse,
)
from protocol.kafka.messages.metadata import (
    BrokerFeature,
    BrokerRegistrationChangeRecord,
    ProducerIdsRecord,
    RegisterBrokerRecord,
    RegisterBrokerRecordBrokerEndpoint,
)
from protocol.kafka.messages.quorum import AllocateProducerIdsRequest, AllocateProducerIdsResponse
from protocol.kafka.schema import Record

ELR_FEATURE = "eligible.leader.replicas.version"
PRODUCER_IDS_PER_BLOCK = 1000
FENCED, UNFENCED = 1, -1
RESERVED_DIRECTORIES = 100  # directory ids below this number mean something else than a directory


def register(
    state: Image, request: BrokerRegistrationRequest, cluster_id: str, next_offset: int
) -> Outcome[BrokerRegistrationResponse]:
    """Enter a broker, fenced. `next_offset` is where the records will go: it becomes the broker's epoch."""
    if request.cluster_id != cluster_id:
        raise InconsistentClusterId(f"Expected cluster ID {cluster_id}, but got cluster ID {request.cluster_id}")
    _check_directories(state, request)
    records: list[Record] = []
    before = state.brokers.get(request.broker_id)
    if before is not None and before.incarnation_id != request.incarnation_id:
        was_clean = before.epoch == request.previous_broker_epoch
        records += _taken_from(state, before.id, unclean=() if was_clean else (before.id,))
    epoch = next_offset
    if before is not None and before.incarnation_id == request.incarnation_id:
        epoch = before.epoch  # the same process asks again: its answer got lost
    records.append(
        RegisterBrokerRecord(
            broker_id=request.broker_id,
            incarnation_id=request.incarnation_id,
            broker_epoch=epoch,
            end_points=[
                RegisterBrokerRecordBrokerEndpoint(
                    name=end.name, host=end.host, port=end.port, security_protocol=end.security_protocol
                )
                for end in request.listeners
            ],
            features=[
                BrokerFeature(
                    name=one.name,
                    min_supported_version=one.min_supported_version,
                    max_supported_version=one.max_supported_version,
                )
                for one in request.features
            ],
            rack=request.rack,
            fenced=True,
            log_dirs=sorted(request.log_dirs),
        )
    )
    return Outcome(BrokerRegistrationResponse(broker_epoch=epoch), records)


def _check_directories(state: Image, request: BrokerRegistrationRequest) -> None:
    directories = request.log_dirs
    if not directories:
        raise InvalidRegistration("No directories specified in request")
    if len(set(directories)) != len(directories):
        raise InvalidRegistration("Duplicate directories specified in request")
    for directory in directories:
        if int.from_bytes(directory) < RESERVED_DIRECTORIES:
            raise InvalidRegistration("Reserved directory ID in request")
        for broker in state.brokers.values():
            if broker.id != request.broker_id and directory in broker.log_dirs:
                raise InvalidRegistration(f"Broker {broker.id} is already registered with directory {directory.hex()}")


def heartbeat(state: Image, request: BrokerHeartbeatRequest, registered_at: int) -> Outcome[BrokerHeartbeatResponse]:
    """What a broker that says where it stands may do now. `registered_at` is the offset of its registration."""
    broker = state.brokers.get(request.broker_id)
    if broker is None or broker.epoch != request.broker_epoch:
        raise StaleBrokerEpoch()
    is_caught_up = request.current_metadata_offset >= registered_at
    records: list[Record] = []
    if request.cordoned_log_dirs is not None and request.cordoned_log_dirs != broker.cordoned_log_dirs:
        records.append(_told(broker, cordoned_log_dirs=request.cordoned_log_dirs))
    may_stop = False
    if request.want_shut_down:
        moved = list(_taken_from(state, broker.id))
        if not broker.is_fenced and not broker.in_controlled_shutdown:
            records.append(_told(broker, shutdown=1))
        records += moved
        # Granted once it leads nothing; who asked while it still did asks again.
        may_stop = not moved
        if may_stop and not broker.is_fenced:
            records.append(_told(broker, fenced=FENCED))
    elif broker.is_fenced and is_caught_up and not request.want_fence:
        records += _enters(state, broker)
    elif request.want_fence and not broker.is_fenced:
        records += _taken_from(state, broker.id)
        records.append(_told(broker, fenced=FENCED))
    is_fenced = broker.is_fenced
    for record in records:
        if isinstance(record, BrokerRegistrationChangeRecord) and record.fenced:
            is_fenced = record.fenced == FENCED
    reply = BrokerHeartbeatResponse(is_caught_up=is_caught_up, is_fenced=is_fenced, should_shut_down=may_stop)
    return Outcome(reply, records, may_split=True)


def _told(
    broker: Broker, *, fenced: int = 0, shutdown: int = 0, cordoned_log_dirs: list[bytes] | None = None
) -> BrokerRegistrationChangeRecord:
    return BrokerRegistrationChangeRecord(
        broker_id=broker.id,
        broker_epoch=broker.epoch,
        fenced=fenced,
        in_controlled_shutdown=shutdown,
        cordoned_log_dirs=cordoned_log_dirs,
    )


def _enters(state: Image, broker: Broker) -> list[Record]:
    """A broker goes into service: partitions that wait for a leader may have it."""
    records: list[Record] = [_told(broker, fenced=UNFENCED)]
    for partition in _all_partitions(state):
        if partition.leader == NO_LEADER and broker.id in partition.replicas:
            found = _changed(state, partition, partition.isr, added=broker.id)
            if found is not None:
                records.append(found)
    return records


def _taken_from(state: Image, number: int, unclean: Collection[int] = ()) -> Iterator[Record]:
    """The changes that leave a broker without any leadership or ISR membership."""
    for partition in _all_partitions(state):
        if number in partition.isr or (unclean and number in partition.elr):
            isr = [one for one in partition.isr if one != number]
            found = _changed(state, partition, isr, removed=number, unclean=unclean)
            if found is not None:
                yield found


def _all_partitions(state: Image) -> Iterator[Partition]:
    for topic in state.topics.values():
        yield from topic.partitions.values()


def _changed(
    state: Image,
    partition: Partition,
    isr: list[int],
    *,
    removed: int = -1,
    added: int = -1,
    unclean: Collection[int] = (),
) -> Record | None:
    def may_lead(replica: int) -> bool:
        if replica == added:
            return True
        broker = state.brokers.get(replica)
        return broker is not None and broker.is_usable and replica != removed and _has_its_directory(partition, broker)

    return change(
        partition,
        isr,
        may_lead,
        min_insync(state, partition.topic.name),
        has_elr=bool(state.features.get(ELR_FEATURE)),
        unclean=unclean,
    )


def _has_its_directory(partition: Partition, broker: Broker) -> bool:
    """Whether the directory the replica lies in is one the broker has."""
    if len(partition.directories) != len(partition.replicas):
        return True
    directory = partition.directories[partition.replicas.index(broker.id)]
    return directory in broker.log_dirs or (directory != LOST_DIRECTORY and directory <= UNASSIGNED_DIRECTORY)


def min_insync(state: Image, topic: str) -> int:
    """min.insync.replicas of a topic as the controller knows it: on the topic, else on the cluster, else 1."""
    name = "min.insync.replicas"
    own = state.config(TOPIC_CONFIG, topic).get(name)
    return int(own or state.config(BROKER_CONFIG, "").get(name) or 1)


def allocate_producer_ids(state: Image, request: AllocateProducerIdsRequest) -> Outcome[AllocateProducerIdsResponse]:
    """The next block of producer ids. Nobody gets it twice: its end is in the log before it is given out."""
    broker = state.brokers.get(request.broker_id)
    if broker is None:
        raise BrokerIdNotRegistered()
    if broker.epoch != request.broker_epoch:
        raise StaleBrokerEpoch()
    start = state.next_producer_id
    if start > (1 << 63) - 1 - PRODUCER_IDS_PER_BLOCK:
        raise OverflowError("all producer ids are given out")
    record = ProducerIdsRecord(
        broker_id=broker.id, broker_epoch=broker.epoch, next_producer_id=start + PRODUCER_IDS_PER_BLOCK
    )
    reply = AllocateProducerIdsResponse(producer_id_start=start, producer_id_len=PRODUCER_IDS_PER_BLOCK)
    return Outcome(reply, [record])
