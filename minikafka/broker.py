"""One broker: builds the floors bottom-up, starts them, hands metadata down, stops them in order.

    start   data directory (lock, format) → metadata log (snapshot, replay, lead) → ports → register, go into service
            → partitions → groups → clients
    stop    no new connections → out of service (leaders given up) → connections → groups → partitions → data directory

Laws
1. What a client is told about exists: ports are bound first, so that a taken one is known at once, and read from when
   the broker is in service and its partitions are there.
2. Everything a floor needs is handed to it here; nothing below reads a configuration by name or asks for the time.
3. A stop that reached its end leaves the clean mark; after any other the next start looks at the data.
"""

from __future__ import annotations

import asyncio
import base64
import gc
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from minikafka.admission import Admission
from minikafka.api.context import Services
from minikafka.api.everything import table
from minikafka.config import Settings
from minikafka.console import declare_metrics, pages
from minikafka.controller.controller import Controller
from minikafka.coordinator.runtime import Runtime
from minikafka.formatting import Wish, first_voters, write_format
from minikafka.journal import MetadataJournal
from minikafka.log.config import LogConfig
from minikafka.log.store import Store
from minikafka.metadata.configs import Configs
from minikafka.metadata.image import Delta, Image, MetadataFault
from minikafka.metadata.records import (
    FEATURES,
    METADATA_TOPIC,
    TOPIC_ID_OF_METADATA,
    bootstrap_records,
    from_value,
    to_value,
)
from minikafka.metadata.snapshot import records_of
from minikafka.raft.machine import FIRST_BOOTSTRAP_SERVER
from minikafka.raft.node import Committed, Node
from minikafka.raft.peers import Peers
from minikafka.raft.quorum import KRAFT_VERSION, NO_DIRECTORY, Voter, Voters
from minikafka.raft.quorum import Endpoint as VoterEndpoint
from minikafka.raft.storage import QUORUM_STATE, Storage, id_bytes, id_text
from minikafka.replica.manager import Manager
from minikafka.session import Route, Session
from protocol.disk.files import AlreadyLocked, Disk
from protocol.kafka.errors import KafkaError, KafkaStorageError
from protocol.kafka.framing import Scratch
from protocol.kafka.messages.brokers import BrokerHeartbeatRequest, BrokerRegistrationRequest, Feature, Listener
from protocol.kafka.messages.metadata import ControllerEndpoint, ControllerFeature, RegisterControllerRecord
from protocol.kafka.primitives import ProtocolError
from protocol.net.address import Endpoint
from protocol.net.connection import Connection, Turn
from protocol.net.listener import Listener as SocketListener
from protocol.ops.clock import Clock
from protocol.ops.logs import KafkaLogger
from protocol.ops.metrics import Registry
from protocol.ops.process import Process

PLAINTEXT_PROTOCOL = 0
DRAIN_S = 5.0  # clients get this long to take what was written for them
SHUTDOWN_S = 10.0  # a controlled shutdown may take this long before it is given up
SHUTDOWN_ROUNDS = 3
PROPERTIES_VERSIONS = ("0", "1")  # of meta.properties; Kafka wrote the first one before KRaft
RESERVED_IDS = 100  # Uuids below this have a meaning of their own
SNAPSHOT_CHECK_S = 60.0  # how often it is looked whether a snapshot is due by time
MANY = 1 << 31  # connections of one listener: how many there may be is the admission's to say
FILES_PER_CONNECTION_ROOM = 100_000  # descriptors asked of the system; it gives what it allows


class StartError(Exception):
    """The broker cannot start; the text is one clear line."""


