"""What a handler may reach.

One Context belongs to one connection and is handed to every handler that serves it. The floors below (`image`,
`replicas`, `groups`, `controller`, …) are the same objects for all connections; who asks and in which version is this
connection's. A handler reads `api_version` and `client_id` before it returns: they name the request being run now.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Protocol

from minikafka.api.registry import CLUSTER_NAME, Api, Operation, Resource
from protocol.kafka import errors
from protocol.ops.slices import Slices

if TYPE_CHECKING:
    from minikafka.controller.controller import Controller
    from minikafka.coordinator.runtime import Runtime
    from minikafka.metadata.configs import Configs
    from minikafka.metadata.image import Image
    from minikafka.replica.manager import Manager
    from protocol.ops.clock import Clock
    from protocol.ops.logs import KafkaLogger


class Authorizer(Protocol):
    """Decides whether a principal on a host may do something; the broker runs without one until ACLs are configured."""

    def allows(self, principal: str, host: str, operation: Operation, resource: Resource, name: str) -> bool: ...


@dataclass(slots=True)
class Services:
    """The floors of one broker, built by `broker.py` and shared by all its connections."""

    node_id: int
    cluster_id: str
    image: Image
    replicas: Manager
    groups: Runtime
    controller: Controller
    configs: Configs
    apis: dict[int, Api]
    clock: Clock
    loop: AbstractEventLoop
    random: Random
    log: KafkaLogger  # of the sessions
    auto_create_topics: bool = True
    unadvertised: frozenset[str] = frozenset()  # listeners whose clients are told the address they dialled
    internal_topics: dict[str, tuple[int, int, dict[str, str]]] = field(
        default_factory=dict
    )  # partitions, factor, configs
    authorizer: Authorizer | None = None
    slices: Slices = field(init=False)  # where long requests are worked on

    def __post_init__(self) -> None:
        self.slices = Slices(self.loop)


REFUSALS: dict[Resource, type[errors.KafkaError]] = {
    Resource.TOPIC: errors.TopicAuthorizationFailed,
    Resource.GROUP: errors.GroupAuthorizationFailed,
    Resource.CLUSTER: errors.ClusterAuthorizationFailed,
    Resource.TRANSACTIONAL_ID: errors.TransactionalIdAuthorizationFailed,
    Resource.DELEGATION_TOKEN: errors.DelegationTokenAuthorizationFailed,
}


class Context:
    """One connection's view of the broker."""

    __slots__ = (
        "api_version",
        "apis",
        "authorizer",
        "client_host",
        "client_id",
        "clock",
        "cluster_id",
        "configs",
        "controller",
        "correlation_id",
        "dialled",
        "groups",
        "image",
        "listener",
        "loop",
        "node_id",
        "principal",
        "random",
        "replicas",
        "services",
        "side",
        "software_name",
        "software_version",
    )

    def __init__(
        self, services: Services, listener: str, side: str, client_host: str, dialled: tuple[str, int]
    ) -> None:
        self.services = services
        self.node_id = services.node_id
        self.cluster_id = services.cluster_id
        self.image = services.image
        self.replicas = services.replicas
        self.groups = services.groups
        self.controller = services.controller
        self.configs = services.configs
        self.apis = services.apis
        self.clock = services.clock
        self.loop = services.loop
        self.random = services.random
        self.authorizer = services.authorizer
        self.side = side  # B: a broker listener, C: a controller listener
        self.listener = listener  # name of the listener the client came in by
        self.client_host = client_host  # its address as text, without the port
        self.dialled = dialled  # the address of ours it connected to
        self.principal = "User:ANONYMOUS"
        self.client_id: str | None = None  # of the request being run
        self.api_version = 0  # of the request being run
        self.correlation_id = 0  # of the request being run
        self.software_name = "unknown"  # told by ApiVersions v3 and later
        self.software_version = "unknown"

    def may(self, operation: Operation, resource: Resource, name: str = CLUSTER_NAME) -> bool:
        """Whether this client may do `operation` to the resource called `name`."""
        authorizer = self.authorizer
        return authorizer is None or authorizer.allows(self.principal, self.client_host, operation, resource, name)

    def allow(self, operation: Operation, resource: Resource, name: str = CLUSTER_NAME) -> None:
        """Raise the authorisation error of that kind of resource unless `may`."""
        if not self.may(operation, resource, name):
            raise REFUSALS[resource]()
