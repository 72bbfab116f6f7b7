"""Who the brokers are."""

from __future__ import annotations

from minikafka.api.context import Context
from minikafka.api.registry import Operation, Resource, api
from minikafka.api.topics import address, any_of, cluster_operations
from protocol.kafka.errors import InvalidRequest, MismatchedEndpointType, UnsupportedEndpointType
from protocol.kafka.messages.brokers import DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse

BROKERS, CONTROLLERS = 1, 2  # endpoint types
ENDPOINT_NAMES = {BROKERS: "BROKER", CONTROLLERS: "CONTROLLER"}


@api(DescribeClusterRequest, 0, 2, listeners="BC")
def describe_cluster(broker: Context, request: DescribeClusterRequest) -> DescribeClusterResponse:
    """The brokers, on a broker listener; the controllers, on a controller listener."""
    own = CONTROLLERS if broker.side == "C" else BROKERS
    wanted = request.endpoint_type
    if wanted not in ENDPOINT_NAMES:
        raise UnsupportedEndpointType(f"Unsupported endpoint type {wanted}")
    if wanted != own:
        text = (
            f"The request was sent to an endpoint of type {ENDPOINT_NAMES[own]}, but we wanted an endpoint of type "
            f"{ENDPOINT_NAMES[wanted]}"
        )
        raise InvalidRequest(text) if broker.api_version == 0 else MismatchedEndpointType(text)
    response = DescribeClusterResponse(cluster_id=broker.cluster_id, endpoint_type=own, brokers=[])
    if own == CONTROLLERS:
        _list_controllers(broker, response)
    else:
        _list_brokers(broker, request, response)
    if request.include_cluster_authorized_operations and broker.may(Operation.DESCRIBE, Resource.CLUSTER):
        response.cluster_authorized_operations = cluster_operations(broker)
    return response


def _list_controllers(broker: Context, response: DescribeClusterResponse) -> None:
    """The voters. One that is alone is where the client found it."""
    machine = broker.controller.node.machine
    response.controller_id = machine.leader_id
    for voter in machine.voters:
        host, port = broker.dialled
        if voter.id != broker.node_id:
            host, port = next(((end.host, end.port) for end in voter.endpoints), ("", -1))
        response.brokers.append(DescribeClusterBroker(broker_id=voter.id, host=host, port=port))


def _list_brokers(broker: Context, request: DescribeClusterRequest, response: DescribeClusterResponse) -> None:
    alive: dict[int, None] = {}
    for number in sorted(broker.image.brokers):
        one = broker.image.brokers[number]
        end = one.endpoints.get(broker.listener)
        if end is None or (one.is_fenced and not request.include_fenced_brokers):
            continue
        host, port = address(broker, one, end)
        response.brokers.append(
            DescribeClusterBroker(broker_id=number, host=host, port=port, rack=one.rack, is_fenced=one.is_fenced)
        )
        if not one.is_fenced:
            alive[number] = None
    response.controller_id = any_of(broker, alive)
