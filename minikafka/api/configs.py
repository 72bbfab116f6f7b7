"""What is configured, and where each value comes from."""

from __future__ import annotations

from collections.abc import Callable, Generator

from minikafka.api.context import Context
from minikafka.api.registry import Hangup, Operation, Resource, api
from minikafka.controller.topics import name_fault
from minikafka.metadata.configs import Entry, Source, Synonym
from minikafka.metadata.records import BROKER_CONFIG, CLIENT_METRICS_CONFIG, GROUP_CONFIG, TOPIC_CONFIG
from protocol.kafka.errors import (
    ClusterAuthorizationFailed,
    GroupAuthorizationFailed,
    InvalidRequest,
    InvalidTopicException,
    KafkaError,
    TopicAuthorizationFailed,
    UnknownTopicOrPartition,
)
from protocol.kafka.messages.configs import (
    DescribeConfigsRequest,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)

BROKER_LOGGER = 8
RESOURCES_A_STEP = 16  # described before others may have their turn
EXTRA_ENTRIES = 8192  # one request may have described, beside every topic there is: two dozen brokers, 40 ms


@api(DescribeConfigsRequest, 1, 4, listeners="BC")
def describe_configs(
    broker: Context, request: DescribeConfigsRequest
) -> Generator[None, None, DescribeConfigsResponse]:
    """Every config of brokers, topics and groups, default or set. The library's doc texts are not repeated here.

    A few bytes ask for hundreds of entries. Nobody needs a topic twice: who asks for much more than there is loses the
    connection.
    """
    if any(resource.resource_type not in DESCRIBERS for resource in request.resources):
        raise InvalidRequest()
    left = EXTRA_ENTRIES + len(broker.image.topics) * len(broker.configs.tables.topic)
    results = []
    for at, resource in enumerate(request.resources):
        if at % RESOURCES_A_STEP == RESOURCES_A_STEP - 1:
            yield
        result = DescribeConfigsResult(
            resource_type=resource.resource_type, resource_name=resource.resource_name, error_message="", configs=[]
        )
        try:
            entries = DESCRIBERS[resource.resource_type](broker, resource.resource_name)
        except KafkaError as error:
            result.error_code = error.code
            # Kafka says nothing beside the code of a topic that is not there.
            result.error_message = "" if isinstance(error, UnknownTopicOrPartition) else str(error)
        else:
            left -= len(entries)
            if left < 0:
                raise Hangup(f"{len(request.resources)} resources to be described, more than there can be")
            wanted = resource.configuration_keys
            result.configs = [
                _told(entry, request.include_synonyms) for entry in entries if not wanted or entry.option.name in wanted
            ]
        results.append(result)
    return DescribeConfigsResponse(results=results)


def _topic(broker: Context, name: str) -> list[Entry]:
    if not broker.may(Operation.DESCRIBE_CONFIGS, Resource.TOPIC, name):
        raise TopicAuthorizationFailed()
    fault = name_fault(name)
    if fault is not None:
        raise InvalidTopicException(f"Topic name is invalid: {fault}")
    if name not in broker.image.topics:
        raise UnknownTopicOrPartition()
    return broker.configs.describe_topic(name)


def _broker(broker: Context, name: str) -> list[Entry]:
    if not broker.may(Operation.DESCRIBE_CONFIGS, Resource.CLUSTER):
        raise ClusterAuthorizationFailed()
    if not name:
        return _cluster_defaults(broker)
    if _broker_id(name) != broker.node_id:
        raise InvalidRequest(f"Unexpected broker id, expected {broker.node_id} or empty string, but received {name}")
    return broker.configs.describe_broker()


def _broker_id(name: str) -> int:
    try:
        return int(name)
    except ValueError:
        raise InvalidRequest(f"Broker id must be an integer, but it is: {name}") from None


def _cluster_defaults(broker: Context) -> list[Entry]:
    """What is set for all brokers at once, and nothing else."""
    set_here = broker.image.config(BROKER_CONFIG, "")
    table = broker.configs.tables.broker
    return [
        Entry(
            table[name],
            None if table[name].is_sensitive else value,
            Source.DYNAMIC_DEFAULT_BROKER,
            table[name].update_mode == "-",
            [Synonym(name, value, Source.DYNAMIC_DEFAULT_BROKER)],
        )
        for name, value in sorted(set_here.items())
        if name in table
    ]


def _loggers(broker: Context, name: str) -> list[Entry]:
    if not broker.may(Operation.DESCRIBE_CONFIGS, Resource.CLUSTER):
        raise ClusterAuthorizationFailed()
    if not name:
        raise InvalidRequest("Broker id must not be empty")
    if _broker_id(name) != broker.node_id:
        raise InvalidRequest(f"Unexpected broker id, expected {broker.node_id} but received {name}")
    return []  # levels of single loggers cannot be set here, so there are none to describe


def _group(broker: Context, name: str) -> list[Entry]:
    if not broker.may(Operation.DESCRIBE_CONFIGS, Resource.GROUP, name):
        raise GroupAuthorizationFailed()
    if not name:
        raise InvalidRequest("Group name must not be empty")
    return broker.configs.describe_group(name)


def _client_metrics(broker: Context, name: str) -> list[Entry]:
    if not broker.may(Operation.DESCRIBE_CONFIGS, Resource.CLUSTER):
        raise ClusterAuthorizationFailed()
    if not name:
        raise InvalidRequest("Client metrics subscription name must not be empty")
    return []


DESCRIBERS: dict[int, Callable[[Context, str], list[Entry]]] = {
    TOPIC_CONFIG: _topic,
    BROKER_CONFIG: _broker,
    BROKER_LOGGER: _loggers,
    CLIENT_METRICS_CONFIG: _client_metrics,
    GROUP_CONFIG: _group,
}


def _told(entry: Entry, with_synonyms: bool) -> DescribeConfigsResourceResult:
    option = entry.option
    synonyms = entry.synonyms if with_synonyms else []
    return DescribeConfigsResourceResult(
        name=option.name,
        value=None if option.is_sensitive else entry.value,
        read_only=entry.is_read_only,
        config_source=entry.source,
        is_sensitive=option.is_sensitive,
        config_type=option.kind,
        synonyms=[DescribeConfigsSynonym(name=one.name, value=one.value, source=one.source) for one in synonyms],
        documentation=None,
    )
