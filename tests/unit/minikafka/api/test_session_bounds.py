"""What one client, or all of them, can make a session hold."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from minikafka.session import LARGE_ANSWER_BYTES, MAX_WAITING_BYTES, Session
from protocol.kafka.messages.groups import HeartbeatRequest, HeartbeatResponse
from protocol.kafka.schema import Response
from tests.unit.minikafka.api.test_session import FakeConnection, asked, opened, served


class Large(HeartbeatResponse):
    """An answer of so many bytes, whatever is in it."""

    def encode_parts(self, version: int, out: bytearray) -> list[Any]:
        return [out, bytes(2 * LARGE_ANSWER_BYTES)]


def answered_with(answer: type[Response]) -> tuple[Session, FakeConnection, list[int]]:
    runs: list[int] = []

    def handler(broker: Any, request: HeartbeatRequest) -> Response:
        runs.append(request.generation_id)
        return answer()

    session, connection = opened(served(handler))
    services: Any = session.context
    services.replicas = SimpleNamespace(unsent_bytes=0)
    services.loop = asyncio.get_running_loop()
    return session, connection, runs


async def test_empty_requests_count_among_what_waits() -> None:
    """Behind one parked request, 50 MB of empty frames would become 2.5 GB of objects."""
    parked: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    session, connection = opened(served(lambda broker, request: parked))
    session.received(asked(1))
    for _ in range(MAX_WAITING_BYTES // 1000):
        if connection.is_reading:
            session.received(bytes(4 * 1000))
    assert len(session.frames) * 100 <= MAX_WAITING_BYTES, "each is an object of at least a hundred bytes"
    assert not connection.is_reading


async def test_large_answers_end_a_slice() -> None:
    """A hundred pipelined fetches would have their answers made, some 50 MB each, before the first is sent."""
    session, connection, runs = answered_with(Large)
    session.received(b"".join(asked(number) for number in range(20)))
    assert len(runs) == 1
    connection.is_congested = True  # what the flush at the turn's end finds out
    await asyncio.sleep(0)
    assert len(runs) == 1
    connection.is_congested = False
    session.resumed()
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(runs) == 20


@pytest.mark.parametrize("end", ["taken", "lost"])
async def test_what_no_client_has_taken_is_known(end: str) -> None:
    """Fetch would go on making 50 MB for each of a hundred clients that do not read; or, with bytes counted that were
    sent long ago, give everybody single batches for ever."""
    session, connection, _ = answered_with(Large)
    replicas = session.context.replicas
    session.received(asked(1))
    connection.is_congested = True
    await asyncio.sleep(0)
    assert replicas.unsent_bytes > 2 * LARGE_ANSWER_BYTES
    if end == "lost":
        session.lost()
    else:
        connection.is_congested = False
        session.resumed()
    assert replicas.unsent_bytes == 0
    session.lost()
    assert replicas.unsent_bytes == 0


async def test_an_answer_the_kernel_takes_at_once_is_not_held() -> None:
    """Every quick reader would use up some of the room of all."""
    session, _, _ = answered_with(Large)
    session.received(asked(1))
    await asyncio.sleep(0)
    assert session.context.replicas.unsent_bytes == 0