class Broker:
    """A broker that is its own controller. Several may live in one process, each with its own directory."""

    def __init__(
        self,
        settings: Settings,
        *,
        loop: asyncio.AbstractEventLoop,
        disk: Disk,
        clock: Clock,
        random: Random,
        process: Process,
        log: KafkaLogger | None = None,
    ) -> None:
        self.log = (KafkaLogger(clock, "minikafka") if log is None else log).named("minikafka.broker")
        self.settings = settings
        self.loop = loop
        self.disk = disk
        self.clock = clock
        self.random = random
        self.process = process
        self.node_id: int = settings.get("node.id")
        self.cluster_id = ""
        self.directory_id = bytes(16)
        self.incarnation_id = self._new_id()
        self.epoch = -1
        self.image = Image()
        self.metrics = Registry()
        self.turn = Turn(loop)
        self._scratch = Scratch()
        self.listeners: list[SocketListener] = []
        self.is_serving = False
        self.failed: asyncio.Future[BaseException] = loop.create_future()
        self._is_up = False  # partitions and groups are there and follow the metadata
        self._snapshot_timer: asyncio.TimerHandle | None = None
        self._bound: list[Endpoint] = []  # where it listens, with the ports it got
        self._early: list[Session] = []  # who came before the broker was in service: heard when it is
        directory = settings.data_directory()
        self.store = Store(disk, directory, loop=loop, clock=clock, random=random, log=self.log.named("minikafka.log"))
        self.store.health.on_lost = self._fail
        self.configs = Configs(settings.tables, settings.static, self.image, self.node_id)
        self.node: Node
        self.peers: Peers
        self.controller: Controller
        self.replicas: Manager
        self.groups: Runtime
        self.services: Services

    # ---- start

    async def start(self) -> None:
        """Bring the broker into service. Raises StartError with one clear line when it cannot be."""
        self.process.raise_open_files(FILES_PER_CONNECTION_ROOM)
        self._open_directory()
        is_up = False
        try:
            self._build()
            await self.node.start()
            await self._listen()
            if self.settings.is_broker:
                await self._register()
                self._bring_up_partitions()
            is_up = True
        except (KafkaStorageError, MetadataFault, ProtocolError) as error:
            directory = self.store.path_of(METADATA_TOPIC, 0)
            raise StartError(f"the metadata in {directory} cannot be used: {error}") from None
        finally:
            if not is_up:
                for listener in self.listeners:
                    listener.close()
                self.store.close(clean=False)
        self.is_serving = True
        for session in self._early:
            session.release()
        self._early.clear()
        self._watch_snapshots()
        # What is there now stays: the collector need not look at it again. Full collections are rare by threshold, for
        # requests leave no cycles behind.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 50, 1_000)

    def _open_directory(self) -> None:
        directory = self.store.directory
        try:
            self.store.open()
            known = self.store.read_properties()
            if known is None and not self._was_used():
                if not self.settings.is_broker:
                    raise StartError(
                        f"No readable meta.properties files found: {directory} must be formatted with the cluster's id "
                        "(minikafka format)"
                    )
                self._format()
            else:
                self._adopt(known or {})
        except AlreadyLocked:
            raise StartError(f"the data directory {directory} is in use by another broker") from None
        except OSError as error:
            raise StartError(f"cannot use the data directory {directory}: {error.strerror or error}") from None

    def _was_used(self) -> bool:
        """Whether a node has run here. Then the directory is a cluster's, and not ours to format."""
        metadata = self.store.path_of(METADATA_TOPIC, 0)
        names = self.disk.list(metadata) if self.disk.is_dir(metadata) else []
        return any(name == QUORUM_STATE or name.endswith(".log") for name in names)

    def _format(self) -> None:
        self.cluster_id = id_text(self._new_id())
        self.directory_id = self._new_id()
        directory, now_ms = self.store.directory, self.clock.wall_ms()
        voters = Voters([self.me()])
        write_format(self.disk, self.store, self.node_id, self.cluster_id, self.directory_id, voters, now_ms)
        self.log.info("formatted %s for cluster %s", directory, self.cluster_id)

    def format(self, wish: Wish) -> bool:
        """Format the data directory as `minikafka format` was told; False where it is formatted already. Raises
        FormatError and StartError."""
        store = self.store
        try:
            store.open()
        except AlreadyLocked:
            raise StartError(f"the data directory {store.directory} is in use by another broker") from None
        except OSError as error:
            raise StartError(f"cannot use the data directory {store.directory}: {error.strerror or error}") from None
        try:
            if store.read_properties() is not None or self._was_used():
                return False
            self.directory_id = self._new_id()
            self.directory_id, voters = first_voters(wish, self.settings, self.me())
            now_ms = self.clock.wall_ms()
            write_format(self.disk, store, self.node_id, wish.cluster_id, self.directory_id, voters, now_ms)
            return True
        finally:
            store.close(clean=False)

    def _adopt(self, known: dict[str, str]) -> None:
        stored = known.get("node.id", known.get("broker.id"))
        directory = self.store.directory
        if known.get("version") not in PROPERTIES_VERSIONS or stored is None or not known.get("cluster.id"):
            raise StartError(
                f"{directory}/meta.properties is gone or damaged: it does not tell version (0 or 1), node.id and "
                "cluster.id. The data is not touched; write them there as they were"
            )
        if stored != str(self.node_id):
            raise StartError(
                f"Stored node id {stored} doesn't match previous node id {self.node_id} in {directory}. "
                "If you moved your data, make sure your configured node id matches."
            )
        self.cluster_id = known["cluster.id"]
        try:
            self.directory_id = id_bytes(known["directory.id"])
        except (KeyError, ValueError):
            self.directory_id = self._new_id()
            self.store.write_properties({**known, "directory.id": id_text(self.directory_id)})

    def _new_id(self) -> bytes:
        """A random (version 4) Uuid that has no meaning of its own and does not print with a leading dash."""
        while True:
            raw = bytearray(self.random.randbytes(16))
            raw[6] = raw[6] & 0x0F | 0x40
            raw[8] = raw[8] & 0x3F | 0x80
            made = bytes(raw)
            if base64.urlsafe_b64encode(made)[:1] != b"-" and int.from_bytes(made) >= RESERVED_IDS:
                return made

    def me(self) -> Voter:
        """This node as a voter. Its controller listener is where peers and tools would reach its controller."""
        ends = [end for end in self.settings.listeners() if end.name in self.settings.controller_listener_names]
        told = self.settings.advertised()
        name = self.settings.controller_listener_names[0]
        end = next((told.get(end.name, end) for end in ends), Endpoint(name, DEFAULT_HOST, DEFAULT_CONTROLLER_PORT))
        return Voter(self.node_id, self.directory_id, (VoterEndpoint(end.name, end.host or DEFAULT_HOST, end.port),))

    def _build(self) -> None:
        settings, loop, clock, random = self.settings, self.loop, self.clock, self.random
        metadata = self.store.open_log(METADATA_TOPIC, 0, self._metadata_log_config(), topic_id=TOPIC_ID_OF_METADATA)
        self.node = Node(
            self.me(),
            MetadataJournal(metadata, clock),
            Storage(self.disk, metadata.directory),
            loop,
            clock,
            self._committed,
            self._fail,
            self.log.named("minikafka.raft"),
            random=random,
            configured=self._static_voters(),
            bootstrap_servers=len(self.bootstrap_servers),
            cluster_id=self.cluster_id,
            timeouts=settings.quorum_timeouts(),
            send=lambda one: self.peers.send(one),
            on_active=self._active,
            on_snapshot=self._replaced,
        )
        self.peers = Peers(
            loop,
            self.turn,
            f"raft-client-{self.node_id}",
            settings.quorum_timeouts().request_s,
            self._address_of,
            self.node.heard,
            self.node.unreachable,
            self.log.named("minikafka.raft"),
        )
        self.controller = Controller(
            self.node, self.cluster_id, self.node_id, self.configs, settings.topic_defaults(), random, loop
        )
        self.replicas = Manager(
            self.store,
            self.node_id,
            topic_values=self._topic_values,
            loop=loop,
            clock=clock,
            random=random,
            log=self.log.named("minikafka.replica"),
            settings=settings.replica_settings(),
        )
        self.groups = Runtime(
            loop,
            clock,
            random,
            settings.group_settings(),
            self.node_id,
            self.replicas.partition,
            self.controller.create_internal_topic,
            self.log.named("minikafka.groups"),
        )
        told = settings.advertised()
        self.services = Services(
            node_id=self.node_id,
            cluster_id=self.cluster_id,
            image=self.image,
            replicas=self.replicas,
            groups=self.groups,
            controller=self.controller,
            configs=self.configs,
            apis=table(),
            clock=clock,
            loop=loop,
            random=random,
            log=self.log.named("minikafka.session"),
            auto_create_topics=settings.get("auto.create.topics.enable"),
            unadvertised=frozenset(end.name for end in settings.listeners() if end.name not in told),
            internal_topics=settings.internal_topics(),
        )
        declare_metrics(self)

    @property
    def bootstrap_servers(self) -> list[tuple[str, int]]:
        """Controllers that know the leader. A node that is a broker too is its own quorum."""
        return [] if self.settings.is_broker else self.settings.bootstrap_servers()

    def _static_voters(self) -> Voters | None:
        configured = self.settings.quorum_voters()
        if self.settings.is_broker or len(configured) < 2:
            return None
        name = self.settings.controller_listener_names[0]
        return Voters(
            Voter(number, NO_DIRECTORY, (VoterEndpoint(name, host, port),)) for number, host, port in configured
        )

    def _address_of(self, number: int) -> tuple[str, int] | None:
        if number <= FIRST_BOOTSTRAP_SERVER:
            return self.bootstrap_servers[FIRST_BOOTSTRAP_SERVER - number]
        end = self.node.machine.endpoint_of(number)
        return None if end is None else (end.host, end.port)

    def _metadata_log_config(self) -> LogConfig:
        get = self.settings.get
        return LogConfig(
            segment_bytes=get("metadata.log.segment.bytes"),
            segment_ms=get("metadata.log.segment.ms"),
            retention_ms=-1,
            retention_bytes=-1,
            max_batch_bytes=(1 << 31) - 1,
            is_retained=False,
        )

    def _topic_values(self, topic: str) -> dict[str, Any]:
        values = self.configs.topic(topic)
        return {
            **values,
            "log.message.deep.validation": self.settings.own["log.message.deep.validation"],
            "producer.id.expiration.ms": self.configs.broker("producer.id.expiration.ms"),
        }

    async def _register(self) -> None:
        """Become a broker of the cluster and go into service: decided at once, waited for together."""
        controller = self.controller
        ends = self._registered_endpoints()
        features = [
            Feature(name=name, min_supported_version=low, max_supported_version=high)
            for name, (low, high, _) in FEATURES.items()
        ]
        features.append(Feature(name="kraft.version", min_supported_version=0, max_supported_version=KRAFT_VERSION))
        controller.write([self._controller_record(features)])
        registered = controller.register_broker(
            BrokerRegistrationRequest(
                broker_id=self.node_id,
                cluster_id=self.cluster_id,
                incarnation_id=self.incarnation_id,
                listeners=ends,
                features=features,
                rack=self.settings.get("broker.rack"),
                log_dirs=[self.directory_id],
                previous_broker_epoch=self.store.broker_epoch,
            )
        )
        # The metadata this node reads is the metadata it writes: it has caught up with its own registration.
        self.epoch = controller.state.brokers[self.node_id].epoch
        entered = controller.heartbeat(self._heartbeat(wants_shutdown=False))
        await registered
        reply = await entered
        assert not reply.is_fenced, "a broker that has caught up with itself is in service"

    def _registered_endpoints(self) -> list[Listener]:
        told = self.settings.advertised()
        names = self.settings.controller_listener_names
        ends = [told.get(end.name, end) for end in self._bound if end.name not in names]
        return [
            Listener(
                name=end.name,
                host=end.host if end.host not in WILDCARDS else DEFAULT_HOST,
                port=end.port,
                security_protocol=PLAINTEXT_PROTOCOL,
            )
            for end in ends
        ]

    def _controller_record(self, features: list[Feature]) -> RegisterControllerRecord:
        ends = [
            ControllerEndpoint(name=end.name, host=end.host, port=end.port, security_protocol=PLAINTEXT_PROTOCOL)
            for end in self.me().endpoints
        ]
        return RegisterControllerRecord(
            controller_id=self.node_id,
            incarnation_id=self.incarnation_id,
            zk_migration_ready=False,
            end_points=ends,
            features=[
                ControllerFeature(
                    name=one.name,
                    min_supported_version=one.min_supported_version,
                    max_supported_version=one.max_supported_version,
                )
                for one in features
            ],
        )

    def _heartbeat(self, *, wants_shutdown: bool) -> BrokerHeartbeatRequest:
        return BrokerHeartbeatRequest(
            broker_id=self.node_id,
            broker_epoch=self.epoch,
            current_metadata_offset=self.node.end_offset - 1,
            want_fence=False,
            want_shut_down=wants_shutdown,
            cordoned_log_dirs=[],
        )

    def _bring_up_partitions(self) -> None:
        everything = whole(self.image)
        self.store.remove_leftovers()
        self.replicas.apply(everything, self.image)
        self.replicas.put_aside_strays(self.image)
        self.replicas.start()
        self.groups.apply(everything, self.image)
        self._is_up = True

    async def _listen(self) -> None:
        settings = self.settings
        most_bytes: int = settings.get("socket.request.max.bytes")
        admissions = {side: self._admission() for side in "BC"}
        for end in settings.listeners():
            side = "C" if end.name in settings.controller_listener_names else "B"
            admission = admissions[side]
            is_protected = end.name == settings.protected_listener
            accept = partial(
                self._accept, end.name, side, {}, most_bytes, partial(admission.enter, is_protected=is_protected)
            )
            port = end.port
            for host in BOTH_FAMILIES.get(end.host, (end.host,)):
                listener = SocketListener(
                    self.loop, self.turn, accept, max_connections=MANY, on_leave=admission.leave, is_lending=True
                )
                try:
                    await listener.open(host, port, backlog=settings.get("socket.listen.backlog.size"))
                except OSError as error:
                    if host in OPTIONAL:
                        continue  # a machine without IPv6
                    raise StartError(f"cannot listen on {end}: {error.strerror or error}") from None
                port = listener.port
                self.listeners.append(listener)
            self._bound.append(Endpoint(end.name, end.host, port))
        await self._open_console()

    def _admission(self) -> Admission:
        get, log = self.settings.get, self.log.named("minikafka.admission")
        backlog = get("socket.listen.backlog.size")
        return Admission(get("max.connections"), get("max.connections.per.ip"), backlog, log)

    def _accept(
        self,
        name: str,
        side: str,
        routes: dict[int, Route],
        max_bytes: int,
        enter: Callable[[Connection, Callable[[], None]], bool],
        connection: Connection,
    ) -> Session:
        get = self.settings.get
        connection.set_buffers(get("socket.send.buffer.bytes"), get("socket.receive.buffer.bytes"))
        session = Session(connection, self.services, routes, name, side, max_bytes, self._scratch)
        admitted = partial(self._admitted, session)
        if enter(connection, admitted):
            admitted()
        else:
            session.hold()
        return session

    def _admitted(self, session: Session) -> None:
        """Its requests are run from now on; those of one that came early, from when the broker serves."""
        idle_ms: int = self.settings.get("connections.max.idle.ms")
        session.connection.set_idle_timeout(None if idle_ms < 0 else idle_ms / 1000)
        if self.is_serving:
            session.release()
        else:
            session.hold()
            self._early.append(session)

    async def _open_console(self) -> None:
        port = self.settings.own["console.port"]
        if port < 1:
            return
        from protocol.ops.console import open_console

        try:
            self.listeners.append(await open_console(self.loop, DEFAULT_CONSOLE_HOST, port, pages(self)))
        except ModuleNotFoundError as error:
            raise StartError(str(error)) from None
        except OSError as error:
            raise StartError(f"cannot listen on {DEFAULT_CONSOLE_HOST}:{port}: {error.strerror or error}") from None

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where it listens, with the ports it got."""
        return self._bound

    # ---- metadata

    def _committed(self, committed: Committed) -> None:
        """Agreed records: into the image, then down to whoever must act."""
        delta = Delta()
        records = [record for record in map(from_value, committed.values) if record is not None]
        for record in records:
            self.image.apply(record, delta)
        self.image.offset = committed.last_offset
        for kind, name in delta.configs:
            self.configs.forget(kind, name)
        for topic in delta.deleted.values():
            self.configs.forget_topic(topic.name)
        if not self.node.is_active:
            # The controller's state is replayed beside; while it is the active one it replays what it writes itself.
            self.controller.replay(records, committed.last_offset + 1 - len(records))
        if self._is_up and delta:
            self.replicas.apply(delta, self.image)
            self.groups.apply(delta, self.image)

    def _active(self, is_active: bool) -> None:
        """This node's controller decides from here on; or no more, and what it wrote may be decided otherwise."""
        if not is_active:
            self.controller.start_over(records_of(self.image))
        elif not self.image.features:
            self.controller.write(bootstrap_records())

    def _replaced(self, committed: Committed) -> None:
        """A snapshot of the leader's replaces all that was agreed here so far."""
        self.image.clear()
        self.controller.start_over(())
        self._committed(committed)

    def _watch_snapshots(self) -> None:
        """A snapshot when the log has grown enough since the last, or when that is long ago."""
        get = self.settings.get
        max_bytes = get("metadata.log.max.record.bytes.between.snapshots")
        max_age_ms = get("metadata.log.max.snapshot.interval.ms")
        max_kept = get("metadata.max.retention.bytes")
        written_ms = self.clock.wall_ms()

        def look() -> None:
            nonlocal written_ms
            self._snapshot_timer = self.loop.call_later(SNAPSHOT_CHECK_S, look)
            grown, now_ms = self.node.bytes_since_snapshot, self.clock.wall_ms()
            if grown >= max_bytes or (grown and max_age_ms and now_ms - written_ms >= max_age_ms):
                written_ms = now_ms
                self.snapshot()
                self.node.retain(max_kept)

        look()

    def snapshot(self) -> None:
        """Write a snapshot of the metadata as it is agreed now."""
        self.node.write_snapshot([to_value(record) for record in records_of(self.image)])

    def _fail(self, error: BaseException) -> None:
        """The data directory or the metadata log is lost: this broker must not go on."""
        if not self.failed.done():
            self.log.error("the broker cannot go on: %s", error)
            self.failed.set_result(error)

    # ---- stop

    async def stop(self) -> None:
        """Out of service, then down, floor by floor; the data directory is marked clean."""
        self.is_serving = False
        if self._snapshot_timer is not None:
            self._snapshot_timer.cancel()
        for listener in self.listeners:
            listener.close()
        is_clean = not self.failed.done()
        if is_clean and self.settings.is_broker:
            is_clean = await self._leave_service()
        await self.node.leave()
        self.node.stop()
        self.turn.settle()
        for listener in self.listeners:
            await listener.drain(DRAIN_S)
        self.peers.close()
        self.groups.close()
        self.replicas.close()
        self.store.close(clean=is_clean, broker_epoch=self.epoch)

    async def _leave_service(self) -> bool:
        """Give up every leadership, then ask again: who leads nothing may go."""
        try:
            for _ in range(SHUTDOWN_ROUNDS):
                asked = self.controller.heartbeat(self._heartbeat(wants_shutdown=True))
                if (await asyncio.wait_for(asked, SHUTDOWN_S)).should_shut_down:
                    return True
        except (TimeoutError, KafkaError) as error:
            self.log.error("could not leave the cluster in order: %s", error)
        return False


DEFAULT_HOST = "localhost"
DEFAULT_CONSOLE_HOST = "127.0.0.1"
DEFAULT_CONTROLLER_PORT = 9093
WILDCARDS = ("", "0.0.0.0", "::")
# Hosts that stand for an address of each family; one port serves both. librdkafka tries ::1 first.
BOTH_FAMILIES = {"": ("0.0.0.0", "::"), "localhost": ("127.0.0.1", "::1")}
OPTIONAL = ("::", "::1")


def whole(image: Image) -> Delta:
    """Everything there is, as if it had changed."""
    delta = Delta()
    delta.created = dict(image.topics)
    delta.partitions = {
        (topic.name, index): partition
        for topic in image.topics.values()
        for index, partition in topic.partitions.items()
    }
    delta.brokers = dict.fromkeys(image.brokers)
    delta.features = True
    return delta
