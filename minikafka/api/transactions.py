"""Producer ids: what an idempotent producer asks for before its first record.

Transactions have no coordinator here. A producer that names a transactional id is told UNSUPPORTED_VERSION, here and
by FindCoordinator: clients take that for final, where an error about a coordinator would have them retry for ever.
"""

from __future__ import annotations

from asyncio import Future
from typing import Any

from minikafka.api.context import Context
from minikafka.api.registry import Operation, Resource, api
from minikafka.api.topics import after
from protocol.kafka.errors import (
    ClusterAuthorizationFailed,
    InvalidRequest,
    KafkaError,
    TransactionalIdAuthorizationFailed,
    UnsupportedVersion,
)
from protocol.kafka.messages.transactions import InitProducerIdRequest, InitProducerIdResponse

NONE = -1


@api(InitProducerIdRequest, 0, 5)
def init_producer_id(broker: Context, request: InitProducerIdRequest) -> Any:
    """A producer id nobody had before, with epoch 0 (KIP-98; KIP-360 lets a producer name the one it has)."""
    error = _refusal(broker, request)
    if error is not None:
        return InitProducerIdResponse(error_code=error.code, producer_id=NONE, producer_epoch=NONE)
    allocated = broker.controller.next_producer_id()
    return after(allocated, _granted) if isinstance(allocated, Future) else _granted(allocated)


def _granted(producer_id: int) -> InitProducerIdResponse:
    # A producer that names an id without a transactional one gets another: only the transaction coordinator
    # remembers epochs, and a fresh id fences its former self as well.
    return InitProducerIdResponse(producer_id=producer_id, producer_epoch=0)


def _refusal(broker: Context, request: InitProducerIdRequest) -> type[KafkaError] | None:
    transactional_id = request.transactional_id
    if transactional_id is None:
        if not broker.may(Operation.IDEMPOTENT_WRITE, Resource.CLUSTER):
            return ClusterAuthorizationFailed
    elif not broker.may(Operation.WRITE, Resource.TRANSACTIONAL_ID, transactional_id):
        return TransactionalIdAuthorizationFailed
    if (request.producer_id == NONE) != (request.producer_epoch == NONE):
        return InvalidRequest
    if transactional_id == "":
        return InvalidRequest  # a missing id means idempotence alone, an empty one is a mistake
    return None if transactional_id is None else UnsupportedVersion
