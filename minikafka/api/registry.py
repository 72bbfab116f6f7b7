"""The table of what this broker can be asked: one row per API key, declared beside its handler.

    @api(HeartbeatRequest, 0, 4)
    def heartbeat(broker: Context, request: HeartbeatRequest) -> HeartbeatResponse | Future[HeartbeatResponse]:

What a handler gives back:
    a response                 answered in this turn
    a Future of a response     answered when it resolves, in its place among the connection's answers
    a generator of either      worked on in slices of the loop, from one `yield` to the next: what may take long
    None                       no answer at all (Produce with acks=0)
    raises a KafkaError        the whole request failed: the reply is built from the schema, the error in every place
                               where this reply can carry one
    raises Hangup              the connection is closed without an answer

Laws
1. The rows are the only list of what is supported: ApiVersions, the README's table and `minikafka apis` are read
   from it, so nothing is advertised that has no handler, and no version outside the declared range is decoded.
2. Rows come into being while the api modules are imported and are never changed afterwards.
3. A handler returns before anything else of its connection is run: what is order-sensitive it does before returning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from minikafka.api.context import Context
    from protocol.kafka.schema import Request

Handler = Callable[["Context", Any], Any]
Shortcut = Callable[["Context", memoryview, int, int], bytes | None]  # frame, body's begin, correlation id → answer
Handled = TypeVar("Handled", bound=Callable[..., Any])


class Place(IntEnum):
    """Who must run the handler: any broker, or the active controller (reached by forwarding when that is another)."""

    BROKER = 0
    CONTROLLER = 1


BROKER = Place.BROKER
CONTROLLER = Place.CONTROLLER


class Operation(IntEnum):
    """What somebody wants to do to a resource (Kafka's AclOperation codes)."""

    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12


class Resource(IntEnum):
    """What it is done to (Kafka's ResourceType codes)."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6


CLUSTER_NAME = "kafka-cluster"  # the one resource of type CLUSTER


class Hangup(Exception):
    """The connection must end without an answer, as Kafka does for what it cannot answer; the text goes to the log."""


@dataclass(slots=True, frozen=True)
class Api:
    """One row: a request schema, the versions served, the handler, and where and by whom it may be run."""

    schema: type[Request]
    key: int
    name: str
    low: int
    high: int
    handler: Handler
    at: Place
    needs: tuple[Operation, Resource] | None
    listeners: str
    pipelined: bool
    reported_low: int
    shortcut: Callable[[int], Shortcut | None] | None = None


_rows: dict[int, Api] = {}


def api(
    schema: type[Request],
    low: int,
    high: int,
    *,
    at: Place = BROKER,
    needs: tuple[Operation, Resource] | None = None,
    listeners: str | None = None,
    pipelined: bool = False,
    reported_low: int | None = None,
    shortcut: Callable[[int], Shortcut | None] | None = None,
) -> Callable[[Handled], Handled]:
    """Enter the decorated handler into the table.

    `needs` is checked on the cluster before the handler runs; rights on topics, groups and ids named inside the request
    are the handler's own to ask for (`broker.allow`). `listeners` says where it may be asked: on broker listeners (B),
    on controller listeners (C); unless given, what the controller decides is asked on both. `pipelined` lets the next
    request of the connection start while this one's Future is still open. `reported_low` is told to clients instead of
    `low` (Produce, KAFKA-18659). `shortcut` gives, for a version that has one, a function that may answer an undecoded
    request, or leaves it untouched to the handler (None).
    """
    assert schema.lowest <= low <= high <= schema.highest, (
        f"{schema.__name__} is not declared for versions {low} to {high}"
    )
    assert schema.api_key not in _rows, f"api key {schema.api_key} is declared twice"

    def enter(handler: Handled) -> Handled:
        name = schema.__name__.removesuffix("Request")
        told = low if reported_low is None else reported_low
        where = listeners or ("BC" if at is CONTROLLER else "B")
        _rows[schema.api_key] = Api(
            schema, schema.api_key, name, low, high, handler, at, needs, where, pipelined, told, shortcut
        )
        return handler

    return enter


def table() -> dict[int, Api]:
    """Every row by API key, in the order of the keys. Complete once `minikafka.api.everything` is imported."""
    return dict(sorted(_rows.items()))


def listing(rows: Iterable[Api]) -> str:
    """The rows as a Markdown table, for `minikafka apis` and the README."""
    lines = ["| key | API | versions |", "|--:|---|---|"]
    lines += [f"| {row.key} | {row.name} | {row.low}-{row.high} |" for row in rows]
    return "\n".join(lines)
